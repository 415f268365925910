//! Places at relays, and connections through relays that are not needed any more.

use std::sync::Arc;

use futures::FutureExt as _;
use libp2p::{
    PeerId, core::transport::ListenerId, relay::client::Event as CircuitEvent, swarm::ConnectionId,
};
use tokio::sync::oneshot;
use twin_sync::TransportKey;

use super::Worker;
use crate::{
    Address, Error, Event,
    dial::Target,
    keys::{key_of, peer_of},
};

/// Ends, by an error, when the relay lets nobody through to this node any more.
pub(crate) type Held = oneshot::Receiver<()>;

/// A place at a relay, asked for or held.
pub(super) struct Reservation {
    relay: PeerId,
    /// Who waits for the relay's answer.
    asked: Option<oneshot::Sender<Result<Held, Error>>>,
    /// Its end is what tells that the place is lost.
    _held: Option<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) fn trust(&mut self, relay: &TransportKey) -> Result<(), Error> {
        let peer = peer_of(relay).ok_or(Error::RelayRefused)?;
        if let Some(far) = self.swarm.behaviour_mut().far.as_mut() {
            far.mirrors.ask(peer);
        }
        Ok(())
    }

    pub(super) fn reserve(
        &mut self,
        relay: &TransportKey,
        address: Address,
        reply: oneshot::Sender<Result<Held, Error>>,
    ) {
        let circuit = Target::Circuit(address, *relay).to_multiaddr();
        let (Some(peer), Some(circuit)) = (peer_of(relay), circuit) else {
            reply.send(Err(Error::RelayRefused)).ok();
            return;
        };
        match self.swarm.listen_on(circuit) {
            Ok(id) => {
                let place = Reservation {
                    relay: peer,
                    asked: Some(reply),
                    _held: None,
                };
                self.reservations.insert(id, place);
            }
            Err(error) => {
                log::debug!("a relay was not asked: {error}");
                reply.send(Err(Error::RelayRefused)).ok();
            }
        }
    }

    pub(super) fn leave(&mut self, relay: &TransportKey) {
        let Some(peer) = peer_of(relay) else { return };
        let held = self.reservations.iter();
        let held = held.filter(|(_, place)| place.relay == peer);
        let held: Vec<ListenerId> = held.map(|(id, _)| *id).collect();
        for id in held {
            self.swarm.remove_listener(id);
        }
        if let Some(far) = self.swarm.behaviour_mut().far.as_mut() {
            far.mirrors.leave(&peer);
        }
        self.swarm.disconnect_peer_id(peer).ok();
    }

    pub(super) fn circuit(&mut self, event: CircuitEvent) {
        let CircuitEvent::ReservationReqAccepted { relay_peer_id, .. } = event else {
            return;
        };
        let places = self.reservations.iter_mut();
        let asked = places
            .filter(|(_, place)| place.relay == relay_peer_id)
            .find_map(|(id, place)| Some((*id, place.asked.take()?, place)));
        // It was renewed, if nobody asks.
        let Some((id, reply, place)) = asked else {
            return;
        };
        let (lost, held) = oneshot::channel();
        place._held = Some(lost);
        if reply.send(Ok(held)).is_err() {
            // Whoever asked has given up meanwhile.
            self.swarm.remove_listener(id);
        } else if let Some(relay) = key_of(&relay_peer_id) {
            self.life.shared.state().relays.insert(relay);
            self.life.teller.tell(Event::Reachable { relay });
        }
    }

    /// Takes a place out of the books; whether the listener was one.
    pub(super) fn place_lost(&mut self, listener: ListenerId) -> bool {
        let Some(place) = self.reservations.remove(&listener) else {
            return false;
        };
        if let Some(asked) = place.asked {
            asked.send(Err(Error::RelayRefused)).ok();
        }
        if let Some(relay) = key_of(&place.relay)
            && self.life.shared.state().relays.remove(&relay)
        {
            self.life.teller.tell(Event::Unreachable { relay });
        }
        true
    }

    /// Closes the connections to a peer that go through relays, once their last streams have ended, if there is one
    /// that needs no relay.
    pub(super) fn retire_needless(&mut self, peer: &PeerId) {
        let needless: Vec<ConnectionId> = self.swarm.behaviour().streams.needless(peer);
        for id in needless {
            if let Some(connection) = self.connections.get(&id) {
                let needs = Arc::clone(&connection.needs);
                let ended = async move { needs.closed().await };
                self.retiring.push(ended.map(move |()| id).boxed());
            }
        }
    }
}
