//! Dropping what has expired, so much at a time that nobody waits for it long.

use rusqlite::params;
use twin_sync::machine::Millis;
use twin_sync::mailbox::terms::ROW_COST;

use super::error::StoreError;
use super::rows::{add, int};
use super::store::SqliteStore;

/// How many rows one call drops at most.
pub const ROWS: u32 = 256;
/// How many free pages of 4 KiB one call gives back to the file system at most.
const PAGES: u32 = 4096;

/// What a sweep has dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Posts.
    pub posts: u64,
    /// Presences.
    pub presences: u64,
    /// Mailboxes in which nothing was left.
    pub mailboxes: u64,
    /// Whether there may be more to drop: call again.
    pub more: bool,
}

impl SqliteStore {
    /// Drops what has expired: 256 posts, 256 presences and 256 mailboxes at most, in one transaction; then gives back to
    /// the file system what is free, 16 MiB at most. Once there is nothing more to drop, no file holds anything of what has
    /// expired, was taken back or was replaced.
    pub fn sweep(&mut self, now: Millis) -> Result<Swept, StoreError> {
        let tx = self.begin()?;
        let mut swept = Swept::default();
        for (posts, slots, find, drop) in [
            (
                1,
                0,
                "SELECT p, m, length(sealed) FROM post WHERE expires <= ?1 ORDER BY expires LIMIT ?2",
                "DELETE FROM post WHERE p = ?1",
            ),
            (
                0,
                1,
                "SELECT q, m, ifnull(length(sealed), 0) FROM presence WHERE expires <= ?1 ORDER BY expires LIMIT ?2",
                "DELETE FROM presence WHERE q = ?1",
            ),
        ] {
            let mut expired = tx.prepare_cached(find)?;
            let expired = expired.query_map(params![int(now), ROWS], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let expired: Vec<(i64, i64, u32)> = expired.collect::<rusqlite::Result<_>>()?;
            let mut drop = tx.prepare_cached(drop)?;
            let mut count = tx.prepare_cached(
                "UPDATE mailbox SET posts = posts - ?2, slots = slots - ?3, bytes = max(0, bytes - ?4) WHERE m = ?1",
            )?;
            for (row, mailbox, bytes) in &expired {
                let bytes = ROW_COST + u64::from(*bytes);
                drop.execute([row])?;
                count.execute([*mailbox, posts, slots, int(bytes)])?;
                add(&tx, 0, bytes)?;
            }
            let dropped = u64::try_from(expired.len()).unwrap_or(u64::MAX);
            swept.more |= dropped >= u64::from(ROWS);
            if posts > 0 {
                swept.posts = dropped;
            } else {
                swept.presences = dropped;
            }
        }
        let mailboxes = tx
            .prepare_cached(
                "DELETE FROM mailbox WHERE m IN
                    (SELECT m FROM mailbox WHERE until <= ?1 AND posts = 0 AND slots = 0 LIMIT ?2)",
            )?
            .execute(params![int(now), ROWS])?;
        swept.mailboxes = u64::try_from(mailboxes).unwrap_or(u64::MAX);
        swept.more |= swept.mailboxes >= u64::from(ROWS);
        add(&tx, 0, ROW_COST.saturating_mul(swept.mailboxes))?;
        tx.commit()?;
        self.give_back()?;
        self.has_traces |= swept.posts + swept.presences > 0;
        if self.has_traces && !swept.more {
            self.wipe()?;
        }
        Ok(swept)
    }

    /// Writes the WAL into the file, where what is gone was overwritten, and empties it.
    fn wipe(&mut self) -> Result<(), StoreError> {
        let busy: i64 = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        self.has_traces = busy != 0;
        Ok(())
    }

    fn give_back(&self) -> Result<(), StoreError> {
        let mut vacuum = self
            .conn
            .prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut pages = vacuum.query([])?;
        // A row for each page, or none: SQLite's own matter.
        while pages.next()?.is_some() {}
        Ok(())
    }
}
