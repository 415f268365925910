//! Adding a file: chunks in transactions of a bounded size, the record last.
//!
//! An add that was broken off leaves chunks that no record names. Done again it finds them and writes what is missing;
//! else they are garbage after a day. A row says that an add goes on, so that no other process takes its chunks for
//! garbage, however long it takes. An add for which the disk has no room ends while there is room for everything else; what
//! it leaves can go at once (see [`Collecting::since`](super::Collecting::since)).

use rand_core::CryptoRng;
use twin_ops::file::{Builder, FileError, Root, Sealed as SealedChunk};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::LogHead;

use crate::change::WriteChange;
use crate::error::{Result, VaultError};
use crate::rows::AddingRow;
use crate::state::State;
use crate::vault::Vault;
use crate::write::By;

/// How many chunks are written in one transaction: 4 MiB.
const BATCH: usize = 64;
/// Length of the number that an add is known by, in bytes.
pub(crate) const ADD_LEN: usize = 16;

/// A file that is being added.
pub struct FileWriter {
    builder: Builder,
    chunks: Chunks,
}

/// The chunks of a file that is being added.
struct Chunks {
    add: [u8; ADD_LEN],
    space: SpaceId,
    began: u64,
    /// What is to be written next.
    batch: Vec<SealedChunk>,
    stored: u64,
}

/// A file all of whose chunks are here, to be named by a record: see [`Vault::commit_files`].
pub struct Added {
    add: [u8; ADD_LEN],
    root: Root,
    stored: u64,
}

impl FileWriter {
    /// How many bytes have been added.
    pub const fn len(&self) -> u64 {
        self.builder.len()
    }

    /// Whether nothing has been added.
    pub const fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }
}

impl Added {
    /// What the record is to hold.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// How many chunks were written: none if the same content was here already.
    pub const fn stored(&self) -> u64 {
        self.stored
    }
}

impl Vault {
    /// Begins to add a file to a space. `now`: milliseconds since the Unix epoch.
    pub fn begin_file(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
    ) -> Result<FileWriter> {
        let mut add = [0; ADD_LEN];
        rng.fill_bytes(&mut add);
        self.now = now;
        self.write(|vault| {
            vault.tell_time()?;
            vault.check_may_write()?;
            vault.epoch_for(space, rng)?;
            let space = space.id(vault.twin());
            let key = vault.state.file_key(&space).ok_or(VaultError::NoKey)?;
            vault.file.put(&AddingRow {
                add,
                began: now,
                touched: now,
            })?;
            Ok(FileWriter {
                builder: Builder::new(key, space),
                chunks: Chunks {
                    add,
                    space,
                    began: now,
                    batch: Vec::new(),
                    stored: 0,
                },
            })
        })
    }

    /// Adds the next bytes. What it keeps in memory does not depend on how many came before, and is at most 4 MiB more
    /// than `bytes`.
    ///
    /// # Errors
    /// Among others [`VaultError::AddingEnded`] if nothing was added for more than a day, and
    /// [`VaultError::DiskFull`] while there is still room for everything but content (see [`Vault::lacks_room`]).
    pub fn push_file(&mut self, now: u64, writer: &mut FileWriter, bytes: &[u8]) -> Result<()> {
        let FileWriter { builder, chunks } = writer;
        builder.push(bytes, &mut |chunk| chunks.batch.push(chunk))?;
        if chunks.batch.len() >= BATCH {
            self.keep_chunks(now, chunks)?;
        }
        Ok(())
    }

    /// Writes what is left of a file. Nothing names it yet. If that fails, the add has ended.
    pub fn finish_file(&mut self, now: u64, writer: FileWriter) -> Result<Added> {
        let FileWriter {
            builder,
            mut chunks,
        } = writer;
        let root = builder.finish(&mut |chunk| chunks.batch.push(chunk))?;
        if let Err(error) = self.keep_chunks(now, &mut chunks) {
            self.try_to_end_adding(&chunks.add);
            return Err(error);
        }
        Ok(Added {
            add: chunks.add,
            root,
            stored: chunks.stored,
        })
    }

    /// As [`Vault::commit`], with records that name files.
    ///
    /// # Errors
    /// Among others [`VaultError::AddingEnded`] if not all chunks are here any more: a file that was here, and has some in
    /// common with this one, was erased meanwhile. Whatever the error is, the adds have ended.
    pub fn commit_files(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
        files: &[Added],
    ) -> Result<LogHead> {
        self.commit_by(By::App, now, rng, space, changes, files)
    }

    /// Ends adds with the op that is about to name their files. Inside its transaction.
    pub(crate) fn end_adds(&mut self, space: &SpaceName, files: &[Added]) -> Result<()> {
        let id = space.id(self.twin());
        for file in files {
            self.adding(&file.add)?;
            let root = Root::of(&file.root.to_value()).ok_or(FileError::Malformed)?;
            if !self.is_whole_here(&id, root, usize::MAX)? {
                return Err(VaultError::AddingEnded);
            }
            self.file.remove::<AddingRow>(&file.add)?;
        }
        Ok(())
    }

    /// Ends an add without a record that names the file, because one does already, or the person has thought better of
    /// it. What it stored is garbage in a day.
    pub fn drop_file(&mut self, file: Added) -> Result<()> {
        self.end_adding(&file.add)
    }

    /// The same, of one that is not finished.
    pub fn abandon_file(&mut self, writer: FileWriter) -> Result<()> {
        self.end_adding(&writer.chunks.add)
    }

    fn end_adding(&mut self, add: &[u8; ADD_LEN]) -> Result<()> {
        self.write(|vault| vault.file.remove::<AddingRow>(add))
    }

    /// Ends adds whose files nothing names.
    pub(crate) fn try_to_end_adds(&mut self, files: &[Added]) {
        files
            .iter()
            .for_each(|file| self.try_to_end_adding(&file.add));
    }

    /// As [`Vault::end_adding`], where something has gone wrong already.
    fn try_to_end_adding(&mut self, add: &[u8; ADD_LEN]) {
        if let Err(error) = self.end_adding(add) {
            log::warn!("an add counts as going on: {error}");
        }
    }

    /// Writes the chunks that are next.
    fn keep_chunks(&mut self, now: u64, chunks: &mut Chunks) -> Result<()> {
        self.now = now;
        let kept = self.write(|vault| {
            let mut row = vault.adding(&chunks.add)?;
            row.touched = now;
            vault.file.put(&row)?;
            let mut stored = 0;
            for chunk in &chunks.batch {
                let new = vault
                    .file
                    .keep_chunk(&chunks.space, chunk, chunks.began, now)?;
                stored += u64::from(new);
            }
            Ok(stored)
        });
        if let Err(VaultError::DiskFull) = kept {
            // So there is room for what ends the add.
            self.file.store.truncate_wal();
        }
        // If it failed they are next still.
        chunks.stored += kept?;
        chunks.batch.clear();
        Ok(())
    }

    fn adding(&self, add: &[u8; ADD_LEN]) -> Result<AddingRow> {
        self.file.item(add)?.ok_or(VaultError::AddingEnded)
    }
}

impl State {
    /// The key of a space's files: of the first epoch that leads to the newest, as far back as this device has keys. A
    /// device that has not the first one finds less that is here already, and nothing else is different.
    fn file_key(&self, space: &SpaceId) -> Option<twin_ops::file::FileKey> {
        let mut first = self.newest_epoch(space)?;
        // Keys that name each other in a circle end where all have been seen.
        for _ in 0..self.epochs.len() {
            let before = self.epochs.get(&(*space, first))?.predecessor.as_ref();
            match before.filter(|before| self.epochs.contains_key(&(*space, before.id))) {
                Some(before) => first = before.id,
                None => break,
            }
        }
        let epoch = self.epochs.get(&(*space, first))?;
        Some(epoch.key.file_key())
    }
}
