//! Merging: the changes of a transaction are gathered record by record, then the index is written once, in its order.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use twin_identity::aead::Salt;
use twin_ops::change::{Change, Erase, RecordChange, Stamp};
use twin_ops::op::{Header, LogId, Op, Origin, Part};
use twin_ops::seal::Opener;
use twin_ops::space::SpaceId;

use crate::error::{Result, VaultError};
use crate::frames::{Row, is_dropped};
use crate::index::{collection, next_place};
use crate::late::{Changed, LateRow};
use crate::merge::{Version, Write, settle};
use crate::oplog::{DAMAGED, PartNo, PartNos};
use crate::rows::{AheadRow, ClockRow, CollectionRow, UnreadRow};
use crate::state::Log;
use crate::vault::Vault;

/// How far ahead of the clock a stamp may be, in milliseconds, to be merged.
const LEAD: u64 = 10 * 60 * 1000;
/// From how many parts on several threads read those of an op: opening them is a third of the work of a first sync, and
/// takes longer by then than it takes to wake a thread.
const MANY: usize = 256;
/// How many records are gathered before they are written when there is no end of them.
const BATCH: usize = 4096;

/// The highest stamp that is merged at `now`.
pub(crate) fn horizon(now: u64) -> Stamp {
    #[cfg(twin_break)]
    if twin_identity::broken::is("no_horizon") {
        return Stamp(u64::MAX);
    }
    Stamp::at(now.saturating_add(LEAD))
}

/// The records that a transaction changes, by place.
#[derive(Default)]
pub(crate) struct Stage {
    records: BTreeMap<i64, Staged>,
    /// Erasures that are still to take place, each in its space.
    pub erasures: Vec<(SpaceId, Erase)>,
    /// Whether content goes of which nobody knows any more what record it was of.
    pub unknown_goes: bool,
}

impl Stage {
    /// How many records are on it.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Where the records are that are on it.
    pub fn places(&self) -> impl Iterator<Item = i64> {
        self.records.keys().copied()
    }
}

/// A record as it will be.
pub(crate) struct Staged {
    id: String,
    /// Settled; none if the record is `slim`.
    pub versions: Vec<Version<PartNo>>,
    /// The part that is all there is of the record, which is new. What it says was let go: of most records of a commit or
    /// of a peer's op nobody asks for it again before they are written.
    slim: Option<PartNo>,
    /// Whether it was there before.
    found: bool,
    /// Those that decide nothing any more.
    gone: Vec<PartNo>,
    changed: bool,
    /// Whether other parts hold the same as before.
    moved: bool,
    /// Whether what was known of its past is forgotten.
    anew: bool,
}

impl Staged {
    /// What is there of a record; nobody may be.
    fn new(id: &str, found: Option<Vec<Version<PartNo>>>) -> Self {
        // Where a record was erased there is nobody: others may be behind it.
        let there = found.as_ref().map(|versions| {
            let first = versions.first();
            first.map_or_else(String::new, |first| first.change.id.clone())
        });
        Self {
            id: there.unwrap_or_else(|| id.to_owned()),
            found: found.is_some(),
            versions: found.unwrap_or_default(),
            slim: None,
            gone: Vec::new(),
            changed: false,
            moved: false,
            anew: false,
        }
    }

    /// The record is made of these changes and no others.
    pub fn replace(&mut self, mut versions: Vec<Version<PartNo>>) {
        (self.changed, self.anew) = (true, true);
        let gone = settle(&mut versions).into_iter();
        self.gone = gone.map(|version| version.key).collect();
        self.versions = versions;
    }

    /// Lets go what a new record says, which can be read again from its part.
    pub fn slim_down(&mut self) {
        if let [only] = self.versions.as_slice()
            && !self.found
            && !only.names_file()
        {
            self.slim = Some(only.key);
            self.versions = Vec::new();
        }
    }

    /// The parts that hold its state.
    fn parts(&self) -> PartNos {
        let parts = self.versions.iter().map(|version| version.key);
        self.slim.into_iter().chain(parts).collect()
    }

    /// Adds a change. If it is known already, and the same, it may be kept in another part from now on.
    pub fn merge(
        &mut self,
        version: Version<PartNo>,
        is_better_kept: impl FnOnce(PartNo, PartNo) -> bool,
    ) {
        let mut known = self.versions.iter_mut();
        if let Some(known) = known.find(|known| known.at == version.at) {
            if is_better_kept(version.key, known.key)
                && version.change.to_bytes() == known.change.to_bytes()
            {
                known.key = version.key;
                self.moved = true;
            }
            return;
        }
        self.changed = true;
        #[cfg(twin_break)]
        if twin_identity::broken::is("last_to_arrive_wins") {
            self.versions = vec![version];
            return;
        }
        // Most records have no more than this one, and a vector would make room for four.
        self.versions.reserve_exact(1);
        self.versions.push(version);
        if self.versions.len() > 1 {
            let gone = settle(&mut self.versions);
            self.gone
                .extend(gone.into_iter().map(|version| version.key));
        }
    }
}

/// A record that will be changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought {
    /// Where it is looked for first.
    pub first: i64,
    /// Whether it is not changed once more after this.
    pub last: bool,
}

/// A change to a record, with its place among all.
pub(crate) fn version(
    origin: &Origin,
    header: &Header,
    key: PartNo,
    change: RecordChange,
) -> Version<PartNo> {
    let at = Write {
        stamp: change.stamp,
        device: origin.device,
        log: header.log,
        seq: header.seq,
        index: key.index(),
    };
    Version { at, key, change }
}

/// What a part says that was sealed as this; `None` if it does not open, or cannot be read.
fn read_change(opener: &Opener, key: PartNo, sealed: &[u8]) -> Option<Change> {
    let plaintext = opener.open(key.index(), sealed).ok()?;
    Change::from_bytes(&plaintext).ok()
}

impl Vault {
    /// Puts records on the stage that will all be changed: in the order of the index they are found sooner. Returns where
    /// each is looked for first; `None` for those of collections that nobody has written to.
    pub(crate) fn stage_all<'c>(
        &self,
        stage: &mut Stage,
        space: &SpaceId,
        records: impl Iterator<Item = (&'c str, &'c str)>,
    ) -> Result<Vec<Option<Sought>>> {
        let mut sought = Vec::with_capacity(records.size_hint().0);
        let mut places = Vec::with_capacity(records.size_hint().0);
        for (index, (collection, id)) in records.enumerate() {
            let number = self.state.collection(space, collection);
            let place = number.map(|number| self.file.keys.place(number, id));
            sought.extend(place.map(|place| (place, id, index)));
            places.push(place.map(|first| Sought { first, last: true }));
        }
        sought.sort_unstable();
        let mut finder = self.finder()?;
        let mut before = None;
        for (place, id, index) in sought {
            if let Some((same, earlier)) = before.replace(((place, id), index))
                && same == (place, id)
                && let Some(Some(earlier)) = places.get_mut(earlier)
            {
                earlier.last = false;
            }
            if let Entry::Vacant(free) = stage.records.entry(place) {
                free.insert(Staged::new(id, finder.versions_at(place)?));
            }
        }
        Ok(places)
    }

    /// A record of the collection with this number, on the stage.
    pub(crate) fn staged<'s>(
        &self,
        stage: &'s mut Stage,
        collection: u16,
        id: &str,
    ) -> Result<&'s mut Staged> {
        self.staged_at(stage, self.file.keys.place(collection, id), id)
    }

    /// The same, of the record that is first looked for at `place`.
    pub(crate) fn staged_at<'s>(
        &self,
        stage: &'s mut Stage,
        mut place: i64,
        id: &str,
    ) -> Result<&'s mut Staged> {
        loop {
            if let Entry::Vacant(free) = stage.records.entry(place) {
                free.insert(Staged::new(id, self.versions_at(place)?));
            }
            match stage.records.get(&place) {
                Some(record) if record.id != id => place = next_place(place),
                _ => break,
            }
        }
        let record = stage.records.get_mut(&place);
        let record = record.ok_or(VaultError::Damaged("the index of records"))?;
        if let Some(part) = record.slim.take() {
            record.versions.push(self.stored_version(part)?);
        }
        Ok(record)
    }

    /// The change to a record in a part that is in this row, and was merged before.
    pub(crate) fn version_in(&self, key: PartNo, row: Row<'_>) -> Result<Version<PartNo>> {
        let sealed = row.part(key)?.filter(|part| !is_dropped(part));
        let sealed = sealed.ok_or(DAMAGED)?;
        let op = self.opened_op(key.op(), row)?;
        let read = || {
            let plaintext = op.opener.open(key.index(), sealed).ok()?;
            match Change::from_accepted(&plaintext).ok()? {
                Change::Record(change) => Some(version(&op.origin, &op.header, key, change)),
                Change::Copy(original, change) => self.copy(key, original, change),
                Change::Seen(_)
                | Change::Erase(_)
                | Change::Checkpoint(_)
                | Change::Snapshot(_)
                | Change::Unknown => None,
            }
        };
        read().ok_or(VaultError::Damaged("a record"))
    }

    /// The same, of a part that is read from the file first.
    pub(crate) fn stored_version(&self, key: PartNo) -> Result<Version<PartNo>> {
        let version = self
            .file
            .store
            .with_row(key, |row| self.version_in(key, row))?;
        version.ok_or(DAMAGED)
    }

    /// What a part says, and who says it; `None` if it does not open with the key of its epoch in its space, or cannot
    /// be read.
    pub(crate) fn open_change(
        &self,
        header: &Header,
        salt: &Salt,
        key: PartNo,
        sealed: &[u8],
    ) -> Option<(Origin, Change)> {
        let (origin, opener) = self.opener(header, salt)?;
        Some((origin, read_change(&opener, key, sealed)?))
    }

    /// What opens the parts of an op, and who wrote it; `None` without the key of its epoch in its space.
    pub(crate) fn opener(&self, header: &Header, salt: &Salt) -> Option<(Origin, Opener)> {
        let Header {
            log, seq, epoch, ..
        } = header;
        let origin = self.state.logs.get(log)?.origin;
        let key = &self.state.epochs.get(&(origin.space, *epoch))?.parts;
        Some((origin, Opener::new(key, log, *seq, epoch, salt).ok()?))
    }

    /// The number of a collection, a new one if it has none; what is on the stage keeps its own.
    pub(crate) fn collection(&mut self, stage: &Stage, space: &SpaceId, name: &str) -> Result<u16> {
        if let Some(number) = self.state.collection(space, name) {
            return Ok(number);
        }
        let number = match self.state.next_collection() {
            Some(number) => number,
            None => self.free_collection(stage)?,
        };
        self.file.put(&CollectionRow {
            space: *space,
            name: name.to_owned(),
            number,
        })?;
        let of_space = self.state.collections.entry(*space).or_default();
        of_space.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Merges the parts of an op that is stored as number `op_no`. What cannot be merged yet waits: the whole op for the
    /// key of its epoch, single parts for the clock. Parts that will never make sense (sealed wrongly by their author)
    /// are passed over, on every device alike.
    pub(crate) fn absorb(
        &mut self,
        stage: &mut Stage,
        op_no: i64,
        op: &Op,
        horizon: Stamp,
    ) -> Result<()> {
        let header = op.header();
        let space = self.space_of(&header.log)?;
        if !self.state.epochs.contains_key(&(space, header.epoch)) {
            #[cfg(twin_break)]
            if twin_identity::broken::is("unread_is_forgotten") {
                return Ok(());
            }
            return self.file.put(&UnreadRow { op: op_no });
        }
        let Some((origin, opener)) = self.opener(header, op.salt()) else {
            return Ok(());
        };
        let read = |(index, part): (usize, &Part)| {
            let Part::Sealed(sealed) = part else {
                return None;
            };
            let key = PartNo::new(op_no, index as u64);
            Some((key, read_change(&opener, key, sealed)?))
        };
        let parts = op.parts();
        let changes: Vec<(PartNo, Change)> = if parts.len() < MANY {
            parts.iter().enumerate().filter_map(read).collect()
        } else {
            parts.par_iter().enumerate().filter_map(read).collect()
        };
        let records = changes.iter().filter_map(|(key, change)| match change {
            Change::Record(change) => {
                let merges = self.is_due(change.stamp, *key, horizon);
                merges.then_some((change.collection.as_str(), change.id.as_str()))
            }
            _ => None,
        });
        self.stage_all(stage, &space, records)?;
        for (key, change) in changes {
            match change {
                Change::Record(change) => {
                    if change.is_of_later_version() {
                        self.note_later(key)?;
                    }
                    let version = version(&origin, header, key, change);
                    self.take_version(stage, &space, version, horizon)?;
                }
                Change::Seen(seen) => {
                    self.note_heads(&origin.device, &seen.heads)?;
                    self.note_seen(&origin.device, &space, &seen)?;
                }
                Change::Erase(erase) if self.may_erase(&origin.device) => {
                    self.note_erasure(stage, &space, key, erase)?;
                }
                Change::Checkpoint(said) if self.may_erase(&origin.device) => {
                    self.note_checkpoint(key, &origin, &said)?;
                }
                Change::Unknown => self.note_later(key)?,
                _ => {}
            }
        }
        self.absorb_copies(stage, op_no, op, horizon)
    }

    /// Merges a change, or lets it wait for the clock. Inside a transaction.
    pub(crate) fn take_version(
        &mut self,
        stage: &mut Stage,
        space: &SpaceId,
        version: Version<PartNo>,
        horizon: Stamp,
    ) -> Result<()> {
        if self.is_due(version.at.stamp, version.key, horizon) {
            self.merge(stage, space, version)
        } else if version.at.stamp > horizon {
            self.put_off(&version)
        } else {
            Ok(())
        }
    }

    /// Whether a change in a part is merged when it comes, for it does not wait for the clock.
    fn is_due(&self, stamp: Stamp, key: PartNo, horizon: Stamp) -> bool {
        stamp <= horizon && !self.state.ahead.contains(&(stamp, key))
    }

    /// Whether an op that is here counts: what devices wrote after they were removed or suspended waits aside.
    pub(crate) fn is_counted(&self, log: &LogId, seq: u64) -> Result<bool> {
        let Some(log) = self.state.logs.get(log) else {
            return Ok(false);
        };
        Ok(seq <= self.state.counted(&self.file.store, log)?)
    }

    pub(crate) fn space_of(&self, log: &LogId) -> Result<SpaceId> {
        let log = self.state.logs.get(log);
        let log = log.ok_or(VaultError::Damaged("the table of logs"))?;
        Ok(log.origin.space)
    }

    fn put_off(&mut self, version: &Version<PartNo>) -> Result<()> {
        let (stamp, part) = (version.at.stamp, version.key);
        #[cfg(twin_break)]
        if twin_identity::broken::is("ahead_is_forgotten") {
            return Ok(());
        }
        self.state.ahead.insert((stamp, part));
        self.file.put(&AheadRow {
            part: part.0,
            stamp,
        })
    }

    fn merge(
        &mut self,
        stage: &mut Stage,
        space: &SpaceId,
        version: Version<PartNo>,
    ) -> Result<()> {
        let collection = self.collection(stage, space, &version.change.collection)?;
        self.state.clock = self.state.clock.max(version.at.stamp);
        let record = self.staged(stage, collection, &version.change.id)?;
        record.merge(version, |new, old| self.is_better_kept(new, old));
        record.slim_down();
        Ok(())
    }

    /// Erases what is to be erased and writes the gathered records, where logs end, and the clock.
    pub(crate) fn flush(&mut self, mut stage: Stage) -> Result<()> {
        self.erase_noted(&mut stage)?;
        let records = stage.records.iter().filter(|(_, record)| record.changed);
        self.touch(records.map(|(place, record)| (collection(*place), record.id.as_str())));
        let changed = stage
            .records
            .into_iter()
            .filter(|(_, record)| record.changed || record.moved);
        let changed: Vec<(i64, Staged)> = changed.collect();
        for (place, record) in &changed {
            self.note_files(collection(*place), &record.versions)?;
        }
        let anew = changed.iter().filter(|(_, record)| record.anew);
        let anew: BTreeSet<i64> = anew.map(|(place, _)| *place).collect();
        for place in &anew {
            self.file.forget_past(&mut self.state.late, *place)?;
        }
        let changed: Vec<Changed> = changed
            .into_iter()
            .map(|(place, record)| Changed {
                place,
                parts: record.parts(),
                gone: record.gone,
            })
            .collect();
        let schemas = self.schema_numbers();
        if changed
            .iter()
            .any(|record| schemas.contains(&collection(record.place)))
        {
            self.state.schemas.clear();
        }
        self.save_late(changed)?;
        if self.wipe {
            self.settle_late()?;
            // Words of what is gone are kept there, too.
            if stage.unknown_goes {
                self.clear_search()?;
            } else {
                self.forget_words(&anew)?;
            }
        }
        Ok(())
    }

    /// Writes what has changed since the last time: records, where logs end, the clock. Inside a transaction.
    pub(crate) fn save_late(&mut self, records: Vec<Changed>) -> Result<()> {
        let clock = self.state.clock;
        if records.is_empty() && self.state.grown.is_empty() && clock == self.state.saved_clock {
            return Ok(());
        }
        let grown = self.state.grown.iter();
        let grown = grown.filter_map(|id| self.state.logs.get(id));
        let row = LateRow {
            clock,
            heads: grown.map(|log| (log.number, log.head)).collect(),
            records,
        };
        if !self.file.put_late(&mut self.state.late, row)? {
            return self.settle_late();
        }
        self.state.grown.clear();
        self.state.saved_clock = clock;
        Ok(())
    }

    /// Writes what is late where it belongs. Inside a transaction.
    pub(crate) fn settle_late(&mut self) -> Result<()> {
        self.save_logs()?;
        self.file.settle_late(&mut self.state.late)
    }

    /// Forgets what is late of records. Inside a transaction.
    pub(crate) fn clear_late(&mut self) -> Result<()> {
        self.save_logs()?;
        self.file.clear_late(&mut self.state.late)
    }

    /// Writes the rows of the logs that have grown since what is late was last settled, and that of the clock.
    fn save_logs(&mut self) -> Result<()> {
        for (id, log) in &self.state.logs {
            if self.state.late.head(log.number).is_some() || self.state.grown.contains(id) {
                self.file.put(&log.row(*id))?;
            }
        }
        self.state.grown.clear();
        let last = self.state.clock;
        self.state.saved_clock = last;
        self.file.put(&ClockRow { last })
    }

    /// Merges the parts that are due. Inside a transaction.
    pub(crate) fn merge_due_now(&mut self) -> Result<()> {
        if self.next_due().is_none_or(|due| due > horizon(self.now)) {
            return Ok(());
        }
        // Checkpoints may have waited for that.
        self.look_again = true;
        let mut stage = Stage::default();
        while let Some((stamp, part)) = self.state.ahead.first().copied()
            && stamp <= horizon(self.now)
        {
            self.state.ahead.remove(&(stamp, part));
            let version = match self.stored_version(part) {
                Ok(version) => version,
                Err(VaultError::Damaged(what)) => {
                    // One damaged part must not stop every commit: its row stays, and it is tried again at opening.
                    log::warn!("a part that was due is damaged: {what}");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !self.counts(&version)? {
                continue;
            }
            let space = self.space_of(&version.at.log)?;
            self.merge(&mut stage, &space, version)?;
            self.file.remove::<AheadRow>(&part.0.to_be_bytes())?;
        }
        self.flush(stage)
    }

    /// Merges the ops whose epoch is known by now. Inside a transaction.
    pub(crate) fn absorb_unread(&mut self) -> Result<()> {
        let mut stage = Stage::default();
        for UnreadRow { op: number } in self.file.items()? {
            let op = self.file.store.op(number)?;
            let header = op.header();
            if !self.is_counted(&header.log, header.seq)? {
                continue;
            }
            let epoch = (self.space_of(&op.header().log)?, op.header().epoch);
            if self.state.epochs.contains_key(&epoch) {
                self.file.remove::<UnreadRow>(&number.to_be_bytes())?;
                self.absorb(&mut stage, number, &op, horizon(self.now))?;
                self.look_for_hole(&header.log, header.seq, number)?;
            }
        }
        self.flush(stage)?;
        self.raise_checkpoints()
    }

    /// Makes the index of records anew from the ops. What waits for the clock goes on waiting.
    pub fn rebuild_index(&mut self) -> Result<()> {
        self.write(|vault| {
            vault.check_causes()?;
            vault.rebuild_index_now()
        })?;
        self.left_out.clear();
        Ok(())
    }

    /// That nothing is missing but the index: else what operations say would be gone from sight, and nobody would know.
    fn check_causes(&self) -> Result<()> {
        let named = |log: &Log| self.state.is_named(&log.origin.device);
        if !self.state.logs.values().all(named) {
            return Err(VaultError::Damaged("the identity log"));
        }
        let mut last = 0;
        while let Some(number) = self.file.store.op_after(last)? {
            last = number;
            let header = self.file.store.header(number)?;
            let log = self.state.logs.get(&header.log);
            if let Some(log) = log
                && self.is_counted(&header.log, header.seq)?
                && !self.has_key_or_waits(log, number, header.epoch)?
            {
                return Err(VaultError::Damaged("a key of a space"));
            }
        }
        Ok(())
    }

    /// Makes the index of records anew from the ops that count. Inside a transaction.
    pub(crate) fn rebuild_index_now(&mut self) -> Result<()> {
        self.file.store.clear_index()?;
        self.file.store.clear_past()?;
        self.clear_late()?;
        self.forget_later()?;
        self.read_what_counts()?;
        for known in &mut self.state.checkpoints {
            // Perhaps everything is found in its snapshot now.
            known.stands &= known.kept;
        }
        self.clear_search()?;
        self.touch_all();
        let counted = self.state.all_counted(&self.file.store)?;
        // What waited for its key was never measured by the clock; all else was.
        let unread = self.file.items::<UnreadRow>()?;
        let unread: BTreeSet<i64> = unread.into_iter().map(|row| row.op).collect();
        let mut stage = Stage::default();
        let mut last = 0;
        let mut heights: BTreeMap<LogId, u64> = BTreeMap::new();
        while let Some(number) = self.file.store.op_after(last)? {
            let op = self.file.store.op(number)?;
            let (log, seq) = (op.header().log, op.header().seq);
            last = number;
            if seq <= self.superseded(&log) {
                continue;
            }
            let known = self.state.logs.get(&log).and_then(|log| log.base);
            if known.is_none_or(|base| seq > base.height) {
                *heights.entry(log).or_default() += 1;
            }
            let until = if unread.contains(&number) {
                horizon(self.now)
            } else {
                Stamp(u64::MAX)
            };
            let mut counted = counted.get(&log).into_iter();
            if counted.any(|counted| seq <= *counted) {
                self.absorb(&mut stage, number, &op, until)?;
            } else {
                // Of a checkpoint that counts no more the copies may be all that is left.
                self.absorb_copies(&mut stage, number, &op, until)?;
            }
            if stage.records.len() >= BATCH {
                self.flush(std::mem::take(&mut stage))?;
            }
        }
        // An index made from fewer ops than there were would pass off old content as new.
        let whole = |(id, log): (&LogId, &Log)| {
            let base = log.base.map_or(0, |base| base.height);
            heights.get(id).copied().unwrap_or(0) == log.head.height - base
        };
        if !self.state.logs.iter().all(whole) {
            return Err(VaultError::Damaged("operations are missing"));
        }
        self.flush(stage)?;
        self.find_holes()?;
        self.settle_late()?;
        self.raise_checkpoints()
    }

    /// Writes what is late into the index of records, as happens by itself from time to time.
    pub fn settle_index(&mut self) -> Result<()> {
        self.write(Self::settle_late)
    }
}
