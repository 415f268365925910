//! What is still to be written where it belongs: into the index of records, and into the rows of logs and of the clock.
//!
//! Places in the index are random, so that each record of a commit would write a page of its own, and the rows of logs
//! and of the clock are on pages of their own, too. Each commit appends one sealed row to the table `late` instead, and
//! every [`MAX_LATE`] records they go into the index together, in its order. Until then every process has them in
//! memory, and they come before what the index and the other rows say. The parts that no longer hold a record's state
//! go the same way, into the table `past`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use twin_identity::context::HASH_LEN;
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::op::Link;
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::oplog::{PartNo, PartNos};
use crate::store::Sealed;

/// How many records are kept back, at most; a row has no more.
const MAX_LATE: usize = 16_384;
/// How many rows there are, at most: each is opened when the vault is.
const MAX_ROWS: i64 = 4096;

const DAMAGED: VaultError = VaultError::Damaged("the index of records");

/// What a commit leaves to be written later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LateRow {
    /// The clock.
    pub clock: Stamp,
    /// Where logs end that have grown, by their numbers.
    pub heads: Vec<(u32, Head)>,
    /// The records that have changed.
    pub records: Vec<Changed>,
}

/// What a commit has made of the record at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub place: i64,
    /// The parts that hold its state.
    pub parts: PartNos,
    /// Those that no longer do.
    pub gone: Vec<PartNo>,
}

/// What is late: of records that are not in the index yet, or are there as they were, by place the parts that hold their
/// state.
#[derive(Debug, Default)]
pub(crate) struct Late {
    records: BTreeMap<i64, One>,
    /// Says of most places that nothing is late there.
    filter: Filter,
    /// What is still to be written into the table of past parts: place and part.
    past: BTreeSet<(i64, PartNo)>,
    /// Where logs end, by their numbers.
    heads: BTreeMap<u32, Head>,
    /// The highest clock of all rows.
    clock: Stamp,
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
    parts: PartNos,
}

/// A bit for each value that the low bits of a place may have: looking through all late records takes as long as several
/// of the steps that a record's read is made of, and most records are not late.
#[derive(Debug, Default)]
struct Filter(Vec<u64>);

impl Filter {
    /// 16 KiB; of [`MAX_LATE`] records every eighth bit is set.
    const BITS: u64 = 1 << 17;

    /// Where the bit of a place is: in which word, and its bit there.
    const fn bit(place: i64) -> (usize, u64) {
        let bit = place.cast_unsigned() % Self::BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn add(&mut self, place: i64) {
        let (word, bit) = Self::bit(place);
        if self.0.is_empty() {
            self.0.resize((Self::BITS / 64) as usize, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    /// False only if it was never added.
    fn may_have(&self, place: i64) -> bool {
        let (word, bit) = Self::bit(place);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl Late {
    /// The record at `place`, if it is late.
    pub fn get(&self, place: i64) -> Result<Option<&[PartNo]>> {
        self.check()?;
        if !self.filter.may_have(place) {
            return Ok(None);
        }
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

    /// Where the log with this number ends, if that is not in its own row.
    pub fn head(&self, log: u32) -> Option<Head> {
        self.heads.get(&log).copied()
    }

    /// The highest clock of all rows.
    pub const fn clock(&self) -> Stamp {
        self.clock
    }

    /// A row is not there that should be.
    pub fn miss(&mut self) {
        self.damaged.push(self.last + 1);
    }

    fn take(&mut self, number: i64, row: LateRow) {
        self.last = number;
        self.clock = self.clock.max(row.clock);
        self.heads.extend(row.heads);
        for Changed { place, parts, gone } in row.records {
            self.past.extend(gone.into_iter().map(|part| (place, part)));
            let row = number;
            self.filter.add(place);
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
    /// Whether a row is what it was.
    pub fn is_whole_late(&self, number: i64, sealed: &[u8]) -> bool {
        let opened = self.keys.rows.open(&number.to_be_bytes(), sealed);
        opened.is_ok_and(|row| unpacked(&row).is_some())
    }

    /// Reads the table.
    pub fn late(&self) -> Result<Late> {
        let mut late = Late::default();
        let mut statement = self.store.sql("SELECT n, v FROM late ORDER BY n")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let opened = self
                .keys
                .rows
                .open(&number.to_be_bytes(), row.get_ref(1)?.as_blob()?);
            match opened.ok().and_then(|row| unpacked(&row)) {
                Some(row) => late.take(number, row),
                None => {
                    late.last = number;
                    late.damaged.push(number);
                }
            }
        }
        Ok(late)
    }

    /// Keeps back what a commit leaves; `false` if that is too much, and it was not written: it has to be settled then.
    /// Inside a transaction.
    pub fn put_late(&self, late: &mut Late, row: LateRow) -> Result<bool> {
        let number = late.last + 1;
        let fits = row.records.len() <= MAX_LATE;
        let packed = if fits {
            pack(&row)
        } else {
            Zeroizing::default()
        };
        late.take(number, row);
        if !fits || number > MAX_ROWS || late.records.len() + late.past.len() > MAX_LATE {
            return Ok(false);
        }
        let sealed = self
            .keys
            .rows
            .seal_synthetic(&number.to_be_bytes(), &packed)?;
        self.store
            .sql("INSERT INTO late (n, v) VALUES (?1, ?2)")?
            .execute((number, sealed))?;
        Ok(true)
    }

    /// Forgets the past parts of the record at `place`. Inside a transaction, and before what is late is settled.
    pub fn forget_past(&self, late: &mut Late, place: i64) -> Result<()> {
        late.past.retain(|(there, _)| *there != place);
        self.store.remove_past(place)
    }

    /// Writes late records into the index and forgets what is late; where logs end must be written by then. Inside a
    /// transaction.
    pub fn settle_late(&self, late: &mut Late) -> Result<()> {
        late.check()?;
        let mut index = self.store.index_writer(&self.keys)?;
        for (place, one) in &late.records {
            index.set_parts(*place, &one.parts)?;
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

/// A row before it is sealed: the clock; how many logs it tells of, and each by its number, height and link; then records,
/// each its place, how many parts it has and how many are gone, and these.
pub(crate) fn pack(row: &LateRow) -> Zeroizing<Vec<u8>> {
    let lists = row.records.iter();
    let parts: usize = lists.map(|one| one.parts.len() + one.gone.len()).sum();
    let len = 12 + row.heads.len() * (12 + HASH_LEN) + row.records.len() * 16 + parts * 8;
    let mut bytes = Zeroizing::new(Vec::with_capacity(len));
    // A list of more would not fit into any memory.
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    bytes.extend_from_slice(&row.clock.0.to_be_bytes());
    bytes.extend_from_slice(&count(row.heads.len()));
    for (log, head) in &row.heads {
        bytes.extend_from_slice(&log.to_be_bytes());
        bytes.extend_from_slice(&head.height.to_be_bytes());
        bytes.extend_from_slice(head.link.as_bytes());
    }
    for Changed { place, parts, gone } in &row.records {
        bytes.extend_from_slice(&place.to_be_bytes());
        bytes.extend_from_slice(&count(parts.len()));
        bytes.extend_from_slice(&count(gone.len()));
        for part in parts.iter().chain(gone) {
            bytes.extend_from_slice(&part.0.to_be_bytes());
        }
    }
    bytes
}

pub(crate) fn unpacked(row: &[u8]) -> Option<LateRow> {
    let (clock, row) = row.split_first_chunk()?;
    let (many, mut row) = row.split_first_chunk()?;
    let mut heads = Vec::new();
    for _ in 0..u32::from_be_bytes(*many) {
        let (log, rest) = row.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        let (link, rest) = rest.split_first_chunk()?;
        let head = Head {
            height: u64::from_be_bytes(*height),
            link: Link::from_bytes(*link),
        };
        heads.push((u32::from_be_bytes(*log), head));
        row = rest;
    }
    let mut records = Vec::new();
    while !row.is_empty() {
        let (place, rest) = row.split_first_chunk()?;
        let (many, rest) = rest.split_first_chunk()?;
        let (few, rest) = rest.split_first_chunk()?;
        let (parts, rest) = unpacked_parts(many, rest)?;
        let (gone, rest) = unpacked_parts(few, rest)?;
        records.push(Changed {
            place: i64::from_be_bytes(*place),
            parts: parts.collect(),
            gone: gone.collect(),
        });
        row = rest;
    }
    Some(LateRow {
        clock: Stamp(u64::from_be_bytes(*clock)),
        heads,
        records,
    })
}

fn unpacked_parts<'r>(
    count: &[u8; 4],
    row: &'r [u8],
) -> Option<(impl Iterator<Item = PartNo>, &'r [u8])> {
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let (parts, rest) = row.split_at_checked(count.checked_mul(8)?)?;
    let (parts, _) = parts.as_chunks::<8>();
    let part = |bytes: &[u8; 8]| PartNo(i64::from_be_bytes(*bytes));
    Some((parts.iter().map(part), rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::common::phone;

    #[test]
    fn rows_are_settled_when_there_are_too_many_or_too_much_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let vault = phone(dir.path());
        let file = &vault.file;
        let changed = |place| Changed {
            place,
            parts: [PartNo(place)].into(),
            gone: Vec::new(),
        };
        file.store.begin().unwrap();
        let mut late = file.late().unwrap();
        file.clear_late(&mut late).unwrap();
        for place in 0..MAX_ROWS {
            let records = vec![changed(place)];
            let row = LateRow {
                records,
                ..LateRow::default()
            };
            assert!(file.put_late(&mut late, row).unwrap());
        }
        let row = LateRow {
            records: vec![changed(MAX_ROWS)],
            ..LateRow::default()
        };
        assert!(!file.put_late(&mut late, row).unwrap());
        file.settle_late(&mut late).unwrap();
        for place in 0..=MAX_ROWS {
            assert!(file.store.is_taken(place).unwrap());
        }
        assert_eq!(file.late().unwrap().places().count(), 0);
        let many = i64::try_from(MAX_LATE).unwrap();
        for (count, fits) in [(many, true), (many + 1, false)] {
            let records = (0..count).map(changed).collect();
            let row = LateRow {
                records,
                ..LateRow::default()
            };
            assert_eq!(file.put_late(&mut late, row).unwrap(), fits);
            let read = file.late().unwrap();
            assert_eq!(read.places().count(), if fits { MAX_LATE } else { 0 });
            file.clear_late(&mut late).unwrap();
        }
        file.store.rollback();
    }

    fn changed() -> impl Strategy<Value = Changed> {
        let parts = || prop::collection::vec(any::<i64>().prop_map(PartNo), 0..4);
        (any::<i64>(), parts(), parts()).prop_map(|(place, parts, gone)| Changed {
            place,
            parts: parts.into(),
            gone,
        })
    }

    fn head() -> impl Strategy<Value = (u32, Head)> {
        (any::<u32>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(log, height, link)| {
            let link = Link::from_bytes(link);
            (log, Head { height, link })
        })
    }

    proptest! {
        #[test]
        fn rows_round_trip(
            clock: u64,
            heads in prop::collection::vec(head(), 0..3),
            records in prop::collection::vec(changed(), 0..5),
        ) {
            let row = LateRow { clock: Stamp(clock), heads, records };
            let packed = pack(&row);
            prop_assert_eq!(unpacked(&packed), Some(row));
            if let Some((_, cut)) = packed.split_last() {
                prop_assert_eq!(unpacked(cut), None);
            }
        }
    }
}
