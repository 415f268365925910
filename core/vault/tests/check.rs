//! Damage is found and named wherever it is, and what can be mended is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::*;
use rusqlite::{Connection, types::Value as Column};
use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_vault::check::{Damage, MAX_NAMED, Report, check};
use twin_vault::{Erasure, FILE_NAME, Query, Unlock, Vault};

const RECORDS: usize = 20;
/// The row of an operation in the middle, which is short enough for one.
const NINTH: &str = "n = (SELECT n FROM op ORDER BY n LIMIT 1 OFFSET 8)";

/// A vault with records of its own and from a laptop, an address, and the laptop's folder.
fn sample() -> (TempDir, Vault) {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut vault = phone(dir.path());
    let mut laptop = linked(other.path(), &mut vault, 10, Role::Member);
    for i in 0..RECORDS {
        put(
            &mut vault,
            NOON,
            "c",
            &format!("r{i}"),
            &[("a", "old"), ("b", "old")],
        );
    }
    send(&vault, &mut laptop, NOON);
    for i in (0..RECORDS).step_by(4) {
        patch(
            &mut laptop,
            NOON + 1,
            "c",
            &format!("r{i}"),
            &[("a", "new")],
        );
    }
    delete(&mut laptop, NOON + 2, "c", "r1");
    send(&laptop, &mut vault, NOON + 3);
    let id = laptop.device_keys().id();
    vault.remember_address(id, "192.168.1.20:4001").unwrap();
    vault.settle_index().unwrap();
    (dir, vault)
}

/// Does this to the file behind the vault's back.
fn harm(dir: &TempDir, sql: &str) {
    let file = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
}

/// Flips a bit of the operation in the middle.
fn flip(dir: &TempDir, at: fn(&[u8]) -> usize) {
    let file = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let row = format!("SELECT v FROM op WHERE {NINTH}");
    let mut row: Vec<u8> = file.query_row(&row, [], |row| row.get(0)).unwrap();
    let at = at(&row);
    row[at] ^= 1;
    let altered = format!("UPDATE op SET v = ?1 WHERE {NINTH}");
    assert_eq!(file.execute(&altered, [row]).unwrap(), 1);
}

fn named(report: &Report) -> &[Damage] {
    assert_eq!(report.damages, report.named.len() as u64);
    &report.named
}

#[test]
fn a_whole_vault_is_whole() {
    let (_dir, mut vault) = sample();
    let report = vault.check().unwrap();
    assert_eq!(named(&report), &[]);
    assert!(report.is_whole());
    assert_eq!(report.records, RECORDS as u64);
    assert!(report.ops > RECORDS as u64 && report.rows > 5);
    // What waits for the clock is not missing.
    put(
        &mut vault,
        NOON + 60 * 60 * 1000,
        "c",
        "ahead",
        &[("a", "1")],
    );
    let other = tempdir().unwrap();
    let mut laptop = linked(other.path(), &mut vault, 20, Role::Member);
    send(&vault, &mut laptop, NOON);
    assert!(laptop.get(&space("home"), "c", "ahead").unwrap().is_none());
    assert!(laptop.check().unwrap().is_whole());
}

#[test]
fn each_damage_of_an_operation_is_named() {
    // Signature, salt and header are one frame, the first part is the next; three bytes before each are its length.
    let places: [fn(&[u8]) -> usize; 6] = [
        |_| 2,
        |_| 3 + 63,
        |_| 3 + 64 + 15,
        |_| 3 + 64 + 16 + 100,
        |row| 3 + usize::from(row[2]) + 2,
        |row| row.len() - 1,
    ];
    for (number, place) in places.into_iter().enumerate() {
        let (dir, mut vault) = sample();
        flip(&dir, place);
        let report = vault.check().unwrap();
        let is_op = |damage: &Damage| matches!(damage, Damage::Op { .. });
        assert!(named(&report).iter().any(is_op), "{number}: {report:?}");
        assert!(!report.can_be_rebuilt());
    }
}

#[test]
fn each_damage_is_named() {
    let flip = "cast(substr(V, 1, length(V) - 1) || x'5a' AS BLOB)";
    let flip = |column: &str| flip.replace('V', column);
    type Says = fn(&Damage) -> bool;
    let op: Says = |damage| matches!(damage, Damage::Op { .. });
    let cases: [(String, Says); 7] = [
        (format!("DELETE FROM op WHERE {NINTH}"), op),
        // The newest.
        (
            "DELETE FROM op WHERE n = (SELECT max(n) FROM op)".to_owned(),
            op,
        ),
        (
            format!("UPDATE item SET v = {} WHERE kind = 12", flip("v")),
            |damage| *damage == Damage::Row(12),
        ),
        (
            format!("UPDATE slot SET checksum = {}", flip("checksum")),
            |damage| matches!(damage, Damage::Slot(_)),
        ),
        (
            "UPDATE rec SET t = t + 1 WHERE k = (SELECT min(k) FROM rec)".to_owned(),
            |damage| matches!(damage, Damage::Record(_)),
        ),
        ("INSERT INTO late VALUES (7, x'00')".to_owned(), |damage| {
            *damage == Damage::Record(7)
        }),
        (
            "UPDATE late SET v = zeroblob(length(v)) WHERE n = 1".to_owned(),
            |damage| *damage == Damage::Record(1),
        ),
    ];
    for (sql, says) in cases {
        let (dir, mut vault) = sample();
        put(&mut vault, NOON + 4, "c", "late", &[("a", "1")]);
        harm(&dir, &sql);
        let report = vault.check().unwrap();
        assert!(named(&report).iter().any(says), "{sql}: {report:?}");
        assert!(
            report
                .named
                .iter()
                .all(|damage| !damage.to_string().is_empty())
        );
    }
}

#[test]
fn every_sealed_row_that_is_damaged_is_named_whether_the_vault_opens_or_not() {
    let (dir, mut vault) = sample();
    put(&mut vault, NOON + 4, "c", "late", &[("a", "1")]);
    drop(vault);
    let path = dir.path().join(FILE_NAME);
    let unlocked = || {
        let store = SoftKeyStore::new(1);
        check(dir.path(), Unlock::KeyStore(&store), NOON).unwrap()
    };
    let whole = unlocked();
    assert!(whole.is_whole(), "{whole:?}");
    let file = Connection::open(&path).unwrap();
    let mut rows = file
        .prepare("SELECT name, kind, v FROM item WHERE kind != 14")
        .unwrap();
    let rows: Vec<(Vec<u8>, u8, Vec<u8>)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut stopped = BTreeSet::new();
    for (name, kind, sealed) in &rows {
        let write = "UPDATE item SET v = ?2 WHERE name = ?1";
        let mut damaged = sealed.clone();
        damaged[sealed.len() / 2] ^= 1;
        file.execute(write, (name, &damaged)).unwrap();
        let report = unlocked();
        let names = |damage: &Damage| *damage == Damage::Row(*kind);
        assert!(report.named.iter().any(names), "kind {kind}: {report:?}");
        assert!(!report.named[0].to_string().contains("not known"));
        assert!(!report.can_be_rebuilt(), "kind {kind}");
        assert_eq!(report.rows, whole.rows - 1);
        // Logs are looked through, all but the one whose row it is.
        let less = [1, 7].contains(kind) && report.ops < whole.ops || *kind == 2;
        assert!(report.ops == whole.ops || less, "kind {kind}: {report:?}");
        if let [Damage::Opening(_), ..] = report.named.as_slice() {
            assert!(reopen(dir.path()).is_err());
            stopped.insert(*kind);
        } else {
            reopen(dir.path()).unwrap();
        }
        file.execute(write, (name, sealed)).unwrap();
    }
    assert!(unlocked().is_whole());
    // What comes again, or is made anew, is done without.
    assert_eq!(stopped, BTreeSet::from([1, 2, 3, 5, 6, 7, 8]));
}

#[test]
fn a_row_that_is_missing_is_no_less_than_a_damaged_one() {
    let (dir, mut vault) = sample();
    let truth = records(&mut vault, "c");
    drop(vault);
    let unlocked = || {
        let store = SoftKeyStore::new(1);
        check(dir.path(), Unlock::KeyStore(&store), NOON).unwrap()
    };
    let whole = unlocked();
    let file = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let rows = "SELECT name, kind, v FROM item WHERE kind IN (1, 2, 3, 5, 7, 14)";
    let mut rows = file.prepare(rows).unwrap();
    let rows: Vec<(Vec<u8>, u8, Vec<u8>)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut idle = 0;
    for (name, kind, sealed) in &rows {
        let removed = file.execute("DELETE FROM item WHERE name = ?1", [name]);
        assert_eq!(removed.unwrap(), 1);
        let report = unlocked();
        if *kind == 5 && report.is_whole() {
            // Nothing is sealed under that key.
            idle += 1;
        } else {
            assert!(!report.can_be_rebuilt(), "kind {kind}: {report:?}");
        }
        // Nothing is made of less than there was, and no operation is written over.
        if let Ok(mut vault) = reopen(dir.path()) {
            assert!([3, 5, 14].contains(kind), "kind {kind}");
            let ops = vault.check().unwrap().ops;
            if *kind != 14 && !report.is_whole() {
                vault.rebuild_index().unwrap_err();
            }
            assert_eq!(vault.check().unwrap().ops, ops);
        }
        let write = "INSERT INTO item (name, kind, v) VALUES (?1, ?2, ?3)";
        file.execute(write, (name, kind, sealed)).unwrap();
    }
    let keys = rows.iter().filter(|(_, kind, _)| *kind == 5).count();
    assert!(idle < keys, "{idle} of {keys}");
    assert_eq!(unlocked(), whole);
    assert_eq!(records(&mut reopen(dir.path()).unwrap(), "c"), truth);
}

#[test]
fn what_comes_after_a_damaged_operation_is_looked_at_too() {
    let (dir, mut vault) = sample();
    let whole = vault.check().unwrap();
    harm(&dir, &format!("DELETE FROM op WHERE {NINTH}"));
    let report = vault.check().unwrap();
    assert_eq!(report.ops, whole.ops - 1);
    let ops = named(&report).iter();
    let ops = ops.filter(|damage| matches!(damage, Damage::Op { .. }));
    assert_eq!(ops.count(), 1, "{report:?}");
}

#[test]
fn a_damaged_record_hides_no_other() {
    let (dir, mut vault) = sample();
    let home = space("home");
    let all = vault.list(&home, "c", None, 100).unwrap();
    assert_eq!(vault.left_out(), 0);
    flip(&dir, |row| row.len() - 1);
    let mut vault = reopen(dir.path()).unwrap();
    let lost: Vec<String> = all
        .iter()
        .filter(|record| vault.get(&home, "c", &record.id).is_err())
        .map(|record| record.id.clone())
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(vault.left_out(), 0, "whoever asks for it is told");
    let left: Vec<_> = all
        .into_iter()
        .filter(|record| record.id != lost[0])
        .collect();

    assert_eq!(vault.list(&home, "c", None, 100).unwrap(), left);
    assert_eq!(vault.left_out(), 1);
    // In pages, too.
    let first = vault.list(&home, "c", None, 7).unwrap();
    let rest = vault.list(&home, "c", Some(&first[6].id), 100).unwrap();
    assert_eq!([first, rest].concat(), left);
    let query = Query::equal("b", "old".into());
    let page = vault.query(&home, "c", &query).unwrap();
    assert_eq!(page.records.len(), left.len());
    assert_eq!(
        vault.search(&home, "old", None, 100).unwrap().len(),
        left.len()
    );
    assert_eq!(vault.left_out(), 1);

    let gone = &left[0].id;
    let erased = vault
        .erase(NOON + 9, &mut rng(9), &home, "c", gone)
        .unwrap();
    assert_eq!(erased, Erasure::Done);
    assert!(vault.get(&home, "c", gone).unwrap().is_none());
    assert_eq!(vault.list(&home, "c", None, 100).unwrap(), left[1..]);
    assert_eq!(
        vault.left_out(),
        2,
        "the operation, which may have been of it"
    );
}

#[test]
fn what_only_a_late_row_said_is_read_from_the_operations() {
    for sql in [
        "UPDATE late SET v = zeroblob(length(v))",
        "DELETE FROM late",
        "DELETE FROM late WHERE n = (SELECT max(n) FROM late)",
    ] {
        let (dir, mut vault) = sample();
        for i in 0..3 {
            put(
                &mut vault,
                NOON + 4,
                "c",
                &format!("late{i}"),
                &[("a", "1")],
            );
        }
        let (truth, heads) = (records(&mut vault, "c"), vault.heads().unwrap());
        harm(&dir, sql);
        // The one that has it open sees it, and so does the next.
        let mut next = reopen(dir.path()).unwrap();
        for vault in [&mut vault, &mut next] {
            let report = vault.check().unwrap();
            assert!(
                matches!(named(&report), [Damage::Record(_), ..]) && report.can_be_rebuilt(),
                "{sql}: {report:?}"
            );
            assert_eq!(vault.heads().unwrap(), heads);
        }
        vault.rebuild_index().unwrap();
        let mut next = reopen(dir.path()).unwrap();
        for vault in [&mut vault, &mut next] {
            assert!(vault.check().unwrap().is_whole(), "{sql}");
            assert_eq!(records(vault, "c"), truth);
            assert_eq!(vault.heads().unwrap(), heads);
        }
        put(&mut next, NOON + 5, "c", "more", &[("a", "1")]);
        assert!(vault.check().unwrap().is_whole());
    }
}

#[test]
fn an_index_that_is_behind_is_found_and_made_anew() {
    let (dir, mut vault) = sample();
    let rows = |dir: &TempDir| -> Vec<(i64, Column, i64)> { index_rows(dir.path()) };
    let before = rows(&dir);
    patch(&mut vault, NOON + 5, "c", "r7", &[("a", "newest")]);
    vault.settle_index().unwrap();
    let after = rows(&dir);
    let (old, new) = before
        .iter()
        .zip(&after)
        .find(|(old, new)| old != new)
        .unwrap();
    let truth = records(&mut vault, "c");

    // A row that was right once, with its MAC.
    let file = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    file.execute(
        "UPDATE rec SET p = ?2, t = ?3 WHERE k = ?1",
        (old.0, &old.1, old.2),
    )
    .unwrap();
    let report = vault.check().unwrap();
    assert!(
        matches!(named(&report), [Damage::Unshown { .. }]),
        "{report:?}"
    );
    assert!(report.can_be_rebuilt());
    vault.rebuild_index().unwrap();
    assert!(vault.check().unwrap().is_whole());
    assert_eq!(rows(&dir).iter().find(|row| row.0 == new.0), Some(new));

    // Rows that are gone, and one where nobody looks for it.
    file.execute("DELETE FROM rec WHERE k IN (SELECT k FROM rec LIMIT 3)", [])
        .unwrap();
    let report = vault.check().unwrap();
    assert!(report.damages >= 3 && report.can_be_rebuilt(), "{report:?}");
    vault.rebuild_index().unwrap();
    file.execute(
        "UPDATE rec SET k = k + 1 WHERE k = (SELECT max(k) FROM rec)",
        [],
    )
    .unwrap();
    let report = vault.check().unwrap();
    assert!(
        named(&report)
            .iter()
            .any(|damage| matches!(damage, Damage::Record(_)))
    );
    vault.rebuild_index().unwrap();
    assert_eq!(records(&mut vault, "c"), truth);
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn all_damages_are_counted_and_the_first_are_named() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let many = MAX_NAMED + 20;
    for i in 0..many {
        put(&mut vault, NOON, "c", &i.to_string(), &[("a", "1")]);
    }
    vault.settle_index().unwrap();
    harm(&dir, "UPDATE rec SET t = t + 1");
    let report = vault.check().unwrap();
    assert_eq!(
        (report.damages, report.named.len()),
        (many as u64, MAX_NAMED)
    );
    assert!(!report.is_whole() && report.can_be_rebuilt());
}
