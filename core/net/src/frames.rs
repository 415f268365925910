//! Frames over one stream: the length as 4 bytes (u32, most significant first), then that many bytes.
//!
//! Policy against slow and lying peers:
//! - a frame longer than [`MAX_FRAME`] is refused when its length has been read, before anything is allocated;
//! - the buffer grows with what has arrived, so an announced length alone costs no memory;
//! - waiting for a frame to *begin* has no limit (a quiet peer is fine; a dead link is the connection's business),
//!   but one that has begun must be complete within [`FRAME_TIME`];
//! - a peer that takes not one byte of ours for [`STALL_TIME`] is given up.

use std::{io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, io::ReadHalf, io::WriteHalf,
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, timeout, timeout_at},
};
use twin_sync::machine::MAX_FRAME;

use crate::{held::Held, traffic::Counters};

/// How long a frame may take from its first byte to its last.
pub const FRAME_TIME: Duration = Duration::from_secs(30);

/// How long a peer may leave our bytes untaken.
pub const STALL_TIME: Duration = Duration::from_secs(60);

/// How long to wait for the peer's end of a stream after our own.
pub const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// The bytes of a length.
const PREFIX: usize = 4;

/// How much is read or written at once.
const CHUNK: usize = 64 << 10;

/// Why no further frame can be sent or received; the stream is useless afterwards.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer announced, or the caller gave, a frame longer than [`MAX_FRAME`] or than is taken here.
    #[error("A message of {0} bytes is longer than is allowed; update both devices and try again.")]
    TooLong(u64),
    /// The stream ended inside a frame.
    #[error("The other device went away in the middle of a message; connect again.")]
    Truncated,
    /// A frame was begun and not completed within [`FRAME_TIME`].
    #[error("The other device sends too slowly; move closer to the network and try again.")]
    TooSlow,
    /// Nothing was taken for [`STALL_TIME`].
    #[error("The other device takes no data any more; connect again.")]
    Stalled,
    /// The connection broke.
    #[error("The connection to the other device broke; connect again.")]
    Broken(#[source] io::Error),
}

/// Both directions of a stream of frames. Dropping it ends the stream.
#[derive(Debug)]
pub struct Frames {
    reader: FrameReader,
    writer: FrameWriter,
    from: Option<IpAddr>,
}

/// The receiving half of [`Frames`].
pub struct FrameReader {
    io: ReadHalf<Io>,
    /// The frame's length, as far as it has arrived.
    head: [u8; PREFIX],
    /// The frame itself; what lies beyond `got` is scratch space for the next read.
    body: Vec<u8>,
    /// How many bytes of head and body together have arrived.
    got: usize,
    /// The longest frame that is taken, in bytes.
    max: usize,
    /// When the frame being read must be complete.
    deadline: Option<Instant>,
    counters: Counters,
    slot: Slot,
}

/// The sending half of [`Frames`].
pub struct FrameWriter {
    io: WriteHalf<Io>,
    counters: Counters,
    _slot: Slot,
}

/// Any stream of bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}
type Io = Pin<Box<dyn Duplex>>;

/// Given back when both halves are dropped.
type Slot = Option<Arc<Place>>;

/// What a stream of a node takes up.
pub(crate) struct Place {
    /// One of the streams that are allowed with this peer.
    pub(crate) _permit: OwnedSemaphorePermit,
    /// Tells the node, by its end, that the stream's connection is not needed for it any more, and the stream that its
    /// connection has ended.
    pub(crate) needs: watch::Receiver<()>,
    pub(crate) is_relayed: bool,
}

impl Frames {
    /// Frames over any stream of bytes: a libp2p stream, or a pipe in a test.
    pub fn over(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self::new(io, Counters::default(), None)
    }

    /// Frames that count in a node's [`Traffic`](crate::Traffic) and among the streams it allows per peer.
    pub(crate) fn of_node(stream: libp2p::Stream, counters: Counters, place: Place) -> Self {
        let held = Held::new(stream, place.needs.clone());
        Self::new(held, counters, Some(Arc::new(place)))
    }

    /// The same, of a peer that has connected from there.
    #[must_use]
    pub(crate) const fn coming_from(mut self, from: Option<IpAddr>) -> Self {
        self.from = from;
        self
    }

    /// From where the peer has connected that has opened this stream; `None` if it goes through a relay, or over no network.
    pub const fn came_from(&self) -> Option<IpAddr> {
        self.from
    }

    /// Whether they go through a relay; a direct way that comes up meanwhile carries those that are opened from then on.
    pub fn are_relayed(&self) -> bool {
        let slot = self.reader.slot.as_ref();
        slot.is_some_and(|place| place.is_relayed)
    }

    fn new(
        io: impl AsyncRead + AsyncWrite + Send + 'static,
        counters: Counters,
        slot: Slot,
    ) -> Self {
        let io: Io = Box::pin(io);
        let (reader, writer) = io.split();
        Self {
            reader: FrameReader {
                io: reader,
                head: [0; PREFIX],
                body: Vec::new(),
                got: 0,
                max: MAX_FRAME,
                deadline: None,
                counters: counters.clone(),
                slot: slot.clone(),
            },
            writer: FrameWriter {
                io: writer,
                counters,
                _slot: slot,
            },
            from: None,
        }
    }

    /// The same, taking no frame longer than `max` bytes: for a protocol that has none, so that whoever begins one and
    /// does not end it costs less.
    #[must_use]
    pub fn taking_at_most(mut self, max: usize) -> Self {
        self.reader.max = max.min(MAX_FRAME);
        self
    }

    /// Sends one frame; see [`FrameWriter::send`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        self.writer.send(frame).await
    }

    /// The next frame, or `None` when the peer has closed; see [`FrameReader::recv`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        self.reader.recv().await
    }

    /// Says that nothing more will be sent, and flushes; receiving goes on.
    pub async fn close(&mut self) -> Result<(), FrameError> {
        self.writer.close().await
    }

    /// The polite end: says that nothing more will be sent, and waits up to [`GOODBYE_TIME`] for the peer to say the
    /// same, so that it has everything before the connection may be closed. Frames still arriving are dropped.
    pub async fn finish(mut self) -> Result<(), FrameError> {
        self.close().await?;
        let silence = async { while let Ok(Some(_)) = self.recv().await {} };
        timeout(GOODBYE_TIME, silence).await.ok();
        Ok(())
    }

    /// The two halves, for use by different tasks. The stream ends when both are dropped.
    pub fn split(self) -> (FrameReader, FrameWriter) {
        (self.reader, self.writer)
    }
}

impl FrameReader {
    /// The next frame, or `None` when the peer has closed between two frames.
    ///
    /// Cancel safe: what has been read stays here, and its deadline too.
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        while self.got < PREFIX {
            let space = self.head.get_mut(self.got..).unwrap_or_default();
            match read(&mut self.io, space, self.deadline).await? {
                0 if self.got == 0 => return Ok(None),
                0 => return Err(FrameError::Truncated),
                count => self.arrived(count),
            }
        }
        let length = u32::from_be_bytes(self.head);
        let end = match usize::try_from(length) {
            Ok(length) if length <= self.max => PREFIX + length,
            _ => return Err(FrameError::TooLong(length.into())),
        };
        while self.got < end {
            let have = self.got - PREFIX;
            self.body.resize(have + CHUNK.min(end - self.got), 0);
            let space = self.body.get_mut(have..).unwrap_or_default();
            match read(&mut self.io, space, self.deadline).await? {
                0 => return Err(FrameError::Truncated),
                count => self.arrived(count),
            }
        }
        self.counters.received(end);
        self.got = 0;
        self.deadline = None;
        Ok(Some(std::mem::take(&mut self.body)))
    }

    fn arrived(&mut self, count: usize) {
        self.got += count;
        self.deadline
            .get_or_insert_with(|| Instant::now() + FRAME_TIME);
    }
}

/// Reads once; 0 at the end of the stream.
async fn read(
    io: &mut ReadHalf<Io>,
    space: &mut [u8],
    deadline: Option<Instant>,
) -> Result<usize, FrameError> {
    let read = match deadline {
        None => io.read(space).await,
        Some(deadline) => timeout_at(deadline, io.read(space))
            .await
            .map_err(|_| FrameError::TooSlow)?,
    };
    read.map_err(FrameError::Broken)
}

impl FrameWriter {
    /// Sends one frame of at most [`MAX_FRAME`] bytes and flushes it. Waits while the peer takes nothing
    /// (back-pressure), at most [`STALL_TIME`] at a time.
    ///
    /// Not cancel safe: a frame that was begun must be completed, or the stream dropped.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        let too_long = || FrameError::TooLong(frame.len().try_into().unwrap_or(u64::MAX));
        let length = u32::try_from(frame.len())
            .ok()
            .filter(|_| frame.len() <= MAX_FRAME)
            .ok_or_else(too_long)?;
        // The length travels with the first bytes: one packet for a small frame.
        let (first, rest) = frame.split_at(frame.len().min(CHUNK - PREFIX));
        let head = [&length.to_be_bytes(), first].concat();
        for chunk in std::iter::once(head.as_slice()).chain(rest.chunks(CHUNK)) {
            within_stall_time(self.io.write_all(chunk)).await?;
        }
        within_stall_time(self.io.flush()).await?;
        self.counters.sent(PREFIX + frame.len());
        Ok(())
    }

    /// Says that nothing more will be sent, and flushes.
    pub async fn close(&mut self) -> Result<(), FrameError> {
        within_stall_time(self.io.close()).await
    }
}

async fn within_stall_time(work: impl Future<Output = io::Result<()>>) -> Result<(), FrameError> {
    match timeout(STALL_TIME, work).await {
        Err(_) => Err(FrameError::Stalled),
        Ok(done) => done.map_err(FrameError::Broken),
    }
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader")
            .field("got", &self.got)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").finish_non_exhaustive()
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

    #[tokio::test]
    async fn an_announced_length_costs_no_memory() {
        let head = u32::try_from(MAX_FRAME).unwrap().to_be_bytes();
        let mut frames = Frames::over(futures::io::Cursor::new([&head[..], &[1; 10]].concat()));
        assert!(matches!(frames.recv().await, Err(FrameError::Truncated)));
        assert!(frames.reader.body.capacity() <= 2 * CHUNK);
    }

    #[tokio::test]
    async fn no_longer_frame_is_taken_than_the_protocol_has() {
        for (length, taken) in [(100, true), (101, false)] {
            let bytes = [&u32::to_be_bytes(length)[..], &[1; 101][..length as usize]].concat();
            let mut frames = Frames::over(futures::io::Cursor::new(bytes)).taking_at_most(100);
            match frames.recv().await {
                Ok(Some(frame)) => assert!(taken && frame.len() == 100),
                Err(FrameError::TooLong(101)) => assert!(!taken),
                other => panic!("{other:?}"),
            }
        }
    }
}
