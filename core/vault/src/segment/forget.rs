//! Taking out of segments all that they say of some records: their content is erased, and its words go with it.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::store::Sealed;

use super::block::{Block, Draft};
use super::cursor::weight_of;
use super::{DAMAGED, MARK, Segment, Source, block_number};

/// Takes out all that segments say of the records at these places. `false` if that cannot be: a block would have nothing in
/// it; then all of them are to be made anew, for some of it is done. Inside a transaction.
pub(crate) fn forget(
    file: &Sealed,
    segments: &mut [Segment],
    places: &BTreeSet<i64>,
) -> Result<bool> {
    let source = Source { file, opened: None };
    for segment in segments {
        let one = std::slice::from_ref(segment);
        let mut about = 0;
        for place in places {
            about += u64::from(weight_of(source, one, MARK, *place)?.is_some());
        }
        if about == 0 {
            continue;
        }
        for index in 0..segment.blocks {
            let block = source.block(segment, index)?;
            if let Some(rest) = without(&block, places)? {
                if rest.is_empty() {
                    return Ok(false);
                }
                file.seal_block(block_number(segment.number, index)?, &rest.finish())?;
            }
        }
        segment.records = segment.records.saturating_sub(about);
    }
    Ok(true)
}

/// What is left of a block; `None` if it says nothing of these records.
fn without(block: &Block, places: &BTreeSet<i64>) -> Result<Option<Draft>> {
    let entries = || (0..block.len()).filter_map(|at| block.get(at));
    if !entries().any(|entry| places.contains(&entry.place)) {
        return Ok(None);
    }
    let mut rest = Draft::new();
    for entry in entries().filter(|entry| !places.contains(&entry.place)) {
        // It is no longer than before: a key that shares less with the one before it grows by less than goes.
        if !rest.push(entry) {
            return Err(DAMAGED);
        }
    }
    Ok(Some(rest))
}
