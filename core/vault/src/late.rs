//! What is still to be written into the index of records.
//!
//! Places in the index are random, so that each record of a commit would write a page of its own. Each commit appends
//! one row to the table `late` instead, and every [`MAX_LATE`] records they go into the index together, in its order.
//! Until then every process has them in memory, and they come before what the index says.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::error::{Result, VaultError};
use crate::index::packed;
use crate::oplog::PartNo;
use crate::store::Sealed;

/// How many records are kept back, at most; a row has no more.
const MAX_LATE: usize = 4096;

const DAMAGED: VaultError = VaultError::Damaged("the index of records");

/// Records that are not in the index yet, or are there as they were: by place, the parts that hold their state.
#[derive(Debug, Default)]
pub(crate) struct Late {
    records: BTreeMap<i64, One>,
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

    fn add(&mut self, row: i64, records: Vec<(i64, Vec<PartNo>)>) {
        let records = records.into_iter();
        self.records
            .extend(records.map(|(place, parts)| (place, One { row, parts })));
    }

    /// Where late records are.
    pub fn places(&self) -> impl Iterator<Item = i64> {
        self.records.keys().copied()
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
                Some(records) => late.add(number, records),
                None => late.damaged.push(number),
            }
        }
        Ok(late)
    }

    /// Keeps back records as they are now. Inside a transaction.
    pub fn put_late(&self, late: &mut Late, records: Vec<(i64, Vec<PartNo>)>) -> Result<()> {
        let row = pack(&records);
        let many = records.len() > MAX_LATE;
        late.add(late.last + 1, records);
        if many || late.records.len() > MAX_LATE {
            return self.settle_late(late);
        }
        late.last += 1;
        self.store
            .sql("INSERT INTO late (n, v, t) VALUES (?1, ?2, ?3)")?
            .execute((late.last, &row, self.keys.tag(late.last, &row)))?;
        Ok(())
    }

    /// Writes what is late into the index. Inside a transaction.
    pub fn settle_late(&self, late: &mut Late) -> Result<()> {
        late.check()?;
        for (place, one) in &late.records {
            self.set_parts(*place, &one.parts)?;
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

/// Records as a row has them: each its place, how many parts it has in two bytes, and the parts.
fn pack(records: &[(i64, Vec<PartNo>)]) -> Vec<u8> {
    let mut row = Vec::with_capacity(records.len() * 18);
    for (place, parts) in records {
        row.extend_from_slice(&place.to_be_bytes());
        // A record has at most one part for each of its fields, and a part holds less than 2^16 of them.
        let count = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        row.extend_from_slice(&count.to_be_bytes());
        row.extend_from_slice(&packed(parts));
    }
    row
}

fn unpacked(mut row: &[u8]) -> Option<Vec<(i64, Vec<PartNo>)>> {
    let mut records = Vec::new();
    while !row.is_empty() {
        let (place, rest) = row.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes(*count)) * 8;
        let (parts, rest) = rest.split_at_checked(len)?;
        let (parts, _) = parts.as_chunks::<8>();
        let part = |bytes: &[u8; 8]| PartNo(i64::from_be_bytes(*bytes));
        let parts = parts.iter().map(part).collect();
        records.push((i64::from_be_bytes(*place), parts));
        row = rest;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_round_trip(records in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<i64>(), 0..4)), 0..5)) {
            let records: Vec<(i64, Vec<PartNo>)> = records
                .into_iter()
                .map(|(place, parts)| (place, parts.into_iter().map(PartNo).collect()))
                .collect();
            let row = pack(&records);
            prop_assert_eq!(unpacked(&row), Some(records));
            if let Some((_, cut)) = row.split_last() {
                prop_assert_eq!(unpacked(cut), None);
            }
        }
    }
}
