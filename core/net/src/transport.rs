//! What carries connections: TCP with TLS 1.3 (libp2p's certificates) and yamux, and QUIC beside it; circuits through
//! relays carry the same TLS and yamux, so that the relay cannot look in. No Noise: it has no post-quantum key exchange.

mod muxed;
mod quic;
mod scoped;

use std::{error::Error, io, time::Duration};

use futures::{AsyncRead, AsyncWrite, future::Either as Race, io::BufWriter};
use libp2p::{
    PeerId, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeoutError},
        upgrade::Version,
    },
    identity::Keypair,
    relay,
    swarm::derive_prelude::Either,
    tcp, tls, yamux,
};

use crate::{Reach, silence::Attentive, traffic::Counters};

/// How long TCP, TLS and yamux together may take to set up one connection.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(8);

/// How many streams one connection may carry in all, pings included.
const MAX_STREAMS: usize = 32;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 64;

/// How much is written at once: some records of TLS.
const WRITTEN_AT_ONCE: usize = 32 << 10;

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The transport of a node with this key: TCP alone where it is to stay on the link; else QUIC and `circuits` as well.
pub(crate) fn build(
    key: &Keypair,
    reach: Reach,
    circuits: Option<relay::client::Transport>,
    counters: &Counters,
) -> Result<Connections, tls::certificate::GenError> {
    let config = tcp::Config::new().nodelay(true).listen_backlog(BACKLOG);
    let config = match reach {
        Reach::Any => config,
        Reach::OnLinkOnly => config.ttl(1),
    };
    let tcp = scoped::ScopedTcp(tcp::tokio::Transport::new(config));
    let tcp = secured(tcp, key, Some(counters.clone()))?;
    if reach == Reach::OnLinkOnly {
        return Ok(tcp);
    }
    let counters = counters.clone();
    let quic = libp2p::quic::tokio::Transport::new(quic::config(key))
        .map(move |(peer, connection), _| {
            let counted = quic::Counted::new(connection, counters.clone());
            (peer, StreamMuxerBox::new(counted))
        })
        .map_err(quic::error);
    let direct = quic
        .or_transport(tcp)
        .map(|connection, _| match connection {
            Race::Left(made) | Race::Right(made) => made,
        })
        .map_err(Either::into_inner);
    let Some(circuits) = circuits else {
        return Ok(direct.boxed());
    };
    Ok(secured(circuits, key, None)?
        .or_transport(direct)
        .map(|connection, _| match connection {
            Race::Left(made) | Race::Right(made) => made,
        })
        .map_err(Either::into_inner)
        .boxed())
}

/// Streams of bytes made into connections: watched, counted if they are not part of what is counted already, encrypted,
/// multiplexed.
fn secured<T>(
    streams: T,
    key: &Keypair,
    counters: Option<Counters>,
) -> Result<Connections, tls::certificate::GenError>
where
    T: libp2p::Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(MAX_STREAMS);
    Ok(streams
        .map(move |stream, _| {
            // What is written before it is flushed goes out in one packet: yamux and TLS write in many small pieces.
            let stream = BufWriter::with_capacity(WRITTEN_AT_ONCE, stream);
            Attentive::new(stream, counters.clone())
        })
        .upgrade(Version::V1Lazy)
        .authenticate(tls::Config::new(key)?)
        .multiplex(muxed::Muxed(muxer))
        .timeout(HANDSHAKE_TIME)
        .map_err(|error| match error {
            TransportTimeoutError::Other(Either::Left(Either::Left(below))) => {
                let kind = io_cause(&below).map_or(io::ErrorKind::Other, io::Error::kind);
                io::Error::new(kind, below)
            }
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

/// The kind of error that [`build`]'s transport gave, out of the boxes that libp2p puts it in.
pub(crate) fn kind_of(error: &io::Error) -> io::ErrorKind {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(inner) if error.kind() == io::ErrorKind::Other => kind_of(inner),
        _ => error.kind(),
    }
}
