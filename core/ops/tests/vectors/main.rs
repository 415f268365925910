//! `tests/vectors/ops.json`, made anew and compared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod file;
#[path = "../../../../tests/vectors/golden.rs"]
mod golden;
mod grant;

use common::{changes, device};
use golden::{Counter, all_refused, check, drawn, hex};
use serde_json::{Value, json};
use twin_identity::birth::Birth;
use twin_identity::body::Body;
use twin_identity::cbor;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::TwinId;
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::change::Change;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::Grant;
use twin_ops::op::{Link, Op, Origin, Part, Place};
use twin_ops::seal::{pad, seal_parts, unpad};
use twin_ops::space::SpaceName;
use zeroize::Zeroizing;

fn derived(name: &str, fields: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(&format!("digital-twin v1 {name}"), &fields.concat())
}

/// The twin of `identity.json`.
fn twin() -> (IdentityLog, DeviceKeys, RecoverySecret) {
    let words = RecoverySecret::from_bytes([0; 32]);
    let birth = Birth::new(&words, &mut Counter::default()).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    let statement = device(2).statement(log.twin(), Role::Member);
    let entry = log.sign(&Body::AddDevice(Box::new(statement)), &birth.device);
    log.insert(entry.unwrap()).unwrap();
    (log, birth.device, words)
}

fn spaces(twin: &TwinId) -> Vec<Value> {
    [
        SpaceName::keys(),
        SpaceName::members(),
        SpaceName::new("notes").unwrap(),
    ]
    .map(|name| {
        let id = derived("space", &[twin.as_bytes(), name.as_str().as_bytes()]);
        assert_eq!(*name.id(twin).as_bytes(), id);
        json!({ "name": name.as_str(), "id": hex(id) })
    })
    .to_vec()
}

fn epoch(key: &[u8; 32], before: &EpochKey) -> Value {
    let epoch = EpochKey::new(Secret::new(*key));
    assert_eq!(*epoch.id().as_bytes(), derived("epoch", &[key]));
    let part_key = derived("part key", &[key]);
    assert_eq!(epoch.part_key().secret().expose(), &part_key);
    let discovery = derived("discovery", &[key]);
    let mac = blake3::keyed_hash(&discovery, b"one fieldanother");
    let ours = epoch.discovery().mac([b"one field".as_slice(), b"another"]);
    assert_eq!(ours.expose(), mac.as_bytes());
    let sealed = epoch
        .seal_predecessor(before, &mut Counter::default())
        .unwrap();
    assert_eq!(epoch.open_predecessor(&sealed).as_ref(), Ok(before));
    json!({
        "key": hex(key),
        "id": hex(epoch.id().as_bytes()),
        "part_key": hex(part_key),
        "discovery_key": hex(discovery),
        "discovery_mac": { "message": hex("one fieldanother"), "mac": hex(mac.as_bytes()) },
        "predecessor": {
            "key": hex(before.secret().expose()),
            "sealing_key": hex(derived("predecessor key", &[key])),
            "random": hex(drawn::<32>(&mut Counter::default())),
            "sealed": hex(sealed),
        },
    })
}

fn padding() -> Vec<Value> {
    [0, 1, 30, 31, 32, 33, 64, 100, 1000, 4095, 65_536, 1_000_000]
        .map(|len: usize| {
            let padded = pad(&vec![1; len]);
            let mut unpadded = padded.clone();
            unpad(&mut unpadded).unwrap();
            assert_eq!(unpadded, vec![1; len]);
            json!({ "plaintext_len": len, "padded_len": padded.len() })
        })
        .to_vec()
}

fn plaintexts() -> Value {
    let names = [
        "seen",
        "put",
        "patch",
        "delete",
        "put_of_other_types",
        "patch_with_edits",
        "checkpoint",
        "snapshot",
        "copy_of_patch_with_edits",
    ];
    let written: Vec<Value> = names
        .iter()
        .zip(changes())
        .map(|(name, change)| {
            let bytes = change.to_bytes();
            assert_eq!(Change::from_bytes(&bytes).as_ref(), Ok(&change));
            json!({ "change": name, "bytes": hex(bytes) })
        })
        .collect();
    json!(written)
}

fn refused_changes() -> Vec<Value> {
    let change = |body: &[u8]| {
        let head = [
            0xa5, 0x02, 0x01, 0x03, 0x00, 0x04, 0x61, b'c', 0x05, 0x61, b'i', 0x06,
        ];
        [head.as_slice(), body].concat()
    };
    assert!(Change::from_bytes(&change(&[0xa1, 0x61, b'f', 0xf5])).is_ok());
    let edited = |kind: u8, edits: &[u8]| {
        let head = [
            0xa6, 0x02, kind, 0x03, 0x00, 0x04, 0x61, b'c', 0x05, 0x61, b'i', 0x06, 0xa0, 0x07,
        ];
        [head.as_slice(), edits].concat()
    };
    let checkpoint = |lines: &[(u8, u8)]| {
        let mut bytes = vec![0xa3, 2, 5, 3, 0x80 + lines.len() as u8];
        for (device, height) in lines {
            bytes.extend([0x84, 0x58, 32]);
            bytes.extend([*device; 32]);
            bytes.push(0x50);
            bytes.extend([0; 16]);
            bytes.extend([*height, 0x58, 32]);
            bytes.extend([0; 32]);
        }
        bytes.extend([4, 1]);
        bytes
    };
    assert!(Change::from_bytes(&checkpoint(&[(1, 1), (2, 1)])).is_ok());
    let counted = [0xa1, 0x61, b'f', 0x83, 0x03, 0xf6, 0x01];
    assert!(Change::from_bytes(&edited(2, &counted)).is_ok());
    [
        (
            change(&[0xa2, 0x61, b'g', 0x01, 0x61, b'f', 0x01]),
            "fields out of order",
        ),
        (
            change(&[0xa2, 0x62, b'a', b'a', 0x01, 0x61, b'b', 0x01]),
            "a longer name before a shorter one",
        ),
        (
            change(&[0xa2, 0x61, b'f', 0x01, 0x61, b'f', 0x02]),
            "a field twice",
        ),
        (change(&[0xa1, 0x60, 0x01]), "a field without a name"),
        (
            change(&[0xa1, 0x61, b'f', 0x81, 0x00]),
            "a timestamp without a time",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0x83, 0x01, 0x60, 0x61, b'i']),
            "a reference to no collection",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0x82, 0x02, 0x82, 0x02, 0x01]),
            "elements out of order",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0x82, 0x02, 0x82, 0x01, 0x01]),
            "an element twice",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0x82, 0x02, 0x81, 0x82, 0x02, 0x80]),
            "a set in a set",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0x82, 0x09, 0x81, 0x81, 0x81, 0x00]),
            "a value of a later version that is too deep",
        ),
        (
            edited(1, &[0xa1, 0x61, b'f', 0x83, 0x03, 0xf6, 0x01]),
            "an edit in a put",
        ),
        (edited(2, &[0xa0]), "no edits, but a map of them"),
        (
            edited(2, &[0xa1, 0x61, b'f', 0x82, 0x03, 0xf6]),
            "a count without a total",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0x18, 0x01]),
            "a number not in its shortest form",
        ),
        (
            change(&[0xa1, 0x61, b'f', 0xf9, 0x3e, 0x00]),
            "a float of 16 bits",
        ),
        (change(&[0xa1, 0x61, b'f', 0x80]), "an array without a kind"),
        (
            change(&[0xa1, 0x61, b'f', 0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            "a number above 2^63 - 1",
        ),
        (change(&[0xa0, 0x00]), "a byte after the change"),
        (
            vec![
                0xa5, 2, 3, 3, 0, 4, 0x61, b'c', 5, 0x61, b'i', 6, 0xa1, 0x61, b'f', 1,
            ],
            "a delete with fields",
        ),
        (
            vec![0xa5, 2, 1, 3, 0, 4, 0x60, 5, 0x61, b'i', 6, 0xa0],
            "a collection without a name",
        ),
        (
            vec![0xa3, 2, 5, 3, 0x81, 0x84, 0x58],
            "a checkpoint that is cut",
        ),
        (checkpoint(&[(2, 1), (1, 1)]), "lines out of order"),
        (checkpoint(&[(1, 1), (1, 2)]), "a log with two lines"),
        (checkpoint(&[(1, 0)]), "a line at no op"),
        (vec![0xa2, 2, 6, 3, 0x80], "a snapshot of nothing"),
        (
            vec![0xa2, 2, 6, 3, 0x81, 0x83, 0, 1, 0x1a, 0, 1, 0, 0],
            "an index of more than 16 bits",
        ),
        (
            vec![0xa4, 2, 1, 3, 0, 4, 0x61, b'c', 5, 0x61, b'i'],
            "without fields, and cut",
        ),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec()
}

/// Signs an op of these plaintexts and describes every step.
fn op(
    twin: &TwinId,
    origin: &Origin,
    (seq, prev): (u64, Option<Link>),
    keys: &DeviceKeys,
    plaintexts: &[Vec<u8>],
) -> (Op, Value) {
    let epoch = EpochKey::new(Secret::new([7; 32]));
    let place = Place {
        log: origin.log_id(twin),
        seq,
        prev,
        epoch: epoch.id(),
    };
    let plaintexts: Vec<_> = plaintexts.iter().cloned().map(Zeroizing::new).collect();
    let rng = &mut Counter::default();
    let (salt, sealed) = seal_parts(&epoch.part_key(), &place, plaintexts.clone(), rng).unwrap();
    let aad = |index: u64| {
        let (seq, index) = (place.seq.to_be_bytes(), index.to_be_bytes());
        derived(
            "part aad",
            &[place.log.as_bytes(), &seq, place.epoch.as_bytes(), &index],
        )
    };
    let len = |field: &[u8]| (field.len() as u64).to_be_bytes().to_vec();
    let random: [u8; 32] = drawn(&mut Counter::default());
    let mut salt_input = [random.to_vec(), len(&aad(0)), aad(0).to_vec()].concat();
    for plaintext in &plaintexts {
        salt_input.extend(len(plaintext));
        salt_input.extend_from_slice(plaintext);
    }
    let nonce_key = derived("nonce", &[epoch.part_key().secret().expose()]);
    let expected = blake3::keyed_hash(&nonce_key, &salt_input);
    assert_eq!(salt, expected.as_bytes()[..16]);
    let op = Op::sign(place, salt, sealed.clone(), twin, keys).unwrap();
    let parts: Vec<Value> = (0u64..)
        .zip(plaintexts.iter().zip(&sealed))
        .map(|(index, (plaintext, sealed))| {
            json!({
                "plaintext": hex(plaintext),
                "padded": hex(pad(plaintext)),
                "aad": hex(aad(index)),
                "nonce": hex([salt.as_slice(), &index.to_be_bytes()].concat()),
                "sealed": hex(sealed),
                "hash": hex(derived("part", &[sealed])),
            })
        })
        .collect();
    let hashes: Vec<u8> = sealed
        .iter()
        .flat_map(|sealed| derived("part", &[sealed]))
        .collect();
    assert_eq!(op.header().parts, derived("parts", &[&salt, &hashes]));
    let link = derived("link", &[op.header_bytes(), op.signature()]);
    assert_eq!(*op.link().as_bytes(), link);
    let made = json!({
        "random": hex(random),
        "salt": hex(salt),
        "parts": parts,
        "header": hex(op.header_bytes()),
        "id": hex(derived("op", &[op.header_bytes()])),
        "signature": hex(op.signature()),
        "link": hex(link),
        "bytes": hex(op.to_bytes()),
    });
    (op, made)
}

fn without_part(op: &Op, index: usize) -> Op {
    let mut parts = op.parts().to_vec();
    parts[index] = Part::Dropped(parts[index].hash());
    Op::from_stored(
        op.header_bytes().to_vec(),
        *op.signature(),
        *op.salt(),
        parts,
    )
    .unwrap()
}

fn refused_ops(op: &Op) -> Vec<Value> {
    let good = op.to_bytes();
    let header = op.header_bytes().len();
    let flip = |index: usize| {
        let mut bytes = good.clone();
        bytes[index] ^= 1;
        bytes
    };
    // Array head, the header's own head of 2 bytes, then the header: a7 00 01 01 01 02 01 …
    let in_header = 3;
    let salt = in_header + header + 2 + 64 + 1;
    let seq = op
        .header_bytes()
        .windows(3)
        .position(|bytes| bytes == [0x04, 0x01, 0x06])
        .unwrap();
    [
        (flip(in_header + 2), "version 0"),
        (flip(in_header + 4), "suite 0"),
        (flip(in_header + 6), "not an op's type"),
        (flip(in_header + seq + 1), "seq 0"),
        (flip(salt), "the salt is not that of the header"),
        (flip(good.len() - 1), "a part is not that of the header"),
        (good[..good.len() - 1].to_vec(), "cut"),
        ([&good[..], &[0]].concat(), "a byte after the op"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec()
}

#[test]
fn ops() {
    let (log, phone, words) = twin();
    let twin = log.twin();
    let origin = Origin {
        space: SpaceName::new("notes").unwrap().id(twin),
        device: phone.id(),
        incarnation: std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap()),
    };
    let log_id = derived(
        "log",
        &[
            origin.space.as_bytes(),
            twin.as_bytes(),
            origin.device.as_bytes(),
            &origin.incarnation,
        ],
    );
    assert_eq!(*origin.log_id(twin).as_bytes(), log_id);
    let texts: Vec<Vec<u8>> = changes().iter().map(Change::to_bytes).collect();
    let (first, first_made) = op(twin, &origin, (1, None), &phone, &texts[..2]);
    let (second, second_made) = op(twin, &origin, (2, Some(first.link())), &phone, &texts[2..3]);
    let run = [without_part(&first, 1), second];
    assert!(twin_ops::chain::verify_run(twin, &origin, None, &run).is_ok());
    let (grant, grant_made) = grant::grant(&log, &phone, &words);
    let (unreadable, unverified) = grant::refused(&grant, &log);
    let made = json!({
        "about": "the twin of identity.json writes two ops in the space notes, and grants its keys to all devices. \
            Random bytes are 00 01 02 … ff 00 … from the beginning for each sealing of a predecessor, each op and \
            the grant; the grant draws its two section keys, then 32 bytes for each section's nonce, then 64 for \
            each wrap",
        "twin_id": hex(twin.as_bytes()),
        "spaces": spaces(twin),
        "epoch": epoch(&[7; 32], &EpochKey::new(Secret::new([6; 32]))),
        "origin": { "bytes": hex(cbor::encode(&origin)), "log_id": hex(log_id) },
        "padding": padding(),
        "changes": plaintexts(),
        "op_1": first_made,
        "op_2": second_made,
        "op_1_with_part_1_dropped": hex(run[0].to_bytes()),
        "grant": grant_made,
        "refused": {
            "change": refused_changes(),
            "op": refused_ops(&first),
            "grant": unreadable,
            "grant_of_the_twin": unverified,
        },
    });
    check("ops", &made);
    all_refused(&made["refused"]["change"], |bytes| {
        Change::from_bytes(bytes).map(drop)
    });
    all_refused(&made["refused"]["op"], |bytes| {
        Op::from_bytes(bytes).map(drop)
    });
    all_refused(&made["refused"]["grant"], |bytes| {
        Grant::from_bytes(bytes).map(drop)
    });
    all_refused(&made["refused"]["grant_of_the_twin"], |bytes| {
        Grant::from_bytes(bytes).unwrap().verify(&log)
    });
}
