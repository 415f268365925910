//! Versions of the tables: which one a file has, told without touching it, and how an earlier one becomes today's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rusqlite::Connection;

use crate::error::Result;
use crate::logged::{HEADER, logged};
use crate::store::SCHEMA;

/// The step to each version from the one before; the first makes the tables of an empty file. A vault of an earlier
/// version takes those that it lacks. What a step is once it has been in the hands of people never changes: another
/// follows it, and `tests/samples` gets a vault of the version before.
pub(crate) const STEPS: &[&str] = &[SCHEMA];
/// The version of the tables.
pub(crate) const VERSION: i32 = STEPS.len() as i32;

/// Where the header of a file, which is the beginning of its first page, has `user_version`, in four bytes.
const USER_VERSION: usize = 60;

/// Takes the steps from `version` on, all of them or none. Inside a transaction.
pub(crate) fn take_steps(conn: &Connection, version: i32, steps: &[&str]) -> Result<()> {
    let taken = usize::try_from(version).unwrap_or(usize::MAX);
    for (next, step) in (1..).zip(steps).skip(taken) {
        conn.execute_batch(step)?;
        conn.pragma_update(None, "user_version", next)?;
    }
    Ok(())
}

/// Whether a file is of a version after `version`, as far as that can be told. Nothing is locked or written, and SQLite
/// is not asked: it would make the write-ahead log part of the file, or at least an index of it.
///
/// # Errors
/// [`VaultError::Damaged`](crate::error::VaultError::Damaged) if commits that were durable stand behind damage in the
/// write-ahead log: SQLite would take the log to end there, and drop them with it.
pub(crate) fn is_newer(path: &Path, version: i32) -> Result<bool> {
    let mut newest = [0; HEADER];
    let read = File::open(path)?.read_exact(&mut newest);
    if matches!(&read, Err(error) if error.kind() != io::ErrorKind::UnexpectedEof) {
        read?;
    }
    if let Some(header) = logged(path)?.header {
        newest = header;
    }
    let found = newest.get(USER_VERSION..).and_then(<[u8]>::first_chunk);
    Ok(found.is_some_and(|found| i32::from_be_bytes(*found) > version))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::VaultError;

    /// What the tables of a file are.
    fn schema(conn: &Connection) -> String {
        let mut all = conn
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let all = all.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let words = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
        all.map(|sql| words(sql.unwrap()) + ";\n").collect()
    }

    fn version(conn: &Connection) -> i32 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    }

    fn file_of(steps: &[&str]) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        take_steps(&conn, 0, steps).unwrap();
        conn
    }

    /// A step that people have had is never changed. Where none has had it yet, `UPDATE_VECTORS=1` writes the files anew.
    #[test]
    fn each_version_is_what_it_was() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
        for version in 1..=STEPS.len() {
            let path = folder.join(format!("{version}.sql"));
            let is = schema(&file_of(&STEPS[..version]));
            if std::env::var_os("UPDATE_VECTORS").is_some() {
                fs::write(&path, &is).unwrap();
            }
            let was = fs::read_to_string(&path).unwrap();
            assert_eq!(is, was, "version {version}: add a step, do not change one");
        }
        let next = folder.join(format!("{}.sql", STEPS.len() + 1));
        assert!(!next.exists(), "a step is gone");
    }

    #[test]
    fn every_earlier_version_becomes_todays() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
        for earlier in 1..=VERSION {
            let conn = Connection::open_in_memory().unwrap();
            let tables = fs::read_to_string(folder.join(format!("{earlier}.sql"))).unwrap();
            conn.execute_batch(&tables).unwrap();
            take_steps(&conn, earlier, STEPS).unwrap();
            assert_eq!(schema(&conn), schema(&file_of(STEPS)), "from {earlier}");
            assert!(earlier == VERSION || version(&conn) == VERSION);
        }
    }

    const MADE_UP: [&str; 3] = [
        "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);",
        "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 5; UPDATE a SET y = x + 1;",
        "CREATE TABLE b AS SELECT x + y AS z FROM a; DROP TABLE a;",
    ];

    #[test]
    fn steps_are_taken_one_after_the_other() {
        for begin in 0..=MADE_UP.len() {
            let conn = file_of(&MADE_UP[..begin]);
            assert_eq!(version(&conn), begin as i32);
            take_steps(&conn, begin as i32, &MADE_UP).unwrap();
            assert_eq!(version(&conn), 3);
            let z: i64 = conn
                .query_row("SELECT z FROM b", [], |row| row.get(0))
                .unwrap();
            assert_eq!(z, 3);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_all_of_them() {
        let conn = file_of(&MADE_UP[..1]);
        let before = schema(&conn);
        let steps = [MADE_UP[0], MADE_UP[1], "INSERT INTO nowhere VALUES (1)"];
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(take_steps(&conn, 1, &steps).is_err());
        conn.execute_batch("ROLLBACK").unwrap();
        assert_eq!((version(&conn), schema(&conn)), (1, before));
    }

    #[test]
    fn the_version_is_told_from_the_newest_commit_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let wal = dir.path().join("db-wal");
        let conn = Connection::open(&path).unwrap();
        let newer = |than| is_newer(&path, than).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA user_version = 1; CREATE TABLE a (x)",
        )
        .unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        assert!(newer(0) && !newer(1));
        conn.execute_batch("PRAGMA user_version = 2").unwrap();
        assert!(newer(1) && !newer(2));
        let after_two = fs::metadata(&wal).unwrap().len() as usize;
        conn.execute_batch("INSERT INTO a VALUES (1); PRAGMA user_version = 3")
            .unwrap();
        assert!(newer(2) && !newer(3));
        // As after a checkpoint: the log begins anew, and the frames of the one before are still behind.
        let log = fs::read(&wal).unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(RESTART); PRAGMA user_version = 1")
            .unwrap();
        assert!(newer(0) && !newer(1));
        drop(conn);
        // A log that was cut off counts as far as it is whole.
        let other = dir.path().join("other");
        fs::copy(&path, &other).unwrap();
        let wal = dir.path().join("other-wal");
        let newer = |log: &[u8], than| {
            fs::write(&wal, log).unwrap();
            is_newer(&other, than).unwrap()
        };
        assert!(newer(&log, 2));
        assert!(!newer(&log[..log.len() - 1], 2) && newer(&log[..log.len() - 1], 1));
        assert!(!newer(&log[..after_two], 2) && newer(&log[..after_two], 1));
        assert!(!newer(&log[..100], 1) && !newer(&[], 1));
        // Of the only commit behind the damage nobody can say that it was durable; of two the first was.
        let one = &mut log.clone()[..after_two];
        one[40] ^= 1;
        assert!(!newer(one, 1) && newer(one, 0));
        let mut damaged = log;
        damaged[40] ^= 1;
        fs::write(&wal, damaged).unwrap();
        assert!(matches!(is_newer(&other, 1), Err(VaultError::Damaged(_))));
    }
}
