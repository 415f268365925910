//! Erasing: the content of a record goes here and, once they hear of it, on every device.
//!
//! An erasure is written by an admin, as a part of an op in the space ([`Change::Erase`]), and names the parts whose
//! content goes; their hashes stay, so that chains and signatures still verify. It counts as long as its op does. A
//! record that others have changed meanwhile, not knowing, is what those changes make of it.

mod dropped;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rand_core::CryptoRng;
use twin_identity::device::Role;
use twin_identity::id::DeviceId;
use twin_ops::change::{Change, Erase, ErasedParts};
use twin_ops::op::{LogId, Part};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::value::{Fields, Value};
use zeroize::Zeroizing;

use crate::change::WriteChange;
use crate::error::{Result, VaultError};
use crate::merge::Version;
use crate::oplog::{PartNo, log_number, op_number, place_in_log};
use crate::rows::ErasureRow;
use crate::stage::{Stage, version};
use crate::state::Log;
use crate::vault::Vault;
use crate::write::By;

/// Where a member asks for an erasure.
const ASKED: &str = "~erase";
const COLLECTION: &str = "collection";
const ID: &str = "id";
/// How many ops one part of an erasure names, and how many such parts an op has, at most.
pub(crate) const NAMED: usize = 1000;
pub(crate) const PARTS: usize = 16;

/// The parts that are erased, by the log and the place of their op.
pub(crate) type Erased = BTreeMap<(LogId, u64), BTreeSet<u16>>;
/// The changes of records, each in no order.
type Changes = BTreeMap<(String, String), Vec<Version<PartNo>>>;
/// Records of a space, by collection and id.
type Records = BTreeSet<(String, String)>;

/// What became of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// The content is gone here, and goes on every device that hears of it.
    Done,
    /// This device is a companion: an admin has to confirm it by erasing the record there.
    Asked,
    /// No such record, and no trace of one.
    Nothing,
}

/// A member asks that a record be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRequest {
    /// The record's collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Who asks.
    pub by: DeviceId,
    /// When it was asked, in milliseconds since the Unix epoch by the clock of who asks.
    pub at: u64,
}

impl Vault {
    /// Erases a record, its history and its deletion included, and the content of its files unless something else names
    /// it; or asks the admins to if this device is none. `now`: milliseconds since the Unix epoch. It takes as long as
    /// reading everything in the space, twice if it had files.
    ///
    /// What is in operations that are damaged cannot be told to be of the record, and stays: [`Vault::left_out`] counts
    /// them.
    ///
    /// # Errors
    /// If content of files cannot be dropped the record is erased all the same, and [`Vault::tend`] tries again.
    pub fn erase(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        collection: &str,
        id: &str,
    ) -> Result<Erasure> {
        self.catch_up()?;
        if self.state.identity.is_admin(&self.device.id()) {
            let erased = self.erase_now(now, rng, space, collection, id)?;
            // It is erased, whatever the disk has room for now: see [`Vault::is_wiped`].
            self.try_to_drop_erased_files();
            return Ok(erased);
        }
        let record = (collection.to_owned(), id.to_owned());
        let wanted = Records::from([record]);
        let asked = self.erasure_requests(space)?;
        if asked
            .iter()
            .any(|asked| (asked.collection.as_str(), asked.id.as_str()) == (collection, id))
        {
            return Ok(Erasure::Asked);
        }
        if self.changes_of(&space.id(self.twin()), &wanted)?.is_empty() {
            return Ok(Erasure::Nothing);
        }
        let mut name = [0; 16];
        rng.fill_bytes(&mut name);
        let fields = [(COLLECTION, collection), (ID, id)];
        let fields = fields.map(|(field, text)| (field.to_owned(), Value::from(text)));
        let name = format!("{:032x}", u128::from_be_bytes(name));
        let asking = WriteChange::put(ASKED, &name, Fields(fields.into()));
        self.commit_by(By::Vault, now, rng, space, vec![asking], &[])?;
        Ok(Erasure::Asked)
    }

    /// Of how many parts the content is erased by operations that count. Where it is another number than before, copies that
    /// were left elsewhere may hold what is erased since.
    pub fn erased_parts(&self) -> u64 {
        let parts = self.state.erased.values();
        parts
            .map(|parts| u64::try_from(parts.len()).unwrap_or(u64::MAX))
            .sum()
    }

    /// Whether there is an op that erases others behind these heights of the logs; those that `height` says nothing of are
    /// not asked.
    pub fn erases_behind(&self, height: impl Fn(&LogId) -> Option<u64>) -> Result<bool> {
        for ErasureRow { part } in self.file.items()? {
            let head = self
                .state
                .op_heads
                .get(&self.file.store, PartNo(part).op())?;
            if height(&head.header.log).is_some_and(|height| head.header.seq > height) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the content of a part is erased by an operation that counts, and gone here as far as can be told: a copy that
    /// was left elsewhere has it still.
    pub fn is_gone(&self, log: &LogId, seq: u64, part: u16) -> Result<bool> {
        let erased = self.state.erased.get(&(*log, seq));
        if !erased.is_some_and(|parts| parts.contains(&part)) {
            return Ok(false);
        }
        let Some(known) = self.state.logs.get(log) else {
            return Ok(true);
        };
        match self.dropped_of(known, seq) {
            Ok(Some(dropped)) => Ok(dropped.contains(&part)),
            Ok(None) | Err(VaultError::Damaged(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn dropped_of(&self, log: &Log, seq: u64) -> Result<Option<Vec<u16>>> {
        let number = self.file.store.op_at(log.number, seq)?;
        let dropped = number.map(|number| self.file.store.dropped(number));
        dropped.transpose()
    }

    /// Of how many parts the content is erased by operations that count, in the ops at these places of the logs that
    /// `is_log` says; `None` where that says nothing of what they held: some are not here or do not count, as what is
    /// superseded, and so is not named when a record is erased; or a checkpoint is among them, which holds copies of what
    /// other ops had.
    pub fn erased_among(
        &self,
        is_log: impl Fn(&LogId) -> bool,
        seqs: &RangeInclusive<u64>,
    ) -> Option<u64> {
        let logs = || self.state.logs.iter().filter(|(id, _)| is_log(id));
        logs().next()?;
        for (id, log) in logs() {
            let counted = self.state.counted(&self.file.store, log).ok()?;
            let is_here = *seqs.start() > self.superseded(id) && *seqs.end() <= counted;
            let mut checkpoints = self.state.checkpoints.iter();
            let holds_copies = checkpoints.any(|checkpoint| {
                let first = checkpoint.part.op();
                log_number(first) == log.number
                    && place_in_log(first) <= *seqs.end()
                    && checkpoint.last >= *seqs.start()
            });
            if !is_here || holds_copies {
                return None;
            }
        }
        let parts = logs().flat_map(|(id, _)| {
            let places = (*id, *seqs.start())..=(*id, *seqs.end());
            self.state.erased.range(places)
        });
        Some(parts.map(|(_, parts)| parts.len() as u64).sum())
    }

    /// What members ask to be erased in a space.
    pub fn erasure_requests(&mut self, space: &SpaceName) -> Result<Vec<ErasureRequest>> {
        let records = self.list(space, ASKED, None, usize::MAX)?;
        let text = |fields: &Fields, name| match fields.0.get(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let request = |record: crate::Record| {
            Some(ErasureRequest {
                collection: text(&record.fields, COLLECTION)?,
                id: text(&record.fields, ID)?,
                by: record.by,
                at: record.changed.millis(),
            })
        };
        Ok(records.into_iter().filter_map(request).collect())
    }

    fn erase_now(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        collection: &str,
        id: &str,
    ) -> Result<Erasure> {
        self.now = now;
        self.write(|vault| {
            vault.tell_time()?;
            vault.check_may_write()?;
            let space_id = space.id(vault.twin());
            vault.check_selected(&space_id)?;
            let mut wanted = Records::from([(collection.to_owned(), id.to_owned())]);
            wanted.extend(vault.requests_for(&space_id, collection, id)?);
            let changes = vault.changes_of(&space_id, &wanted)?;
            // By where they were first written: where else they may be is known everywhere.
            let mut ops: BTreeMap<(LogId, u64), BTreeSet<u16>> = BTreeMap::new();
            for version in changes.values().flatten() {
                // Elsewhere there is something else in its place, and it goes when its branch does.
                if vault.is_given_up(&version.at.log, version.at.seq)? {
                    continue;
                }
                let parts = ops.entry((version.at.log, version.at.seq)).or_default();
                // A part's index has 12 bits.
                parts.insert(u16::try_from(version.at.index).unwrap_or(u16::MAX));
            }
            if ops.is_empty() {
                return Ok(Erasure::Nothing);
            }
            let ops: Vec<ErasedParts> = ops
                .into_iter()
                .map(|((log, seq), parts)| ErasedParts {
                    log,
                    seq,
                    parts: parts.into_iter().collect(),
                })
                .collect();
            for some in ops.chunks(NAMED * PARTS) {
                let mut stage = Stage::default();
                let mut draft = vault.begin_op(space, rng)?;
                for named in some.chunks(NAMED) {
                    let erase = Erase::new(named.to_vec());
                    let key = draft.add(Zeroizing::new(Change::Erase(erase.clone()).to_bytes()));
                    vault.note_erasure(&mut stage, &space_id, key, erase)?;
                }
                vault.finish_op(draft, rng)?;
                vault.flush(stage)?;
            }
            Ok(Erasure::Done)
        })
    }

    /// The records that ask for the erasure of this one.
    fn requests_for(&self, space: &SpaceId, collection: &str, id: &str) -> Result<Records> {
        let mut requests = Records::new();
        let Some(number) = self.state.collection(space, ASKED) else {
            return Ok(requests);
        };
        self.each_found(crate::index::places(number), |place, versions| {
            let versions = self.left_out.unless_damaged(place, versions)?;
            let versions = versions.unwrap_or_default();
            let is = |name, text: &str| {
                let mut fields = versions.iter().map(|version| &version.change.fields.0);
                fields.any(|fields| fields.get(name) == Some(&Value::from(text)))
            };
            if let Some(first) = versions.first()
                && is(COLLECTION, collection)
                && is(ID, id)
            {
                requests.insert((ASKED.to_owned(), first.change.id.clone()));
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(requests)
    }

    /// Takes note of an erasure that counts, in the part `key`; it takes place when the stage is written.
    pub(crate) fn note_erasure(
        &mut self,
        stage: &mut Stage,
        space: &SpaceId,
        key: PartNo,
        erase: Erase,
    ) -> Result<()> {
        self.file.put(&ErasureRow { part: key.0 })?;
        stage.erasures.push((*space, erase));
        Ok(())
    }

    /// Whether a device may erase.
    pub(crate) fn may_erase(&self, device: &DeviceId) -> bool {
        self.state.identity.role_once(device) == Some(Role::Admin)
    }

    /// All changes of these records that are here, whether they count or not: everything in the space is looked
    /// through, for the index knows only those that decide something. Operations that are damaged are left out.
    fn changes_of(&self, space: &SpaceId, records: &Records) -> Result<Changes> {
        let mut changes = Changes::new();
        if records.is_empty() {
            return Ok(changes);
        }
        let logs = self.state.logs.values();
        for log in logs.filter(|log| log.origin.space == *space) {
            for number in self.numbers(log)? {
                let found = self.changes_in(log, number, records);
                let found = self.left_out.unless_damaged(number, found)?;
                for version in found.unwrap_or_default() {
                    let change = &version.change;
                    let record = (change.collection.clone(), change.id.clone());
                    changes.entry(record).or_default().push(version);
                }
            }
        }
        Ok(changes)
    }

    /// The changes of these records in the op with this number.
    fn changes_in(
        &self,
        log: &Log,
        number: i64,
        records: &Records,
    ) -> Result<Vec<Version<PartNo>>> {
        let mut changes = Vec::new();
        let mut all_open = true;
        let head = self.file.store.head(number)?;
        for (index, part) in (0..).zip(self.file.store.parts(number)?) {
            let key = PartNo::new(number, index);
            let Part::Sealed(sealed) = part else { continue };
            let change = self.open_change(&head.header, &head.salt, key, &sealed);
            let version = match change {
                Some((origin, Change::Record(change))) => {
                    Some(version(&origin, &head.header, key, change))
                }
                Some((_, Change::Copy(original, change))) => self.copy(key, original, change),
                Some(_) => None,
                None => {
                    all_open = false;
                    None
                }
            };
            changes.extend(version.filter(|version| {
                let change = &version.change;
                records.contains(&(change.collection.clone(), change.id.clone()))
            }));
        }
        // What does not open is of a later version, or lacks its key, or is not what was signed.
        if !all_open && log.head_at(&self.file.store, number, self.twin()).is_none() {
            self.left_out.add(number);
        }
        Ok(changes)
    }

    /// The numbers of the ops of a log that are of use here.
    fn numbers(&self, log: &Log) -> Result<Vec<i64>> {
        let base = log.base.map_or(0, |base| base.height);
        let mut numbers = Vec::new();
        let (first, end) = (op_number(log.number, 0), op_number(log.number, base));
        let (mut last, end) = (first.unwrap_or(0), end.unwrap_or(0));
        while let Some(next) = self.file.store.op_after(last)?
            && next <= end
        {
            numbers.push(next);
            last = next;
        }
        for seq in base + 1..=log.head.height {
            let number = self.file.store.op_at(log.number, seq)?;
            numbers.push(number.ok_or(VaultError::Damaged("an operation"))?);
        }
        Ok(numbers)
    }

    /// Those of a record's changes that count now.
    fn standing_of(&self, changes: Vec<Version<PartNo>>) -> Result<Vec<Version<PartNo>>> {
        let mut standing = Vec::with_capacity(changes.len());
        for change in changes {
            let waits = self.state.ahead.contains(&(change.at.stamp, change.key));
            if !waits && self.counts(&change)? {
                standing.push(change);
            }
        }
        Ok(standing)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tempfile::tempdir;
    use twin_ops::store::OpStore;

    use super::*;
    use crate::common::{MINUTE, NOON, linked, phone, put, records, rng, send, space};

    #[test]
    fn what_a_companion_erases_stays_with_the_others() {
        let dirs = [tempdir().unwrap(), tempdir().unwrap()];
        let mut phone = phone(dirs[0].path());
        let mut laptop = linked(dirs[1].path(), &mut phone, 10, Role::Member);
        put(&mut phone, NOON, "c", "r", &[("a", "one")]);
        send(&phone, &mut laptop, NOON);
        // A device that does not keep to the rules.
        let home = space("home");
        laptop
            .erase_now(NOON, &mut rng(1), &home, "c", "r")
            .unwrap();
        assert!(records(&mut laptop, "c").is_empty());
        send(&laptop, &mut phone, NOON + MINUTE);
        assert_eq!(records(&mut phone, "c").len(), 1);
        assert!(phone.holes().unwrap().is_empty());
        phone.rebuild_index().unwrap();
        assert_eq!(records(&mut phone, "c").len(), 1);
        // It counts for nobody, so the content is missing there and comes back.
        laptop.rebuild_index().unwrap();
        let [hole] = laptop.holes().unwrap().try_into().unwrap();
        let origin = phone.origin(&hole.log).unwrap().unwrap();
        let run = phone.read_run(&hole.log, hole.seq - 1, 0).unwrap();
        laptop.append_run(NOON, &origin, &run).unwrap();
        assert_eq!(records(&mut laptop, "c"), records(&mut phone, "c"));
    }
}
