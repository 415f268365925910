//! Streams of our own protocols: opening them, and handing over those that peers open.
//!
//! Written here rather than taken from `libp2p-stream` because that one dials by itself, cannot tell which
//! connection a stream came by, and drops streams silently.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{Ready, ready},
    net::IpAddr,
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

use crate::{Address, Error};

/// What two devices say to each other over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Linking a new device.
    Link,
    /// Synchronising two devices of one twin.
    Sync,
    /// Leaving sealed envelopes at a relay, and fetching them.
    Mailbox,
}

impl Protocol {
    /// What a device takes calls for.
    pub(crate) const OF_DEVICES: &[Self] = &[Self::Link, Self::Sync];
    /// What a relay takes calls for.
    pub(crate) const OF_RELAYS: &[Self] = &[Self::Mailbox];

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
    pub(crate) connection: ConnectionId,
    /// From where, if that is known.
    pub(crate) from: Option<IpAddr>,
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
pub(crate) struct Streams {
    /// What peers may open streams for.
    served: &'static [Protocol],
    /// The connections of each peer, and whether each goes through a relay: the newest last, before all others those
    /// that only serve when there is no other.
    connections: HashMap<PeerId, Vec<(ConnectionId, bool)>>,
    /// From where peers have connected directly.
    from: HashMap<ConnectionId, IpAddr>,
    pending: VecDeque<ToSwarm<Incoming, Open>>,
}

impl Streams {
    pub(crate) fn new(served: &'static [Protocol]) -> Self {
        Self {
            served,
            connections: HashMap::new(),
            from: HashMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// Opens no more streams on a connection that is about to be closed.
    pub(crate) fn forget(&mut self, peer: &PeerId, connection: ConnectionId) {
        if let Some(all) = self.connections.get_mut(peer) {
            all.retain(|(id, _)| *id != connection);
            if all.is_empty() {
                self.connections.remove(peer);
            }
        }
    }

    /// Opens streams on this connection only if there is no other.
    pub(crate) fn defer(&mut self, peer: &PeerId, connection: ConnectionId) {
        if let Some(all) = self.connections.get_mut(peer)
            && let Some(at) = all.iter().position(|(id, _)| *id == connection)
        {
            let deferred = all.remove(at);
            all.insert(0, deferred);
        }
    }

    /// The connection to `peer` to open a stream on, none of those left out: the newest direct one, else the newest.
    pub(crate) fn best(&self, peer: &PeerId, without: &[ConnectionId]) -> Option<ConnectionId> {
        let all = self.to(peer).iter().rev();
        let mut all = all.filter(|(id, _)| !without.contains(id));
        let direct = all.clone().find(|(_, is_relayed)| !is_relayed);
        direct.or_else(|| all.next()).map(|(id, _)| *id)
    }

    /// Whether a connection to `peer` goes through no relay.
    pub(crate) fn is_direct(&self, peer: &PeerId) -> bool {
        self.to(peer).iter().any(|(_, is_relayed)| !is_relayed)
    }

    fn to(&self, peer: &PeerId) -> &[(ConnectionId, bool)] {
        self.connections.get(peer).map_or(&[], Vec::as_slice)
    }

    /// The connections to `peer` that go through relays, if there is one that does not.
    pub(crate) fn needless(&self, peer: &PeerId) -> Vec<ConnectionId> {
        if !self.is_direct(peer) {
            return Vec::new();
        }
        let relayed = self.to(peer).iter().filter(|(_, is_relayed)| *is_relayed);
        relayed.map(|(id, _)| *id).collect()
    }

    /// Opens a stream on this connection to `peer`; never dials.
    pub(crate) fn open(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        protocol: Protocol,
        reply: Reply,
    ) {
        self.pending.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open { protocol, reply },
        });
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
        Ok(Handler::new(self.served))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.served))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                self.connections
                    .entry(peer_id)
                    .or_default()
                    .push((connection_id, endpoint.is_relayed()));
                let address = Address::from_multiaddr(endpoint.get_remote_address());
                if let Some(address) = address.filter(|_| !endpoint.is_relayed()) {
                    self.from.insert(connection_id, address.ip());
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => {
                self.from.remove(&connection_id);
                self.forget(&peer_id, connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let (stream, protocol) = event;
        self.pending.push_back(ToSwarm::GenerateEvent(Incoming {
            peer,
            connection,
            from: self.from.get(&connection).copied(),
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
pub(crate) struct Handler {
    served: &'static [Protocol],
    opens: VecDeque<Open>,
    incoming: VecDeque<(Stream, Protocol)>,
}

impl Handler {
    fn new(served: &'static [Protocol]) -> Self {
        Self {
            served,
            opens: VecDeque::new(),
            incoming: VecDeque::new(),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (Stream, Protocol);
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(self.served), ())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_direct_connection_is_best_that_has_not_failed() {
        let peer = PeerId::random();
        let [deferred, old, relayed, new] = [1, 2, 3, 4].map(ConnectionId::new_unchecked);
        let mut streams = Streams::new(&[]);
        assert_eq!(streams.best(&peer, &[]), None);
        assert!(!streams.is_direct(&peer));
        let all = vec![
            (old, false),
            (deferred, false),
            (relayed, true),
            (new, false),
        ];
        streams.connections.insert(peer, all);
        streams.defer(&peer, deferred);
        let mut failed = Vec::new();
        for best in [new, old, deferred, relayed] {
            assert_eq!(streams.best(&peer, &failed), Some(best));
            failed.push(best);
        }
        assert_eq!(streams.best(&peer, &failed), None);
        assert_eq!(streams.needless(&peer), [relayed]);
        for direct in [old, new, deferred] {
            assert!(streams.is_direct(&peer));
            streams.forget(&peer, direct);
        }
        assert!(!streams.is_direct(&peer));
        assert_eq!(streams.needless(&peer), []);
    }
}
