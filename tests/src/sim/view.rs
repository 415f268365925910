//! What one device must hold and show at any moment: the ops that have reached it, and which of their changes count
//! by its clock.

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::change::Stamp;
use twin_ops::epoch::EpochId;
use twin_ops::op::LogId;
use twin_ops::store::LogHead;

use super::fault::{Held, fault, hold};
use super::reference::Write;
use super::truth::Truth;

/// How far ahead of a device's clock a stamp may be to be merged, in milliseconds.
const LEAD: u64 = 10 * 60 * 1000;

/// A part: log, seq, index.
pub type PartName = (LogId, u64, u64);

/// What a device must hold and show.
#[derive(Default)]
pub struct View {
    heights: BTreeMap<LogId, u64>,
    /// Counts.
    merged: BTreeSet<PartName>,
    /// Stamped too far ahead.
    waiting: BTreeSet<(Stamp, PartName)>,
    /// Here, but the device has no key to their space yet.
    unread: BTreeSet<PartName>,
}

/// The highest stamp that counts at `now`.
fn horizon(now: u64) -> Stamp {
    Stamp::at(now + LEAD)
}

fn name(write: &Write) -> PartName {
    let (_, _, log, seq, index) = write.order;
    (log, seq, index)
}

impl View {
    /// Whether a write counts here.
    pub fn counts(&self, write: &Write) -> bool {
        self.merged.contains(&name(write))
    }

    /// Whether something waits for the clock.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether something waits for a key.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// The latest stamp that waits for the clock.
    pub fn last_waiting(&self) -> Option<Stamp> {
        self.waiting.last().map(|(stamp, _)| *stamp)
    }

    /// The device's clock shows `now`: what is due counts.
    pub fn pass(&mut self, now: u64) {
        while let Some((stamp, part)) = self.waiting.first().copied()
            && stamp <= horizon(now)
        {
            self.waiting.remove(&(stamp, part));
            self.merged.insert(part);
        }
    }

    /// The device wrote this itself: it counts whatever the clock says.
    pub fn wrote(&mut self, log: LogId, height: u64, writes: &[Write]) {
        self.heights.insert(log, height);
        self.merged.extend(writes.iter().map(name));
    }

    /// The device holds these logs, and has the keys of these epochs, while its clock shows `now`.
    ///
    /// # Errors
    /// It holds what nobody has written, or has lost something.
    pub fn hold(
        &mut self,
        now: u64,
        heads: &[LogHead],
        epochs: &BTreeSet<EpochId>,
        truth: &Truth,
    ) -> Held {
        for LogHead { log, head } in heads {
            let known = self.heights.entry(*log).or_default();
            hold!(head.height >= *known, "an op that was taken over is gone");
            if head.height == *known {
                continue;
            }
            for seq in *known + 1..=head.height {
                let op = truth.op(*log, seq).ok_or_else(|| {
                    fault!("a vault holds op {seq} of a log in which nobody wrote it")
                })?;
                self.unread.extend(op.writes.iter().map(name));
            }
            let link = truth.op(*log, head.height).map(|op| op.link);
            hold!(
                link == Some(head.link),
                "a vault holds another op than its author wrote"
            );
            *known = head.height;
        }
        let lost = self
            .heights
            .keys()
            .any(|log| !heads.iter().any(|head| head.log == *log));
        hold!(!lost, "a log that was taken over is gone");
        self.read(now, epochs, truth);
        Ok(())
    }

    fn read(&mut self, now: u64, epochs: &BTreeSet<EpochId>, truth: &Truth) {
        for part in std::mem::take(&mut self.unread) {
            let (log, seq, index) = part;
            let Some(op) = truth.op(log, seq) else {
                continue;
            };
            let Some(write) = op.write(index) else {
                continue;
            };
            if !epochs.contains(&op.epoch) {
                self.unread.insert(part);
            } else if write.order.0 > horizon(now) {
                self.waiting.insert((write.order.0, part));
            } else {
                self.merged.insert(part);
            }
        }
    }
}
