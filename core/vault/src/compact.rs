//! Compaction: an admin says again what still decides something, so that all else may go.
//!
//! What is superseded goes once every device that takes part and keeps the space is known to have it. The lines of logs are drawn as high as
//! that allows, the changes up to them that decide something are written into a snapshot after a checkpoint, and the
//! checkpoint takes effect here as on every device that gets it (see `checkpoint`).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::id::DeviceId;
use twin_ops::chain::Head;
use twin_ops::change::{Change, Erase, ErasedParts};
use twin_ops::checkpoint::{Checkpoint, Line, MAX_LINES, Original, Snapshot};
use twin_ops::op::{LogId, Origin};
use twin_ops::space::{SpaceId, SpaceName};
use zeroize::Zeroizing;

use crate::erase::{Erased, NAMED, PARTS};
use crate::error::{Result, VaultError};
use crate::index::collection;
use crate::oplog::PartNo;
use crate::rows::ErasureRow;
use crate::snapshot::Drawn;
use crate::vault::Vault;

/// What compaction has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// How many ops went.
    pub gone: u64,
    /// How many ops hold the snapshot.
    pub snapshot: u64,
    /// The devices that something waits for.
    pub waiting: Vec<Waiting>,
}

/// A device that is not known to have everything yet: what it lacks stays until it has been met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The device.
    pub device: DeviceId,
    /// When this one last learnt what it has, in milliseconds since the Unix epoch; `None` if it never has.
    pub heard: Option<u64>,
    /// How many ops it is not known to have.
    pub ops: u64,
}

/// What a checkpoint will say.
struct Plan {
    lines: Vec<(LogId, Line)>,
    /// The changes of each op of the snapshot.
    ops: Vec<Vec<(PartNo, Original)>>,
    /// How many ops go.
    gone: u64,
}

/// How far each log of a space may go, and who writes it.
type Lines = BTreeMap<LogId, (Origin, Head)>;

impl Vault {
    /// Lets go of what is superseded in a space, as far as every device has it: history up to there, and what it takes
    /// to keep it. Records stay as they are. Only an admin can; it takes about as long as reading every record, and
    /// one transaction. `now`: milliseconds since the Unix epoch.
    ///
    /// The space of keys is left as it is: devices carry it that cannot read what a checkpoint says.
    ///
    /// # Errors
    /// [`VaultError::MayNotCompact`] if this device is no admin.
    pub fn compact(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
    ) -> Result<Compacted> {
        self.now = now;
        let compacted = self.write(|vault| {
            vault.tell_time()?;
            vault.check_may_write()?;
            if !vault.may_erase(&vault.device.id()) {
                return Err(VaultError::MayNotCompact);
            }
            let id = space.id(vault.twin());
            if !vault.selects(&vault.device.id(), &id) {
                return Ok(Compacted::default());
            }
            // The log that the checkpoint comes into is another than the others.
            vault.settle_incarnation(rng)?;
            let waiting = vault.waiting(&id)?;
            let compacted = vault.compact_now(rng, space)?;
            Ok(Compacted {
                waiting,
                ..compacted
            })
        })?;
        while self.sweep()? {}
        Ok(compacted)
    }

    /// How many ops of a space are here, and how many of them would go if it were compacted now.
    pub fn superseded_ops(&mut self, space: &SpaceName) -> Result<(u64, u64)> {
        self.catch_up()?;
        let space = space.id(self.twin());
        if !self.selects(&self.device.id(), &space) {
            return Ok((0, 0));
        }
        let logs = self.state.logs.values();
        let logs = logs.filter(|log| log.origin.space == space);
        let here = logs.map(|log| log.head.height - log.base.map_or(0, |base| base.height));
        let here = here.sum();
        let goes = self.lines(&space)?.map_or(0, |lines| self.goes(&lines));
        Ok((here, goes))
    }

    fn compact_now(&mut self, rng: &mut impl CryptoRng, space: &SpaceName) -> Result<Compacted> {
        let mut compacted = Compacted::default();
        if *space == SpaceName::keys() {
            return Ok(compacted);
        }
        self.settle_late()?;
        let id = space.id(self.twin());
        let Some(plan) = self.plan(&id)? else {
            return Ok(compacted);
        };
        compacted.gone = plan.gone;
        compacted.snapshot = self.write_checkpoint(plan, rng, space)?;
        self.raise_checkpoints()?;
        Ok(compacted)
    }

    /// What devices that take part and keep a space are not known to have.
    fn waiting(&self, space: &SpaceId) -> Result<Vec<Waiting>> {
        let mut waiting = Vec::new();
        for device in self.others_with(space) {
            let mut ops = 0;
            for (id, log) in &self.state.logs {
                if log.origin.space == *space && log.origin.device != device {
                    let counted = self.state.counted(&self.file.store, log)?;
                    let heard = self.state.heard.height(&device, space, id);
                    ops += counted.saturating_sub(heard);
                }
            }
            if ops > 0 {
                waiting.push(Waiting {
                    device,
                    heard: self.state.heard.last(&device),
                    ops,
                });
            }
        }
        Ok(waiting)
    }

    /// How far each log may go; `None` if not even this device's own may, where the checkpoint is to be: a device that
    /// begins with that has nothing of what is before.
    fn lines(&self, space: &SpaceId) -> Result<Option<Lines>> {
        let obscure = self.obscure()?;
        let others = self.others_with(space);
        let mut lines = Lines::new();
        for (id, log) in &self.state.logs {
            if log.origin.space != *space {
                continue;
            }
            let counted = self.state.counted(&self.file.store, log)?;
            let mut height = counted;
            for device in others.iter().filter(|device| **device != log.origin.device) {
                height = height.min(self.state.heard.height(device, space, id));
            }
            if let Some(lowest) = obscure.get(&log.number) {
                height = height.min(lowest - 1);
            }
            let own =
                (log.origin.device, log.origin.incarnation) == (self.device.id(), self.incarnation);
            if own && height < log.head.height {
                return Ok(None);
            }
            let base = log.base.map_or(0, |base| base.height);
            if base > self.superseded(id) {
                // Its beginning is missing.
                continue;
            }
            height = self.beside_snapshots(id, height).max(base);
            if let Some(link) = self.state.link_at(&self.file.store, id, height)? {
                lines.insert(*id, (log.origin, Head { height, link }));
            }
        }
        Ok(Some(lines))
    }

    fn goes(&self, lines: &Lines) -> u64 {
        let goes = lines.iter().map(|(id, (_, line))| {
            let base = self.state.logs.get(id).and_then(|log| log.base);
            line.height
                .saturating_sub(base.map_or(0, |base| base.height))
        });
        goes.sum()
    }

    /// What a checkpoint is to say; `None` if nothing is gained by it.
    fn plan(&self, space: &SpaceId) -> Result<Option<Plan>> {
        let Some(mut lines) = self.lines(space)? else {
            return Ok(None);
        };
        if lines.len() > MAX_LINES {
            return Err(VaultError::Limit("logs of a checkpoint"));
        }
        loop {
            let gone = self.goes(&lines);
            if gone == 0 {
                return Ok(None);
            }
            let mut sorted: Vec<(LogId, Line)> = lines
                .iter()
                .map(|(id, (origin, head))| (*id, Line::new(origin, *head)))
                .collect();
            sorted.sort_unstable_by(|(_, a), (_, b)| a.order().cmp(&b.order()));
            match self.snapshot(space, &sorted)? {
                Drawn::Ops(ops) => {
                    let erasures = u64::from(!self.state.erased.is_empty());
                    // As many ops as before, and nothing else in them.
                    if gone <= ops.len() as u64 + 1 + erasures && !self.any_past(space)? {
                        return Ok(None);
                    }
                    return Ok(Some(Plan {
                        lines: sorted,
                        ops,
                        gone,
                    }));
                }
                Drawn::TooLarge(log, seq) => {
                    // No device writes one that is so large: it stays where it is, and what follows it.
                    let own = lines
                        .get(&log)
                        .is_some_and(|(origin, _)| origin.device == self.device.id());
                    let link = self.state.link_at(&self.file.store, &log, seq - 1)?;
                    match link.filter(|_| !own) {
                        Some(link) => {
                            let height = seq - 1;
                            if let Some((_, line)) = lines.get_mut(&log) {
                                *line = Head { height, link };
                            }
                        }
                        None if own => return Ok(None),
                        None => drop(lines.remove(&log)),
                    }
                }
            }
        }
    }

    /// Whether anything in a space is superseded.
    fn any_past(&self, space: &SpaceId) -> Result<bool> {
        let collections = self.state.collections.get(space);
        let numbers: BTreeSet<u16> = collections
            .into_iter()
            .flat_map(BTreeMap::values)
            .copied()
            .collect();
        let mut any = false;
        self.all_past(|place, _| {
            any |= numbers.contains(&collection(place));
            Ok(())
        })?;
        Ok(any)
    }

    /// Writes a checkpoint and its snapshot; returns how many ops follow it. Inside a transaction.
    fn write_checkpoint(
        &mut self,
        plan: Plan,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
    ) -> Result<u64> {
        let erased = self.erased_in(&space.id(self.twin()));
        let erasures: Vec<Vec<ErasedParts>> =
            erased.chunks(NAMED * PARTS).map(<[_]>::to_vec).collect();
        let ops = (erasures.len() + plan.ops.len()) as u64;
        let lines = plan.lines.iter().map(|(_, line)| *line).collect();
        let said = Checkpoint::new(lines, ops);
        let said = said.ok_or(VaultError::Limit("operations of a checkpoint"))?;
        let mut draft = self.begin_op(space, rng)?;
        self.tell_seen(&mut draft)?;
        let origin = draft.origin;
        let part = draft.add(Zeroizing::new(Change::Checkpoint(said.clone()).to_bytes()));
        self.finish_op(draft, rng)?;
        self.note_checkpoint(part, &origin, &said)?;
        for named in erasures {
            let mut draft = self.begin_op(space, rng)?;
            for some in named.chunks(NAMED) {
                let erase = Change::Erase(Erase::new(some.to_vec()));
                let part = draft.add(Zeroizing::new(erase.to_bytes()));
                self.file.put(&ErasureRow { part: part.0 })?;
            }
            self.finish_op(draft, rng)?;
        }
        for changes in plan.ops {
            let mut draft = self.begin_op(space, rng)?;
            let originals = changes.iter().map(|(_, original)| *original).collect();
            let snapshot = Change::Snapshot(Snapshot::new(originals));
            draft.add(Zeroizing::new(snapshot.to_bytes()));
            for (key, original) in changes {
                let change = self.stored_version(key)?.change;
                draft.add(Zeroizing::new(Change::Copy(original, change).to_bytes()));
            }
            self.finish_op(draft, rng)?;
        }
        Ok(ops)
    }

    /// All that is erased in a space: some device may still have it in a snapshot of its own.
    fn erased_in(&self, space: &SpaceId) -> Vec<ErasedParts> {
        let erased: &Erased = &self.state.erased;
        let here = |log: &LogId| {
            let log = self.state.logs.get(log);
            log.is_some_and(|log| log.origin.space == *space)
        };
        let erased = erased.iter().filter(|((log, _), _)| here(log));
        let parts = erased.map(|((log, seq), parts)| ErasedParts {
            log: *log,
            seq: *seq,
            parts: parts.iter().copied().collect(),
        });
        parts.collect()
    }
}
