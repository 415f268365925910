//! Making one segment of several.

use std::collections::HashMap;

use crate::error::Result;
use crate::store::Sealed;

use super::block::Entry;
use super::cursor::{Direction, Merged};
use super::writer::Writer;
use super::{MARK, Segment, Source};

/// How many segments there may be.
const MAX_SEGMENTS: usize = 8;
/// The most blocks that are made one segment at once, 64 MiB: nobody else writes meanwhile.
const MAX_MERGED: u32 = 1 << 14;

/// Makes the newest segments one if there are too many: those that are not larger than what is newer, so that each
/// entry is written anew a few times only, however many there will be. `next` is the number of the next segment.
/// Inside a transaction.
pub(crate) fn merge_some(file: &Sealed, segments: &mut Vec<Segment>, next: &mut u64) -> Result<()> {
    if segments.len() <= MAX_SEGMENTS {
        return Ok(());
    }
    let mut blocks = 0;
    let mut first = segments.len();
    for (at, segment) in segments.iter().enumerate().rev() {
        let one_more = first + 2 > segments.len();
        let grown = segment.blocks.saturating_add(blocks);
        if grown > MAX_MERGED || (!one_more && segment.blocks > blocks) {
            break;
        }
        blocks = grown;
        first = at;
    }
    // What is large already stays as it is.
    let some = segments.get(first..).unwrap_or_default();
    if some.len() < 2 {
        return Ok(());
    }
    let merged = merge(file, some, *next)?;
    *next += 1;
    for segment in some {
        file.store.remove_segment(segment)?;
    }
    segments.truncate(first);
    segments.push(merged);
    Ok(())
}

/// One segment of several, the oldest first. What an older one says of a record that a newer one is about is left out.
pub(super) fn merge(file: &Sealed, segments: &[Segment], number: u64) -> Result<Segment> {
    // Each block is read once.
    let source = Source { file, opened: None };
    let mut newest: HashMap<i64, usize> = HashMap::new();
    for (at, segment) in segments.iter().enumerate().skip(1) {
        let one = std::slice::from_ref(segment);
        let mut marks = Merged::new(source, one, Direction::Up, (MARK, i64::MIN))?;
        while let Some(found) = marks.next()?.filter(|found| found.key == MARK) {
            newest.insert(found.place, at);
        }
    }
    let mut writer = Writer::new(number)?;
    let mut all = Merged::new(source, segments, Direction::Up, (&[], i64::MIN))?;
    while let Some(found) = all.next()? {
        let newest = newest.get(&found.place).copied().unwrap_or(0);
        if found.segment >= newest {
            writer.push(
                file,
                Entry {
                    key: &found.key,
                    place: found.place,
                    weight: found.weight,
                },
            )?;
        }
    }
    writer.finish(file)
}
