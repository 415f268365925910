//! A stream that ends with its connection.
//!
//! yamux (0.14.1) tells the streams of a connection that the other end has closed it, but not that this end has: whoever
//! reads would wait for ever, if the other end cannot answer any more.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite, FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

/// A stream, and what tells the end of its connection.
pub(crate) struct Held<T> {
    stream: T,
    /// `None` once the connection has ended.
    ended: Option<BoxFuture<'static, ()>>,
}

impl<T> Held<T> {
    /// The connection ends when something is sent to `needs`, or nobody can.
    pub(crate) fn new(stream: T, mut needs: watch::Receiver<()>) -> Self {
        let ended = async move {
            // An error means that nobody can.
            needs.changed().await.ok();
        };
        Self {
            stream,
            ended: Some(ended.boxed()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Held<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            return read;
        }
        if let Some(ended) = &mut self.ended {
            ready!(ended.poll_unpin(cx));
            self.ended = None;
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Held<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
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
    use futures::AsyncReadExt as _;

    use super::*;

    /// Never has anything to read.
    struct Mute;

    impl AsyncRead for Mute {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn reading_ends_with_the_connection() {
        let connection = watch::Sender::new(());
        let mut held = Held::new(Mute, connection.subscribe());
        let mut byte = [0];
        let read = futures::poll!(held.read(&mut byte));
        assert!(read.is_pending());
        connection.send_replace(());
        for _ in 0..2 {
            let error = held.read(&mut byte).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
        let mut held = Held::new(Mute, connection.subscribe());
        drop(connection);
        assert!(held.read(&mut byte).await.is_err());
    }
}
