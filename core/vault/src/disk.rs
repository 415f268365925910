//! How much room there is on the disk, and how much content leaves.
//!
//! On a disk without any room nothing can be removed either: what is removed is written ahead of the file first, and room
//! comes only once that has gone into the file, which may grow by it. So content of files, of which there may be any
//! amount, ends before. Whatever else is written ends where there is no room at all.

use std::fs;
use std::path::Path;

use crate::error::{Result, VaultError};
use crate::store::Store;
use crate::vault::Vault;
use crate::wal;

/// How many bytes content leaves free, beside as many as the write-ahead log has, for it goes into the file as it is: thrice
/// a transaction of chunks (4 MiB). One to write ahead, one by which the file grows then, and one to remove
/// chunks with.
pub(crate) const RESERVE: u64 = 12 << 20;
/// Content takes a fortieth more in the file than it is long, at most: pages that chunks do not fill, and their rows.
const OVERHEAD: u64 = 40;

/// How many bytes this process may still write on the disk of `path`; `None` if the disk does not say. One that says that it
/// has none is taken for one that does not know, and shows when it is written.
#[cfg(unix)]
pub(crate) fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    // Not `f_bfree`: some of that is for others.
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free > 0).then_some(free)
}

/// Nothing that is safe to call tells.
#[cfg(not(unix))]
pub(crate) fn free(_: &Path) -> Option<u64> {
    None
}

impl Store {
    /// How many bytes are to be freed on the disk before content of `len` bytes comes; 0 if there is room, or the disk
    /// does not say how much.
    fn lacks_room(&self, len: u64) -> u64 {
        let Some(free) = (self.free)(self.path()) else {
            return 0;
        };
        let wal = fs::metadata(wal::path_of(self.path())).map_or(0, |wal| wal.len());
        let content = len.saturating_add(len / OVERHEAD);
        let needed = content.saturating_add(RESERVE + wal);
        needed.saturating_sub(free)
    }

    /// To be asked before a chunk is stored.
    pub fn check_room(&self) -> Result<()> {
        match self.lacks_room(0) {
            0 => Ok(()),
            _ => Err(VaultError::DiskFull),
        }
    }
}

impl Vault {
    /// How many bytes are to be freed on the disk before content of `len` bytes comes: 0 if there is room for it, or the
    /// disk does not say how much there is. With a `len` of 0 whether any content comes at all.
    pub fn lacks_room(&self, len: u64) -> u64 {
        self.file.store.lacks_room(len)
    }
}
