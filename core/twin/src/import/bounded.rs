//! A file of which only so much is read at once, so that no single thing in it fills the memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// How much further than what is asked for may be read: the readers' own buffers.
const AHEAD: u64 = 256 << 10;

/// What fails with [`TooLong`] after more than so many bytes, until its [`Allowance`] is renewed.
pub(super) struct Bounded<R> {
    inner: R,
    left: Allowance,
}

/// How much of a [`Bounded`] may still be read.
#[derive(Clone)]
pub(super) struct Allowance {
    left: Rc<Cell<u64>>,
    whole: u64,
}

/// More was to be read than is allowed at once.
#[derive(Debug, thiserror::Error)]
#[error("too much at once")]
pub(super) struct TooLong;

impl Allowance {
    /// From here on, again.
    pub fn renew(&self) {
        self.left.set(self.whole);
    }
}

impl<R> Bounded<R> {
    /// `inner`, `most` bytes at once.
    pub fn new(inner: R, most: u64) -> (Self, Allowance) {
        let whole = most.saturating_add(AHEAD);
        let left = Allowance {
            left: Rc::new(Cell::new(whole)),
            whole,
        };
        let own = left.clone();
        (Self { inner, left: own }, left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        let left = self.left.left.get().checked_sub(len as u64);
        let left = left.ok_or_else(|| io::Error::other(TooLong))?;
        self.left.left.set(left);
        Ok(len)
    }
}

/// Whether reading failed because of the bound.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLong>())
}
