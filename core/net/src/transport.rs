//! TCP, TLS 1.3 with libp2p's certificates, yamux. No Noise: it has no post-quantum key exchange.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt as _;
use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{
            Boxed, DialOpts, ListenerId, TransportError, TransportEvent,
            timeout::TransportTimeoutError,
        },
        upgrade::Version,
    },
    identity::Keypair,
    swarm::derive_prelude::Either,
    tcp, tls, yamux,
};

use crate::{Address, Reach, silence::Attentive, traffic::Counters};

/// How long TCP, TLS and yamux together may take to set up one connection.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(8);

/// How many streams one connection may carry in all, pings included.
const MAX_STREAMS: usize = 32;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 64;

/// The transport of a node with this key.
pub(crate) fn build(
    key: &Keypair,
    reach: Reach,
    counters: Counters,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, tls::certificate::GenError> {
    let config = tcp::Config::new().nodelay(true).listen_backlog(BACKLOG);
    let config = match reach {
        Reach::Any => config,
        Reach::OnLinkOnly => config.ttl(1),
    };
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(MAX_STREAMS);
    Ok(ScopedTcp(tcp::tokio::Transport::new(config))
        .map(move |stream, _| Attentive::new(stream, counters.clone()))
        .upgrade(Version::V1Lazy)
        .authenticate(tls::Config::new(key)?)
        .multiplex(muxer)
        .timeout(HANDSHAKE_TIME)
        .map_err(|error| match error {
            TransportTimeoutError::Other(Either::Left(Either::Left(tcp))) => tcp,
            TransportTimeoutError::Other(Either::Left(Either::Right(tls))) => handshake_error(tls),
            TransportTimeoutError::Other(Either::Right(muxer)) => handshake_error(muxer),
            TransportTimeoutError::Timeout | TransportTimeoutError::TimerError(_) => {
                io::ErrorKind::TimedOut.into()
            }
        })
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed())
}

/// A failure after TCP has connected: `ConnectionAborted` if the other end hung up, `TimedOut` if it fell silent, else
/// `InvalidData`.
fn handshake_error(error: impl Error + Send + Sync + 'static) -> io::Error {
    use io::ErrorKind as Kind;
    let kind = match io_cause(&error).map(io::Error::kind) {
        Some(Kind::TimedOut) => Kind::TimedOut,
        Some(
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe,
        ) => Kind::ConnectionAborted,
        _ => Kind::InvalidData,
    };
    io::Error::new(kind, error)
}

/// The I/O error behind an error; libp2p's TLS does not give it as its source.
fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    use tls::UpgradeError::{ClientUpgrade, ServerUpgrade};
    if let Some(ClientUpgrade(cause) | ServerUpgrade(cause)) = error.downcast_ref() {
        return Some(cause);
    }
    error.downcast_ref().or_else(|| io_cause(error.source()?))
}

/// The kind of error that [`build`]'s transport gave, out of the box that libp2p puts it in.
pub(crate) fn kind_of(error: &io::Error) -> io::ErrorKind {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<io::Error>());
    inner.unwrap_or(error).kind()
}

/// libp2p's TCP, and dialling of `/ip6zone/<index>/ip6/fe80::…`, whose scope libp2p's TCP would lose.
struct ScopedTcp(tcp::tokio::Transport);

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
        match Address::from_multiaddr(&address).filter(|address| address.scope() != 0) {
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
