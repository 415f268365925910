//! How an op lies in its table: as frames, its head and then its parts, of which neighbours share a row.
//!
//! A row of several frames fits on one page of the file, so that SQLite reads it without a copy, and ten parts of the
//! usual size cost one row. A row is the number of its parts in one byte, then its frames, each its length in three bytes,
//! then its bytes. The head stands before the part with the index 0, in the same row. A row's number is that of the last
//! part in it: a page is found by the highest number on it, so whoever looks for what lies between two numbers would read
//! the page of the higher one in any case.

use twin_identity::aead::{SALT_LEN, Salt};
use twin_identity::context::HASH_LEN;
use twin_identity::sign::Signature;
use twin_ops::op::{Op, Part, PartHash};

use crate::error::{Result, VaultError};
use crate::oplog::{DAMAGED, PartNo};

/// The most bytes of a row of several parts: with what SQLite puts around them, they fill a page of 4 KiB.
const ROW: usize = 4040;
/// Bytes of a frame's length.
const LEN: usize = 3;
const SIGNATURE_LEN: usize = size_of::<Signature>();

/// A row of the table of ops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'r> {
    /// Its number: the last part in it.
    pub number: PartNo,
    /// The first part in it.
    pub first: PartNo,
    /// As it is stored.
    pub bytes: &'r [u8],
}

/// What an op's first frame holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'r> {
    pub signature: &'r Signature,
    pub salt: &'r Salt,
    pub header: &'r [u8],
}

/// The frames of a row; the last is an error if it is not whole.
struct Frames<'r>(&'r [u8]);

impl<'r> Iterator for Frames<'r> {
    type Item = Result<&'r [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = |bytes: &'r [u8]| {
            let ([a, b, c], rest) = bytes.split_first_chunk::<LEN>()?;
            let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok()?;
            rest.split_at_checked(len)
        };
        let (frame, rest) = match whole(self.0) {
            Some((frame, rest)) => (Ok(frame), rest),
            None => (Err(DAMAGED), [].as_slice()),
        };
        self.0 = rest;
        Some(frame)
    }
}

impl<'r> Row<'r> {
    /// A row as it is stored.
    pub fn new(number: PartNo, bytes: &'r [u8]) -> Result<Self> {
        let parts = u64::from(*bytes.first().ok_or(DAMAGED)?);
        match (number.index() + 1).checked_sub(parts) {
            Some(index) if parts > 0 => Ok(Self {
                number,
                first: PartNo::new(number.op(), index),
                bytes,
            }),
            _ => Err(DAMAGED),
        }
    }

    /// The same, as the first of the op with this number.
    pub fn opening(op: i64, bytes: &'r [u8]) -> Result<Self> {
        let parts = u64::from(*bytes.first().ok_or(DAMAGED)?);
        Self::new(PartNo::new(op, parts.saturating_sub(1)), bytes)
    }

    const fn frames(&self) -> Frames<'r> {
        match self.bytes {
            [_, frames @ ..] => Frames(frames),
            [] => Frames(&[]),
        }
    }

    /// Whether all its parts are there.
    pub fn is_whole(&self) -> bool {
        let whole = self.parts().filter(Result::is_ok).count();
        i64::try_from(whole) == Ok(self.number.0 - self.first.0 + 1)
    }

    /// The head of the op, of an op's first row.
    pub fn head(&self) -> Result<Head<'r>> {
        let frame = self.frames().next().ok_or(DAMAGED)??;
        let read = || {
            let (signature, rest) = frame.split_first_chunk::<SIGNATURE_LEN>()?;
            let (salt, header) = rest.split_first_chunk::<SALT_LEN>()?;
            Some(Head {
                signature,
                salt,
                header,
            })
        };
        read().filter(|_| self.has_head()).ok_or(DAMAGED)
    }

    const fn has_head(&self) -> bool {
        self.first.index() == 0
    }

    /// Its parts as they are stored, the first one first.
    pub fn parts(&self) -> impl Iterator<Item = Result<&'r [u8]>> + use<'r> {
        let parts = usize::try_from(self.number.0 - self.first.0 + 1).unwrap_or(0);
        let head = usize::from(self.has_head());
        self.frames().skip(head).take(parts)
    }

    /// A part as it is stored, if it is in this row.
    pub fn part(&self, number: PartNo) -> Result<Option<&'r [u8]>> {
        let before = number.0.checked_sub(self.first.0);
        match before.and_then(|before| usize::try_from(before).ok()) {
            Some(before) if number.op() == self.first.op() => self.parts().nth(before).transpose(),
            _ => Ok(None),
        }
    }
}

/// Shows the rows that parts make which follow each other from `first` on, as they are stored: the number and the bytes
/// of each. `head` is that of their op, if `first` is its first part.
pub(crate) fn pack<'p>(
    first: PartNo,
    head: Option<Head<'_>>,
    parts: impl IntoIterator<Item = &'p [u8]>,
    mut show: impl FnMut(PartNo, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut row = Vec::with_capacity(ROW);
    row.push(0);
    if let Some(head) = head {
        put(&mut row, &[head.signature, head.salt, head.header])?;
    }
    let mut next = first;
    for part in parts {
        let held = row.first().copied().unwrap_or_default();
        if held > 0 && (row.len() + LEN + part.len() > ROW || held == u8::MAX) {
            show(PartNo(next.0 - 1), &row)?;
            row.clear();
            row.push(0);
        }
        put(&mut row, &[part])?;
        if let Some(held) = row.first_mut() {
            *held += 1;
        }
        next = PartNo(next.0 + 1);
    }
    if next > first {
        show(PartNo(next.0 - 1), &row)?;
    }
    Ok(())
}

fn put(row: &mut Vec<u8>, fields: &[&[u8]]) -> Result<()> {
    let len: usize = fields.iter().map(|field| field.len()).sum();
    // An op has at most 1 MiB.
    let len = u32::try_from(len).map_err(|_| VaultError::Limit("bytes of a part"))?;
    row.extend(len.to_be_bytes().iter().skip(size_of::<u32>() - LEN));
    fields.iter().for_each(|field| row.extend_from_slice(field));
    Ok(())
}

/// The head of an op.
pub(crate) fn head(op: &Op) -> Head<'_> {
    Head {
        signature: op.signature(),
        salt: op.salt(),
        header: op.header_bytes(),
    }
}

/// A part as it is stored: what is sealed is longer than a hash.
pub(crate) fn stored(part: &Part) -> &[u8] {
    match part {
        Part::Sealed(sealed) => sealed,
        Part::Dropped(hash) => hash.as_bytes(),
    }
}

/// Whether of a part, as it is stored, only the hash is left.
pub(crate) const fn is_dropped(stored: &[u8]) -> bool {
    stored.len() == HASH_LEN
}

/// The part that is stored as this.
pub(crate) fn read_part(stored: &[u8]) -> Part {
    match stored.try_into() {
        Ok(hash) => Part::Dropped(PartHash::from_bytes(hash)),
        Err(_) => Part::Sealed(stored.to_vec()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Packed = Vec<(PartNo, Vec<u8>)>;

    fn packed(first: PartNo, head: Option<Head<'_>>, parts: &[Vec<u8>]) -> Packed {
        let mut rows = Vec::new();
        let parts = parts.iter().map(Vec::as_slice);
        pack(first, head, parts, |number, row| {
            rows.push((number, row.to_vec()));
            Ok(())
        })
        .unwrap();
        rows
    }

    fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let len = prop_oneof![Just(HASH_LEN), 48usize..700, 48usize..9000];
        let part = (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
        prop::collection::vec(part, 1..40)
    }

    proptest! {
        #[test]
        fn each_part_is_in_one_row_and_rows_of_several_fit_on_a_page(
            parts in parts(),
            op in 1i64..1 << 50,
            after in 0u64..50,
            header: Vec<u8>,
        ) {
            let first = PartNo::new(op, after);
            let head = Head { signature: &[7; 64], salt: &[8; 16], header: &header };
            let rows = packed(first, (after == 0).then_some(head), &parts);
            let stored = rows.iter().map(|(number, bytes)| Row::new(*number, bytes).unwrap());
            let stored: Vec<Row<'_>> = stored.collect();
            let mut next = first;
            for row in &stored {
                prop_assert_eq!(row.first, next);
                prop_assert!(row.is_whole());
                let held = row.parts().count();
                prop_assert!(held > 0 && (held == 1 || row.bytes.len() <= ROW));
                next.0 += i64::try_from(held).unwrap();
                prop_assert_eq!(row.number.0, next.0 - 1);
                if row.first.index() == 0 {
                    let read = row.head().unwrap();
                    prop_assert_eq!((read.signature, read.salt, read.header), (&[7; 64], &[8; 16], &*header));
                } else {
                    prop_assert!(row.head().is_err());
                }
            }
            prop_assert_eq!(next, PartNo(first.0 + i64::try_from(parts.len()).unwrap()));
            for (index, part) in (0..).zip(&parts) {
                let number = PartNo(first.0 + index);
                // The row that SQLite finds: the first whose number is not below.
                let row = stored.iter().find(|row| row.number >= number).unwrap();
                prop_assert_eq!(row.part(number).unwrap(), Some(part.as_slice()));
                let held = stored.iter().filter_map(|row| row.part(number).unwrap());
                prop_assert_eq!(held.count(), 1);
                let stranger = PartNo::new(op + 1, number.index());
                let held = stored.iter().filter_map(|row| row.part(stranger).unwrap());
                prop_assert_eq!(held.count(), 0);
            }
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>, number: i64, part: i64) {
            if let Ok(row) = Row::new(PartNo(number), &bytes) {
                let _ = (row.head().is_ok(), row.part(PartNo(part)).is_ok(), row.is_whole());
                prop_assert!(row.parts().count() <= bytes.len() / LEN + 1);
            }
        }

        #[test]
        fn what_is_cut_off_is_missed(parts in parts(), cut in 1usize..48) {
            let rows = packed(PartNo::new(1, 1), None, &parts);
            let (number, bytes) = rows.last().unwrap();
            // The last part of all has at least as many bytes as a hash, and three for its length.
            let bytes = &bytes[..bytes.len() - cut.min(HASH_LEN + LEN - 1)];
            let row = Row::new(*number, bytes).unwrap();
            prop_assert!(row.parts().last().unwrap().is_err() && !row.is_whole());
        }

        #[test]
        fn a_row_has_no_more_parts_than_come_before_its_number(parts in parts(), header: Vec<u8>) {
            let head = Head { signature: &[7; 64], salt: &[8; 16], header: &header };
            let rows = packed(PartNo::new(1, 0), Some(head), &parts);
            let (number, bytes) = rows.first().unwrap();
            for lower in PartNo::new(1, 0).0..number.0 {
                prop_assert!(Row::new(PartNo(lower), bytes).is_err());
            }
            // With a higher one it is not the first, and has no head.
            prop_assert!(Row::new(PartNo(number.0 + 1), bytes).unwrap().head().is_err());
            prop_assert!(Row::new(*number, b"").is_err());
        }
    }
}
