//! Vaults of earlier and of later versions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::*;
use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::file::Root;
use twin_ops::value::Value;
use twin_vault::{FILE_NAME, Vault, VaultError};

/// The version of the tables today.
const TODAY: u32 = 1;
const CONTENT: &[u8] = b"what is in the file";

/// All that is in a folder.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let file = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    entries.map(file).collect()
}

/// The same files elsewhere, as if they had been left by a program that was killed.
fn copy(from: &Path) -> TempDir {
    let to = tempdir().unwrap();
    for (path, content) in files(from) {
        fs::write(to.path().join(path.file_name().unwrap()), content).unwrap();
    }
    to
}

#[test]
fn a_later_version_is_left_as_it_is_byte_for_byte() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(&mut vault, NOON, "c", "r", &[("a", "1")]);
    drop(vault);
    let refused = |dir: &Path, what: &str| {
        let before = files(dir);
        assert!(matches!(reopen(dir), Err(VaultError::Newer)), "{what}");
        let wrong = twin_vault::Unlock::Password("any");
        assert!(matches!(
            Vault::open(dir, wrong, NOON),
            Err(VaultError::Newer)
        ));
        assert!(files(dir) == before, "{what}: it was touched");
    };
    let path = dir.path().join(FILE_NAME);
    let later = rusqlite::Connection::open(&path).unwrap();
    later
        .pragma_update(None, "user_version", TODAY + 1)
        .unwrap();
    later
        .execute_batch("CREATE TABLE of_later (x); INSERT INTO of_later VALUES (1)")
        .unwrap();
    // The later version was killed: that it was there is in the log alone.
    let killed = copy(dir.path());
    let names: Vec<_> = files(killed.path()).into_keys().collect();
    assert_eq!(names.len(), 4, "the file, its log, its index and a lock");
    refused(killed.path(), "with a log and its index");
    fs::remove_file(killed.path().join("vault.db-shm")).unwrap();
    refused(killed.path(), "with a log");
    // It runs.
    refused(dir.path(), "while another has it open");
    drop(later);
    refused(dir.path(), "closed");
    let message = reopen(dir.path()).unwrap_err().to_string();
    assert!(message.contains("newer version") && message.contains("update the app"));
}

/// What a vault of a version is to hold, whatever it has been through since.
fn plant(dir: &Path) {
    let mut vault = phone(dir);
    let beside = tempdir().unwrap();
    put(
        &mut vault,
        NOON,
        "notes",
        "a",
        &[("title", "first"), ("b", "kept")],
    );
    patch(&mut vault, NOON + 1, "notes", "a", &[("title", "second")]);
    put(
        &mut vault,
        NOON + 2,
        "notes",
        "gone",
        &[("title", "deleted")],
    );
    delete(&mut vault, NOON + 3, "notes", "gone");
    put(
        &mut vault,
        NOON + 4,
        "notes",
        "erased",
        &[("title", "erased")],
    );
    vault
        .erase(NOON + 5, &mut rng(1), &space("home"), "notes", "erased")
        .unwrap();
    let mut laptop = linked(beside.path(), &mut vault, 10, Role::Member);
    send(&vault, &mut laptop, NOON + 6);
    put(
        &mut laptop,
        NOON + 6,
        "notes",
        "laptop",
        &[("title", "from afar")],
    );
    send(&laptop, &mut vault, NOON + 6);
    let mut writer = vault.begin_file(NOON, &mut rng(2), &space("home")).unwrap();
    vault.push_file(NOON, &mut writer, CONTENT).unwrap();
    let added = vault.finish_file(NOON, writer).unwrap();
    let mut file = change(Kind::Put, "files", "f", &[]);
    let root = added.root().to_value();
    file.fields.0.insert("root".to_owned(), root);
    vault
        .commit_files(NOON + 7, &mut rng(3), &space("home"), vec![file], &[added])
        .unwrap();
    vault.settle_index().unwrap();
    let found = vault.search(&space("home"), "second", None, 10).unwrap();
    assert_eq!(found.len(), 1);
    // And something that is late.
    patch(&mut vault, NOON + 8, "notes", "a", &[("c", "late")]);
}

fn expect_planted(vault: &mut Vault) {
    let title = |title| fields(&[("title", title)]);
    let a = fields(&[("title", "second"), ("b", "kept"), ("c", "late")]);
    let expected = [("a", a), ("laptop", title("from afar"))];
    let expected = expected.map(|(id, fields)| (id.to_owned(), fields));
    assert_eq!(records(vault, "notes"), expected);
    let history = vault
        .history(&space("home"), "notes", "a", None, 10)
        .unwrap();
    assert_eq!(history.len(), 3);
    let found = vault.search(&space("home"), "afar", None, 10).unwrap();
    assert_eq!(found[0].record.id, "laptop");
    let file = vault.get(&space("home"), "files", "f").unwrap().unwrap();
    let root = file.fields.0.get("root").and_then(Root::of).unwrap();
    let mut reader = vault.open_file(&space("home"), root).unwrap();
    let mut content = vec![0; 100];
    let len = vault.read_file(&mut reader, 0, &mut content).unwrap();
    assert_eq!(&content[..len], CONTENT);
    assert!(vault.check().unwrap().is_whole());
}

/// `tests/samples/N.db` was written by the version N and is never changed once people have had that version; until then
/// `UPDATE_VECTORS=1` writes today's anew.
#[test]
fn what_an_earlier_version_has_written_is_all_there() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let dir = tempdir().unwrap();
        plant(dir.path());
        let file = rusqlite::Connection::open(dir.path().join(FILE_NAME)).unwrap();
        file.execute_batch("VACUUM").unwrap();
        drop(file);
        let sample = samples.join(format!("{TODAY}.db"));
        fs::copy(dir.path().join(FILE_NAME), sample).unwrap();
    }
    for version in 1..=TODAY {
        let dir = tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::copy(samples.join(format!("{version}.db")), &path).unwrap();
        let of = |path: &Path| -> u32 {
            let file = rusqlite::Connection::open(path).unwrap();
            file.pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap()
        };
        assert_eq!(of(&path), version);
        let mut vault = reopen(dir.path()).unwrap();
        expect_planted(&mut vault);
        vault.rebuild_index().unwrap();
        expect_planted(&mut vault);
        // And it is written to.
        let field = Value::from("today");
        put(&mut vault, NOON + 9, "notes", "b", &[("when", "today")]);
        assert_eq!(records(&mut vault, "notes")[1].1.0["when"], field);
        drop(vault);
        assert_eq!(of(&path), TODAY);
    }
}
