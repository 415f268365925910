//! Taking the ops that others send: each run is verified as a whole, what counts is merged, and the rest waits aside.

use std::collections::BTreeSet;

use twin_identity::id::DeviceId;
use twin_identity::log::Counts;
use twin_identity::sign::Verifier;
use twin_ops::chain::{ChainError, Head, verify_run};
use twin_ops::op::{LogId, Op, OpError, Origin, Part};
use twin_ops::store::{Hole, OpStore, Taken};

use super::DAMAGED;
use crate::error::{Result, VaultError};
use crate::oplog::{MAX_LOG, PartNo, log_number, op_number};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

impl Vault {
    /// Takes ops that another device has sent.
    pub(super) fn take(
        &mut self,
        now: u64,
        origin: &Origin,
        base: Option<Head>,
        run: &[Vec<u8>],
    ) -> Result<Taken> {
        let ops = run
            .iter()
            .map(|bytes| Op::from_bytes(bytes))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        self.now = now;
        let taken = self.write(|vault| {
            vault.tell_time()?;
            if !vault.selects(&vault.device.id(), &origin.space) {
                // Who sends it has not heard of it yet, or carries it for others too.
                return Ok(Taken::default());
            }
            let log = origin.log_id(vault.twin());
            let identity = &vault.state.identity;
            let counts = identity.counts(&origin.device, log.as_bytes());
            // A line holds for a device, too, that whoever drew it took for one that was in.
            if identity.role_once(&origin.device).is_none() && counts == Counts::Nothing {
                return Ok(Taken {
                    early: ops.len(),
                    ..Taken::default()
                });
            }
            let within = vault.within_line(origin, &ops)?;
            let refused = ops.len() - within.len();
            let begins = match base {
                Some(base) => vault.begin_with(origin, base, within)?,
                None => vault.goes_on(&log, within),
            };
            if !begins {
                return Ok(Taken {
                    early: within.len(),
                    refused,
                    ..Taken::default()
                });
            }
            let gave_way = vault.give_way(origin, within)?;
            let taken = vault.take_run(origin, within)?;
            vault.drop_branches()?;
            if gave_way {
                vault.rebuild_index_now()?;
            }
            Ok(Taken { refused, ..taken })
        })?;
        self.try_to_drop_erased_files();
        Ok(taken)
    }

    /// Whether ops come right after what is here of their log, or before: if not, a checkpoint must come first by which
    /// this device can do without those between.
    fn goes_on(&self, log: &LogId, ops: &[Op]) -> bool {
        let height = self.state.logs.get(log).map_or(0, |log| log.head.height);
        let first = ops.first().map(|op| op.header().seq);
        first.is_none_or(|first| first <= height.saturating_add(1))
    }

    /// Verifies ops against their log, stores those that are new and merges them. Inside a transaction.
    fn take_run(&mut self, origin: &Origin, ops: &[Op]) -> Result<Taken> {
        if !self.state.may_write(origin) {
            return Err(VaultError::NotAllowed);
        }
        let id = origin.log_id(self.twin());
        let head = self.state.logs.get(&id).map(|log| log.head);
        let height = head.map_or(0, |head| head.height);
        let (old, new) = ops.split_at(ops.partition_point(|op| op.header().seq <= height));
        self.check_fork(origin, head, old, new)?;
        verify_run(self.twin(), origin, head, new)?;
        let mut stage = Stage::default();
        let mut filled = self.fill_beginning(&mut stage, origin, old)?;
        filled += self.fill(&mut stage, old)?;
        self.look_again |= filled > 0;
        for op in new {
            let seq = op.header().seq;
            let number = self.next_op(origin, &id, seq)?;
            let op = self.without_erased(number, op);
            self.store_op(origin, number, &op)?;
            self.absorb(&mut stage, number, &op, horizon(self.now))?;
            if op
                .parts()
                .iter()
                .any(|part| matches!(part, Part::Dropped(_)))
            {
                self.look_for_hole(&id, seq, number)?;
            }
        }
        self.flush(stage)?;
        self.raise_checkpoints()?;
        Ok(Taken {
            new: new.len() + filled,
            ..Taken::default()
        })
    }

    /// Takes content that is missing here from ops that are here. Returns how many ops had some.
    fn fill(&mut self, stage: &mut Stage, ops: &[Op]) -> Result<usize> {
        let mut filled = 0;
        for op in ops {
            let (log, seq) = (op.header().log, op.header().seq);
            if !self.state.holes.contains(&Hole { log, seq })
                || self.link_at(&log, seq)? != Some(op.link())
            {
                continue;
            }
            let number = self.state.logs.get(&log).map(|log| log.number);
            let number = number.and_then(|log| op_number(log, seq)).ok_or(DAMAGED)?;
            // The header is the one that is here, and names these parts.
            let op = self.without_erased(number, op);
            let mut some = false;
            for index in self.file.store.dropped(number)? {
                if let Some(part @ Part::Sealed(_)) = op.parts().get(usize::from(index)) {
                    let key = PartNo::new(number, index.into());
                    self.file.store.replace_part(key, part)?;
                    some = true;
                }
            }
            if some {
                filled += 1;
                self.absorb(stage, number, &op, horizon(self.now))?;
                self.look_for_hole(&log, seq, number)?;
            }
        }
        Ok(filled)
    }

    /// The ops that may count of a run: of a device that is gone or suspended those up to its line, and only if the op
    /// there is the one that the line names; of others those before a branch that they have given up.
    fn within_line<'o>(&self, origin: &Origin, ops: &'o [Op]) -> Result<&'o [Op]> {
        #[cfg(twin_break)]
        if twin_identity::broken::is("lines_are_ignored") {
            return Ok(ops);
        }
        let id = origin.log_id(self.twin());
        match self.state.identity.counts(&origin.device, id.as_bytes()) {
            Counts::All => {
                let given_up: BTreeSet<(u64, [u8; 32])> = self
                    .state
                    .identity
                    .given_up(&origin.device)
                    .filter(|fork| fork.branch.log == *id.as_bytes())
                    .map(|fork| (fork.branch.height, fork.branch.head))
                    .collect();
                if given_up.is_empty() {
                    return Ok(ops);
                }
                let mut seqs = ops
                    .iter()
                    .map(|op| (op.header().seq, *op.link().as_bytes()));
                let end = seqs.position(|first| given_up.contains(&first));
                Ok(ops.get(..end.unwrap_or(ops.len())).unwrap_or_default())
            }
            Counts::Nothing => Ok(&[]),
            Counts::UpTo(line) => {
                let end = ops.partition_point(|op| op.header().seq <= line.height);
                let within = ops.get(..end).unwrap_or_default();
                match within.last() {
                    Some(last) if last.header().seq == line.height => {
                        if *last.link().as_bytes() == line.head {
                            Ok(within)
                        } else {
                            Err(VaultError::Fork)
                        }
                    }
                    _ => Ok(within),
                }
            }
        }
    }

    /// Tells a device that wrote two histories from one that sends nonsense: both histories are signed.
    fn check_fork(
        &self,
        origin: &Origin,
        head: Option<Head>,
        old: &[Op],
        new: &[Op],
    ) -> Result<()> {
        let id = origin.log_id(self.twin());
        let device = Verifier::new(&origin.device).map_err(OpError::from)?;
        let forked = |op: &Op| match op.verify(&device, self.twin()) {
            Ok(()) if op.header().log == id => Err(VaultError::Fork),
            Ok(()) => Err(ChainError::Broken.into()),
            Err(error) => Err(error.into()),
        };
        // What is superseded here may have been anything.
        if let Some(last) = old.last()
            && let here = self.link_at(&id, last.header().seq)?
            && here != Some(last.link())
            && (here.is_some() || self.is_here(&id, last.header().seq))
        {
            return forked(last);
        }
        if let (Some(first), Some(head)) = (new.first(), head)
            && first.header().seq == head.height + 1
            && first.header().prev != Some(head.link)
        {
            return forked(first);
        }
        Ok(())
    }

    /// Whether the ops of a log are here from this one on.
    fn is_here(&self, log: &LogId, seq: u64) -> bool {
        let base = self.state.logs.get(log).and_then(|log| log.base);
        base.is_none_or(|base| base.height < seq)
    }

    /// The number of a log's op at `seq`, the log's own included if it is new.
    pub(crate) fn next_op(&self, origin: &Origin, id: &LogId, seq: u64) -> Result<i64> {
        let log = match self.state.logs.get(id) {
            Some(log) => log.number,
            None => self.next_log(&origin.device)?,
        };
        op_number(log, seq).ok_or(VaultError::Limit("operations of a log"))
    }

    /// Stores an op that was verified or signed here, as the newest of its log, with its number. Where the log ends is
    /// written with what else the transaction changes. Returns the log's new head.
    pub(crate) fn store_op(&mut self, origin: &Origin, number: i64, op: &Op) -> Result<Head> {
        let header = op.header();
        self.file.store.insert_op(number, op)?;
        let head = Head {
            height: header.seq,
            link: op.link(),
        };
        self.state.grown.insert(header.log);
        if let Some(log) = self.state.logs.get_mut(&header.log) {
            log.head = head;
            return Ok(head);
        }
        let log = Log {
            number: log_number(number),
            origin: *origin,
            head,
            base: None,
        };
        self.state.logs.insert(header.log, log);
        self.file.put(&log.row(header.log))?;
        Ok(head)
    }

    /// Writes the row of a log that begins or ends elsewhere than before, by no op of its own. Inside a transaction.
    pub(crate) fn save_log(&mut self, id: &LogId) -> Result<()> {
        let log = self.state.logs.get(id);
        let log = log.ok_or(VaultError::Damaged("the table of logs"))?;
        self.file.put(&log.row(*id))?;
        // What is late comes before the row.
        self.state.grown.insert(*id);
        self.save_late(Vec::new())
    }

    /// A number that no log has.
    fn next_log(&self, device: &DeviceId) -> Result<u32> {
        const LIMIT: VaultError = VaultError::Limit("logs");
        if !self.has_room_for_log(device) {
            return Err(LIMIT);
        }
        let taken: BTreeSet<u32> = self.state.logs.values().map(|log| log.number).collect();
        let next = taken.last().map_or(1, |last| last + 1);
        if next <= MAX_LOG {
            return Ok(next);
        }
        (1..=MAX_LOG)
            .find(|number| !taken.contains(number))
            .ok_or(LIMIT)
    }
}
