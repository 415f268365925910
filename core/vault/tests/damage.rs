//! A file with flipped bits, or cut short: an error or the truth, never a panic, never something else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use common::*;
use tempfile::tempdir;
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_ops::value::Fields;
use twin_vault::{FILE_NAME, Vault, VaultError};

const RECORDS: usize = 90;

fn id(i: usize) -> String {
    format!("record{i}")
}

/// A file with records of one part and of several, in two logs, and what they should be.
fn sample() -> (Vec<u8>, Vec<Fields>) {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut vault = phone(dir.path());
    let mut laptop = linked(other.path(), &mut vault, 10, Role::Member);
    for i in 0..RECORDS {
        put(&mut vault, NOON, "c", &id(i), &[("a", "old"), ("b", "old")]);
    }
    send(&vault, &mut laptop, NOON);
    for i in (0..RECORDS).step_by(2) {
        patch(&mut laptop, NOON + 1, "c", &id(i), &[("a", "new")]);
    }
    for i in (0..RECORDS).step_by(3) {
        put(&mut vault, NOON + 2, "c", &id(i), &[("a", "newer")]);
    }
    send(&laptop, &mut vault, NOON + 3);
    let read = |i| {
        vault
            .get(&space("home"), "c", &id(i))
            .unwrap()
            .unwrap()
            .fields
    };
    let truth = (0..RECORDS).map(read).collect();
    drop(vault);
    (fs::read(dir.path().join(FILE_NAME)).unwrap(), truth)
}

/// Reads everything from a damaged file. `Err` is what the vault says of it.
fn read_all(dir: &Path, truth: &[Fields]) -> Result<(), VaultError> {
    let mut vault = reopen(dir)?;
    let mut missing = Vec::new();
    let mut first_error = None;
    for (i, expected) in truth.iter().enumerate() {
        match vault.get(&space("home"), "c", &id(i)) {
            Ok(Some(record)) => assert_eq!(record.fields, *expected, "{}", id(i)),
            Ok(None) => missing.push(i),
            Err(error) => first_error = Some(error),
        }
    }
    match vault.list(&space("home"), "c", None, usize::MAX) {
        Ok(page) => {
            for record in page {
                let i: usize = record.id.strip_prefix("record").unwrap().parse().unwrap();
                assert_eq!(record.fields, truth[i]);
            }
        }
        Err(error) => first_error = Some(error),
    }
    first_error = first_error.or(runs(&vault).err());
    if !missing.is_empty() {
        // A row of the index was hit. Whatever it hid is still in the ops.
        vault.rebuild_index()?;
        for i in missing {
            let record = vault.get(&space("home"), "c", &id(i))?;
            assert_eq!(
                record.map(|record| record.fields).as_ref(),
                Some(&truth[i]),
                "{}",
                id(i)
            );
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// What would be sent to a peer is whole.
fn runs(vault: &Vault) -> Result<(), VaultError> {
    for head in vault.heads()? {
        let mut sent = 0;
        while sent < head.head.height {
            // Up to one that is damaged it is shorter, and from there on an error.
            let run = vault.read_run(&head.log, sent, usize::MAX)?;
            assert!(!run.is_empty());
            sent += run.len() as u64;
        }
        assert_eq!(sent, head.head.height);
    }
    Ok(())
}

#[test]
fn flipped_bits_are_noticed() {
    let (bytes, truth) = sample();
    let dir = tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let (mut errors, mut unharmed) = (0, 0);
    let mut dice = 1u64;
    for round in 0..600 {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bit = (dice >> 16) as usize % (bytes.len() * 8);
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("{FILE_NAME}{suffix}")));
        }
        fs::write(&path, &damaged).unwrap();
        let read = std::panic::catch_unwind(|| read_all(dir.path(), &truth));
        match read.unwrap_or_else(|_| panic!("round {round}, bit {bit}")) {
            Ok(()) => unharmed += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                errors += 1;
            }
        }
        assert!(path.exists(), "a damaged file is never deleted");
    }
    // Free space and padding can be hit without harm; most bits matter.
    assert!(errors > unharmed, "{errors} errors, {unharmed} unharmed");
}

#[test]
fn a_damaged_write_ahead_log_is_not_dropped() {
    const FRAME: usize = 24 + 4096;
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let path = |name: &str| dir.path().join(format!("{FILE_NAME}{name}"));
    for i in 0..6 {
        put(&mut vault, NOON, "c", &id(i), &[("a", "1")]);
    }
    // As a program leaves it that is killed.
    let (db, wal) = (fs::read(path("")).unwrap(), fs::read(path("-wal")).unwrap());
    drop(vault);
    let frames = (wal.len() - 32) / FRAME;
    let mut refused = 0;
    for frame in 0..frames {
        let mut damaged = wal.clone();
        damaged[32 + frame * FRAME + 24 + 2000] ^= 1;
        fs::write(path(""), &db).unwrap();
        fs::write(path("-wal"), &damaged).unwrap();
        let _ = fs::remove_file(path("-shm"));
        match reopen(dir.path()) {
            Err(VaultError::Damaged(what)) => {
                assert_eq!(what, "its write-ahead log");
                assert_eq!(
                    fs::read(path("-wal")).unwrap(),
                    damaged,
                    "nothing is dropped"
                );
                assert_eq!(fs::read(path("")).unwrap(), db);
                refused += 1;
            }
            // What was not durable may be missing: the last commit is all that nobody can vouch for.
            Ok(mut vault) => {
                let left = vault.list(&space("home"), "c", None, 10).unwrap();
                assert!(left.len() >= 5, "frame {frame}: {} left", left.len());
                assert!(vault.check().unwrap().is_whole());
            }
            Err(error) => panic!("frame {frame}: {error}"),
        }
    }
    assert!(refused > 6 && refused < frames, "{refused} of {frames}");
    // Without its header the log would be none at all, for SQLite.
    for byte in 0..32 {
        let mut damaged = wal.clone();
        damaged[byte] ^= 4;
        fs::write(path(""), &db).unwrap();
        fs::write(path("-wal"), &damaged).unwrap();
        let refused = reopen(dir.path());
        assert!(
            matches!(refused, Err(VaultError::Damaged(_))),
            "byte {byte}"
        );
        assert!(fs::read(path("-wal")).unwrap() == damaged);
    }
}

/// SQLite would take it, and write it into the file when that is closed.
#[test]
fn a_log_of_another_vault_does_not_go_into_the_file() {
    let [one, other] = [(); 2].map(|()| tempdir().unwrap());
    let mut vault = phone(one.path());
    put(&mut vault, NOON, "c", "a", &[("a", "1")]);
    let mut laptop = linked(other.path(), &mut vault, 7, Role::Member);
    let known = vault.device();
    laptop.remember_address(known, "/memory/1").unwrap();
    drop(vault);
    let path = |name: &str| one.path().join(format!("{FILE_NAME}{name}"));
    let wal = fs::read(other.path().join(format!("{FILE_NAME}-wal"))).unwrap();
    assert!(wal.len() > 4096 && !path("-wal").exists());
    let db = fs::read(path("")).unwrap();
    fs::write(path("-wal"), &wal).unwrap();
    assert!(reopen(one.path()).is_err());
    assert!(fs::read(path("")).unwrap() == db && fs::read(path("-wal")).unwrap() == wal);
    fs::remove_file(path("-wal")).unwrap();
    let mut vault = reopen(one.path()).unwrap();
    let list = vault.list(&space("home"), "c", None, 10).unwrap();
    assert_eq!(list.len(), 1);
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn a_file_cut_short_is_noticed() {
    let (bytes, truth) = sample();
    let dir = tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    for len in (0..bytes.len())
        .step_by(bytes.len() / 40)
        .chain([1, 15, 16, 99, 100, 4095])
    {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("{FILE_NAME}{suffix}")));
        }
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(
            read_all(dir.path(), &truth).is_err(),
            "cut to {len} of {}",
            bytes.len()
        );
    }
}
