//! A backup: a whole twin, or one space, in one sealed file. `core/docs/formats.md` has it byte for byte.
//!
//! Read top-down:
//! - [`Container`]: the file from outside; whether it is complete can be told without any key
//! - [`Header`] and [`FileKey`]: who can open it; [`Sealer`] and [`Opener`]: its chunks
//! - [`Item`] and [`Items`]: what is in the chunks
//! - [`Manifest`]: what a device has signed of it; [`Contents`]: all of it, verified as it is read
//! - [`Beginning`]: what can still be read of a file that is damaged
//!
//! Bytes in, bytes out: whoever reads or writes the file is elsewhere.

mod chunk;
mod container;
mod contents;
mod header;
mod item;
mod manifest;

use twin_identity::aead::AeadError;
use twin_identity::seal::SealError;

pub use minicbor::bytes::ByteVec;

pub use chunk::{CHUNK_LEN, Opened, Opener, Sealer};
pub use container::{Beginning, Chunk, Container, FRAME_LEN, MAGIC, MAX_HEADER_LEN, Piece, Place};
pub use contents::{Contents, Reading};
pub use header::{FileId, FileKey, Header, MAX_WRAPS, recipients};
pub use item::{Chunks, Content, Item, Items, MAX_ITEM_LEN, Ops};
pub use manifest::{LogRow, Manifest, Stand, heights};

/// A file is no whole backup that can be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Another kind of file.
    #[error("this is no sealed export of a twin: name the file that `twin export` wrote")]
    Foreign,
    /// Made by a later version.
    #[error("this export was made by a newer version of the app: update the app to read it")]
    Newer,
    /// It ends too early.
    #[error(
        "the export is cut off after {0} bytes: copy it anew from where it came, or use another"
    )]
    Cut(u64),
    /// What stands there is not what was written.
    #[error("the export is damaged near byte {0}: copy it anew from where it came, or use another")]
    Damaged(u64),
    /// It goes on after its end.
    #[error("the export has something after its end, at byte {0}: copy it anew, or use another")]
    TooLong(u64),
    /// The content breaks a rule, though it is sealed as it should be.
    #[error("the export was not made as exports are ({0}): use another")]
    Content(&'static str),
    /// A key could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A chunk could not be sealed.
    #[error(transparent)]
    Aead(#[from] AeadError),
}

#[cfg(test)]
mod tests;
