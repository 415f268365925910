//! Content of files in a sealed export: after all records, so that those are there first when it is read.

use std::collections::BTreeSet;

use twin_ops::backup::{Chunks, Content, Item, Reading};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::ChunkName;
use twin_vault::files::Root;

use super::output::Output;
use super::write::RUN;
use crate::error::Result;
use crate::progress::{Watch, tell};
use crate::twin::Twin;

/// How many records are read at once.
const PAGE: usize = 200;
/// How many files are named that are not whole.
const NAMED: usize = 100;

/// The files that are not, or not whole, on this device.
#[derive(Default)]
pub(super) struct Incomplete {
    pub count: u64,
    /// The first of them: space, collection and id of the record.
    pub named: Vec<String>,
}

/// What was written of content.
pub(super) struct Written {
    pub chunks: u64,
    pub damaged: u64,
}

impl Twin {
    /// The files of records of one space, or of all, that are not whole here. Reads every record.
    pub(super) fn incomplete_files(&self, only: Option<&SpaceName>) -> Result<Incomplete> {
        let mut found = Incomplete::default();
        for name in self.spaces()? {
            if only.is_some_and(|only| *only != name) {
                continue;
            }
            let space = self.space(name.as_str())?;
            for collection in space.collections()? {
                space.collection(&collection).each(PAGE, |record| {
                    for root in record.fields.0.values().filter_map(Root::of) {
                        let missing = self.vault().missing_chunks(&name, &root, 0)?;
                        if missing.count > 0 {
                            found.count += 1;
                            if found.named.len() < NAMED {
                                found
                                    .named
                                    .push(format!("{name}/{collection}/{}", record.id));
                            }
                        }
                    }
                    Ok(())
                })?;
            }
        }
        found.named.sort();
        Ok(found)
    }

    /// Writes the chunks that are not written yet. Others can use the vault between two runs.
    pub(super) fn write_chunks(
        &self,
        output: &mut Output,
        reading: &Reading,
        spaces: Option<&BTreeSet<SpaceId>>,
        watch: &mut Watch<'_>,
    ) -> Result<Written> {
        let total = self.vault().chunk_bytes()?;
        let mut written = Written {
            chunks: reading.chunks(),
            damaged: 0,
        };
        let mut after = match reading.last_chunk() {
            Some((space, id)) => self.vault().place_of_chunk(&ChunkName { space, id })?,
            None => None,
        }
        .unwrap_or(0);
        let mut done = 0u64;
        loop {
            let carried = self.vault().carry_chunks(spaces, after, RUN)?;
            written.damaged += carried.damaged;
            if let Some((first, _)) = carried.chunks.first() {
                let space = first.space;
                written.chunks += carried.chunks.len() as u64;
                let sealed = carried.chunks.into_iter().map(|(_, bytes)| {
                    done += bytes.len() as u64;
                    bytes.into()
                });
                let sealed = sealed.collect();
                output.write(&Item::Chunks(Chunks { space, sealed }))?;
                tell(watch, done, Some(total.max(done)))?;
            }
            match carried.next {
                Some(next) => after = next,
                None => return Ok(written),
            }
        }
    }
}

/// The item after all chunks.
pub(super) const fn end(chunks: u64, incomplete: u64, left_out: bool) -> Item {
    Item::Content(Content {
        chunks,
        incomplete,
        left_out,
    })
}
