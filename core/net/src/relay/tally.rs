//! Counts what a relay's swarm tells.

use std::collections::HashSet;

use libp2p::{
    PeerId, autonat, relay,
    swarm::{ListenError, SwarmEvent},
};

use super::{Counter, Gauge, Metrics, ServingEvent};
use crate::swarm::BehaviourEvent;

/// What a relay counts of itself.
pub(crate) struct Tally {
    connections: Gauge,
    connected: Counter,
    refused: Counter,
    places: Gauge,
    /// Who has one. libp2p tells of each connection that ends as if it had been one with a place.
    placed: HashSet<PeerId>,
    places_given: Counter,
    places_refused: Counter,
    circuits: Gauge,
    circuits_opened: Counter,
    circuits_refused: Counter,
    dialled_back: Counter,
    streams: Counter,
}

impl Tally {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let (gauge, counter) = (
            |name, help| metrics.gauge(name, help),
            |name, help| metrics.counter(name, help),
        );
        Self {
            connections: gauge("twin_relay_connections", "Connections now."),
            connected: counter("twin_relay_connections_total", "Connections made."),
            refused: counter(
                "twin_relay_connections_refused_total",
                "Connections refused because of a limit, or by the gate.",
            ),
            places: gauge("twin_relay_places", "Devices that can be reached now."),
            placed: HashSet::new(),
            places_given: counter("twin_relay_places_given_total", "Places given or renewed."),
            places_refused: counter("twin_relay_places_refused_total", "Places refused."),
            circuits: gauge("twin_relay_circuits", "Circuits now."),
            circuits_opened: counter("twin_relay_circuits_total", "Circuits opened."),
            circuits_refused: counter("twin_relay_circuits_refused_total", "Circuits refused."),
            dialled_back: counter(
                "twin_relay_dial_backs_total",
                "Devices told whether they can be reached from outside.",
            ),
            streams: counter(
                "twin_relay_streams_total",
                "Streams opened to what is served besides circuits.",
            ),
        }
    }

    pub(crate) fn note(&mut self, event: &SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { .. } => {
                self.connections.increment();
                self.connected.increment();
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                ..
            } => {
                self.connections.decrement();
                if *num_established == 0 {
                    self.place(peer_id, false);
                }
            }
            SwarmEvent::IncomingConnectionError {
                error: ListenError::Denied { .. },
                ..
            } => self.refused.increment(),
            SwarmEvent::Behaviour(BehaviourEvent::Streams(_)) => self.streams.increment(),
            SwarmEvent::Behaviour(BehaviourEvent::Serving(event)) => self.note_serving(event),
            _ => {}
        }
    }

    fn note_serving(&mut self, event: &ServingEvent) {
        use relay::Event as Circuit;
        match event {
            ServingEvent::Circuits(event) => match event {
                Circuit::ReservationReqAccepted { src_peer_id, .. } => {
                    self.places_given.increment();
                    self.place(src_peer_id, true);
                }
                Circuit::ReservationReqDenied { .. } => self.places_refused.increment(),
                Circuit::ReservationTimedOut { src_peer_id } => self.place(src_peer_id, false),
                Circuit::CircuitReqAccepted { .. } => {
                    self.circuits.increment();
                    self.circuits_opened.increment();
                }
                Circuit::CircuitReqDenied { .. } => self.circuits_refused.increment(),
                Circuit::CircuitClosed { .. } => self.circuits.decrement(),
                _ => {}
            },
            ServingEvent::Reachability(autonat::v2::server::Event { .. }) => {
                self.dialled_back.increment();
            }
            ServingEvent::Identify(_) => {}
            ServingEvent::Guard(never) => match *never {},
        }
    }

    fn place(&mut self, peer: &PeerId, has_one: bool) {
        if has_one {
            self.placed.insert(*peer);
        } else {
            self.placed.remove(peer);
        }
        let count = u64::try_from(self.placed.len());
        self.places.set(count.unwrap_or(u64::MAX));
    }
}
