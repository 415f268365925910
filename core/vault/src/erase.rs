//! Erasing: the content of a record goes here and, once they hear of it, on every device.
//!
//! An erasure is written by an admin, as a part of an op in the space ([`Change::Erase`]), and names the parts whose
//! content goes; their hashes stay, so that chains and signatures still verify. It counts as long as its op does. A
//! record that others have changed meanwhile, not knowing, is what those changes make of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::device::Role;
use twin_identity::id::DeviceId;
use twin_ops::change::{Change, Erase, ErasedParts, Stamp};
use twin_ops::file::Root;
use twin_ops::op::{LogId, Op, Part};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::Hole;
use twin_ops::value::{Fields, Value};
use zeroize::Zeroizing;

use crate::change::WriteChange;
use crate::checkpoint::Checkpointed;
use crate::error::{Result, VaultError};
use crate::merge::Version;
use crate::oplog::{OpHead, PartNo, log_number, op_number, place_in_log};
use crate::rows::{AheadRow, ErasureRow, HoleRow, Row};
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

/// A part whose content goes.
struct Dropped {
    key: PartNo,
    /// Its op.
    hole: Hole,
    /// What is left of it.
    left: Part,
    /// When it was made, if it changed a record.
    stamp: Option<Stamp>,
    /// The record that it changed, and the files that it named.
    record: (String, String),
    files: Vec<Root>,
}

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
            self.drop_erased_files(now)?;
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
        self.commit_by(By::Vault, now, rng, space, vec![asking])?;
        Ok(Erasure::Asked)
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
            let mut wanted = Records::from([(collection.to_owned(), id.to_owned())]);
            wanted.extend(vault.requests_for(&space_id, collection, id)?);
            let changes = vault.changes_of(&space_id, &wanted)?;
            // By where they were first written: where else they may be is known everywhere.
            let mut ops: BTreeMap<(LogId, u64), BTreeSet<u16>> = BTreeMap::new();
            for version in changes.values().flatten() {
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
        self.each_found(crate::index::places(number), |_, versions| {
            let versions = versions?;
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

    /// Drops the content of what was erased, and makes of the records what is left of them. Inside a transaction.
    pub(crate) fn erase_noted(&mut self, stage: &mut Stage) -> Result<()> {
        let erasures = std::mem::take(&mut stage.erasures);
        if erasures.is_empty() {
            return Ok(());
        }
        // What is superseded is no longer known by record.
        self.sweep_all()?;
        let mut dropped = Vec::new();
        let mut records: BTreeMap<SpaceId, Records> = BTreeMap::new();
        for (space, erase) in erasures {
            for ErasedParts { log, seq, parts } in erase.ops {
                self.state
                    .erased
                    .entry((log, seq))
                    .or_default()
                    .extend(&parts);
                let records = records.entry(space).or_default();
                dropped.extend(self.to_drop(&space, &log, seq, &parts, records)?);
            }
        }
        self.copies_to_drop(&mut dropped, &mut records)?;
        // As they were, before their content goes.
        for (space, records) in &records {
            for (collection, id) in records {
                let number = self.collection(stage, space, collection)?;
                self.staged(stage, number, id)?;
            }
        }
        for part in dropped {
            self.drop_part(&part)?;
        }
        for (space, records) in records {
            let mut changes = self.changes_of(&space, &records)?;
            for record in records {
                let left = changes.remove(&record).unwrap_or_default();
                let left = self.standing_of(left)?;
                let number = self.collection(stage, &space, &record.0)?;
                self.staged(stage, number, &record.1)?.replace(left);
            }
        }
        Ok(())
    }

    /// Of parts of one op those whose content is here, and the records that they change.
    fn to_drop(
        &self,
        space: &SpaceId,
        log: &LogId,
        seq: u64,
        parts: &[u16],
        records: &mut Records,
    ) -> Result<Vec<Dropped>> {
        let mut dropped = Vec::new();
        let known = self.state.logs.get(log);
        let known = known.filter(|known| known.origin.space == *space);
        let Some(known) = known else {
            return Ok(dropped);
        };
        let Some(number) = self.file.store.op_at(known.number, seq)? else {
            return Ok(dropped);
        };
        let head = self.state.op_heads.get(&self.file.store, number)?;
        for index in parts {
            let key = PartNo::new(number, (*index).into());
            dropped.extend(self.one_to_drop(&head, key, records)?);
        }
        Ok(dropped)
    }

    /// The parts of snapshots that hold what is erased, and the records that they change.
    fn copies_to_drop(
        &self,
        dropped: &mut Vec<Dropped>,
        records: &mut BTreeMap<SpaceId, Records>,
    ) -> Result<()> {
        let ops = self.state.checkpoints.iter();
        for number in ops.flat_map(Checkpointed::ops) {
            let Some(op) = self.op_if_any(number)? else {
                continue;
            };
            let head = OpHead {
                header: op.header().clone(),
                salt: *op.salt(),
            };
            let space = self.space_of(&head.header.log)?;
            let records = records.entry(space).or_default();
            for index in self.erased_copies(number, &op) {
                let key = PartNo::new(number, index.into());
                dropped.extend(self.one_to_drop(&head, key, records)?);
            }
        }
        Ok(())
    }

    /// An op that may be here; `None` as well if it is damaged.
    fn op_if_any(&self, number: i64) -> Result<Option<Op>> {
        let (log, seq) = (log_number(number), place_in_log(number));
        Ok(match self.file.store.op_at(log, seq)? {
            Some(number) => self.file.store.op(number).ok(),
            None => None,
        })
    }

    /// The parts of an op of a snapshot whose changes are erased.
    fn erased_copies(&self, number: i64, op: &Op) -> Vec<u16> {
        if self.state.erased.is_empty() {
            return Vec::new();
        }
        let copies = self.made_before(number, op).into_iter();
        let is_erased = |(_, (log, seq, part)): &(u16, (LogId, u64, u16))| {
            let erased = self.state.erased.get(&(*log, *seq));
            erased.is_some_and(|erased| erased.contains(part))
        };
        copies.filter(is_erased).map(|(index, _)| index).collect()
    }

    /// A part that is to be dropped, if it is there and says nothing of others; and the record that it changes.
    fn one_to_drop(
        &self,
        head: &OpHead,
        key: PartNo,
        records: &mut Records,
    ) -> Result<Option<Dropped>> {
        let Some(part) = self.file.store.part_if_any(key)? else {
            return Ok(None);
        };
        let change = match &part {
            Part::Sealed(sealed) => self.open_change(&head.header, &head.salt, key, sealed),
            // Somebody has sent it without its content before it was known why.
            Part::Dropped(_) => None,
        };
        let (mut record, mut files) = (<(String, String)>::default(), Vec::new());
        let stamp = match change {
            Some((_, change)) if speaks_of_others(&change) => return Ok(None),
            Some((_, Change::Record(change) | Change::Copy(_, change))) => {
                files.extend(change.fields.0.values().filter_map(Root::of));
                record = (change.collection, change.id);
                records.insert(record.clone());
                Some(change.stamp)
            }
            _ => None,
        };
        Ok(Some(Dropped {
            key,
            hole: Hole {
                log: head.header.log,
                seq: head.header.seq,
            },
            left: Part::Dropped(part.hash()),
            stamp,
            record,
            files,
        }))
    }

    fn drop_part(&mut self, part: &Dropped) -> Result<()> {
        let space = self.space_of(&part.hole.log)?;
        for root in &part.files {
            self.note_erased_file(&space, &part.record, root)?;
        }
        if let Some(stamp) = part.stamp
            && self.state.ahead.remove(&(stamp, part.key))
        {
            let row = part.key.0.to_be_bytes();
            self.file.remove::<AheadRow>(&row)?;
        }
        self.file.store.replace_part(part.key, &part.left)?;
        self.wipe = true;
        let Hole { log, seq } = part.hole;
        self.look_for_hole(&log, seq, part.key.op())
    }

    /// Whether content is missing of an op that is here and nobody who may has erased it.
    pub(crate) fn look_for_hole(&mut self, log: &LogId, seq: u64, number: i64) -> Result<()> {
        let missing = self.file.store.dropped(number)?;
        let is_hole = !missing.is_empty() && {
            let erased = self.state.erased.get(&(*log, seq));
            let copies = self.erased_copies(number, &self.file.store.op(number)?);
            let mut missing = missing.iter();
            missing.any(|index| {
                let is_erased = erased.is_some_and(|erased| erased.contains(index));
                !is_erased && !copies.contains(index)
            })
        };
        let hole = Hole { log: *log, seq };
        let row = HoleRow { hole };
        if is_hole && self.state.holes.insert(hole) {
            self.file.put(&row)?;
        } else if !is_hole && self.state.holes.remove(&hole) {
            self.file.remove::<HoleRow>(&row.natural())?;
        }
        Ok(())
    }

    /// The op without the content that is erased already.
    pub(crate) fn without_erased<'o>(&self, number: i64, op: &'o Op) -> Cow<'o, Op> {
        let header = op.header();
        let erased = self.state.erased.get(&(header.log, header.seq));
        let mut erased = erased.cloned().unwrap_or_default();
        erased.extend(self.erased_copies(number, op));
        if erased.is_empty() {
            return Cow::Borrowed(op);
        }
        let mut op = op.clone();
        for index in erased {
            let index = usize::from(index);
            let Some(Part::Sealed(sealed)) = op.parts().get(index) else {
                continue;
            };
            let key = PartNo::new(number, index as u64);
            let change = self.open_change(op.header(), op.salt(), key, sealed);
            if !change.is_some_and(|(_, change)| speaks_of_others(&change)) {
                op.drop_part(index);
            }
        }
        Cow::Owned(op)
    }

    /// What is erased by the ops that count.
    pub(crate) fn read_erased(&self) -> Result<Erased> {
        let mut erased = Erased::new();
        for ErasureRow { part } in self.file.items()? {
            let key = PartNo(part);
            let head = self.state.op_heads.get(&self.file.store, key.op())?;
            let Some(Part::Sealed(sealed)) = self.file.store.part_if_any(key)? else {
                continue;
            };
            let Some((origin, Change::Erase(erase))) =
                self.open_change(&head.header, &head.salt, key, &sealed)
            else {
                continue;
            };
            if self.may_erase(&origin.device)
                && self.is_counted(&head.header.log, head.header.seq)?
            {
                for ErasedParts { log, seq, parts } in erase.ops {
                    erased.entry((log, seq)).or_default().extend(parts);
                }
            }
        }
        Ok(erased)
    }

    /// Finds the holes in what counts anew. Inside a transaction.
    pub(crate) fn find_holes(&mut self) -> Result<()> {
        for hole in std::mem::take(&mut self.state.holes) {
            let row = HoleRow { hole };
            self.file.remove::<HoleRow>(&row.natural())?;
        }
        for number in self.file.store.ops_with_holes()? {
            let head = self.state.op_heads.get(&self.file.store, number)?;
            let (log, seq) = (head.header.log, head.header.seq);
            if self.is_counted(&log, seq)? && seq > self.superseded(&log) {
                self.look_for_hole(&log, seq, number)?;
            }
        }
        Ok(())
    }

    /// All changes of these records that are here, whether they count or not: everything in the space is looked
    /// through, for the index knows only those that decide something.
    fn changes_of(&self, space: &SpaceId, records: &Records) -> Result<Changes> {
        let mut changes = Changes::new();
        if records.is_empty() {
            return Ok(changes);
        }
        let logs = self.state.logs.values();
        for log in logs.filter(|log| log.origin.space == *space) {
            for number in self.numbers(log)? {
                let head = self.file.store.head(number)?;
                for (index, part) in (0..).zip(self.file.store.parts(number)?) {
                    let key = PartNo::new(number, index);
                    let Part::Sealed(sealed) = part else { continue };
                    let change = self.open_change(&head.header, &head.salt, key, &sealed);
                    let version = match change {
                        Some((origin, Change::Record(change))) => {
                            Some(version(&origin, &head.header, key, change))
                        }
                        Some((_, Change::Copy(original, change))) => {
                            self.copy(key, original, change)
                        }
                        _ => None,
                    };
                    let Some(version) = version else { continue };
                    let change = &version.change;
                    let record = (change.collection.clone(), change.id.clone());
                    if records.contains(&record) {
                        changes.entry(record).or_default().push(version);
                    }
                }
            }
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

/// What says why others are missing, or what they are, is not erased.
const fn speaks_of_others(change: &Change) -> bool {
    matches!(
        change,
        Change::Erase(_) | Change::Checkpoint(_) | Change::Snapshot(_)
    )
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
