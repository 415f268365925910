//! The vault as sync sees it: what it holds for other devices, and how it takes over what they send.
//!
//! What is read is as of the last call that wrote, or [`Vault::changed_elsewhere`].

use std::collections::BTreeSet;

use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_identity::log::{Counts, IdentityLog, LogError};
use twin_identity::secret::Secret;
use twin_identity::sign::{Signature, Use, Verifier};
use twin_ops::chain::{ChainError, Head, verify_run};
use twin_ops::epoch::DiscoveryKey;
use twin_ops::grant::GrantId;
use twin_ops::op::{Link, LogId, Op, OpError, Origin, Part};
use twin_ops::space::SpaceName;
use twin_ops::store::{ChunkName, Hole, LogHead, OpStore, Sought, Standing, Taken, Want};

use crate::error::{Result, VaultError};
use crate::files::Look;
use crate::oplog::{MAX_LOG, PartNo, log_number, op_number};
use crate::rows::GrantRow;
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

const DAMAGED: VaultError = VaultError::Damaged("an operation");

impl OpStore for Vault {
    type Error = VaultError;
    type Look = Look;

    fn is_refusal(error: &VaultError) -> bool {
        matches!(
            error,
            VaultError::Fork
                | VaultError::Limit(_)
                // Who may write where can be known here and not yet there, or the other way round.
                | VaultError::NotAllowed
                | VaultError::Op(OpError::Newer)
                | VaultError::Chain(ChainError::Op(OpError::Newer))
        )
    }

    fn identity(&self) -> &IdentityLog {
        &self.state.identity
    }

    fn admits(&self, device: &DeviceId) -> bool {
        self.state.identity.is_active(device, self.now)
    }

    fn discovery_key(&self) -> Option<&DiscoveryKey> {
        self.state.discovery.as_ref()
    }

    fn shared_secret(&self, other: &DeviceId) -> Option<Secret<32>> {
        self.device.shared(other)
    }

    fn sign_session(&self, transcript: &[u8; 32]) -> Signature {
        self.device.sign(Use::Session, self.twin(), transcript)
    }

    fn device(&self) -> DeviceId {
        self.device.id()
    }

    fn add_entries(&mut self, now: u64, entries: &[Vec<u8>]) -> Result<Taken> {
        let mut waiting = entries
            .iter()
            .map(|bytes| Entry::from_bytes(bytes))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        self.now = now;
        self.write(|vault| {
            vault.change_identity(|vault| {
                let mut taken = Taken::default();
                // Entries may come before those that they build on: again, until nothing more fits.
                loop {
                    let before = taken.new;
                    let mut early = Vec::new();
                    for entry in waiting {
                        match vault.take_entry(entry.clone()) {
                            Ok(new) => taken.new += usize::from(new),
                            Err(VaultError::Identity(LogError::MissingPrev)) => early.push(entry),
                            // An honest peer may hold it all the same, and everything else of it is welcome.
                            Err(VaultError::Identity(
                                LogError::Limit | LogError::Rule | LogError::NotAllowed,
                            )) => taken.refused += 1,
                            Err(error) => return Err(error),
                        }
                    }
                    waiting = early;
                    if waiting.is_empty() || taken.new == before {
                        break;
                    }
                }
                taken.early = waiting.len();
                Ok(taken)
            })
        })
    }

    fn grants(&self) -> Result<Vec<GrantId>> {
        Ok(self.state.standing().map(|(id, _)| *id).collect())
    }

    fn grant(&self, id: &GrantId) -> Result<Option<Vec<u8>>> {
        let row: Option<GrantRow> = self.file.item(id.as_bytes())?;
        Ok(row.map(|row| row.grant))
    }

    fn add_grants(&mut self, grants: &[Vec<u8>]) -> Result<Taken> {
        self.write(|vault| vault.take_grants(grants))
    }

    fn wants(&self) -> Result<Vec<Want>> {
        self.wanted_keys()
    }

    fn asked(&mut self, device: &DeviceId, wants: &[Want]) {
        self.note_wants(device, wants);
    }

    fn heads(&self) -> Result<Vec<LogHead>> {
        let mut heads = Vec::with_capacity(self.state.logs.len());
        for (id, log) in &self.state.logs {
            let head = match self.state.counted(&self.file.store, log)? {
                0 => continue,
                height if height == log.head.height => log.head,
                height => Head {
                    height,
                    link: self.link_at(id, height)?.ok_or(DAMAGED)?,
                },
            };
            heads.push(LogHead { log: *id, head });
        }
        Ok(heads)
    }

    fn origin(&self, log: &LogId) -> Result<Option<Origin>> {
        Ok(self.state.logs.get(log).map(|log| log.origin))
    }

    fn link_at(&self, log: &LogId, seq: u64) -> Result<Option<Link>> {
        self.state.link_at(&self.file.store, log, seq)
    }

    fn base(&self, log: &LogId) -> Result<Option<Head>> {
        Ok(self.state.logs.get(log).and_then(|log| log.base))
    }

    fn checkpoints(&self) -> Vec<Standing> {
        self.covering()
    }

    fn in_sync(&mut self, now: u64, device: &DeviceId) {
        if let Err(error) = self.note_in_sync(now, device) {
            log::warn!("what a device has could not be noted: {error}");
        }
    }

    fn is_settled(&self, log: &LogId) -> Result<bool> {
        let Some(known) = self.state.logs.get(log) else {
            return Ok(false);
        };
        let counts = self
            .state
            .identity
            .counts(&known.origin.device, log.as_bytes());
        match counts {
            Counts::UpTo(line) => {
                let link = self.link_at(log, line.height)?;
                Ok(link.is_some_and(|link| *link.as_bytes() == line.head))
            }
            Counts::All | Counts::Nothing => Ok(false),
        }
    }

    fn read_run(&self, log: &LogId, after: u64, budget: usize) -> Result<Vec<Vec<u8>>> {
        let Some(known) = self.state.logs.get(log) else {
            return Ok(Vec::new());
        };
        if known.base.is_some_and(|base| base.height > after) {
            return Ok(Vec::new());
        }
        let counted = self.state.counted(&self.file.store, known)?;
        let mut run = Vec::new();
        let (mut len, mut prev) = (0, None);
        for seq in after.saturating_add(1)..=counted {
            let number = self.file.store.op_at(known.number, seq)?.ok_or(DAMAGED)?;
            let op = self.file.store.op(number)?;
            // The op that no longer fits still vouches for the last that does.
            let header = op.header();
            if (header.log, header.seq) != (*log, seq) || (prev.is_some() && header.prev != prev) {
                return Err(DAMAGED);
            }
            let bytes = op.to_bytes();
            len += bytes.len();
            if len > budget && !run.is_empty() {
                return Ok(run);
            }
            run.push(bytes);
            prev = Some(op.link());
        }
        if counted == known.head.height && prev.is_some_and(|link| link != known.head.link) {
            return Err(DAMAGED);
        }
        Ok(run)
    }

    fn holes(&self) -> Result<Vec<Hole>> {
        let mut holes = Vec::new();
        for hole in &self.state.holes {
            if self.is_counted(&hole.log, hole.seq)? {
                holes.push(*hole);
            }
        }
        for hole in self.missing_beginnings() {
            if self.is_counted(&hole.log, hole.seq)? {
                holes.push(hole);
            }
        }
        holes.sort_unstable();
        Ok(holes)
    }

    fn append_run(&mut self, now: u64, origin: &Origin, run: &[Vec<u8>]) -> Result<Taken> {
        self.take(now, origin, None, run)
    }

    fn append_from(
        &mut self,
        now: u64,
        origin: &Origin,
        base: Head,
        run: &[Vec<u8>],
    ) -> Result<Taken> {
        self.take(now, origin, Some(base), run)
    }

    fn wanting(&self) -> u64 {
        self.fetching.mark
    }

    fn seek_chunks(
        &mut self,
        now: u64,
        look: &mut Look,
        peer: &DeviceId,
        limit: usize,
    ) -> Result<Sought> {
        self.look_on(now, look, peer, limit)
    }

    fn chunk(&self, peer: &DeviceId, name: &ChunkName) -> Result<Option<Vec<u8>>> {
        self.chunk_for(peer, name)
    }

    fn add_chunks(
        &mut self,
        now: u64,
        answers: Vec<(ChunkName, Option<Vec<u8>>)>,
    ) -> Result<usize> {
        self.take_answers(now, answers)
    }
}

impl Vault {
    fn take(
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
            if gave_way {
                vault.rebuild_index_now()?;
            }
            Ok(Taken { refused, ..taken })
        })?;
        self.try_to_drop_erased_files(now);
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
        if !self.may_write(origin) {
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
    /// there is the one that the line names.
    fn within_line<'o>(&self, origin: &Origin, ops: &'o [Op]) -> Result<&'o [Op]> {
        #[cfg(twin_break)]
        if twin_identity::broken::is("lines_are_ignored") {
            return Ok(ops);
        }
        let id = origin.log_id(self.twin());
        match self.state.identity.counts(&origin.device, id.as_bytes()) {
            Counts::All => Ok(ops),
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

    /// Only admins write to their space.
    fn may_write(&self, origin: &Origin) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("anyone_writes_to_keys") {
            return true;
        }
        let keys = SpaceName::keys().id(self.twin());
        origin.space != keys || self.state.identity.role_once(&origin.device) == Some(Role::Admin)
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
