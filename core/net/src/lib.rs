//! The only room with sockets: libp2p, LAN discovery and the HTTPS client.
//!
//! - [`node`]: one running end of the network: [`Node`] makes connections, [`Events`] tells what happens
//! - [`session`]: runs a [`twin_sync::machine::Machine`] over a stream of frames
//! - [`frames`]: length-delimited frames over one stream, and the policy against slow and lying peers
//! - [`relay`]: a node for those that cannot be dialled: [`Relay`], and its [`RelayAddress`]
//! - [`address`]: an address in text, in bytes (for QR codes) and as libp2p writes it
//! - [`mailbox`]: the relay's side of the blind mailbox: its store, its counters, its connections
//! - [`links`]: this machine's own networks, and what is on the same link
//! - [`https`]: a client for one login
//! - [`traffic`]: how many bytes a node has sent and received
//! - [`error`]: what can go wrong, in words for a person
//!
//! Inside: `life` sleeps, or has a `worker` drive the libp2p swarm, which tells the node through `state` and is asked by
//! its `caller`; a `keeper` keeps a place at a relay. `swarm` says what libp2p is to be:
//! `transport` is TCP, TLS 1.3 and yamux under a watch for dead links (`silence`), beside it QUIC, and `pulse`,
//! `streams` (`held` by their connections), `gate`, `discovery` and `far` are the behaviours; `dial` tries several addresses; `keys` makes the key that lives for one start.

pub mod address;
mod caller;
mod dial;
mod discovery;
pub mod error;
mod far;
pub mod frames;
mod gate;
mod held;
pub mod https;
mod keeper;
mod keys;
mod life;
pub mod links;
pub mod mailbox;
pub mod node;
mod place;
mod pulse;
pub mod relay;
pub mod session;
mod silence;
mod state;
mod streams;
mod swarm;
pub mod traffic;
mod transport;
mod worker;

pub use address::{Address, Transport};
pub use error::Error;
pub use frames::{FrameError, FrameReader, FrameWriter, Frames};
pub use links::Reach;
pub use node::{Config, Event, Events, Node};
pub use place::Place;
pub use relay::{Relay, RelayAddress, RelayConfig, RelayKey};
pub use session::{SessionError, drive};
pub use streams::Protocol;
pub use traffic::Traffic;
pub use twin_sync::TransportKey;
