//! Streams of our own protocols: opening them, and handing over those that peers open.
//!
//! Written here rather than taken from `libp2p-stream` because that one dials by itself, cannot tell which
//! connection a stream came by, and drops streams silently.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, InboundUpgrade, OutboundUpgrade, UpgradeInfo, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent,
        ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, StreamUpgradeError,
        SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use tokio::sync::oneshot;

use crate::Error;

/// What two devices say to each other over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Linking a new device.
    Link,
    /// Synchronising two devices of one twin.
    Sync,
    /// Leaving envelopes at a relay, and finding them.
    Mailbox,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Link, Self::Sync, Self::Mailbox];

    /// The name by which it is negotiated.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "/digital-twin/link/1",
            Self::Sync => "/digital-twin/sync/1",
            Self::Mailbox => "/digital-twin/mailbox/1",
        }
    }
}

/// Where an opened stream, or the reason for having none, is sent.
pub(crate) type Reply = oneshot::Sender<Result<Stream, Error>>;

/// A stream that a peer has opened.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) peer: PeerId,
    pub(crate) protocol: Protocol,
    pub(crate) stream: Stream,
}

/// A request to the handler of one connection.
#[derive(Debug)]
pub(crate) struct Open {
    protocol: Protocol,
    reply: Reply,
}

/// The streams of all connections.
#[derive(Default)]
pub(crate) struct Streams {
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    pending: VecDeque<ToSwarm<Incoming, Open>>,
}

impl Streams {
    /// Opens no more streams on a connection that is about to be closed.
    pub(crate) fn forget(&mut self, peer: &PeerId, connection: ConnectionId) {
        if let Some(all) = self.connections.get_mut(peer) {
            all.retain(|id| *id != connection);
            if all.is_empty() {
                self.connections.remove(peer);
            }
        }
    }

    /// Opens a stream on the newest connection to `peer`; never dials.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: Protocol, reply: Reply) {
        match self.connections.get(&peer).and_then(|all| all.last()) {
            Some(connection) => self.pending.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(*connection),
                event: Open { protocol, reply },
            }),
            // The caller may have given up meanwhile: nothing to tell then.
            None => {
                reply.send(Err(Error::NotConnected)).ok();
            }
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Incoming;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => {
                self.connections
                    .entry(peer_id)
                    .or_default()
                    .push(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => self.forget(&peer_id, connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let (stream, protocol) = event;
        self.pending.push_back(ToSwarm::GenerateEvent(Incoming {
            peer,
            protocol,
            stream,
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.pending.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// How many streams may wait to be handed over or opened, on one connection.
const MAX_WAITING: usize = 16;

/// The streams of one connection.
#[derive(Default)]
pub(crate) struct Handler {
    opens: VecDeque<Open>,
    incoming: VecDeque<(Stream, Protocol)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (Stream, Protocol);
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(&Protocol::ALL), ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, Reply, (Stream, Protocol)>> {
        if let Some(incoming) = self.incoming.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(incoming));
        }
        match self.opens.pop_front() {
            None => Poll::Pending,
            Some(Open { protocol, reply }) => {
                let protocol = SubstreamProtocol::new(Offer(protocol.alone()), reply);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
        }
    }

    fn on_behaviour_event(&mut self, open: Open) {
        if self.opens.len() < MAX_WAITING {
            self.opens.push_back(open);
        } else {
            open.reply.send(Err(Error::TooMany)).ok();
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Reply>) {
        match event {
            // One too many is dropped, and so closed.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) if self.incoming.len() < MAX_WAITING => self.incoming.push_back(protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => {
                info.send(Ok(protocol.0)).ok();
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let reason = match error {
                    StreamUpgradeError::Timeout => Error::TimedOut,
                    StreamUpgradeError::NegotiationFailed => Error::Unsupported,
                    StreamUpgradeError::Io(_) => Error::NotConnected,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                info.send(Err(reason)).ok();
            }
            _ => {}
        }
    }
}

impl Protocol {
    /// The list that offers this protocol only.
    const fn alone(self) -> &'static [Self] {
        match self {
            Self::Link => &[Self::Link],
            Self::Sync => &[Self::Sync],
            Self::Mailbox => &[Self::Mailbox],
        }
    }
}

/// Negotiates one of some protocols and hands over the bare stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer(&'static [Protocol]);

/// A protocol with its name, as the negotiation wants it.
#[derive(Clone, Debug)]
pub(crate) struct Named(Protocol, StreamProtocol);

impl AsRef<str> for Named {
    fn as_ref(&self) -> &str {
        self.1.as_ref()
    }
}

impl UpgradeInfo for Offer {
    type Info = Named;
    type InfoIter = Vec<Named>;

    fn protocol_info(&self) -> Vec<Named> {
        self.0
            .iter()
            .map(|protocol| Named(*protocol, StreamProtocol::new(protocol.name())))
            .collect()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, Protocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, chosen: Named) -> Self::Future {
        ready(Ok((stream, chosen.0)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, Protocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, chosen: Named) -> Self::Future {
        ready(Ok((stream, chosen.0)))
    }
}
