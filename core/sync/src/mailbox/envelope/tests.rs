#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use proptest::prelude::*;
use twin_ops::epoch::EpochKey;

use super::*;
use crate::link::afar::Passcode;

const OTHER: &str = "1123-4567-89AB-CD0M";

fn discovery(seed: u8) -> DiscoveryKey {
    EpochKey::new(Secret::new([seed; 32])).discovery()
}

fn mailbox(epoch: u8, relay: u8, day: u64) -> Mailbox {
    Mailbox::new(
        &discovery(epoch),
        RelayKey::from_bytes([relay; 32]),
        Day(day),
    )
}

fn letter(content: Vec<u8>) -> Letter {
    Letter {
        made: 7,
        seen: 3,
        content,
    }
}

/// Whether two strings of bytes have six in a row in common: by chance a pair of envelopes of 1 KiB has them once in 250 millions.
fn shared(one: &[u8], two: &[u8]) -> bool {
    let windows: std::collections::HashSet<&[u8]> = one.windows(6).collect();
    two.windows(6).any(|window| windows.contains(window))
}

#[test]
fn two_mailboxes_of_one_twin_share_no_stable_byte() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let device = DeviceId::from_bytes([9; 32]);
    let (challenge, keys) = (
        [5; 32],
        [6, 7].map(|byte| TransportKey::from_bytes([byte; 32])),
    );
    // All that a relay is shown of a mailbox; the same content in each.
    let mut shown = |mailbox: &Mailbox| {
        let slot = mailbox.slot(&device);
        let post = mailbox.seal_post(&letter(vec![b'x'; 500]), rng).unwrap();
        let presence = mailbox.seal_presence(&slot, &letter(vec![b'y'; 100]), rng);
        [
            mailbox.address().as_bytes().to_vec(),
            slot.0.to_vec(),
            mailbox.prove(&challenge, &keys[0], &keys[1]).to_vec(),
            mailbox.withdraw(1, &EnvelopeId::of(&post)).to_vec(),
            post,
            presence.unwrap(),
        ]
    };
    let first = mailbox(1, 1, 1);
    let one = shown(&first);
    for (other, what) in [
        (mailbox(1, 1, 2), "another day"),
        (mailbox(1, 2, 1), "another relay"),
        (mailbox(2, 1, 1), "another epoch"),
    ] {
        let two = shown(&other);
        for (a, b) in one.iter().zip(&two) {
            assert_eq!(a.len(), b.len(), "{what}");
        }
        for a in &one {
            assert!(two.iter().all(|b| !shared(a, b)), "{what}");
        }
    }
    // The same place and content sealed again is new bytes too, but for the names.
    let again = shown(&first);
    assert_eq!(one[..2], again[..2]);
    assert!(!shared(&one[4], &again[4]) && !shared(&one[5], &again[5]));
    assert!(shared(&one[4], &one[4]), "what is shared is seen");
}

#[test]
fn every_nameplate_has_a_mailbox_of_its_own() {
    let nameplate = |typed: &str| Passcode::parse(typed).unwrap().nameplate();
    let (one, other) = (nameplate("0123-4567-89AB-CD5F"), nameplate(OTHER));
    let relays = [1, 2].map(|relay| RelayKey::from_bytes([relay; 32]));
    let mut addresses = std::collections::BTreeSet::from([mailbox(1, 1, 5).address()]);
    for relay in relays {
        for day in [5, 6] {
            for nameplate in [one, other] {
                let mailbox = Mailbox::of_nameplate(nameplate, relay, Day(day));
                assert!(addresses.insert(mailbox.address()));
                let same = Mailbox::of_nameplate(nameplate, relay, Day(day));
                let slot = mailbox.slot(&DeviceId::from_bytes([9; 32]));
                let rng = &mut ChaCha20Rng::seed_from_u64(1);
                let sealed = mailbox
                    .seal_presence(&slot, &letter(vec![7; 40]), rng)
                    .unwrap();
                assert_eq!(same.open_presence(&slot, &sealed).unwrap().content, [7; 40]);
            }
        }
    }
}

#[test]
fn an_envelope_opens_in_its_place_only() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let here = mailbox(1, 1, 1);
    let [slot, beside] = [1, 2].map(|byte| here.slot(&DeviceId::from_bytes([byte; 32])));
    let post = here.seal_post(&letter(vec![1, 2]), rng).unwrap();
    let presence = here.seal_presence(&slot, &letter(vec![3]), rng).unwrap();
    assert_eq!(here.open_post(&post), Ok(letter(vec![1, 2])));
    assert_eq!(here.open_presence(&slot, &presence), Ok(letter(vec![3])));
    let refused = Err(EnvelopeError::Open);
    assert_eq!(here.open_presence(&beside, &presence), refused);
    assert_eq!(here.open_post(&presence), refused);
    assert_eq!(here.open_presence(&slot, &post), refused);
    for other in [mailbox(1, 1, 2), mailbox(1, 2, 1), mailbox(2, 1, 1)] {
        assert_eq!(other.open_post(&post), refused);
        assert_eq!(other.open_presence(&slot, &presence), refused);
    }
}

#[test]
fn what_a_member_pads_wrongly_is_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let here = mailbox(1, 1, 1);
    let seal =
        |text: &[u8], rng: &mut ChaCha20Rng| here.seal.seal(&here.aad(None), text, rng).unwrap();
    let good = plaintext(&letter(vec![1; 10]), PRESENCE - DATA_OVERHEAD);
    assert!(here.open_post(&seal(&good, rng)).is_ok());
    let mut padded = good.to_vec();
    *padded.last_mut().unwrap() = 1;
    assert!(here.open_post(&seal(&padded, rng)).is_err());
    let mut long = good.to_vec();
    long[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(here.open_post(&seal(&long, rng)).is_err());
    let short = &good[..good.len() - 1];
    assert!(
        here.open_post(&seal(short, rng)).is_err(),
        "of no bucket's length"
    );
    assert!(here.open_post(&[]).is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(4);
    let here = mailbox(1, 1, 1);
    let slot = here.slot(&DeviceId::from_bytes([1; 32]));
    assert!(here.seal_post(&letter(vec![0; MAX_POST]), rng).is_ok());
    assert_eq!(
        here.seal_post(&letter(vec![0; MAX_POST + 1]), rng),
        Err(EnvelopeError::TooLong {
            len: MAX_POST + 1,
            max: MAX_POST
        })
    );
    assert!(
        here.seal_presence(&slot, &letter(vec![0; MAX_PRESENCE]), rng)
            .is_ok()
    );
    assert!(
        here.seal_presence(&slot, &letter(vec![0; MAX_PRESENCE + 1]), rng)
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn is_read_as_it_was_written(seed: u64, made: u64, seen: u64, content in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let here = mailbox(1, 1, 1);
        let letter = Letter { made, seen, content };
        let sealed = here.seal_post(&letter, rng).unwrap();
        prop_assert!(BUCKETS.contains(&sealed.len()));
        let least = BUCKETS.iter().find(|bucket| letter.content.len() + HEAD + DATA_OVERHEAD <= **bucket);
        prop_assert_eq!(Some(&sealed.len()), least);
        prop_assert_eq!(here.open_post(&sealed).unwrap(), letter);
        let at = seed as usize % sealed.len();
        let mut altered = sealed;
        altered[at] ^= 1;
        prop_assert_eq!(here.open_post(&altered), Err(EnvelopeError::Open));
    }
}
