#![allow(clippy::unwrap_used)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;

use twin_identity::secret::Secret;

use super::*;
use crate::epoch::EpochKey;

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

/// A section with so many keys, each begun at so many heads.
fn keys_of_section(keys: usize, heads: usize) -> Result<usize, GrantError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let twin = TwinId::from_bytes(&[1; 33]).unwrap();
    let secret = [2; 32];
    let granted: Vec<GrantedKey> = (0..keys)
        .map(|_| GrantedKey {
            space: SpaceName::members(),
            key: EpochKey::random(rng),
            predecessor: None,
            heads: vec![EntryId::from_bytes([3; 32]); heads],
            base: EntryId::from_bytes([4; 32]),
        })
        .collect();
    let key = DataKey::new(Secret::new(secret));
    let sealed = section::seal(&key, Audience::Members, &twin, &granted, rng)?;
    section::open(&secret, Audience::Members, &twin, &sealed).map(|keys| keys.len())
}

#[test]
fn keys_in_a_section_are_counted() {
    assert_eq!(keys_of_section(MAX_GRANTED_KEYS, 1), Ok(MAX_GRANTED_KEYS));
    assert_eq!(keys_of_section(1, MAX_PREVS), Ok(1));
    for (keys, heads) in [(MAX_GRANTED_KEYS + 1, 1), (1, MAX_PREVS + 1)] {
        assert_eq!(keys_of_section(keys, heads), Err(GrantError::TooLarge));
    }
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

#[test]
fn each_recipient_is_read_as_written() {
    let device = Recipient::Device(DeviceId::from_bytes([5; 32]));
    for to in [device, Recipient::Words, Recipient::Guardians] {
        let bytes = cbor::encode(&to);
        assert_eq!(cbor::decode::<Recipient>(&bytes, 64), Ok(to));
    }
    assert!(cbor::decode::<Recipient>(&[2], 64).is_err());
}
