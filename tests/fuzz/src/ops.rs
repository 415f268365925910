//! The parsers of twin-ops. Whatever they accept, they must write back as it was.

use std::sync::OnceLock;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::birth::Birth;
use twin_identity::cbor;
use twin_identity::device::DeviceKeys;
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::chain::verify_run;
use twin_ops::change::Change;
use twin_ops::epoch::EpochKey;
use twin_ops::file::{ChunkId, FileError, Reader, Root};
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::op::{Header, MAX_OP_LEN, Op, Origin, Part};
use twin_ops::seal::{PartPlace, open_part, pad, unpad};
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};

/// A parser's name, and the function that feeds it.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
pub const TARGETS: &[Target] = &[
    ("change", change),
    ("fields", fields),
    ("grant", grant),
    ("header", header),
    ("op", op),
    ("origin", origin),
    ("padding", padding),
    ("part", part),
    ("predecessor", predecessor),
    ("root", root),
    ("space_name", space_name),
];

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let twin = sample().log.twin();
    let origin = Origin {
        space: SpaceName::members().id(twin),
        device: sample().device.id(),
        incarnation: [1; 16],
    };
    let parts = vec![
        Part::Sealed(vec![1; 48]),
        Part::Dropped(Part::Sealed(vec![2; 48]).hash()),
    ];
    let fields = [("title", Value::from("Grüße")), ("n", Value::Int(-5))];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    let key = GrantedKey {
        space: SpaceName::members(),
        key: epoch(),
        predecessor: None,
        base: sample().log.base(),
        heads: sample().log.heads(),
    };
    let rng = &mut ChaCha20Rng::from_seed([1; 32]);
    let Sample { log, device } = sample();
    let grant = Grant::new(log, 0, &[key], &Recipients::All, device, rng).unwrap();
    vec![
        ("grant", grant.to_bytes().to_vec()),
        ("fields", cbor::encode(&Fields(fields.into()))),
        ("origin", cbor::encode(&origin)),
        ("part", cbor::encode(&parts)),
    ]
}

/// A twin with one device.
struct Sample {
    log: IdentityLog,
    device: DeviceKeys,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let recovery = RecoverySecret::from_bytes([1; 32]);
        let birth = Birth::new(&recovery, &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        let mut log = IdentityLog::new(birth.genesis);
        log.insert(birth.entry).unwrap();
        Sample {
            log,
            device: birth.device,
        }
    })
}

/// The epoch of the golden vectors.
fn epoch() -> EpochKey {
    EpochKey::new(Secret::new([7; 32]))
}

/// An op, first in the log that it names, and its parts.
pub fn op(bytes: &[u8]) -> bool {
    let Ok(op) = Op::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(op.to_bytes(), bytes);
    let twin = sample().log.twin();
    let origin = Origin {
        space: SpaceName::members().id(twin),
        device: sample().device.id(),
        incarnation: [0; 16],
    };
    assert!(verify_run(twin, &origin, None, std::slice::from_ref(&op)).is_err());
    let key = epoch().part_key();
    for (index, part) in (0..).zip(op.parts()) {
        let header = op.header();
        let place = PartPlace {
            log: &header.log,
            seq: header.seq,
            epoch: &header.epoch,
            salt: op.salt(),
            index,
        };
        let Part::Sealed(sealed) = part else { continue };
        if let Ok(plaintext) = open_part(&key, place, sealed) {
            change(&plaintext);
        }
    }
    true
}

/// The signed part of an op.
pub fn header(bytes: &[u8]) -> bool {
    cbor::decode::<Header>(bytes, 256).is_ok()
}

/// Who writes a log.
pub fn origin(bytes: &[u8]) -> bool {
    cbor::decode::<Origin>(bytes, 256).is_ok()
}

/// A grant, to be opened by a device that it may not be for.
pub fn grant(bytes: &[u8]) -> bool {
    let Ok(grant) = Grant::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(grant.to_bytes(), bytes);
    let Sample { log, device } = sample();
    let _ = grant.verify(log);
    let _ = grant.open(log, device);
    true
}

/// What a part says.
pub fn change(bytes: &[u8]) -> bool {
    let Ok(change) = Change::from_bytes(bytes) else {
        return false;
    };
    if change != Change::Unknown {
        // Not by comparing changes: a float may be no number.
        assert_eq!(change.to_bytes(), bytes);
    }
    true
}

/// The fields of a record.
pub fn fields(bytes: &[u8]) -> bool {
    let Ok(fields) = minicbor::decode::<Fields>(bytes) else {
        return false;
    };
    let written = cbor::encode(&fields);
    assert!(written.len() <= MAX_OP_LEN.max(bytes.len()));
    let again: Fields = minicbor::decode(&written).unwrap();
    assert_eq!(cbor::encode(&again), written);
    true
}

/// Padding.
pub fn padding(bytes: &[u8]) -> bool {
    let mut plaintext = bytes.to_vec();
    if unpad(&mut plaintext).is_err() {
        return false;
    }
    let mut padded = pad(&plaintext);
    assert!(unpad(&mut padded).is_ok());
    assert_eq!(padded, plaintext);
    true
}

/// A sealed part, in the golden vectors' first place.
pub fn part(bytes: &[u8]) -> bool {
    let Ok(sealed) = cbor::decode::<Vec<Part>>(bytes, MAX_OP_LEN) else {
        return false;
    };
    assert_eq!(cbor::encode(&sealed), bytes);
    true
}

/// The sealed key of the epoch before.
pub fn predecessor(bytes: &[u8]) -> bool {
    let Ok(before) = epoch().open_predecessor(bytes) else {
        return false;
    };
    assert!(before != epoch());
    true
}

/// What a record holds of a file.
pub fn root(bytes: &[u8]) -> bool {
    let Ok(root) = Root::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(root.to_bytes(), bytes);
    let shape = root.shape().unwrap();
    assert!(shape.total() > shape.count(0) || shape.top() == 0);
    let space = SpaceName::members().id(sample().log.twin());
    let mut reader = Reader::new(space, root).unwrap();
    let nothing = &mut |_: &ChunkId| Ok::<_, FileError>(bytes.to_vec());
    let read = reader.read(0, nothing);
    assert!(read.is_err() || read.is_ok_and(<[u8]>::is_empty));
    true
}

/// The name of a space.
pub fn space_name(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let Ok(name) = SpaceName::any(text) else {
        assert!(SpaceName::new(text).is_err());
        return false;
    };
    assert_eq!(name.as_str(), text);
    assert_eq!(SpaceName::new(text).is_ok(), !text.starts_with('~'));
    true
}
