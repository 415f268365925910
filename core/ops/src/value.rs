//! Values of fields.
//!
//! What CBOR has no form of its own for is an array whose first item is the number of its kind. A number that this
//! version does not know is no error: such a value is kept byte for byte, so that an app leaves what a later one wrote
//! as it was.

use std::collections::BTreeMap;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use twin_identity::cbor::{self, CborError};

use crate::change::{MAX_COLLECTION_NAME, MAX_RECORD_ID};
use crate::op::MAX_OP_LEN;
use crate::set::Set;

/// The most bytes of a field's name.
pub const MAX_FIELD_NAME: usize = 128;
/// How many arrays and maps of a change are around a value where it is deepest: as an element that goes from a set.
const VALUE_DEPTH: usize = 5;
/// How deep arrays and maps may be in a value of an unknown kind, its own array included, so that it fits everywhere.
pub const MAX_UNKNOWN_DEPTH: usize = cbor::MAX_DEPTH - VALUE_DEPTH;

/// The most bytes that stand before a text, or that a number takes.
const HEAD: usize = 9;

const TIMESTAMP: u64 = 0;
const REFERENCE: u64 = 1;
pub(crate) const SET: u64 = 2;
pub(crate) const COUNTER: u64 = 3;

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: the field is taken away.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Another record of the same space, which may be there or not.
    Reference(Reference),
    /// Values without order, each once; what devices add at the same time comes together.
    Set(Set),
    /// A whole number that is counted up and down; what devices count at the same time adds up.
    Counter(i64),
    /// Of a later version.
    Unknown(Unknown),
}

/// The name of another record of the same space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The collection; 1 to 128 bytes.
    pub collection: String,
    /// The record's id in it; 1 to 256 bytes.
    pub id: String,
}

/// A value of a kind that this version does not know, as it was encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(Vec<u8>);

impl Value {
    /// Whether it can be an element of a set: everything but nothing, sets and counters.
    pub const fn is_element(&self) -> bool {
        !matches!(self, Self::Null | Self::Set(_) | Self::Counter(_))
    }

    /// Whether every reference in it can be a record's name.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Reference(reference) => reference.is_valid(),
            Self::Set(set) => set.iter().all(Self::is_valid),
            _ => true,
        }
    }

    /// At least as many bytes as its encoding has.
    fn room(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) => HEAD,
            Self::Text(text) => HEAD + text.len(),
            Self::Bytes(bytes) => HEAD + bytes.len(),
            Self::Timestamp(_) | Self::Counter(_) => 2 + HEAD,
            Self::Reference(Reference { collection, id }) => {
                2 + HEAD + collection.len() + HEAD + id.len()
            }
            Self::Set(_) | Self::Unknown(_) => cbor::len(self),
        }
    }

    /// An element of a set. Does not go down into sets, however deep they are.
    pub(crate) fn decode_element(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let value = match d.datatype()? {
            Type::Array => Self::decode_array(d, |_, _| None)?,
            _ => Self::decode_plain(d)?,
        };
        if value.is_element() {
            Ok(value)
        } else {
            Err(minicbor::decode::Error::message("no element of a set"))
        }
    }

    fn decode_plain(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        Ok(match d.datatype()? {
            Type::Null => {
                d.null()?;
                Self::Null
            }
            Type::Bool => Self::Bool(d.bool()?),
            Type::F64 => Self::Float(d.f64()?),
            Type::String => Self::Text(d.str()?.to_owned()),
            Type::Bytes => Self::Bytes(d.bytes()?.to_vec()),
            _ => Self::Int(d.i64()?),
        })
    }

    /// A value that is an array; `more` reads kinds that are nowhere else.
    fn decode_array(
        d: &mut Decoder<'_>,
        more: impl FnOnce(u64, &mut Decoder<'_>) -> Option<Result<Self, minicbor::decode::Error>>,
    ) -> Result<Self, minicbor::decode::Error> {
        let start = d.position();
        let (kind, len) = decode_kind(d)?;
        match (kind, len) {
            (TIMESTAMP, 2) => Ok(Self::Timestamp(d.i64()?)),
            (REFERENCE, 3) => {
                let reference = Reference {
                    collection: d.str()?.to_owned(),
                    id: d.str()?.to_owned(),
                };
                if reference.is_valid() {
                    Ok(Self::Reference(reference))
                } else {
                    Err(minicbor::decode::Error::message("reference"))
                }
            }
            (SET | COUNTER, 2) => {
                let value = more(kind, d);
                value.unwrap_or_else(|| Err(minicbor::decode::Error::message("no element")))
            }
            (..=COUNTER, _) => Err(minicbor::decode::Error::message("value")),
            _ => {
                d.set_position(start);
                Unknown::decode_raw(d, VALUE_DEPTH).map(Self::Unknown)
            }
        }
    }
}

impl Reference {
    /// Whether it can be a record's name.
    pub fn is_valid(&self) -> bool {
        (1..=MAX_COLLECTION_NAME).contains(&self.collection.len())
            && (1..=MAX_RECORD_ID).contains(&self.id.len())
    }
}

impl Unknown {
    /// A value of an unknown kind, from its encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let unknown = Self::check(bytes, VALUE_DEPTH)?;
        match decode_kind(&mut Decoder::new(bytes)) {
            Ok((kind, _)) if kind > COUNTER => Ok(unknown),
            _ => Err(CborError::Malformed),
        }
    }

    /// Its encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whatever comes next, as it is, if it may stand inside so many arrays and maps.
    pub(crate) fn decode_raw(
        d: &mut Decoder<'_>,
        depth: usize,
    ) -> Result<Self, minicbor::decode::Error> {
        let start = d.position();
        d.skip()?;
        let bytes = d.input().get(start..d.position()).unwrap_or_default();
        Self::check(bytes, depth).map_err(|_| minicbor::decode::Error::message("unknown value"))
    }

    /// Writes it as it was.
    pub(crate) fn encode_raw<W: Write>(
        &self,
        e: &mut Encoder<W>,
    ) -> Result<(), encode::Error<W::Error>> {
        let writer = e.writer_mut();
        writer.write_all(&self.0).map_err(encode::Error::write)
    }

    fn check(bytes: &[u8], depth: usize) -> Result<Self, CborError> {
        // Inside as many arrays, each of one item.
        let mut deep = vec![0x81; depth];
        deep.extend_from_slice(bytes);
        cbor::check_with_floats(&deep, MAX_OP_LEN)?;
        Ok(Self(bytes.to_vec()))
    }
}

/// The number of the kind at the head of an array, and how many items the array has with it.
pub(crate) fn decode_kind(d: &mut Decoder<'_>) -> Result<(u64, u64), minicbor::decode::Error> {
    match d.array()? {
        Some(len @ 1..) => Ok((d.u64()?, len)),
        _ => Err(minicbor::decode::Error::message("array without a kind")),
    }
}

/// Named values of a record. In CBOR a map with text keys in bytewise order of their encodings, which is by length
/// first (RFC 8949, section 4.2.1).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub BTreeMap<String, Value>);

impl Fields {
    /// At least as many bytes as their encoding has.
    pub(crate) fn room(&self) -> usize {
        let fields = self.0.iter();
        let each = fields.map(|(name, value)| HEAD + name.len() + value.room());
        HEAD + each.sum::<usize>()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<C> Encode<C> for Value {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Null => e.null()?,
            Self::Bool(value) => e.bool(*value)?,
            Self::Int(value) => e.i64(*value)?,
            Self::Float(value) => e.f64(*value)?,
            Self::Text(value) => e.str(value)?,
            Self::Bytes(value) => e.bytes(value)?,
            Self::Timestamp(millis) => e.array(2)?.u64(TIMESTAMP)?.i64(*millis)?,
            Self::Reference(Reference { collection, id }) => {
                e.array(3)?.u64(REFERENCE)?.str(collection)?.str(id)?
            }
            Self::Set(set) => {
                e.array(2)?.u64(SET)?;
                return set.encode(e, c);
            }
            Self::Counter(number) => e.array(2)?.u64(COUNTER)?.i64(*number)?,
            Self::Unknown(unknown) => return unknown.encode_raw(e),
        }
        .ok()
    }
}

impl<'b, C> Decode<'b, C> for Value {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        match d.datatype()? {
            Type::Array => Self::decode_array(d, |kind, d| {
                Some(match kind {
                    SET => Set::decode(d, c).map(Self::Set),
                    _ => d.i64().map(Self::Counter),
                })
            }),
            _ => Self::decode_plain(d),
        }
    }
}

impl<C> Encode<C> for Fields {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| (name.len(), *name));
        e.map(fields.len() as u64)?;
        for (name, value) in fields {
            e.str(name)?;
            value.encode(e, c)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Fields {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        let len = d
            .map()?
            .ok_or_else(|| minicbor::decode::Error::message("indefinite map"))?;
        let mut fields = BTreeMap::new();
        for _ in 0..len {
            let name = d.str()?;
            if name.is_empty() || name.len() > MAX_FIELD_NAME {
                return Err(minicbor::decode::Error::message("field name"));
            }
            fields.insert(name.to_owned(), Value::decode(d, c)?);
        }
        Ok(Self(fields))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value of a kind to come.
    pub fn unknown() -> impl Strategy<Value = Unknown> {
        (COUNTER + 1..1000, any::<i64>(), any::<f64>(), "\\PC{0,9}").prop_map(
            |(kind, int, float, text)| {
                let mut e = Encoder::new(Vec::new());
                e.array(3).unwrap().u64(kind).unwrap();
                e.array(2).unwrap().i64(int).unwrap().f64(float).unwrap();
                e.str(&text).unwrap();
                Unknown::from_bytes(&e.into_writer()).unwrap()
            },
        )
    }

    /// What a set may hold.
    pub fn element() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
            any::<i64>().prop_map(Value::Timestamp),
            ("\\PC{1,20}", "\\PC{1,40}")
                .prop_map(|(collection, id)| Value::Reference(Reference { collection, id })),
            unknown().prop_map(Value::Unknown),
        ]
    }

    /// Anything.
    pub fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            1 => Just(Value::Null),
            7 => element(),
            1 => prop::collection::vec(element(), 0..5)
                .prop_map(|elements| Value::Set(Set::of(elements).unwrap())),
            1 => any::<i64>().prop_map(Value::Counter),
        ]
    }

    proptest! {
        #[test]
        fn there_is_room_for_every_value(value in value()) {
            let (room, len) = (value.room(), cbor::len(&value));
            prop_assert!(room >= len && room <= 2 + 3 * HEAD + len);
        }
    }

    #[test]
    fn references_name_a_record_also_those_in_sets() {
        let reference = |collection: &str, id: &str| {
            let (collection, id) = (collection.to_owned(), id.to_owned());
            Value::Reference(Reference { collection, id })
        };
        let (good, bad) = (reference("c", "i"), reference("c", ""));
        let set = |elements: [&Value; 2]| Value::Set(Set::of(elements.map(Value::clone)).unwrap());
        assert!(good.is_valid() && Value::Int(1).is_valid());
        assert!(set([&good, &Value::Int(1)]).is_valid());
        assert!(!bad.is_valid() && !set([&good, &bad]).is_valid());
    }

    #[test]
    fn names_of_fields_have_a_length() {
        for (len, reads) in [
            (0, false),
            (1, true),
            (MAX_FIELD_NAME, true),
            (MAX_FIELD_NAME + 1, false),
        ] {
            let fields = Fields([("n".repeat(len), Value::Null)].into());
            let read: Result<Fields, _> = minicbor::decode(&cbor::encode(&fields));
            assert_eq!(read.is_ok(), reads, "{len}");
        }
    }

    #[test]
    fn each_kind_has_its_form() {
        for (bytes, value) in [
            (vec![0x82, 0, 0x20], Value::Timestamp(-1)),
            (
                vec![0x83, 1, 0x61, b'c', 0x61, b'i'],
                Value::Reference(Reference {
                    collection: "c".to_owned(),
                    id: "i".to_owned(),
                }),
            ),
            (
                vec![0x82, 2, 0x82, 1, 0x61, b'a'],
                Value::Set(Set::of([Value::from("a"), Value::Int(1)]).unwrap()),
            ),
            (vec![0x82, 3, 5], Value::Counter(5)),
            (
                vec![0x82, 4, 0x80],
                Value::Unknown(Unknown::from_bytes(&[0x82, 4, 0x80]).unwrap()),
            ),
        ] {
            assert_eq!(cbor::encode(&value), bytes);
            assert_eq!(minicbor::decode::<Value>(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (bytes, why) in [
            (vec![0x80], "no kind"),
            (vec![0x81, 0x61, b'a'], "a kind that is no number"),
            (vec![0x81, 0x20], "a negative kind"),
            (vec![0x81, 0], "a timestamp without a time"),
            (vec![0x83, 0, 0, 0], "a timestamp with two"),
            (vec![0x83, 1, 0x60, 0x61, b'i'], "no collection"),
            (vec![0x83, 1, 0x61, b'c', 0x60], "no id"),
            (vec![0x82, 2, 0x81, 0xf6], "nothing in a set"),
            (vec![0x82, 2, 0x81, 0x82, 2, 0x80], "a set in a set"),
            (vec![0x82, 2, 0x81, 0x82, 3, 0], "a counter in a set"),
            (vec![0x82, 3, 0x61, b'a'], "a counter of text"),
            (vec![0xa0], "a map"),
        ] {
            assert!(minicbor::decode::<Value>(&bytes).is_err(), "{why}");
        }
    }

    #[test]
    fn unknown_values_are_as_deep_as_fits_everywhere() {
        let nested = |depth: usize| [vec![0x82, 9], [0x81].repeat(depth - 1), vec![0]].concat();
        let fits = nested(MAX_UNKNOWN_DEPTH);
        assert_eq!(Unknown::from_bytes(&fits).unwrap().as_bytes(), fits);
        assert!(minicbor::decode::<Value>(&fits).is_ok());
        let deeper = nested(MAX_UNKNOWN_DEPTH + 1);
        assert_eq!(Unknown::from_bytes(&deeper), Err(CborError::Malformed));
        assert!(minicbor::decode::<Value>(&deeper).is_err());
        for known in [vec![0x82, 0, 0], vec![0x82, 3, 0], vec![0], vec![]] {
            assert_eq!(Unknown::from_bytes(&known), Err(CborError::Malformed));
        }
    }
}
