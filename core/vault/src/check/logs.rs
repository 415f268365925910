//! Whether the operations of a log continue one another.

use twin_identity::id::TwinId;
use twin_ops::chain::{Head, verify_run};
use twin_ops::op::{LogId, Op};
use twin_ops::store::Hole;

use super::{Damage, Report, whole};
use crate::error::Result;
use crate::state::Log;
use crate::store::Store;
use crate::vault::Vault;

/// The operations of a log, one after the other.
pub(super) struct Chain<'c> {
    pub store: &'c Store,
    pub twin: &'c TwinId,
    pub log: &'c Log,
}

impl Chain<'_> {
    /// Shows each operation that is whole with its place and its number, and adds the others to the report. After one that
    /// is damaged the log goes on from what the next one says it continues.
    pub fn follow(
        &self,
        id: &LogId,
        report: &mut Report,
        mut show: impl FnMut(&mut Report, u64, i64, Op) -> Result<()>,
    ) -> Result<()> {
        let end = self.log.head;
        // `None`: damaged.
        let mut head = Some(self.log.base);
        for seq in self.begins() + 1..=end.height {
            let found = self.whole_op(seq, head)?;
            head = found.as_ref().map(|(_, _, next)| *next);
            if let Some((number, op, _)) = found {
                report.ops += 1;
                show(report, seq, number, op)?;
            } else {
                report.add(Damage::Op { log: *id, seq });
            }
        }
        if head.is_some_and(|head| head != Some(end)) {
            let seq = end.height;
            report.add(Damage::Op { log: *id, seq });
        }
        Ok(())
    }

    /// After how many operations the log begins here.
    fn begins(&self) -> u64 {
        self.log.base.map_or(0, |base| base.height)
    }

    /// The operation at `seq` with its number, if it continues the log after `head`; and the head that it makes.
    fn whole_op(
        &self,
        seq: u64,
        head: Option<Option<Head>>,
    ) -> Result<Option<(i64, Op, Option<Head>)>> {
        let Some(number) = self.store.op_at(self.log.number, seq)? else {
            return Ok(None);
        };
        let Some(op) = whole(self.store.op(number))? else {
            return Ok(None);
        };
        let said = || {
            let link = op.header().prev?;
            let height = seq - 1;
            Some(Head { height, link })
        };
        let run = std::slice::from_ref(&op);
        let next = verify_run(self.twin, &self.log.origin, head.unwrap_or_else(said), run);
        Ok(next.ok().map(|next| (number, op, next)))
    }
}

impl Vault {
    pub(super) fn check_log(&self, id: &LogId, log: &Log, report: &mut Report) -> Result<()> {
        // Without the operation that a line names nothing of the log counts; it is missed below.
        let counted = whole(self.state.counted(&self.file.store, log))?.unwrap_or(0);
        let chain = Chain {
            store: &self.file.store,
            twin: self.twin(),
            log,
        };
        let begins = chain.begins();
        if begins > self.superseded(id) {
            report.add(Damage::Missing {
                log: *id,
                seq: begins,
            });
        }
        chain.follow(id, report, |report, seq, number, op| {
            let hole = Hole { log: *id, seq };
            if self.state.holes.contains(&hole) {
                report.of_sync += 1;
                report.add(Damage::Missing { log: *id, seq });
            }
            if seq > counted {
                return Ok(());
            }
            if !self.has_key_or_waits(log, number, op.header().epoch)? {
                report.add(Damage::NoKey { log: *id, seq });
            } else if !self.is_shown(log, number, &op)? {
                report.add(Damage::Unshown { log: *id, seq });
            }
            Ok(())
        })
    }
}
