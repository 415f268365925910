//! How fast the vault is beside plain SQLite with a usual schema at the same durability. Not a test: run it with
//! `cargo test --release -p twin-vault --test measure -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::io::Write;
use std::time::Instant;

use common::*;
use rusqlite::{Connection, params};
use tempfile::tempdir;
use twin_ops::change::Kind;

const BATCHES: usize = 30;
const BATCH: usize = 1000;
const SINGLES: usize = 300;
const READS: usize = 20_000;

/// Ids in an order that is not theirs.
fn id(i: usize) -> String {
    format!("{:016x}", (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn say(what: &str, vault: f64, plain: f64, unit: &str) {
    let mut out = std::io::stdout().lock();
    let ratio = vault / plain;
    writeln!(
        out,
        "{what:<28} {vault:>12.0} {plain:>12.0} {unit:<10} {ratio:>6.2}"
    )
    .unwrap();
}

fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    count as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement, not a test"]
fn beside_plain_sqlite() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut vault = phone(dir.path());
    let plain = Connection::open(other.path().join("plain.db")).unwrap();
    plain
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192;
             CREATE TABLE record (n INTEGER PRIMARY KEY, collection TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                 body TEXT NOT NULL);
             CREATE INDEX of_collection ON record (collection);",
        )
        .unwrap();
    let body = "x".repeat(200);
    let row = |i: usize| change(Kind::Put, "c", &id(i), &[("body", &body)]);
    let insert = |from: usize, count: usize| {
        plain.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = plain
            .prepare_cached("INSERT INTO record (collection, id, body) VALUES (?1, ?2, ?3)")
            .unwrap();
        for i in from..from + count {
            insert.execute(params!["c", id(i), body]).unwrap();
        }
        plain.execute_batch("COMMIT").unwrap();
    };
    let count = BATCHES * BATCH;
    let ours = rate(count, || {
        for batch in 0..BATCHES {
            let changes = (batch * BATCH..(batch + 1) * BATCH).map(row).collect();
            commit(&mut vault, NOON, changes);
        }
    });
    let theirs = rate(count, || {
        (0..BATCHES).for_each(|batch| insert(batch * BATCH, BATCH))
    });
    say("write, 1000 a commit", ours, theirs, "records/s");
    let ours = rate(SINGLES, || {
        (count..count + SINGLES).for_each(|i| commit(&mut vault, NOON, vec![row(i)]));
    });
    let theirs = rate(SINGLES, || {
        (count..count + SINGLES).for_each(|i| insert(i, 1))
    });
    say("write, 1 a commit", ours, theirs, "records/s");
    let home = space("home");
    let any = |i: usize| id(i * 7919 % count);
    let ours = rate(READS, || {
        (0..READS).for_each(|i| assert!(vault.get(&home, "c", &any(i)).unwrap().is_some()));
    });
    let theirs = rate(READS, || {
        let mut get = plain
            .prepare_cached("SELECT collection, body FROM record WHERE id = ?1")
            .unwrap();
        for i in 0..READS {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(1);
            assert_eq!(get.query_row([any(i)], read).unwrap().len(), body.len());
        }
    });
    say("read by id", ours, theirs, "records/s");
    let ours = rate(50 * 200, || {
        (0..200)
            .for_each(|i| assert_eq!(vault.list(&home, "c", Some(&any(i)), 50).unwrap().len(), 50));
    });
    let theirs = rate(50 * 200, || {
        let mut list = plain
            .prepare_cached(
                "SELECT id, body FROM record WHERE collection = 'c' AND n > ?1 LIMIT 50",
            )
            .unwrap();
        for i in 0..200usize {
            let read =
                |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
            let rows = list.query_map([i as i64 * 100], read).unwrap();
            assert_eq!(rows.map(Result::unwrap).count(), 50);
        }
    });
    say("list, pages of 50", ours, theirs, "records/s");
    let ours = rate(SINGLES, || {
        (0..SINGLES).for_each(|i| patch(&mut vault, NOON, "c", &any(i), &[("body", "y")]));
    });
    let theirs = rate(SINGLES, || {
        for i in 0..SINGLES {
            let mut update = plain
                .prepare_cached("UPDATE record SET body = ?2 WHERE id = ?1")
                .unwrap();
            update.execute(params![any(i), "y"]).unwrap();
        }
    });
    say("patch, 1 a commit", ours, theirs, "records/s");
    drop(vault);
    let start = Instant::now();
    let mut vault = reopen(dir.path()).unwrap();
    assert!(vault.get(&home, "c", &id(1)).unwrap().is_some());
    say(
        "open and first read",
        start.elapsed().as_secs_f64() * 1e6,
        0.0,
        "µs",
    );
    plain
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len() as f64 / 1024.0;
    let (ours, theirs) = (
        dir.path().join(twin_vault::FILE_NAME),
        other.path().join("plain.db"),
    );
    say("size", size(&ours), size(&theirs), "KiB");
}
