//! A vault to be damaged, and what every salvage of it promises.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::file::Root;
use twin_ops::op::LogId;
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::Fields;
use twin_vault::salvage::{Header, RestRecord, Salvaged, salvage};
use twin_vault::{FILE_NAME, Unlock, Vault, VaultError, WriteChange};

use super::common::*;

pub const RECORDS: usize = 60;
pub const LATER: u64 = NOON + 1000;
pub const PAGE: usize = 4096;

/// The files of a vault, and what is in it.
pub struct Sample {
    pub db: Vec<u8>,
    pub wal: Vec<u8>,
    pub truth: Truth,
}

/// What a vault holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    pub records: BTreeMap<String, Fields>,
    pub logs: BTreeMap<LogId, Vec<Vec<u8>>>,
    pub entries: usize,
    pub content: Option<Vec<u8>>,
}

pub fn truth(vault: &mut Vault) -> Truth {
    let records = records(vault, "c").into_iter().collect();
    let mut logs = BTreeMap::new();
    for LogHead { log, .. } in vault.heads().unwrap() {
        logs.insert(log, vault.read_run(&log, 0, usize::MAX).unwrap());
    }
    Truth {
        records,
        logs,
        entries: vault.identity().entries().len(),
        content: content(vault),
    }
}

/// The content of the file, if all of it is here.
pub fn content(vault: &mut Vault) -> Option<Vec<u8>> {
    let record = vault.get(&space("home"), "files", "photo").unwrap()?;
    let root = Root::of(&record.fields.0["content"]).unwrap();
    let mut file = vault.open_file(&space("home"), root).unwrap();
    let mut content = Vec::new();
    let mut buffer = vec![0; 50_000];
    loop {
        let at = content.len() as u64;
        match vault.read_file(&mut file, at, &mut buffer) {
            Ok(0) => return Some(content),
            Ok(len) => content.extend_from_slice(&buffer[..len]),
            Err(VaultError::NotHere { .. }) => return None,
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn copy(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    let wal = fs::read(dir.join(format!("{FILE_NAME}-wal"))).unwrap_or_default();
    (fs::read(dir.join(FILE_NAME)).unwrap(), wal)
}

/// Records in two logs, a file, and an address; some of it only in the write-ahead log if `wal`.
pub fn sample(wal: bool) -> Sample {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut vault = phone(dir.path());
    let mut laptop = linked(other.path(), &mut vault, 10, Role::Member);
    for i in 0..RECORDS {
        let text = "long enough that a page holds only some of them ".repeat(4);
        put(
            &mut vault,
            NOON,
            "c",
            &format!("r{i}"),
            &[("a", "old"), ("b", &text)],
        );
    }
    send(&vault, &mut laptop, NOON);
    for i in (0..RECORDS).step_by(2) {
        patch(
            &mut laptop,
            NOON + 1,
            "c",
            &format!("r{i}"),
            &[("a", "new")],
        );
    }
    send(&laptop, &mut vault, NOON + 3);
    let mut writer = vault.begin_file(NOON, &mut rng(5), &space("home")).unwrap();
    let photo: Vec<u8> = (0..300_000u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    vault.push_file(NOON, &mut writer, &photo).unwrap();
    let added = vault.finish_file(NOON, writer).unwrap();
    let fields = Fields([("content".to_owned(), added.root().to_value())].into());
    let change = vec![WriteChange::put("files", "photo", fields)];
    vault
        .commit_files(NOON, &mut rng(6), &space("home"), change, &[added])
        .unwrap();
    let id = laptop.device_keys().id();
    vault.remember_address(id, "192.168.1.20:4001").unwrap();
    if wal {
        // What is in the file is settled, and what comes next is not.
        drop(vault);
        vault = reopen(dir.path()).unwrap();
    }
    for i in 0..RECORDS / 3 {
        put(
            &mut vault,
            NOON + 5,
            "c",
            &format!("late{i}"),
            &[("a", "late")],
        );
        delete(&mut vault, NOON + 6, "c", &format!("r{i}"));
    }
    let truth = truth(&mut vault);
    let (db, wal) = if wal {
        copy(dir.path())
    } else {
        drop(vault);
        copy(dir.path())
    };
    Sample { db, wal, truth }
}

/// A salvage from these bytes.
pub struct Try {
    pub from: TempDir,
    pub to: TempDir,
    pub rest: Vec<RestRecord>,
}

/// A salvage from one folder into another, with this key store.
pub fn salvage_to(
    from: &Path,
    to: &Path,
    key: &SoftKeyStore,
    header: Header,
    rest: &mut Vec<RestRecord>,
) -> Result<Salvaged, VaultError> {
    let unlock = Unlock::KeyStore(key);
    salvage(
        from,
        to,
        unlock,
        header,
        LATER,
        &mut rng(9),
        &mut |record| {
            rest.push(record);
            Ok(())
        },
    )
}

impl Try {
    pub fn of(db: &[u8], wal: &[u8]) -> (Self, Result<Salvaged, VaultError>) {
        Self::with(db, wal, Header::Believed)
    }

    pub fn with(db: &[u8], wal: &[u8], header: Header) -> (Self, Result<Salvaged, VaultError>) {
        let mut this = Self {
            from: tempdir().unwrap(),
            to: tempdir().unwrap(),
            rest: Vec::new(),
        };
        fs::write(this.from.path().join(FILE_NAME), db).unwrap();
        if !wal.is_empty() {
            fs::write(this.from.path().join(format!("{FILE_NAME}-wal")), wal).unwrap();
        }
        let (from, to) = (this.from.path(), this.to.path());
        let saved = salvage_to(from, to, &SoftKeyStore::new(1), header, &mut this.rest);
        assert!(
            copy(this.from.path()) == (db.to_vec(), wal.to_vec()),
            "it was written to"
        );
        let mut left: Vec<_> = fs::read_dir(this.from.path()).unwrap().collect();
        left.retain(|file| {
            !file
                .as_ref()
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with(FILE_NAME)
        });
        assert!(left.is_empty(), "{left:?}");
        (this, saved)
    }

    pub fn vault(&self) -> Vault {
        reopen(self.to.path()).unwrap()
    }
}

/// What every salvage promises, whatever was damaged. Returns what it says, or why there is no new vault.
///
/// The end of a log of SQLite's is nowhere said: one that is cut short, or whose last frame cannot be told from one that
/// is left of an earlier log, is a whole one as it was before.
pub fn try_it(
    sample: &Sample,
    db: &[u8],
    wal: &[u8],
) -> Result<(Salvaged, Vec<RestRecord>), VaultError> {
    let (this, saved) = Try::of(db, wal);
    let saved = match saved {
        Ok(saved) if saved.vault => saved,
        other => {
            assert!(!Vault::exists(this.to.path()), "half a vault");
            return other.map(|saved| {
                assert!(!saved.is_all());
                (saved, this.rest)
            });
        }
    };
    let mut vault = this.vault();
    let report = vault.check().unwrap();
    assert!(report.named.is_empty(), "{:?}", report.named);
    let now = truth(&mut vault);
    let mut whole = now.entries == sample.truth.entries && now.content == sample.truth.content;
    for (log, run) in &sample.truth.logs {
        let kept = now.logs.get(log).map_or(&[][..], |run| run);
        assert!(run.starts_with(kept), "other operations than there were");
        whole &= run.len() == kept.len();
    }
    assert!(
        now.logs
            .keys()
            .all(|log| sample.truth.logs.contains_key(log))
    );
    // Of each record what is here, or else shown, is what it was at some time: nothing is made up.
    for record in this.rest.iter().filter(|record| record.collection == "c") {
        let then = sample.truth.records.get(&record.id);
        let deleted = !sample.truth.records.contains_key(&record.id);
        assert!(
            deleted
                || record.fields.0.iter().all(|(name, value)| {
                    let then = then.and_then(|then| then.0.get(name));
                    then == Some(value) || *value == "old".into()
                }),
            "{record:?}"
        );
    }
    if now == sample.truth {
        assert!(this.rest.is_empty());
    }
    let cut_short = wal.len() < sample.wal.len() || last_frame(wal) != last_frame(&sample.wal);
    assert!(whole || !saved.is_all() || cut_short, "lost without a word");
    // The vault goes on: under a name that none of what may be lost was written under.
    put(&mut vault, LATER, "c", "after", &[("a", "salvage")]);
    let logs = vault.heads().unwrap();
    assert!(
        logs.iter()
            .any(|head| !sample.truth.logs.contains_key(&head.log))
    );
    Ok((saved, this.rest))
}

/// The header of the last frame of a write-ahead log.
fn last_frame(wal: &[u8]) -> Option<&[u8]> {
    let frame = wal.len().checked_sub(PAGE + 24)?;
    Some(&wal[frame..frame + 24])
}

/// Does this to the file behind the vault's back.
pub fn harm(dir: &Path, sql: &str) {
    let file = rusqlite::Connection::open(dir.join(FILE_NAME)).unwrap();
    assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
}
