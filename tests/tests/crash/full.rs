//! A disk that is full, or breaks, at any write of any step: the step has not happened, the vault goes on, and does it
//! when there is room again.

use tempfile::tempdir;
use twin_disk::{Disk, Fault, Trouble};
use twin_ops::value::{Fields, Value};
use twin_tests::dice::Dice;
use twin_tests::vault::check::{is_whole, shows};
use twin_tests::vault::load::{self, COLLECTIONS, FIRST_ID, Load, NOON, begin, open};
use twin_vault::schema::Schema;
use twin_vault::search::Query;
use twin_vault::{VaultError, WriteChange};

/// How many steps.
const STEPS: usize = 16;

fn is_told(trouble: Trouble, error: &VaultError) -> bool {
    match trouble {
        Trouble::Full => {
            let told = error.to_string();
            let says = |word| told.contains(word);
            matches!(error, VaultError::DiskFull) && says("disk is full") && says("free some space")
        }
        _ => matches!(error, VaultError::Storage(_) | VaultError::Io(_)),
    }
}

/// Does steps, each of them first with trouble at its first call, then at its second, until there is none; returns how
/// often there was.
fn at_every_call(trouble: Trouble, lasts: bool, seed: u64) -> usize {
    let home = tempdir().unwrap();
    let (phone, laptop) = (home.path().join("phone"), home.path().join("laptop"));
    let (mut vault, laptop) = begin(&phone, &laptop, seed).unwrap();
    let disk = Disk::under(&phone).unwrap();
    let mut load = Load::new(seed);
    let mut failed = 0;
    for _ in 0..STEPS {
        let step = load.next();
        for n in 0.. {
            // Every call of short steps, and ever fewer of long ones.
            let after = n + n * n * n / 1000;
            disk.fail(Fault {
                trouble,
                after,
                lasts,
            });
            let Err(error) = load.act(&mut vault, &laptop) else {
                disk.mend();
                break;
            };
            let when = format!("seed {seed}, {step:?}, {trouble:?} after {after}");
            assert!(is_told(trouble, &error), "{when}: {error:?}");
            // Reading goes on, and nothing of the step has happened: in memory, and for who opens the file now.
            shows(&mut vault, &load.truth).expect(&when);
            if n % 8 == 0 {
                let (_, chip) = load.truth.slots.first_key_value().unwrap();
                let mut other = open(&phone, *chip).unwrap();
                shows(&mut other, &load.truth).expect(&when);
            }
            assert!(disk.mend() > 0, "{when}: {error:?}");
            failed += 1;
        }
        load.take();
        shows(&mut vault, &load.truth).unwrap();
    }
    drop(vault);
    is_whole(&phone, &load.truth).unwrap();
    failed
}

#[test]
fn a_full_disk_is_told_and_nothing_has_happened() {
    assert!(at_every_call(Trouble::Full, true, 1) > 50);
}

#[test]
fn a_disk_that_is_full_for_a_moment_is_the_same() {
    assert!(at_every_call(Trouble::Full, false, 2) > 50);
}

#[test]
fn a_disk_that_breaks_is_told_and_nothing_has_happened() {
    assert!(at_every_call(Trouble::Broken, true, 3) > 50);
    assert!(at_every_call(Trouble::Broken, false, 4) > 50);
}

/// What is new is found all the same, by words and by values.
#[test]
fn what_was_written_last_is_found_on_a_full_disk() {
    let home = tempdir().unwrap();
    let (phone, laptop) = (home.path().join("phone"), home.path().join("laptop"));
    let (mut vault, _) = begin(&phone, &laptop, 1).unwrap();
    let mut dice = Dice::new(1);
    let rule = "text indexed".parse().unwrap();
    let schema = Schema([("word".to_owned(), rule)].into());
    let space = load::home();
    vault
        .set_schema(NOON, dice.rng(), &space, "letters", &schema)
        .unwrap();
    let disk = Disk::under(&phone).unwrap();
    for (number, word) in ["first", "second"].into_iter().enumerate() {
        let fields = [("word".to_owned(), Value::Text(word.to_owned()))];
        let change = WriteChange::put("letters", &number.to_string(), Fields(fields.into()));
        vault
            .commit(NOON, dice.rng(), &space, vec![change])
            .unwrap();
        disk.fail(Fault {
            trouble: Trouble::Full,
            after: 0,
            lasts: true,
        });
        for _ in 0..2 {
            let hits = vault.search(&space, word, None, 10).unwrap();
            assert_eq!(hits.len(), 1, "{word}");
            let query = Query::equal("word", Value::Text(word.to_owned()));
            let found = vault.query(&space, "letters", &query).unwrap();
            assert_eq!((found.records.len(), found.indexed), (1, false));
        }
        assert!(disk.mend() > 0);
        assert_eq!(vault.search(&space, word, None, 10).unwrap().len(), 1);
    }
    assert!(vault.check().unwrap().is_whole());
}

/// A record is erased or it is not; where the disk has no room to drop its file, that is told, and done later.
#[test]
fn content_that_a_full_disk_keeps_goes_when_there_is_room() {
    let home = tempdir().unwrap();
    let (phone, laptop) = (home.path().join("phone"), home.path().join("laptop"));
    let (mut vault, _) = begin(&phone, &laptop, 1).unwrap();
    let mut dice = Dice::new(1);
    let disk = Disk::under(&phone).unwrap();
    let space = load::home();
    let here = vault.check().unwrap().chunks;
    let mut kept = 0;
    for after in 0.. {
        let mut film = vault.begin_file(NOON, dice.rng(), &space).unwrap();
        vault.push_file(NOON, &mut film, &[7; 300_000]).unwrap();
        let film = vault.finish_file(NOON, film).unwrap();
        let fields = [("content".to_owned(), film.root().to_value())];
        let change = vec![WriteChange::put("films", "film", Fields(fields.into()))];
        vault
            .commit_files(NOON, dice.rng(), &space, change, &[film])
            .unwrap();
        disk.fail(Fault {
            trouble: Trouble::Full,
            after,
            lasts: true,
        });
        let erased = vault.erase(NOON, dice.rng(), &space, "films", "film");
        let shown = vault.get(&space, "films", "film").unwrap();
        assert_eq!(shown.is_some(), erased.is_err(), "{after}: {erased:?}");
        let is_wiped = erased.is_ok() && vault.is_wiped().unwrap();
        if disk.mend() == 0 {
            assert!(is_wiped && kept > 0);
            break;
        }
        if erased.is_err() {
            vault
                .erase(NOON, dice.rng(), &space, "films", "film")
                .unwrap();
        } else if !is_wiped {
            kept += 1;
            vault.collect_garbage(NOON).unwrap();
        }
        assert!(vault.is_wiped().unwrap());
        assert_eq!(vault.check().unwrap().chunks, here, "{after}");
    }
}

/// What is erased is gone from the write-ahead log, too: on a full disk as soon as there is room.
#[test]
fn what_was_erased_on_a_full_disk_leaves_the_log_when_there_is_room() {
    let home = tempdir().unwrap();
    let (phone, laptop) = (home.path().join("phone"), home.path().join("laptop"));
    let (mut vault, _) = begin(&phone, &laptop, 1).unwrap();
    let mut dice = Dice::new(1);
    let disk = Disk::under(&phone).unwrap();
    for after in 0.. {
        disk.fail(Fault {
            trouble: Trouble::Full,
            after,
            lasts: true,
        });
        // The log goes into the file last: at first nothing else fits, then all but that.
        let erased = vault.erase(NOON, dice.rng(), &load::home(), COLLECTIONS[0], FIRST_ID);
        if erased.is_ok() {
            break;
        }
    }
    let log = || std::fs::metadata(phone.join("vault.db-wal")).unwrap().len();
    assert!(disk.mend() > 0 && log() > 0 && !vault.is_wiped().unwrap());
    let change = WriteChange::delete(COLLECTIONS[1], "any");
    vault
        .commit(NOON, dice.rng(), &load::home(), vec![change])
        .unwrap();
    assert!(log() == 0 && vault.is_wiped().unwrap());
}
