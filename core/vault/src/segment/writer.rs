//! Writing a segment: entries are gathered and sorted, then cut into blocks.

use crate::error::{Result, VaultError};
use crate::store::Sealed;

use super::block::{Draft, Entry};
use super::{MARK, MAX_BLOCKS, MAX_SEGMENT, Segment, block_number};

/// How many entries are gathered before they become a segment: some MiB of memory.
const MAX_ENTRIES: usize = 1 << 16;

/// Entries of a segment to be.
#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<(Vec<u8>, i64, u8)>,
}

impl Batch {
    /// Tells that the segment is about the record at this place.
    pub fn mark(&mut self, place: i64) {
        self.add(MARK.to_vec(), place, 0);
    }

    /// Adds an entry.
    pub fn add(&mut self, key: Vec<u8>, place: i64, weight: u8) {
        self.entries.push((key, place, weight));
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it should be written.
    pub const fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES
    }

    /// Writes the segment with this number. Inside a transaction.
    pub fn write(mut self, file: &Sealed, number: u64) -> Result<Segment> {
        self.entries.sort_unstable();
        self.entries
            .dedup_by(|(a, at, _), (b, there, _)| (a, at) == (b, there));
        let mut writer = Writer::new(number)?;
        for (key, place, weight) in &self.entries {
            writer.push(
                file,
                Entry {
                    key,
                    place: *place,
                    weight: *weight,
                },
            )?;
        }
        writer.finish(file)
    }
}

/// A segment that is being written.
pub(super) struct Writer {
    segment: Segment,
    draft: Draft,
}

impl Writer {
    pub fn new(number: u64) -> Result<Self> {
        if number > MAX_SEGMENT {
            return Err(VaultError::Limit("segments for searching"));
        }
        Ok(Self {
            segment: Segment {
                number,
                blocks: 0,
                records: 0,
            },
            draft: Draft::new(),
        })
    }

    /// Adds an entry that comes after the last one.
    pub fn push(&mut self, file: &Sealed, entry: Entry<'_>) -> Result<()> {
        self.segment.records += u64::from(entry.key == MARK);
        if self.draft.push(entry) {
            return Ok(());
        }
        self.next_block(file)?;
        if self.draft.push(entry) {
            Ok(())
        } else {
            Err(VaultError::Limit("bytes in a key for searching"))
        }
    }

    fn next_block(&mut self, file: &Sealed) -> Result<()> {
        let index = self.segment.blocks;
        if index >= MAX_BLOCKS {
            return Err(VaultError::Limit("blocks for searching"));
        }
        let draft = std::mem::replace(&mut self.draft, Draft::new());
        let number = block_number(self.segment.number, index)?;
        file.seal_block(number, &draft.finish())?;
        self.segment.blocks += 1;
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(mut self, file: &Sealed) -> Result<Segment> {
        if !self.draft.is_empty() {
            self.next_block(file)?;
        }
        Ok(self.segment)
    }
}
