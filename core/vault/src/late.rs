//! What is still to be written into the index of records.
//!
//! Places in the index are random, so that each record of a commit would write a page of its own. Each commit appends
//! one row to the table `late` instead, and every [`MAX_LATE`] records they go into the index together, in its order.
//! Until then every process has them in memory, and they come before what the index says. The parts that no longer hold
//! a record's state go the same way, into the table `past`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::error::{Result, VaultError};
use crate::index::packed;
use crate::oplog::PartNo;
use crate::store::Sealed;

/// How many records are kept back, at most; a row has no more.
const MAX_LATE: usize = 4096;

const DAMAGED: VaultError = VaultError::Damaged("the index of records");

/// What a commit has made of the record at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub place: i64,
    /// The parts that hold its state.
    pub parts: Vec<PartNo>,
    /// Those that no longer do.
    pub gone: Vec<PartNo>,
}

/// Records that are not in the index yet, or are there as they were: by place, the parts that hold their state.
#[derive(Debug, Default)]
pub(crate) struct Late {
    records: BTreeMap<i64, One>,
    /// What is still to be written into the table of past parts: place and part.
    past: BTreeSet<(i64, PartNo)>,
    /// The newest row.
    last: i64,
    /// The rows that are damaged: without them nobody can say what any record is.
    pub damaged: Vec<i64>,
}

/// A late record.
#[derive(Debug)]
struct One {
    /// The newest row that it is in.
    row: i64,
    parts: Vec<PartNo>,
}

impl Late {
    /// The record at `place`, if it is late.
    pub fn get(&self, place: i64) -> Result<Option<&[PartNo]>> {
        self.check()?;
        Ok(self.records.get(&place).map(|one| one.parts.as_slice()))
    }

    /// The late records at these places, in their order.
    pub fn range(
        &self,
        places: RangeInclusive<i64>,
    ) -> Result<impl Iterator<Item = (i64, &[PartNo])>> {
        self.check()?;
        let records = self.records.range(places);
        Ok(records.map(|(place, one)| (*place, one.parts.as_slice())))
    }

    /// Where records are that came after this row.
    pub fn after(&self, row: i64) -> Result<impl Iterator<Item = i64>> {
        self.check()?;
        let records = self.records.iter();
        let after = records.filter(move |(_, one)| one.row > row);
        Ok(after.map(|(place, _)| *place))
    }

    /// The newest row.
    pub const fn last(&self) -> i64 {
        self.last
    }

    /// Where late records are.
    pub fn places(&self) -> impl Iterator<Item = i64> {
        self.records.keys().copied()
    }

    /// The late past parts of the record at `place`.
    pub fn past(&self, place: i64) -> Result<impl Iterator<Item = PartNo>> {
        self.check()?;
        let (first, last) = (PartNo(i64::MIN), PartNo(i64::MAX));
        let past = self.past.range((place, first)..=(place, last));
        Ok(past.map(|(_, part)| *part))
    }

    /// All late past parts, each with its record's place.
    pub fn all_past(&self) -> Result<impl Iterator<Item = (i64, PartNo)>> {
        self.check()?;
        Ok(self.past.iter().copied())
    }

    fn take(&mut self, row: i64, records: Vec<Changed>) {
        for Changed { place, parts, gone } in records {
            self.past.extend(gone.into_iter().map(|part| (place, part)));
            self.records.insert(place, One { row, parts });
        }
    }

    fn check(&self) -> Result<()> {
        if self.damaged.is_empty() {
            Ok(())
        } else {
            Err(DAMAGED)
        }
    }
}

impl Sealed {
    /// Reads the table.
    pub fn late(&self) -> Result<Late> {
        let mut late = Late::default();
        let mut statement = self.store.sql("SELECT n, v, t FROM late ORDER BY n")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            let v = row.get_ref(1)?.as_blob()?;
            late.last = number;
            match unpacked(v).filter(|_| row.get(2) == Ok(self.keys.tag(number, v))) {
                Some(records) => late.take(number, records),
                None => late.damaged.push(number),
            }
        }
        Ok(late)
    }

    /// Keeps back records as they are now. Inside a transaction.
    pub fn put_late(&self, late: &mut Late, records: Vec<Changed>) -> Result<()> {
        let row = pack(&records);
        let many = records.len() > MAX_LATE;
        late.take(late.last + 1, records);
        if many || late.records.len() + late.past.len() > MAX_LATE {
            return self.settle_late(late);
        }
        late.last += 1;
        self.store
            .sql("INSERT INTO late (n, v, t) VALUES (?1, ?2, ?3)")?
            .execute((late.last, &row, self.keys.tag(late.last, &row)))?;
        Ok(())
    }

    /// Forgets the past parts of the record at `place`. Inside a transaction, and before what is late is settled.
    pub fn forget_past(&self, late: &mut Late, place: i64) -> Result<()> {
        late.past.retain(|(there, _)| *there != place);
        self.store.remove_past(place)
    }

    /// Writes what is late into the index. Inside a transaction.
    pub fn settle_late(&self, late: &mut Late) -> Result<()> {
        late.check()?;
        for (place, one) in &late.records {
            self.set_parts(*place, &one.parts)?;
        }
        for (place, part) in &late.past {
            self.store.insert_past(*place, *part)?;
        }
        let places = late.records.iter();
        self.put_todo(places.map(|(place, one)| (*place, one.row)))?;
        self.clear_late(late)
    }

    /// Forgets what is late. Inside a transaction.
    pub fn clear_late(&self, late: &mut Late) -> Result<()> {
        self.store.sql("DELETE FROM late")?.execute([])?;
        *late = Late::default();
        Ok(())
    }
}

/// Records as a row has them: each its place, how many parts it has and how many are gone in four bytes each, and these.
pub(crate) fn pack(records: &[Changed]) -> Vec<u8> {
    let mut row = Vec::with_capacity(records.len() * 24);
    for Changed { place, parts, gone } in records {
        row.extend_from_slice(&place.to_be_bytes());
        for list in [parts, gone] {
            // A list of more would not fit into any memory.
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            row.extend_from_slice(&count.to_be_bytes());
        }
        for list in [parts, gone] {
            row.extend_from_slice(&packed(list));
        }
    }
    row
}

pub(crate) fn unpacked(mut row: &[u8]) -> Option<Vec<Changed>> {
    let mut records = Vec::new();
    while !row.is_empty() {
        let (place, rest) = row.split_first_chunk()?;
        let (many, rest) = rest.split_first_chunk()?;
        let (few, rest) = rest.split_first_chunk()?;
        let (parts, rest) = unpacked_parts(many, rest)?;
        let (gone, rest) = unpacked_parts(few, rest)?;
        records.push(Changed {
            place: i64::from_be_bytes(*place),
            parts,
            gone,
        });
        row = rest;
    }
    Some(records)
}

fn unpacked_parts<'r>(count: &[u8; 4], row: &'r [u8]) -> Option<(Vec<PartNo>, &'r [u8])> {
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let (parts, rest) = row.split_at_checked(count.checked_mul(8)?)?;
    let (parts, _) = parts.as_chunks::<8>();
    let part = |bytes: &[u8; 8]| PartNo(i64::from_be_bytes(*bytes));
    Some((parts.iter().map(part).collect(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed() -> impl Strategy<Value = Changed> {
        let parts = || prop::collection::vec(any::<i64>().prop_map(PartNo), 0..4);
        (any::<i64>(), parts(), parts()).prop_map(|(place, parts, gone)| Changed {
            place,
            parts,
            gone,
        })
    }

    proptest! {
        #[test]
        fn rows_round_trip(records in prop::collection::vec(changed(), 0..5)) {
            let row = pack(&records);
            prop_assert_eq!(unpacked(&row), Some(records));
            if let Some((_, cut)) = row.split_last() {
                prop_assert_eq!(unpacked(cut), None);
            }
        }
    }
}
