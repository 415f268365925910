//! Who recognises whom: devices that were away while somebody was removed, and those who are out themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[allow(dead_code)]
#[path = "vectors/replica.rs"]
mod replica;

use std::collections::BTreeMap;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use replica::Replica;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Removal};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::epoch::EpochKey;
use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncError, SyncEvent};

const DIALS: TransportKey = TransportKey::from_bytes([0x11; 32]);
const DIALLED: TransportKey = TransportKey::from_bytes([0x22; 32]);

fn keys(number: u8) -> DeviceKeys {
    DeviceKeys::from_secret(&Secret::new([number; 64])).unwrap()
}

fn removal(device: &DeviceKeys) -> Box<Removal> {
    Box::new(Removal {
        device: device.id(),
        lines: Vec::new(),
    })
}

fn say(log: &mut IdentityLog, body: &Body, signer: &DeviceKeys) {
    let entry = log.sign(body, signer).unwrap();
    log.insert(entry).unwrap();
}

/// A twin with a phone, an admin 2 and members 3 and 4; all know each other.
fn twin(seed: u8) -> (IdentityLog, DeviceKeys) {
    let words = RecoverySecret::from_bytes([seed; 32]);
    let birth = Birth::new(&words, &mut ChaCha20Rng::from_seed([seed; 32])).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    for (number, role) in [(2, Role::Admin), (3, Role::Member), (4, Role::Member)] {
        let statement = keys(number).statement(log.twin(), role);
        say(
            &mut log,
            &Body::AddDevice(Box::new(statement)),
            &birth.device,
        );
    }
    (log, birth.device)
}

/// A replica that finds others by this epoch's key.
fn replica(keys: DeviceKeys, log: &IdentityLog, epoch: u8) -> Replica {
    Replica {
        keys,
        log: log.clone(),
        discovery: EpochKey::new(Secret::new([epoch; 32])).discovery(),
        past: Vec::new(),
        grants: BTreeMap::new(),
        logs: BTreeMap::new(),
        chunks: BTreeMap::new(),
        wanted: Vec::new(),
    }
}

type Talk = [Vec<Vec<u8>>; 2];
type Ends = [Result<(), SyncError>; 2];

/// Lets two replicas meet. Returns what each said, and how it ended for each; `tamper` sees each frame on its way, by who
/// said it.
fn meet(
    one: &mut Replica,
    two: &mut Replica,
    seed: u64,
    mut tamper: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> (Talk, Ends, [Vec<SyncEvent>; 2]) {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let begin = |side, me, peer, rng: &mut ChaCha20Rng| {
        Session::<Replica>::new(side, me, peer, Stay::UntilInSync, 0, rng)
    };
    let mut sessions = [
        begin(Side::Initiator, DIALS, DIALLED, rng),
        begin(Side::Responder, DIALLED, DIALS, rng),
    ];
    let stores = [one, two];
    let (mut talk, mut ends) = (Talk::default(), [Ok(()), Ok(())]);
    loop {
        let mut quiet = true;
        for from in [0, 1] {
            let (to, said) = (1 - from, sessions[from].next_frame(0, stores[from]));
            // What was said before it ended still arrives.
            if let Some(frame) = said.unwrap() {
                quiet = false;
                talk[from].push(frame.clone());
                if ends[to].is_ok() {
                    let frame = tamper(from, frame);
                    ends[to] = sessions[to].receive(0, &frame, stores[to]);
                }
            }
        }
        if quiet {
            break;
        }
    }
    let events = sessions.map(|mut session| std::iter::from_fn(|| session.next_event()).collect());
    (talk, ends, events)
}

fn as_it_is(_: usize, frame: Vec<u8>) -> Vec<u8> {
    frame
}

fn lengths(talk: &[Vec<u8>]) -> Vec<usize> {
    talk.iter().map(Vec::len).collect()
}

#[test]
fn a_device_that_was_away_catches_up() {
    let (mut log, phone) = twin(1);
    let before = log.clone();
    say(&mut log, &Body::Revoke(removal(&keys(4))), &phone);
    let mut away = replica(keys(3), &before, 1);
    let mut here = replica(phone, &log, 2);
    let (talk, ends, events) = meet(&mut away, &mut here, 1, as_it_is);
    assert_eq!(ends, [Ok(()), Ok(())]);
    assert!(talk[0].len() > 4);
    assert_eq!(away.log.digest(), log.digest());
    assert!(events[0].contains(&SyncEvent::Met(here.keys.id())));
    assert!(events[1].contains(&SyncEvent::Met(away.keys.id())));
    assert!(
        events
            .iter()
            .all(|events| events.contains(&SyncEvent::InSync))
    );
}

#[test]
fn two_admins_who_have_each_removed_somebody_meet() {
    let (log, phone) = twin(1);
    let [mut one, mut two] = [log.clone(), log];
    say(&mut one, &Body::Revoke(removal(&keys(3))), &phone);
    say(&mut two, &Body::Revoke(removal(&keys(4))), &keys(2));
    let mut one = replica(phone, &one, 1);
    let mut two = replica(keys(2), &two, 2);
    let (_, ends, _) = meet(&mut one, &mut two, 1, as_it_is);
    assert_eq!(ends, [Ok(()), Ok(())]);
    assert_eq!(one.log.digest(), two.log.digest());
    assert_eq!(one.log.devices().len(), 2);
}

/// Nor is there anything in what it hears that a device of another twin would not hear.
#[test]
fn whoever_is_out_learns_no_more_than_a_stranger() {
    let (log, phone) = twin(1);
    let (other, _) = twin(2);
    let bodies = [
        Body::Revoke(removal(&keys(3))),
        Body::Suspend(removal(&keys(3))),
    ];
    for body in bodies {
        let mut now = log.clone();
        say(&mut now, &body, &phone);
        let secret = phone.to_secret();
        let phone = || DeviceKeys::from_secret(&secret).unwrap();
        let mut here = replica(phone(), &now, 2);
        // What it names itself under can be opened here, and is not answered.
        here.past = vec![1];
        let mut out = replica(keys(3), &log, 1);
        let (heard, ends, events) = meet(&mut here, &mut out, 1, as_it_is);
        assert_eq!(ends[0], Err(SyncError::Stranger));
        assert!(events.iter().all(Vec::is_empty), "{events:?}");
        let mut stranger = replica(keys(3), &other, 3);
        let (to_stranger, ends, _) = meet(&mut here, &mut stranger, 1, as_it_is);
        assert_eq!(ends[0], Err(SyncError::Stranger));
        assert_eq!(lengths(&heard[0]), lengths(&to_stranger[0]));
        let devices = now.devices().keys().map(|id| id.as_bytes().to_vec());
        let entries = now.entries().keys().map(|id| id.as_bytes().to_vec());
        let ids: Vec<_> = devices.chain(entries).collect();
        for frame in &heard[0] {
            for id in &ids {
                assert!(
                    !frame
                        .windows(16)
                        .any(|window| id.windows(16).any(|id| id == window))
                );
            }
        }
        // Even one that still has the key by which devices find each other now.
        let mut out = replica(keys(3), &log, 2);
        let (_, ends, events) = meet(&mut here, &mut out, 1, as_it_is);
        assert_eq!(ends[0], Err(SyncError::NotLinked));
        assert!(events[0].is_empty());
    }
}

/// A phone is brought back from a backup that is older than all other devices, and somebody was removed since: it knows
/// nobody, and has a key that was theirs.
#[test]
fn a_phone_that_was_set_back_is_recognised() {
    let (log, phone) = twin(1);
    let mut before = IdentityLog::new(log.genesis().clone());
    let first = log.entries().values().min_by_key(|entry| entry.place.seq);
    before.insert((**first.unwrap()).clone()).unwrap();
    let mut now = log.clone();
    say(&mut now, &Body::Revoke(removal(&keys(4))), &phone);
    for phone_dials in [true, false] {
        let secret = phone.to_secret();
        let mut back = replica(DeviceKeys::from_secret(&secret).unwrap(), &before, 1);
        let mut here = replica(keys(3), &now, 2);
        here.past = vec![7, 1];
        let (one, two) = if phone_dials {
            (&mut back, &mut here)
        } else {
            (&mut here, &mut back)
        };
        let (_, ends, events) = meet(one, two, 1, as_it_is);
        assert_eq!(ends, [Ok(()), Ok(())]);
        let all: Vec<_> = events.iter().flatten().collect();
        for device in [&phone, &keys(3)] {
            assert!(all.contains(&&SyncEvent::Met(device.id())));
        }
        assert_eq!(back.log.digest(), now.digest());
        // Without the key of before they are strangers, and so is one that is linked by nobody.
        let mut back = replica(DeviceKeys::from_secret(&secret).unwrap(), &before, 1);
        here.past.clear();
        let (_, ends, _) = meet(&mut back, &mut here, 1, as_it_is);
        assert_eq!(ends, [Err(SyncError::Stranger), Err(SyncError::Stranger)]);
        here.past = vec![1];
        let mut nobody = replica(keys(9), &before, 1);
        let (_, ends, _) = meet(&mut nobody, &mut here, 1, as_it_is);
        assert_eq!(ends, [Err(SyncError::Stranger), Err(SyncError::Stranger)]);
    }
}

#[test]
fn a_name_is_worth_nothing_elsewhere() {
    let (log, phone) = twin(1);
    let mut before = IdentityLog::new(log.genesis().clone());
    let first = log.entries().values().min_by_key(|entry| entry.place.seq);
    before.insert((**first.unwrap()).clone()).unwrap();
    let secret = phone.to_secret();
    let back = || replica(DeviceKeys::from_secret(&secret).unwrap(), &before, 1);
    let mut here = replica(keys(3), &log, 2);
    here.past = vec![1];
    // The fifth frame of each is its name, or its device; the names come after the tags.
    let is_name = |frame: &[u8]| frame.get(1) == Some(&16);
    let mut old = Vec::new();
    let (_, ends, _) = meet(&mut back(), &mut here, 1, |from, frame| {
        if from == 0 && is_name(&frame) {
            old = frame.clone();
        }
        frame
    });
    assert_eq!(ends, [Ok(()), Ok(())]);
    assert!(!old.is_empty(), "it has named itself");
    let mut here = replica(keys(3), &log, 2);
    here.past = vec![1];
    // From the session before, and sent back.
    let (_, ends, _) = meet(&mut back(), &mut here, 2, |from, frame| {
        if from == 0 && is_name(&frame) {
            old.clone()
        } else {
            frame
        }
    });
    assert_eq!(ends[1], Err(SyncError::Stranger));
    let mut own = Vec::new();
    let (_, ends, _) = meet(&mut here, &mut back(), 3, |from, frame| {
        match (from, is_name(&frame)) {
            (0, true) => own = frame.clone(),
            (1, true) if !own.is_empty() => return own.clone(),
            _ => {}
        }
        frame
    });
    assert_eq!(ends[0], Err(SyncError::Stranger));
}

#[test]
fn tags_are_worth_nothing_when_they_come_back_or_come_again() {
    let (log, phone) = twin(1);
    let mut here = replica(phone, &log, 1);
    let mut away = replica(keys(3), &log, 2);
    let is_tags = |frame: &[u8]| frame.len() > 64 * 16;
    let (first, ends, _) = meet(&mut here, &mut away, 1, as_it_is);
    assert_eq!(ends, [Ok(()), Ok(())]);
    let old = first[1]
        .iter()
        .find(|frame| is_tags(frame))
        .unwrap()
        .clone();
    // From the session before.
    let (_, ends, _) = meet(&mut here, &mut away, 2, |from, frame| {
        if from == 1 && is_tags(&frame) {
            old.clone()
        } else {
            frame
        }
    });
    assert_eq!(ends[0], Err(SyncError::Stranger));
    // Its own, from this one.
    let mut own = Vec::new();
    let (_, ends, _) = meet(&mut here, &mut away, 3, |from, frame| {
        match (from, is_tags(&frame)) {
            (0, true) => own = frame.clone(),
            (1, true) if !own.is_empty() => return own.clone(),
            _ => {}
        }
        frame
    });
    assert_eq!(ends[0], Err(SyncError::Stranger));
}
