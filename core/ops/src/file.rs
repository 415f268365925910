//! Content of any size: sealed in chunks of one length, found by the hash of their sealed bytes.
//!
//! Read top-down:
//! - [`Root`]: what a record holds of a file, 86 bytes or less whatever its size
//! - [`Builder`]: bytes in, sealed chunks and a root out; [`Reader`]: any chunk of the content, given the sealed ones
//! - [`walk`]: every chunk that a root leads to; [`Seek`]: those that are missing, a few at a time
//! - `chunk`: one chunk; `tree`: how many there are, and which of them names which
//!
//! The content is cut every [`CHUNK_LEN`] bytes. A manifest is a chunk, too: the references to up to 1,023 chunks of
//! the level below, as many levels as it takes until one chunk is left, to which the root refers. A reference is the
//! chunk's key and the hash of its sealed bytes: whoever has only sealed bytes can tell whether they are whole, and
//! opens nothing.

mod builder;
mod chunk;
mod reader;
mod root;
mod seek;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

use twin_identity::aead::AeadError;

pub use builder::Builder;
pub use chunk::{
    CHUNK_LEN, ChunkId, ChunkRef, FileKey, MAX_SEALED_CHUNK, MIN_SEALED_CHUNK, Sealed,
};
pub use reader::Reader;
pub use root::Root;
pub use seek::{Here, Lacking, Seek};
pub use tree::{MAX_FILE_LEN, Shape};
pub use walk::{Visit, Walked, walk};

/// Content cannot be sealed or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Longer than [`MAX_FILE_LEN`].
    #[error("this file is too large to be kept: split it")]
    TooLong,
    /// A chunk is not what the root, or the manifest above it, says.
    #[error("this file cannot be read: it was written wrongly or altered; add it again")]
    Malformed,
    /// There is no content behind the end.
    #[error("there is nothing at this place of the file: it is shorter")]
    PastEnd,
    /// The cipher refused.
    #[error(transparent)]
    Aead(#[from] AeadError),
}
