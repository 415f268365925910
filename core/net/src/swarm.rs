//! What libp2p is told to be: the behaviours that share a connection, the limits, and where the tasks run.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libp2p::{
    Swarm,
    connection_limits::{self, ConnectionLimits},
    swarm::{self, NetworkBehaviour, behaviour::toggle::Toggle},
};
use tokio::task::JoinSet;
use twin_sync::TransportKey;

use crate::{
    Config, Error, discovery::Discovery, gate::Gate, keys, pulse::Pulse, streams::Streams,
    traffic::Counters, transport,
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

/// Everything that shares a connection. The order matters: the cheap refusals come first.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    gate: Gate,
    pulse: Pulse,
    pub(crate) discovery: Toggle<Discovery>,
    pub(crate) streams: Streams,
}

/// A swarm with a new key.
pub(crate) fn build(
    config: &Config,
    counters: Counters,
) -> Result<(Swarm<Behaviour>, TransportKey), Error> {
    let (pair, key) = keys::fresh()?;
    let me = pair.public().to_peer_id();
    // Fails only when no self-signed certificate can be made, which takes nothing but random bytes.
    let transport =
        transport::build(&pair, config.reach, None, &counters).map_err(|_| Error::Random)?;
    let discovery = config.mdns.then(|| Discovery::new(me)).transpose();
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING))
        .with_max_pending_outgoing(Some(MAX_PENDING))
        .with_max_established_incoming(Some(MAX_INCOMING))
        .with_max_established(Some(MAX_CONNECTIONS))
        .with_max_established_per_peer(Some(MAX_PER_PEER));
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        gate: Gate::new(config.reach),
        pulse: Pulse::new(),
        discovery: discovery
            .map_err(|error| Error::Discovery(error.to_string()))?
            .into(),
        streams: Streams::default(),
    };
    let swarm_config = swarm::Config::with_executor(Tasks::default())
        .with_idle_connection_timeout(IDLE_TIME)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    Ok((Swarm::new(transport, behaviour, me, swarm_config), key))
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
