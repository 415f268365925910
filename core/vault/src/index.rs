//! The index of records: for each, the parts that hold its current state. It can be rebuilt from the ops.
//!
//! A record's row is at its place (see [`crate::keys::VaultKeys::place`]) or, if others are there, at the next free
//! place of its collection. Rows are never removed, so looking up stops at the first free place.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::error::{Result, VaultError};
use crate::keys::PLACE_BITS;
use crate::oplog::PartNo;
use crate::store::{Sealed, Store};

const DAMAGED: VaultError = VaultError::Damaged("the index of records");

/// The place after `place` in the same collection, from the last back to the first.
pub(crate) const fn next_place(place: i64) -> i64 {
    let low = (1 << PLACE_BITS) - 1;
    (place & !low) | ((place + 1) & low)
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

impl Sealed {
    /// The parts of the record at `place`.
    pub fn parts_at(&self, place: i64) -> Result<Option<Vec<PartNo>>> {
        let mut statement = self.store.sql("SELECT p, t FROM rec WHERE k = ?1")?;
        let mut rows = statement.query([place])?;
        match rows.next()? {
            Some(row) => self
                .checked(place, row.get_ref(0)?, row.get_ref(1)?)
                .map(Some),
            None => Ok(None),
        }
    }

    /// The columns `p` and `t` of the row at `place`, if its MAC is right.
    pub fn checked(&self, place: i64, p: ValueRef<'_>, t: ValueRef<'_>) -> Result<Vec<PartNo>> {
        let parts = match p {
            ValueRef::Integer(part) => vec![PartNo(part)],
            ValueRef::Blob(parts) => {
                let (parts, rest) = parts.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(DAMAGED);
                }
                let part = |bytes: &[u8; 8]| PartNo(i64::from_be_bytes(*bytes));
                parts.iter().map(part).collect()
            }
            _ => return Err(DAMAGED),
        };
        if t == ValueRef::Integer(self.keys.tag(place, &packed(&parts))) {
            Ok(parts)
        } else {
            Err(DAMAGED)
        }
    }

    /// Writes the parts of the record at `place`.
    pub fn set_parts(&self, place: i64, parts: &[PartNo]) -> Result<()> {
        let bytes = packed(parts);
        let tag = self.keys.tag(place, &bytes);
        // One part, the common case, is a plain integer that a join can use.
        let p = match parts {
            [part] => ToSqlOutput::Owned(Value::Integer(part.0)),
            _ => ToSqlOutput::Borrowed(ValueRef::Blob(&bytes)),
        };
        self.store
            .sql("INSERT OR REPLACE INTO rec (k, p, t) VALUES (?1, ?2, ?3)")?
            .execute((place, p, tag))?;
        Ok(())
    }
}

impl Store {
    /// Empties the index.
    pub fn clear_index(&self) -> Result<()> {
        self.sql("DELETE FROM rec")?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Bits of the places that are used: few make records collide.
        pub static BITS: Cell<u32> = const { Cell::new(64) };
    }

    /// Keeps only the highest bits of a place.
    pub fn crowd(hash: [u8; 8]) -> [u8; 8] {
        let drop = 64 - BITS.get();
        (u64::from_be_bytes(hash) >> drop << drop).to_be_bytes()
    }
}
