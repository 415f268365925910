//! How this node looks from outside, as the relays that it uses tell it (libp2p's identify and AutoNAT v2).
//!
//! With anybody else neither is spoken: a stranger who connects cannot ask who this is. A relay is told this node's key
//! (which it has proven already) and what it speaks, but no address: neither those of its networks, nor that it uses
//! other relays.

use std::{
    collections::{HashMap, HashSet},
    task::{Context, Poll, ready},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, autonat,
    core::{Endpoint, transport::PortUse},
    identify,
    identity::PublicKey,
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, ExpiredListenAddr, FromSwarm,
        NetworkBehaviour, NewListenAddr, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished, derive_prelude::Either, dummy,
    },
};

use crate::{Address, address::is_relayed};

/// What identify says of this software: nothing.
pub(crate) const PROTOCOL: &str = "p2p/1";
pub(crate) const AGENT: &str = "p2p";

/// How often to ask again how this node looks; a new connection asks by itself.
pub(crate) const IDENTIFY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often addresses that a relay has told are tried from outside, and how many at a time. Nothing happens, and no
/// timer runs, without a relay.
const PROBE_EVERY: Duration = Duration::from_secs(20);
const PROBES: usize = 2;

#[derive(NetworkBehaviour)]
pub(crate) struct Mirror {
    identify: identify::Behaviour,
    reachability: autonat::v2::client::Behaviour,
}

/// identify and AutoNAT with chosen peers.
pub(crate) struct Mirrors {
    mirror: Mirror,
    relays: HashSet<PeerId>,
    /// The connections to relays, and whether they come from the port that this node listens on.
    connections: HashMap<ConnectionId, bool>,
}

impl Mirrors {
    pub(crate) fn new(key: PublicKey) -> Self {
        let identify = identify::Config::new(PROTOCOL.into(), key)
            .with_agent_version(AGENT.into())
            .with_hide_listen_addrs(true)
            .with_interval(IDENTIFY_EVERY)
            .with_cache_size(0);
        let probing = autonat::v2::client::Config::default()
            .with_probe_interval(PROBE_EVERY)
            .with_max_candidates(PROBES);
        Self {
            mirror: Mirror {
                identify: identify::Behaviour::new(identify),
                reachability: autonat::v2::client::Behaviour::new(rand::make_rng(), probing),
            },
            relays: HashSet::new(),
            connections: HashMap::new(),
        }
    }

    /// Asks this peer from its next connection on.
    pub(crate) fn ask(&mut self, relay: PeerId) {
        self.relays.insert(relay);
    }

    /// Whether it is asked.
    pub(crate) fn asks(&self, peer: &PeerId) -> bool {
        self.relays.contains(peer)
    }

    /// Asks it no more.
    pub(crate) fn leave(&mut self, relay: &PeerId) {
        self.relays.remove(relay);
    }

    /// The address that a relay has seen, if others may be let in there. identify by itself puts the port that this node
    /// listens on in the place of the one that was seen, which is wrong behind a router that gives out its own.
    fn seen(&self, id: ConnectionId, seen: Multiaddr) -> Option<Multiaddr> {
        let is_usable = Address::from_multiaddr(&seen).is_some_and(|seen| seen.is_dialable());
        Some(seen).filter(|_| is_usable && self.connections.get(&id) == Some(&true))
    }
}

impl NetworkBehaviour for Mirrors {
    type ConnectionHandler = Either<THandler<Mirror>, dummy::ConnectionHandler>;
    type ToSwarm = ();

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.relays.contains(&peer) || is_relayed(local) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.connections.insert(id, false);
        let mirror = &mut self.mirror;
        let handler = mirror.handle_established_inbound_connection(id, peer, local, remote);
        handler.map(Either::Left)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.relays.contains(&peer) || is_relayed(address) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.connections.insert(id, port == PortUse::Reuse);
        let mirror = &mut self.mirror;
        let handler = mirror.handle_established_outbound_connection(id, peer, address, role, port);
        handler.map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let is_ours = match &event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { connection_id, .. }) => {
                self.connections.contains_key(connection_id)
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.connections.remove(connection_id).is_some()
            }
            // Where else this node can be reached is no relay's business.
            FromSwarm::ExternalAddrConfirmed(_) | FromSwarm::ExternalAddrExpired(_) => false,
            FromSwarm::NewListenAddr(NewListenAddr { addr, .. })
            | FromSwarm::ExpiredListenAddr(ExpiredListenAddr { addr, .. }) => !is_relayed(addr),
            _ => true,
        };
        if is_ours {
            self.mirror.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.mirror.on_connection_handler_event(peer, id, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if self.connections.is_empty() {
            return Poll::Pending;
        }
        loop {
            match ready!(self.mirror.poll(cx)) {
                ToSwarm::GenerateEvent(MirrorEvent::Identify(identify::Event::Received {
                    connection_id,
                    info,
                    ..
                })) => {
                    if let Some(seen) = self.seen(connection_id, info.observed_addr) {
                        return Poll::Ready(ToSwarm::NewExternalAddrCandidate(seen));
                    }
                }
                ToSwarm::GenerateEvent(_) => {}
                other => return Poll::Ready(other.map_in(Either::Left).map_out(|_| ())),
            }
        }
    }
}
