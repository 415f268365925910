//! What goes when something is erased: parts lose their content, in the op that they were written in and in snapshots; and
//! the holes that are left where nobody has erased anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use twin_ops::change::{Change, ErasedParts, Stamp};
use twin_ops::file::Root;
use twin_ops::op::{LogId, Op, Part};
use twin_ops::space::SpaceId;
use twin_ops::store::Hole;

use super::{Erased, Records};
use crate::checkpoint::Checkpointed;
use crate::error::Result;
use crate::oplog::{OpHead, PartNo, log_number, place_in_log};
use crate::rows::{AheadRow, ErasureRow, HoleRow, Row};
use crate::stage::Stage;
use crate::vault::Vault;

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

impl Vault {
    /// Drops the content of what was erased, and makes of the records what is left of them. Inside a transaction.
    pub(crate) fn erase_noted(&mut self, stage: &mut Stage) -> Result<()> {
        let erasures = std::mem::take(&mut stage.erasures);
        if erasures.is_empty() {
            return Ok(());
        }
        self.look_again = true;
        // What is superseded is no longer known by record.
        stage.unknown_goes |= self.sweep_all()?;
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
            stage.unknown_goes |= part.stamp.is_none();
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

    /// Whether content is missing of an op that is here and nobody who may has erased it. Of an op in an epoch whose key
    /// is not here that cannot be told: a companion carries the space of keys, and reads no erasure there.
    pub(crate) fn look_for_hole(&mut self, log: &LogId, seq: u64, number: i64) -> Result<()> {
        let missing = self.file.store.dropped(number)?;
        let is_hole = !missing.is_empty() && self.has_key(number)? && {
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

    /// Whether the key of the epoch that an op is sealed in is here.
    pub(crate) fn has_key(&self, number: i64) -> Result<bool> {
        let header = self.file.store.header(number)?;
        let space = self.space_of(&header.log)?;
        Ok(self.state.epochs.contains_key(&(space, header.epoch)))
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
}

/// What says why others are missing, or what they are, is not erased.
const fn speaks_of_others(change: &Change) -> bool {
    matches!(
        change,
        Change::Erase(_) | Change::Checkpoint(_) | Change::Snapshot(_)
    )
}
