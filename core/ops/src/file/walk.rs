//! Every chunk that a root leads to.

use super::chunk::ChunkRef;
use super::root::Root;
use super::tree::{FANOUT, Shape, reference};
use crate::space::SpaceId;

/// What becomes of a chunk that a walk comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walked {
    /// The walk goes on beside it. Always so for content.
    Beside,
    /// These are the sealed bytes of a manifest: the walk goes on with what it names.
    Into(Vec<u8>),
}

/// Shows each chunk that a root leads to, manifests before what they name. A manifest that says something else than its
/// root is passed over: whoever wrote the root wrote it wrongly.
///
/// A hostile root names one chunk any number of times: the visitor remembers what it has left, and goes beside it.
pub fn walk<E>(space: &SpaceId, root: &Root, visitor: &mut impl Visit<E>) -> Result<(), E> {
    let Ok(shape) = root.shape() else {
        return Ok(());
    };
    let walk = Walk { space, shape };
    walk.chunk(shape.top(), 0, &root.top, visitor).map(|_| ())
}

/// Who is shown the chunks.
pub trait Visit<E> {
    /// A chunk, of a level, and how many there are below it, with itself.
    fn visit(&mut self, level: u32, below: u64, chunk: &ChunkRef) -> Result<Walked, E>;

    /// A manifest all of which was shown, and nothing passed over.
    fn leave(&mut self, chunk: &ChunkRef);
}

struct Walk<'a> {
    space: &'a SpaceId,
    shape: Shape,
}

impl Walk<'_> {
    /// Whether nothing was passed over.
    fn chunk<E>(
        &self,
        level: u32,
        index: u64,
        chunk: &ChunkRef,
        visitor: &mut impl Visit<E>,
    ) -> Result<bool, E> {
        let below = self.shape.below(level, index);
        let sealed = match visitor.visit(level, below, chunk)? {
            Walked::Into(sealed) if level > 0 => sealed,
            Walked::Into(_) | Walked::Beside => return Ok(true),
        };
        let Ok(manifest) = chunk.open(self.space, level, &sealed) else {
            return Ok(false);
        };
        drop(sealed);
        if manifest.len() as u64 != self.shape.content_len(level, index) {
            return Ok(false);
        }
        let mut whole = true;
        for child in 0..self.shape.children(level, index) {
            let Ok(named) = reference(&manifest, child) else {
                return Ok(false);
            };
            whole &= self.chunk(level - 1, index * FANOUT + child, &named, visitor)?;
        }
        if whole {
            visitor.leave(chunk);
        }
        Ok(whole)
    }
}
