//! Damage of what leads to rows, and of what says of which table they are, loses nothing; and what was let go on purpose is
//! no damage.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/files.rs"]
mod files;
#[path = "common/salvaged.rs"]
mod salvaged;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::*;
use files::{add_file, of_chunks, read_file};
use rusqlite::Connection;
use salvaged::*;
use tempfile::{TempDir, tempdir};
use twin_ops::op::Op;
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::Fields;
use twin_vault::salvage::Loss;
use twin_vault::{FILE_NAME, Unlock, WriteChange};

/// The header of a write-ahead log, and that of a frame.
const WAL_HEADER: usize = 32;
const FRAME: usize = 24 + PAGE;

/// A folder with the file of a sample.
fn folder(sample: &Sample) -> TempDir {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
    dir
}

/// The numbers of the pages of this kind, by table.
fn pages(sample: &Sample, kind: &str) -> BTreeMap<String, Vec<usize>> {
    let dir = folder(sample);
    let file = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let mut pages = file
        .prepare("SELECT name, pageno FROM dbstat WHERE pagetype = ?1 AND pageno > 1")
        .unwrap();
    let pages = pages
        .query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let mut by_table: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for page in pages {
        let (table, number): (String, u32) = page.unwrap();
        by_table.entry(table).or_default().push(number as usize);
    }
    by_table
}

fn count(dir: &Path, table: &str) -> i64 {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    file.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// The salvage of this says so, or else has everything.
fn is_whole_after(sample: &Sample, db: &[u8], what: &str) {
    let (this, saved) = Try::of(db, &[]);
    let saved = saved.unwrap();
    assert!(saved.vault, "{what}");
    assert!(truth(&mut this.vault()) == sample.truth, "{what}");
    assert!(this.rest.is_empty(), "{what}");
    // Whether there was more where the damage is cannot be known.
    assert!(
        saved
            .lost
            .iter()
            .all(|loss| matches!(loss, Loss::Unread(_))),
        "{what}: {:?}",
        saved.lost
    );
}

#[test]
fn a_page_that_lies_in_the_place_of_another_is_missed() {
    let sample = sample(false);
    let leaves = pages(&sample, "leaf");
    for (table, of) in &leaves {
        for (other, from) in &leaves {
            // The last page of a table, over one in the middle of the other, or over its only one.
            let (to, from) = (of[of.len() / 2], from[from.len() - 1]);
            if to == from || ["slot", "tries"].contains(&table.as_str()) {
                continue;
            }
            let mut db = sample.db.clone();
            db.copy_within((from - 1) * PAGE..from * PAGE, (to - 1) * PAGE);
            let what = format!("{other} over {table}");
            if ["rec", "past", "late", "block"].contains(&table.as_str()) {
                is_whole_after(&sample, &db, &what);
            } else {
                let (saved, _) = try_it(&sample, &db, &[]).unwrap();
                assert!(!saved.is_all(), "{what} is not named");
            }
        }
    }
}

#[test]
fn a_page_that_leads_astray_loses_nothing() {
    let sample = sample(false);
    let leaves = pages(&sample, "leaf");
    let interiors = pages(&sample, "internal");
    assert!(interiors.contains_key("op") && interiors.contains_key("item"));
    for (table, interiors) in &interiors {
        for number in interiors {
            let page = (number - 1) * PAGE;
            let cell = usize::from(u16::from_be_bytes([
                sample.db[page + 12],
                sample.db[page + 13],
            ]));
            // Into the page of another table, to where it came from, and to nowhere.
            let mut ends: Vec<(String, usize)> = leaves
                .iter()
                .map(|(other, leaves)| (other.clone(), leaves[0]))
                .collect();
            ends.push(("itself".to_owned(), *number));
            ends.push(("nowhere".to_owned(), 1 << 20));
            for (end, leads_to) in ends {
                for place in [cell, 8] {
                    let mut db = sample.db.clone();
                    db[page + place..page + place + 4]
                        .copy_from_slice(&(leads_to as u32).to_be_bytes());
                    is_whole_after(&sample, &db, &format!("{table} leads to {end}"));
                }
            }
        }
    }
}

/// A row's number is not authenticated, but what is in it says where it belongs.
#[test]
fn rows_whose_numbers_are_damaged_go_back_to_their_places() {
    let sample = sample(false);
    for sql in [
        "UPDATE chunk SET n = n + 1000 WHERE n = 1",
        "UPDATE chunk SET n = -n WHERE n = 2",
    ] {
        let dir = folder(&sample);
        harm(dir.path(), sql);
        is_whole_after(&sample, &copy(dir.path()).0, sql);
    }
    // Into the same operation, into the place of one that is not there, and into another log.
    for more in [5, 1 << 20, 1 << 40, 1_i64 << 50] {
        let dir = folder(&sample);
        let middle = "SELECT min(n) FROM op GROUP BY n >> 12 ORDER BY n LIMIT 1 OFFSET 20";
        harm(
            dir.path(),
            &format!("UPDATE op SET n = n + {more} WHERE n = ({middle})"),
        );
        is_whole_after(&sample, &copy(dir.path()).0, &format!("{more} more"));
    }
}

#[test]
fn a_row_that_has_come_into_another_operation_does_not_take_that_with_it() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    for round in 0..8 {
        let text = "a part that shares its row with few others ".repeat(20);
        let change = |i: usize| {
            let fields = Fields([("a".to_owned(), text.as_str().into())].into());
            WriteChange::put("c", &format!("r{round}.{i}"), fields)
        };
        commit(&mut vault, NOON + round, (0..20).map(change).collect());
    }
    let mut logs = vault.heads().unwrap();
    logs.retain(|head| {
        let run = vault.read_run(&head.log, 0, 1).unwrap();
        Op::from_bytes(&run[0]).unwrap().parts().len() > 1
    });
    let LogHead { log, head } = logs[logs.len() - 1];
    let height = head.height;
    drop(vault);
    // The last row of the operation before the last comes into the third of its log, beyond its end.
    let file = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let row: i64 = file
        .query_row(
            "SELECT n FROM op WHERE n >> 12 < (SELECT max(n) >> 12 FROM op) AND n & 4095 > 0
             ORDER BY n DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(file);
    let seq = (row >> 12) & ((1 << 37) - 1);
    let lost = u64::try_from(seq).unwrap();
    assert_eq!(lost, height - 1);
    let third = row - ((seq - 3) << 12) + 100;
    harm(
        dir.path(),
        &format!("UPDATE op SET n = {third} WHERE n = {row}"),
    );
    let (this, saved) = Try::of(&copy(dir.path()).0, &[]);
    let saved = saved.unwrap();
    assert!(
        matches!(saved.lost.as_slice(), [Loss::Ops { first, last, .. }] if (*first, *last) == (lost, height)),
        "{:?}",
        saved.lost
    );
    let heads = this.vault().heads().unwrap();
    let kept = heads.iter().find(|head| head.log == log).unwrap();
    assert_eq!(kept.head.height, lost - 1);
    assert!(this.vault().check().unwrap().named.is_empty());
}

/// SQLite reads nothing behind the first frame that is damaged. What was lost there is on no other page.
#[test]
fn behind_damage_in_the_write_ahead_log_everything_is_found() {
    let sample = sample(true);
    let frames = (sample.wal.len() - WAL_HEADER) / FRAME;
    assert!(frames > 20, "{frames} frames");
    let all: usize = sample.truth.logs.values().map(Vec::len).sum();
    let mut wal = sample.wal.clone();
    // The checksum of the first: nothing at all is read.
    wal[WAL_HEADER + 20] ^= 1;
    let (this, saved) = Try::of(&sample.db, &wal);
    assert_eq!(saved.unwrap().lost, [Loss::Newest]);
    assert!(truth(&mut this.vault()) == sample.truth);
    // And another one beside it, whichever: what it alone has is one commit.
    for frame in (1..frames).rev().step_by(5) {
        let mut wal = wal.clone();
        let page = WAL_HEADER + frame * FRAME + 24;
        wal[page..page + PAGE].fill(0xa5);
        let (saved, _) = try_it(&sample, &sample.db, &wal).unwrap();
        assert!(
            saved.ops + 1 >= all as u64,
            "frame {frame}: {} of {all}",
            saved.ops
        );
    }
}

/// What was written back into the file is newer than what a damaged log begins with.
#[test]
fn what_was_written_back_from_a_log_that_is_damaged_since_counts() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    for i in 0..60 {
        put(&mut vault, NOON + i, "c", &format!("r{i}"), &[("a", "b")]);
    }
    let then = records(&mut vault, "c");
    Connection::open(dir.path().join(FILE_NAME))
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .unwrap();
    let (db, mut wal) = copy(dir.path());
    let frames = (wal.len() - WAL_HEADER) / FRAME;
    assert!(frames > 20, "{frames} frames");
    for frame in frames / 2..frames {
        let page = WAL_HEADER + frame * FRAME + 24;
        wal[page..page + PAGE].fill(0xa5);
    }
    let (this, saved) = Try::of(&db, &wal);
    assert_eq!(saved.unwrap().lost, [Loss::Newest]);
    assert!(records(&mut this.vault(), "c") == then);
}

/// Deleted, erased, overwritten, compacted, sealed under an earlier vault key: none of it is damage, and none comes back.
#[test]
fn what_was_let_go_is_neither_missed_nor_found() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let home = space("home");
    for i in 0..40 {
        let text = "some words to be searched ".repeat(8);
        put(
            &mut vault,
            NOON + i,
            "c",
            &format!("r{i}"),
            &[("a", &text), ("b", &text)],
        );
    }
    let (kept, gone) = (of_chunks("kept", 2), of_chunks("gone", 5));
    add_file(&mut vault, NOON + 50, "kept", &kept);
    add_file(&mut vault, NOON + 51, "gone", &gone);
    assert!(!vault.search(&home, "words", None, 5).unwrap().is_empty());
    for i in 0..20 {
        delete(&mut vault, NOON + 60, "c", &format!("r{i}"));
    }
    let erased = vault.erase(NOON + 70, &mut rng(3), &home, "files", "gone");
    erased.unwrap();
    assert!(vault.compact(NOON + 80, &mut rng(4), &home).unwrap().gone > 0);
    let slot = vault.slot();
    let key = SoftKeyStore::new(1);
    vault
        .change_slot(NOON + 90, slot, Unlock::KeyStore(&key), &mut rng(5))
        .unwrap();
    for i in 20..25 {
        let erased = vault.erase(NOON + 100, &mut rng(6), &home, "c", &format!("r{i}"));
        erased.unwrap();
    }
    put(&mut vault, NOON + 110, "c", "last", &[("a", "words")]);
    assert!(!vault.search(&home, "words", None, 5).unwrap().is_empty());
    let before = (records(&mut vault, "c"), vault.heads().unwrap());
    let (ops, chunks) = (count(dir.path(), "op"), count(dir.path(), "chunk"));

    let with_wal = copy(dir.path());
    assert!(!with_wal.1.is_empty());
    drop(vault);
    for (db, wal) in [with_wal, copy(dir.path())] {
        let (this, saved) = Try::of(&db, &wal);
        let saved = saved.unwrap();
        assert!(saved.is_all(), "{:?}", saved.lost);
        assert!(this.rest.is_empty());
        let mut vault = this.vault();
        assert_eq!((records(&mut vault, "c"), vault.heads().unwrap()), before);
        assert_eq!(read_file(&mut vault, "kept").unwrap(), kept);
        assert!(vault.get(&home, "files", "gone").unwrap().is_none());
        let report = vault.check().unwrap();
        assert!(report.named.is_empty(), "{:?}", report.named);
        drop(vault);
        let to = this.to.path();
        assert_eq!((count(to, "op"), count(to, "chunk")), (ops, chunks));
    }
}
