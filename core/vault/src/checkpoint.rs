//! Checkpoints: when one stands, and what is done without then.
//!
//! A checkpoint stands once all of its snapshot is here and counts: its changes are merged, each in its old place. If
//! nothing that it supersedes decides anything here any more, it *covers*: then logs begin at its lines, and what is
//! before goes (see [`crate::sweep`]). So no device gives up what the snapshot does not hold, whoever has written that.
//! If it counts no more later, what is gone is missing: a hole, that peers are asked to fill.

use std::collections::BTreeMap;

use twin_identity::log::Counts;
use twin_ops::chain::{Head, verify_run};
use twin_ops::change::{Change, RecordChange, Stamp};
use twin_ops::checkpoint::{Checkpoint, Line, Original};
use twin_ops::op::{LogId, Op, Origin, Part};
use twin_ops::space::SpaceId;
use twin_ops::store::{Hole, Standing};

use crate::error::{Result, VaultError};
use crate::merge::{Version, Write};
use crate::oplog::{PartNo, log_number, op_number, place_in_log};
use crate::rows::{CheckpointRow, LaterRow};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

/// How many records are gathered before they are written.
const BATCH: usize = 4096;
/// How many of the ops that a log begins after are asked for at once if they should be here.
const ASKED: u64 = 64;

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
}

impl Checkpointed {
    /// Whether an op is of its snapshot.
    pub fn holds(&self, op: i64) -> bool {
        let first = self.part.op();
        let last = i64::try_from(self.last - place_in_log(first)).unwrap_or(0);
        (1..=last).contains(&(op - first))
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

    fn row(&self) -> CheckpointRow {
        CheckpointRow {
            part: self.part.0,
            stands: self.stands,
            covers: self.covers,
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
        let known = self.state.checkpoints.iter();
        if known.into_iter().any(|known| known.part == part) {
            return Ok(());
        }
        let noted = self.checkpointed(part, origin, checkpoint);
        self.file.put(&noted.row())?;
        self.state.checkpoints.push(noted);
        Ok(())
    }

    fn checkpointed(&self, part: PartNo, origin: &Origin, said: &Checkpoint) -> Checkpointed {
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
        }
    }

    /// The checkpoints that are here; of those that do not count none stands.
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
            known.stands = row.stands && counts;
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
    fn copies(&self, of: &Checkpointed, number: i64, op: &Op) -> Vec<Version<PartNo>> {
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
        for copy in self.copies(standing, number, op) {
            if self.fits(&copy.at.log)? && self.counts(&copy)? {
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
        let counts = self
            .state
            .identity
            .counts(&at.device, at.log.as_bytes());
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

    fn is_other(&self, log: &LogId, line: Head) -> Result<bool> {
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

    /// What is missing at the beginning of logs, for no checkpoint that counts supersedes it: the last ops of it, each of
    /// which shows that the one before is the right one.
    pub(crate) fn missing_beginnings(&self) -> impl Iterator<Item = Hole> {
        let logs = self.state.logs.iter();
        logs.filter_map(|(log, known)| {
            let height = known.base?.height;
            (height > self.superseded(log)).then_some((*log, height))
        })
        .flat_map(|(log, height)| {
            let first = height.saturating_sub(ASKED - 1).max(1);
            (first..=height).map(move |seq| Hole { log, seq })
        })
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

    /// Lets stand what has become whole. Inside a transaction.
    pub(crate) fn raise_checkpoints(&mut self) -> Result<()> {
        let waiting = self.state.checkpoints.iter();
        let waiting: Vec<PartNo> = waiting
            .filter(|known| !known.stands)
            .map(|known| known.part)
            .collect();
        for part in waiting {
            if self.is_whole(part)? {
                self.raise(part)?;
            }
        }
        Ok(())
    }

    fn known(&mut self, part: PartNo) -> Result<&mut Checkpointed> {
        let mut known = self.state.checkpoints.iter_mut();
        let known = known.find(|known| known.part == part);
        known.ok_or(VaultError::Damaged("a checkpoint"))
    }

    /// Whether all of a snapshot is here, counts and can be read.
    fn is_whole(&self, part: PartNo) -> Result<bool> {
        let mut known = self.state.checkpoints.iter();
        let Some(known) = known.find(|known| known.part == part) else {
            return Ok(false);
        };
        let Some(log) = self.state.logs.get(&known.log) else {
            return Ok(false);
        };
        if log.head.height < known.last
            || !self.may_erase(&log.origin.device)
            || !self.is_counted(&known.log, known.last)?
        {
            return Ok(false);
        }
        for number in known.ops() {
            let head = self.file.store.head(number)?;
            let epoch = (log.origin.space, head.header.epoch);
            if !self.state.epochs.contains_key(&epoch) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Merges a snapshot, and lets it cover if it holds everything that it should.
    fn raise(&mut self, part: PartNo) -> Result<()> {
        let known = self.known(part)?;
        known.stands = true;
        let known = known.clone();
        let space = self.space_of(&known.log)?;
        for (log, line) in &known.lines {
            self.begin_unknown(&space, log, line)?;
        }
        let mut stage = Stage::default();
        for number in known.ops() {
            let op = self.file.store.op(number)?;
            self.absorb_copies(&mut stage, number, &op, horizon(self.now))?;
            if stage.len() >= BATCH {
                self.flush(std::mem::take(&mut stage))?;
            }
        }
        self.flush(stage)?;
        self.settle_late_now()?;
        let mut fitting = Vec::new();
        for (log, line) in &known.lines {
            if !self.is_other(log, line.head())? {
                fitting.push((*log, line.head()));
            }
        }
        let ranges = fitting.iter();
        let ranges = ranges.filter_map(|(log, line)| self.range(log, line.height));
        let ranges: Vec<(PartNo, PartNo)> = ranges.collect();
        let covers = !self.file.store.are_in_use(&ranges)?;
        if !covers {
            log::warn!("a checkpoint does not hold all that it should: nothing goes by it");
        }
        let known = self.known(part)?;
        known.covers = covers;
        let row = known.row();
        self.file.put(&row)?;
        if covers {
            for (log, line) in fitting {
                self.begin_at(&log, line)?;
            }
            self.forget_superseded(&ranges)?;
        }
        Ok(())
    }

    /// Begins a log that was never here at its line.
    fn begin_unknown(&mut self, space: &SpaceId, log: &LogId, line: &Line) -> Result<()> {
        if self.state.logs.contains_key(log) {
            return Ok(());
        }
        let origin = line.origin(*space);
        let number = match self.next_op(&origin, log, line.height) {
            Ok(op) => log_number(op),
            Err(VaultError::Limit(what)) => {
                log::warn!("a log of a checkpoint is left out: there are too many {what}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let begun = Log {
            number,
            origin,
            head: line.head(),
            base: Some(line.head()),
        };
        self.state.logs.insert(*log, begun);
        self.save_log(log).map(drop)
    }

    /// Lets a log that is here begin after `line`, if it begins before.
    fn begin_at(&mut self, id: &LogId, line: Head) -> Result<()> {
        let Some(log) = self.state.logs.get_mut(id) else {
            return Ok(());
        };
        if log.base.is_some_and(|base| base.height >= line.height) {
            return Ok(());
        }
        log.base = Some(line);
        if log.head.height < line.height {
            log.head = line;
        }
        self.save_log(id).map(drop)
    }

    /// Lets a log begin after `base`, if the first of these ops says so itself: a checkpoint by an admin. `false` if it
    /// does not, or that cannot be known. Inside a transaction.
    pub(crate) fn begin_with(&mut self, origin: &Origin, base: Head, ops: &[Op]) -> Result<bool> {
        let id = origin.log_id(self.twin());
        let here = self.state.logs.get(&id).map(|log| log.head.height);
        if here.is_some_and(|height| height >= base.height) {
            return Ok(true);
        }
        let Some(first) = ops.first() else {
            return Ok(false);
        };
        verify_run(self.twin(), origin, Some(base), ops)?;
        let number = self.next_op(origin, &id, base.height)?;
        // Its parts can be opened only once its log is known.
        let log = Log {
            number: log_number(number),
            origin: *origin,
            head: base,
            base: Some(base),
        };
        let before = self.state.logs.insert(id, log);
        if self.may_erase(&origin.device) && self.says_itself(&id, base, number + 1, first) {
            self.save_log(&id)?;
            return Ok(true);
        }
        match before {
            Some(before) => self.state.logs.insert(id, before),
            None => self.state.logs.remove(&id),
        };
        Ok(false)
    }

    /// Whether an op is a checkpoint of the log that it is in, right before it.
    fn says_itself(&self, id: &LogId, base: Head, number: i64, op: &Op) -> bool {
        let mut parts = (0..).zip(op.parts());
        parts.any(|(index, part)| {
            let Part::Sealed(sealed) = part else {
                return false;
            };
            let key = PartNo::new(number, index);
            match self.open_change(op.header(), op.salt(), key, sealed) {
                Some((origin, Change::Checkpoint(said))) => {
                    self.checkpointed(key, &origin, &said).line(id) == Some(base)
                }
                _ => false,
            }
        })
    }

    /// Takes ops that a log begins after and that should be here, from the last down: what comes after each names it.
    /// Returns how many there were. Inside a transaction.
    pub(crate) fn fill_beginning(
        &mut self,
        stage: &mut Stage,
        origin: &Origin,
        ops: &[Op],
    ) -> Result<usize> {
        let id = origin.log_id(self.twin());
        let mut filled = 0;
        for op in ops.iter().rev() {
            let Some(base) = self.state.logs.get(&id).and_then(|log| log.base) else {
                break;
            };
            let header = op.header();
            if header.seq != base.height || self.superseded(&id) >= base.height {
                continue;
            }
            if op.link() != base.link || header.log != id {
                break;
            }
            let number = self.next_op(origin, &id, header.seq)?;
            self.file.store.remove_op(number)?;
            let op = self.without_erased(number, op);
            self.file.store.insert_op(number, &op)?;
            let before = header.prev.map(|link| Head {
                height: header.seq - 1,
                link,
            });
            if let Some(log) = self.state.logs.get_mut(&id) {
                log.base = before;
            }
            if self.is_counted(&id, header.seq)? {
                self.absorb(stage, number, &op, horizon(self.now))?;
                self.look_for_hole(&id, header.seq, number)?;
            }
            filled += 1;
        }
        if filled > 0 {
            self.save_log(&id)?;
        }
        Ok(filled)
    }

    /// Notes that a later version will make more of a part. Inside a transaction.
    pub(crate) fn note_later(&self, part: PartNo) -> Result<()> {
        self.file.put(&LaterRow { part: part.0 })
    }

    /// Forgets these notes. Inside a transaction.
    pub(crate) fn forget_later(&self) -> Result<()> {
        self.forget_rows::<LaterRow>(|_| true)
    }

    /// The lowest op of each log that cannot go, by the number of the log: what is in it is not all known yet.
    pub(crate) fn obscure(&self) -> Result<BTreeMap<u32, u64>> {
        let mut lowest: BTreeMap<u32, u64> = BTreeMap::new();
        let mut note = |op: i64| {
            let known = lowest.entry(log_number(op)).or_insert(u64::MAX);
            *known = (*known).min(place_in_log(op));
        };
        let unread = self.file.items::<crate::rows::UnreadRow>()?;
        unread.iter().for_each(|row| note(row.op));
        let later = self.file.items::<LaterRow>()?;
        later.iter().for_each(|row| note(PartNo(row.part).op()));
        self.state.ahead.iter().for_each(|(_, part)| note(part.op()));
        // What came of a snapshot and is not whole yet: the rest of it has to come first.
        for known in &self.state.checkpoints {
            let head = self.state.logs.get(&known.log).map(|log| log.head.height);
            if head.is_none_or(|head| head < known.last) {
                note(known.part.op());
            }
        }
        for hole in &self.state.holes {
            let log = self.state.logs.get(&hole.log);
            if let Some(op) = log.and_then(|log| op_number(log.number, hole.seq)) {
                note(op);
            }
        }
        Ok(lowest)
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
