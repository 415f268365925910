//! Of two histories that a device has written in one log, the one that counts. Once the device is out, its line names it.
//!
//! A replica that holds another one gives it up for the one that ends in the head of the line. What does not reach the
//! line yet can be of either, so it gives way, too; peers send a second history only if the line names it (see
//! [`OpStore::is_settled`]).
//!
//! As long as the device is in, it is itself that says which one it gives up, and writes again what that one said (see
//! `again`). Whoever holds it lets it go once that is here.

use std::collections::BTreeSet;

use twin_identity::log::Counts;
use twin_ops::chain::{Head, verify_run};
use twin_ops::op::{LogId, Op, Origin};
use twin_ops::store::OpStore;

use crate::error::{Result, VaultError};
use crate::oplog::PartNo;
use crate::rows::{AheadRow, ErasureRow, LogRow, UnreadRow};
use crate::state::Log;
use crate::vault::Vault;

const DAMAGED: VaultError = VaultError::Damaged("an operation");

impl Vault {
    /// Makes room for a run of ops that departs from what is here of the log of a device that is out, if that is not the
    /// history that its line names. `true` if anything was given up: the index has to be made anew then. Inside a
    /// transaction.
    pub(crate) fn give_way(&mut self, origin: &Origin, run: &[Op]) -> Result<bool> {
        let id = origin.log_id(self.twin());
        let counts = self.state.identity.counts(&origin.device, id.as_bytes());
        let Some(first) = run.first().map(|op| op.header().seq) else {
            return Ok(false);
        };
        if !matches!(counts, Counts::UpTo(_)) || self.is_settled(&id)? {
            return Ok(false);
        }
        let mut departs = false;
        for op in run {
            let here = self.link_at(&id, op.header().seq)?;
            departs |= here.is_some_and(|here| here != op.link());
        }
        if !departs {
            return Ok(false);
        }
        let height = first.saturating_sub(1);
        let before = self.link_at(&id, height)?;
        let before = before.map(|link| Head { height, link });
        // Nothing gives way to what does not continue what is left, or is not signed.
        if before.is_some() == (height == 0)
            || verify_run(self.twin(), origin, before, run).is_err()
        {
            return Ok(false);
        }
        self.cut_log(&id, before)?;
        Ok(true)
    }

    /// Lets go the branches that other devices have given up, once what they have written again of them is here. Inside a
    /// transaction.
    pub(crate) fn drop_branches(&mut self) -> Result<()> {
        let identity = &self.state.identity;
        let mut devices = identity.devices().keys();
        if !devices.any(|device| identity.given_up(device).next().is_some()) {
            return Ok(());
        }
        let me = self.device.id();
        let mut branches = Vec::new();
        for (id, log) in &self.state.logs {
            // Its own, this device gives up itself.
            if log.origin.device != me
                && let Some(first) = self.state.branch_at(&self.file.store, log)?
                && self.is_written_again(log)?
            {
                branches.push((*id, first - 1));
            }
        }
        for (log, height) in branches {
            let link = self.link_at(&log, height)?;
            self.cut_log(&log, link.map(|link| Head { height, link }))?;
        }
        Ok(())
    }

    /// Whether all is here that its device has written again of the branches of a log that are here.
    pub(crate) fn is_written_again(&self, log: &Log) -> Result<bool> {
        for fork in self.state.forks_here(&self.file.store, log)? {
            let Some(again) = fork.again else { continue };
            let id = LogId::from_bytes(again.log);
            let known = self.state.logs.get(&id);
            let base = known.and_then(|log| log.base);
            let is_superseded = base.is_some_and(|base| base.height >= again.height);
            let link = self.link_at(&id, again.height)?;
            if !is_superseded && link.is_none_or(|link| *link.as_bytes() != again.head) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an op is of a branch that its device has given up.
    pub(crate) fn is_given_up(&self, log: &LogId, seq: u64) -> Result<bool> {
        let Some(known) = self.state.logs.get(log) else {
            return Ok(false);
        };
        let first = self.state.branch_at(&self.file.store, known)?;
        Ok(first.is_some_and(|first| seq >= first))
    }

    /// Forgets the ops of a log after `head`, all of them if there is none.
    pub(crate) fn cut_log(&mut self, id: &LogId, head: Option<Head>) -> Result<()> {
        self.state.forget_ops();
        let log = self.state.logs.get_mut(id);
        let log = log.ok_or(VaultError::Damaged("the table of logs"))?;
        let base = log.base.map_or(0, |base| base.height);
        let after = head.map_or(0, |head| head.height).max(base);
        let mut cut = BTreeSet::new();
        for seq in after + 1..=log.head.height {
            let op = self.file.store.op_at(log.number, seq)?.ok_or(DAMAGED)?;
            self.file.store.remove_op(op)?;
            self.file.remove::<UnreadRow>(&op.to_be_bytes())?;
            cut.insert(op);
        }
        match head {
            Some(head) => {
                log.head = head;
                self.state.grown.insert(*id);
            }
            None => {
                self.state.logs.remove(id);
                self.state.grown.remove(id);
                self.file.remove::<LogRow>(id.as_bytes())?;
            }
        }
        self.file
            .remove_where::<ErasureRow>(|row| cut.contains(&PartNo(row.part).op()))?;
        let waited = |(_, part): &(_, PartNo)| cut.contains(&part.op());
        for (_, part) in self.state.ahead.extract_if(.., waited) {
            self.file.remove::<AheadRow>(&part.0.to_be_bytes())?;
        }
        self.forget_checkpoints(|part| cut.contains(&part.op()))
    }
}
