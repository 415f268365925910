//! Logs that do not begin with their first op: because a checkpoint says so, or because what is before is missing.
//!
//! If a checkpoint counts no more, what went by it is missing. It is asked for from the end: what comes after each op
//! names it by its link.

use twin_ops::chain::{Head, verify_run};
use twin_ops::change::Change;
use twin_ops::op::{LogId, Op, Origin, Part};
use twin_ops::store::Hole;

use crate::error::Result;
use crate::oplog::{PartNo, log_number};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

/// How many of the ops that a log begins after are asked for at once if they should be here.
const ASKED: u64 = 64;

impl Vault {
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
}
