//! Files: content of any size beside the records that name it.
//!
//! A record holds a [`Root`] in a field; the sealed chunks that the root leads to are in a table of their own. They are
//! not part of ops: a device has the record first, and the chunks when somebody wants to see the content.
//!
//! - `add`: [`FileWriter`], bytes in; the record that names them is written last
//! - `read`: [`FileReader`], any bytes of a file whose chunks are here
//! - `exchange`: which chunks are missing, giving and taking them: what sync needs
//! - `garbage`: forgetting chunks that no record has ever named
//! - `chunks`: the two tables

mod add;
mod chunks;
mod exchange;
mod garbage;
mod read;

#[cfg(test)]
mod tests;

pub use add::{Added, FileWriter};
pub use exchange::Missing;
pub use garbage::{Collected, Collecting, KEPT};
pub use read::FileReader;
pub use twin_ops::file::{CHUNK_LEN, ChunkId, FileError, MAX_FILE_LEN, MAX_SEALED_CHUNK, Root};
pub(crate) use {add::ADD_LEN, chunks::chunk_key};
