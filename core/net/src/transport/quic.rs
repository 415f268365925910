//! QUIC: who may send how much, when it is over, and what it costs.
//!
//! libp2p gives no way to the packets, so what is counted is what its streams carry: our frames, the negotiation of
//! their protocols and the pings; neither QUIC's headers, handshakes and acknowledgements nor the encryption.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    core::muxing::{StreamMuxer, StreamMuxerEvent},
    identity::Keypair,
    quic,
};

use crate::{pulse, traffic::Counters};

/// How long the handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(6);

/// How many bytes may be under way unread on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// How many streams the other end may have open.
const MAX_STREAMS: u32 = 32;

/// What libp2p's QUIC is told to be.
pub(super) fn config(key: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(key);
    config.handshake_timeout = HANDSHAKE_TIME;
    config.max_idle_timeout = u32::try_from(pulse::SILENCE.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = pulse::QUIC_INTERVAL;
    config.max_concurrent_stream_limit = MAX_STREAMS;
    config.max_stream_data = STREAM_WINDOW;
    config.max_connection_data = CONNECTION_WINDOW;
    config
}

/// libp2p's reasons as those of [`super::build`]: QUIC does not tell whether a handshake failed because another protocol is
/// spoken there or the other end hung up.
pub(super) fn error(error: quic::Error) -> io::Error {
    let kind = match &error {
        quic::Error::HandshakeTimedOut => io::ErrorKind::TimedOut,
        quic::Error::Io(io) => io.kind(),
        quic::Error::Connection(_) => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// A QUIC connection whose streams are counted.
pub(super) struct Counted {
    connection: quic::Connection,
    counters: Counters,
}

impl Counted {
    pub(super) fn new(connection: quic::Connection, counters: Counters) -> Self {
        Self {
            connection,
            counters,
        }
    }

    fn count(&self, stream: quic::Stream) -> CountedStream {
        CountedStream {
            stream,
            counters: self.counters.clone(),
        }
    }
}

impl StreamMuxer for Counted {
    type Substream = CountedStream;
    type Error = quic::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<CountedStream, quic::Error>> {
        let stream = ready!(Pin::new(&mut self.connection).poll_inbound(cx));
        Poll::Ready(stream.map(|stream| self.count(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<CountedStream, quic::Error>> {
        let stream = ready!(Pin::new(&mut self.connection).poll_outbound(cx));
        Poll::Ready(stream.map(|stream| self.count(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), quic::Error>> {
        Pin::new(&mut self.connection).poll_close(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, quic::Error>> {
        Pin::new(&mut self.connection).poll(cx)
    }
}

/// One stream, its bytes counted.
pub(super) struct CountedStream {
    stream: quic::Stream,
    counters: Counters,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.counters.wire_received(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.counters.wire_sent(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
