//! Values of fields.

use std::collections::BTreeMap;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// The most bytes of a field's name.
pub const MAX_FIELD_NAME: usize = 128;

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
}

/// Named values of a record. In CBOR a map with text keys in bytewise order of their encodings, which is by length
/// first (RFC 8949, section 4.2.1).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub BTreeMap<String, Value>);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<C> Encode<C> for Value {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Null => e.null()?,
            Self::Bool(value) => e.bool(*value)?,
            Self::Int(value) => e.i64(*value)?,
            Self::Float(value) => e.f64(*value)?,
            Self::Text(value) => e.str(value)?,
            Self::Bytes(value) => e.bytes(value)?,
        }
        .ok()
    }
}

impl<'b, C> Decode<'b, C> for Value {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
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
}

impl<C> Encode<C> for Fields {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_by_key(|(name, _)| (name.len(), *name));
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
mod tests {
    use twin_identity::cbor;

    use super::*;

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
}
