//! When a checkpoint stands, and what it covers then.

use twin_ops::chain::Head;
use twin_ops::checkpoint::Line;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;

use crate::checkpoint::Checkpointed;
use crate::error::{Result, VaultError};
use crate::oplog::{PartNo, log_number};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

/// How many records are gathered before they are written.
const BATCH: usize = 4096;

impl Vault {
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
        self.settle_late()?;
        let mut fitting = Vec::new();
        for (log, line) in &known.lines {
            let is_split = self.beside_snapshots(log, line.height) < line.height;
            if !is_split && !self.is_other(log, line.head())? {
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
        known.kept |= covers;
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
        self.save_log(log)
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
        self.save_log(id)
    }
}
