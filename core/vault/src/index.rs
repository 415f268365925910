//! The index of records: for each, the parts that hold its current state. It can be rebuilt from the ops.
//!
//! A record's row is at its place (see [`crate::keys::VaultKeys::place`]) or, if others are there, at the next free
//! place of its collection. A row goes only if the place after it is free, so looking up stops at the first free place.

use std::collections::BTreeSet;

use rusqlite::CachedStatement;
use rusqlite::types::ValueRef;

use crate::error::{Result, VaultError};
use crate::keys::{PLACE_BITS, VaultKeys};
use crate::oplog::PartNo;
use crate::store::{Sealed, Store};

const DAMAGED: VaultError = VaultError::Damaged("the index of records");

/// The place after `place` in the same collection, from the last back to the first.
pub(crate) const fn next_place(place: i64) -> i64 {
    let low = (1 << PLACE_BITS) - 1;
    (place & !low) | (place.wrapping_add(1) & low)
}

/// The number of the collection that a place is in.
pub(crate) const fn collection(place: i64) -> u16 {
    // The 16 bits above those of the place.
    (place.cast_unsigned() >> PLACE_BITS) as u16
}

/// The first and last place of a collection.
pub(crate) const fn places(collection: u16) -> (i64, i64) {
    let first = ((collection as u64) << PLACE_BITS).cast_signed();
    (first, first | ((1 << PLACE_BITS) - 1))
}

/// The parts of a row of the index, as they are in the file.
fn packed(parts: &[PartNo]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.0.to_be_bytes()).collect()
}

/// The parts in the column `p` of a row of the index.
pub(crate) fn parts_in(p: ValueRef<'_>) -> Result<Vec<PartNo>> {
    match p {
        ValueRef::Integer(part) => Ok(vec![PartNo(part)]),
        ValueRef::Blob(parts) => {
            let (parts, rest) = parts.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(DAMAGED);
            }
            let part = |bytes: &[u8; 8]| PartNo(i64::from_be_bytes(*bytes));
            Ok(parts.iter().map(part).collect())
        }
        _ => Err(DAMAGED),
    }
}

impl Sealed {
    /// The part in the columns `p` and `t` of the row at `place`, if it is one and its MAC is right.
    pub fn checked_one(&self, place: i64, p: ValueRef<'_>, t: ValueRef<'_>) -> Option<PartNo> {
        let ValueRef::Integer(part) = p else {
            return None;
        };
        let tag = self.keys.tag(place, &part.to_be_bytes());
        (t == ValueRef::Integer(tag)).then_some(PartNo(part))
    }

    /// The columns `p` and `t` of the row at `place`, if its MAC is right.
    pub fn checked(&self, place: i64, p: ValueRef<'_>, t: ValueRef<'_>) -> Result<Vec<PartNo>> {
        let parts = parts_in(p)?;
        if t == ValueRef::Integer(self.keys.tag(place, &packed(&parts))) {
            Ok(parts)
        } else {
            Err(DAMAGED)
        }
    }
}

/// Writes rows of the index, many after each other.
pub(crate) struct IndexWriter<'s> {
    store: &'s Store,
    keys: &'s VaultKeys,
    insert: CachedStatement<'s>,
}

impl IndexWriter<'_> {
    /// Writes the parts of the record at `place`.
    pub fn set_parts(&mut self, place: i64, parts: &[PartNo]) -> Result<()> {
        // Of a record that was erased nothing is left, unless the way to another leads over its place.
        if parts.is_empty() && !self.store.is_taken(next_place(place))? {
            self.store
                .sql("DELETE FROM rec WHERE k = ?1")?
                .execute([place])?;
            return Ok(());
        }
        // One part, the common case, is a plain integer that a join can use.
        match parts {
            [part] => {
                let tag = self.keys.tag(place, &part.0.to_be_bytes());
                self.insert.execute((place, part.0, tag))?;
            }
            _ => {
                let bytes = packed(parts);
                let tag = self.keys.tag(place, &bytes);
                self.insert.execute((place, bytes, tag))?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Writes rows of the index, with MACs under `keys`.
    pub fn index_writer<'s>(&'s self, keys: &'s VaultKeys) -> Result<IndexWriter<'s>> {
        Ok(IndexWriter {
            store: self,
            keys,
            insert: self.sql("INSERT OR REPLACE INTO rec (k, p, t) VALUES (?1, ?2, ?3)")?,
        })
    }

    /// Whether a record is at `place`.
    pub fn is_taken(&self, place: i64) -> Result<bool> {
        Ok(self
            .sql("SELECT 1 FROM rec WHERE k = ?1")?
            .exists([place])?)
    }

    /// The numbers of the collections that have records, deleted ones too.
    pub fn collections_in_use(&self) -> Result<BTreeSet<u16>> {
        let mut statement = self.sql("SELECT DISTINCT k & ?1 FROM rec")?;
        let low = (1i64 << PLACE_BITS) - 1;
        let numbers = statement.query_map([!low], |row| Ok(collection(row.get(0)?)))?;
        Ok(numbers.collect::<rusqlite::Result<_>>()?)
    }

    /// Empties the index.
    pub fn clear_index(&self) -> Result<()> {
        self.sql("DELETE FROM rec")?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;
    use crate::common::{NOON, commit, index_rows, phone, records};
    use crate::{Vault, WriteChange};
    use twin_ops::value::Fields;

    thread_local! {
        static BITS: Cell<u32> = const { Cell::new(64) };
    }

    /// Leaves only the highest bits of a place: few of them make records collide.
    pub fn crowd(hash: [u8; 8]) -> [u8; 8] {
        let drop = 64 - BITS.get();
        (u64::from_be_bytes(hash) >> drop << drop).to_be_bytes()
    }

    #[test]
    fn records_at_one_place_are_told_apart() {
        BITS.set(2);
        let dir = tempfile::tempdir().unwrap();
        let mut vault = phone(dir.path());
        let mut truth = BTreeMap::new();
        let write = |vault: &mut Vault, i: u64, make: fn(&str, &str, Fields) -> WriteChange| {
            let fields = Fields([("n".to_owned(), twin_ops::value::Value::Int(i as i64))].into());
            let id = format!("{}", i % 30);
            commit(vault, NOON + i, vec![make("c", &id, fields.clone())]);
            (id, fields)
        };
        for i in 0..60 {
            truth.extend([write(&mut vault, i, WriteChange::put)]);
        }
        for i in 60..75 {
            truth.extend([write(&mut vault, i, WriteChange::patch)]);
        }
        vault.settle_index().unwrap();
        assert_eq!(index_rows(dir.path()).len(), 30);
        let all: Vec<_> = truth.into_iter().collect();
        assert_eq!(records(&mut vault, "c"), all);
        vault.rebuild_index().unwrap();
        assert_eq!(records(&mut vault, "c"), all);
    }

    #[test]
    fn the_last_place_is_followed_by_the_first() {
        for collection in [1, 0x7fff, 0x8000, u16::MAX] {
            let (first, last) = places(collection);
            assert_eq!(next_place(last), first);
            assert_eq!(next_place(first), first + 1);
            assert!(first < last);
        }
    }
}
