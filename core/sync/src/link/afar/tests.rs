#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use proptest::prelude::*;
use twin_identity::device::{DeviceKeys, Role};

use super::message::{Agree, Answer, Message, Start};
use super::new_device::{self, Started};
use super::phone::{Answered, Showing, other_passcode};
use super::{AFAR_LIFE, AFAR_VERSION, Passcode};
use crate::link::new_device::{Joining, Progress};
use crate::link::phone::Unconfirmed;
use crate::link::tests::{NEW, PHONE, THIEF, Twin, grant_to, inviter, twin};
use crate::link::{Abort, LinkError};
use crate::transport::TransportKey;

const NAME: &str = "Ada's laptop";
/// How often an attacker tries.
const ATTEMPTS: u64 = 200;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The passcode, as it was typed.
fn typed(showing: &Showing) -> Passcode {
    Passcode::parse(&showing.passcode().to_string()).unwrap()
}

fn start(
    passcode: Passcode,
    [me, peer]: [TransportKey; 2],
    rng: &mut ChaCha20Rng,
) -> (Vec<u8>, Started) {
    let keys = DeviceKeys::random(rng).unwrap();
    new_device::start(passcode, keys, me, peer, rng).unwrap()
}

fn answer(
    showing: Showing,
    [me, peer]: [TransportKey; 2],
    frame: &[u8],
    rng: &mut ChaCha20Rng,
) -> (Vec<u8>, Answered) {
    let answered = showing.receive_start(1, me, peer, frame, rng);
    answered.unwrap_or_else(|refused| panic!("{}", refused.error))
}

/// All the way to the six digits.
fn meet(twin: &mut Twin, showing: Showing, passcode: Passcode) -> (Joining, Unconfirmed) {
    let rng = &mut rng(twin.rng.next_u64());
    let (frame, started) = start(passcode, [NEW, PHONE], rng);
    let (frame, answered) = answer(showing, [PHONE, NEW], &frame, rng);
    let (frame, agreed) = started.receive_answer(&frame, NAME).unwrap();
    let met = answered.receive_agree(&frame).unwrap();
    assert_eq!(met.device_name(), NAME);
    let (frame, greeted) = met.greet(inviter(twin));
    let (frame, committed) = agreed.receive_hello(&frame, rng).unwrap();
    let (frame, phone) = greeted.receive_keys(&frame, rng).unwrap();
    let (frame, joining) = committed.receive_nonce(&frame).unwrap();
    (joining, phone.receive_nonce(&frame).unwrap())
}

#[test]
fn the_whole_way() {
    let mut twin = twin(1);
    let showing = Showing::new(0, &mut twin.rng);
    let passcode = typed(&showing);
    assert_eq!(passcode.nameplate(), showing.passcode().nameplate());
    let (mut joining, unconfirmed) = meet(&mut twin, showing, passcode);
    assert_eq!(joining.twin(), twin.log.twin());
    assert_eq!(joining.twin_name(), "Ada");
    let code = joining.code().to_string();
    let confirmed = unconfirmed.confirm(&code).ok().unwrap();
    let statement = confirmed.statement(Role::Member, None);
    let grants = grant_to(&mut twin, &statement);
    for frame in confirmed.admit(&twin.log, &grants) {
        match joining.receive(&frame).unwrap() {
            Progress::More(next) => joining = *next,
            Progress::Admitted(admitted) => {
                assert_eq!(admitted.log.digest(), twin.log.digest());
                assert_eq!(admitted.grants.len(), 1);
                return confirmed.receive_done(&admitted.done()).unwrap();
            }
            Progress::Material(_) => panic!("nobody has asked for help"),
        }
    }
    panic!("something is missing");
}

/// Whoever guesses is told after one attempt that it was wrong, on whichever side.
#[test]
fn a_wrong_passcode_never_comes_through() {
    for seed in 0..ATTEMPTS {
        let rng = &mut rng(seed);
        let showing = Showing::new(0, rng);
        let (right, guess) = (typed(&showing), Passcode::random(rng));
        // Somebody who guesses calls the phone.
        let (frame, started) = start(guess, [THIEF, PHONE], rng);
        let (frame, answered) = answer(showing, [PHONE, THIEF], &frame, rng);
        let Err(error) = started.receive_answer(&frame, NAME) else {
            panic!("a guess was right");
        };
        assert_eq!(error, LinkError::OtherPasscode);
        let mut proof = [0; 32];
        rng.fill_bytes(&mut proof);
        let agree = Message::Agree(Agree {
            name: NAME.to_owned(),
            proof,
        });
        let refused = answered.receive_agree(&agree.to_frame()).err();
        assert_eq!(refused, Some(LinkError::OtherPasscode));
        // The new device calls somebody who guesses.
        let (frame, started) = start(right, [NEW, THIEF], rng);
        let (frame, answered) = answer(Showing::new(0, rng), [THIEF, NEW], &frame, rng);
        let refused = started.receive_answer(&frame, NAME).err();
        assert_eq!(refused, Some(LinkError::OtherPasscode));
        let told = answered.receive_agree(&other_passcode()).err();
        assert_eq!(told, Some(LinkError::Aborted(Abort::OtherPasscode)));
    }
}

/// Somebody between the two has a connection with each: passing on what they say does not help, nor does saying it
/// anew with a passcode that it guesses.
#[test]
fn somebody_between_the_two_never_comes_through() {
    for seed in 0..ATTEMPTS {
        let rng = &mut rng(seed);
        let showing = Showing::new(0, rng);
        let (frame, started) = start(typed(&showing), [NEW, THIEF], rng);
        let (frame, answered) = answer(showing, [PHONE, THIEF], &frame, rng);
        let refused = started.receive_answer(&frame, NAME).err();
        assert_eq!(refused, Some(LinkError::OtherPasscode), "passed on");

        let again = Showing::new(0, rng);
        let (ours, theirs) = (typed(&again), Showing::new(0, rng));
        let (frame, _) = start(Passcode::random(rng), [THIEF, PHONE], rng);
        let (answer_of_phone, answered_thief) = answer(again, [PHONE, THIEF], &frame, rng);
        let (frame, started) = start(ours, [NEW, THIEF], rng);
        let (answer_of_thief, _) = answer(theirs, [THIEF, NEW], &frame, rng);
        let Ok(Message::Answer(phone)) = Message::from_frame(&answer_of_phone) else {
            panic!("no answer");
        };
        let Ok(Message::Answer(thief)) = Message::from_frame(&answer_of_thief) else {
            panic!("no answer");
        };
        // The element of one, the proof of the other.
        let mixed = Message::Answer(Answer {
            element: thief.element,
            proof: phone.proof,
        });
        let refused = started.receive_answer(&mixed.to_frame(), NAME).err();
        assert_eq!(refused, Some(LinkError::OtherPasscode), "mixed");
        for answered in [answered, answered_thief] {
            let agree = Message::Agree(Agree {
                name: NAME.to_owned(),
                proof: phone.proof,
            });
            let refused = answered.receive_agree(&agree.to_frame()).err();
            assert_eq!(refused, Some(LinkError::OtherPasscode), "sent back");
        }
    }
}

#[test]
fn what_was_heard_before_is_worth_nothing() {
    let rng = &mut rng(3);
    let first = Showing::new(0, rng);
    let text = first.passcode().to_string();
    let passcode = || Passcode::parse(&text).unwrap();
    let (started_frame, started) = start(passcode(), [NEW, PHONE], rng);
    let (answer_frame, answered) = answer(first, [PHONE, NEW], &started_frame, rng);
    let (agree_frame, _) = started.receive_answer(&answer_frame, NAME).unwrap();
    answered.receive_agree(&agree_frame).unwrap();
    // Even if a phone showed the same passcode once more, on the same connection.
    let second = Showing::with(passcode(), 0);
    let (_, answered) = answer(second, [PHONE, NEW], &started_frame, rng);
    let refused = answered.receive_agree(&agree_frame).err();
    assert_eq!(refused, Some(LinkError::OtherPasscode));
    let (_, started) = start(passcode(), [NEW, PHONE], rng);
    let refused = started.receive_answer(&answer_frame, NAME).err();
    assert_eq!(refused, Some(LinkError::OtherPasscode));
}

#[test]
fn a_side_does_not_talk_to_itself() {
    let rng = &mut rng(4);
    let (frame, started) = start(Passcode::random(rng), [NEW, PHONE], rng);
    let Ok(Message::Start(Start { element, .. })) = Message::from_frame(&frame) else {
        panic!("no start");
    };
    let back = Message::Answer(Answer {
        element,
        proof: [0; 32],
    });
    let refused = started.receive_answer(&back.to_frame(), NAME).err();
    assert_eq!(refused, Some(LinkError::Unexpected));
    // Nor to another new device with the same passcode, and neither do two phones.
    let showing = Showing::new(0, rng);
    let (frame, started) = start(typed(&showing), [NEW, PHONE], rng);
    let refused = started.receive_answer(&frame, NAME).err();
    assert_eq!(refused, Some(LinkError::Unexpected));
    let (frame, _) = answer(Showing::with(typed(&showing), 0), [PHONE, NEW], &frame, rng);
    let refused = showing.receive_start(1, PHONE, NEW, &frame, rng).err();
    assert_eq!(refused.unwrap().error, LinkError::Unexpected);
}

/// Points of small order, and bytes that are no point at all.
#[test]
fn elements_that_nobody_makes_do_not_help() {
    let mut elements = vec![[0; 32], [0xff; 32], [1; 32]];
    let mut identity = [0; 32];
    identity[0] = 1;
    elements.push(identity);
    for text in [
        // Of order 2, 4 and 8 (libsodium's list).
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        elements.push(bytes.try_into().unwrap());
    }
    for (seed, element) in (0..).zip(elements) {
        let rng = &mut rng(seed);
        let (_, started) = start(Passcode::random(rng), [NEW, PHONE], rng);
        let guessed = crate::link::proving::Proving::new(
            twin_identity::secret::Secret::new([0; 32]),
            zeroize::Zeroizing::new(Vec::new()),
        );
        let proof = guessed.prove(crate::link::proving::Side::PhoneAgrees, &[]);
        let message = Message::Answer(Answer {
            element,
            proof: *proof.expose(),
        });
        assert!(started.receive_answer(&message.to_frame(), NAME).is_err());
        let message = Message::Start(Start {
            version: AFAR_VERSION,
            element,
        });
        let frame = message.to_frame();
        let showing = Showing::new(0, rng);
        if let Ok((_, answered)) = showing.receive_start(1, PHONE, NEW, &frame, rng) {
            let agree = Message::Agree(Agree {
                name: NAME.to_owned(),
                proof: *proof.expose(),
            });
            assert!(answered.receive_agree(&agree.to_frame()).is_err());
        }
    }
}

#[test]
fn a_passcode_lives_for_ten_minutes_and_is_used_up_by_nothing_but_a_link() {
    let rng = &mut rng(6);
    let mut showing = Showing::new(1000, rng);
    let (frame, _) = start(typed(&showing), [NEW, PHONE], rng);
    let newer = Message::Start(Start {
        version: AFAR_VERSION + 1,
        element: [7; 32],
    });
    for (now, frame, error) in [
        (1000, newer.to_frame(), LinkError::Unexpected),
        (
            1000,
            other_passcode(),
            LinkError::Aborted(Abort::OtherPasscode),
        ),
        (1001 + AFAR_LIFE, frame.clone(), LinkError::Expired),
    ] {
        let refused = showing.receive_start(now, PHONE, NEW, &frame, rng).err();
        let refused = refused.unwrap();
        assert_eq!(refused.error, error);
        showing = refused.showing;
    }
    let expires = showing.expires();
    assert_eq!(expires, 1000 + AFAR_LIFE);
    assert!(
        showing
            .receive_start(expires, PHONE, NEW, &frame, rng)
            .is_ok()
    );
}

#[test]
fn nothing_names_twin_or_device_before_both_have_proved_the_passcode() {
    let mut twin = twin(7);
    let rng = &mut rng(7);
    let showing = Showing::new(0, rng);
    let secret = showing.passcode().to_string();
    let keys = DeviceKeys::random(rng).unwrap();
    let names = [
        twin.log.twin().as_bytes().to_vec(),
        twin.device.id().as_bytes().to_vec(),
        keys.id().as_bytes().to_vec(),
        b"Ada".to_vec(),
        secret.replace('-', "").into_bytes(),
    ];
    let (one, started) = new_device::start(typed(&showing), keys, NEW, PHONE, rng).unwrap();
    let (two, answered) = answer(showing, [PHONE, NEW], &one, rng);
    for frame in [&one, &two] {
        for name in &names {
            assert!(!frame.windows(name.len()).any(|bytes| bytes == name));
        }
    }
    let (three, _) = started.receive_answer(&two, NAME).unwrap();
    let met = answered.receive_agree(&three).unwrap();
    let (hello, _) = met.greet(inviter(&twin));
    assert!(hello.windows(33).any(|bytes| bytes == names[0]));
    twin.rng = rng.clone();
}

/// Whoever has overheard the passcode and uses it first has another link than the person.
#[test]
fn the_digits_of_two_links_with_one_passcode_differ() {
    let mut twin = twin(8);
    let showing = Showing::new(0, &mut twin.rng);
    let text = showing.passcode().to_string();
    let passcode = || Passcode::parse(&text).unwrap();
    let (thief, unconfirmed) = meet(&mut twin, showing, passcode());
    let again = Showing::with(passcode(), 0);
    let (person, _) = meet(&mut twin, again, passcode());
    assert_ne!(thief.code(), person.code());
    assert!(unconfirmed.confirm(&person.code().to_string()).is_err());
}

#[test]
fn long_names_are_cut_and_longer_ones_refused() {
    let rng = &mut rng(9);
    let showing = Showing::new(0, rng);
    let (frame, started) = start(typed(&showing), [NEW, PHONE], rng);
    let (frame, answered) = answer(showing, [PHONE, NEW], &frame, rng);
    let (frame, _) = started.receive_answer(&frame, &"ä".repeat(40)).unwrap();
    let met = answered.receive_agree(&frame).unwrap();
    assert_eq!(met.device_name(), "ä".repeat(32));

    let showing = Showing::new(0, rng);
    let (frame, _) = start(typed(&showing), [NEW, PHONE], rng);
    let (_, answered) = answer(showing, [PHONE, NEW], &frame, rng);
    let agree = Message::Agree(Agree {
        name: "a".repeat(65),
        proof: [0; 32],
    });
    let refused = answered.receive_agree(&agree.to_frame()).err();
    assert_eq!(refused, Some(LinkError::Unexpected));
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>, number in 13_u8..16) {
        let rng = &mut rng(10);
        for frame in [bytes.clone(), [&[0x82, number, 0x81], &bytes[..]].concat()] {
            let showing = Showing::new(0, rng);
            let (begun, started) = start(typed(&showing), [NEW, PHONE], rng);
            prop_assert!(started.receive_answer(&frame, NAME).is_err());
            let (_, answered) = answer(Showing::with(typed(&showing), 0), [PHONE, NEW], &begun, rng);
            prop_assert!(answered.receive_agree(&frame).is_err());
            let _ = showing.receive_start(1, PHONE, NEW, &frame, rng);
            if super::is_message(&frame) {
                prop_assert_eq!(Message::from_frame(&frame).map(|m| m.to_frame()).ok(), Some(frame));
            }
        }
    }
}
