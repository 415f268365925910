//! The table of ops: the truth, sealed once and stored once.
//!
//! An op's number is that of its log and its place there, a part's that of its op and its index, so that a run of ops is
//! a run of rows, and no index is needed. What a row holds: see [`crate::frames`].

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::CachedStatement;
use smallvec::SmallVec;
use twin_identity::aead::Salt;
use twin_ops::op::{Header, Link, Op, Part};

use crate::error::{Result, VaultError};
use crate::frames::{self, Head, Row, is_dropped, pack, read_part, stored};
use crate::store::Store;

/// Bits of a part's number that are its index in its op.
const INDEX_BITS: u32 = 12;
/// The highest index.
const MAX_INDEX: i64 = (1 << INDEX_BITS) - 1;
/// Bits of an op's number that are its place in its log.
const SEQ_BITS: u32 = 37;
/// The highest number of a log: it, a place and an index fit into 63 bits.
pub(crate) const MAX_LOG: u32 = (1 << (63 - SEQ_BITS - INDEX_BITS)) - 1;
/// The highest place in a log: far more than a device writes in a lifetime.
pub(crate) const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;
pub(crate) const DAMAGED: VaultError = VaultError::Damaged("an operation");

/// The number of the op at `seq` of the log with the number `log`; `None` if there can be none.
pub(crate) fn op_number(log: u32, seq: u64) -> Option<i64> {
    let fits = log <= MAX_LOG && seq <= MAX_SEQ;
    fits.then_some((i64::from(log) << SEQ_BITS) | seq.cast_signed())
}

/// The number of the log that an op is in, from the op's.
pub(crate) fn log_number(op: i64) -> u32 {
    u32::try_from(op >> SEQ_BITS).unwrap_or(0)
}

/// The place in its log of an op, from the op's number.
pub(crate) const fn place_in_log(op: i64) -> u64 {
    op.cast_unsigned() & MAX_SEQ
}

/// A part's number: its op's number, then 12 bits of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartNo(pub i64);

impl PartNo {
    /// The part at `index` of an op.
    pub const fn new(op: i64, index: u64) -> Self {
        Self((op << INDEX_BITS) | index.cast_signed())
    }

    /// The op's number.
    pub const fn op(self) -> i64 {
        self.0 >> INDEX_BITS
    }

    /// The index in the op.
    pub const fn index(self) -> u64 {
        (self.0 & MAX_INDEX).cast_unsigned()
    }
}

/// Parts that hold the state of a record: of most records there is one.
pub(crate) type PartNos = SmallVec<[PartNo; 1]>;

/// What of an op it takes to open its parts.
#[derive(Clone)]
pub(crate) struct OpHead {
    pub header: Header,
    pub salt: Salt,
}

impl OpHead {
    /// Of a head as it is stored.
    pub fn of(head: Head<'_>) -> Result<Self> {
        Ok(Self {
            header: minicbor::decode(head.header).map_err(|_| DAMAGED)?,
            salt: *head.salt,
        })
    }
}

/// The heads of ops whose parts were read lately, so that a page of records does not look for each part's op anew.
#[derive(Default)]
pub(crate) struct OpHeads(RefCell<HashMap<i64, Arc<OpHead>>>);

/// How many heads are remembered.
const MAX_HEADS: usize = 1024;

impl OpHeads {
    /// The head of the op with this number.
    pub fn get(&self, store: &Store, number: i64) -> Result<Arc<OpHead>> {
        if let Some(known) = self.0.borrow().get(&number) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(store.head(number)?);
        let mut heads = self.0.borrow_mut();
        if heads.len() >= MAX_HEADS {
            heads.clear();
        }
        heads.insert(number, Arc::clone(&read));
        Ok(read)
    }

    /// Forgets them all, when ops are replaced.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Finds the rows that parts are in, with one statement.
pub(crate) struct RowReader<'s>(CachedStatement<'s>);

impl RowReader<'_> {
    /// Shows the row that a part is in, if there is such a part.
    pub fn with_row<T>(
        &mut self,
        number: PartNo,
        read: impl FnOnce(Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut rows = self.0.query([number.0])?;
        match rows.next()? {
            Some(row) if PartNo(row.get(0)?).op() == number.op() => read(as_row(row)?).map(Some),
            _ => Ok(None),
        }
    }
}

impl Store {
    /// Stores an op as `number` (see [`op_number`]).
    pub fn insert_op(&self, number: i64, op: &Op) -> Result<()> {
        let parts = op.parts().iter().map(stored);
        self.insert_parts(PartNo::new(number, 0), Some(frames::head(op)), parts)
    }

    fn insert_parts<'p>(
        &self,
        first: PartNo,
        head: Option<Head<'_>>,
        parts: impl IntoIterator<Item = &'p [u8]>,
    ) -> Result<()> {
        let mut insert = self.sql("INSERT INTO op (n, v) VALUES (?1, ?2)")?;
        pack(first, head, parts, |number, row| {
            insert.execute((number.0, row))?;
            Ok(())
        })
    }

    /// Puts a part in the place of what is there of it: its content, or the hash that is left of it.
    pub fn replace_part(&self, number: PartNo, part: &Part) -> Result<()> {
        let row = self.with_row(number, |row| Ok((row.number, row.bytes.to_vec())))?;
        let Some((last, bytes)) = row else {
            return Ok(());
        };
        let row = Row::new(last, &bytes)?;
        if row.part(number)?.is_none() {
            return Ok(());
        }
        let head = (row.first.index() == 0).then(|| row.head()).transpose()?;
        let mut parts = row.parts().collect::<Result<Vec<_>>>()?;
        // It is in this row, so its place there is known.
        let place = usize::try_from(number.0 - row.first.0).ok();
        if let Some(old) = place.and_then(|place| parts.get_mut(place)) {
            *old = stored(part);
        }
        self.sql("DELETE FROM op WHERE n = ?1")?.execute([last.0])?;
        // What has grown may need a row more.
        self.insert_parts(row.first, head, parts)
    }

    /// Shows the row that a part is in, if there is such a part.
    pub fn with_row<T>(
        &self,
        number: PartNo,
        read: impl FnOnce(Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.row_reader()?.with_row(number, read)
    }

    /// Reads rows, many after each other.
    pub fn row_reader(&self) -> Result<RowReader<'_>> {
        let sql = "SELECT n, v FROM op WHERE n >= ?1 ORDER BY n LIMIT 1";
        self.sql(sql).map(RowReader)
    }

    /// Shows every row of an op, in their order; those that are missing make it damaged.
    fn each_row(&self, op: i64, mut show: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        let mut statement = self.sql("SELECT n, v FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let mut rows = statement.query(numbers(op))?;
        let mut next = PartNo::new(op, 0);
        while let Some(row) = rows.next()? {
            let row = as_row(row)?;
            if row.first != next || !row.is_whole() {
                return Err(DAMAGED);
            }
            next.0 = row.number.0 + 1;
            show(row)?;
        }
        Ok(())
    }

    /// Shows the head of the op with this number.
    fn with_head<T>(&self, op: i64, read: impl FnOnce(Head<'_>) -> Result<T>) -> Result<T> {
        let head = self.with_row(PartNo::new(op, 0), |row| read(row.head()?))?;
        head.ok_or(DAMAGED)
    }

    /// The indices of the parts of an op whose content is not there.
    pub fn dropped(&self, op: i64) -> Result<Vec<u16>> {
        let mut dropped = Vec::new();
        self.each_row(op, |row| {
            for (index, part) in (row.first.index()..).zip(row.parts()) {
                if is_dropped(part?) {
                    dropped.push(u16::try_from(index).map_err(|_| DAMAGED)?);
                }
            }
            Ok(())
        })?;
        Ok(dropped)
    }

    /// The numbers of all ops that have a part without content.
    pub fn ops_with_holes(&self) -> Result<BTreeSet<i64>> {
        let mut statement = self.sql("SELECT n, v FROM op")?;
        let mut rows = statement.query([])?;
        let mut ops = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let number = PartNo(row.get(0)?);
            // What is damaged is found when it is read.
            if let Ok(row) = Row::new(number, row.get_ref(1)?.as_blob()?)
                && row.parts().any(|part| part.is_ok_and(is_dropped))
            {
                ops.insert(number.op());
            }
        }
        Ok(ops)
    }

    /// Forgets an op and its parts.
    pub fn remove_op(&self, number: i64) -> Result<()> {
        self.sql("DELETE FROM op WHERE n BETWEEN ?1 AND ?2")?
            .execute(numbers(number))?;
        Ok(())
    }

    /// What is there of a part; `None` if there is no such part.
    pub fn part_if_any(&self, number: PartNo) -> Result<Option<Part>> {
        let part = self.with_row(number, |row| Ok(row.part(number)?.map(read_part)))?;
        Ok(part.flatten())
    }

    /// What it takes to open the parts of the op with this number.
    pub fn head(&self, number: i64) -> Result<OpHead> {
        self.with_head(number, OpHead::of)
    }

    /// The op with this number, its parts checked against its header.
    pub fn op(&self, number: i64) -> Result<Op> {
        let mut found = None;
        let mut parts = Vec::new();
        self.each_row(number, |row| {
            if row.first == PartNo::new(number, 0) {
                let head = row.head()?;
                found = Some((head.header.to_vec(), *head.signature, *head.salt));
            }
            read_parts(row, &mut parts)
        })?;
        let (header, signature, salt) = found.ok_or(DAMAGED)?;
        Op::from_stored(header, signature, salt, parts).map_err(|_| DAMAGED)
    }

    /// The parts of the op with this number.
    pub fn parts(&self, op: i64) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        self.each_row(op, |row| read_parts(row, &mut parts))?;
        Ok(parts)
    }

    /// The number of the op at `seq` of a log.
    pub fn op_at(&self, log: u32, seq: u64) -> Result<Option<i64>> {
        let Some(number) = op_number(log, seq) else {
            return Ok(None);
        };
        let there = self
            .sql("SELECT 1 FROM op WHERE n BETWEEN ?1 AND ?2 LIMIT 1")?
            .exists(numbers(number))?;
        Ok(there.then_some(number))
    }

    /// The number of the op stored next after `number`.
    pub fn op_after(&self, number: i64) -> Result<Option<i64>> {
        let (_, last) = numbers(number);
        let mut next = self.sql("SELECT min(n) FROM op WHERE n > ?1")?;
        let next: Option<i64> = next.query_row([last], |row| row.get(0))?;
        Ok(next.map(|next| PartNo(next).op()))
    }

    /// The number of the newest op of a log that is here.
    pub fn last_op(&self, log: u32) -> Result<Option<i64>> {
        let (first, last) = (op_number(log, 0), op_number(log, MAX_SEQ));
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(None);
        };
        let mut newest = self.sql("SELECT max(n) FROM op WHERE n BETWEEN ?1 AND ?2")?;
        let range = (numbers(first).0, numbers(last).1);
        let newest: Option<i64> = newest.query_row(range, |row| row.get(0))?;
        Ok(newest.map(|newest| PartNo(newest).op()))
    }

    /// The header of the op with this number.
    pub fn header(&self, number: i64) -> Result<Header> {
        self.head(number).map(|head| head.header)
    }

    /// Shows the header of every op, in the order of their numbers.
    pub fn each_header(&self, mut show: impl FnMut(&Header) -> Result<()>) -> Result<()> {
        let mut statement = self.sql("SELECT n, v FROM op ORDER BY n")?;
        let mut rows = statement.query([])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let op = PartNo(row.get(0)?).op();
            if last.replace(op) != Some(op) {
                let head = as_row(row)?.head()?;
                show(&minicbor::decode(head.header).map_err(|_| DAMAGED)?)?;
            }
        }
        Ok(())
    }

    /// The link of the op with this number.
    pub fn link(&self, number: i64) -> Result<Link> {
        self.with_head(number, |head| Ok(Link::of(head.header, head.signature)))
    }
}

/// The numbers of the first and the last part that an op can have.
pub(crate) const fn numbers(op: i64) -> (i64, i64) {
    let first = PartNo::new(op, 0).0;
    (first, first | MAX_INDEX)
}

fn read_parts(row: Row<'_>, parts: &mut Vec<Part>) -> Result<()> {
    for part in row.parts() {
        parts.push(read_part(part?));
    }
    Ok(())
}

fn as_row<'r>(row: &'r rusqlite::Row<'_>) -> Result<Row<'r>> {
    Row::new(PartNo(row.get(0)?), row.get_ref(1)?.as_blob()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use twin_identity::device::DeviceKeys;
    use twin_ops::epoch::EpochId;
    use twin_ops::op::{LogId, Place};

    use super::*;
    use crate::Vault;
    use crate::common::{phone, rng};

    /// An op of parts of these lengths.
    fn op(vault: &Vault, seq: u64, lens: &[usize]) -> Op {
        let place = Place {
            log: LogId::from_bytes([3; 32]),
            seq,
            prev: (seq > 1).then(|| Link::from_bytes([4; 32])),
            epoch: EpochId::from_bytes([5; 32]),
        };
        let part = |(index, len): (usize, &usize)| vec![(index % 251) as u8 + seq as u8; *len];
        let parts = lens.iter().enumerate().map(part).collect();
        let device = DeviceKeys::random(&mut rng(1)).unwrap();
        Op::sign(place, [6; 16], parts, vault.twin(), &device).unwrap()
    }

    #[test]
    fn an_op_is_read_as_it_was_stored_and_so_are_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let vault = phone(dir.path());
        let store = &vault.file.store;
        let lens = [
            vec![48],
            vec![300; 1000],
            vec![9000, 48, 20_000, 48],
            vec![48; 4096],
        ];
        let ops: Vec<Op> = (1..)
            .zip(&lens)
            .map(|(seq, lens)| op(&vault, seq, lens))
            .collect();
        let number = |seq: usize| op_number(900, seq as u64).unwrap();
        for (seq, op) in (1..).zip(&ops) {
            store.insert_op(number(seq), op).unwrap();
        }
        for (seq, op) in (1..).zip(&ops) {
            assert_eq!(store.op(number(seq)).unwrap(), *op);
            assert_eq!(store.parts(number(seq)).unwrap(), op.parts());
            assert_eq!(store.link(number(seq)).unwrap(), op.link());
            assert_eq!(store.header(number(seq)).unwrap(), *op.header());
            for (index, part) in (0..).zip(op.parts()) {
                let key = PartNo::new(number(seq), index);
                assert_eq!(store.part_if_any(key).unwrap().as_ref(), Some(part));
            }
            let after = PartNo::new(number(seq), op.parts().len() as u64);
            if after.op() == number(seq) {
                assert_eq!(store.part_if_any(after).unwrap(), None);
            }
            assert_eq!(store.op_at(900, seq as u64).unwrap(), Some(number(seq)));
            let next = (seq < ops.len()).then(|| number(seq + 1));
            assert_eq!(store.op_after(number(seq)).unwrap(), next);
        }
        assert_eq!(store.last_op(900).unwrap(), Some(number(4)));
        assert_eq!(store.last_op(899).unwrap(), None);
        store.remove_op(number(2)).unwrap();
        assert!(store.op(number(2)).is_err() && store.link(number(2)).is_err());
        assert_eq!(
            store.part_if_any(PartNo::new(number(2), 999)).unwrap(),
            None
        );
        assert_eq!(store.op_at(900, 2).unwrap(), None);
        assert_eq!(store.op_after(number(1)).unwrap(), Some(number(3)));
        assert_eq!(store.op(number(1)).unwrap(), ops[0]);
        assert_eq!(store.op(number(3)).unwrap(), ops[2]);
    }

    #[test]
    fn a_row_that_is_missing_makes_the_op_damaged_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let vault = phone(dir.path());
        let store = &vault.file.store;
        let number = op_number(900, 1).unwrap();
        store
            .insert_op(number, &op(&vault, 1, &[300; 100]))
            .unwrap();
        let rows = "SELECT n FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n";
        let mut rows = store.sql(rows).unwrap();
        let rows = rows.query_map(numbers(number), |row| row.get(0)).unwrap();
        let rows: Vec<i64> = rows.map(|row| row.unwrap()).collect();
        assert!(rows.len() > 5);
        for lost in rows {
            store.begin().unwrap();
            store
                .sql("DELETE FROM op WHERE n = ?1")
                .unwrap()
                .execute([lost])
                .unwrap();
            assert!(store.op(number).is_err());
            assert_eq!(store.part_if_any(PartNo(lost)).unwrap(), None);
            store.rollback();
        }
        assert!(store.op(number).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn parts_go_and_come_back_and_no_other_is_touched(
            lens in prop::collection::vec(48usize..3000, 1..40),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..60),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let vault = phone(dir.path());
            let store = &vault.file.store;
            let ops = [1, 2, 3].map(|seq| op(&vault, seq, &lens));
            let number = |seq: u64| op_number(900, seq).unwrap();
            for (seq, op) in (1..).zip(&ops) {
                store.insert_op(number(seq), op).unwrap();
            }
            let mut model = ops[1].clone();
            for (index, goes) in changes {
                let index = index.index(lens.len());
                let whole = &ops[1].parts()[index];
                let part = if goes { Part::Dropped(whole.hash()) } else { whole.clone() };
                store.replace_part(PartNo::new(number(2), index as u64), &part).unwrap();
                let mut parts = model.parts().to_vec();
                parts[index] = part;
                let header = model.header_bytes().to_vec();
                model = Op::from_stored(header, *model.signature(), *model.salt(), parts).unwrap();
                prop_assert_eq!(&store.op(number(2)).unwrap(), &model);
            }
            let dropped = (0u16..).zip(model.parts());
            let dropped = dropped.filter(|(_, part)| matches!(part, Part::Dropped(_)));
            let dropped: Vec<u16> = dropped.map(|(index, _)| index).collect();
            prop_assert_eq!(store.ops_with_holes().unwrap().contains(&number(2)), !dropped.is_empty());
            prop_assert_eq!(store.dropped(number(2)).unwrap(), dropped);
            prop_assert_eq!(&store.op(number(1)).unwrap(), &ops[0]);
            prop_assert_eq!(&store.op(number(3)).unwrap(), &ops[2]);
            // No part of what is not there.
            let nothing = PartNo::new(number(2), lens.len() as u64);
            store.replace_part(nothing, &ops[1].parts()[0]).unwrap();
            prop_assert_eq!(store.op(number(2)).unwrap(), model);
        }
    }
}
