//! What the tests of the vault share. Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::aead::DataKey;
use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::change::Kind;
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_vault::{KeyStore, KeyStoreError, Unlock, Vault, VaultError, WriteChange};

/// Noon, some day.
pub const NOON: u64 = 1_700_000_000_000;
pub const MINUTE: u64 = 60_000;

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A key store in software: what the platform's hardware is to an app, without its slowness and its safety.
pub struct SoftKeyStore(DataKey);

impl SoftKeyStore {
    pub fn new(byte: u8) -> Self {
        Self(DataKey::new(Secret::new([byte; 32])))
    }
}

impl KeyStore for SoftKeyStore {
    fn wrap(&self, key: &Secret<32>) -> Result<Vec<u8>, KeyStoreError> {
        let sealed = self.0.seal_synthetic(b"vault", key.expose());
        sealed.map_err(|_| KeyStoreError::Unavailable)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, KeyStoreError> {
        let opened = self.0.open(b"vault", wrapped);
        let opened = opened.map_err(|_| KeyStoreError::KeyLost)?;
        Secret::from_slice(&opened).ok_or(KeyStoreError::KeyLost)
    }
}

/// A new twin's first device.
pub fn phone(dir: &Path) -> Vault {
    let birth = Birth::new(&RecoverySecret::random(&mut rng(1)), &mut rng(2)).unwrap();
    let store = SoftKeyStore::new(1);
    Vault::create(dir, Unlock::KeyStore(&store), &birth, &mut rng(3)).unwrap()
}

/// Another device, admitted by `admin`.
pub fn linked(dir: &Path, admin: &mut Vault, seed: u64, role: Role) -> Vault {
    linked_until(dir, admin, seed, role, None)
}

/// Another device, admitted by `admin` until then.
pub fn linked_until(
    dir: &Path,
    admin: &mut Vault,
    seed: u64,
    role: Role,
    expires: Option<u64>,
) -> Vault {
    let device = DeviceKeys::random(&mut rng(seed)).unwrap();
    let mut statement = device.statement(admin.twin(), role);
    statement.expires = expires;
    let admission = admin.admit(&statement, &mut rng(seed + 1)).unwrap();
    let identity = IdentityLog::from_bytes(admin.twin(), &admission.identity).unwrap();
    let store = SoftKeyStore::new(1);
    let unlock = Unlock::KeyStore(&store);
    let grants = &admission.grants;
    Vault::create_linked(dir, unlock, &device, &identity, grants, &mut rng(seed + 2)).unwrap()
}

pub fn reopen(dir: &Path) -> Result<Vault, VaultError> {
    Vault::open(dir, Unlock::KeyStore(&SoftKeyStore::new(1)), NOON)
}

pub fn space(name: &str) -> SpaceName {
    SpaceName::any(name).unwrap()
}

pub fn fields(fields: &[(&str, &str)]) -> Fields {
    let value = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::from(*value));
    Fields(fields.iter().map(value).collect())
}

pub fn change(kind: Kind, collection: &str, id: &str, values: &[(&str, &str)]) -> WriteChange {
    WriteChange {
        collection: collection.to_owned(),
        id: id.to_owned(),
        kind,
        fields: fields(values),
        edits: [].into(),
    }
}

/// Commits changes to the space `home`.
pub fn commit(vault: &mut Vault, now: u64, changes: Vec<WriteChange>) {
    vault
        .commit(now, &mut rng(now), &space("home"), changes)
        .unwrap();
}

/// Gives `to` everything that `from` has.
pub fn send(from: &Vault, to: &mut Vault, now: u64) {
    send_identity(from, to, now);
    let grants = from.grants().unwrap();
    let grants: Vec<_> = grants
        .iter()
        .map(|id| from.grant(id).unwrap().unwrap())
        .collect();
    assert_eq!(to.add_grants(&grants).unwrap().early, 0);
    let mut logs: Vec<_> = from.heads().unwrap().iter().map(|head| head.log).collect();
    // What logs begin after is said in those that begin with a checkpoint.
    let checkpoints = from.checkpoints();
    logs.sort_by_key(|log| checkpoints.iter().all(|standing| standing.log != *log));
    for log in logs {
        let origin = from.origin(&log).unwrap().unwrap();
        let base = from.base(&log).unwrap();
        let after = base.map_or(0, |base| base.height);
        let run = from.read_run(&log, after, usize::MAX).unwrap();
        let taken = match base {
            Some(base) => to.append_from(now, &origin, base, &run),
            None => to.append_run(now, &origin, &run),
        };
        assert_eq!(taken.unwrap().early, 0);
    }
}

/// Lets vaults know of each other that they are equal, as the end of a sync does.
pub fn are_equal(vaults: &mut [&mut Vault], now: u64) {
    let devices: Vec<_> = vaults.iter().map(|vault| vault.device()).collect();
    for vault in vaults {
        devices
            .iter()
            .for_each(|device| vault.in_sync(now, device, &BTreeSet::new()));
    }
}

/// Gives `to` the identity log that `from` has.
pub fn send_identity(from: &Vault, to: &mut Vault, now: u64) {
    let entries = from.identity().entries().values();
    let entries: Vec<_> = entries.map(|entry| entry.to_bytes().to_vec()).collect();
    assert_eq!(to.add_entries(now, &entries).unwrap().early, 0);
}

/// All records of a collection of the space `home`, by id.
pub fn records(vault: &mut Vault, collection: &str) -> Vec<(String, Fields)> {
    let mut records = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = vault
            .list(&space("home"), collection, after.as_deref(), 3)
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        records.extend(page.into_iter().map(|record| (record.id, record.fields)));
    }
    records.sort_by(|a, b| a.0.cmp(&b.0));
    records
}

pub fn put(vault: &mut Vault, now: u64, collection: &str, id: &str, values: &[(&str, &str)]) {
    commit(vault, now, vec![change(Kind::Put, collection, id, values)]);
}

pub fn patch(vault: &mut Vault, now: u64, collection: &str, id: &str, values: &[(&str, &str)]) {
    commit(
        vault,
        now,
        vec![change(Kind::Patch, collection, id, values)],
    );
}

pub fn delete(vault: &mut Vault, now: u64, collection: &str, id: &str) {
    commit(vault, now, vec![change(Kind::Delete, collection, id, &[])]);
}

/// The rows of the index, as they are in the file.
pub fn index_rows(dir: &Path) -> Vec<(i64, rusqlite::types::Value, i64)> {
    let file = rusqlite::Connection::open(dir.join(twin_vault::FILE_NAME)).unwrap();
    let mut rows = file.prepare("SELECT k, p, t FROM rec ORDER BY k").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(|row| row.unwrap()).collect()
}

/// What a row of the table of ops holds after the number of its parts: heads and parts.
pub fn frames(row: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let (_, mut row) = row.split_first().unwrap();
    while let [a, b, c, rest @ ..] = row {
        let (frame, rest) = rest.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
        frames.push(frame.to_vec());
        row = rest;
    }
    frames
}
