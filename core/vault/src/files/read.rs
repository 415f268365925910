//! Reading a file: one chunk at a time.

use twin_ops::file::{ChunkId, FileError, Reader, Root};
use twin_ops::space::{SpaceId, SpaceName};

use super::chunks::DAMAGED;
use crate::error::{Result, VaultError};
use crate::vault::Vault;

/// A file that is read. It holds at most one chunk for each level of manifests, whatever the file's size.
pub struct FileReader {
    space: SpaceId,
    reader: Reader,
}

/// Why a chunk cannot be had.
enum Fetch {
    NotHere,
    Failed(VaultError),
}

impl From<VaultError> for Fetch {
    fn from(error: VaultError) -> Self {
        Self::Failed(error)
    }
}

impl From<FileError> for Fetch {
    fn from(error: FileError) -> Self {
        Self::Failed(error.into())
    }
}

impl FileReader {
    /// How many bytes the file has.
    pub const fn len(&self) -> u64 {
        self.reader.root().len()
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Vault {
    /// A file of a space, to be read.
    pub fn open_file(&self, space: &SpaceName, root: Root) -> Result<FileReader> {
        let space = space.id(self.twin());
        Ok(FileReader {
            space,
            reader: Reader::new(space, root)?,
        })
    }

    /// Makes sure that all of a file is here.
    ///
    /// # Errors
    /// Among others [`VaultError::NotHere`] if chunks have not come yet.
    pub fn require_all(&mut self, file: &FileReader) -> Result<()> {
        self.catch_up()?;
        match self.not_here(file)? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What is missing of a file, as the error that says so.
    fn not_here(&self, file: &FileReader) -> Result<Option<VaultError>> {
        let missing = self.missing_of(&file.space, file.reader.root(), 0)?;
        Ok((missing.count > 0).then_some(VaultError::NotHere {
            missing: missing.count,
            chunks: missing.chunks,
        }))
    }

    /// Reads from `at` on, at most to the end of its chunk; returns how many bytes, 0 at the end.
    ///
    /// # Errors
    /// Among others [`VaultError::NotHere`] if the chunk has not come yet.
    pub fn read_file(
        &mut self,
        file: &mut FileReader,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        self.catch_up()?;
        let space = file.space;
        let fetch = &mut |id: &ChunkId| self.file.chunk(&space, id)?.ok_or(Fetch::NotHere);
        match file.reader.read(at, fetch) {
            Ok(content) => {
                let len = content.len().min(buffer.len());
                let (to, from) = (buffer.get_mut(..len), content.get(..len));
                if let (Some(to), Some(from)) = (to, from) {
                    to.copy_from_slice(from);
                }
                Ok(len)
            }
            Err(Fetch::Failed(error)) => Err(error),
            // It may have come in between: then it was there to be read.
            Err(Fetch::NotHere) => Err(self.not_here(file)?.unwrap_or(DAMAGED)),
        }
    }
}
