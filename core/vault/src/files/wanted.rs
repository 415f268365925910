//! Which content this device wants and has not: what somebody has asked to see and, if the device is to keep all files,
//! whatever a record names.
//!
//! A sealed row says of a record that content which it names was not all here when the record was last written. Rows are
//! looked at when another device is met (see `look`); those go of which all has come, or whose record names something
//! else by now. So nobody has to go through all records to know what is missing.

use twin_ops::file::{ChunkId, Here, Root, Seek};
use twin_ops::space::{SpaceId, SpaceName};

use crate::error::{Result, VaultError};
use crate::merge::{Version, fields};
use crate::oplog::PartNo;
use crate::read::Versions;
use crate::rows::{AbsentRow, KeepRow, Row};
use crate::store::Sealed;
use crate::vault::Vault;

/// How many chunks of a file are looked at, when its record is written, to see whether all are here.
const GLANCE: usize = 256;

/// How a device deals with the content of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It keeps all that any record names.
    All,
    /// It fetches what somebody wants to see.
    Wanted,
}

/// A file that somebody wants to see, until [`Vault::unwant_file`].
#[derive(Debug)]
#[must_use]
pub struct WantedFile(pub(super) Vec<u8>);

impl Vault {
    /// Whether this device keeps the content of all files, or only what somebody has wanted to see.
    pub fn keeps(&self) -> Result<Keep> {
        let row: Option<KeepRow> = self.file.item(&[])?;
        Ok(match row {
            Some(KeepRow { all: true }) => Keep::All,
            _ => Keep::Wanted,
        })
    }

    /// Says which content this device keeps. What is here stays in any case.
    pub fn set_keeps(&mut self, keep: Keep) -> Result<()> {
        self.write(|vault| {
            let all = keep == Keep::All;
            vault.file.put(&KeepRow { all })
        })?;
        self.fetching.mark += 1;
        Ok(())
    }

    /// Somebody wants to see a file that a record names: it comes before all others when a device is met that has it.
    pub fn want_file(
        &mut self,
        space: &SpaceName,
        collection: &str,
        id: &str,
        root: &Root,
    ) -> Result<WantedFile> {
        self.catch_up()?;
        let space = space.id(self.twin());
        self.check_selected(&space)?;
        let number = self.state.collection(&space, collection);
        let row = AbsentRow {
            space,
            root: root.to_bytes(),
            collection: number.unwrap_or_default(),
            id: id.to_owned(),
        };
        self.write(|vault| vault.file.put(&row))?;
        let key = row.natural();
        self.fetching.want(&key);
        Ok(WantedFile(key))
    }

    /// Nobody waits for it any more. What has come stays.
    pub fn unwant_file(&mut self, wanted: &WantedFile) {
        self.fetching.unwant(&wanted.0);
    }

    /// How many chunks of it have come from other devices through this vault since it was first wanted.
    pub fn came(&self, wanted: &WantedFile) -> u64 {
        self.fetching.came(&wanted.0)
    }

    /// Takes note of the files that a record names, if they are not all here. Inside a transaction.
    pub(crate) fn note_files(
        &mut self,
        collection: u16,
        versions: &[Version<PartNo>],
    ) -> Result<()> {
        for version in versions {
            for value in version.change.fields.0.values() {
                let Some(root) = Root::of(value) else {
                    continue;
                };
                let Some(space) = self.state.space_of_collection(collection) else {
                    continue;
                };
                let row = AbsentRow {
                    space,
                    root: root.to_bytes(),
                    collection,
                    id: version.change.id.clone(),
                };
                if self.is_whole_here(&space, root, GLANCE)? {
                    continue;
                }
                self.file.put(&row)?;
                self.fetching.mark += 1;
            }
        }
        Ok(())
    }

    /// How many of the files that a record names are not, or not all, here.
    pub(crate) fn absent_files(&self, collection: u16, versions: Versions) -> Result<u64> {
        let (Some(space), Some(fields)) =
            (self.state.space_of_collection(collection), fields(versions))
        else {
            return Ok(0);
        };
        let mut absent = 0;
        for root in fields.0.values().filter_map(Root::of) {
            absent += u64::from(!self.is_whole_here(&space, root, usize::MAX)?);
        }
        Ok(absent)
    }

    /// Whether all of a file is here, as far as that can be seen by looking at so many of its chunks: if not, it is not.
    pub(super) fn is_whole_here(&self, space: &SpaceId, root: Root, chunks: usize) -> Result<bool> {
        let mut seek = Seek::new(*space, root)?;
        for _ in 0..chunks {
            match seek.step(|level, id| self.here(space, level, id, false))? {
                None => return Ok(true),
                Some(None) => {}
                Some(Some(_)) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Whether all of the file of a row is here.
    pub(crate) fn is_row_whole(&self, row: &AbsentRow) -> Result<bool> {
        let root = Root::from_bytes(&row.root);
        root.map_or(Ok(false), |root| {
            self.is_whole_here(&row.space, root, usize::MAX)
        })
    }

    /// What is here of a chunk. One that is damaged is not.
    pub(super) fn here(
        &self,
        space: &SpaceId,
        level: u32,
        id: &ChunkId,
        closely: bool,
    ) -> Result<Here> {
        let found = if level == 0 && !closely {
            let row = self.file.chunk_row(space, id);
            row.map(|row| row.map(|_| Here::Yes))
        } else {
            let sealed = self.file.chunk(space, id);
            sealed.map(|sealed| sealed.map(Here::Manifest))
        };
        match found {
            Err(VaultError::Damaged(_)) => Ok(Here::No),
            found => Ok(found?.unwrap_or(Here::No)),
        }
    }
}

impl Sealed {
    /// Forgets that a file of a record is not all here. Inside a transaction.
    pub fn forget_absent(
        &self,
        space: &SpaceId,
        collection: u16,
        id: &str,
        root: &Root,
    ) -> Result<()> {
        let row = AbsentRow {
            space: *space,
            root: root.to_bytes(),
            collection,
            id: id.to_owned(),
        };
        self.remove::<AbsentRow>(&row.natural())
    }
}
