//! Going through segments in the order of their entries, several at once.

use std::sync::Arc;

use crate::error::Result;

use super::block::{Block, Entry};
use super::{DAMAGED, Segment, Source};

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the lowest entry up.
    Up,
    /// From the highest entry down.
    Down,
}

/// An entry that was found, of the newest segment that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub key: Vec<u8>,
    pub place: i64,
    pub weight: u8,
    /// Which of the segments it is from.
    pub segment: usize,
}

/// A place in a segment, at an entry.
struct Cursor {
    segment: Segment,
    index: u32,
    block: Arc<Block>,
    at: usize,
}

impl Cursor {
    /// At the first entry that is not before (key, place); `None` if there is none.
    fn from(source: Source<'_>, segment: Segment, key: &[u8], place: i64) -> Result<Option<Self>> {
        let (mut low, mut high) = (0, segment.blocks);
        // The first block that begins after what is looked for.
        while low < high {
            let middle = low.midpoint(high);
            let block = source.block(&segment, middle)?;
            let first = block.get(0).ok_or(DAMAGED)?;
            if (first.key, first.place) <= (key, place) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let index = low.saturating_sub(1);
        if index >= segment.blocks {
            return Ok(None);
        }
        let block = source.block(&segment, index)?;
        let at = block.seek(key, place);
        let mut cursor = Self {
            segment,
            index,
            block,
            at,
        };
        if cursor.at == cursor.block.len() && !cursor.next_block(source)? {
            return Ok(None);
        }
        Ok(Some(cursor))
    }

    /// At the last entry that is before (key, place); `None` if there is none.
    fn before(
        source: Source<'_>,
        segment: Segment,
        key: &[u8],
        place: i64,
    ) -> Result<Option<Self>> {
        let cursor = match Self::from(source, segment, key, place)? {
            Some(cursor) => Some(cursor),
            None => Self::at_end(source, segment)?,
        };
        let Some(mut cursor) = cursor else {
            return Ok(None);
        };
        let entry = cursor.entry()?;
        if (entry.key, entry.place) < (key, place) || cursor.step(source, Direction::Down)? {
            Ok(Some(cursor))
        } else {
            Ok(None)
        }
    }

    fn at_end(source: Source<'_>, segment: Segment) -> Result<Option<Self>> {
        let Some(index) = segment.blocks.checked_sub(1) else {
            return Ok(None);
        };
        let block = source.block(&segment, index)?;
        let at = block.len().saturating_sub(1);
        Ok(Some(Self {
            segment,
            index,
            block,
            at,
        }))
    }

    fn entry(&self) -> Result<Entry<'_>> {
        self.block.get(self.at).ok_or(DAMAGED)
    }

    /// Goes to the next entry; `false` if there is none.
    fn step(&mut self, source: Source<'_>, direction: Direction) -> Result<bool> {
        match direction {
            Direction::Up if self.at + 1 < self.block.len() => self.at += 1,
            Direction::Up => return self.next_block(source),
            Direction::Down if self.at > 0 => self.at -= 1,
            Direction::Down => {
                let Some(index) = self.index.checked_sub(1) else {
                    return Ok(false);
                };
                self.index = index;
                self.block = source.block(&self.segment, index)?;
                self.at = self.block.len().saturating_sub(1);
            }
        }
        Ok(true)
    }

    fn next_block(&mut self, source: Source<'_>) -> Result<bool> {
        let next = self.index + 1;
        if next >= self.segment.blocks {
            return Ok(false);
        }
        self.index = next;
        self.block = source.block(&self.segment, next)?;
        self.at = 0;
        Ok(true)
    }
}

/// Several segments, the oldest first, as if they were one: of entries with one key and place the newest counts.
pub(crate) struct Merged<'a> {
    source: Source<'a>,
    direction: Direction,
    cursors: Vec<(usize, Cursor)>,
}

impl<'a> Merged<'a> {
    /// From the first entry that is not before (key, place) up, or from the last that is before it down.
    pub fn new(
        source: Source<'a>,
        segments: &[Segment],
        direction: Direction,
        (key, place): (&[u8], i64),
    ) -> Result<Self> {
        let mut cursors = Vec::with_capacity(segments.len());
        for (number, segment) in segments.iter().enumerate() {
            let cursor = match direction {
                Direction::Up => Cursor::from(source, *segment, key, place)?,
                Direction::Down => Cursor::before(source, *segment, key, place)?,
            };
            cursors.extend(cursor.map(|cursor| (number, cursor)));
        }
        Ok(Self {
            source,
            direction,
            cursors,
        })
    }

    /// The next entry.
    pub fn next(&mut self) -> Result<Option<Found>> {
        let mut best: Option<(usize, Entry<'_>)> = None;
        for (number, cursor) in &self.cursors {
            let entry = cursor.entry()?;
            let beats = best.is_none_or(|(_, best)| {
                let (this, best) = ((entry.key, entry.place), (best.key, best.place));
                // Of equal ones the newest, which comes last.
                match self.direction {
                    Direction::Up => this <= best,
                    Direction::Down => this >= best,
                }
            });
            if beats {
                best = Some((*number, entry));
            }
        }
        let Some((segment, entry)) = best else {
            return Ok(None);
        };
        let found = Found {
            key: entry.key.to_vec(),
            place: entry.place,
            weight: entry.weight,
            segment,
        };
        let mut ended = Vec::new();
        for (at, (_, cursor)) in self.cursors.iter_mut().enumerate() {
            let entry = cursor.entry()?;
            if (entry.key, entry.place) == (found.key.as_slice(), found.place)
                && !cursor.step(self.source, self.direction)?
            {
                ended.push(at);
            }
        }
        for at in ended.into_iter().rev() {
            self.cursors.remove(at);
        }
        Ok(Some(found))
    }
}

/// The weight of the record at `place` under `key`; `None` if there is no such entry.
pub(crate) fn weight_of(
    source: Source<'_>,
    segments: &[Segment],
    key: &[u8],
    place: i64,
) -> Result<Option<u8>> {
    for segment in segments.iter().rev() {
        if let Some(cursor) = Cursor::from(source, *segment, key, place)? {
            let entry = cursor.entry()?;
            if (entry.key, entry.place) == (key, place) {
                return Ok(Some(entry.weight));
            }
        }
    }
    Ok(None)
}
