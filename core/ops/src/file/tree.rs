//! How many chunks there are of a content, and which of them names which: all of it follows from the length.

use super::FileError;
use super::chunk::{CHUNK_LEN, ChunkRef, REF_LEN};

/// How many references a manifest holds at most.
pub(super) const FANOUT: u64 = (CHUNK_LEN / REF_LEN) as u64;
/// The most levels of manifests.
const MAX_LEVELS: u32 = 4;
/// The most bytes of a file: what four levels of manifests can name, 71 PB.
pub const MAX_FILE_LEN: u64 = FANOUT.pow(MAX_LEVELS) * CHUNK_LEN as u64;

/// The chunks of a content of some length. Content is level 0; a chunk of a level above names those of the level below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    len: u64,
}

impl Shape {
    /// The shape of a content of `len` bytes.
    pub const fn new(len: u64) -> Result<Self, FileError> {
        if len > MAX_FILE_LEN {
            return Err(FileError::TooLong);
        }
        Ok(Self { len })
    }

    /// How many chunks are at a level. An empty content is one chunk.
    pub fn count(self, level: u32) -> u64 {
        let leaves = self.len.div_ceil(CHUNK_LEN as u64).max(1);
        leaves.div_ceil(FANOUT.saturating_pow(level))
    }

    /// The level of the one chunk that the root refers to.
    pub fn top(self) -> u32 {
        let mut level = 0;
        while self.count(level) > 1 {
            level += 1;
        }
        level
    }

    /// How many chunks there are, manifests too.
    pub fn total(self) -> u64 {
        (0..=self.top()).map(|level| self.count(level)).sum()
    }

    /// How many chunks are below the chunk at `index` of a level, with itself.
    pub fn below(self, level: u32, index: u64) -> u64 {
        let of_level = |lower: u32| {
            let span = FANOUT.saturating_pow(level - lower);
            let first = index.saturating_mul(span);
            self.count(lower).saturating_sub(first).min(span)
        };
        (0..=level).map(of_level).sum()
    }

    /// How many chunks the manifest at `index` of a level from 1 up names.
    pub(super) fn children(self, level: u32, index: u64) -> u64 {
        let first = index.saturating_mul(FANOUT);
        self.count(level.saturating_sub(1))
            .saturating_sub(first)
            .min(FANOUT)
    }

    /// How many bytes of content are in the chunk at `index`, or of references in a manifest.
    pub(super) fn content_len(self, level: u32, index: u64) -> u64 {
        if level > 0 {
            return self.children(level, index) * REF_LEN as u64;
        }
        let first = index.saturating_mul(CHUNK_LEN as u64);
        self.len.saturating_sub(first).min(CHUNK_LEN as u64)
    }
}

/// The reference at `index` of the manifest with this content.
pub(super) fn reference(manifest: &[u8], index: u64) -> Result<ChunkRef, FileError> {
    let find = || {
        let start = usize::try_from(index).ok()?.checked_mul(REF_LEN)?;
        ChunkRef::from_slice(manifest.get(start..start.checked_add(REF_LEN)?)?)
    };
    find().ok_or(FileError::Malformed)
}
