//! Looking for the chunks of a file that are missing, a few at a time.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::FileError;
use super::chunk::{ChunkId, ChunkRef};
use super::root::Root;
use super::tree::{FANOUT, Shape, reference};
use crate::space::SpaceId;

/// What is here of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    /// Nothing.
    No,
    /// It is here. A manifest is passed over with all that it names.
    Yes,
    /// It is a manifest, and these are its sealed bytes.
    Manifest(Vec<u8>),
}

/// A chunk that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// Which.
    pub id: ChunkId,
    /// How many chunks there are below it, with itself.
    pub below: u64,
}

/// A look at all chunks of a file, manifests before what they name, that can be put aside and gone on with. It holds
/// one manifest for each level, and 32 bytes for each manifest that it has left and each chunk that is missing: so a
/// hostile root that names one chunk any number of times is seen through in the time that its distinct chunks take.
pub struct Seek {
    space: SpaceId,
    shape: Shape,
    top: Option<ChunkRef>,
    path: Vec<Manifest>,
    done: HashSet<ChunkId>,
}

/// A manifest on the way down.
struct Manifest {
    level: u32,
    index: u64,
    content: Zeroizing<Vec<u8>>,
    /// The child that comes next.
    next: u64,
}

impl Seek {
    /// Begins at the root of a file.
    pub fn new(space: SpaceId, root: Root) -> Result<Self, FileError> {
        Ok(Self {
            space,
            shape: root.shape()?,
            top: Some(root.top),
            path: Vec::new(),
            done: HashSet::new(),
        })
    }

    /// Looks at the next chunk: `look` is told its level, and says whether it is here. `None` once all were seen; else
    /// whether the chunk is missing.
    pub fn step<E>(
        &mut self,
        look: impl FnOnce(u32, &ChunkId) -> Result<Here, E>,
    ) -> Result<Option<Option<Lacking>>, E> {
        let Some((level, index, chunk)) = self.next() else {
            return Ok(None);
        };
        if self.done.contains(&chunk.id) {
            return Ok(Some(None));
        }
        match look(level, &chunk.id)? {
            Here::No => {
                self.done.insert(chunk.id);
                Ok(Some(Some(Lacking {
                    id: chunk.id,
                    below: self.shape.below(level, index),
                })))
            }
            Here::Manifest(sealed) if level > 0 => {
                // Once, however often it is named.
                self.done.insert(chunk.id);
                self.enter(level, index, &chunk, &sealed);
                Ok(Some(None))
            }
            Here::Yes | Here::Manifest(_) => Ok(Some(None)),
        }
    }

    /// A manifest that says something else than its root is passed over: whoever wrote the root wrote it wrongly.
    fn enter(&mut self, level: u32, index: u64, chunk: &ChunkRef, sealed: &[u8]) {
        if let Ok(content) = chunk.open(&self.space, level, sealed)
            && content.len() as u64 == self.shape.content_len(level, index)
        {
            self.path.push(Manifest {
                level,
                index,
                content,
                next: 0,
            });
        }
    }

    fn next(&mut self) -> Option<(u32, u64, ChunkRef)> {
        if let Some(top) = self.top.take() {
            return Some((self.shape.top(), 0, top));
        }
        loop {
            let manifest = self.path.last_mut()?;
            let child = manifest.next;
            if child < self.shape.children(manifest.level, manifest.index)
                && let Ok(chunk) = reference(&manifest.content, child)
            {
                manifest.next += 1;
                let index = manifest.index * FANOUT + child;
                return Some((manifest.level - 1, index, chunk));
            }
            self.path.pop();
        }
    }
}
