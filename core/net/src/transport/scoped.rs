//! TCP through one interface.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::FutureExt as _;
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    tcp,
};

use crate::{Address, Transport};

/// libp2p's TCP, and dialling of `/ip6zone/<index>/ip6/fe80::…`, whose scope libp2p's TCP would lose.
pub(super) struct ScopedTcp(pub(super) tcp::tokio::Transport);

impl libp2p::Transport for ScopedTcp {
    type Output = tcp::tokio::TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = <tcp::tokio::Transport as libp2p::Transport>::ListenerUpgrade;
    type Dial = <tcp::tokio::Transport as libp2p::Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        match Address::from_multiaddr(&address).filter(is_scoped_tcp) {
            None => self.0.dial(address, opts),
            Some(address) => Ok(async move {
                let stream = tokio::net::TcpStream::connect(address.to_socket()).await?;
                stream.set_nodelay(true)?;
                Ok(tcp::tokio::TcpStream(stream))
            }
            .boxed()),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

fn is_scoped_tcp(address: &Address) -> bool {
    address.scope() != 0 && address.transport() == Transport::Tcp
}
