//! Any chunk of a content, given the sealed ones.

use zeroize::Zeroizing;

use super::FileError;
use super::chunk::{CHUNK_LEN, ChunkId};
use super::root::Root;
use super::tree::{FANOUT, Shape, reference};
use crate::space::SpaceId;

/// Reads a content in any order. Holds one chunk for each level: those on the way to the one that was read last.
pub struct Reader {
    space: SpaceId,
    root: Root,
    shape: Shape,
    /// For each level, from content up: the place there and the content of a chunk.
    path: Vec<Option<(u64, Zeroizing<Vec<u8>>)>>,
}

impl Reader {
    /// The content of a root in a space.
    pub fn new(space: SpaceId, root: Root) -> Result<Self, FileError> {
        let shape = root.shape()?;
        let path = (0..=shape.top()).map(|_| None).collect();
        Ok(Self {
            space,
            root,
            shape,
            path,
        })
    }

    /// What is read.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The content from `at` to the end of its chunk; none at the end. `fetch` gives the sealed bytes of a chunk.
    pub fn read<E: From<FileError>>(
        &mut self,
        at: u64,
        fetch: &mut impl FnMut(&ChunkId) -> Result<Vec<u8>, E>,
    ) -> Result<&[u8], E> {
        if at >= self.root.len {
            return Ok(&[]);
        }
        let chunk = CHUNK_LEN as u64;
        let content = self.chunk(at / chunk, fetch)?;
        let start = usize::try_from(at % chunk).unwrap_or(usize::MAX);
        Ok(content.get(start..).ok_or(FileError::Malformed)?)
    }

    fn chunk<E: From<FileError>>(
        &mut self,
        index: u64,
        fetch: &mut impl FnMut(&ChunkId) -> Result<Vec<u8>, E>,
    ) -> Result<&[u8], E> {
        for level in (0..=self.shape.top()).rev() {
            let place = index / FANOUT.saturating_pow(level);
            if self.at(level).is_some_and(|(there, _)| *there == place) {
                continue;
            }
            let here;
            let chunk = if level == self.shape.top() {
                &self.root.top
            } else {
                let (_, manifest) = self.at(level + 1).ok_or(FileError::Malformed)?;
                here = reference(manifest, place % FANOUT)?;
                &here
            };
            let content = chunk.open(&self.space, level, &fetch(chunk.id())?)?;
            if content.len() as u64 != self.shape.content_len(level, place) {
                return Err(FileError::Malformed.into());
            }
            let slot = self.path.get_mut(level as usize);
            *slot.ok_or(FileError::Malformed)? = Some((place, content));
        }
        let (_, content) = self.at(0).ok_or(FileError::Malformed)?;
        Ok(content)
    }

    fn at(&self, level: u32) -> Option<&(u64, Zeroizing<Vec<u8>>)> {
        self.path.get(level as usize)?.as_ref()
    }
}
