//! What is known of what is kept for searching: one sealed row, and the places that are to be taken up next.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use twin_ops::seal::{pad, unpad};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::segment::{DAMAGED, Segment, put_varint, varint};
use crate::store::{Sealed, Store};

/// The most places in one row of those to be taken up.
const MAX_PLACES: usize = 2048;

/// What is taken up of records, as a number. What was taken up under another is made anew: 1 knows of references and
/// bytes in indexed fields, 2 of what stands beside an apostrophe.
const TAKEN_UP: u8 = 2;

/// All places.
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// How far the segments go.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct SearchRow {
    /// The segments, the oldest first.
    #[n(0)]
    pub segments: Vec<Segment>,
    /// The number of the next one.
    #[n(1)]
    pub next: u64,
    /// Places, first and last, whose records are still to be gone through; the last of them first.
    #[n(2)]
    pub sweeps: Vec<(i64, i64)>,
    /// The row of late records up to which they are taken up.
    #[n(3)]
    pub late: i64,
    /// The indexed fields of the collections that records were taken up of.
    #[n(4)]
    pub fields: BTreeMap<u16, Vec<String>>,
    /// What of the records was taken up: see [`TAKEN_UP`].
    #[n(5)]
    pub taken_up: Option<u8>,
}

impl Default for SearchRow {
    /// Nothing is taken up, everything is to be.
    fn default() -> Self {
        Self {
            segments: Vec::new(),
            next: 0,
            sweeps: vec![ALL],
            late: 0,
            fields: BTreeMap::new(),
            taken_up: Some(TAKEN_UP),
        }
    }
}

impl SearchRow {
    /// Whether there is nothing yet, and all records are to be gone through.
    pub fn begins(&self) -> bool {
        self.segments.is_empty() && self.next == 0 && self.sweeps.contains(&ALL)
    }

    /// Whether what is at this place is still to come up by itself.
    fn will_come(&self, place: i64) -> bool {
        let mut sweeps = self.sweeps.iter();
        sweeps.any(|(first, last)| (*first..=*last).contains(&place))
    }
}

impl Sealed {
    /// How far the segments go. If nobody can tell any more, they are made anew.
    pub fn search_row(&self) -> Result<SearchRow> {
        match self.item::<SearchRow>(&[]) {
            Ok(Some(row)) if row.taken_up == Some(TAKEN_UP) => Ok(row),
            Ok(_) => Ok(SearchRow::default()),
            Err(VaultError::Damaged(what)) => {
                log::warn!("the words of all records are gathered anew: {what} is damaged");
                Ok(SearchRow::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets all segments; they are made anew when they are needed. Inside a transaction.
    pub fn clear_search(&self) -> Result<()> {
        self.store.clear_blocks()?;
        self.remove::<SearchRow>(&[])
    }

    /// Remembers which late records were not taken up, now that they leave the table of late ones. Inside a
    /// transaction.
    pub fn put_todo(&self, late: impl Iterator<Item = (i64, i64)>) -> Result<()> {
        let mut row = self.search_row()?;
        let fresh = late.filter(|(place, number)| *number > row.late && !row.will_come(*place));
        let places: Vec<i64> = fresh.map(|(place, _)| place).collect();
        for places in places.chunks(MAX_PLACES) {
            let plain = Zeroizing::new(pad(&pack(places)));
            self.seal_block(self.store.next_todo()?, &plain)?;
        }
        if row.late != 0 {
            row.late = 0;
            self.put(&row)?;
        }
        Ok(())
    }

    /// The places in the row of those to be taken up with this number.
    pub fn todo(&self, number: i64) -> Result<Vec<i64>> {
        let mut plain = self.open_block(number)?.ok_or(DAMAGED)?;
        unpad(&mut plain).map_err(|_| DAMAGED)?;
        unpacked(&plain).ok_or(DAMAGED)
    }
}

impl Store {
    /// The number of the oldest row of places to be taken up. Their numbers are negative, the oldest is the highest.
    pub fn first_todo(&self) -> Result<Option<i64>> {
        let mut first = self.sql("SELECT max(n) FROM block WHERE n < 0")?;
        Ok(first.query_row([], |row| row.get(0))?)
    }

    /// The numbers of all of them.
    pub fn todos(&self) -> Result<Vec<i64>> {
        let mut all = self.sql("SELECT n FROM block WHERE n < 0 ORDER BY n DESC")?;
        let all = all.query_map([], |row| row.get(0))?;
        Ok(all.collect::<rusqlite::Result<_>>()?)
    }

    fn next_todo(&self) -> Result<i64> {
        let mut last = self.sql("SELECT min(n) FROM block WHERE n < 0")?;
        let last: Option<i64> = last.query_row([], |row| row.get(0))?;
        Ok(last.unwrap_or(0).saturating_sub(1))
    }

    /// Removes a row of places that were taken up.
    pub fn remove_todo(&self, number: i64) -> Result<()> {
        self.sql("DELETE FROM block WHERE n = ?1")?
            .execute([number])?;
        Ok(())
    }
}

/// Places in their order: the first, then how far each is from the one before.
pub(crate) fn pack(places: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(places.len() * 8);
    let mut before = i64::MIN;
    for place in places {
        put_varint(&mut bytes, before.abs_diff(*place));
        before = *place;
    }
    bytes
}

pub(crate) fn unpacked(mut bytes: &[u8]) -> Option<Vec<i64>> {
    let mut places = Vec::new();
    let mut before = i64::MIN;
    while !bytes.is_empty() {
        before = before.checked_add_unsigned(varint(&mut bytes)?)?;
        places.push(before);
    }
    Some(places)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_an_earlier_version_took_up_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = crate::common::phone(dir.path()).file;
        let mut row = SearchRow {
            next: 7,
            sweeps: Vec::new(),
            ..SearchRow::default()
        };
        file.put(&row).unwrap();
        assert_eq!(file.search_row().unwrap(), row);
        row.taken_up = None;
        file.put(&row).unwrap();
        assert_eq!(file.search_row().unwrap(), SearchRow::default());
    }

    proptest! {
        #[test]
        fn places_round_trip(places in prop::collection::btree_set(any::<i64>(), 0..50)) {
            let all = |places: &BTreeSet<i64>| places.iter().copied().collect::<Vec<_>>();
            prop_assert_eq!(unpacked(&pack(&all(&places))), Some(all(&places)));
        }
    }
}
