//! Where chunks are: a sealed row for each, which says where its bytes are, and a table of bytes.
//!
//! The bytes are sealed already, and their hash is the chunk's id; so the row alone hangs on the vault key, and a new
//! vault key touches no content.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use twin_ops::file::{ChunkId, Sealed as SealedChunk};
use twin_ops::space::SpaceId;

use crate::error::{Result, VaultError};
use crate::rows::ChunkRow;
use crate::store::{Sealed, Store};

/// A chunk's bytes are not what they were, or are not there.
pub(crate) const DAMAGED: VaultError = VaultError::Damaged("a chunk of a file");

/// What distinguishes a chunk from others.
pub(crate) fn chunk_key(space: &SpaceId, id: &ChunkId) -> Vec<u8> {
    [space.as_bytes().as_slice(), id.as_bytes()].concat()
}

impl Sealed {
    /// The row of a chunk that is here.
    pub fn chunk_row(&self, space: &SpaceId, id: &ChunkId) -> Result<Option<ChunkRow>> {
        self.item(&chunk_key(space, id))
    }

    /// The sealed bytes of a chunk; `None` if it is not here.
    pub fn chunk(&self, space: &SpaceId, id: &ChunkId) -> Result<Option<Vec<u8>>> {
        let Some(row) = self.chunk_row(space, id)? else {
            return Ok(None);
        };
        self.store.chunk_bytes(&row)?.ok_or(DAMAGED).map(Some)
    }

    /// Keeps a chunk as of `now`. One that is here since `since` stays as it is; one whose bytes are damaged is mended.
    /// `true` if its bytes were written. Inside a transaction.
    ///
    /// # Errors
    /// Among others [`VaultError::DiskFull`] for one that is not here, while there is still room for all but content: see
    /// [`crate::disk`].
    pub fn keep_chunk(
        &self,
        space: &SpaceId,
        chunk: &SealedChunk,
        since: u64,
        now: u64,
    ) -> Result<bool> {
        let here = self.chunk_row(space, &chunk.id)?;
        let number = match &here {
            Some(row) if self.store.chunk_bytes(row)?.is_some() => {
                if row.at >= since {
                    return Ok(false);
                }
                Some(row.number)
            }
            _ => None,
        };
        let is_new = number.is_none();
        let number = match number {
            Some(number) => number,
            None => {
                self.store.check_room()?;
                if let Some(row) = here {
                    self.store.remove_chunk_bytes(row.number)?;
                }
                self.store.insert_chunk_bytes(&chunk.bytes)?
            }
        };
        self.put(&ChunkRow {
            space: *space,
            id: chunk.id,
            number,
            at: now,
        })?;
        Ok(is_new)
    }

    /// Looks through all chunks. Returns how many are whole; shows the number of each other, and of bytes that no row
    /// names.
    pub fn check_chunks(&self, mut damaged: impl FnMut(i64)) -> Result<u64> {
        let mut named = BTreeSet::new();
        let mut whole = 0;
        self.each_item(|row: Result<ChunkRow>| {
            let row = match row {
                Ok(row) => row,
                // Named among the sealed rows, and its bytes below.
                Err(VaultError::Damaged(_)) => return Ok(()),
                Err(error) => return Err(error),
            };
            named.insert(row.number);
            if self.store.chunk_bytes(&row)?.is_some() {
                whole += 1;
            } else {
                damaged(row.number);
            }
            Ok(())
        })?;
        self.store.each_chunk_number(|number| {
            if !named.contains(&number) {
                damaged(number);
            }
        })?;
        Ok(whole)
    }
}

impl Store {
    /// The bytes that a row names; `None` if they are damaged or missing.
    fn chunk_bytes(&self, row: &ChunkRow) -> Result<Option<Vec<u8>>> {
        let mut statement = self.sql("SELECT v FROM chunk WHERE n = ?1")?;
        let bytes: Option<Vec<u8>> = statement
            .query_row([row.number], |row| row.get(0))
            .optional()?;
        Ok(bytes.filter(|bytes| ChunkId::of(bytes) == row.id))
    }

    fn insert_chunk_bytes(&self, bytes: &[u8]) -> Result<i64> {
        let mut insert = self.sql("INSERT INTO chunk (v) VALUES (?1)")?;
        Ok(insert.insert([bytes])?)
    }

    /// Forgets the bytes of a chunk; how many there were.
    pub fn remove_chunk_bytes(&self, number: i64) -> Result<u64> {
        let mut statement = self.sql("DELETE FROM chunk WHERE n = ?1 RETURNING length(v)")?;
        let len: Option<i64> = statement.query_row([number], |row| row.get(0)).optional()?;
        Ok(len.map_or(0, i64::unsigned_abs))
    }

    /// Takes the bytes with this number out of the table.
    pub fn take_chunk_bytes(&self, number: i64) -> Result<Option<Vec<u8>>> {
        let mut statement = self.sql("DELETE FROM chunk WHERE n = ?1 RETURNING v")?;
        Ok(statement.query_row([number], |row| row.get(0)).optional()?)
    }

    fn each_chunk_number(&self, mut show: impl FnMut(i64)) -> Result<()> {
        let mut statement = self.sql("SELECT n FROM chunk")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            show(row.get(0)?);
        }
        Ok(())
    }
}
