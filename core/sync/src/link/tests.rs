#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Line, Removal, Rotate};
use twin_identity::device::{DeviceKeys, DeviceStatement, Role};
use twin_identity::log::IdentityLog;
use twin_identity::words::RecoverySecret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::space::SpaceName;

use super::new_device::{Joining, Progress, Waiting};
use super::offer::{OFFER_LIFE, Offer};
use super::phone::{self, Inviter, Unconfirmed};
use super::recovering::{self, Answer, Material, Recovering};
use super::{Abort, LinkError};
use crate::transport::TransportKey;

pub(super) struct Twin {
    pub log: IdentityLog,
    pub device: DeviceKeys,
    pub rng: ChaCha20Rng,
}

pub(super) fn twin(seed: u64) -> Twin {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let birth = Birth::new(&RecoverySecret::random(&mut rng), &mut rng).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    Twin {
        log,
        device: birth.device,
        rng,
    }
}

pub(super) const PHONE: TransportKey = TransportKey::from_bytes([1; 32]);
pub(super) const NEW: TransportKey = TransportKey::from_bytes([2; 32]);
pub(super) const THIEF: TransportKey = TransportKey::from_bytes([3; 32]);

fn waiting(rng: &mut ChaCha20Rng) -> (Waiting, String) {
    let offer = Offer::new(&NEW, [vec![127, 0, 0, 1, 0, 80]], 0, rng);
    let text = offer.to_text();
    (
        Waiting::new(offer, DeviceKeys::random(rng).unwrap(), NEW),
        text,
    )
}

pub(super) fn inviter(twin: &Twin) -> Inviter {
    Inviter {
        twin: *twin.log.twin(),
        name: "Ada".to_owned(),
        device: twin.device.id(),
    }
}

fn meet(twin: &mut Twin) -> (Joining, Unconfirmed) {
    let (waiting, text) = waiting(&mut twin.rng);
    let offer = Offer::parse(&text).unwrap();
    let (hello, greeted) = phone::invite(offer, &PHONE, &NEW, inviter(twin)).unwrap();
    let (keys, committed) = waiting
        .receive_hello(1, &PHONE, &hello, &mut twin.rng)
        .unwrap_or_else(|refused| panic!("{}", refused.error));
    let (phone_nonce, phone) = greeted.receive_keys(&keys, &mut twin.rng).unwrap();
    let (new_nonce, joining) = committed.receive_nonce(&phone_nonce).unwrap();
    (joining, phone.receive_nonce(&new_nonce).unwrap())
}

pub(super) fn grant_to(
    twin: &mut Twin,
    new: &twin_identity::device::DeviceStatement,
) -> Vec<Vec<u8>> {
    let body = Body::AddDevice(Box::new(new.clone()));
    let entry = twin.log.sign(&body, &twin.device);
    twin.log.insert(entry.unwrap()).unwrap();
    let keys = [GrantedKey {
        space: SpaceName::members(),
        key: EpochKey::random(&mut twin.rng),
        predecessor: None,
        base: twin.log.base(),
        heads: twin.log.heads(),
    }];
    let to = Recipients::One(&new.device.id);
    let grant = Grant::new(&twin.log, 0, &keys, &to, &twin.device, &mut twin.rng).unwrap();
    vec![grant.to_bytes().to_vec()]
}

#[test]
fn the_whole_way() {
    let mut twin = twin(1);
    let (mut joining, unconfirmed) = meet(&mut twin);
    assert_eq!(joining.twin(), twin.log.twin());
    assert_eq!(joining.twin_name(), "Ada");
    let confirmed = unconfirmed
        .confirm(&joining.code().to_string())
        .ok()
        .unwrap();
    let statement = confirmed.statement(Role::Member, Some(9));
    let grants = grant_to(&mut twin, &statement);
    let mut frames = confirmed.admit(&twin.log, &grants).into_iter();
    let admitted = loop {
        match joining.receive(&frames.next().unwrap()).unwrap() {
            Progress::More(next) => joining = *next,
            Progress::Admitted(admitted) => break admitted,
            Progress::Material(_) => panic!("nobody has asked for help"),
        }
    };
    assert_eq!(admitted.log.digest(), twin.log.digest());
    let keys = admitted.grants[0]
        .open(&admitted.log, &admitted.keys)
        .unwrap();
    assert_eq!(keys.len(), 1);
    confirmed.receive_done(&admitted.done()).unwrap();
}

fn material(mut joining: Joining, frames: Vec<Vec<u8>>) -> Box<Material> {
    for frame in frames {
        match joining.receive(&frame).unwrap() {
            Progress::More(next) => joining = *next,
            Progress::Material(material) => return material,
            Progress::Admitted(_) => panic!("nobody was admitted"),
        }
    }
    panic!("something is missing")
}

#[test]
fn who_recovers_gets_what_it_needs_and_comes_in_by_a_rotation_of_its_own() {
    let mut twin = twin(11);
    let words = RecoverySecret::random(&mut ChaCha20Rng::seed_from_u64(11));
    let (joining, unconfirmed) = meet(&mut twin);
    let code = joining.code().to_string();
    let confirmed = unconfirmed.confirm(&code).ok().unwrap();
    let other = DeviceKeys::random(&mut twin.rng).unwrap();
    let statement = other.statement(twin.log.twin(), Role::Member);
    let grants = grant_to(&mut twin, &statement);
    let lines = vec![Removal {
        device: other.id(),
        lines: vec![Line {
            log: [5; 32],
            height: 3,
            head: [6; 32],
        }],
    }];
    let material = material(joining, confirmed.help(&twin.log, &lines));
    assert_eq!(material.log.digest(), twin.log.digest());
    assert_eq!(material.lines, lines);

    let rotate = |devices: Vec<DeviceStatement>| {
        let rotate = Rotate {
            authority: words.authority(1).public(),
            next: words.authority(2).public().hash(),
            recovery: words.sealing().public().unwrap(),
            generation: 0,
            devices,
            keeps: Vec::new(),
            guardians: None,
            removals: Vec::new(),
            roots: None,
        };
        material.log.rotate(rotate, &words.authority(1)).unwrap()
    };
    let entry = rotate(vec![material.keys.statement(twin.log.twin(), Role::Admin)]);
    let taken = confirmed
        .receive_rotation(&recovering::rotation(&entry))
        .unwrap();
    assert_eq!(taken.id, entry.id);
    assert_eq!(twin.log.insert(taken), Ok(true));
    let mut frames = confirmed.provide(&grants).into_iter();
    let frame = frames.next().unwrap();
    let Answer::More(more) = Recovering::default()
        .receive(&material.log, &frame)
        .unwrap()
    else {
        panic!("the helper is not done");
    };
    let Answer::Grants(got) = more
        .receive(&material.log, &frames.next().unwrap())
        .unwrap()
    else {
        panic!("the helper is done");
    };
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].to_bytes(), grants[0]);

    // Nobody else comes in over this link, and what is no rotation ends it.
    let stranger = DeviceKeys::random(&mut twin.rng).unwrap();
    let entry = rotate(vec![stranger.statement(twin.log.twin(), Role::Admin)]);
    let refused = confirmed.receive_rotation(&recovering::rotation(&entry));
    assert_eq!(refused.err(), Some(LinkError::NotAdmitted));
    let refused = confirmed.receive_rotation(&frame);
    assert_eq!(refused.err(), Some(LinkError::Unexpected));
    let refused = Recovering::default().receive(&material.log, &recovering::rotation(&entry));
    assert_eq!(refused.err(), Some(LinkError::Unexpected));
}

#[test]
fn a_wrong_code_ends_the_link_on_both_sides() {
    let mut twin = twin(2);
    let (joining, unconfirmed) = meet(&mut twin);
    let Err(last) = unconfirmed.confirm("000 000x") else {
        panic!("a wrong code was taken");
    };
    assert_eq!(
        joining.receive(&last).err(),
        Some(LinkError::Aborted(Abort::WrongCode))
    );
}

#[test]
fn whoever_has_not_seen_the_code_is_refused_and_the_offer_stands() {
    let mut twin = twin(3);
    let (waiting, _) = waiting(&mut twin.rng);
    let other = Offer::new(&NEW, [], 0, &mut twin.rng);
    let (hello, _) = phone::invite(other, &PHONE, &NEW, inviter(&twin)).unwrap();
    let refused = waiting
        .receive_hello(1, &PHONE, &hello, &mut twin.rng)
        .err()
        .unwrap();
    assert_eq!(refused.error, LinkError::NotProven);
    let text = refused.waiting.offer().to_text();
    let (hello, _) =
        phone::invite(Offer::parse(&text).unwrap(), &PHONE, &NEW, inviter(&twin)).unwrap();
    let relayed = refused
        .waiting
        .receive_hello(1, &THIEF, &hello, &mut twin.rng);
    let refused = relayed.err().unwrap();
    assert_eq!(
        refused.error,
        LinkError::NotProven,
        "bound to the connection"
    );
    assert!(
        refused
            .waiting
            .receive_hello(1, &PHONE, &hello, &mut twin.rng)
            .is_ok()
    );
}

#[test]
fn an_offer_expires_by_the_timer_of_its_maker() {
    let mut twin = twin(4);
    let (waiting, text) = waiting(&mut twin.rng);
    let (hello, _) =
        phone::invite(Offer::parse(&text).unwrap(), &PHONE, &NEW, inviter(&twin)).unwrap();
    let late = waiting.receive_hello(OFFER_LIFE + 1, &PHONE, &hello, &mut twin.rng);
    assert_eq!(late.err().unwrap().error, LinkError::Expired);
}

#[test]
fn the_phone_talks_only_to_the_device_that_shows_the_code() {
    let mut twin = twin(5);
    let (_, text) = waiting(&mut twin.rng);
    let offer = Offer::parse(&text).unwrap();
    let refused = phone::invite(offer, &PHONE, &THIEF, inviter(&twin));
    assert_eq!(refused.err(), Some(LinkError::OtherDevice));
}

#[test]
fn a_log_without_this_device_or_of_another_twin_admits_nobody() {
    let mut ours = twin(6);
    let mut other = twin(7);
    for from_other in [false, true] {
        let (mut joining, unconfirmed) = meet(&mut ours);
        let confirmed = unconfirmed
            .confirm(&joining.code().to_string())
            .ok()
            .unwrap();
        let stranger = DeviceKeys::random(&mut ours.rng).unwrap();
        let sender = if from_other { &mut other } else { &mut ours };
        let statement = stranger.statement(&sender.log.twin().clone(), Role::Member);
        let grants = grant_to(sender, &statement);
        let mut result = Ok(());
        for frame in confirmed.admit(&sender.log, &grants) {
            match joining.receive(&frame) {
                Ok(Progress::More(next)) => joining = *next,
                Ok(_) => panic!("admitted"),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let expected = if from_other {
            LinkError::OtherTwin
        } else {
            LinkError::NotAdmitted
        };
        assert_eq!(result, Err(expected));
    }
}

/// A box between the two (it has photographed the QR code) runs a link of its own with each side. The nonces are
/// committed to before they are shown, so it cannot make the two codes equal.
#[test]
fn the_codes_of_two_links_differ() {
    let mut twin = twin(8);
    let (one, _) = meet(&mut twin);
    let (two, _) = meet(&mut twin);
    assert_ne!(one.code(), two.code());
}
