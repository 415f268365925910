//! What one device must hold and show at any moment: the ops that have reached it, and which of their changes count
//! by its clock.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::log::Counts;
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::epoch::EpochId;
use twin_ops::op::LogId;
use twin_ops::store::OpStore;
use twin_vault::Vault;

use super::fault::{Held, fault, hold};
use super::reference::Write;
use super::truth::Truth;

/// How far ahead of a device's clock a stamp may be to be merged, in milliseconds.
const LEAD: u64 = 10 * 60 * 1000;

/// A part: log, seq, index.
pub type PartName = (LogId, u64, u64);

/// What a device must hold and show.
#[derive(Clone, Default)]
pub struct View {
    /// How much of each log is here, set aside or not.
    heights: BTreeMap<LogId, u64>,
    /// How much of it counts.
    counted: BTreeMap<LogId, u64>,
    /// Is merged, as far as its log counts.
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
        let part = name(write);
        self.merged.contains(&part) && self.reaches(&part)
    }

    fn reaches(&self, (log, seq, _): &PartName) -> bool {
        *seq <= self.counted(log)
    }

    /// How much of a log counts here.
    pub fn counted(&self, log: &LogId) -> u64 {
        self.counted.get(log).copied().unwrap_or(0)
    }

    /// The parts that wait for a key.
    pub fn unread(&self) -> impl Iterator<Item = &PartName> {
        self.unread.iter().filter(|part| self.reaches(part))
    }

    /// Whether a write that waits for the clock is here only because a snapshot holds it, as one that came after all that
    /// is before `bases` in each log.
    pub fn waits_alone(&self, write: &Write, bases: &BTreeMap<LogId, u64>) -> bool {
        let part = name(write);
        let waits = self.waiting.contains(&(write.order.0, part));
        waits && self.reaches(&part) && bases.get(&part.0).is_some_and(|base| part.1 <= *base)
    }

    /// Whether a write that counts is among the first ops of a log, up to these, which are missing.
    pub fn misses(&self, write: &Write, missing: &BTreeMap<LogId, u64>) -> bool {
        let part = name(write);
        self.counts(write) && missing.get(&part.0).is_some_and(|last| part.1 <= *last)
    }

    /// The latest stamp that waits for the clock.
    pub fn last_waiting(&self) -> Option<Stamp> {
        let mut waiting = self.waiting.iter().rev();
        waiting
            .find(|(_, part)| self.reaches(part))
            .map(|(stamp, _)| *stamp)
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
        self.counted.insert(log, height);
        self.merged.extend(writes.iter().map(name));
    }

    /// The device holds what is in its vault, and has the keys of these epochs, while its clock shows `now`. What counts
    /// of the logs of devices that are out is as its identity log has it.
    ///
    /// # Errors
    /// It holds what nobody has written, or has lost something.
    pub fn hold(
        &mut self,
        now: u64,
        vault: &Vault,
        epochs: &BTreeSet<EpochId>,
        truth: &Truth,
    ) -> Held {
        let heads = vault.heads()?.into_iter();
        let heads: BTreeMap<LogId, Head> = heads.map(|head| (head.log, head.head)).collect();
        for (log, head) in &heads {
            let known = self.heights.entry(*log).or_default();
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
            *known = (*known).max(head.height);
        }
        let identity = vault.identity();
        for (log, height) in &self.heights {
            let author = truth
                .author(log)
                .ok_or_else(|| fault!("a log that nobody wrote"))?;
            let counted = match identity.counts(&author, log.as_bytes()) {
                Counts::All => *height,
                Counts::Nothing => 0,
                Counts::UpTo(line) if *height < line.height => *height,
                Counts::UpTo(line) => {
                    let op = truth.op(*log, line.height);
                    let same = op.is_some_and(|op| *op.link.as_bytes() == line.head);
                    if same { line.height } else { 0 }
                }
            };
            let shown = heads.get(log).map_or(0, |head| head.height);
            hold!(
                shown == counted,
                "a vault shows {shown} ops of a log of which it holds {height} and {counted} count"
            );
            hold!(
                identity.gone().all(|gone| *gone != author) || shown <= truth.line(log),
                "ops count that a device wrote after its removal"
            );
            self.counted.insert(*log, shown);
        }
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
