//! yamux that measures the round trip once, and not again every ten seconds.
//!
//! yamux pings by itself, both ends, whenever a connection has something to do and ten seconds have gone by: on an idle
//! connection each sign of life would set off two more questions and their answers. It needs the round trip to know how
//! far to open its windows; the first one, taken before there is any load, will do. There is no setting for it
//! (yamux 0.14.1, `connection/rtt.rs`). So the later questions are left out on their way to the stream below: yamux
//! asks no further question while one has no answer, and waits for none.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    yamux,
};

/// Of a frame: version, type, two bytes of flags, four of the stream's number, four of length.
/// <https://github.com/hashicorp/yamux/blob/master/spec.md>
const HEADER: usize = 12;
const DATA: u8 = 0;
const PING: u8 = 2;
/// The flag that makes a ping a question.
const SYN: u16 = 1;

/// yamux over a stream that [leaves out](Sparing) what it asks again.
#[derive(Clone, Debug)]
pub(super) struct Muxed(pub(super) yamux::Config);

impl UpgradeInfo for Muxed {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<T> for Muxed {
    type Output = yamux::Muxer<Sparing<T>>;
    type Error = io::Error;
    type Future = <yamux::Config as InboundConnectionUpgrade<Sparing<T>>>::Future;

    fn upgrade_inbound(self, io: T, name: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Sparing::new(io), name)
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<T> for Muxed {
    type Output = yamux::Muxer<Sparing<T>>;
    type Error = io::Error;
    type Future = <yamux::Config as OutboundConnectionUpgrade<Sparing<T>>>::Future;

    fn upgrade_outbound(self, io: T, name: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Sparing::new(io), name)
    }
}

/// Follows the frames that are written, and lets one question pass.
#[derive(Debug)]
pub(super) struct Sparing<T> {
    io: T,
    header: [u8; HEADER],
    /// How much of the header has come from above, and how much of a whole one has gone below.
    filled: usize,
    gone: usize,
    /// How much of the frame's body is still to come.
    body: usize,
    asked: bool,
}

impl<T> Sparing<T> {
    fn new(io: T) -> Self {
        Self {
            io,
            header: [0; HEADER],
            filled: 0,
            gone: 0,
            body: 0,
            asked: false,
        }
    }

    /// Takes in some of the next header; how much.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let room = self.header.iter_mut().skip(self.filled);
        let taken = room.zip(bytes).map(|(to, from)| *to = *from).count();
        self.filled += taken;
        if self.filled == HEADER {
            self.read_header();
        }
        taken
    }

    fn read_header(&mut self) {
        let [_, kind, f0, f1, _, _, _, _, length @ ..] = self.header;
        let is_question = kind == PING && u16::from_be_bytes([f0, f1]) & SYN != 0;
        if is_question && std::mem::replace(&mut self.asked, true) {
            self.filled = 0;
        } else if kind == DATA {
            self.body = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        }
    }
}

impl<T: AsyncWrite + Unpin> Sparing<T> {
    /// Ready when no whole header waits any more.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.filled == HEADER {
            let rest = self.header.get(self.gone..).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone += written;
            if self.gone >= HEADER {
                (self.filled, self.gone) = (0, 0);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Sparing<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sparing<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_header(cx))?;
        if this.body == 0 {
            return Poll::Ready(Ok(this.fill(buf)));
        }
        let body = buf.get(..this.body).unwrap_or(buf);
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, body))?;
        this.body = this.body.saturating_sub(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_header(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_header(cx))?;
        Pin::new(&mut this.io).poll_close(cx)
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
    use futures::{AsyncWriteExt as _, io::Cursor};
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, kind];
        frame.extend(flags.to_be_bytes());
        frame.extend([0, 0, 0, 3]);
        frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        frame.extend(body);
        frame
    }

    /// Takes at most so many bytes at once.
    struct Narrow(Cursor<Vec<u8>>, usize);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let some = &buf[..buf.len().min(self.1)];
            Pin::new(&mut self.0).poll_write(cx, some)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What gets through of frames that are written in pieces of this size.
    fn through(frames: &[Vec<u8>], above: usize, below: usize) -> Vec<u8> {
        let mut sparing = Sparing::new(Narrow(Cursor::new(Vec::new()), below));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            for piece in frames.concat().chunks(above) {
                sparing.write_all(piece).await.unwrap();
            }
            sparing.flush().await.unwrap();
        });
        sparing.io.0.into_inner()
    }

    proptest! {
        #[test]
        fn all_gets_through_but_the_second_question(
            kinds in proptest::collection::vec((0u8..4, 0u16..16, 0usize..40), 0..20),
            above in 1usize..50,
            below in 1usize..50,
        ) {
            let frames: Vec<Vec<u8>> = kinds
                .iter()
                // A body may look like a question, and is none.
                .map(|(kind, flags, body)| {
                    let body = frame(PING, SYN, &[]).repeat(4)[..*body].to_vec();
                    frame(*kind, *flags, if *kind == DATA { &body } else { &[] })
                })
                .collect();
            let mut asked = false;
            let expected: Vec<Vec<u8>> = frames
                .iter()
                .filter(|frame| {
                    let is_question = frame[1] == PING && frame[3] & 1 == 1;
                    !is_question || !std::mem::replace(&mut asked, true)
                })
                .cloned()
                .collect();
            prop_assert_eq!(through(&frames, above, below), expected.concat());
        }
    }
}
