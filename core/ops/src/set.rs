//! Sets: values without order, each once.

use std::collections::BTreeMap;

use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use twin_identity::cbor;

use crate::value::Value;

/// Elements, each once. Two are one if their encodings are the same; their order is that of their encodings, byte by
/// byte.
#[derive(Debug, Clone, Default)]
pub struct Set(BTreeMap<Vec<u8>, Value>);

impl Set {
    /// The set of these; `None` if one of them cannot be an element.
    pub fn of(elements: impl IntoIterator<Item = Value>) -> Option<Self> {
        let mut set = Self::default();
        elements
            .into_iter()
            .all(|element| set.insert(element))
            .then_some(set)
    }

    /// Adds an element; `false` if it cannot be one (see [`Value::is_element`]).
    pub fn insert(&mut self, element: Value) -> bool {
        let fits = element.is_element();
        if fits {
            self.0.insert(cbor::encode(&element), element);
        }
        fits
    }

    /// Whether it is in.
    pub fn contains(&self, element: &Value) -> bool {
        self.0.contains_key(&cbor::encode(element))
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.values()
    }

    /// The elements with their encodings, in order.
    pub fn encoded(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        let elements = self.0.iter();
        elements.map(|(bytes, element)| (bytes.as_slice(), element))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// By the encodings: a float that is no number is equal to itself here.
impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

impl<C> Encode<C> for Set {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.values().try_for_each(|element| element.encode(e, c))
    }
}

impl<'b, C> Decode<'b, C> for Set {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let len = d
            .array()?
            .ok_or_else(|| minicbor::decode::Error::message("indefinite set"))?;
        let mut set = Self::default();
        for _ in 0..len {
            set.insert(Value::decode_element(d)?);
        }
        Ok(set)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::element;

    proptest! {
        #[test]
        fn the_order_of_adding_does_not_show(
            elements in prop::collection::vec(element(), 0..8).prop_shuffle(),
        ) {
            let set = Set::of(elements.clone()).unwrap();
            let reversed = Set::of(elements.iter().rev().cloned()).unwrap();
            let twice = Set::of(elements.iter().chain(&elements).cloned()).unwrap();
            prop_assert_eq!(cbor::encode(&set), cbor::encode(&reversed));
            prop_assert_eq!(cbor::encode(&set), cbor::encode(&twice));
            prop_assert!(elements.iter().all(|element| set.contains(element)));
            let read: Set = minicbor::decode(&cbor::encode(&set)).unwrap();
            prop_assert_eq!(read, set);
        }
    }

    #[test]
    fn what_is_in_is_shown_and_nothing_else() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let both = Set::of([two.clone(), one.clone()]).unwrap();
        let alone = Set::of([one.clone()]).unwrap();
        assert!(alone.contains(&one) && !alone.contains(&two) && both.contains(&two));
        assert!(alone != both && !both.is_empty() && Set::default().is_empty());
        assert!(both.iter().eq([&one, &two]));
        assert!(both.encoded().eq([([1].as_slice(), &one), (&[2], &two)]));
    }

    #[test]
    fn values_that_look_alike_are_told_apart() {
        let alike = [
            Value::Int(1),
            Value::Float(1.0),
            Value::from("1"),
            Value::Bytes(vec![b'1']),
            Value::Timestamp(1),
            Value::Bool(true),
        ];
        assert_eq!(Set::of(alike.clone()).unwrap().len(), alike.len());
        for no_element in [Value::Null, Value::Counter(1), Value::Set(Set::default())] {
            assert_eq!(Set::of([no_element]), None);
        }
    }
}
