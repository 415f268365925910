//! What a relay serves, and what keeps it from being abused.

mod guard;

use libp2p::{autonat, identify, identity::PublicKey, relay, swarm::NetworkBehaviour};

use super::Limits;
use crate::far::{AGENT, IDENTIFY_EVERY, PROTOCOL};
use guard::Guard;

/// The behaviours of a relay.
#[derive(NetworkBehaviour)]
pub(crate) struct Serving {
    guard: Guard,
    identify: identify::Behaviour,
    circuits: relay::Behaviour,
    reachability: autonat::v2::server::Behaviour,
}

impl Serving {
    pub(crate) fn new(key: PublicKey, limits: &Limits) -> Self {
        let me = key.to_peer_id();
        let identify = identify::Config::new(PROTOCOL.into(), key)
            .with_agent_version(AGENT.into())
            .with_hide_listen_addrs(true)
            .with_interval(IDENTIFY_EVERY)
            .with_cache_size(0);
        Self {
            guard: Guard::new(limits.connections_per_ip),
            identify: identify::Behaviour::new(identify),
            circuits: relay::Behaviour::new(me, limits.of_circuits()),
            reachability: autonat::v2::server::Behaviour::default(),
        }
    }
}
