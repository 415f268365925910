//! The relay's side of the blind mailbox (`twin_sync::mailbox`): what it keeps, what it counts, and its connections.
//!
//! - [`service`]: a relay's mailbox as one thing: give it streams, call [`Service::sweep`] now and then
//! - [`sources`]: what one network address may leave in a day
//! - [`store`]: the SQLite file; [`error`]: what can go wrong with it
//!
//! Inside: `counters` is what the operator is told, `schema` is the file's tables, `rows` reads and counts mailboxes, `sweep` drops what has expired, `watchers`
//! knows which connection wants to hear of which mailbox.

mod counters;
pub mod error;
mod rows;
mod schema;
pub mod service;
pub mod sources;
pub mod store;
mod sweep;
mod watchers;

pub use error::StoreError;
pub use service::Service;
pub use sources::Share;
pub use store::{Size, SqliteStore};
pub use sweep::Swept;
pub use twin_sync::mailbox::Limits;
