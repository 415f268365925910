//! What the swarm tells.

use std::{
    collections::{BTreeMap, hash_map::Entry},
    sync::Arc,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, transport::ListenerId},
    swarm::{ConnectionId, SwarmEvent},
};
use tokio::sync::{Semaphore, watch};
use twin_sync::TransportKey;

use super::{Connection, MAX_STREAMS_PER_PEER, Worker};
use crate::{
    Address, Event, Frames, dial, discovery::Change, far::FarEvent, keys::key_of, links,
    state::MAX_ADDRESSES, streams::Incoming, swarm::BehaviourEvent,
};

impl Worker {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        if let Some(tally) = &mut self.life.tally {
            tally.note(&event);
        }
        match event {
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                if let Some(address) = Address::from_multiaddr(&address) {
                    self.listening(listener_id, address);
                }
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.close_what_has_lost_its_address(),
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                if self.place_lost(listener_id) {
                    log::info!("a relay lets nobody through any more: {reason:?}");
                } else {
                    log::warn!("stopped listening: {reason:?}");
                }
                self.listeners.remove(&listener_id);
                let mut state = self.life.shared.state();
                state.listeners.retain(|(known, _)| *known != listener_id);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                log::debug!("connection closed: {cause:?}");
                self.disconnected(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                log::debug!("dial failed: {error}");
                if let Some((target, reply)) = self.dials.remove(&connection_id) {
                    reply.send(Err(dial::reason(&error, target))).ok();
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                log::info!("somebody who called was turned away: {error}");
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.reached_at(&address),
            SwarmEvent::ExternalAddrExpired { address } => {
                if let Some(address) = Address::from_multiaddr(&address) {
                    self.life.shared.state().external.remove(&address);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Streams(incoming)) => self.incoming(incoming),
            SwarmEvent::Behaviour(BehaviourEvent::Discovery(event)) => self.discovery(event),
            SwarmEvent::Behaviour(BehaviourEvent::Far(FarEvent::Circuits(event))) => {
                self.circuit(event);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Far(FarEvent::Punch(punched))) => {
                if let Err(error) = punched.result {
                    log::debug!("no direct way was found: {error}");
                }
            }
            _ => {}
        }
    }

    fn listening(&mut self, listener: ListenerId, address: Address) {
        let Some(asked) = self.listeners.get(&listener) else {
            return;
        };
        let bound = Address::new(asked.ip(), address.port())
            .with_scope(asked.scope())
            .over(asked.transport());
        let mut state = self.life.shared.state();
        if !state.listeners.iter().any(|(known, _)| *known == listener) {
            state.listeners.push((listener, bound));
        }
        drop(state);
        if self.life.plan.role.tells_listeners() {
            self.swarm.add_external_address(address.to_multiaddr());
        }
        self.life.teller.tell(Event::Listening(address));
    }

    fn reached_at(&self, address: &Multiaddr) {
        let mut state = self.life.shared.state();
        if let Some(address) = Address::from_multiaddr(address)
            && state.external.len() < MAX_ADDRESSES
        {
            state.external.insert(address);
        }
    }

    fn connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        // The gate lets nobody in without a key.
        let Some(key) = key_of(&peer) else { return };
        let is_relayed = endpoint.is_relayed();
        let connection = Connection {
            peer,
            is_relayed,
            local: links::local_end(endpoint),
            needs: Arc::new(watch::Sender::new(())),
        };
        self.connections.insert(id, connection);
        self.punches.connected(peer, endpoint);
        let is_direct_now = !is_relayed && self.life.shared.state().direct.insert(key);
        if let Entry::Vacant(slots) = self.slots.entry(peer) {
            slots.insert(Arc::new(Semaphore::new(MAX_STREAMS_PER_PEER)));
            self.life.shared.state().connected.insert(key);
            self.life.teller.tell(Event::Connected { peer: key });
        } else if is_direct_now {
            self.life.teller.tell(Event::Direct { peer: key });
        }
        if let Some((_, reply)) = self.dials.remove(&id)
            && reply.send(Ok(key)).is_err()
        {
            // Another address was faster, or the caller has given up.
            self.superfluous(&peer, id);
        }
        self.retire_needless(&peer);
    }

    /// Closes a connection that nobody waits for any more. One to a relay stays until it has been idle for a while: the
    /// relay tells how this node looks over its transport as well. Of two devices of which one knows that for TCP alone
    /// and the other for QUIC alone, neither can come towards the other.
    fn superfluous(&mut self, peer: &PeerId, id: ConnectionId) {
        let behaviour = self.swarm.behaviour_mut();
        let far = behaviour.far.as_ref();
        if far.is_some_and(|far| far.mirrors.asks(peer)) {
            behaviour.streams.defer(peer, id);
        } else {
            self.hang_up(peer, id);
        }
    }

    fn disconnected(&mut self, peer: PeerId, id: ConnectionId, left: u32) {
        if let Some(connection) = self.connections.remove(&id) {
            connection.needs.send_replace(());
        }
        let Some(key) = key_of(&peer) else { return };
        self.see_whether_direct(&peer);
        if left == 0 {
            self.punches.disconnected(&peer);
            self.slots.remove(&peer);
            self.life.shared.state().connected.remove(&key);
            self.life.teller.tell(Event::Disconnected { peer: key });
            let was_near = self.life.shared.state().near().contains_key(&key);
            if let Some(discovery) = self.swarm.behaviour_mut().discovery.as_mut()
                && was_near
            {
                discovery.has_lost_one();
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        let Incoming {
            peer,
            connection,
            from,
            protocol,
            stream,
        } = incoming;
        if let (Some(key), Some(place)) = (key_of(&peer), self.place(&peer, connection)) {
            let counters = self.life.shared.counters.clone();
            self.life.teller.tell(Event::Incoming {
                peer: key,
                protocol,
                frames: Frames::of_node(stream, counters, place).coming_from(from),
            });
        } else {
            log::info!("a peer has too many streams open: one more was refused");
        }
    }

    fn discovery(&mut self, change: Change) {
        let named = |(peer, address): (PeerId, Multiaddr)| {
            Some((key_of(&peer)?, Address::from_multiaddr(&address)?))
        };
        match change {
            Change::Found(found) => {
                let mut news: BTreeMap<TransportKey, Vec<Address>> = BTreeMap::new();
                for (peer, address) in found.into_iter().filter_map(named) {
                    if self.life.shared.state().discovered.remember(peer, address) {
                        news.entry(peer).or_default().push(address);
                    }
                }
                for (peer, addresses) in news {
                    self.life.teller.tell(Event::Discovered { peer, addresses });
                }
            }
            Change::Lost(lost) => {
                for (peer, address) in lost.into_iter().filter_map(named) {
                    let was_last = self.life.shared.state().discovered.forget(&peer, &address);
                    self.tell_if_gone(peer, was_last);
                }
            }
            Change::Restarted => {
                let all = self.life.shared.state().discovered.take();
                for peer in all {
                    self.tell_if_gone(peer, true);
                }
            }
        }
    }
}
