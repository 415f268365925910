//! The rows of mailboxes, and what all of them cost.

use rusqlite::{Connection, OptionalExtension as _};
use twin_sync::machine::Millis;
use twin_sync::mailbox::Address;
use twin_sync::mailbox::store::Mark;
use twin_sync::mailbox::terms::ROW_COST;

use super::error::StoreError;

type Result<T> = std::result::Result<T, StoreError>;

/// A row of `mailbox`.
pub(super) struct Row {
    pub m: i64,
    pub mark: Mark,
    pub posts: u64,
    pub slots: u64,
    pub bytes: u64,
    pub expires: Millis,
}

/// What SQLite counts with. Limits are checked at the beginning, and no clock shows as much.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn total(conn: &Connection) -> Result<u64> {
    let mut sum = conn.prepare_cached("SELECT bytes FROM relay")?;
    Ok(uint(sum.query_row([], |row| row.get(0))?))
}

pub(super) fn find(conn: &Connection, address: &Address) -> Result<Option<Row>> {
    let mut row = conn.prepare_cached(
        "SELECT m, last, version, posts, slots, bytes, expires FROM mailbox WHERE address = ?1",
    )?;
    let row = row.query_row([address.as_bytes()], |row| {
        Ok(Row {
            m: row.get(0)?,
            mark: Mark {
                last: uint(row.get(1)?),
                version: uint(row.get(2)?),
            },
            posts: uint(row.get(3)?),
            slots: uint(row.get(4)?),
            bytes: uint(row.get(5)?),
            expires: uint(row.get(6)?),
        })
    });
    Ok(row.optional()?)
}

/// The row of a mailbox; makes it if there is none.
pub(super) fn find_or_make(conn: &Connection, address: &Address) -> Result<Row> {
    if let Some(row) = find(conn, address)? {
        return Ok(row);
    }
    conn.prepare_cached("INSERT INTO mailbox VALUES (NULL, ?1, 0, 0, 0, 0, 0, 0, 0)")?
        .execute([address.as_bytes()])?;
    add(conn, ROW_COST, 0)?;
    Ok(Row {
        m: conn.last_insert_rowid(),
        mark: Mark::default(),
        posts: 0,
        slots: 0,
        bytes: 0,
        expires: 0,
    })
}

/// Counts what the store holds.
pub(super) fn add(conn: &Connection, more: u64, less: u64) -> Result<()> {
    conn.prepare_cached("UPDATE relay SET bytes = max(0, bytes + ?1 - ?2)")?
        .execute([int(more), int(less)])?;
    Ok(())
}

/// Writes a changed row back.
pub(super) fn save(conn: &Connection, row: &Row, until: Millis) -> Result<()> {
    conn.prepare_cached(
        "UPDATE mailbox SET last = ?2, version = ?3, posts = ?4, slots = ?5, bytes = ?6, expires = ?7,
            until = max(until, ?8) WHERE m = ?1",
    )?
    .execute([
        row.m,
        int(row.mark.last),
        int(row.mark.version),
        int(row.posts),
        int(row.slots),
        int(row.bytes),
        int(row.expires),
        int(until),
    ])?;
    Ok(())
}

/// How many posts of a mailbox were not taken back.
pub(super) fn there(conn: &Connection, mailbox: i64) -> Result<u64> {
    let mut posts =
        conn.prepare_cached("SELECT count(*) FROM post WHERE m = ?1 AND withdrawn IS NULL")?;
    Ok(uint(posts.query_row([mailbox], |row| row.get(0))?))
}

pub(super) fn cost(bytes: usize) -> u64 {
    ROW_COST.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
}
