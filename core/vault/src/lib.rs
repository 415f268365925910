//! One sealed SQLite file per device: key slots, ops, records. Blocking; no network, no clock of its own.
//!
//! What is in the file, what protects it and what an observer still learns: `core/docs/vault.md`.
//!
//! Read top-down:
//! - [`Vault`]: creating, opening and locking; its reading and writing halves are in [`read`] and [`write`]
//! - [`change`]: what an app asks to be written; [`schema`]: what it says of the records of a collection
//! - [`slots`]: the ways to unlock, a password or the platform's [`KeyStore`]
//! - [`members`] and [`rotation`]: who is in the twin, and what the words change of it; [`lines`]: what counts of those
//!   who are out; [`tend`]: what is to be done since others have written
//! - [`epochs`]: who has which keys; `wants`: who should have them and says that it has not
//! - [`files`]: content of any size, and the chunks that it is made of
//! - [`replica`]: what sync needs of it; `branch`: of two histories that a device has written in one log, the one that
//!   counts; `again`: what this device writes again of one that it gives up, `incarnation`: and goes on in new logs
//! - [`compact`]: history goes; `snapshot`, `checkpoint`, `standing`: what takes its place, and from when; `beginning`: logs
//!   without their first ops; `sweep`: how these go; `heard`, `known`, `later`: what other devices have, and what is not known yet
//! - [`check`]: what of it is damaged; [`salvage`]: a new vault of what is not; [`erase`]: what is gone for good
//! - [`relays`]: what this device remembers of the relays that it uses
//! - `expiry`: devices whose time has run out
//! - [`unheard`]: what others have seen of who is in the twin, and this device has not
//! - `room`: limits, and what has no claim to them
//! - `merge`, `field`, `stage`: which changes make up a record, what sets and counters come to, and gathering changes
//!   for the index
//! - `state`: what is kept in memory; `sleep`: letting go of it and of the file while the app is suspended
//! - [`search`]: finding records by words and by the values of fields; `segment`: what is kept for that
//! - `left_out`: what of all that is not shown because it is damaged
//! - [`touched`]: which records have changed, for whoever watches them
//! - `create`: making a vault, or nothing; `folder`: where it goes; `disk`: how much room there is
//! - `upgrade`: versions of the tables; `wal`: a write-ahead log, frame by frame; `logged`: what it says
//! - `store`: the file itself, and its tables: `items` (sealed rows), `oplog` (ops, as `frames` pack them; `opened`:
//!   those read lately), `index` (records), `past` (what they were, for [`history`])

// The tests inside the crate share what the tests outside it use.
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(test)]
extern crate self as twin_vault;
// And the fuzzers' functions and corpus.
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;
#[cfg(test)]
#[path = "../../../tests/fuzz/src/vault.rs"]
mod parsers;

mod again;
mod beginning;
mod beside;
mod branch;
pub mod change;
pub mod check;
mod checkpoint;
pub mod compact;
mod create;
mod disk;
mod draft;
pub mod epochs;
pub mod erase;
mod error;
mod expiry;
mod field;
pub mod files;
mod folder;
mod frames;
mod heard;
pub mod history;
mod incarnation;
mod index;
mod items;
mod keys;
mod known;
mod late;
mod later;
mod leave;
mod left_out;
pub mod lines;
mod logged;
pub mod members;
mod merge;
mod opened;
mod oplog;
mod past;
pub mod read;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod readers;
pub mod relays;
pub mod replica;
mod room;
pub mod rotation;
mod rows;
pub mod salvage;
pub mod schema;
pub mod search;
mod segment;
pub mod selection;
mod sleep;
pub mod slots;
mod snapshot;
mod stage;
mod standing;
mod state;
mod store;
mod sweep;
pub mod tend;
pub mod touched;
pub mod unheard;
mod upgrade;
mod vault;
mod wal;
mod wants;
pub mod write;

pub use beside::Beside;
pub use change::{FieldEdit, WriteChange};
pub use compact::{Compacted, Waiting};
pub use create::Comeback;
pub use erase::{Erasure, ErasureRequest};
pub use error::VaultError;
pub use history::{Revision, RevisionAt};
pub use lines::KnownLines;
pub use members::Admission;
pub use read::Record;
pub use rotation::{Rotation, rotate_body};
pub use schema::{FieldType, Rule, RuleError, Schema, SchemaFault};
pub use search::{Cursor, Hit, Order, Page, Query};
pub use slots::{KeyStore, KeyStoreError, SlotInfo, SlotKind, Unlock};
pub use vault::{FILE_NAME, Vault};
