//! The peer's replica beside this one: how much is still to come and to go, and where they differ.

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::grant::GrantId;
use twin_ops::op::LogId;
use twin_ops::store::{LogHead, OpStore};

use super::Peer;
use crate::session::error::SyncError;
use crate::session::{replica, short};

impl Peer {
    /// How many ops the peer has that are to come, and how many it lacks. Nothing before its table has come.
    pub fn remaining<S: OpStore + ?Sized>(&self, store: &S) -> Result<(u64, u64), SyncError> {
        if !self.table {
            return Ok((0, 0));
        }
        let heads = replica::heads(store, &self.apart)?;
        let mut theirs = self.superseded(&store.checkpoints(), &heads);
        let (mut to_take, mut to_give) = (0_u64, 0_u64);
        let in_short = self.in_short.heights.values();
        // A peer may say anything.
        let mut elsewhere = in_short.fold(0_u64, |sum, height| sum.saturating_add(*height));
        for LogHead { log, head } in &heads {
            if let Some(height) = short::height_of(&self.in_short.heights, log) {
                elsewhere = elsewhere.saturating_sub(height);
            }
            let known = theirs.remove(log).unwrap_or(0);
            if !self.passed_over.contains(log) {
                to_take = to_take.saturating_add(known.saturating_sub(head.height));
                to_give = to_give.saturating_add(head.height.saturating_sub(known));
            }
        }
        // Logs of which nothing is here yet.
        theirs.retain(|log, _| !self.passed_over.contains(log));
        let others = theirs.values();
        let others = others.fold(elsewhere, |sum, height| sum.saturating_add(*height));
        Ok((to_take.saturating_add(others), to_give))
    }

    /// How high each log is here, and there by the peer's last table in whole.
    pub fn heights_beside<S: OpStore + ?Sized>(
        &self,
        store: &S,
    ) -> Result<Vec<(LogId, u64, u64)>, SyncError> {
        let heads = replica::heads(store, &self.apart)?;
        let ours: BTreeMap<LogId, u64> = { heads.iter() }
            .map(|row| (row.log, row.head.height))
            .collect();
        let mut logs: BTreeSet<&LogId> = ours.keys().collect();
        for log in self.listed_heights.keys() {
            if replica::is_outside(log, store, &self.apart)? {
                logs.insert(log);
            }
        }
        let height = |of: &BTreeMap<LogId, u64>, log| of.get(log).copied().unwrap_or(0);
        let rows = logs.into_iter().map(|log| {
            let (ours, theirs) = (height(&ours, log), height(&self.listed_heights, log));
            (*log, ours, theirs)
        });
        Ok(rows.collect())
    }

    /// Whether it has listed grants that are not among these, which are sorted.
    pub fn lists_other_grants(&self, ours: &[GrantId]) -> bool {
        let mut listed = self.listed_grants.iter();
        listed.any(|id| ours.binary_search(id).is_err())
    }

    /// Whether it was found to have another history of a log.
    pub fn is_forked(&self, log: &LogId) -> bool {
        self.told.contains(log) && self.passed_over.contains(log)
    }

    /// Whether nothing is taken or sent of a log.
    pub fn is_passed_over(&self, log: &LogId) -> bool {
        self.passed_over.contains(log)
    }
}
