//! A vault whose files were damaged: what is read is right, or an error says what is wrong; nothing is deleted.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tempfile::{TempDir, tempdir};
use twin_ops::store::OpStore;
use twin_tests::dice::Dice;
use twin_tests::vault::check::{self, Read};
use twin_tests::vault::load::{COLLECTIONS, Load, WORDS, begin, home, open};
use twin_vault::{FILE_NAME, VaultError};

/// How many steps a vault has behind it, and how many of them are in its write-ahead log alone.
const STEPS: usize = 30;
const IN_LOG: usize = 8;
const WAL: &str = "vault.db-wal";

/// A vault as it is after `kill -9`: its file and its write-ahead log, and what it must hold after each step.
struct Sample {
    dir: TempDir,
    loads: Vec<Load>,
}

fn sample(seed: u64) -> Sample {
    let home = tempdir().unwrap();
    let (phone, laptop) = (home.path().join("phone"), home.path().join("laptop"));
    let (mut vault, laptop) = begin(&phone, &laptop, seed).unwrap();
    let mut loads = vec![Load::new(seed)];
    for step in 0..STEPS {
        let mut load = loads.last().unwrap().clone();
        if step == STEPS - IN_LOG {
            drop(vault);
            let (_, chip) = load.truth.slots.first_key_value().unwrap();
            vault = open(&phone, *chip).unwrap();
        }
        load.act(&mut vault, &laptop).unwrap();
        load.take();
        loads.push(load);
    }
    let dir = tempdir().unwrap();
    for name in [FILE_NAME, WAL] {
        fs::copy(phone.join(name), dir.path().join(name)).unwrap();
    }
    Sample { dir, loads }
}

impl Sample {
    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    /// A folder with the sample's files, one of them with another content.
    fn with(&self, name: &str, content: &[u8]) -> TempDir {
        let dir = tempdir().unwrap();
        for other in [FILE_NAME, WAL] {
            fs::copy(self.dir.path().join(other), dir.path().join(other)).unwrap();
        }
        fs::write(dir.path().join(name), content).unwrap();
        dir
    }
}

/// Damages bytes, here and there.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) -> String {
    let page = 4096;
    let pages = bytes.len() / page;
    let at = dice.index(bytes.len());
    let (one, two) = (dice.index(pages) * page, dice.index(pages) * page);
    match dice.below(7) {
        0 | 1 => {
            let bit = dice.index(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            let end = (at + dice.index(64)).min(bytes.len());
            bytes[at..end].fill_with(|| dice.below(256) as u8);
            format!("bytes {at} to {end} scattered")
        }
        3 => {
            bytes[one..one + page].fill(0);
            format!("page at {one} emptied")
        }
        4 => {
            bytes.copy_within(two..two + page, one);
            format!("page at {two} written over the one at {one}")
        }
        5 => {
            let sector = one + dice.index(8) * 512;
            bytes[sector..sector + 512].fill(0xff);
            format!("sector at {sector} overwritten")
        }
        _ => {
            bytes.truncate(at);
            format!("cut off at {at}")
        }
    }
}

/// An error that says what is wrong with the vault, and not that a disk is broken or a call was wrong.
fn is_clear(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::Damaged(_)
            | VaultError::Newer
            | VaultError::BadSlot
            | VaultError::NoSlot
            | VaultError::KeyStore(_)
            | VaultError::File(_)
            | VaultError::NotHere { .. }
    )
}

/// Reads all of a damaged vault. What is shown must be what one of `loads` says; that it is all of it must be told
/// from what `check` says. Whether anything was amiss.
fn read_all(folder: &Path, loads: &[Load]) -> Result<bool, VaultError> {
    let last = loads.last().unwrap();
    let (_, chip) = last.truth.slots.first_key_value().unwrap();
    let mut vault = open(folder, *chip)?;
    let report = vault.check();
    let read = check::read(&mut vault);
    let amiss = match (&report, &read) {
        (Ok(report), Ok(read)) => {
            let whole = loads.iter().any(|load| read.is(&load.truth));
            assert!(
                whole || !report.is_whole(),
                "what is missing is found by a check"
            );
            let part = |load: &&Load| read.is_part_of(&load.truth);
            assert!(loads.iter().rev().any(|load| part(&load)), "{read:?}");
            !whole
        }
        _ => true,
    };
    // Whatever else can be asked for has an answer as well.
    for (collection, id) in last.truth.records.keys() {
        let expected = |fields| {
            let name = (collection.clone(), id.clone());
            let mut loads = loads.iter();
            loads.any(|load| load.truth.records.get(&name) == Some(fields))
        };
        match vault.get(&home(), collection, id) {
            Ok(Some(record)) => assert!(expected(&record.fields), "{record:?}"),
            Ok(None) => {}
            Err(error) => assert!(is_clear(&error), "{error:?}"),
        }
        if let Err(error) = vault.history(&home(), collection, id, None, 100) {
            assert!(is_clear(&error), "{error:?}");
        }
    }
    for word in WORDS {
        match vault.search(&home(), word, None, 1000) {
            Ok(hits) => assert!(hits.iter().all(|hit| {
                let name = (hit.collection.clone(), hit.record.id.clone());
                let mut loads = loads.iter();
                loads.any(|load| load.truth.records.get(&name) == Some(&hit.record.fields))
            })),
            Err(error) => assert!(is_clear(&error), "{error:?}"),
        }
    }
    for head in vault.heads()? {
        match vault.read_run(&head.log, 0, usize::MAX) {
            Ok(run) => assert!(run.len() as u64 <= head.head.height),
            Err(error) => assert!(is_clear(&error), "{error:?}"),
        }
    }
    report?;
    read.map(|_| amiss)
}

/// Damages a file so many times; returns how often something was amiss, and how often nothing.
fn rounds(name: &str, seed: u64, rounds: usize) -> (usize, usize) {
    let sample = sample(seed);
    let whole = sample.file(name);
    let mut dice = Dice::new(seed);
    let (mut amiss, mut unharmed) = (0, 0);
    // Of a log, what was committed last may be gone as if it had never been.
    let first = match name {
        WAL => STEPS - IN_LOG,
        _ => STEPS,
    };
    for round in 0..rounds {
        let mut bytes = whole.clone();
        let how = damage(&mut bytes, &mut dice);
        let when = format!("seed {seed}, round {round}: {how} in {name}");
        let dir = sample.with(name, &bytes);
        let read = AssertUnwindSafe(|| read_all(dir.path(), &sample.loads[first..]));
        match catch_unwind(read).unwrap_or_else(|_| panic!("{when}")) {
            Ok(false) => unharmed += 1,
            Ok(true) => amiss += 1,
            Err(error) => {
                assert!(is_clear(&error), "{when}: {error:?}");
                assert!(!error.to_string().is_empty());
                amiss += 1;
            }
        }
        assert!(dir.path().join(FILE_NAME).exists(), "never deleted");
    }
    (amiss, unharmed)
}

#[test]
fn a_damaged_file_is_told_or_does_no_harm() {
    let (amiss, _) = rounds(FILE_NAME, 1, 60);
    assert!(amiss > 20);
}

#[test]
fn a_damaged_log_is_told_or_ends_before_the_last_commit() {
    // Its checksums say where it is damaged, and what stands behind whether anything durable would be lost.
    let (amiss, unharmed) = rounds(WAL, 2, 60);
    assert!(amiss > 20 && unharmed > 2, "{amiss} {unharmed}");
}

#[test]
fn collections_are_those_of_the_load() {
    let sample = sample(1);
    let (_, chip) = sample.loads[STEPS].truth.slots.first_key_value().unwrap();
    let dir = sample.with(WAL, &sample.file(WAL));
    let mut vault = open(dir.path(), *chip).unwrap();
    let there = vault.collections(&home()).unwrap();
    assert!(
        COLLECTIONS
            .iter()
            .all(|name| there.iter().any(|there| there == name))
    );
    let read: Read = check::read(&mut vault).unwrap();
    assert!(read.is(&sample.loads[STEPS].truth));
}
