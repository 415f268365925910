//! Files: content of any size beside the records that name it.
//!
//! A record holds a [`Root`] in a field; the sealed chunks that the root leads to are in a table of their own. They are
//! not part of ops: a device has the record first, and the chunks when somebody wants to see the content.
//!
//! - `add`: [`FileWriter`], bytes in; the record that names them is written last
//! - `read`: [`FileReader`], any bytes of a file whose chunks are here
//! - `wanted`: which content this device wants and has not; `look`: asking other devices for it, and giving them theirs
//! - `exchange`: what is missing of a file, and chunks by themselves; `carried`: chunks in a backup
//! - `garbage`: forgetting chunks that no record has ever named; `erased`: those of records that were erased
//! - `chunks`: the two tables

mod add;
mod carried;
mod chunks;
mod erased;
mod exchange;
mod garbage;
mod look;
mod read;
mod wanted;

#[cfg(test)]
mod tests;

pub use add::{Added, FileWriter};
pub use carried::{Carried, Since};
pub use exchange::Missing;
pub use garbage::{Collected, Collecting, KEPT};
pub(crate) use look::Fetching;
pub use look::Look;
pub use read::FileReader;
pub use twin_ops::file::{CHUNK_LEN, ChunkId, FileError, MAX_FILE_LEN, MAX_SEALED_CHUNK, Root};
pub use wanted::{Keep, WantedFile};
pub(crate) use {add::ADD_LEN, chunks::chunk_key};
