//! Sealed sorted segments: what the vault keeps to find records by what is in them.
//!
//! A segment is written once: entries in the order of (key, place), each the place of a record under a key with a small
//! weight, cut into blocks of one length, each sealed for its own place in the table. Looking for a key is a binary
//! search over the blocks. New entries make new segments, and when there are many they become one ([`merge`]). Of
//! what two segments say of one record the newer counts: each marks the records that it is about ([`MARK`]).
//!
//! Whatever is found is looked at again in the record itself, so that an entry that is out of date does no harm.

mod block;
mod cursor;
mod forget;
mod merge;
#[cfg(test)]
mod tests;
mod writer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::error::{Result, VaultError};
use crate::store::{Sealed, Store};

#[cfg(any(test, fuzzing))]
pub(crate) use block::{BLOCK_LEN, Draft, Entry};
pub(crate) use block::{Block, put_varint, varint};
pub(crate) use cursor::{Direction, Merged, weight_of};
pub(crate) use forget::forget;
pub(crate) use merge::merge_some;
pub(crate) use writer::Batch;

/// The key of the entries that tell which records a segment is about. All other keys are longer.
pub(crate) const MARK: &[u8] = &[0];
/// The most bytes of a key: a few entries fit into each block.
pub(crate) const MAX_KEY: usize = 512;

/// Bits of a block's number that are its place in its segment.
const BLOCK_BITS: u32 = 20;
/// The most blocks of a segment.
const MAX_BLOCKS: u32 = 1 << BLOCK_BITS;
/// The highest number of a segment: it and a place fit into 63 bits.
const MAX_SEGMENT: u64 = (1 << (63 - BLOCK_BITS)) - 1;
/// How many opened blocks are kept in memory: half a MiB.
const MAX_CACHED: usize = 128;

/// Blocks that are missing, altered or not in order. All of it can be made anew from the records.
pub(crate) const DAMAGED: VaultError = VaultError::Damaged("what is kept for searching");

/// Whether an error says [`DAMAGED`].
pub(crate) fn is_damage(error: &VaultError) -> bool {
    let VaultError::Damaged(ours) = DAMAGED else {
        return false;
    };
    matches!(error, VaultError::Damaged(what) if *what == ours)
}

/// A segment: where its blocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Segment {
    #[n(0)]
    pub number: u64,
    #[n(1)]
    pub blocks: u32,
    /// How many records it is about.
    #[n(2)]
    pub records: u64,
}

/// Blocks that were opened lately.
#[derive(Default)]
pub(crate) struct Blocks(RefCell<HashMap<i64, Arc<Block>>>);

impl Blocks {
    /// Forgets them all, when segments are dropped.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Where blocks come from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub file: &'a Sealed,
    /// `None` if what is read is read once only.
    pub opened: Option<&'a Blocks>,
}

impl Source<'_> {
    /// A block of a segment.
    fn block(&self, segment: &Segment, index: u32) -> Result<Arc<Block>> {
        let number = block_number(segment.number, index)?;
        if let Some(opened) = self.opened
            && let Some(known) = opened.0.borrow().get(&number)
        {
            return Ok(Arc::clone(known));
        }
        let plain = self.file.open_block(number)?.ok_or(DAMAGED)?;
        let block = Arc::new(Block::parse(&plain).ok_or(DAMAGED)?);
        if let Some(opened) = self.opened {
            let mut opened = opened.0.borrow_mut();
            if opened.len() >= MAX_CACHED {
                opened.clear();
            }
            opened.insert(number, Arc::clone(&block));
        }
        Ok(block)
    }

    /// Opens every block of a segment and looks whether its entries are in order; `false` if anything is damaged.
    pub fn is_whole(&self, segment: &Segment) -> Result<bool> {
        let mut last: Option<(Vec<u8>, i64)> = None;
        for index in 0..segment.blocks {
            let block = match self.block(segment, index) {
                Ok(block) => block,
                Err(error) if is_damage(&error) => return Ok(false),
                Err(error) => return Err(error),
            };
            let mut at = 0;
            while let Some(entry) = block.get(at) {
                let follows = last
                    .as_ref()
                    .is_none_or(|(key, place)| (key.as_slice(), *place) < (entry.key, entry.place));
                if !follows {
                    return Ok(false);
                }
                last = Some((entry.key.to_vec(), entry.place));
                at += 1;
            }
        }
        Ok(true)
    }
}

fn block_number(segment: u64, index: u32) -> Result<i64> {
    if segment > MAX_SEGMENT || index >= MAX_BLOCKS {
        return Err(DAMAGED);
    }
    Ok(((segment << BLOCK_BITS) | u64::from(index)).cast_signed())
}

impl Sealed {
    /// Seals what stands in the table of blocks under this number.
    pub fn seal_block(&self, number: i64, plain: &[u8]) -> Result<()> {
        let aad = number.to_be_bytes();
        let sealed = self.keys.search.seal_synthetic(&aad, plain)?;
        self.store
            .sql("INSERT OR REPLACE INTO block (n, v) VALUES (?1, ?2)")?
            .execute((number, sealed))?;
        Ok(())
    }

    /// Opens what stands in the table of blocks under this number.
    pub fn open_block(&self, number: i64) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
        let mut statement = self.store.sql("SELECT v FROM block WHERE n = ?1")?;
        let mut rows = statement.query([number])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let sealed = row.get_ref(0)?.as_blob().map_err(|_| DAMAGED)?;
        let plain = self.keys.search.open(&number.to_be_bytes(), sealed);
        plain.map(Some).map_err(|_| DAMAGED)
    }
}

impl Store {
    /// Removes the blocks of a segment.
    fn remove_segment(&self, segment: &Segment) -> Result<()> {
        let (first, last) = (
            block_number(segment.number, 0)?,
            block_number(segment.number, MAX_BLOCKS - 1)?,
        );
        self.sql("DELETE FROM block WHERE n BETWEEN ?1 AND ?2")?
            .execute((first, last))?;
        Ok(())
    }

    /// Empties the table of blocks.
    pub fn clear_blocks(&self) -> Result<()> {
        self.sql("DELETE FROM block")?.execute([])?;
        Ok(())
    }
}
