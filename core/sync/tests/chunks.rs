//! Content of files in a session: who keeps to the rules, and what becomes of who does not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[allow(dead_code)]
#[path = "vectors/replica.rs"]
mod replica;

use std::collections::BTreeMap;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use replica::Replica;
use twin_identity::birth::Birth;
use twin_identity::body::Body;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::epoch::EpochKey;
use twin_ops::file::{ChunkId, MAX_SEALED_CHUNK};
use twin_ops::space::SpaceName;
use twin_ops::store::{ChunkName, MAX_ASKED};
use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncError, SyncEvent};

const KEYS: [TransportKey; 2] = [
    TransportKey::from_bytes([0x11; 32]),
    TransportKey::from_bytes([0x22; 32]),
];

/// Two devices that hold the same records: the first has `chunks`, the second wants them.
fn devices(chunks: usize) -> [Replica; 2] {
    let words = RecoverySecret::from_bytes([1; 32]);
    let birth = Birth::new(&words, &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
    let mut log = twin_identity::log::IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    let other = DeviceKeys::from_secret(&Secret::new([3; 64])).unwrap();
    let statement = other.statement(log.twin(), Role::Member);
    let body = Body::AddDevice(Box::new(statement));
    let entry = log.sign(&body, &birth.device).unwrap();
    log.insert(entry).unwrap();
    let space = SpaceName::new("home").unwrap().id(log.twin());
    let all = (0..chunks).map(|number| {
        let mut sealed = vec![0; MAX_SEALED_CHUNK];
        sealed[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let id = ChunkId::of(&sealed);
        (ChunkName { space, id }, sealed)
    });
    let chunks: BTreeMap<ChunkName, Vec<u8>> = all.collect();
    let replica = |keys, chunks, wanted| Replica {
        keys,
        log: log.clone(),
        discovery: EpochKey::new(Secret::new([4; 32])).discovery(),
        past: Vec::new(),
        grants: BTreeMap::new(),
        logs: BTreeMap::new(),
        chunks,
        wanted,
    };
    let wanted = chunks.keys().copied().collect();
    [
        replica(birth.device, chunks, Vec::new()),
        replica(other, BTreeMap::new(), wanted),
    ]
}

fn session(side: Side) -> Session<Replica> {
    let me = usize::from(side == Side::Responder);
    let rng = &mut ChaCha20Rng::seed_from_u64(me as u64);
    Session::new(side, KEYS[me], KEYS[1 - me], Stay::UntilInSync, 0, rng)
}

/// Of each side: how its session went, what it told, and whether it has ended.
type Ends = ([Result<(), SyncError>; 2], [Vec<SyncEvent>; 2], [bool; 2]);

/// Lets both talk; `pass` sees each frame on its way, by who said it, and gives what arrives. Returns how it ended for
/// each, and what each was told.
fn talk(
    stores: &mut [Replica; 2],
    mut sessions: [Session<Replica>; 2],
    mut pass: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>,
) -> Ends {
    let mut ends = [Ok(()), Ok(())];
    loop {
        let mut quiet = true;
        for from in [0, 1] {
            let to = 1 - from;
            if ends[from].is_err() {
                continue;
            }
            if let Some(frame) = sessions[from].next_frame(0, &mut stores[from]).unwrap() {
                quiet = false;
                for frame in pass(from, frame) {
                    if ends[to].is_ok() {
                        ends[to] = sessions[to].receive(0, &frame, &mut stores[to]);
                    }
                }
            }
        }
        if quiet {
            break;
        }
    }
    let finished = [0, 1].map(|side| sessions[side].is_finished());
    let events = sessions.map(|mut session| std::iter::from_fn(|| session.next_event()).collect());
    (ends, events, finished)
}

fn both() -> [Session<Replica>; 2] {
    [session(Side::Initiator), session(Side::Responder)]
}

/// Chunks are in it, not only their names.
fn is_chunks(frame: &[u8]) -> bool {
    frame.len() > MAX_SEALED_CHUNK
}

#[test]
fn all_comes_in_frames_and_asks_of_a_bounded_size() {
    let count = 3 * MAX_ASKED + 5;
    let mut stores = devices(count);
    let (mut asked, mut most) = (0, 0);
    let (ends, events, finished) = talk(&mut stores, both(), |from, frame| {
        assert!(
            frame.len() < (1 << 20) / 2,
            "records have a chance in between"
        );
        if from == 1 && frame.first() == Some(&0x82) && frame.get(1) == Some(&0x0c) {
            asked += 1;
            most = most.max(frame.len());
        }
        vec![frame]
    });
    assert_eq!(ends, [Ok(()), Ok(())]);
    assert_eq!(finished, [true, true]);
    assert_eq!(stores[0].chunks, stores[1].chunks);
    assert!(
        asked > 3 && most < 70 * MAX_ASKED,
        "{asked} asks, at most {most} bytes"
    );
    assert!(events[0].contains(&SyncEvent::InSync));
    let came = events[1].iter().map(|event| match event {
        SyncEvent::Content { chunks, .. } => *chunks,
        _ => 0,
    });
    assert_eq!(came.sum::<usize>(), count);
}

#[test]
fn what_comes_twice_was_asked_for_once() {
    let mut stores = devices(3);
    let (ends, ..) = talk(&mut stores, both(), |_, frame| {
        if is_chunks(&frame) {
            vec![frame.clone(), frame]
        } else {
            vec![frame]
        }
    });
    let said = "it sent a chunk that nobody asked for";
    assert_eq!(ends[1], Err(SyncError::Content(said)));
}

#[test]
fn bytes_are_those_that_were_asked_for() {
    let mut stores = devices(3);
    let (ends, ..) = talk(&mut stores, both(), |_, mut frame| {
        if is_chunks(&frame) {
            let last = frame.len() - 1;
            frame[last] ^= 1;
        }
        vec![frame]
    });
    let said = "the bytes of a chunk are not what was asked for";
    assert_eq!(ends[1], Err(SyncError::Content(said)));
    assert!(stores[1].chunks.is_empty(), "all of a frame or nothing");
}

#[test]
fn nobody_asks_for_more_than_is_allowed_at_once() {
    let mut stores = devices(MAX_ASKED);
    let (ends, ..) = talk(&mut stores, both(), |from, frame| {
        // The first question, of as many as are allowed, again.
        if from == 1 && frame.len() > 60 * MAX_ASKED && !is_chunks(&frame) {
            vec![frame.clone(), frame]
        } else {
            vec![frame]
        }
    });
    let said = "it asked for too many chunks at once";
    assert_eq!(ends[0], Err(SyncError::Content(said)));
}

#[test]
fn who_wants_records_only_asks_for_nothing() {
    let mut stores = devices(3);
    let [one, two] = both();
    let (ends, events, finished) = talk(&mut stores, [one, two.records_only()], |_, frame| {
        vec![frame]
    });
    assert_eq!((ends, finished), ([Ok(()), Ok(())], [true, true]));
    assert!(stores[1].chunks.is_empty());
    assert!(
        !events[1]
            .iter()
            .any(|event| matches!(event, SyncEvent::Wanting { .. }))
    );
}

#[test]
fn what_is_not_there_is_told() {
    let mut stores = devices(3);
    let gone = *stores[0].chunks.first_key_value().unwrap().0;
    stores[0].chunks.remove(&gone);
    let (ends, events, finished) = talk(&mut stores, both(), |_, frame| vec![frame]);
    assert_eq!((ends, finished), ([Ok(()), Ok(())], [true, true]));
    assert_eq!(stores[1].chunks.len(), 2);
    assert_eq!(events[1].last(), Some(&SyncEvent::Wanting { chunks: 1 }));
}

#[test]
fn nobody_asks_before_the_handshake() {
    // `[12, [[]]]` and `[13, [[]]]`
    for number in [0x0c, 0x0d] {
        let mut stores = devices(0);
        let frame = [0x82, number, 0x81, 0x80];
        let said = session(Side::Initiator).receive(0, &frame, &mut stores[0]);
        assert_eq!(said, Err(SyncError::Unexpected));
    }
}
