//! Signs of life, as few as will do: only the end that dialled asks, and the other is content to be asked.
//!
//! A question, its answer and what acknowledges them were 10 to 13 packets over TCP before writes were gathered (yamux
//! measures the round trip on the way). Both ends notice a dead link:
//! whoever has heard nothing for [`SILENCE`] gives up, over TCP and circuits in [`silence`](crate::silence), over QUIC
//! by its idle timeout. That one starts anew with each question, and so here a question without an answer ends a QUIC
//! connection. It does not end one of TCP, where an answer may wait long behind a file on a slow line.

use std::{
    collections::HashSet,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    ping,
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

/// How often the end that dialled asks the other for a sign of life.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(40);

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long a connection may be silent: one question, and an answer that takes its time.
pub(crate) const SILENCE: Duration = Duration::from_secs(50);

/// Never within the life of a connection.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Asks on the connections that this node has dialled, and answers on all.
pub(crate) struct Pulse {
    asking: ping::Behaviour,
    answering: ping::Behaviour,
    /// The connections on which a question without an answer is the end.
    quic: HashSet<ConnectionId>,
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
            quic: HashSet::new(),
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
        let pings = match role {
            Endpoint::Dialer => &mut self.asking,
            Endpoint::Listener => &mut self.answering,
        };
        if address.iter().any(|part| part == Protocol::QuicV1) {
            self.quic.insert(id);
        }
        pings.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) = event {
            self.quic.remove(&connection_id);
        }
    }

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
        while let Poll::Ready(ToSwarm::GenerateEvent(ping)) = self.asking.poll(cx) {
            let is_over = matches!(ping.result, Err(ping::Failure::Timeout));
            if is_over && self.quic.contains(&ping.connection) {
                return Poll::Ready(ToSwarm::CloseConnection {
                    peer_id: ping.peer,
                    connection: CloseConnection::One(ping.connection),
                });
            }
        }
        Poll::Pending
    }
}
