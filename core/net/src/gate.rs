//! Whom this node talks to at all, before a byte is exchanged: within its reach, and with a key of our kind.

use std::task::{Context, Poll};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::{Address, Reach, keys::key_of, links::Links};

/// Why the gate stayed closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the address is not on this link")]
    OffLink,
    #[error("the peer's key is not Ed25519")]
    ForeignKey,
}

/// Refuses connections by address and by kind of key.
pub(crate) struct Gate {
    reach: Reach,
}

impl Gate {
    pub(crate) fn new(reach: Reach) -> Self {
        Self { reach }
    }

    fn check_addresses(&self, addresses: &[Multiaddr]) -> Result<(), ConnectionDenied> {
        if self.reach == Reach::Any {
            return Ok(());
        }
        let links = Links::now();
        let on_link = |address: &Multiaddr| {
            Address::from_multiaddr(address).is_some_and(|a| links.is_on_link(a.ip()))
        };
        if addresses.iter().all(on_link) {
            Ok(())
        } else {
            Err(ConnectionDenied::new(Closed::OffLink))
        }
    }
}

fn check_key(peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
    key_of(peer)
        .map(|_| dummy::ConnectionHandler)
        .ok_or_else(|| ConnectionDenied::new(Closed::ForeignKey))
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_addresses(std::slice::from_ref(remote))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.check_addresses(addresses).map(|()| Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        check_key(&peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        check_key(&peer)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
mod tests {
    use super::*;

    fn knock(reach: Reach, remote: &str) -> bool {
        let own = Multiaddr::empty();
        let id = ConnectionId::new_unchecked(1);
        Gate::new(reach)
            .handle_pending_inbound_connection(id, &own, &remote.parse().unwrap())
            .is_ok()
    }

    #[test]
    fn a_caller_from_afar_is_turned_away() {
        // 240.0.0.0/4 is reserved: no interface has it.
        assert!(!knock(Reach::OnLinkOnly, "/ip4/240.0.0.1/tcp/9"));
        assert!(!knock(Reach::OnLinkOnly, "/ip6/2001:db8::1/tcp/9"));
        assert!(!knock(Reach::OnLinkOnly, "/dns4/example.org/tcp/9"));
        assert!(knock(Reach::OnLinkOnly, "/ip4/127.0.0.1/tcp/9"));
        assert!(knock(Reach::Any, "/ip4/240.0.0.1/tcp/9"));
    }

    #[test]
    fn a_key_of_another_kind_is_turned_away() {
        let denied = check_key(&PeerId::random()).err().unwrap();
        assert_eq!(denied.downcast_ref::<Closed>(), Some(&Closed::ForeignKey));
        assert!(check_key(&crate::keys::fresh().unwrap().public().to_peer_id()).is_ok());
    }
}
