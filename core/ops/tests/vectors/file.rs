//! Files: chunks, manifests and roots, made again from what `formats.md` says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use twin_identity::aead::DataKey;
use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_ops::file::{Builder, CHUNK_LEN, ChunkId, FileError, Reader, Root, Sealed};
use twin_ops::seal::pad;
use twin_ops::space::SpaceId;

use super::derived;
use super::golden::{all_refused, check, hex};

const SPACE: SpaceId = SpaceId::from_bytes([5; 32]);
const EPOCH: [u8; 32] = [7; 32];

/// The key and the sealed bytes of a chunk.
fn chunk(level: u32, content: &[u8]) -> ([u8; 32], Vec<u8>) {
    let padded = pad(content);
    let level = level.to_be_bytes();
    let mut hasher = blake3::Hasher::new_keyed(&derived("file key", &[&EPOCH]));
    hasher
        .update(SPACE.as_bytes())
        .update(&level)
        .update(&padded);
    let key = *hasher.finalize().as_bytes();
    let aad = derived("file chunk aad", &[SPACE.as_bytes(), &level]);
    let salted = DataKey::new(Secret::new(key)).salted(&[0; 16]).unwrap();
    (key, salted.seal(0, &aad, padded).unwrap())
}

fn id(sealed: &[u8]) -> [u8; 32] {
    derived("file chunk", &[sealed])
}

/// What our builder makes, with what it gave to be stored.
fn built(content: &[u8]) -> (Root, BTreeMap<ChunkId, Vec<u8>>) {
    let mut store = BTreeMap::new();
    let mut keep = |chunk: Sealed| drop(store.insert(chunk.id, chunk.bytes));
    let key = EpochKey::new(Secret::new(EPOCH)).file_key();
    let mut builder = Builder::new(key, SPACE);
    builder.push(content, &mut keep).unwrap();
    let root = builder.finish(&mut keep).unwrap();
    (root, store)
}

fn small(content: &[u8]) -> Value {
    let (root, store) = built(content);
    let (key, sealed) = chunk(0, content);
    assert_eq!(store.values().collect::<Vec<_>>(), [&sealed]);
    let bytes = root.to_bytes();
    let (rest, last) = bytes.split_at(bytes.len() - 32);
    assert_eq!(last, id(&sealed));
    assert_eq!(rest[rest.len() - 35..rest.len() - 3], key);
    json!({
        "content": hex(content),
        "key": hex(key),
        "sealed": hex(&sealed),
        "id": hex(id(&sealed)),
        "root": hex(&bytes),
    })
}

/// A content of three chunks: byte i is i modulo 251.
fn large() -> Value {
    let content: Vec<u8> = (0..2 * CHUNK_LEN + 100).map(|i| (i % 251) as u8).collect();
    let (root, store) = built(&content);
    let mut manifest = Vec::new();
    for piece in content.chunks(CHUNK_LEN) {
        let (key, sealed) = chunk(0, piece);
        manifest.extend_from_slice(&key);
        manifest.extend_from_slice(&id(&sealed));
        assert_eq!(store[&ChunkId::of(&sealed)], sealed);
    }
    let (key, sealed) = chunk(1, &manifest);
    assert_eq!(store[&ChunkId::of(&sealed)], sealed);
    assert_eq!(store.len(), 4);
    let mut reader = Reader::new(SPACE, Root::from_bytes(&root.to_bytes()).unwrap()).unwrap();
    let fetch = &mut |id: &ChunkId| Ok::<_, FileError>(store[id].clone());
    assert_eq!(
        reader.read(CHUNK_LEN as u64, fetch).unwrap(),
        &content[CHUNK_LEN..2 * CHUNK_LEN]
    );
    json!({
        "about": "131,170 bytes, byte i is i modulo 251",
        "manifest": hex(&manifest),
        "manifest_key": hex(key),
        "manifest_sealed": hex(&sealed),
        "root": hex(root.to_bytes()),
    })
}

#[test]
fn files() {
    let good = built(b"a file").0.to_bytes();
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        hex(bytes)
    };
    let mut long = good.clone();
    long.splice(8..9, [0x1b, 1, 0, 0, 0, 0, 0, 0, 0]);
    let made = json!({
        "about": "files of a space with an id of 05 …, whose first epoch has the key 07 …",
        "file_key": hex(derived("file key", &[&EPOCH])),
        "empty": small(b""),
        "short": small(b"a file"),
        "three_chunks": large(),
        "refused": {
            "root": [
                { "bytes": flip(2), "why": "version 0" },
                { "bytes": flip(4), "why": "suite 0" },
                { "bytes": flip(6), "why": "not a root's type" },
                { "bytes": hex(&good[..good.len() - 1]), "why": "cut" },
                { "bytes": hex([&good[..], &[0]].concat()), "why": "a byte after the root" },
                { "bytes": hex(long), "why": "longer than four levels of manifests can name" },
            ],
        },
    });
    check("files", &made);
    all_refused(&made["refused"]["root"], |bytes| {
        Root::from_bytes(bytes).map(drop)
    });
}
