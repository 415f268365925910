//! Chunks of files whose record was erased: they go at once, if nothing else names them.
//!
//! Which files these are is noted in the transaction that drops the parts that named them; their chunks go after it, in
//! transactions of a bounded size. If that is broken off, the note is there still, and it is gone on with (see
//! [`Vault::tend`]).

use std::collections::BTreeSet;

use twin_ops::file::{ChunkId, Here, Root, Seek};
use twin_ops::space::SpaceId;

use super::chunks::chunk_key;
use super::garbage::Marks;
use crate::error::{Result, VaultError};
use crate::rows::{ChunkRow, ErasedFileRow, Row};
use crate::vault::Vault;

/// How many chunks go in one transaction.
const BATCH: usize = 64;

impl Vault {
    /// Notes that a record which named a file was erased. Inside a transaction.
    pub(crate) fn note_erased_file(
        &mut self,
        space: &SpaceId,
        (collection, id): &(String, String),
        root: &Root,
    ) -> Result<()> {
        if let Some(number) = self.state.collection(space, collection) {
            self.file.forget_absent(space, number, id, root)?;
        }
        self.file.put(&ErasedFileRow {
            space: *space,
            root: root.to_bytes(),
        })
    }

    /// Drops the chunks of erased files that no record names.
    ///
    /// An add that goes on may have found some of them here: it is told when its record is written (see
    /// [`Vault::commit_files`]).
    pub fn drop_erased_files(&mut self) -> Result<()> {
        let rows: Vec<ErasedFileRow> = self.file.items()?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut marks = Marks::of(rows.iter().map(|row| row.space).collect());
        for row in rows {
            self.drop_erased_file(&row, &mut marks)?;
        }
        self.file.store.give_back()
    }

    /// Whether content of erased files is still here, for the disk had no room to drop it.
    pub(crate) fn has_erased_files(&self) -> Result<bool> {
        Ok(self.file.count::<ErasedFileRow>()? > 0)
    }

    /// As [`Vault::drop_erased_files`], where it is noted what is to go and there is another time for what cannot go now.
    pub(crate) fn try_to_drop_erased_files(&mut self) {
        if let Err(error) = self.drop_erased_files() {
            log::warn!("content of files that were erased is still here: {error}");
        }
    }

    fn drop_erased_file(&mut self, row: &ErasedFileRow, marks: &mut Marks) -> Result<()> {
        let space = row.space;
        let mut chunks = self.chunks_of(&space, &row.root)?;
        // What a manifest names goes before the manifest.
        while !chunks.is_empty() {
            let some = chunks.split_off(chunks.len().saturating_sub(BATCH));
            self.write(|vault| {
                vault.wipe = true;
                // Another program has done it by now: what is here of it has come since.
                if vault.file.item::<ErasedFileRow>(&row.natural())?.is_none() {
                    return Ok(());
                }
                vault.follow_new(marks)?;
                for id in some.iter().filter(|id| !marks.has(id)) {
                    let Some(row) = vault.file.chunk_row(&space, id)? else {
                        continue;
                    };
                    vault.file.remove::<ChunkRow>(&chunk_key(&space, id))?;
                    vault.file.store.remove_chunk_bytes(row.number)?;
                }
                Ok(())
            })?;
        }
        self.write(|vault| {
            vault.wipe = true;
            vault.file.remove::<ErasedFileRow>(&row.natural())
        })
    }

    /// The chunks of a file that are here, manifests before what they name.
    fn chunks_of(&self, space: &SpaceId, root: &[u8]) -> Result<Vec<ChunkId>> {
        let mut chunks = BTreeSet::new();
        let mut in_order = Vec::new();
        let root = Root::from_bytes(root).ok();
        let Some(Ok(mut seek)) = root.map(|root| Seek::new(*space, root)) else {
            return Ok(in_order);
        };
        let mut look = |level, id: &ChunkId| {
            let Some(_) = self.file.chunk_row(space, id)? else {
                return Ok(Here::No);
            };
            if chunks.insert(*id) {
                in_order.push(*id);
            }
            if level == 0 {
                return Ok(Here::Yes);
            }
            match self.file.chunk(space, id) {
                Ok(sealed) => Ok(sealed.map_or(Here::No, Here::Manifest)),
                Err(VaultError::Damaged(_)) => Ok(Here::No),
                Err(error) => Err(error),
            }
        };
        while seek.step(&mut look)?.is_some() {}
        Ok(in_order)
    }
}
