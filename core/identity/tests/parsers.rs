//! Every reader of bytes answers for any bytes, and what it accepts it writes back as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::OnceLock;

use common::{device, twin, up_to, words};
use proptest::prelude::*;
use twin_identity::body::Body;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::TwinId;
use twin_identity::log::IdentityLog;
use twin_identity::proof;

/// A twin id and a log with an entry of each body.
fn sample() -> &'static (TwinId, IdentityLog) {
    static SAMPLE: OnceLock<(TwinId, IdentityLog)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut twin = twin(1);
        let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
        twin.add(&device(2), Role::Member);
        twin.says(&phone, &Body::Suspend(up_to(&device(2), &[(1, 2)])))
            .unwrap();
        twin.says(&phone, &Body::Resume(device(2).id())).unwrap();
        twin.says(&phone, &Body::Revoke(up_to(&device(2), &[(1, 2)])))
            .unwrap();
        twin.says(&phone, &Body::Raise(up_to(&device(2), &[(1, 3)])))
            .unwrap();
        twin.rotates(twin.rotation(1, &words(1)), &words(1), 1)
            .unwrap();
        twin.says(&phone, &Body::Acknowledge).unwrap();
        (twin.id(), twin.log)
    })
}

const NOW: u64 = 1_700_000_000_000;

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
        // Only what cannot be verified, as it is of a later version, may come instead of the last entry.
        assert!(read.needs_update() || read.digest() == log.digest());
    }
    if let Ok(checked) = proof::check(twin, bytes, None, NOW) {
        assert_eq!(checked.digest, log.digest());
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
    fn almost_an_entry(edits in edits(), which in 0usize..8) {
        let entry = sample().1.entries().values().nth(which).unwrap();
        read_all(&altered(entry.to_bytes(), &edits));
    }

    #[test]
    fn almost_a_log(edits in edits()) {
        read_all(&altered(&sample().1.to_bytes(), &edits));
    }

    #[test]
    fn almost_a_proof(edits in edits()) {
        let phone = twin(1).phone;
        let proof = proof::prove(&sample().1, &phone, NOW).unwrap();
        prop_assert!(proof::check(&sample().0, &proof, None, NOW).is_ok());
        read_all(&altered(&proof, &edits));
    }
}
