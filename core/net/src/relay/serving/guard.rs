//! Keeps one address from taking all of a relay, and a relay from being sent against others.
//!
//! A peer's key costs nothing, its address does: so connections are limited by address. And AutoNAT has the relay dial
//! where a peer says that it is, which could be a machine of somebody else's, or one in the relay's own network: so it
//! dials only where that peer is connected from.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished, dummy,
    },
};

use crate::{Address, address::network};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("too many connections from this address")]
    TooMany,
    #[error("the address is not where the peer is connected from")]
    Elsewhere,
}

/// Counts connections by address, and knows where each peer is.
pub(crate) struct Guard {
    per_ip: u32,
    /// Connections of others, being set up or made.
    incoming: HashMap<ConnectionId, IpAddr>,
    counts: HashMap<IpAddr, u32>,
    /// Where the peers are that have connected, by connection.
    peers: HashMap<PeerId, HashMap<ConnectionId, IpAddr>>,
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    Address::from_multiaddr(address).map(|address| address.ip())
}

impl Guard {
    pub(super) fn new(per_ip: u32) -> Self {
        Self {
            per_ip,
            incoming: HashMap::new(),
            counts: HashMap::new(),
            peers: HashMap::new(),
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        let Some(network) = self.incoming.remove(&id) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&network);
            }
        }
    }
}

impl NetworkBehaviour for Guard {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(network) = ip_of(remote).map(network) else {
            return Ok(());
        };
        let count = self.counts.entry(network).or_default();
        if *count >= self.per_ip {
            return Err(ConnectionDenied::new(Refused::TooMany));
        }
        *count += 1;
        self.incoming.insert(id, network);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let known = peer.and_then(|peer| self.peers.get(&peer));
        let known: HashSet<IpAddr> = known
            .map(|at| at.values().copied().collect())
            .unwrap_or_default();
        let is_there = |address: &Multiaddr| ip_of(address).is_some_and(|ip| known.contains(&ip));
        if addresses.iter().all(is_there) {
            Ok(Vec::new())
        } else {
            Err(ConnectionDenied::new(Refused::Elsewhere))
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) if endpoint.is_listener() => {
                if let Some(ip) = ip_of(endpoint.get_remote_address()) {
                    self.peers
                        .entry(peer_id)
                        .or_default()
                        .insert(connection_id, ip);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => {
                self.forget(connection_id);
                if let Some(connections) = self.peers.get_mut(&peer_id) {
                    connections.remove(&connection_id);
                    if connections.is_empty() {
                        self.peers.remove(&peer_id);
                    }
                }
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.forget(connection_id);
            }
            _ => {}
        }
    }

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
    use libp2p::{core::ConnectedPoint, swarm::ListenError};

    use super::*;

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn knock(guard: &mut Guard, number: usize, remote: &str) -> bool {
        let own = Multiaddr::empty();
        guard
            .handle_pending_inbound_connection(id(number), &own, &remote.parse().unwrap())
            .is_ok()
    }

    #[test]
    fn one_address_gets_so_many_connections_and_they_are_given_back() {
        let mut guard = Guard::new(2);
        assert!(knock(&mut guard, 1, "/ip4/192.0.2.1/tcp/1"));
        assert!(knock(&mut guard, 2, "/ip4/192.0.2.1/udp/2/quic-v1"));
        assert!(!knock(&mut guard, 3, "/ip4/192.0.2.1/tcp/3"));
        assert!(knock(&mut guard, 4, "/ip4/192.0.2.2/tcp/3"));
        let (local, error) = (Multiaddr::empty(), ListenError::Aborted);
        let mut fail = |number| {
            guard.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
                local_addr: &local,
                send_back_addr: &local,
                error: &error,
                connection_id: id(number),
                peer_id: None,
            }));
        };
        // One that was refused has taken nothing; one that failed gives back what it had.
        fail(3);
        fail(1);
        assert!(knock(&mut guard, 5, "/ip4/192.0.2.1/tcp/5"));
        assert!(!knock(&mut guard, 6, "/ip4/192.0.2.1/tcp/6"));
        // Of IPv6 a whole network counts as one.
        assert!(knock(&mut guard, 7, "/ip6/2001:db8::1/tcp/1"));
        assert!(knock(&mut guard, 8, "/ip6/2001:db8::2/tcp/1"));
        assert!(!knock(&mut guard, 9, "/ip6/2001:db8:0:0:ffff::/tcp/1"));
        assert!(knock(&mut guard, 10, "/ip6/2001:db8:0:1::/tcp/1"));
    }

    #[test]
    fn a_peer_is_dialled_only_where_it_is() {
        let mut guard = Guard::new(2);
        let peer = PeerId::random();
        let endpoint = ConnectedPoint::Listener {
            local_addr: Multiaddr::empty(),
            send_back_addr: "/ip4/192.0.2.1/tcp/1".parse().unwrap(),
        };
        guard.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: id(1),
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
        let mut dials = |peer, address: &str| {
            let addresses = [address.parse().unwrap()];
            guard
                .handle_pending_outbound_connection(id(2), peer, &addresses, Endpoint::Dialer)
                .is_ok()
        };
        assert!(dials(Some(peer), "/ip4/192.0.2.1/tcp/4001"));
        assert!(dials(Some(peer), "/ip4/192.0.2.1/udp/4001/quic-v1"));
        for elsewhere in [
            "/ip4/192.0.2.2/tcp/4001",
            "/ip4/127.0.0.1/tcp/22",
            "/dns4/192.0.2.1/tcp/4001",
        ] {
            assert!(!dials(Some(peer), elsewhere), "{elsewhere}");
        }
        assert!(!dials(Some(PeerId::random()), "/ip4/192.0.2.1/tcp/4001"));
        assert!(!dials(None, "/ip4/192.0.2.1/tcp/4001"));
    }
}
