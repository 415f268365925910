//! Linking and sync as state machines: bytes and `now` in, bytes and events out. No sockets, no SQLite.
//!
//! - [`machine`]: the shape a long-lived protocol has here
//! - [`transport`]: who is at the other end
//! - [`link`]: how a new device joins a twin
//! - [`session`]: how two replicas become equal
//! - [`bundle`]: the same one way, for devices that never meet
//! - [`mailbox`]: what one device leaves at a relay, for another to find later
//! - [`talk`]: what a device takes from there, and leaves there

pub mod bundle;
pub mod link;
pub mod machine;
pub mod mailbox;
pub mod session;
pub mod talk;
pub mod transport;

pub use transport::TransportKey;
