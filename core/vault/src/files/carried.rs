//! Chunks that travel in a backup: all of them out, in the order in which they came, and back in.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use twin_ops::file::{ChunkId, Sealed as SealedChunk};
use twin_ops::space::SpaceId;
use twin_ops::store::ChunkName;

use super::garbage::{KEPT, Marks};
use super::look::check_chunk;
use crate::error::{Result, VaultError};
use crate::items::Page;
use crate::keys::NAME_LEN;
use crate::rows::ChunkRow;
use crate::store::Store;
use crate::vault::Vault;

/// How many chunks are looked at in one transaction.
const BATCH: u32 = 64;

/// Some of the chunks that are here, to be taken along.
#[derive(Debug, Default)]
pub struct Carried {
    /// Chunks of one space, with their sealed bytes.
    pub chunks: Vec<(ChunkName, Vec<u8>)>,
    /// From where to go on; `None` after the last one.
    pub next: Option<i64>,
    /// How many were come by whose bytes are damaged.
    pub damaged: u64,
}

/// How far a look for the chunks that came since some time has come.
#[derive(Debug, Default)]
pub struct Since(Option<[u8; NAME_LEN]>);

impl Vault {
    /// Goes on with a look for the chunks that came then or later, in milliseconds since the Unix epoch: some of them,
    /// maybe none; `None` once all were looked at.
    pub fn chunks_since(&mut self, at: u64, look: &mut Since) -> Result<Option<Vec<ChunkName>>> {
        self.catch_up()?;
        let page: Page<ChunkRow> = self.file.items_after(look.0, BATCH)?;
        let Some((last, _)) = page.last() else {
            return Ok(None);
        };
        look.0 = Some(*last);
        let rows: Result<Vec<ChunkRow>> = page.into_iter().map(|(_, row)| row).collect();
        let since = rows?.into_iter().filter(|row| row.at >= at);
        let names = since.map(|ChunkRow { space, id, .. }| ChunkName { space, id });
        Ok(Some(names.collect()))
    }

    /// How many bytes all chunks have, sealed.
    pub fn chunk_bytes(&self) -> Result<u64> {
        let mut statement = self.file.store.sql("SELECT sum(length(v)) FROM chunk")?;
        let bytes: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(bytes.map_or(0, i64::unsigned_abs))
    }

    /// After which place the chunks come that came after this one; `None` if it is not here.
    pub fn place_of_chunk(&mut self, name: &ChunkName) -> Result<Option<i64>> {
        self.catch_up()?;
        let row = self.file.chunk_row(&name.space, &name.id)?;
        Ok(row.map(|row| row.number))
    }

    /// The next chunks of `spaces`, or of all, after a place, 0 at the beginning: those of one space, of at most `budget`
    /// bytes, but at least one if there is one.
    pub fn carry_chunks(
        &mut self,
        spaces: Option<&BTreeSet<SpaceId>>,
        after: i64,
        budget: usize,
    ) -> Result<Carried> {
        self.catch_up()?;
        let known = self.state.epochs.values();
        let known: BTreeSet<SpaceId> = known.map(|epoch| epoch.space.id(self.twin())).collect();
        let mut carried = Carried {
            next: Some(after),
            ..Carried::default()
        };
        let (mut at, mut len) = (after, 0);
        while let Some((number, bytes)) = self.file.store.chunk_after(at)? {
            let id = ChunkId::of(&bytes);
            let mut owner = None;
            for space in &known {
                let row = self.file.chunk_row(space, &id)?;
                if row.is_some_and(|row| row.number == number) {
                    owner = Some(*space);
                }
            }
            let first = carried.chunks.first().map(|(name, _)| name.space);
            match owner {
                Some(space) if spaces.is_none_or(|spaces| spaces.contains(&space)) => {
                    let other = first.is_some_and(|first| first != space);
                    if other || (len + bytes.len() > budget && first.is_some()) {
                        return Ok(carried);
                    }
                    len += bytes.len();
                    carried.chunks.push((ChunkName { space, id }, bytes));
                }
                Some(_) => {}
                None => carried.damaged += 1,
            }
            at = number;
            carried.next = Some(at);
        }
        carried.next = None;
        Ok(carried)
    }

    /// Takes chunks of a space as of `now`, whether anything names them or not: see [`Vault::drop_uncalled`]. What is here
    /// stays as it is. Returns how many were stored.
    ///
    /// # Errors
    /// Among others [`VaultError::NoKey`] if this device has no key of the space.
    pub fn take_carried(&mut self, now: u64, space: SpaceId, sealed: Vec<Vec<u8>>) -> Result<u64> {
        let chunks = sealed.into_iter().map(|bytes| SealedChunk {
            id: ChunkId::of(&bytes),
            bytes,
        });
        let chunks: Vec<SealedChunk> = chunks.collect();
        chunks.iter().try_for_each(check_chunk)?;
        self.now = now;
        self.write(|vault| {
            if vault.state.newest_epoch(&space).is_none() {
                return Err(VaultError::NoKey);
            }
            let mut stored = 0;
            for chunk in &chunks {
                stored += u64::from(vault.file.keep_chunk(&space, chunk, 0, now)?);
            }
            Ok(stored)
        })
    }

    /// Drops the chunks that nothing names and that came at `now`, in milliseconds since the Unix epoch, or before, as in a
    /// taking that was broken off: a backup may be older than an erasure. While an add goes on, what came later than a day
    /// before it began stays. Returns how many of those that came at `now` were dropped.
    pub fn drop_uncalled(&mut self, now: u64) -> Result<u64> {
        self.catch_up()?;
        let mut marks = Marks::default();
        self.follow_new(&mut marks)?;
        let (mut after, mut dropped, mut any) = (None, 0, false);
        loop {
            let page: Page<ChunkRow> = self.file.items_after(after, BATCH)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let rows: Result<Vec<ChunkRow>> = page.into_iter().map(|(_, row)| row).collect();
            let mut uncalled = rows?;
            uncalled.retain(|row| row.at <= now && !marks.has(&row.id));
            if uncalled.is_empty() {
                continue;
            }
            any = true;
            dropped += self.write(|vault| vault.drop_those(now, &uncalled, &mut marks))?;
        }
        if any {
            self.file.store.give_back()?;
        }
        Ok(dropped)
    }

    /// Drops those of these chunks that may go still. Inside a transaction.
    fn drop_those(&mut self, now: u64, chunks: &[ChunkRow], marks: &mut Marks) -> Result<u64> {
        self.wipe = true;
        let began = self.adds_began(now, KEPT)?;
        let before =
            |at: u64| at < now && began.is_none_or(|began| at.saturating_add(KEPT) < began);
        self.remove_unnamed(chunks, marks, before)?;
        let came = self.remove_unnamed(chunks, marks, |at| at == now)?;
        Ok(came.chunks)
    }
}

impl Store {
    /// The chunk after a number, by number.
    fn chunk_after(&self, number: i64) -> Result<Option<(i64, Vec<u8>)>> {
        let mut statement = self.sql("SELECT n, v FROM chunk WHERE n > ?1 ORDER BY n LIMIT 1")?;
        let found = statement.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::common::{NOON, phone, put, rng, space};

    /// The chunks of a file that no record names, as they are in a backup.
    fn of_a_backup() -> Vec<Vec<u8>> {
        let dir = tempdir().unwrap();
        let mut vault = phone(dir.path());
        let mut writer = vault.begin_file(NOON, &mut rng(1), &space("home")).unwrap();
        vault.push_file(NOON, &mut writer, &[7; 200_000]).unwrap();
        vault.finish_file(NOON, writer).unwrap();
        let carried = vault.carry_chunks(None, 0, usize::MAX).unwrap();
        carried.chunks.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// A vault in which the space `home` has a record, and so a key.
    fn with_a_record() -> (TempDir, Vault, SpaceId) {
        let dir = tempdir().unwrap();
        let mut vault = phone(dir.path());
        put(&mut vault, NOON, "c", "r", &[("a", "one")]);
        let home = space("home").id(vault.twin());
        (dir, vault, home)
    }

    #[test]
    fn what_a_taking_left_that_was_broken_off_goes_with_the_next() {
        let (_dir, mut vault, home) = with_a_record();
        let chunks = of_a_backup();
        let (last, first) = chunks.split_last().unwrap();
        let came = vault.take_carried(NOON, home, first.to_vec()).unwrap();
        assert_eq!(came, first.len() as u64);
        // It was killed, and done again.
        let now = NOON + 5000;
        let again = [first, std::slice::from_ref(last)].concat();
        assert_eq!(vault.take_carried(now, home, again).unwrap(), 1);
        assert_eq!(vault.drop_uncalled(now).unwrap(), 1);
        assert_eq!(vault.chunk_bytes().unwrap(), 0);
    }

    #[test]
    fn what_is_being_added_meanwhile_stays() {
        let (_dir, mut vault, home) = with_a_record();
        let mut writer = vault.begin_file(NOON, &mut rng(2), &space("home")).unwrap();
        // More than waits in memory.
        let content: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
        vault.push_file(NOON + 1, &mut writer, &content).unwrap();
        let added = vault.chunk_bytes().unwrap();
        assert!(added > 0);
        let now = NOON + 5000;
        vault.take_carried(now, home, of_a_backup()).unwrap();
        assert!(vault.drop_uncalled(now).unwrap() > 1);
        assert_eq!(vault.chunk_bytes().unwrap(), added);
    }
}
