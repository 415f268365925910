//! What the tests of content of files share.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use chacha20_rng::rand_core::Rng;
use rusqlite::Connection;
use twin_ops::file::ChunkId;
use twin_ops::value::Fields;
use twin_vault::files::{CHUNK_LEN, Root};
use twin_vault::{FILE_NAME, Vault, VaultError, WriteChange};

use super::common::*;

/// Bytes in which no two pieces of 64 KiB are alike.
pub fn content(seed: &str, len: usize) -> Vec<u8> {
    let seed = seed
        .bytes()
        .fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    let mut content = vec![0; len];
    rng(seed).fill_bytes(&mut content);
    content
}

/// So many chunks of content, and a manifest above them.
pub fn of_chunks(seed: &str, chunks: usize) -> Vec<u8> {
    content(seed, chunks * CHUNK_LEN)
}

/// Adds a file to the space `home`, named by the record `id` of the collection `files`.
pub fn add_file(vault: &mut Vault, now: u64, id: &str, content: &[u8]) {
    let home = space("home");
    let mut writer = vault.begin_file(now, &mut rng(now), &home).unwrap();
    vault.push_file(now, &mut writer, content).unwrap();
    let added = vault.finish_file(now, writer).unwrap();
    let fields = Fields([("content".to_owned(), added.root().to_value())].into());
    let changes = vec![WriteChange::put("files", id, fields)];
    vault
        .commit_files(now, &mut rng(now), &home, changes, &[added])
        .unwrap();
}

/// The root that a record holds.
pub fn root(vault: &mut Vault, id: &str) -> Root {
    let record = vault.get(&space("home"), "files", id).unwrap().unwrap();
    Root::of(&record.fields.0["content"]).unwrap()
}

/// All of a file.
pub fn read_file(vault: &mut Vault, id: &str) -> Result<Vec<u8>, VaultError> {
    let root = root(vault, id);
    let mut file = vault.open_file(&space("home"), root)?;
    let (mut content, mut buffer) = (Vec::new(), vec![0; CHUNK_LEN]);
    loop {
        let len = vault.read_file(&mut file, content.len() as u64, &mut buffer)?;
        if len == 0 {
            return Ok(content);
        }
        content.extend_from_slice(&buffer[..len]);
    }
}

/// How many chunks of a file are not here.
pub fn missing(vault: &mut Vault, id: &str) -> u64 {
    let root = root(vault, id);
    let missing = vault.missing_chunks(&space("home"), &root, 0).unwrap();
    missing.count
}

/// The sealed bytes of all chunks in a vault's folder, in the order in which they came.
pub fn sealed_chunks(dir: &Path) -> Vec<Vec<u8>> {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    let mut chunks = file.prepare("SELECT v FROM chunk ORDER BY n").unwrap();
    let chunks = chunks.query_map([], |row| row.get(0)).unwrap();
    chunks.map(|chunk| chunk.unwrap()).collect()
}

/// The ids of all chunks in a vault's folder.
pub fn chunk_ids(dir: &Path) -> Vec<ChunkId> {
    let chunks = sealed_chunks(dir);
    chunks.iter().map(|sealed| ChunkId::of(sealed)).collect()
}
