//! What is missing of a file, and chunks by themselves, without a session: sync has [`super::Look`].
//!
//! Whoever has the record has its root, and asks for what is missing from there down. Bytes that are not those of their
//! id are refused before anything of them is opened. Take only what was asked for: nothing else bounds how much comes.

use std::collections::HashSet;

use twin_ops::file::{ChunkId, ChunkRef, Root, Sealed as SealedChunk, Visit, Walked, walk};
use twin_ops::space::{SpaceId, SpaceName};

use super::look::check_chunk;
use crate::error::{Result, VaultError};
use crate::store::Sealed;
use crate::vault::Vault;

/// The most chunks that are taken at once.
const MAX_TAKEN: usize = 256;

/// Which chunks of a file are not here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// The first of them, manifests before what they name. When these have come there may be more.
    pub ids: Vec<ChunkId>,
    /// How many there are, counting all below a manifest that is missing.
    pub count: u64,
    /// How many chunks the file has.
    pub chunks: u64,
}

impl Vault {
    /// Which chunks of a file are not here, at most `limit` of them by name.
    pub fn missing_chunks(
        &mut self,
        space: &SpaceName,
        root: &Root,
        limit: usize,
    ) -> Result<Missing> {
        self.catch_up()?;
        self.missing_of(&space.id(self.twin()), root, limit)
    }

    pub(super) fn missing_of(&self, space: &SpaceId, root: &Root, limit: usize) -> Result<Missing> {
        let mut look = Look {
            file: &self.file,
            space,
            limit,
            seen: HashSet::new(),
            found: Missing {
                chunks: root.shape()?.total(),
                ..Missing::default()
            },
        };
        walk(space, root, &mut look)?;
        Ok(look.found)
    }

    /// The sealed bytes of a chunk, for a device of this space that asks for it; `None` if it is not here.
    pub fn sealed_chunk(&mut self, space: &SpaceName, id: &ChunkId) -> Result<Option<Vec<u8>>> {
        self.catch_up()?;
        self.file.chunk(&space.id(self.twin()), id)
    }

    /// Takes the bytes of chunks that were asked for, all or none. `now`: milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Among others [`FileError::Malformed`](super::FileError::Malformed) if bytes are not those of their id.
    pub fn put_chunks(
        &mut self,
        now: u64,
        space: &SpaceName,
        chunks: Vec<(ChunkId, Vec<u8>)>,
    ) -> Result<()> {
        if chunks.len() > MAX_TAKEN {
            return Err(VaultError::Limit("chunks at once"));
        }
        let chunks: Vec<SealedChunk> = chunks
            .into_iter()
            .map(|(id, bytes)| SealedChunk { id, bytes })
            .collect();
        chunks.iter().try_for_each(check_chunk)?;
        self.now = now;
        self.write(|vault| {
            let space = space.id(vault.twin());
            if vault.state.newest_epoch(&space).is_none() {
                return Err(VaultError::NoKey);
            }
            for chunk in &chunks {
                vault.file.keep_chunk(&space, chunk, now, now)?;
            }
            Ok(())
        })
    }
}

/// Looks for what is missing. Each chunk is looked at once, however often a hostile root names it.
struct Look<'a> {
    file: &'a Sealed,
    space: &'a SpaceId,
    limit: usize,
    seen: HashSet<ChunkId>,
    found: Missing,
}

impl Visit<VaultError> for Look<'_> {
    fn visit(&mut self, level: u32, below: u64, chunk: &ChunkRef) -> Result<Walked> {
        if self.seen.contains(chunk.id()) {
            return Ok(Walked::Beside);
        }
        let here = match level {
            0 => self.file.chunk_row(self.space, chunk.id())?.is_some(),
            _ => match self.file.chunk(self.space, chunk.id())? {
                Some(sealed) => return Ok(Walked::Into(sealed)),
                None => false,
            },
        };
        if !here {
            self.seen.insert(*chunk.id());
            self.found.count = self.found.count.saturating_add(below);
            if self.found.ids.len() < self.limit {
                self.found.ids.push(*chunk.id());
            }
        }
        Ok(Walked::Beside)
    }

    fn leave(&mut self, chunk: &ChunkRef) {
        self.seen.insert(*chunk.id());
    }
}
