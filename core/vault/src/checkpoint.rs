//! Checkpoints that are here, and the changes in their snapshots.
//!
//! A checkpoint stands once all of its snapshot is here and counts (see [`crate::standing`]): its changes are merged, each
//! in its old place. If nothing that it supersedes decides anything here any more, it *covers*: then logs begin at its
//! lines (see [`crate::beginning`]), and what is before goes (see [`crate::sweep`]). So no device gives up what the snapshot
//! does not hold, whoever has written that.

use std::collections::BTreeSet;

use twin_identity::log::Counts;
use twin_ops::chain::Head;
use twin_ops::change::{Change, RecordChange, Stamp};
use twin_ops::checkpoint::{Checkpoint, Line, Original};
use twin_ops::op::{LogId, Op, Origin, Part};
use twin_ops::store::Standing;

use crate::error::Result;
use crate::merge::{Version, Write};
use crate::oplog::{PartNo, op_number, place_in_log};
use crate::rows::CheckpointRow;
use crate::stage::Stage;
use crate::vault::Vault;

/// A checkpoint that is here.
#[derive(Debug, Clone)]
pub(crate) struct Checkpointed {
    /// The part that says so.
    pub part: PartNo,
    pub log: LogId,
    /// The last op of its snapshot.
    pub last: u64,
    /// Its lines, in its own order.
    pub lines: Vec<(LogId, Line)>,
    pub stands: bool,
    pub covers: bool,
    /// What it supersedes is gone here: if it counts no more, its copies are all that is left.
    pub kept: bool,
}

impl Checkpointed {
    /// Whether an op is of its snapshot.
    pub fn holds(&self, op: i64) -> bool {
        let first = self.part.op();
        let last = i64::try_from(self.last - place_in_log(first)).unwrap_or(0);
        (1..=last).contains(&(op - first))
    }

    /// Whether a line at this height in its own log would let go of it, but not of all of its snapshot.
    pub fn is_split_at(&self, height: u64) -> bool {
        (place_in_log(self.part.op())..self.last).contains(&height)
    }

    /// How far it supersedes a log.
    pub fn line(&self, log: &LogId) -> Option<Head> {
        let mut lines = self.lines.iter();
        let line = lines.find(|(of, _)| of == log);
        line.map(|(_, line)| line.head())
    }

    /// The numbers of the ops of its snapshot.
    pub fn ops(&self) -> impl Iterator<Item = i64> + use<> {
        let first = self.part.op();
        let many = self.last - place_in_log(first);
        (1..=many.cast_signed()).map(move |next| first + next)
    }

    /// The row that it is stored as.
    pub fn row(&self) -> CheckpointRow {
        CheckpointRow {
            part: self.part.0,
            stands: self.stands,
            covers: self.kept,
        }
    }
}

impl Vault {
    /// Takes note of a checkpoint by an admin. Inside a transaction.
    pub(crate) fn note_checkpoint(
        &mut self,
        part: PartNo,
        origin: &Origin,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let mut known = self.state.checkpoints.iter();
        if known.any(|known| known.part == part) {
            return Ok(());
        }
        let noted = self.checkpointed(part, origin, checkpoint);
        self.file.put(&noted.row())?;
        self.state.checkpoints.push(noted);
        Ok(())
    }

    /// What a checkpoint in a part comes to.
    pub(crate) fn checkpointed(
        &self,
        part: PartNo,
        origin: &Origin,
        said: &Checkpoint,
    ) -> Checkpointed {
        let twin = self.twin();
        let lines = said.lines.iter();
        let log = |line: &Line| line.origin(origin.space).log_id(twin);
        Checkpointed {
            part,
            log: origin.log_id(twin),
            last: place_in_log(part.op()) + said.ops,
            lines: lines.map(|line| (log(line), *line)).collect(),
            stands: false,
            covers: false,
            kept: false,
        }
    }

    /// The checkpoints that are here; of those that do not count only such stand as have let something go.
    pub(crate) fn read_checkpoints(&self) -> Result<Vec<Checkpointed>> {
        let mut read = Vec::new();
        for row in self.file.items::<CheckpointRow>()? {
            let part = PartNo(row.part);
            let Some(sealed) = self.file.store.part_if_any(part)? else {
                continue;
            };
            let (Part::Sealed(sealed), Ok(head)) =
                (sealed, self.state.op_heads.get(&self.file.store, part.op()))
            else {
                continue;
            };
            let Some((origin, Change::Checkpoint(said))) =
                self.open_change(&head.header, &head.salt, part, &sealed)
            else {
                continue;
            };
            let mut known = self.checkpointed(part, &origin, &said);
            let counts =
                self.may_erase(&origin.device) && self.is_counted(&known.log, known.last)?;
            known.kept = row.covers;
            known.stands = row.stands && (counts || known.kept);
            known.covers = row.covers && counts;
            read.push(known);
        }
        Ok(read)
    }

    /// Forgets those that are gone. Inside a transaction.
    pub(crate) fn forget_checkpoints(&mut self, is_gone: impl Fn(PartNo) -> bool) -> Result<()> {
        let known = &mut self.state.checkpoints;
        for gone in known.extract_if(.., |known| is_gone(known.part)) {
            self.file
                .remove::<CheckpointRow>(&gone.part.0.to_be_bytes())?;
        }
        Ok(())
    }

    /// The change in a part of a snapshot, with its old place; `None` if its checkpoint does not stand, or has no such
    /// line.
    pub(crate) fn copy(
        &self,
        key: PartNo,
        original: Original,
        change: RecordChange,
    ) -> Option<Version<PartNo>> {
        let mut standing = self.state.checkpoints.iter();
        let standing = standing.find(|known| known.stands && known.holds(key.op()))?;
        placed(standing, key, original, change)
    }

    /// The changes in an op of a snapshot.
    pub(crate) fn copies(&self, of: &Checkpointed, number: i64, op: &Op) -> Vec<Version<PartNo>> {
        let originals = self.originals(number, op);
        let mut copies = Vec::with_capacity(originals.len());
        for ((index, original), part) in (1..).zip(originals).zip(op.parts().iter().skip(1)) {
            let Part::Sealed(sealed) = part else { continue };
            let key = PartNo::new(number, index);
            if let Some((_, Change::Copy(said, change))) =
                self.open_change(op.header(), op.salt(), key, sealed)
                && said == original
            {
                copies.extend(placed(of, key, original, change));
            }
        }
        copies
    }

    /// What an op of a snapshot says that its parts after the first are.
    fn originals(&self, number: i64, op: &Op) -> Vec<Original> {
        let Some(Part::Sealed(sealed)) = op.parts().first() else {
            return Vec::new();
        };
        let key = PartNo::new(number, 0);
        match self.open_change(op.header(), op.salt(), key, sealed) {
            Some((_, Change::Snapshot(snapshot))) => snapshot.originals,
            _ => Vec::new(),
        }
    }

    /// The parts of an op that are changes made before, with where: of an op of any snapshot, if it stands or not.
    pub(crate) fn made_before(&self, number: i64, op: &Op) -> Vec<(u16, (LogId, u64, u16))> {
        let mut known = self.state.checkpoints.iter();
        let Some(known) = known.find(|known| known.holds(number)) else {
            return Vec::new();
        };
        let originals = (1..).zip(self.originals(number, op));
        originals
            .filter_map(|(index, original)| {
                let (log, _) = known.lines.get(original.line as usize)?;
                Some((index, (*log, original.seq, original.index)))
            })
            .collect()
    }

    /// Merges the changes in an op of a snapshot that stands. Inside a transaction.
    pub(crate) fn absorb_copies(
        &mut self,
        stage: &mut Stage,
        number: i64,
        op: &Op,
        horizon: Stamp,
    ) -> Result<()> {
        let mut standing = self.state.checkpoints.iter();
        let Some(standing) = standing.find(|known| known.stands && known.holds(number)) else {
            return Ok(());
        };
        let space = self.space_of(&op.header().log)?;
        let copies = self.copies(standing, number, op);
        let logs: BTreeSet<LogId> = copies.iter().map(|copy| copy.at.log).collect();
        let mut fit = BTreeSet::new();
        for log in logs {
            if self.fits(&log)? {
                fit.insert(log);
            }
        }
        for copy in copies {
            if fit.contains(&copy.at.log) && self.counts(&copy)? {
                self.take_version(stage, &space, copy, horizon)?;
            }
        }
        Ok(())
    }

    /// Whether a change counts: where it was first written, and where it is now.
    pub(crate) fn counts(&self, version: &Version<PartNo>) -> Result<bool> {
        let at = &version.at;
        let known = self.state.logs.get(&at.log);
        let Some(known) = known else { return Ok(false) };
        if op_number(known.number, at.seq) == Some(version.key.op()) {
            return self.is_counted(&at.log, at.seq);
        }
        let counts = self.state.identity.counts(&at.device, at.log.as_bytes());
        Ok(match counts {
            Counts::All => true,
            Counts::Nothing => false,
            Counts::UpTo(line) => at.seq <= line.height,
        })
    }

    /// Whether a change that is held in two parts is better kept in `new`, for `old` is superseded.
    pub(crate) fn is_better_kept(&self, new: PartNo, old: PartNo) -> bool {
        let mut standing = self.state.checkpoints.iter();
        let standing = standing.find(|known| known.stands && known.holds(new.op()));
        standing.is_some_and(|standing| {
            let lines = standing.lines.iter();
            let ranges = lines.filter_map(|(log, line)| self.range(log, line.height));
            { ranges }.any(|(first, last)| (first..=last).contains(&old))
        })
    }

    /// The parts of a log up to a height.
    pub(crate) fn range(&self, log: &LogId, height: u64) -> Option<(PartNo, PartNo)> {
        let log = self.state.logs.get(log)?;
        let first = op_number(log.number, 1)?;
        let after = op_number(log.number, height.checked_add(1)?)?;
        Some((PartNo::new(first, 0), PartNo(PartNo::new(after, 0).0 - 1)))
    }

    /// How far a log may go that may go to `height`: a checkpoint goes with all of its snapshot, which nobody could read
    /// without it, nor erase from.
    pub(crate) fn beside_snapshots(&self, log: &LogId, height: u64) -> u64 {
        let known = self
            .state
            .checkpoints
            .iter()
            .filter(|known| known.log == *log);
        let mut split = known.filter(|known| known.is_split_at(height));
        split
            .next()
            .map_or(height, |known| place_in_log(known.part.op()) - 1)
    }

    /// Whether what is here of a log is no other history than all checkpoints that stand speak of.
    fn fits(&self, log: &LogId) -> Result<bool> {
        for known in self.state.checkpoints.iter().filter(|known| known.stands) {
            if let Some(line) = known.line(log)
                && self.is_other(log, line)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether what is here of a log is another history than the one with this head.
    pub(crate) fn is_other(&self, log: &LogId, line: Head) -> Result<bool> {
        let here = self.state.link_at(&self.file.store, log, line.height)?;
        Ok(here.is_some_and(|here| here != line.link))
    }

    /// How far a log is superseded by checkpoints that cover.
    pub(crate) fn superseded(&self, log: &LogId) -> u64 {
        let covering = self.state.checkpoints.iter().filter(|known| known.covers);
        let lines = covering.filter_map(|known| known.line(log));
        let most = lines.map(|line| line.height).max().unwrap_or(0);
        let base = self.state.logs.get(log).and_then(|log| log.base);
        most.min(base.map_or(0, |base| base.height))
    }

    /// The checkpoints that cover, as sync sees them.
    pub(crate) fn covering(&self) -> Vec<Standing> {
        let covering = self.state.checkpoints.iter().filter(|known| known.covers);
        let standing = covering.map(|known| {
            let lines = known.lines.iter();
            let lines = lines.filter(|(log, line)| self.superseded(log) >= line.height);
            Standing {
                log: known.log,
                seq: place_in_log(known.part.op()),
                last: known.last,
                lines: lines.map(|(log, line)| (*log, line.head())).collect(),
            }
        });
        standing.collect()
    }
}

fn placed(
    of: &Checkpointed,
    key: PartNo,
    original: Original,
    change: RecordChange,
) -> Option<Version<PartNo>> {
    let (log, line) = of.lines.get(original.line as usize)?;
    if original.seq == 0 || original.seq > line.height {
        return None;
    }
    let at = Write {
        stamp: change.stamp,
        device: line.device,
        log: *log,
        seq: original.seq,
        index: original.index.into(),
    };
    Some(Version { at, key, change })
}
