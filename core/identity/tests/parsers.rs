//! Every reader of bytes answers for any bytes, and what it accepts it writes back as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::OnceLock;

use common::{device, twin};
use proptest::prelude::*;
use twin_identity::device::Role;
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::TwinId;
use twin_identity::log::IdentityLog;

/// A twin id and a log of two entries.
fn sample() -> &'static (TwinId, IdentityLog) {
    static SAMPLE: OnceLock<(TwinId, IdentityLog)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut twin = twin(1);
        twin.add(&device(2), Role::Member);
        (twin.id(), twin.log)
    })
}

/// Something valid with a few bytes replaced, cut out or put in.
fn altered(valid: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for (at, byte, how) in edits {
        let at = at % (bytes.len() + 1);
        match how % 3 {
            0 => bytes.insert(at, *byte),
            1 if at < bytes.len() => bytes[at] = *byte,
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes
}

fn read_all(bytes: &[u8]) {
    let (twin, log) = sample();
    if let Ok(genesis) = Genesis::from_bytes(bytes) {
        assert_eq!(genesis.to_bytes(), bytes);
    }
    if let Ok(entry) = Entry::from_bytes(bytes) {
        assert_eq!(entry.to_bytes(), bytes);
        let _ = log.clone().insert(entry);
    }
    if let Ok(read) = IdentityLog::from_bytes(twin, bytes) {
        assert_eq!(read.digest(), log.digest());
    }
    let _ = TwinId::from_bytes(bytes);
}

fn edits() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec(any::<(usize, u8, u8)>(), 1..4)
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        read_all(&bytes);
    }

    #[test]
    fn almost_a_genesis(edits in edits()) {
        read_all(&altered(&sample().1.genesis().to_bytes(), &edits));
    }

    #[test]
    fn almost_an_entry(edits in edits(), which in 0usize..2) {
        let entry = sample().1.entries().values().nth(which).unwrap();
        read_all(&altered(entry.to_bytes(), &edits));
    }

    #[test]
    fn almost_a_log(edits in edits()) {
        read_all(&altered(&sample().1.to_bytes(), &edits));
    }
}
