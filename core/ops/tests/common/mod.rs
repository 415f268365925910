//! What the tests of ops share.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::device::DeviceKeys;
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::secret::Secret;
use twin_ops::change::{Change, Kind, RecordChange, Seen, SeenHeight, Stamp};
use twin_ops::checkpoint::{Checkpoint, Line, Original, Snapshot};
use twin_ops::edit::{Dot, Edit, Edits, Removed, position};
use twin_ops::epoch::EpochKey;
use twin_ops::op::{Link, LogId, Op, Origin, Place};
use twin_ops::seal::seal_parts;
use twin_ops::set::Set;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Reference, Unknown, Value};
use zeroize::Zeroizing;

pub fn twin_id() -> TwinId {
    TwinId::from_bytes(&[1; 33]).unwrap()
}

/// The same keys for the same number.
pub fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_secret(&Secret::new([number; 64])).unwrap()
}

pub fn space_key() -> EpochKey {
    EpochKey::new(Secret::new([7; 32]))
}

pub fn origin(number: u8) -> Origin {
    Origin {
        space: SpaceName::new("notes").unwrap().id(&twin_id()),
        device: device(number).id(),
        incarnation: [number; 16],
    }
}

/// An op by the device of this origin, with one part for each text.
pub fn write(origin: &Origin, seq: u64, prev: Option<Link>, texts: &[String]) -> Op {
    let keys = device(origin.incarnation[0]);
    let place = Place {
        log: origin.log_id(&twin_id()),
        seq,
        prev,
        epoch: space_key().id(),
    };
    let plaintexts: Vec<_> = texts
        .iter()
        .map(|text| Zeroizing::new(text.clone().into_bytes()))
        .collect();
    let rng = &mut ChaCha20Rng::seed_from_u64(seq);
    let (salt, parts) = seal_parts(&space_key().part_key(), &place, plaintexts, rng).unwrap();
    Op::sign(place, salt, parts, &twin_id(), &keys).unwrap()
}

/// One change of every kind, with a value of every type.
pub fn changes() -> Vec<Change> {
    let record = |kind, fields: Vec<(&str, Value)>| {
        Change::Record(RecordChange {
            kind,
            stamp: Stamp::at(1_790_000_000_000).next(),
            collection: "notes".to_owned(),
            id: "n1".to_owned(),
            fields: Fields(
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<BTreeMap<_, _>>(),
            ),
            edits: Edits::default(),
        })
    };
    let log = LogId::from_bytes([3; 32]);
    let mut removed = Removed::default();
    removed.insert(Value::from("old"), [(log, position(2, 1))].into());
    let edits = [
        (
            "tags",
            Edit::Elements {
                added: Set::of([Value::from("new"), Value::Timestamp(0)]).unwrap(),
                removed,
            },
        ),
        (
            "count",
            Edit::Count {
                base: Some(Dot { log, position: 9 }),
                total: -2,
            },
        ),
        (
            "later",
            Edit::Unknown(Unknown::from_bytes(&[0x81, 0x09]).unwrap()),
        ),
    ];
    let edits = edits.map(|(name, edit)| (name.to_owned(), edit));
    let edited = match record(Kind::Patch, vec![("title", Value::from("x"))]) {
        Change::Record(change) => Change::Record(RecordChange {
            edits: Edits(edits.into()),
            ..change
        }),
        other => other,
    };
    let line = |device: u8, height| Line {
        device: DeviceId::from_bytes([device; 32]),
        incarnation: [9; 16],
        height,
        link: Link::from_bytes([device + 1; 32]),
    };
    let lines = [line(4, 1), line(6, 300)];
    let original = |line, seq, index| Original { line, seq, index };
    let originals = [original(1, 299, 0), original(0, 1, 4095)];
    vec![
        Change::Seen(Seen::new(
            vec![EntryId::from_bytes([1; 32]), EntryId::from_bytes([2; 32])],
            vec![SeenHeight {
                log: LogId::from_bytes([3; 32]),
                height: 300,
            }],
        )),
        record(
            Kind::Put,
            vec![
                ("title", Value::Text("Grüße".to_owned())),
                ("done", Value::Bool(false)),
                ("z", Value::Int(-500)),
                ("weight", Value::Float(1.5)),
                ("photo", Value::Bytes(vec![1, 2, 3])),
            ],
        ),
        record(
            Kind::Patch,
            vec![("done", Value::Bool(true)), ("z", Value::Null)],
        ),
        record(Kind::Delete, vec![]),
        record(
            Kind::Put,
            vec![
                ("due", Value::Timestamp(1_790_000_000_000)),
                (
                    "about",
                    Value::Reference(Reference {
                        collection: "people".to_owned(),
                        id: "ada".to_owned(),
                    }),
                ),
                (
                    "tags",
                    Value::Set(
                        Set::of([Value::from("b"), Value::from("a"), Value::Int(1)]).unwrap(),
                    ),
                ),
                ("count", Value::Counter(-7)),
                (
                    "later",
                    Value::Unknown(Unknown::from_bytes(&[0x82, 0x18, 0x2a, 0x80]).unwrap()),
                ),
            ],
        ),
        edited.clone(),
        Change::Checkpoint(Checkpoint::new(lines.to_vec(), 2).unwrap()),
        Change::Snapshot(Snapshot::new(originals.to_vec())),
        match edited {
            Change::Record(change) => Change::Copy(originals[1], change),
            other => other,
        },
    ]
}
