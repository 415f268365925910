//! Edits: what a patch does to a set or a counter, so that what devices do at the same time comes together.

use std::collections::BTreeMap;

use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use twin_identity::cbor;

use crate::op::{LogId, MAX_PARTS};
use crate::set::Set;
use crate::value::{COUNTER, MAX_FIELD_NAME, SET, Unknown, Value, decode_kind};

/// How many maps of a change are around an edit.
const EDIT_DEPTH: usize = 2;

/// A change as sets and counters name it: its log, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Dot {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// See [`position`].
    #[n(1)]
    pub position: u64,
}

/// The place of a change in its log: higher for each that its device wrote later.
pub const fn position(seq: u64, index: u64) -> u64 {
    seq.saturating_mul(MAX_PARTS as u64).saturating_add(index)
}

/// For each log, up to which position its additions of an element are taken back.
pub type Covers = BTreeMap<LogId, u64>;

/// What is done to one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Elements come into a set, others go from it.
    Elements {
        /// They come in.
        added: Set,
        /// They go.
        removed: Removed,
    },
    /// A counter is counted up or down.
    Count {
        /// The assignment that is counted from; `None` if the record has none.
        base: Option<Dot>,
        /// All that this log has counted from there, this time included.
        total: i64,
    },
    /// Of a later version: kept and forwarded, not merged.
    Unknown(Unknown),
}

/// Elements that go from a set, each with the additions of it that their writer had seen: one that it had not seen
/// stays.
#[derive(Debug, Clone, Default)]
pub struct Removed(BTreeMap<Vec<u8>, (Value, Covers)>);

/// Named edits of a record. In CBOR like [`crate::value::Fields`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits(pub BTreeMap<String, Edit>);

impl Removed {
    /// Adds an element; `false` if it cannot be one.
    pub fn insert(&mut self, element: Value, covers: Covers) -> bool {
        let fits = element.is_element();
        if fits {
            self.0.insert(cbor::encode(&element), (element, covers));
        }
        fits
    }

    /// The encodings of the elements, each with what is taken back of it.
    pub fn encoded(&self) -> impl Iterator<Item = (&[u8], &Covers)> {
        let removed = self.0.iter();
        removed.map(|(bytes, (_, covers))| (bytes.as_slice(), covers))
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.values().map(|(element, _)| element)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Removed {
    fn eq(&self, other: &Self) -> bool {
        self.encoded().eq(other.encoded())
    }
}

impl<C> Encode<C> for Removed {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for (element, covers) in self.0.values() {
            element.encode(e.array(2)?, c)?;
            e.array(covers.len() as u64)?;
            for (&log, &position) in covers {
                Dot { log, position }.encode(e, c)?;
            }
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Removed {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let mut removed = Self::default();
        for _ in 0..array(d)? {
            if array(d)? != 2 {
                return Err(minicbor::decode::Error::message("removed element"));
            }
            let element = Value::decode_element(d)?;
            let mut covers = Covers::new();
            for _ in 0..array(d)? {
                let Dot { log, position } = Dot::decode(d, c)?;
                covers.insert(log, position);
            }
            removed.insert(element, covers);
        }
        Ok(removed)
    }
}

fn array(d: &mut Decoder<'_>) -> Result<u64, minicbor::decode::Error> {
    d.array()?
        .ok_or_else(|| minicbor::decode::Error::message("indefinite list"))
}

impl<C> Encode<C> for Edit {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Elements { added, removed } => {
                added.encode(e.array(3)?.u64(SET)?, c)?;
                removed.encode(e, c)
            }
            Self::Count { base, total } => {
                base.encode(e.array(3)?.u64(COUNTER)?, c)?;
                e.i64(*total)?.ok()
            }
            Self::Unknown(unknown) => unknown.encode_raw(e),
        }
    }
}

impl<'b, C> Decode<'b, C> for Edit {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let start = d.position();
        match decode_kind(d)? {
            (SET, 3) => Ok(Self::Elements {
                added: Set::decode(d, c)?,
                removed: Removed::decode(d, c)?,
            }),
            (COUNTER, 3) => Ok(Self::Count {
                base: Option::decode(d, c)?,
                total: d.i64()?,
            }),
            (SET | COUNTER, _) => Err(minicbor::decode::Error::message("edit")),
            _ => {
                d.set_position(start);
                Unknown::decode_raw(d, EDIT_DEPTH).map(Self::Unknown)
            }
        }
    }
}

impl<C> Encode<C> for Edits {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let mut edits: Vec<_> = self.0.iter().collect();
        edits.sort_by_key(|(name, _)| (name.len(), *name));
        e.map(edits.len() as u64)?;
        for (name, edit) in edits {
            edit.encode(e.str(name)?, c)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Edits {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let len = d
            .map()?
            .ok_or_else(|| minicbor::decode::Error::message("indefinite map"))?;
        let mut edits = BTreeMap::new();
        for _ in 0..len {
            let name = d.str()?;
            if name.is_empty() || name.len() > MAX_FIELD_NAME {
                return Err(minicbor::decode::Error::message("field name"));
            }
            edits.insert(name.to_owned(), Edit::decode(d, c)?);
        }
        Ok(Self(edits))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::{element, unknown};

    fn dot() -> impl Strategy<Value = Dot> {
        let log = any::<[u8; 32]>().prop_map(LogId::from_bytes);
        (log, any::<u64>()).prop_map(|(log, position)| Dot { log, position })
    }

    pub fn edit() -> impl Strategy<Value = Edit> {
        let covers = prop::collection::vec(dot(), 0..3);
        let removed = prop::collection::vec((element(), covers), 0..3);
        let elements = (prop::collection::vec(element(), 0..3), removed);
        prop_oneof![
            elements.prop_map(|(added, gone)| {
                let mut removed = Removed::default();
                for (element, covers) in gone {
                    let covers = covers.into_iter().map(|dot| (dot.log, dot.position));
                    removed.insert(element, covers.collect());
                }
                Edit::Elements {
                    added: Set::of(added).unwrap_or_default(),
                    removed,
                }
            }),
            (prop::option::of(dot()), any::<i64>())
                .prop_map(|(base, total)| Edit::Count { base, total }),
            unknown().prop_map(Edit::Unknown),
        ]
    }

    #[test]
    fn what_is_removed_is_shown_and_nothing_else() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let covers = Covers::from([(LogId::from_bytes([7; 32]), 9)]);
        let mut removed = Removed::default();
        assert!(removed.is_empty() && removed == Removed::default());
        assert!(removed.insert(two.clone(), Covers::new()));
        assert!(removed.insert(one.clone(), covers.clone()));
        assert!(!removed.insert(Value::Null, Covers::new()));
        assert!(!removed.is_empty() && removed != Removed::default());
        assert!(removed.iter().eq([&one, &two]));
        let encoded = [([1].as_slice(), &covers), (&[2], &Covers::new())];
        assert!(removed.encoded().eq(encoded));
        let mut other = Removed::default();
        assert!(other.insert(one, covers) && other.insert(two, Covers::from([])));
        assert_eq!(other, removed);
    }

    #[test]
    fn names_of_edited_fields_have_a_length() {
        for (len, fits) in [(0, false), (1, true), (128, true), (129, false)] {
            let count = Edit::Count {
                base: None,
                total: 1,
            };
            let edits = Edits([("n".repeat(len), count)].into());
            let read: Result<Edits, _> = minicbor::decode(&cbor::encode(&edits));
            assert_eq!(read.ok(), fits.then_some(edits), "{len}");
        }
    }

    #[test]
    fn what_is_no_edit_is_refused() {
        for (bytes, why) in [
            (vec![0x80], "no kind"),
            (vec![0x82, 2, 0x80], "an edit of a set in two pieces"),
            (vec![0x82, 3, 0], "a count without a base"),
            (vec![0x83, 3, 0, 0], "a base that is none"),
            (
                vec![0x83, 2, 0x80, 0x81, 0x81, 0],
                "a removal without covers",
            ),
            (vec![0x83, 2, 0x81, 0xf6, 0x80], "nothing comes in"),
            (vec![0x83, 2, 0x80, 0x81, 0x82, 0xf6, 0x80], "nothing goes"),
        ] {
            assert!(minicbor::decode::<Edit>(&bytes).is_err(), "{why}");
        }
    }

    #[test]
    fn positions_grow_with_ops_and_with_parts() {
        let last = MAX_PARTS as u64 - 1;
        assert!(position(1, 0) < position(1, 1));
        assert!(position(1, last) < position(2, 0));
        assert_eq!(position(u64::MAX, last), u64::MAX, "and never come round");
    }
}
