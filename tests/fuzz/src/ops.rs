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
use twin_ops::backup::{
    Beginning, Chunks, Container, Content, FRAME_LEN, FileKey, Header as BackupHeader, Item, Items,
    LogRow, Manifest, Opener, Ops, Piece, Reading, Sealer, heights, recipients,
};
use twin_ops::chain::{Head, verify_run};
use twin_ops::change::Change;
use twin_ops::epoch::EpochKey;
use twin_ops::file::{ChunkId, FileError, Reader, Root};
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::op::{Header, MAX_OP_LEN, Op, Origin, Part, Place};
use twin_ops::seal::{PartPlace, open_part, pad, unpad};
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};

/// A parser's name, and the function that feeds it.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
pub const TARGETS: &[Target] = &[
    ("backup", backup),
    ("backup_damaged", backup_damaged),
    ("backup_items", backup_items),
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
        ("backup", backup_file()),
        ("backup_damaged", backup_file()),
        ("backup_items", backup_content()),
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

/// The key of the backup in the corpus.
fn file_key() -> FileKey {
    FileKey::random(&mut ChaCha20Rng::from_seed([2; 32]))
}

/// What is in it: all that the sample has, and a log of one op.
fn backup_content() -> Vec<u8> {
    let Sample { log, device } = sample();
    let origin = Origin {
        space: SpaceName::members().id(log.twin()),
        device: device.id(),
        incarnation: [1; 16],
    };
    let id = origin.log_id(log.twin());
    let place = Place {
        log: id,
        seq: 1,
        prev: None,
        epoch: epoch().id(),
    };
    let op = Op::sign(place, [3; 16], vec![vec![4; 48]], log.twin(), device).unwrap();
    let (height, link) = (1, op.link());
    let heights = heights([(&id, &Head { height, link })]);
    let manifest = Manifest::sign(file_key().id(), 0, None, log, heights, device);
    let entries = log.entries().values();
    let items = [
        Item::Manifest(Box::new(manifest)),
        Item::Logs(vec![LogRow {
            origin,
            height,
            link,
        }]),
        Item::Entries(
            entries
                .map(|entry| entry.to_bytes().to_vec().into())
                .collect(),
        ),
        Item::Ops(Ops {
            origin,
            run: vec![op.to_bytes().into()],
            base: None,
        }),
        Item::Chunks(Chunks {
            space: origin.space,
            sealed: vec![vec![5; 48].into()],
        }),
        Item::Content(Content {
            chunks: 1,
            incomplete: 0,
            left_out: false,
        }),
    ];
    items.iter().flat_map(Item::to_bytes).collect()
}

fn backup_file() -> Vec<u8> {
    let rng = &mut ChaCha20Rng::from_seed([3; 32]);
    let Sample { log, device } = sample();
    let to = recipients(log, 0, device.public());
    let header = BackupHeader::seal(&file_key(), &to, rng).unwrap();
    let (mut bytes, place) = header.begin();
    let mut sealer = Sealer::new(&file_key(), place);
    bytes.extend(sealer.seal(&backup_content(), Some(0), true, rng).unwrap());
    bytes.extend(sealer.trailer());
    bytes
}

/// A sealed export: whole or not without a key, and what the sample's device reads in it.
pub fn backup(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let (mut container, mut key) = (Container::default(), None);
    let mut content = Vec::new();
    loop {
        let (next, later) = rest.split_at(container.wanted().min(rest.len()));
        rest = later;
        match container.take(next) {
            Ok(Piece::Header(header)) => {
                let device = &sample().device;
                key = header.open(|info, aad, sealed| device.open(info, aad, sealed));
            }
            Ok(Piece::Chunk(chunk)) => {
                let place = container.place().unwrap();
                let opened = key
                    .as_ref()
                    .map(|key| Opener::new(key, &place).open(&chunk));
                content.extend(
                    opened
                        .and_then(Result::ok)
                        .iter()
                        .flat_map(|chunk| chunk.content().to_vec()),
                );
            }
            Ok(Piece::End) => break,
            Ok(Piece::Frame) => {}
            Err(_) => return false,
        }
    }
    assert!(rest.is_empty());
    key.is_none() || backup_items(&content)
}

/// A sealed export of which some is damaged: what of it can still be read.
pub fn backup_damaged(bytes: &[u8]) -> bool {
    let Ok(beginning) = Beginning::read(bytes) else {
        return false;
    };
    let device = &sample().device;
    let key = { &beginning.header }.open(|info, aad, sealed| device.open(info, aad, sealed));
    let openers = key.map(|key| beginning.places.map(|place| Opener::new(&key, &place)));
    let at = usize::try_from(beginning.at).unwrap();
    let (mut items, mut whole) = (Items::default(), 0);
    for (index, frame) in (0..).zip(bytes.get(at..).unwrap_or_default().chunks(FRAME_LEN)) {
        let Some(chunks) = beginning.chunks(index, frame) else {
            break;
        };
        let openers = openers.iter().flatten();
        let mut tried = openers.flat_map(|opener| chunks.iter().map(|chunk| opener.open(chunk)));
        match tried.find_map(Result::ok) {
            Some(opened) => items.push_from(opened.content(), opened.begins()),
            None => items.lose(),
        }
        loop {
            match items.take() {
                Ok(Some(_)) => whole += 1,
                Ok(None) => break,
                Err(_) => items.lose(),
            }
        }
    }
    whole > 0
}

/// What is in the chunks of a sealed export.
pub fn backup_items(bytes: &[u8]) -> bool {
    let mut items = Items::default();
    let mut reading = Reading::new(file_key().id());
    items.push(bytes);
    loop {
        let item = match items.take() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(_) => return false,
        };
        if reading.take(&item).is_err() {
            return false;
        }
        if !matches!(item, Item::Unknown(_)) {
            let written = item.to_bytes();
            let end = usize::try_from(items.taken()).unwrap();
            assert!(bytes[..end].ends_with(&written));
        }
    }
    reading.finish().is_ok()
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
