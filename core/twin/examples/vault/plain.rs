//! Plain SQLite with the usual schema of an app; with a key, where SQLite is SQLCipher.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::rows::Row;
use super::store::{Failure, Store};

const INSERT: &str =
    "INSERT INTO record (id, collection, name, note, count, done) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub struct Plain {
    conn: Connection,
    path: PathBuf,
}

impl Plain {
    /// Makes the file. `key`: 32 bytes as 64 hex digits, so that nobody stretches a password.
    pub fn create(path: &Path, key: Option<&str>) -> Result<Self, Failure> {
        let conn = Connection::open(path)?;
        if let Some(key) = key {
            conn.pragma_update(None, "key", format!("x'{key}'"))?;
        }
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
             PRAGMA checkpoint_fullfsync = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;
             CREATE TABLE record (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, collection TEXT NOT NULL,
                 name TEXT NOT NULL, note TEXT NOT NULL, count INTEGER NOT NULL, done INTEGER NOT NULL);
             CREATE INDEX of_collection ON record (collection);",
        )?;
        Ok(Self {
            conn,
            path: path.to_owned(),
        })
    }

    /// How durable its commits are and how much of the file it holds in memory, as SQLite says it.
    pub fn durability(&self) -> Result<String, Failure> {
        let pragma = |name: &str| {
            self.conn
                .query_row(&format!("PRAGMA {name}"), [], |row| {
                    row.get::<_, rusqlite::types::Value>(0)
                })
                .map(|value| match value {
                    rusqlite::types::Value::Text(text) => text,
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    other => format!("{other:?}"),
                })
        };
        Ok(format!(
            "journal_mode={}, synchronous={} (2 is FULL), fullfsync={}, page_size={}, cache_size={} KiB",
            pragma("journal_mode")?,
            pragma("synchronous")?,
            pragma("fullfsync")?,
            pragma("page_size")?,
            pragma("cache_size")?.trim_start_matches('-'),
        ))
    }
}

fn insert(statement: &mut Statement<'_>, row: &Row) -> Result<(), Failure> {
    statement.execute(params![
        row.id,
        row.collection,
        row.name,
        row.note,
        row.count,
        row.done
    ])?;
    Ok(())
}

impl Store for Plain {
    fn write(&mut self, rows: &[Row]) -> Result<(), Failure> {
        // A single statement is a transaction by itself.
        if let [row] = rows {
            return insert(&mut *self.conn.prepare_cached(INSERT)?, row);
        }
        let transaction = self.conn.transaction()?;
        {
            let mut statement = transaction.prepare_cached(INSERT)?;
            for row in rows {
                insert(&mut statement, row)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn get(&mut self, row: &Row) -> Result<usize, Failure> {
        let mut get = self
            .conn
            .prepare_cached("SELECT name, note, count, done FROM record WHERE id = ?1")?;
        let found = get.query_row([&row.id], |row| {
            let (name, note): (String, String) = (row.get(0)?, row.get(1)?);
            let (count, done): (i64, bool) = (row.get(2)?, row.get(3)?);
            Ok((name, note, count, done))
        });
        Ok(found.optional()?.map_or(0, |(_, note, ..)| note.len()))
    }

    fn list(&mut self, after: &Row, limit: usize) -> Result<usize, Failure> {
        let mut list = self.conn.prepare_cached(
            "SELECT id, name, note, count, done FROM record WHERE collection = ?1
             AND n > (SELECT n FROM record WHERE id = ?2) ORDER BY n LIMIT ?3",
        )?;
        let page = list.query_map(
            params![after.collection, after.id, i64::try_from(limit)?],
            |row| {
                let (id, name, note): (String, String, String) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                let (count, done): (i64, bool) = (row.get(3)?, row.get(4)?);
                Ok((id, name, note, count, done))
            },
        )?;
        Ok(page.collect::<Result<Vec<_>, _>>()?.len())
    }

    fn patch(&mut self, row: &Row, name: &str) -> Result<(), Failure> {
        self.conn
            .prepare_cached("UPDATE record SET name = ?2 WHERE id = ?1")?
            .execute([&row.id, name])?;
        Ok(())
    }

    fn close(self) -> Result<u64, Failure> {
        self.conn.close().map_err(|(_, error)| error)?;
        Ok(std::fs::metadata(self.path)?.len())
    }
}
