//! What libp2p is told to be: the behaviours that share a connection, the limits, and where the tasks run.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libp2p::{
    Swarm,
    connection_limits::{self, ConnectionLimits},
    identity::Keypair,
    swarm::{self, NetworkBehaviour, behaviour::toggle::Toggle},
};
use tokio::task::JoinSet;

use crate::{
    Address, Error, Protocol, Reach,
    discovery::Discovery,
    far::Far,
    gate::Gate,
    keys,
    pulse::Pulse,
    relay::{RelayConfig, Serving},
    streams::Streams,
    traffic::Counters,
    transport,
};

/// Connections in all, of which so many made by others: strangers cannot keep this node from dialling.
const MAX_CONNECTIONS: u32 = 64;
const MAX_INCOMING: u32 = 48;

/// Connections with one peer: both ends may dial at the same moment, over several addresses.
const MAX_PER_PEER: u32 = 4;

/// Connections that are being set up, in each direction.
const MAX_PENDING: u32 = 32;

/// Streams on one connection whose protocol is still being negotiated.
const MAX_NEGOTIATING: usize = 16;

/// A connection without a stream ends after this time.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// What a node is to be.
pub(crate) struct Plan {
    pub(crate) listen: Vec<Address>,
    pub(crate) mdns: bool,
    pub(crate) reach: Reach,
    pub(crate) role: Role,
}

/// Whose node it is.
pub(crate) enum Role {
    /// A person's device, known by another key each time.
    Device,
    /// A relay, known by its key.
    Relay(Box<RelayConfig>),
}

impl Role {
    /// The key to start with.
    pub(crate) fn key(&self) -> Result<Keypair, Error> {
        match self {
            Self::Device => keys::fresh(),
            Self::Relay(relay) => Ok(relay.key.pair()),
        }
    }

    /// Whether others are told to dial what it listens on.
    pub(crate) fn tells_listeners(&self) -> bool {
        matches!(self, Self::Relay(relay) if relay.external.is_empty())
    }

    fn connections(&self) -> ConnectionLimits {
        let (all, incoming, pending) = match self {
            Self::Device => (MAX_CONNECTIONS, MAX_INCOMING, MAX_PENDING),
            Self::Relay(relay) => relay.limits.connections(),
        };
        ConnectionLimits::default()
            .with_max_pending_incoming(Some(pending))
            .with_max_pending_outgoing(Some(pending))
            .with_max_established_incoming(Some(incoming))
            .with_max_established(Some(all))
            .with_max_established_per_peer(Some(MAX_PER_PEER))
    }
}

/// Everything that shares a connection. The order matters: the cheap refusals come first.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    gate: Gate,
    serving: Toggle<Serving>,
    pulse: Pulse,
    pub(crate) discovery: Toggle<Discovery>,
    pub(crate) far: Toggle<Far>,
    pub(crate) streams: Streams,
}

/// A swarm with this key.
pub(crate) fn build(
    plan: &Plan,
    pair: &Keypair,
    counters: &Counters,
) -> Result<Swarm<Behaviour>, Error> {
    let me = pair.public().to_peer_id();
    let (far, circuits) = match (&plan.role, plan.reach) {
        (Role::Device, Reach::Any) => {
            let (far, circuits) = Far::new(pair.public());
            (Some(far), Some(circuits))
        }
        _ => (None, None),
    };
    // Fails only when no self-signed certificate can be made, which takes nothing but random bytes.
    let transport =
        transport::build(pair, plan.reach, circuits, counters).map_err(|_| Error::Random)?;
    let discovery = plan.mdns.then(|| Discovery::new(me)).transpose();
    let (serving, served) = match &plan.role {
        Role::Device => (None, Protocol::OF_DEVICES),
        Role::Relay(relay) => {
            let serving = Serving::new(pair.public(), &relay.limits);
            (Some(serving), Protocol::OF_RELAYS)
        }
    };
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(plan.role.connections()),
        gate: Gate::new(plan.reach),
        serving: serving.into(),
        pulse: Pulse::new(),
        discovery: discovery
            .map_err(|error| Error::Discovery(error.to_string()))?
            .into(),
        far: far.into(),
        streams: Streams::new(served),
    };
    let swarm_config = swarm::Config::with_executor(Tasks::default())
        .with_idle_connection_timeout(IDLE_TIME)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    let mut swarm = Swarm::new(transport, behaviour, me, swarm_config);
    if let Role::Relay(relay) = &plan.role {
        for address in &relay.external {
            swarm.add_external_address(address.to_multiaddr());
        }
    }
    Ok(swarm)
}

/// Runs the connections' tasks and ends them when the swarm is dropped.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl swarm::Executor for Tasks {
    fn exec(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(task);
        while tasks.try_join_next().is_some() {}
    }
}
