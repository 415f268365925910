//! Frames, written down a second time; and frames that are none.

use minicbor::Encoder;
use twin_ops::op::{LogId, Origin};
use twin_sync::machine::MAX_FRAME;
use twin_sync::session::SyncError;

use crate::scene::{Scene, heap, held};

/// A message: its number, and what is in it.
fn message(number: u8, body: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut to = Encoder::new(&mut bytes);
    to.array(2).unwrap().u8(number).unwrap().array(1).unwrap();
    body(&mut to);
    bytes
}

fn list(to: &mut Encoder<&mut Vec<u8>>, items: impl ExactSizeIterator<Item = Vec<u8>>) {
    to.array(items.len() as u64).unwrap();
    items.for_each(|item| _ = to.bytes(&item).unwrap());
}

/// Ids of entries, and of grants and logs with heights and links.
pub fn log_table(ids: &[[u8; 32]]) -> Vec<u8> {
    message(3, |to| list(to, ids.iter().map(|id| id.to_vec())))
}

pub fn table(grants: &[[u8; 32]], rows: &[([u8; 32], u64, [u8; 32])]) -> Vec<u8> {
    message(4, |to| {
        to.map(2).unwrap().u8(3).unwrap();
        list(to, grants.iter().map(|id| id.to_vec()));
        to.u8(4).unwrap().array(rows.len() as u64).unwrap();
        for (log, height, link) in rows {
            to.array(3).unwrap().bytes(log).unwrap();
            to.u64(*height).unwrap().bytes(link).unwrap();
        }
    })
}

pub fn entries(entries: &[Vec<u8>]) -> Vec<u8> {
    message(5, |to| list(to, entries.iter().cloned()))
}

pub fn grants(grants: &[Vec<u8>]) -> Vec<u8> {
    message(6, |to| list(to, grants.iter().cloned()))
}

pub fn ops(origin: &Origin, run: &[Vec<u8>]) -> Vec<u8> {
    message(7, |to| {
        to.map(2).unwrap().u8(3).unwrap();
        to.encode(origin).unwrap().u8(4).unwrap();
        list(to, run.iter().cloned());
    })
}

pub fn ask_links(log: &LogId, after: u64, before: u64) -> Vec<u8> {
    message(14, |to| {
        to.map(3).unwrap().u8(3).unwrap();
        to.bytes(log.as_bytes()).unwrap();
        to.u8(4).unwrap().u64(after).unwrap();
        to.u8(5).unwrap().u64(before).unwrap();
    })
}

/// Chunks of files, with their space and id.
pub fn chunks(pieces: &[([u8; 32], [u8; 32], Vec<u8>)]) -> Vec<u8> {
    message(13, |to| {
        to.array(pieces.len() as u64).unwrap();
        for (space, id, sealed) in pieces {
            to.map(3).unwrap().u8(0).unwrap().bytes(space).unwrap();
            to.u8(1).unwrap().bytes(id).unwrap();
            to.u8(2).unwrap().bytes(sealed).unwrap();
        }
    })
}

/// Bytes like no others.
pub fn some(number: u64) -> [u8; 32] {
    *blake(number).as_bytes()
}

fn blake(number: u64) -> LogId {
    LogId::from_bytes(
        twin_identity::context::HEIGHTS_DIGEST.hash([number.to_be_bytes().as_slice()]),
    )
}

#[test]
fn what_is_no_message_ends_the_session_and_takes_no_memory() {
    let count = |major: u8, count: u32| [&[major << 5 | 26], &count.to_be_bytes()[..]].concat();
    let huge = |major: u8| [&[major << 5 | 27], &[0xff; 8][..]].concat();
    let in_message = |number: u8, rest: Vec<u8>| [vec![0x82, number, 0x81], rest].concat();
    let mut nonsense = vec![
        Vec::new(),
        vec![0; MAX_FRAME + 1],
        vec![0x9f; MAX_FRAME],
        vec![0x81; MAX_FRAME],
        vec![0xff; 100],
    ];
    for number in 3..18 {
        // A list of four billion, of nothing; of as many as there can be, of nothing else but numbers.
        nonsense.push(in_message(number, count(4, u32::MAX)));
        nonsense.push(in_message(number, huge(2)));
        nonsense.push(in_message(number, huge(4)));
        nonsense.push(in_message(number, huge(5)));
        let mut full = in_message(number, count(4, 1_000_000));
        full.resize(MAX_FRAME, 0);
        nonsense.push(full);
    }
    let mut scene = Scene::new();
    for frame in nonsense {
        let mut opened = scene.opened();
        let before = held(&mut scene.phone);
        let (said, peak, _) = heap(|| opened.say(&mut scene.phone, &frame));
        let start = &frame[..frame.len().min(8)];
        assert!(
            matches!(said, Err(SyncError::Format(_) | SyncError::Unexpected)),
            "{start:02x?}: {said:?}"
        );
        assert!(peak < 256 << 10, "{start:02x?} takes {peak} bytes");
        assert_eq!(held(&mut scene.phone), before);
    }
    scene.others_sync();
}
