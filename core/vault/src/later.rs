//! What is not all known yet, and so cannot go: parts of later versions, without a key, ahead of the clock, or missing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::oplog::{PartNo, log_number, op_number, place_in_log};
use crate::rows::{LaterRow, UnreadRow};
use crate::vault::Vault;

impl Vault {
    /// Notes that a later version will make more of a part. Inside a transaction.
    pub(crate) fn note_later(&self, part: PartNo) -> Result<()> {
        self.file.put(&LaterRow { part: part.0 })
    }

    /// Forgets these notes. Inside a transaction.
    pub(crate) fn forget_later(&self) -> Result<()> {
        self.file.remove_where::<LaterRow>(|_| true)
    }

    /// The lowest op of each log that cannot go, by the number of the log: what is in it is not all known yet.
    pub(crate) fn obscure(&self) -> Result<BTreeMap<u32, u64>> {
        let mut lowest: BTreeMap<u32, u64> = BTreeMap::new();
        let mut note = |op: i64| {
            let known = lowest.entry(log_number(op)).or_insert(u64::MAX);
            *known = (*known).min(place_in_log(op));
        };
        let unread = self.file.items::<UnreadRow>()?;
        unread.iter().for_each(|row| note(row.op));
        let later = self.file.items::<LaterRow>()?;
        later.iter().for_each(|row| note(PartNo(row.part).op()));
        self.state
            .ahead
            .iter()
            .for_each(|(_, part)| note(part.op()));
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
