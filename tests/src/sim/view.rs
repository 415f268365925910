//! What one device must hold and show at any moment: the ops that have reached it, and which of their changes count
//! by its clock.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::body::{Body, Line};
use twin_identity::id::DeviceId;
use twin_identity::log::Counts;
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::epoch::EpochId;
use twin_ops::op::{Link, LogId};
use twin_ops::store::{LogHead, OpStore};
use twin_vault::Vault;

use super::fault::{Held, fault, hold};
use super::reference::Write;
use super::truth::{Acknowledged, Truth};

/// How far ahead of a device's clock a stamp may be to be merged, in milliseconds.
const LEAD: u64 = 10 * 60 * 1000;

/// A part: its op, and its index there.
pub type PartName = (Link, u64);

/// What a device must hold and show.
#[derive(Clone, Default)]
pub struct View {
    /// The newest op of each log that is here, set aside or not.
    tips: BTreeMap<LogId, Link>,
    /// Those, and all before them.
    held: BTreeSet<Link>,
    /// Those of them that count.
    counted: BTreeSet<Link>,
    /// Is merged, as far as its op counts.
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
    (write.op, write.order.4)
}

impl View {
    /// Whether a write counts here.
    pub fn counts(&self, write: &Write) -> bool {
        self.merged.contains(&name(write)) && self.counts_op(&write.op)
    }

    /// Whether an op counts here.
    pub fn counts_op(&self, op: &Link) -> bool {
        self.counted.contains(op)
    }

    /// Whether an op is here, set aside or not.
    pub fn holds(&self, op: &Link) -> bool {
        self.held.contains(op)
    }

    /// The newest op of each log that is here.
    pub fn tips(&self) -> impl Iterator<Item = (&LogId, &Link)> {
        self.tips.iter()
    }

    /// Whether all counts that is here of what a device has written.
    pub fn counts_all(&self, by: &DeviceId, truth: &Truth) -> bool {
        let aside = self.held.difference(&self.counted);
        let mut authors = aside.filter_map(|link| truth.op(link));
        authors.all(|op| op.author != *by)
    }

    /// The parts that wait for a key.
    pub fn unread(&self) -> impl Iterator<Item = &PartName> {
        self.unread.iter().filter(|(op, _)| self.counts_op(op))
    }

    /// Whether a write that waits for the clock is here only because a snapshot holds it, as one that came after all that
    /// is before `bases` in each log.
    pub fn waits_alone(&self, write: &Write, bases: &BTreeMap<LogId, u64>) -> bool {
        let (stamp, _, log, seq, _) = write.order;
        let waits = self.waiting.contains(&(stamp, name(write)));
        waits && self.counts_op(&write.op) && bases.get(&log).is_some_and(|base| seq <= *base)
    }

    /// Whether a write that counts is among the first ops of a log, up to these, which are missing.
    pub fn misses(&self, write: &Write, missing: &BTreeMap<LogId, u64>) -> bool {
        let (_, _, log, seq, _) = write.order;
        self.counts(write) && missing.get(&log).is_some_and(|last| seq <= *last)
    }

    /// Whether a write that does not count is among the ops up to `bases` in each log, which a checkpoint stands for.
    pub fn was_overtaken_by(&self, write: &Write, bases: &BTreeMap<LogId, u64>) -> bool {
        let (_, _, log, seq, _) = write.order;
        !self.counts_op(&write.op) && bases.get(&log).is_some_and(|base| seq <= *base)
    }

    /// The latest stamp that waits for the clock.
    pub fn last_waiting(&self) -> Option<Stamp> {
        let mut waiting = self.waiting.iter().rev();
        waiting
            .find(|(_, (op, _))| self.counts_op(op))
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
    pub fn wrote(&mut self, head: &LogHead, writes: &[Write]) {
        let link = head.head.link;
        self.tips.insert(head.log, link);
        self.held.insert(link);
        self.counted.insert(link);
        self.merged.extend(writes.iter().map(name));
    }

    /// The device holds what is in its vault, and has the keys of these epochs, while its clock shows `now`. What counts
    /// of the logs of devices that are out is as its identity log has it, and so is what devices that were set back have
    /// given up.
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
            let op = truth.op(&head.link);
            let is_there = op.is_some_and(|op| (op.log, op.seq) == (*log, head.height));
            hold!(is_there, "a vault holds an op that nobody wrote there");
            if self.goes_on(log, &head.link, truth) {
                self.take(log, &head.link, truth);
            }
        }
        for (log, tip) in self.tips.clone() {
            self.let_go(vault, &log, &tip, truth)?;
        }
        for (log, head) in &heads {
            hold!(
                self.goes_on(log, &head.link, truth),
                "a vault shows another history than the one that it holds"
            );
            self.take(log, &head.link, truth);
        }
        self.counted.clear();
        for (log, tip) in &self.tips {
            let author = truth
                .author(log)
                .ok_or_else(|| fault!("a log that nobody wrote"))?;
            let history = truth.history(tip);
            let counted = counted(vault, log, &author, &history)?;
            let shown = heads.get(log).map_or(0, |head| head.height);
            hold!(
                shown == counted,
                "a vault shows {shown} ops of a log of which it holds {} and {counted} count",
                history.len()
            );
            hold!(
                vault.identity().gone().all(|gone| *gone != author) || shown <= truth.line(log),
                "ops count that a device wrote after its removal"
            );
            let counting = history.iter().filter(|op| op.seq <= counted);
            self.counted.extend(counting.map(|op| op.link));
        }
        self.read(now, epochs, truth);
        Ok(())
    }

    /// Whether an op is on the way to what is held of its log, or comes after that.
    fn goes_on(&self, log: &LogId, link: &Link, truth: &Truth) -> bool {
        let Some(tip) = self.tips.get(log) else {
            return true;
        };
        truth.comes_before(tip, link) || truth.comes_before(link, tip)
    }

    /// What is held of a log goes up to this op, if it did not go further.
    fn take(&mut self, log: &LogId, link: &Link, truth: &Truth) {
        if self.held.contains(link) {
            return;
        }
        for op in truth.history(link) {
            if self.held.insert(op.link) {
                self.unread.extend(op.writes.iter().map(name));
            }
        }
        self.tips.insert(*log, *link);
    }

    /// What is not in the vault any more of a log: its device must have given it up, or it is not what the line says that
    /// was drawn for it.
    fn let_go(&mut self, vault: &Vault, log: &LogId, tip: &Link, truth: &Truth) -> Held {
        let mut history = truth.history(tip);
        if let Some(base) = vault.base(log)?
            && truth.comes_before(tip, &base.link)
        {
            // A checkpoint stands for it, and for more.
            return Ok(());
        }
        let before = history.clone();
        let mut first = None;
        while let Some(op) = history.last()
            && vault.link_at(log, op.seq)? != Some(op.link)
        {
            self.held.remove(&op.link);
            first = history.pop();
        }
        let Some(first) = first else { return Ok(()) };
        match history.last() {
            Some(op) => self.tips.insert(*log, op.link),
            None => self.tips.remove(log),
        };
        let names = |line: &Line, op: &Acknowledged| {
            (line.log, line.height, line.head) == (*log.as_bytes(), op.seq, *op.link.as_bytes())
        };
        let identity = vault.identity();
        let mut said = identity.entries().values();
        let given_up = said.any(|entry| match &entry.body {
            Body::Fork(fork) if entry.signer == Some(first.author) => {
                let mut upto = before.iter().filter(|op| op.seq <= first.seq);
                upto.any(|op| names(&fork.branch, op))
            }
            _ => false,
        });
        let overruled = match identity.counts(&first.author, log.as_bytes()) {
            Counts::UpTo(line) => !before.iter().any(|op| names(&line, op)),
            Counts::All | Counts::Nothing => false,
        };
        hold!(
            given_up || overruled,
            "a vault has lost what nobody gave up, from op {} of a log on",
            first.seq
        );
        Ok(())
    }

    fn read(&mut self, now: u64, epochs: &BTreeSet<EpochId>, truth: &Truth) {
        for part in std::mem::take(&mut self.unread) {
            let (op, index) = part;
            let Some(op) = truth.op(&op) else {
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

/// How much counts of a log that is here with this history, by the identity log: of a device that is out as much as its
/// line says, of any other what comes before a branch that it has given up.
fn counted(vault: &Vault, log: &LogId, author: &DeviceId, history: &[&Acknowledged]) -> Held<u64> {
    let height = history.len() as u64;
    let is_here = |line: &Line| {
        let at = history.iter().find(|op| op.seq == line.height);
        line.log == *log.as_bytes() && at.is_some_and(|op| *op.link.as_bytes() == line.head)
    };
    Ok(match vault.identity().counts(author, log.as_bytes()) {
        Counts::Nothing => 0,
        Counts::UpTo(line) if height < line.height => height,
        Counts::UpTo(line) if is_here(&line) => line.height,
        Counts::UpTo(_) => 0,
        Counts::All => {
            let base = vault.base(log)?.map_or(0, |base| base.height);
            let forks = vault.identity().given_up(author);
            let here = forks.filter(|fork| fork.branch.height > base && is_here(&fork.branch));
            here.map(|fork| fork.branch.height - 1)
                .min()
                .unwrap_or(height)
        }
    })
}
