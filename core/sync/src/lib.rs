//! Linking and sync as state machines: bytes and `now` in, bytes and events out. No sockets, no SQLite.
//!
//! - [`machine`]: the shape every protocol here has
//! - [`transport`]: who is at the other end

pub mod machine;
pub mod transport;

pub use transport::TransportKey;
