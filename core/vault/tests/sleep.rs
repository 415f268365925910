//! A vault that sleeps holds on to nothing, and picks up where it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use tempfile::tempdir;
use twin_vault::{Unlock, VaultError};

const DIR: &str = "TWIN_VAULT_TEST_DIR";

/// Not a test: what the other process of the tests below does.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut vault = reopen(Path::new(&dir)).unwrap();
    put(&mut vault, NOON, "c", "child", &[("a", "written")]);
}

fn another_process_writes(dir: &Path) {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored"])
        .env(DIR, dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// How many locks this process holds on files in `dir`, and how many of them it has open.
#[cfg(target_os = "linux")]
fn held(dir: &Path) -> (usize, usize) {
    use std::os::unix::fs::MetadataExt;
    let here: Vec<u64> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().ino())
        .collect();
    let this = std::process::id().to_string();
    // 1: POSIX ADVISORY READ 12345 00:fd:131074 0 EOF
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let locks = locks.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let inode = words[5].rsplit(':').next().unwrap().parse().unwrap();
        words[4] == this && here.contains(&inode)
    });
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter(|fd| {
        let path = std::fs::read_link(fd.as_ref().unwrap().path());
        path.is_ok_and(|path| path.starts_with(dir.canonicalize().unwrap()))
    });
    (locks.count(), open.count())
}

#[cfg(target_os = "linux")]
#[test]
fn a_sleeping_vault_holds_no_lock_and_no_file() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    for i in 0..3 {
        put(&mut vault, NOON + i, "c", &format!("{i}"), &[("a", "word")]);
        assert_eq!(records(&mut vault, "c").len() as u64, i + 1);
        vault.search(&space("home"), "word", None, 10).unwrap();
        // An open database is locked, even when nobody reads.
        let (locks, open) = held(dir.path());
        assert!(locks > 0 && open > 0, "{locks} {open}");
        vault.sleep().unwrap();
        assert!(vault.is_asleep());
        assert_eq!(held(dir.path()), (0, 0));
        vault.sleep().unwrap();
    }
}

#[test]
fn another_process_has_the_files_to_itself_meanwhile() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(&mut vault, NOON, "c", "mine", &[("a", "1")]);
    let wal = dir.path().join("vault.db-wal");
    assert!(wal.exists());
    vault.sleep().unwrap();
    assert!(!wal.exists(), "it was the last to have the file open");
    another_process_writes(dir.path());
    assert!(!wal.exists(), "and then the other one was");
    // What the other wrote is seen, and both go on in one log.
    assert!(vault.is_asleep());
    assert_eq!(records(&mut vault, "c").len(), 2);
    assert!(!vault.is_asleep());
    vault.sleep().unwrap();
    put(&mut vault, NOON, "c", "mine", &[("a", "2")]);
    assert_eq!(records(&mut vault, "c").len(), 2);
    drop(vault);
    let report = reopen(dir.path()).unwrap().check().unwrap();
    assert!(report.is_whole(), "{report:?}");
}

#[test]
fn a_vault_that_was_locked_anew_meanwhile_says_so() {
    let dir = tempdir().unwrap();
    let mut app = phone(dir.path());
    put(&mut app, NOON, "c", "r", &[("a", "1")]);
    app.sleep().unwrap();
    let mut other = reopen(dir.path()).unwrap();
    let store = SoftKeyStore::new(2);
    let slot = other
        .add_slot(NOON, Unlock::KeyStore(&store), "second", &mut rng(1))
        .unwrap();
    other.remove_slot(slot, None, &mut rng(2)).unwrap();
    let found = app.get(&space("home"), "c", "r");
    assert!(matches!(found, Err(VaultError::Renewed)), "{found:?}");
}

#[test]
fn a_vault_that_is_gone_is_missing() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    vault.sleep().unwrap();
    std::fs::remove_file(dir.path().join("vault.db")).unwrap();
    let found = vault.get(&space("home"), "c", "r");
    assert!(matches!(found, Err(VaultError::Missing)), "{found:?}");
}
