//! One block of a segment, opened: entries in the order of (key, place).
//!
//! In the file: how many entries in two bytes, then the entries, then zeroes up to [`BLOCK_LEN`], so that every sealed
//! block is as long as every other and fills a page. An entry is a byte with its weight and, in the highest bit,
//! whether a new key begins; for a new key how many bytes it shares with the one before, how many follow, these, and the
//! place in eight bytes; else how far the place is from the one before.

use zeroize::Zeroizing;

use super::MAX_KEY;

/// The bytes of a block before it is sealed. With nonce, tag and SQLite's own bytes it fits into one page.
pub(crate) const BLOCK_LEN: usize = 4000;

const NEW_KEY: u8 = 0x80;

/// An entry: a record's place under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'b> {
    pub key: &'b [u8],
    pub place: i64,
    pub weight: u8,
}

/// An opened block.
#[derive(Default)]
pub(crate) struct Block {
    /// The keys, one after the other.
    keys: Zeroizing<Vec<u8>>,
    /// For each key where it ends, and its first entry.
    groups: Vec<(usize, usize)>,
    places: Vec<(i64, u8)>,
}

impl Block {
    /// Reads a block. `None` if it is none.
    pub fn parse(plain: &[u8]) -> Option<Self> {
        if plain.len() != BLOCK_LEN {
            return None;
        }
        let (count, mut rest) = plain.split_first_chunk()?;
        let mut block = Self::default();
        let mut key = Zeroizing::new(Vec::with_capacity(MAX_KEY));
        for _ in 0..u16::from_be_bytes(*count) {
            let (head, after) = rest.split_first()?;
            rest = after;
            let place = if head & NEW_KEY != 0 {
                let shared = usize::try_from(varint(&mut rest)?).ok()?;
                let len = usize::try_from(varint(&mut rest)?).ok()?;
                let (suffix, after) = rest.split_at_checked(len)?;
                if shared > key.len() || len > MAX_KEY - shared {
                    return None;
                }
                key.truncate(shared);
                key.extend_from_slice(suffix);
                block.keys.extend_from_slice(&key);
                block.groups.push((block.keys.len(), block.places.len()));
                let (place, after) = after.split_first_chunk()?;
                rest = after;
                i64::from_be_bytes(*place)
            } else {
                let step = varint(&mut rest)?;
                let (before, _) = block.places.last()?;
                before.checked_add_unsigned(step)?
            };
            block.places.push((place, head & !NEW_KEY));
        }
        (!block.places.is_empty()).then_some(block)
    }

    /// How many entries it has: one at least.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// The entry at `at`.
    pub fn get(&self, at: usize) -> Option<Entry<'_>> {
        let (place, weight) = *self.places.get(at)?;
        let group = self.groups.partition_point(|(_, first)| *first <= at);
        let group = group.checked_sub(1)?;
        let (end, _) = *self.groups.get(group)?;
        let begin = match group.checked_sub(1) {
            Some(before) => self.groups.get(before)?.0,
            None => 0,
        };
        Some(Entry {
            key: self.keys.get(begin..end)?,
            place,
            weight,
        })
    }

    /// Where the first entry is that is not before (key, place); [`Block::len`] if all are before.
    pub fn seek(&self, key: &[u8], place: i64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle) {
                Some(entry) if (entry.key, entry.place) < (key, place) => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}

/// A block that is being written.
pub(crate) struct Draft {
    bytes: Zeroizing<Vec<u8>>,
    count: u16,
    key: Zeroizing<Vec<u8>>,
    place: i64,
}

impl Draft {
    pub fn new() -> Self {
        // Room for an entry more than fits, which is taken back.
        let mut bytes = Zeroizing::new(Vec::with_capacity(BLOCK_LEN + MAX_KEY + 32));
        bytes.extend_from_slice(&[0; 2]);
        Self {
            bytes,
            count: 0,
            key: Zeroizing::new(Vec::with_capacity(MAX_KEY)),
            place: 0,
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an entry that comes after the last one; `false` if it does not fit any more.
    pub fn push(&mut self, entry: Entry<'_>) -> bool {
        let before = self.bytes.len();
        let weight = entry.weight & !NEW_KEY;
        if self.count > 0 && *self.key == entry.key {
            self.bytes.push(weight);
            put_varint(&mut self.bytes, self.place.abs_diff(entry.place));
        } else {
            let pairs = self.key.iter().zip(entry.key);
            let shared = pairs.take_while(|(a, b)| a == b).count();
            let suffix = entry.key.get(shared..).unwrap_or_default();
            self.bytes.push(weight | NEW_KEY);
            put_varint(&mut self.bytes, shared as u64);
            put_varint(&mut self.bytes, suffix.len() as u64);
            self.bytes.extend_from_slice(suffix);
            self.bytes.extend_from_slice(&entry.place.to_be_bytes());
        }
        if self.bytes.len() > BLOCK_LEN {
            self.bytes.truncate(before);
            return false;
        }
        self.count += 1;
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        self.place = entry.place;
        true
    }

    /// The block as it is sealed.
    pub fn finish(mut self) -> Zeroizing<Vec<u8>> {
        let count = self.count.to_be_bytes();
        self.bytes
            .iter_mut()
            .zip(count)
            .for_each(|(to, from)| *to = from);
        self.bytes.resize(BLOCK_LEN, 0);
        self.bytes
    }
}

/// Writes a number, seven bits a byte, the lowest first.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads what [`put_varint`] has written.
pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits
            .checked_shl(shift)
            .filter(|moved| moved >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
