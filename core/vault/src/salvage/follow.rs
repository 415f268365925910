//! Following each log as far as its operations continue it: these are kept, and what is known of the others is set aside.

use std::collections::BTreeMap;

use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::{Counts, IdentityLog};
use twin_ops::chain::{Head, verify_run};
use twin_ops::op::{LogId, Op, Origin};

use super::keep::Keeper;
use super::loss::Loss;
use crate::error::{Result, VaultError};
use crate::oplog::{PartNo, log_number, op_number, place_in_log};
use crate::rows::{AheadRow, CheckpointRow, ErasureRow, HoleRow, LaterRow, LogRow, UnreadRow};
use crate::store::{Sealed, Store};

/// By the number of its log, the first and the last place that is kept.
pub(super) struct Kept(BTreeMap<u32, (u64, u64)>);

impl Kept {
    fn has(&self, op: i64) -> bool {
        let range = self.0.get(&log_number(op));
        range.is_some_and(|(first, last)| (*first..=*last).contains(&place_in_log(op)))
    }
}

impl Keeper {
    /// Follows the logs whose rows are here, and says how far they go.
    pub fn follow(&mut self, twin: &TwinId, own: Option<DeviceId>) -> Result<Kept> {
        let late = self.file.late()?;
        let mut kept = Kept(BTreeMap::new());
        for row in self.file.items::<LogRow>()? {
            let log = Log {
                store: &self.file.store,
                twin,
                origin: &row.origin,
                number: row.number,
            };
            let (head, ops) = log.follow(row.base)?;
            self.saved.ops += ops;
            let newest = self.file.store.newest_begun(row.number)?;
            let newest = newest.map_or(0, place_in_log);
            let told = late.head(row.number).map_or(0, |head| head.height);
            let height = row.height.max(newest).max(told);
            let reached = head.map_or(0, |head| head.height);
            if reached < height {
                self.saved.lost.push(Loss::Ops {
                    log: row.id,
                    by: Some(row.origin.device),
                    own: own == Some(row.origin.device),
                    first: reached + 1,
                    last: height,
                });
            }
            let first = match row.base {
                Some(base) => log.before(base)?,
                None => 1,
            };
            match head {
                Some(Head { height, link }) => {
                    kept.0.insert(row.number, (first, height));
                    self.file.put(&LogRow {
                        height,
                        link,
                        ..row
                    })?;
                }
                None => self.file.remove::<LogRow>(row.id.as_bytes())?,
            }
        }
        Ok(kept)
    }

    /// Moves what is not kept out, and copies what is kept and counts for nobody any more; to `aside` goes what could
    /// count.
    pub fn set_aside(
        &mut self,
        kept: &Kept,
        identity: &IdentityLog,
        origins: &BTreeMap<LogId, Origin>,
        aside: &Store,
    ) -> Result<()> {
        let store = &self.file.store;
        let mut nobodys: BTreeMap<LogId, (u64, u64)> = BTreeMap::new();
        let mut last = 0;
        while let Some(number) = store.op_after(last)? {
            last = number;
            let has = kept.has(number);
            if let Ok(head) = store.head(number) {
                let (log, seq) = (head.header.log, head.header.seq);
                let origin = origins.get(&log);
                if origin.is_none() {
                    let range = nobodys.entry(log).or_insert((seq, seq));
                    *range = (range.0.min(seq), range.1.max(seq));
                }
                if is_rest(identity, origin, &log, seq, has) {
                    store.copy_op(number, aside)?;
                }
            }
            if !has {
                store.remove_op(number)?;
            }
        }
        let lost = nobodys.into_iter().map(|(log, (first, last))| Loss::Ops {
            log,
            by: None,
            own: false,
            first,
            last,
        });
        self.saved.lost.extend(lost);
        forget_rows_of(&self.file, kept)
    }
}

/// Forgets what is noted of operations that are not here any more.
fn forget_rows_of(file: &Sealed, kept: &Kept) -> Result<()> {
    file.remove_all::<HoleRow>()?;
    file.remove_where::<UnreadRow>(|row| !kept.has(row.op))?;
    file.remove_where::<AheadRow>(|row| !kept.has(PartNo(row.part).op()))?;
    file.remove_where::<ErasureRow>(|row| !kept.has(PartNo(row.part).op()))?;
    file.remove_where::<CheckpointRow>(|row| !kept.has(PartNo(row.part).op()))?;
    file.remove_where::<LaterRow>(|row| !kept.has(PartNo(row.part).op()))
}

/// Whether a new vault would not show what an operation says, although nobody has said that it should not count: it does
/// not continue its log, or the entry that names its device is lost.
fn is_rest(
    identity: &IdentityLog,
    origin: Option<&Origin>,
    log: &LogId,
    seq: u64,
    is_kept: bool,
) -> bool {
    let Some(origin) = origin else { return true };
    if identity.role_once(&origin.device).is_none() {
        return true;
    }
    if is_kept {
        return false;
    }
    match identity.counts(&origin.device, log.as_bytes()) {
        Counts::All => true,
        Counts::Nothing => false,
        Counts::UpTo(line) => seq <= line.height,
    }
}

/// A log and the operations that are there of it.
struct Log<'l> {
    store: &'l Store,
    twin: &'l TwinId,
    origin: &'l Origin,
    number: u32,
}

impl Log<'_> {
    /// The head of the operations that continue the log after `base`, and how many there are.
    fn follow(&self, base: Option<Head>) -> Result<(Option<Head>, u64)> {
        let (mut head, mut ops) = (base, 0);
        while let Some(op) = self.op(head.map_or(0, |head| head.height) + 1)? {
            let run = std::slice::from_ref(&op);
            match verify_run(self.twin, self.origin, head, run) {
                Ok(next) => head = next,
                Err(_) => break,
            }
            ops += 1;
        }
        Ok((head, ops))
    }

    /// The first of the operations up to `base` that lead to it without a gap: what is left of what a checkpoint
    /// supersedes, or has been found again.
    fn before(&self, base: Head) -> Result<u64> {
        let mut first = base.height.saturating_add(1);
        let mut link = Some(base.link);
        while let Some(op) = self.op(first - 1)?
            && link == Some(op.link())
        {
            link = op.header().prev;
            first -= 1;
        }
        Ok(first)
    }

    /// An operation that is whole.
    fn op(&self, seq: u64) -> Result<Option<Op>> {
        let Some(number) = op_number(self.number, seq) else {
            return Ok(None);
        };
        match self.store.op(number) {
            Ok(op) => Ok(Some(op)),
            Err(VaultError::Damaged(_)) => self.store.op_alone(number),
            Err(error) => Err(error),
        }
    }
}
