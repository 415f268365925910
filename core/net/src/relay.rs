//! A relay: it lets devices that no one can dial be reached through it, tells devices how they look from outside, and
//! hands over the streams of what else it serves. It forwards bytes that it cannot read.
//!
//! - [`address`]: a relay as people write it down
//! - [`limits`]: how much of it anybody gets
//! - [`metrics`]: counters, as Prometheus reads them, and [`page`] where it reads them
//! - `mailbox`: its mailbox at work
//! - `serving`: the libp2p behaviours, and what keeps them from being abused
//! - `tally`: counts what the swarm tells

pub mod address;
pub mod limits;
mod mailbox;
pub mod metrics;
pub mod page;
mod serving;
mod tally;

use libp2p::identity::Keypair;
use zeroize::Zeroizing;

pub use address::RelayAddress;
pub use limits::Limits;
pub use metrics::{Counter, Gauge, Metrics};
pub(crate) use serving::{Serving, ServingEvent};
pub(crate) use tally::Tally;

use crate::{
    Address, Error, Events, Node, Reach, Traffic, Transport, TransportKey, keys,
    swarm::{Plan, Role},
};

/// The secret key of a relay, which its users pin: it has to be kept.
pub struct RelayKey(Keypair);

impl RelayKey {
    /// A new one.
    pub fn fresh() -> Result<Self, Error> {
        keys::fresh().map(Self)
    }

    /// The one with these secret bytes (an Ed25519 seed), which are wiped.
    pub fn from_seed(mut seed: Zeroizing<[u8; 32]>) -> Result<Self, Error> {
        keys::from_seed(&mut seed).map(Self)
    }

    pub(crate) fn pair(&self) -> Keypair {
        self.0.clone()
    }

    /// Its secret bytes, to be kept in a file that nobody else can read.
    pub fn seed(&self) -> Result<Zeroizing<[u8; 32]>, Error> {
        let pair = self.0.clone().try_into_ed25519();
        let bytes = Zeroizing::new(pair.map_err(|_| Error::Random)?.to_bytes());
        // The public half follows the seed.
        let (seed, _) = bytes.split_first_chunk().ok_or(Error::Random)?;
        Ok(Zeroizing::new(*seed))
    }
}

/// What a relay does from its start on.
pub struct RelayConfig {
    /// Its key.
    pub key: RelayKey,
    /// Where to listen.
    pub listen: Vec<Address>,
    /// Where others can dial it, if that is not where it listens: behind a router or in a container.
    pub external: Vec<Address>,
    /// How much of it anybody gets.
    pub limits: Limits,
}

impl RelayConfig {
    /// Listens on this port of every interface, of TCP and of QUIC.
    pub fn everywhere(key: RelayKey, port: u16) -> Self {
        let any = [
            std::net::Ipv4Addr::UNSPECIFIED.into(),
            std::net::Ipv6Addr::UNSPECIFIED.into(),
        ];
        let both = [Transport::Tcp, Transport::Quic];
        let listen = both
            .iter()
            .flat_map(|over| any.map(|ip| Address::new(ip, port).over(*over)));
        Self {
            key,
            listen: listen.collect(),
            external: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// A running relay. Dropping it closes its sockets and ends all its tasks.
///
/// What else it is to serve comes as [`Event::Incoming`](crate::Event::Incoming) of its [`Events`]: whoever has started
/// it answers these streams (those of [`Protocol::Mailbox`](crate::Protocol::Mailbox)), and counts in its [`Metrics`].
pub struct Relay {
    node: Node,
    metrics: Metrics,
}

impl Relay {
    /// Starts a relay on the current tokio runtime; returns when it listens.
    pub async fn start(config: RelayConfig) -> Result<(Self, Events), Error> {
        let metrics = Metrics::default();
        let plan = Plan {
            listen: config.listen.clone(),
            mdns: false,
            reach: Reach::Any,
            role: Role::Relay(Box::new(config)),
        };
        let (node, events) = Node::start_as(plan, Some(Tally::new(&metrics))).await?;
        Ok((Self { node, metrics }, events))
    }

    /// The key that its users pin.
    pub fn key(&self) -> TransportKey {
        self.node.key()
    }

    /// Where it can be dialled as far as this machine can tell: its listeners, the local network first, loopback last.
    pub fn addresses(&self) -> Vec<Address> {
        self.node.addresses()
    }

    /// It as people enter it in their app, at this `HOST:PORT`.
    pub fn named(&self, place: &str) -> Result<RelayAddress, Error> {
        let peer = keys::peer_of(&self.key()).ok_or(Error::Random)?;
        format!("{peer}@{}", place.trim()).parse()
    }

    /// What is counted; more can be added.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Bytes sent and received since the start, forwarded ones twice.
    pub fn traffic(&self) -> Traffic {
        self.node.traffic()
    }

    /// All that is counted, as Prometheus reads it.
    pub fn render_metrics(&self) -> String {
        let Traffic {
            wire_sent,
            wire_received,
            ..
        } = self.traffic();
        let metrics = &self.metrics;
        metrics
            .counter("twin_relay_sent_bytes_total", "Bytes sent.")
            .set(wire_sent);
        metrics
            .counter("twin_relay_received_bytes_total", "Bytes received.")
            .set(wire_received);
        metrics.render()
    }

    /// Closes every connection politely, within two seconds, and stops.
    pub async fn shutdown(self) {
        self.node.shutdown().await;
    }
}
