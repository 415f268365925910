//! A TCP stream that notices when the other end has vanished.
//!
//! A pulled cable sends no goodbye. Both ends ping every [`PING_INTERVAL`], so on a living connection something
//! arrives at least that often, whatever else goes on; when nothing has arrived for [`SILENCE`], reading fails with
//! `TimedOut` and the connection ends. That sits below TLS because closing a dead connection politely could itself
//! wait forever. It also counts the bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::traffic::Counters;

/// How often each end asks the other for a sign of life.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long a connection may be silent: two pings and some seconds for a retransmission.
pub(crate) const SILENCE: Duration = Duration::from_secs(24);

/// A stream that fails after [`SILENCE`] without a byte received.
pub(crate) struct Attentive<T> {
    io: T,
    heard: Instant,
    timer: Pin<Box<Sleep>>,
    counters: Counters,
}

impl<T> Attentive<T> {
    pub(crate) fn new(io: T, counters: Counters) -> Self {
        let heard = Instant::now();
        Self {
            io,
            heard,
            timer: Box::pin(sleep_until(heard + SILENCE)),
            counters,
        }
    }

    /// Ready when the silence has lasted too long. The timer is only moved when it rings, not at every byte.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.heard + SILENCE;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Attentive<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(count)) => {
                this.heard = Instant::now();
                this.counters.wire_received(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(this.poll_silence(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Attentive<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf));
        if let Ok(count) = written {
            this.counters.wire_sent(count);
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_close(cx)
    }
}
