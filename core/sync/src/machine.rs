//! What every protocol in this room looks like from outside: frames and `now` in, frames and events out.

/// Milliseconds since the Unix epoch, read by the caller from its own clock.
pub type Millis = u64;

/// The largest frame a peer may send, in bytes: one op of 1 MiB and what surrounds it.
/// A transport refuses a longer frame before it allocates for it.
pub const MAX_FRAME: usize = (1 << 20) + (64 << 10);

/// A session with one peer, without I/O.
///
/// The driver owns the stream and the clock. It hands in every received frame, asks for the next frame whenever
/// the transport has room (so back-pressure is the transport's own) and delivers events to the application.
/// The same machine runs over libp2p and in the simulator.
pub trait Machine {
    /// What the machine reads and writes while it runs: the device's store.
    type Store: ?Sized;
    /// What it tells the application.
    type Event;
    /// Why it gave up. After an error the driver closes the stream; the store is left consistent.
    type Error: std::error::Error;

    /// Takes one frame, at most [`MAX_FRAME`] bytes, in the order the peer sent it.
    fn receive(
        &mut self,
        now: Millis,
        frame: &[u8],
        store: &mut Self::Store,
    ) -> Result<(), Self::Error>;

    /// The next frame to send, or `None` when there is nothing to say now.
    fn next_frame(
        &mut self,
        now: Millis,
        store: &mut Self::Store,
    ) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The next thing to tell the application, oldest first.
    fn next_event(&mut self) -> Option<Self::Event>;

    /// When the driver should call [`Machine::tick`] although nothing was received.
    fn deadline(&self) -> Option<Millis>;

    /// Tells the machine that its deadline has passed.
    fn tick(&mut self, now: Millis, store: &mut Self::Store) -> Result<(), Self::Error>;

    /// Tells the machine that the store has changed behind its back (a local commit, another session's ops).
    fn store_changed(&mut self, store: &mut Self::Store) -> Result<(), Self::Error>;

    /// Whether both sides have said everything and the stream may be closed.
    fn is_finished(&self) -> bool;
}
