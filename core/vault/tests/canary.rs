//! Nothing readable in the file: words planted everywhere are looked for in every file of the folder, in the folder for
//! temporary files and in all that is logged.
//!
//! In a build with `--cfg twin_break` and `TWIN_BREAK=sealing_off` the same words must be found, each of them: that
//! shows that they would be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "common/canary.rs"]
mod canary;
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use canary::{Found, logged, record_log, search, search_bytes, spellings};
use common::*;
use data_encoding::BASE64_NOPAD;
use tempfile::tempdir;
use twin_ops::store::OpStore;
use twin_ops::value::Value;
use twin_vault::{Query, Unlock, Vault};

const DIR: &str = "TWIN_VAULT_TEST_DIR";

const VALUE: &str = "canary-value-Zaunkönig";
const BYTES: &str = "canary-bytes-Rotkehlchen";
const FIELD: &str = "canary-field-Nachtigall";
const ID: &str = "canary-id-Goldammer";
const COLLECTION: &str = "canary-collection-Bachstelze";
const SPACE: &str = "canary-space-Eisvogel";
const DEVICE: &str = "canary-device-Mauersegler";
const TWIN: &str = "canary-twin-Gimpel";
const ADDRESS: &str = "canary-address-Pirol";
const CONTENT: &str = "canary-content-Stieglitz";
/// A word of the value, as it is kept for searching.
const FOLDED: &str = "zaunkonig";
/// What a field was before.
const PAST: &str = "canary-past-Wiedehopf";
/// What a file is called.
const FILE: &str = "canary-file-Kleiber.jpg";
/// What a slot is called.
const LABEL: &str = "canary-label-Sperling";
const WORDS: [&str; 14] = [
    VALUE, BYTES, FIELD, ID, COLLECTION, SPACE, DEVICE, TWIN, ADDRESS, CONTENT, FOLDED, PAST, FILE,
    LABEL,
];

fn plant(vault: &mut Vault) {
    let mut note = common::change(
        twin_ops::change::Kind::Put,
        COLLECTION,
        ID,
        &[(FIELD, VALUE)],
    );
    let past = common::change(
        twin_ops::change::Kind::Put,
        COLLECTION,
        ID,
        &[(FIELD, PAST)],
    );
    vault
        .commit(NOON - 1, &mut rng(5), &space(SPACE), vec![past])
        .unwrap();
    let chip = SoftKeyStore::new(2);
    let unlock = Unlock::KeyStore(&chip);
    vault.add_slot(NOON, unlock, LABEL, &mut rng(6)).unwrap();
    let bytes = Value::Bytes(BYTES.as_bytes().to_vec());
    note.fields.0.insert("bytes".to_owned(), bytes);
    vault
        .commit(NOON, &mut rng(1), &space(SPACE), vec![note])
        .unwrap();
    let names = vec![
        common::change(
            twin_ops::change::Kind::Put,
            "devices",
            "1",
            &[("name", DEVICE)],
        ),
        common::change(twin_ops::change::Kind::Put, "twin", "1", &[("name", TWIN)]),
    ];
    vault
        .commit(NOON, &mut rng(2), &space("~members"), names)
        .unwrap();
    // In more than one transaction, and the last one not finished.
    let text = CONTENT.repeat(4 << 10);
    for now in [NOON, NOON + 1] {
        let mut writer = vault.begin_file(now, &mut rng(3), &space(SPACE)).unwrap();
        vault.push_file(now, &mut writer, text.as_bytes()).unwrap();
        let added = vault.finish_file(now, writer).unwrap();
        let mut file = common::change(
            twin_ops::change::Kind::Put,
            COLLECTION,
            "file",
            &[("name", FILE)],
        );
        let root = added.root().to_value();
        file.fields.0.insert("content".to_owned(), root);
        if now == NOON {
            vault
                .commit_files(now, &mut rng(4), &space(SPACE), vec![file], &[added])
                .unwrap();
        }
    }
    vault.remember_address(vault.device(), ADDRESS).unwrap();
    let schema = common::change(
        twin_ops::change::Kind::Put,
        "~schema",
        COLLECTION,
        &[(FIELD, "text indexed")],
    );
    vault
        .commit_imported(NOON, &mut rng(3), &space(SPACE), vec![schema], &[])
        .unwrap();
    look(vault);
}

/// Finds the record by a word and by the value of a field: what that takes is in the file then.
fn look(vault: &mut Vault) {
    let hits = vault.search(&space(SPACE), FOLDED, None, 10).unwrap();
    assert_eq!(hits.len(), 1);
    let query = Query::equal(FIELD, VALUE.into());
    let page = vault.query(&space(SPACE), COLLECTION, &query).unwrap();
    assert!(page.indexed && page.records.len() == 1);
}

#[cfg(twin_break)]
fn sealing_is_off() -> bool {
    twin_identity::broken::is("sealing_off")
}

#[cfg(not(twin_break))]
fn sealing_is_off() -> bool {
    false
}

fn expect_nothing(dir: &Path, when: &str) {
    let (found, searched) = search(dir, &WORDS);
    assert!(searched > 10_000, "there is nothing to search");
    if sealing_is_off() {
        for word in WORDS {
            assert!(
                found.contains(&(word, "UTF-8")),
                "{word} was not found {when}"
            );
        }
    } else {
        assert_eq!(found, [], "{when}");
    }
    assert_eq!(search_bytes(&logged(), &WORDS), [], "logged {when}");
}

#[test]
fn no_word_is_readable() {
    record_log();
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    plant(&mut vault);
    expect_nothing(dir.path(), "while open");
    let record = vault.get(&space(SPACE), COLLECTION, ID).unwrap().unwrap();
    assert_eq!(record.fields.0[FIELD], VALUE.into());
    vault.rebuild_index().unwrap();
    look(&mut vault);
    expect_nothing(dir.path(), "after the index was made anew");
    drop(vault);
    expect_nothing(dir.path(), "after close");
}

#[test]
fn no_word_is_readable_after_kill_9() {
    record_log();
    let (dir, temporary) = (tempdir().unwrap(), tempdir().unwrap());
    drop(phone(dir.path()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        // Where it would put what does not fit into memory.
        .env("TMPDIR", temporary.path())
        .env("SQLITE_TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("planted")));
    child.kill().unwrap();
    child.wait().unwrap();
    let wal = fs::metadata(dir.path().join("vault.db-wal")).unwrap();
    assert!(
        wal.len() > 0,
        "the child was killed before its WAL went into the file"
    );
    expect_nothing(dir.path(), "after kill -9");
    assert_eq!(search(temporary.path(), &WORDS), (vec![], 0));
    let mut vault = reopen(dir.path()).unwrap();
    assert!(vault.get(&space(SPACE), COLLECTION, ID).unwrap().is_some());
    drop(vault);
    expect_nothing(dir.path(), "after it was opened and closed again");
}

/// Not a test: what the child process of the test above runs.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut vault = reopen(Path::new(&dir)).unwrap();
    plant(&mut vault);
    writeln!(std::io::stdout(), "planted").unwrap();
    std::thread::park();
}

#[test]
fn every_spelling_would_be_found() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file");
    let around = vec![0xa5; 6000];
    let written = |spelling: &[u8]| -> Vec<Found<'_>> {
        fs::write(&path, [&around, spelling, &around].concat()).unwrap();
        search(dir.path(), &WORDS).0
    };
    assert_eq!(written(b""), []);
    for word in WORDS {
        for (how, spelling) in spellings(word) {
            assert!(written(&spelling).contains(&(word, how)));
        }
        // In the middle of a longer text, at every alignment.
        for before in 0..3 {
            let text = format!("{}{word}and more", "x".repeat(before));
            let base64 = BASE64_NOPAD.encode(text.as_bytes());
            assert!(written(base64.as_bytes()).contains(&(word, "base64")));
        }
    }
}
