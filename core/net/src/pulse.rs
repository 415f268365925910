//! Signs of life, as few as will do: only the end that dialled asks, and the other is content to be asked.
//!
//! A question, its answer and what acknowledges them are three packets. Both ends notice a dead link: whoever has heard
//! nothing for [`SILENCE`] gives up, over TCP and circuits in [`silence`](crate::silence), over QUIC by its idle timeout.
//! QUIC asks by itself, which is two packets and wakes nobody above it; its idle timeout starts anew with the question.
//! Besides, both ends ask once when a connection is made.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    ping,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

/// How often the end that dialled asks the other for a sign of life, over TCP and circuits.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(120);

/// How often QUIC does. Routers may forget a way of UDP after two minutes (RFC 4787, REQ-5).
pub(crate) const QUIC_INTERVAL: Duration = Duration::from_secs(100);

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long a connection may be silent: one question, and an answer that takes its time.
pub(crate) const SILENCE: Duration = Duration::from_secs(140);

/// Never within the life of a connection.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Asks on the connections that this node has dialled, and answers on all.
pub(crate) struct Pulse {
    asking: ping::Behaviour,
    answering: ping::Behaviour,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let every = |interval| {
            let config = ping::Config::new().with_timeout(ANSWER_TIME);
            ping::Behaviour::new(config.with_interval(interval))
        };
        Self {
            asking: every(PING_INTERVAL),
            answering: every(NEVER),
        }
    }
}

impl NetworkBehaviour for Pulse {
    type ConnectionHandler = THandler<ping::Behaviour>;
    type ToSwarm = std::convert::Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.answering
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // A hole is punched by both ends dialling at once, one of them in the other's role.
        let is_quic = address.iter().any(|part| part == Protocol::QuicV1);
        let pings = match role {
            Endpoint::Dialer if !is_quic => &mut self.asking,
            _ => &mut self.answering,
        };
        pings.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.asking
            .on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // How long an answer took is of no use, and a question without one ends nothing: see above.
        while self.asking.poll(cx).is_ready() {}
        Poll::Pending
    }
}
