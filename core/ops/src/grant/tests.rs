#![allow(clippy::unwrap_used)]

use super::*;

/// A grant with so many heads and recipients; nobody has signed it.
fn grant(heads: usize, wraps: usize) -> Vec<u8> {
    let id = |n: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        id
    };
    let body = RawGrant {
        version: VERSION,
        suite: SUITE,
        kind: GRANT_TYPE,
        heads: (0..heads).map(|n| EntryId::from_bytes(id(n))).collect(),
        signer: DeviceId::from_bytes(id(0)),
        members: Vec::new(),
        admins: Vec::new(),
        wraps: (0..wraps)
            .map(|n| Wrap {
                to: Recipient::Device(DeviceId::from_bytes(id(n))),
                sealed: Vec::new(),
            })
            .collect(),
        base: EntryId::from_bytes(id(0)),
    };
    cbor::encode(&SignedGrant {
        grant: cbor::encode(&body),
        signature: [0; 64],
    })
}

#[test]
fn heads_and_recipients_are_counted() {
    assert_eq!(MAX_WRAPS, 194);
    for (heads, wraps) in [(0, 1), (MAX_PREVS, MAX_WRAPS)] {
        assert!(Grant::from_bytes(&grant(heads, wraps)).is_ok());
    }
    for (heads, wraps) in [(MAX_PREVS + 1, 1), (1, MAX_WRAPS + 1)] {
        let refused = Grant::from_bytes(&grant(heads, wraps)).err();
        assert_eq!(refused, Some(GrantError::TooLarge));
    }
    assert!(Grant::from_bytes(&grant(1, 0)).is_err());
}
