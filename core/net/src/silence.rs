//! A stream of bytes that notices when the other end has vanished: TCP, or a circuit through a relay.
//!
//! A pulled cable sends no goodbye. The [pulse](crate::pulse) makes both ends hear something on a living connection,
//! whatever else goes on; when nothing has arrived for [`SILENCE`], reading fails with `TimedOut` and the connection
//! ends. That sits below TLS because closing a dead connection politely could itself wait forever. It also counts the
//! bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{pulse::SILENCE, traffic::Counters};

/// A stream that fails after [`SILENCE`] without a byte received.
pub(crate) struct Attentive<T> {
    io: T,
    heard: Instant,
    timer: Pin<Box<Sleep>>,
    counters: Option<Counters>,
}

impl<T> Attentive<T> {
    /// Counts the bytes unless they are counted elsewhere: a circuit runs inside the connection to its relay.
    pub(crate) fn new(io: T, counters: Option<Counters>) -> Self {
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

    /// What the stream below says; while it says nothing, the silence is watched.
    fn watch<R>(
        &mut self,
        below: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        match below {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                ready!(self.poll_silence(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
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
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if let Poll::Ready(Ok(count)) = read {
            this.heard = Instant::now();
            if let Some(counters) = &this.counters {
                counters.wire_received(count);
            }
        }
        this.watch(read, cx)
    }
}

/// Writing and closing are watched as well: on a dead link with full buffers they would wait for TCP's own limit, a
/// quarter of an hour, and libp2p does not read while it closes.
impl<T: AsyncWrite + Unpin> AsyncWrite for Attentive<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        if let (Poll::Ready(Ok(count)), Some(counters)) = (&written, &this.counters) {
            counters.wire_sent(*count);
        }
        this.watch(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.watch(flushed, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.io).poll_close(cx);
        this.watch(closed, cx)
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
    use std::time::Duration;

    use futures::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::pulse::PING_INTERVAL;

    /// Gives one byte after each of these pauses, then nothing for ever; takes nothing.
    struct Talker(Vec<Duration>, Option<Pin<Box<Sleep>>>);

    impl AsyncRead for Talker {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.1.is_none() {
                let Some(pause) = self.0.pop() else {
                    return Poll::Pending;
                };
                self.1 = Some(Box::pin(tokio::time::sleep(pause)));
            }
            if let Some(sleep) = &mut self.1 {
                ready!(sleep.as_mut().poll(cx));
            }
            self.1 = None;
            buf[0] = 7;
            Poll::Ready(Ok(1))
        }
    }

    impl AsyncWrite for Talker {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn closing_a_dead_connection_does_not_wait_for_ever() {
        let started = Instant::now();
        let mut io = Attentive::new(Talker(Vec::new(), None), None);
        assert_eq!(
            io.write(b"x").await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(
            io.flush().await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(
            io.close().await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(started.elapsed().as_secs(), SILENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_lives_as_long_as_something_is_heard() {
        let started = Instant::now();
        let counters = Counters::default();
        let pauses = [
            PING_INTERVAL,
            PING_INTERVAL,
            SILENCE - Duration::from_millis(1),
        ];
        let mut io = Attentive::new(Talker(pauses.to_vec(), None), Some(counters.clone()));
        let mut heard = [0; 8];
        for _ in pauses {
            assert_eq!(io.read(&mut heard).await.unwrap(), 1);
        }
        let spoken: Duration = pauses.iter().sum();
        assert_eq!(started.elapsed().as_secs(), spoken.as_secs());
        let error = io.read(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), (spoken + SILENCE).as_secs());
        assert_eq!(counters.read().wire_received, 3);
    }
}
