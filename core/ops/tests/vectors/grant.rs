//! A grant to every device and the words.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use twin_identity::aead::DataKey;
use twin_identity::device::DeviceKeys;
use twin_identity::id::TwinId;
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipient, Recipients};
use twin_ops::space::SpaceName;

use crate::common::device;
use crate::derived;
use crate::golden::{Counter, drawn, hex};

/// Nobody's time runs out.
const NOW: u64 = 1_790_000_000_000;

pub fn grant(log: &IdentityLog, phone: &DeviceKeys, words: &RecoverySecret) -> (Grant, Value) {
    let (before, now) = (
        EpochKey::new(Secret::new([6; 32])),
        EpochKey::new(Secret::new([7; 32])),
    );
    let predecessor = now
        .seal_predecessor(&before, &mut Counter::default())
        .unwrap();
    let keys = [
        GrantedKey {
            space: SpaceName::keys(),
            key: EpochKey::new(Secret::new([5; 32])),
            predecessor: None,
            base: log.base(),
            heads: log.heads(),
        },
        GrantedKey {
            space: SpaceName::new("notes").unwrap(),
            key: now,
            predecessor: Some(predecessor),
            base: log.base(),
            heads: log.heads(),
        },
    ];
    let rng = &mut Counter::default();
    let grant = Grant::new(log, NOW, &keys, &Recipients::All, phone, rng).unwrap();
    assert_eq!(grant.verify(log), Ok(()));
    let opened = |keys: Vec<GrantedKey>| -> Vec<Value> {
        keys.iter()
            .map(
                |key| json!({ "space": key.space.as_str(), "key": hex(key.key.secret().expose()) }),
            )
            .collect()
    };
    let mut rng = Counter::default();
    let (members, admins): ([u8; 32], [u8; 32]) = (drawn(&mut rng), drawn(&mut rng));
    let mut decoder = minicbor::Decoder::new(grant.to_bytes());
    decoder.array().unwrap();
    let unsigned = decoder.bytes().unwrap();
    assert_eq!(*grant.id.as_bytes(), derived("grant", &[unsigned]));
    let fields = byte_strings(unsigned);
    let [members_section, admins_section] = [5, 6].map(|key| fields[&key].clone());
    let len = (members_section.len() as u64).to_be_bytes();
    let aad = derived(
        "grant aad",
        &[
            log.twin().as_bytes(),
            &len,
            &members_section,
            &admins_section,
        ],
    );
    let made = json!({
        "members_section_key": hex(members),
        "admins_section_key": hex(admins),
        "members_section_aad": hex([log.twin().as_bytes().as_slice(), &[0]].concat()),
        "admins_section_aad": hex([log.twin().as_bytes().as_slice(), &[1]].concat()),
        "members_section": hex(&members_section),
        "members_section_plaintext": hex(open_section(&members, 0, log.twin(), &members_section)),
        "admins_section": hex(&admins_section),
        "admins_section_plaintext": hex(open_section(&admins, 1, log.twin(), &admins_section)),
        "wrap_info": hex("digital-twin v1 grant"),
        "wrap_aad": hex(aad),
        "unsigned": hex(unsigned),
        "id": hex(grant.id.as_bytes()),
        "bytes": hex(grant.to_bytes()),
        "opened": {
            "phone": opened(grant.open(log, phone).unwrap()),
            "laptop": opened(grant.open(log, &device(2)).unwrap()),
            "words": opened(grant.open_with(log, Recipient::Words, &words.sealing()).unwrap()),
        },
    });
    (grant, made)
}

fn open_section(key: &[u8; 32], audience: u8, twin: &TwinId, sealed: &[u8]) -> Vec<u8> {
    let key = DataKey::new(Secret::new(*key));
    let aad = [twin.as_bytes().as_slice(), &[audience]].concat();
    key.open(&aad, sealed).unwrap().to_vec()
}

/// The fields of a map that are byte strings, by key.
fn byte_strings(bytes: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let len = decoder.map().unwrap().unwrap();
    let mut fields = BTreeMap::new();
    for _ in 0..len {
        let key = decoder.u8().unwrap();
        if decoder.datatype().unwrap() == minicbor::data::Type::Bytes {
            fields.insert(key, decoder.bytes().unwrap().to_vec());
        } else {
            decoder.skip().unwrap();
        }
    }
    fields
}

pub fn refused(grant: &Grant, log: &IdentityLog) -> (Vec<Value>, Vec<Value>) {
    let good = grant.to_bytes();
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let keys = [GrantedKey {
        space: SpaceName::new("notes").unwrap(),
        key: EpochKey::new(Secret::new([7; 32])),
        predecessor: None,
        base: log.base(),
        heads: log.heads(),
    }];
    let one = Recipients::One(&device(2).id());
    let stranger = Grant::new(log, NOW, &keys, &one, &device(9), &mut Counter::default()).unwrap();
    let case = |(bytes, why): (Vec<u8>, &str)| json!({ "bytes": hex(bytes), "why": why });
    let unreadable = [
        (good[..good.len() - 1].to_vec(), "cut"),
        ([good, &[0]].concat(), "a byte after the grant"),
    ];
    let unverified = [
        (forged, "the signature is wrong"),
        (stranger.to_bytes().to_vec(), "signed by a stranger"),
    ];
    (unreadable.map(case).to_vec(), unverified.map(case).to_vec())
}
