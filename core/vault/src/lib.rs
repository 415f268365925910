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
//! - [`replica`]: what sync needs of it; `branch`: of two histories of a device that is out, the one that counts
//! - [`check`]: what of it is damaged; [`salvage`]: a new vault of what is not; [`erase`]: what is gone for good
//! - `expiry`: devices whose time has run out
//! - [`unheard`]: what others have seen of who is in the twin, and this device has not
//! - `room`: limits, and what has no claim to them
//! - `merge`, `field`, `stage`: which changes make up a record, what sets and counters come to, and gathering changes
//!   for the index
//! - `state`: what is kept in memory
//! - [`search`]: finding records by words and by the values of fields; `segment`: what is kept for that
//! - [`touched`]: which records have changed, for whoever watches them
//! - `store`: the file itself, and its tables: `items` (sealed rows), `oplog` (ops and parts), `index` (records), `past` (what
//!   they were, for [`history`])

// The tests inside the crate share what the tests outside it use.
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(test)]
extern crate self as twin_vault;

mod branch;
pub mod change;
pub mod check;
mod create;
mod draft;
pub mod epochs;
pub mod erase;
mod error;
mod expiry;
mod field;
pub mod files;
pub mod history;
mod index;
mod items;
mod keys;
mod late;
pub mod lines;
pub mod members;
mod merge;
mod oplog;
mod past;
pub mod read;
pub mod replica;
mod room;
pub mod rotation;
mod rows;
pub mod salvage;
pub mod schema;
pub mod search;
mod segment;
pub mod slots;
mod stage;
mod state;
mod store;
pub mod tend;
pub mod touched;
pub mod unheard;
mod vault;
mod wants;
pub mod write;

pub use change::{FieldEdit, WriteChange};
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
