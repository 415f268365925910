//! Reaching each other across routers that let nobody in (NAT): a circuit through a relay first, then holes punched from
//! both sides at once, and a direct connection through them.
//!
//! - `circuits`: libp2p's circuit relay v2, the client's side
//! - `punch`: libp2p's DCUtR, which agrees on the moment over the circuit
//! - `mirrors`: the relays tell this node how it looks from outside; nobody else is told or asked anything

mod mirrors;

use libp2p::{PeerId, dcutr, identity::PublicKey, relay, swarm::NetworkBehaviour};

pub(crate) use mirrors::{AGENT, IDENTIFY_EVERY, Mirrors, PROTOCOL};

/// What a node that may be anywhere needs to be reached.
#[derive(NetworkBehaviour)]
pub(crate) struct Far {
    pub(crate) mirrors: Mirrors,
    pub(crate) circuits: relay::client::Behaviour,
    punch: dcutr::Behaviour,
}

impl Far {
    /// With the transport that its circuits go through.
    pub(crate) fn new(key: PublicKey) -> (Self, relay::client::Transport) {
        let me = PeerId::from(&key);
        let (transport, circuits) = relay::client::new(me);
        let far = Self {
            mirrors: Mirrors::new(key),
            circuits,
            punch: dcutr::Behaviour::new(me),
        };
        (far, transport)
    }
}
