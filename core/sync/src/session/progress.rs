//! How far a session has come, told to the application now and then.

use minicbor::bytes::ByteVec;
use twin_ops::store::OpStore;

use super::error::SyncError;
use super::{Session, SyncEvent};
use crate::machine::Millis;

/// How long until the next word of it, in milliseconds, unless the end of it is reached before.
const EVERY: Millis = 250;

/// Ops, and their bytes as they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many ops.
    pub ops: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, ops: usize, bytes: usize) {
        self.ops = self.ops.saturating_add(ops as u64);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// How far a session has come since it began. Ops come and go before content of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What was taken from the peer.
    pub taken: Amount,
    /// How many more ops the peer is known to have; those that a checkpoint has replaced count until it has come.
    pub to_take: u64,
    /// What was given to the peer.
    pub given: Amount,
    /// How many more ops the peer is known to lack.
    pub to_give: u64,
    /// Bytes of content of files that came.
    pub content_taken: u64,
    /// Bytes of content of files that were given.
    pub content_given: u64,
}

/// What is counted, and what of it was told.
#[derive(Default)]
pub(super) struct Tally {
    now: Progress,
    told: Option<(Millis, Progress)>,
}

impl Tally {
    pub fn took(&mut self, new: usize, run: usize, bytes: usize) {
        // Of a run of which a part was here already nobody knows the bytes of the rest.
        let share = bytes.saturating_mul(new).checked_div(run).unwrap_or(0);
        self.now.taken.add(new, share);
    }

    pub fn gave(&mut self, ops: &[ByteVec]) {
        self.now.given.add(ops.len(), bytes_of(ops));
    }

    pub const fn took_content(&mut self, bytes: usize) {
        self.now.content_taken = self.now.content_taken.saturating_add(bytes as u64);
    }

    pub const fn gave_content(&mut self, bytes: usize) {
        self.now.content_given = self.now.content_given.saturating_add(bytes as u64);
    }

    /// Whether it is time to tell, and there is something to be told.
    fn is_due(&self, now: Millis, at_once: bool) -> bool {
        let nothing = Progress::default();
        let (at, told) = match &self.told {
            Some((at, told)) => (Some(*at), told),
            None => (None, &nothing),
        };
        let counted = |progress: &Progress| Progress {
            to_take: 0,
            to_give: 0,
            ..*progress
        };
        counted(&self.now) != counted(told)
            && (at_once || at.is_none_or(|at| now.abs_diff(at) >= EVERY))
    }
}

/// The bytes of ops.
pub(super) fn bytes_of(ops: &[ByteVec]) -> usize {
    ops.iter().map(|op| op.len()).sum()
}

impl<S: OpStore + ?Sized> Session<S> {
    /// Tells how far it has come, if that is news: now and then, or at once.
    pub(super) fn tell_progress(
        &mut self,
        now: Millis,
        at_once: bool,
        store: &S,
    ) -> Result<(), SyncError> {
        if !self.tally.is_due(now, at_once) {
            return Ok(());
        }
        let (to_take, to_give) = self.peer.remaining(store)?;
        (self.tally.now.to_take, self.tally.now.to_give) = (to_take, to_give);
        self.tally.told = Some((now, self.tally.now));
        self.events.push_back(SyncEvent::Progress(self.tally.now));
        Ok(())
    }
}
