//! Leaving a space that this device is to keep no more: nothing of it stays here, so that nothing of it has to be erased
//! here later, and its room is free.
//!
//! It leaves when another device that keeps the space says that it holds all of it, content of files too, and has heard of
//! the choice: that one will not leave on account of this device, so what two let go of at the same moment is nowhere
//! lost. A space of which nothing is here yet it leaves at once.
//!
//! The operations and the index go in one transaction, the chunks of files after it, some at a time (see `sweep`). Once the
//! space is kept again everything comes as it does to a new device, and this one goes on in logs of a new incarnation.

use std::collections::BTreeSet;

use twin_identity::id::DeviceId;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::OpStore;

use crate::error::Result;
use crate::index::places;
use crate::items::Page;
use crate::keys::NAME_LEN;
use crate::oplog::{PartNo, log_number, op_number};
use crate::rows::{
    AbsentRow, ChunkRow, CollectionRow, ErasedFileRow, LeftRow, LogRow, Row, ToldRow, UnreadRow,
    collection_key,
};
use crate::store::Store;
use crate::vault::Vault;

/// How many chunks are looked at in one transaction; they go with about 4 MiB.
const CHUNKS: u32 = 64;

impl Store {
    /// Forgets the records of a collection, and what they were.
    fn remove_records(&self, collection: u16) -> Result<()> {
        let range = places(collection);
        self.sql("DELETE FROM rec WHERE k BETWEEN ?1 AND ?2")?
            .execute(range)?;
        self.sql("DELETE FROM past WHERE k BETWEEN ?1 AND ?2")?
            .execute(range)?;
        Ok(())
    }
}

impl Vault {
    /// The spaces that this device is to leave, and has not left.
    pub(crate) fn to_leave(&self) -> BTreeSet<SpaceId> {
        let me = self.device.id();
        let left_out = self.state.unselected.get(&me).into_iter().flatten();
        let still = left_out.filter(|space| !self.state.left.contains_key(space));
        still.copied().collect()
    }

    /// Whether this device keeps a space and all of it is here, as far as anybody can know of it here.
    pub(crate) fn holds_all(&self, space: &SpaceId) -> Result<bool> {
        let me = self.device.id();
        if self.is_left_out(&me, space) || !self.selects(&me, space) {
            return Ok(false);
        }
        let numbers = self.state.logs.values();
        let numbers = numbers.filter(|log| log.origin.space == *space);
        let numbers: BTreeSet<u32> = numbers.map(|log| log.number).collect();
        let of_space = |op: i64| numbers.contains(&log_number(op));
        let mut ahead = self.state.ahead.iter();
        let mut holes = self.holes()?.into_iter();
        let lacks = ahead.any(|(_, part)| of_space(part.op()))
            || holes.any(|hole| self.is_log_of(&hole.log, space));
        let mut holds = !lacks;
        self.file.each_item(|row: Result<UnreadRow>| {
            holds &= !of_space(row?.op);
            Ok(())
        })?;
        self.file.each_item(|row: Result<AbsentRow>| {
            let row = row?;
            holds &= row.space != *space || self.is_row_whole(&row)?;
            Ok(())
        })?;
        Ok(holds)
    }

    fn is_log_of(&self, log: &LogId, space: &SpaceId) -> bool {
        let log = self.state.logs.get(log);
        log.is_some_and(|log| log.origin.space == *space)
    }

    /// Leaves those of these spaces that this device is to leave, now that `device` holds all of them. Inside a transaction.
    pub(crate) fn leave_held(&mut self, device: &DeviceId, held: &[SpaceId]) -> Result<()> {
        for space in self.to_leave() {
            if held.contains(&space)
                && self.others_with(&space).contains(device)
                && self.has_all_of(device, &space)?
            {
                self.leave(&space)?;
            }
        }
        Ok(())
    }

    /// Whether a device is known to have every operation that is here of a space.
    fn has_all_of(&self, device: &DeviceId, space: &SpaceId) -> Result<bool> {
        for (id, log) in &self.state.logs {
            let counted = self.state.counted(&self.file.store, log)?;
            if log.origin.space == *space && self.state.heard.height(device, space, id) < counted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Leaves the spaces of which nothing is here. Inside a transaction.
    pub(crate) fn leave_empty(&mut self) -> Result<()> {
        for space in self.to_leave() {
            let mut logs = self.state.logs.values();
            if !logs.any(|log| log.origin.space == space) && !self.has_chunks(&space)? {
                self.leave(&space)?;
            }
        }
        Ok(())
    }

    fn has_chunks(&self, space: &SpaceId) -> Result<bool> {
        let mut has = false;
        self.file.each_item(|row: Result<ChunkRow>| {
            has |= row?.space == *space;
            Ok(())
        })?;
        Ok(has)
    }

    /// Lets go of all that is here of a space but its keys, and notes that it is left. Inside a transaction.
    fn leave(&mut self, space: &SpaceId) -> Result<()> {
        self.settle_late()?;
        let devices: Vec<DeviceId> = self.state.identity.devices().keys().copied().collect();
        for device in devices {
            self.forget_heard(&device, space)?;
        }
        for (name, number) in self.state.collections.remove(space).unwrap_or_default() {
            self.file.store.remove_records(number)?;
            self.file
                .remove::<CollectionRow>(&collection_key(space, &name))?;
        }
        self.leave_logs(space)?;
        self.state.told.remove(space);
        self.file.remove::<ToldRow>(space.as_bytes())?;
        self.file
            .remove_where::<AbsentRow>(|row| row.space == *space)?;
        self.file
            .remove_where::<ErasedFileRow>(|row| row.space == *space)?;
        self.read_what_counts()?;
        self.clear_search()?;
        self.touch_all();
        self.fetching.mark += 1;
        let left = LeftRow {
            space: *space,
            chunks: true,
        };
        self.file.put(&left)?;
        self.state.left.insert(*space, true);
        (self.gone_to, self.wipe) = (None, true);
        Ok(())
    }

    fn leave_logs(&mut self, space: &SpaceId) -> Result<()> {
        let logs = self.state.logs.iter();
        let logs = logs.filter(|(_, log)| log.origin.space == *space);
        let logs: Vec<_> = logs.map(|(id, log)| (*id, *log)).collect();
        let ops = logs.iter().filter_map(|(_, log)| {
            Some((
                op_number(log.number, 1)?,
                op_number(log.number, log.head.height)?,
            ))
        });
        let ops: Vec<(i64, i64)> = ops.collect();
        let parts = ops.iter().map(|(first, last)| {
            let after = PartNo::new(*last + 1, 0).0;
            (PartNo::new(*first, 0), PartNo(after - 1))
        });
        self.forget_superseded(&parts.collect::<Vec<_>>())?;
        for (first, last) in ops {
            self.file.store.remove_ops(first, last)?;
        }
        let me = self.device.id();
        for (id, log) in logs {
            self.state.logs.remove(&id);
            self.state.grown.remove(&id);
            self.file.remove::<LogRow>(id.as_bytes())?;
            if log.origin.device == me {
                // Others go on having it. Whoever began it anew would fork it.
                self.end_incarnation()?;
            }
        }
        Ok(())
    }

    /// Lets go of those of some chunks that are of spaces which were left: of the next after the name `after`. Returns the
    /// name of the last of them; `None` if there were no more. Inside a transaction.
    fn let_chunks_go(&mut self, after: Option<[u8; NAME_LEN]>) -> Result<Option<[u8; NAME_LEN]>> {
        let page: Page<ChunkRow> = self.file.items_after(after, CHUNKS)?;
        let Some((last, _)) = page.last() else {
            for (space, chunks) in &mut self.state.left {
                *chunks = false;
                self.file.put(&LeftRow {
                    space: *space,
                    chunks: false,
                })?;
            }
            return Ok(None);
        };
        let last = *last;
        for (_, row) in page {
            // A row that is damaged is named by `check`.
            let Ok(row) = row else { continue };
            if self.state.left.contains_key(&row.space) {
                self.file.store.remove_chunk_bytes(row.number)?;
                self.file.remove::<ChunkRow>(&row.natural())?;
                self.wipe = true;
            }
        }
        Ok(Some(last))
    }

    /// Lets go of some of the chunks of spaces that were left, if there may be any: then `true`.
    pub(crate) fn let_some_go(&mut self) -> Result<bool> {
        if !self.state.left.values().any(|chunks| *chunks) {
            return Ok(false);
        }
        let after = self.gone_to;
        self.gone_to = self.write(|vault| vault.let_chunks_go(after))?;
        if self.gone_to.is_none() {
            self.file.store.give_back()?;
        }
        Ok(true)
    }
}
