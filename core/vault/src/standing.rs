//! When a checkpoint stands, and what it covers then.

use twin_ops::chain::Head;
use twin_ops::change::Change;
use twin_ops::checkpoint::Line;
use twin_ops::op::{LogId, Part};
use twin_ops::space::SpaceId;
use twin_ops::store::Hole;

use crate::checkpoint::Checkpointed;
use crate::error::{Result, VaultError};
use crate::oplog::{PartNo, log_number, place_in_log};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

/// How many records are gathered before they are written.
const BATCH: usize = 4096;

impl Vault {
    /// Lets stand what has become whole, and looks again at what stood and did not cover if that may have changed. Inside
    /// a transaction.
    pub(crate) fn raise_checkpoints(&mut self) -> Result<()> {
        let look_again = std::mem::take(&mut self.look_again);
        let known = self.state.checkpoints.iter();
        let waiting: Vec<(PartNo, bool)> = known
            .filter(|known| !known.stands || (look_again && !known.covers))
            .map(|known| (known.part, known.stands))
            .collect();
        for (part, stands) in waiting {
            match self.is_whole(part)? {
                true if stands => self.cover(part)?,
                true => self.raise(part)?,
                false => {}
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
            if !self.has_key(number)? {
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
        self.cover(part)
    }

    /// Lets a checkpoint that stands cover if nothing that it supersedes decides anything here.
    ///
    /// What was erased after the checkpoint was written is in its snapshot no more. Where its old content was here still,
    /// something older comes up when that goes: the admin who erased it could not name that, for it was superseded there.
    /// It goes with the rest.
    fn cover(&mut self, part: PartNo) -> Result<()> {
        self.settle_late()?;
        let known = self.known(part)?.clone();
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
        let left = self.left_without(&known, &ranges, self.erased_up_to(&fitting))?;
        let covers = left.is_some();
        let mut is_erased = false;
        if let Some(left) = left {
            is_erased = left.len() > 0;
            // Their words go, too.
            self.wipe |= is_erased;
            self.flush(left)?;
        } else {
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
        if is_erased {
            self.sweep_all()?;
        }
        Ok(())
    }

    /// How many changes are erased up to these lines: of at most as many records something may have come up.
    fn erased_up_to(&self, fitting: &[(LogId, Head)]) -> usize {
        let erased = fitting.iter().flat_map(|(log, line)| {
            let places = (*log, 0)..=(*log, line.height);
            self.state.erased.range(places)
        });
        erased.map(|(_, parts)| parts.len()).sum()
    }

    /// Whether every change in a snapshot is erased or decides here what its record is: one that is missing, waits for the
    /// clock, does not count or cannot be read would leave its record without anything.
    fn is_merged(&self, known: &Checkpointed) -> Result<bool> {
        for number in known.ops() {
            let hole = Hole {
                log: known.log,
                seq: place_in_log(number),
            };
            if self.state.holes.contains(&hole) {
                return Ok(false);
            }
            let op = self.file.store.op(number)?;
            let first = op.parts().first().and_then(|first| match first {
                Part::Sealed(sealed) => {
                    let key = PartNo::new(number, 0);
                    self.open_change(op.header(), op.salt(), key, sealed)
                }
                Part::Dropped(_) => None,
            });
            match first {
                Some((_, Change::Snapshot(_))) => {}
                Some((_, Change::Erase(_))) => continue,
                _ => return Ok(false),
            }
            let sealed = op.parts().iter().skip(1);
            let sealed = sealed
                .filter(|part| matches!(part, Part::Sealed(_)))
                .count();
            let copies = self.copies(known, number, &op);
            if copies.len() != sealed {
                return Ok(false);
            }
            for copy in &copies {
                let waits = self.state.ahead.contains(&(copy.at.stamp, copy.key));
                if waits || !self.counts(copy)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The records that depend on parts in `ranges`, as they are without those; `None` if they are more than `most`, or
    /// one is damaged, or the snapshot may hold what takes the place of that.
    fn left_without(
        &self,
        known: &Checkpointed,
        ranges: &[(PartNo, PartNo)],
        most: usize,
    ) -> Result<Option<Stage>> {
        let Some(places) = self.file.store.in_use(ranges, most)? else {
            return Ok(None);
        };
        if !places.is_empty() && !self.is_merged(known)? {
            return Ok(None);
        }
        let mut stage = Stage::default();
        for place in places {
            let found = match self.versions_at(place) {
                Err(VaultError::Damaged(_)) => return Ok(None),
                found => found?,
            };
            let Some(mut versions) = found else {
                continue;
            };
            let Some(id) = versions.first().map(|first| first.change.id.clone()) else {
                continue;
            };
            versions.retain(|version| !is_within(version.key, ranges));
            self.staged_at(&mut stage, place, &id)?.replace(versions);
        }
        Ok(Some(stage))
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

/// Whether a part is in one of these ranges.
pub(crate) fn is_within(part: PartNo, ranges: &[(PartNo, PartNo)]) -> bool {
    let mut ranges = ranges.iter();
    ranges.any(|(first, last)| (*first..=*last).contains(&part))
}
