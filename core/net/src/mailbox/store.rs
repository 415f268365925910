//! What a relay keeps: one SQLite file.
//!
//! Each change is one transaction, quotas and sums included: after a crash in its middle nothing of it is there.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use twin_identity::sign::Signature;
use twin_sync::machine::Millis;
use twin_sync::mailbox::store::{Kept, Listed, MAX_LISTED, Mark, Outcome, Present};
use twin_sync::mailbox::terms::{MAX_POSTS, MAX_PRESENCES, REMEMBERED, ROW_COST};
use twin_sync::mailbox::{Address, EnvelopeId, Limits, MailboxStore, Refusal, Slot};

use super::error::StoreError;
use super::rows::{add, cost, find, find_or_make, int, save, there, total, uint};
use super::schema;

type Result<T> = std::result::Result<T, StoreError>;

/// A relay's store.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) conn: Connection,
    limits: Limits,
    /// Whether what is gone may still stand in the WAL, or in a page that the WAL is to replace.
    pub(super) has_traces: bool,
}

/// How much there is in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Posts, those included that were taken back and have not expired.
    pub posts: u64,
    /// Presences.
    pub presences: u64,
    /// Bytes as the limits count them.
    pub bytes: u64,
    /// Bytes of the file, without its WAL.
    pub file: u64,
}

impl SqliteStore {
    /// Opens the file, or makes it; these limits hold for what comes from now on.
    pub fn open(path: &Path, limits: Limits) -> Result<Self> {
        let most = [
            limits.total,
            limits.terms.bytes,
            limits.terms.post_life,
            limits.terms.presence_life,
        ];
        if most.into_iter().any(|limit| i64::try_from(limit).is_err()) {
            return Err(StoreError::Limit);
        }
        let conn = schema::open(path)?;
        // What was taken back just before a crash.
        let has_traces = true;
        Ok(Self {
            conn,
            limits,
            has_traces,
        })
    }

    /// How much there is.
    pub fn size(&self) -> Result<Size> {
        let (mailboxes, posts, presences) = self
            .conn
            .prepare_cached(
                "SELECT count(*), ifnull(sum(posts), 0), ifnull(sum(slots), 0) FROM mailbox",
            )?
            .query_row([], |row| {
                Ok((uint(row.get(0)?), uint(row.get(1)?), uint(row.get(2)?)))
            })?;
        let pragma = |name| -> Result<u64> {
            Ok(uint(
                self.conn.pragma_query_value(None, name, |row| row.get(0))?,
            ))
        };
        Ok(Size {
            mailboxes,
            posts,
            presences,
            bytes: total(&self.conn)?,
            file: pragma("page_count")?.saturating_mul(pragma("page_size")?),
        })
    }

    pub(super) fn begin(&mut self) -> Result<Transaction<'_>> {
        let immediate = TransactionBehavior::Immediate;
        Ok(self.conn.transaction_with_behavior(immediate)?)
    }
}

impl MailboxStore for SqliteStore {
    type Error = StoreError;

    fn put(&mut self, now: Millis, address: &Address, sealed: &[u8]) -> Result<Outcome<Kept>> {
        let (limits, id) = (self.limits, EnvelopeId::of(sealed));
        let tx = self.begin()?;
        let found = find(&tx, address)?;
        if let Some(row) = &found {
            let same = tx
                .prepare_cached(
                    "SELECT n, expires FROM post WHERE m = ?1 AND id = ?2 AND expires > ?3",
                )?
                .query_row(params![row.m, id.as_bytes(), int(now)], |same| {
                    Ok((uint(same.get(0)?), uint(same.get(1)?)))
                })
                .optional()?;
            if let Some((number, expires)) = same {
                let version = row.mark.version;
                return Ok(Ok(Kept {
                    number,
                    expires,
                    version,
                }));
            }
        }
        let more = cost(sealed.len());
        let bytes = found.as_ref().map_or(0, |row| row.bytes);
        let mut posts = found.as_ref().map_or(0, |row| row.posts);
        if let Some(row) = &found
            && posts >= u64::from(limits.terms.posts)
        {
            posts = there(&tx, row.m)?;
        }
        // No device follows more than that.
        let last = found.as_ref().map_or(0, |row| row.mark.last);
        let is_full = posts >= u64::from(limits.terms.posts) || last >= u64::from(MAX_POSTS);
        if is_full || bytes + more > limits.terms.bytes {
            return Ok(Err(Refusal::MailboxFull));
        }
        let made = if found.is_some() { 0 } else { ROW_COST };
        if total(&tx)? + made + more > limits.total {
            return Ok(Err(Refusal::RelayFull));
        }
        let mut row = find_or_make(&tx, address)?;
        row.mark.last += 1;
        row.mark.version += 1;
        row.posts += 1;
        row.bytes += more;
        // Posts expire in the order of their numbers, whatever the clock does.
        row.expires = row.expires.max(now.saturating_add(limits.terms.post_life));
        tx.prepare_cached("INSERT INTO post VALUES (NULL, ?1, ?2, ?3, ?4, NULL, ?5)")?
            .execute(params![
                row.m,
                int(row.mark.last),
                id.as_bytes(),
                int(row.expires),
                sealed
            ])?;
        save(&tx, &row, row.expires.saturating_add(REMEMBERED))?;
        add(&tx, more, 0)?;
        tx.commit()?;
        Ok(Ok(Kept {
            number: row.mark.last,
            expires: row.expires,
            version: row.mark.version,
        }))
    }

    fn list(&mut self, now: Millis, address: &Address, after: u64) -> Result<Vec<Listed>> {
        let Some(row) = find(&self.conn, address)? else {
            return Ok(Vec::new());
        };
        let mut posts = self.conn.prepare_cached(
            "SELECT n, id, expires, withdrawn FROM post WHERE m = ?1 AND n > ?2 AND expires > ?3 ORDER BY n LIMIT ?4",
        )?;
        let most = int(u64::try_from(MAX_LISTED).unwrap_or(u64::MAX));
        let posts = posts.query_map([row.m, int(after), int(now), most], |post| {
            Ok(Listed {
                number: uint(post.get(0)?),
                id: EnvelopeId::from_bytes(post.get(1)?),
                expires: uint(post.get(2)?),
                withdrawn: post.get::<_, Option<Signature>>(3)?,
            })
        })?;
        Ok(posts.collect::<rusqlite::Result<_>>()?)
    }

    fn size(&mut self, now: Millis, address: &Address, number: u64) -> Result<Option<usize>> {
        let mut size = self.conn.prepare_cached(
            "SELECT length(sealed) FROM post JOIN mailbox USING (m)
                WHERE address = ?1 AND n = ?2 AND post.expires > ?3 AND withdrawn IS NULL",
        )?;
        let size = size.query_row(params![address.as_bytes(), int(number), int(now)], |row| {
            row.get::<_, i64>(0)
        });
        Ok(size.optional()?.and_then(|size| usize::try_from(size).ok()))
    }

    fn get(&mut self, now: Millis, address: &Address, number: u64) -> Result<Option<Vec<u8>>> {
        let mut sealed = self.conn.prepare_cached(
            "SELECT sealed FROM post JOIN mailbox USING (m)
                WHERE address = ?1 AND n = ?2 AND post.expires > ?3 AND withdrawn IS NULL",
        )?;
        let place = params![address.as_bytes(), int(number), int(now)];
        Ok(sealed.query_row(place, |row| row.get(0)).optional()?)
    }

    fn withdraw(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
        id: &EnvelopeId,
        signature: &Signature,
    ) -> Result<Outcome<u64>> {
        let tx = self.begin()?;
        let Some(mut row) = find(&tx, address)? else {
            return Ok(Err(Refusal::Gone));
        };
        let post = tx
            .prepare_cached(
                "SELECT p, length(sealed), withdrawn IS NOT NULL FROM post
                    WHERE m = ?1 AND n = ?2 AND id = ?3 AND expires > ?4",
            )?
            .query_row(
                params![row.m, int(number), id.as_bytes(), int(now)],
                |post| {
                    Ok((
                        post.get::<_, i64>(0)?,
                        uint(post.get(1)?),
                        post.get::<_, bool>(2)?,
                    ))
                },
            )
            .optional()?;
        let Some((p, bytes, withdrawn)) = post else {
            return Ok(Err(Refusal::Gone));
        };
        if !withdrawn {
            tx.prepare_cached("UPDATE post SET withdrawn = ?2, sealed = x'' WHERE p = ?1")?
                .execute(params![p, signature])?;
            row.mark.version += 1;
            row.bytes = row.bytes.saturating_sub(bytes);
            save(&tx, &row, 0)?;
            add(&tx, 0, bytes)?;
            tx.commit()?;
            self.has_traces = true;
        }
        Ok(Ok(row.mark.version))
    }

    fn present(
        &mut self,
        now: Millis,
        address: &Address,
        slot: &Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Outcome<u64>> {
        let limits = self.limits;
        let tx = self.begin()?;
        let found = find(&tx, address)?;
        let held = match &found {
            None => None,
            Some(row) => tx
                .prepare_cached(
                    "SELECT ifnull(length(sealed), 0) FROM presence WHERE m = ?1 AND slot = ?2",
                )?
                .query_row(params![row.m, slot.0], |held| held.get::<_, i64>(0))
                .optional()?,
        };
        let (slots, bytes, version) = found
            .as_ref()
            .map_or((0, 0, 0), |row| (row.slots, row.bytes, row.mark.version));
        if held.is_none() && sealed.is_none() {
            return Ok(Ok(version));
        }
        let less = held.map_or(0, |held| ROW_COST + uint(held));
        let more = cost(sealed.map_or(0, <[u8]>::len));
        let full = held.is_none() && slots >= u64::from(MAX_PRESENCES);
        if full || bytes + more > limits.terms.bytes + less {
            return Ok(Err(Refusal::MailboxFull));
        }
        let made = if found.is_some() { 0 } else { ROW_COST };
        if total(&tx)? + made + more > limits.total + less {
            return Ok(Err(Refusal::RelayFull));
        }
        let mut row = find_or_make(&tx, address)?;
        row.mark.version += 1;
        row.slots += u64::from(held.is_none());
        row.bytes = (row.bytes + more).saturating_sub(less);
        let expires = now.saturating_add(limits.terms.presence_life);
        tx.prepare_cached(
            "INSERT INTO presence VALUES (NULL, ?1, ?2, ?3, ?4, ?5) ON CONFLICT (m, slot)
                DO UPDATE SET version = excluded.version, expires = excluded.expires, sealed = excluded.sealed",
        )?
        .execute(params![row.m, slot.0, int(row.mark.version), int(expires), sealed])?;
        save(&tx, &row, now.saturating_add(REMEMBERED))?;
        add(&tx, more, less)?;
        tx.commit()?;
        self.has_traces |= held.is_some();
        Ok(Ok(row.mark.version))
    }

    fn presences(&mut self, now: Millis, address: &Address, after: u64) -> Result<Vec<Present>> {
        let Some(row) = find(&self.conn, address)? else {
            return Ok(Vec::new());
        };
        let mut news = self.conn.prepare_cached(
            "SELECT slot, version, sealed FROM presence
                WHERE m = ?1 AND version > ?2 AND expires > ?3 ORDER BY version LIMIT ?4",
        )?;
        let news = news.query_map(
            [row.m, int(after), int(now), i64::from(MAX_PRESENCES)],
            |one| {
                Ok(Present {
                    slot: Slot(one.get(0)?),
                    version: uint(one.get(1)?),
                    sealed: one.get(2)?,
                })
            },
        )?;
        Ok(news.collect::<rusqlite::Result<_>>()?)
    }

    fn mark(&mut self, address: &Address) -> Result<Mark> {
        Ok(find(&self.conn, address)?.map_or_else(Mark::default, |row| row.mark))
    }
}

#[cfg(test)]
mod tests;
