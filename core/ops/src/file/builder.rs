//! Bytes in, sealed chunks and a root out.

use std::mem;

use zeroize::Zeroizing;

use super::FileError;
use super::chunk::{CHUNK_LEN, ChunkRef, FileKey, REF_LEN, Sealed, seal};
use super::root::Root;
use super::tree::{FANOUT, MAX_FILE_LEN};
use crate::space::SpaceId;

/// Seals a content that comes piece by piece. Holds at most one chunk for each level.
pub struct Builder {
    key: FileKey,
    space: SpaceId,
    len: u64,
    /// What is to be cut next.
    content: Zeroizing<Vec<u8>>,
    /// For each level, from content up: the references to its chunks that no manifest names yet.
    open: Vec<Zeroizing<Vec<u8>>>,
}

impl Builder {
    /// A content of a space.
    pub fn new(key: FileKey, space: SpaceId) -> Self {
        Self {
            key,
            space,
            len: 0,
            content: room(CHUNK_LEN),
            open: Vec::new(),
        }
    }

    /// How many bytes have come.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether none have come.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes, and gives the chunks that are whole to `store`.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        store: &mut impl FnMut(Sealed),
    ) -> Result<(), FileError> {
        let len = self.len.checked_add(bytes.len() as u64);
        self.len = len
            .filter(|len| *len <= MAX_FILE_LEN)
            .ok_or(FileError::TooLong)?;
        while !bytes.is_empty() {
            // Not before there is more: the last chunk is not known until the end.
            if self.content.len() == CHUNK_LEN {
                self.cut(store)?;
            }
            let fits = (CHUNK_LEN - self.content.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(fits).unwrap_or((bytes, &[]));
            self.content.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Seals what is left, and gives the root.
    pub fn finish(mut self, store: &mut impl FnMut(Sealed)) -> Result<Root, FileError> {
        self.cut(store)?;
        let mut level = 0;
        loop {
            let is_top = level + 1 == self.open.len();
            let refs = self.open.get(level).ok_or(FileError::Malformed)?;
            if is_top && refs.len() == REF_LEN {
                let top = ChunkRef::from_slice(refs).ok_or(FileError::Malformed)?;
                return Ok(Root { len: self.len, top });
            }
            self.close(level, store)?;
            level += 1;
        }
    }

    fn cut(&mut self, store: &mut impl FnMut(Sealed)) -> Result<(), FileError> {
        let (chunk, sealed) = seal(&self.key, &self.space, 0, &self.content)?;
        // In place: a new buffer would leave this one's content behind.
        zeroize::Zeroize::zeroize(&mut *self.content);
        store(sealed);
        self.name(0, &chunk, store)
    }

    /// Notes a chunk of a level, for the manifest above.
    fn name(
        &mut self,
        level: usize,
        chunk: &ChunkRef,
        store: &mut impl FnMut(Sealed),
    ) -> Result<(), FileError> {
        if self.open.len() <= level {
            self.open.push(room(CHUNK_LEN));
        }
        let is_full = |refs: &Zeroizing<Vec<u8>>| (refs.len() / REF_LEN) as u64 == FANOUT;
        if self.open.get(level).is_some_and(is_full) {
            self.close(level, store)?;
        }
        let refs = self.open.get_mut(level).ok_or(FileError::Malformed)?;
        refs.extend_from_slice(chunk.key.expose());
        refs.extend_from_slice(chunk.id.as_bytes());
        Ok(())
    }

    /// Makes a manifest of the chunks of a level that none names yet.
    fn close(&mut self, level: usize, store: &mut impl FnMut(Sealed)) -> Result<(), FileError> {
        let refs = self.open.get_mut(level).ok_or(FileError::Malformed)?;
        let refs = mem::replace(refs, room(CHUNK_LEN));
        let above = u32::try_from(level + 1).map_err(|_| FileError::TooLong)?;
        let (chunk, sealed) = seal(&self.key, &self.space, above, &refs)?;
        store(sealed);
        self.name(level + 1, &chunk, store)
    }
}

/// A buffer that is never moved by growing, which would leave a copy behind.
fn room(len: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(len))
}
