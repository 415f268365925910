//! Why a relay's store does not work, in words for its operator.

use std::io;

/// See the module. No message names an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file was written by a later version.
    #[error(
        "The relay's store was made by a newer version; update the relay, or name another file."
    )]
    Newer,
    /// The file is something else.
    #[error("This file is not a relay's store; name another one.")]
    Foreign,
    /// Another process has it open.
    #[error("Another relay uses this store; stop that one, or name another file.")]
    Busy,
    /// There is no room on the disk.
    #[error("The disk of the relay is full; make room, or lower the limit of its store.")]
    DiskFull,
    /// The file is damaged.
    #[error(
        "The relay's store is damaged ({0}); stop the relay, move the file away and start it again: devices leave anew what they still need."
    )]
    Damaged(String),
    /// A limit is larger than what the file can count.
    #[error(
        "A limit of the relay is too large: give less than {} bytes.",
        i64::MAX
    )]
    Limit,
    /// SQLite failed otherwise.
    #[error("The relay's store does not work: {0}")]
    Sqlite(String),
    /// The file could not be made or opened.
    #[error("The relay's store cannot be opened: {0}")]
    Io(#[from] io::Error),
    /// Something went wrong in this process, and the store has to be opened again.
    #[error("Something went wrong inside the relay; start it again.")]
    Broken,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
        };
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => Self::Busy,
            Some(DiskFull) => Self::DiskFull,
            Some(NotADatabase) => Self::Foreign,
            Some(DatabaseCorrupt) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
