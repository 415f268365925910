//! A sync session from the first nonce to equal digests.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use twin_identity::secret::Secret;
use twin_identity::sign::Use;
use twin_ops::epoch::EpochKey;
use twin_ops::file::{ChunkId, MIN_SEALED_CHUNK};
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::op::{Op, Origin, Place};
use twin_ops::space::SpaceName;
use twin_ops::store::ChunkName;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncEvent};

use crate::golden::{Counter, all_refused, check, drawn, hex};
use crate::replica::Replica;
use crate::{LAPTOP, PHONE, add_laptop, derived, laptop, twin};

fn members_key() -> EpochKey {
    EpochKey::new(Secret::new([4; 32]))
}

/// A phone with a grant and an op, and a laptop that lacks both.
pub fn replicas() -> (Replica, Replica) {
    let (mut log, phone) = twin();
    add_laptop(&mut log, &phone);
    let keys = [GrantedKey {
        space: SpaceName::members(),
        key: members_key(),
        predecessor: None,
        base: log.base(),
        heads: log.heads(),
    }];
    let grant = Grant::new(
        &log,
        0,
        &keys,
        &Recipients::All,
        &phone,
        &mut Counter::default(),
    )
    .unwrap();
    let origin = Origin {
        space: SpaceName::members().id(log.twin()),
        device: phone.id(),
        incarnation: [0xa0; 16],
    };
    let id = origin.log_id(log.twin());
    let place = Place {
        log: id,
        seq: 1,
        prev: None,
        epoch: members_key().id(),
    };
    let op = Op::sign(place, [0; 16], vec![vec![0xee; 48]], log.twin(), &phone).unwrap();
    let replica = |keys, grants, logs| Replica {
        keys,
        log: log.clone(),
        discovery: members_key().discovery(),
        past: Vec::new(),
        grants,
        logs,
        chunks: BTreeMap::new(),
        wanted: Vec::new(),
    };
    let with = replica(
        phone,
        BTreeMap::from([(grant.id, grant)]),
        BTreeMap::from([(id, (origin, vec![op]))]),
    );
    let without = replica(laptop(), BTreeMap::new(), BTreeMap::new());
    (with, without)
}

fn digest(replica: &Replica) -> Value {
    let grants: Vec<&[u8]> = replica
        .grants
        .keys()
        .map(|id| id.as_bytes().as_slice())
        .collect();
    let heights: Vec<u8> = replica
        .logs
        .iter()
        .flat_map(|(log, (_, ops))| {
            let height = (ops.len() as u64).to_be_bytes();
            [
                log.as_bytes().as_slice(),
                &height,
                ops[ops.len() - 1].link().as_bytes(),
            ]
            .concat()
        })
        .collect();
    let log = replica.log.digest();
    let grants = derived("grants digest", &grants);
    let heights = derived("heights digest", &[&heights]);
    json!({
        "log": hex(log),
        "grants": hex(grants),
        "heights": hex(heights),
        "digest": hex(derived("sync digest", &[&log, &grants, &heights])),
    })
}

fn refused_hellos(own: &[u8]) -> Vec<Value> {
    let mut version = own.to_vec();
    version[5] = 2;
    let mut long = own.to_vec();
    long[0] = 0x98;
    long.insert(1, 2);
    [
        (own.to_vec(), "our own frame sent back"),
        (version, "version 2"),
        (long, "a length not in its shortest form"),
        ([own, &[0]].concat(), "a byte after the message"),
        (own[..own.len() - 1].to_vec(), "cut"),
        (vec![0x82, 0x0a, 0x80], "no such message"),
        (vec![0x82, 0x03, 0x81, 0x80], "a table before the handshake"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec()
}

#[test]
fn sync() {
    let (mut phone, mut laptop) = replicas();
    // The laptop wants two chunks of files, of which the phone has one.
    let sealed = vec![0xcc; MIN_SEALED_CHUNK];
    let space = SpaceName::members().id(phone.log.twin());
    let id = ChunkId::of(&sealed);
    phone.chunks.insert(ChunkName { space, id }, sealed);
    laptop.wanted = [id, ChunkId::from_bytes([0xdd; 32])]
        .map(|id| ChunkName { space, id })
        .to_vec();
    let (phone_before, laptop_before) = (digest(&phone), digest(&laptop));
    let rng = &mut Counter::default();
    let begin = |side, me, peer, rng: &mut Counter| {
        Session::<Replica>::new(side, me, peer, Stay::UntilInSync, 0, rng)
    };
    let mut at_phone = begin(Side::Initiator, PHONE, LAPTOP, rng);
    let mut at_laptop = begin(Side::Responder, LAPTOP, PHONE, rng);
    let mut frames = Vec::new();
    loop {
        let before = frames.len();
        if let Some(frame) = at_phone.next_frame(0, &mut phone).unwrap() {
            at_laptop.receive(0, &frame, &mut laptop).unwrap();
            frames.push(json!({ "from": "phone", "bytes": hex(frame) }));
        }
        if let Some(frame) = at_laptop.next_frame(0, &mut laptop).unwrap() {
            at_phone.receive(0, &frame, &mut phone).unwrap();
            frames.push(json!({ "from": "laptop", "bytes": hex(frame) }));
        }
        if frames.len() == before {
            break;
        }
    }
    for session in [&mut at_phone, &mut at_laptop] {
        let events: Vec<_> = std::iter::from_fn(|| session.next_event()).collect();
        assert!(events.contains(&SyncEvent::InSync));
        assert!(session.is_finished());
    }
    assert_eq!(digest(&phone), digest(&laptop));
    assert_eq!(phone.chunks, laptop.chunks);

    let mut nonces = Counter::default();
    // Each side draws a nonce, and a key for what it has nothing true to say.
    let drawn: [[u8; 32]; 4] = std::array::from_fn(|_| drawn(&mut nonces));
    let nonces = [drawn[0], drawn[2]];
    let transcript = |role: u8| {
        [
            &[role],
            PHONE.as_bytes().as_slice(),
            LAPTOP.as_bytes(),
            &nonces[0],
            &nonces[1],
        ]
        .concat()
    };
    let discovery = derived("discovery", &[&[4; 32]]);
    let side = |role, keys: &twin_identity::device::DeviceKeys| {
        let transcript = transcript(role);
        let id = derived("session", &[&transcript]);
        json!({
            "transcript": hex(&transcript),
            "proof": hex(blake3::keyed_hash(&discovery, &transcript).as_bytes()),
            "session_id": hex(id),
            "device": hex(keys.id().as_bytes()),
            "signature": hex(keys.sign(Use::Session, phone.log.twin(), &id)),
        })
    };
    let (phone_side, laptop_side) = (side(0, &phone.keys), side(1, &laptop.keys));
    let sent = |from: &str, what: &str| {
        let mut frames = frames.iter().filter(|frame| frame["from"] == from);
        frames.any(|frame| frame["bytes"].as_str().unwrap().contains(what))
    };
    for (from, made) in [("phone", &phone_side), ("laptop", &laptop_side)] {
        for field in ["proof", "device", "signature"] {
            assert!(sent(from, made[field].as_str().unwrap()), "{from} {field}");
        }
    }
    assert!(sent("phone", phone_before["digest"].as_str().unwrap()));
    assert!(sent("laptop", laptop_before["digest"].as_str().unwrap()));
    let own = begin(Side::Initiator, PHONE, LAPTOP, &mut Counter::default())
        .next_frame(0, &mut phone)
        .unwrap()
        .unwrap();
    let made = json!({
        "about": "the phone of identity.json dials the laptop, which lacks a grant, an op and two chunks of files, of which the phone has one; every frame in one \
            possible order",
        "discovery_key": hex(discovery),
        "nonces": nonces.map(hex),
        "phone": phone_side,
        "laptop": laptop_side,
        "digests": { "phone_before": phone_before, "laptop_before": laptop_before, "after": digest(&laptop) },
        "frames": frames,
        "refused": refused_hellos(&own),
    });
    check("sync", &made);
    all_refused(&made["refused"], |bytes| {
        let mut session = begin(Side::Initiator, PHONE, LAPTOP, &mut Counter::default());
        session.receive(0, bytes, &mut phone)
    });
}
