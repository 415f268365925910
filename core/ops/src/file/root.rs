//! What a record holds of a file.

use std::fmt;

use minicbor::{Decode, Encode};
use twin_identity::cbor::{self, CborError};
use twin_identity::entry::{SUITE, VERSION};
use twin_identity::secret::Secret;
use zeroize::Zeroize;

use super::chunk::{ChunkId, ChunkRef};
use super::tree::Shape;
use crate::value::Value;

const ROOT_TYPE: u8 = 2;
/// The most bytes of a root: three small numbers, a length, key and id.
const MAX_ROOT_LEN: usize = 96;

/// A file: its length, and the reference to the one chunk that names all others. Whoever has it can read the file,
/// given the chunks.
#[derive(PartialEq, Eq)]
pub struct Root {
    pub(super) len: u64,
    pub(super) top: ChunkRef,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawRoot {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    len: u64,
    #[cbor(n(4), with = "cbor::fixed")]
    key: [u8; 32],
    #[n(5)]
    id: ChunkId,
}

impl Drop for RawRoot {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Root {
    /// Reads a root.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let raw: RawRoot = cbor::decode(bytes, MAX_ROOT_LEN)?;
        let known = (raw.version, raw.suite, raw.kind) == (VERSION, SUITE, ROOT_TYPE);
        if !known || Shape::new(raw.len).is_err() {
            return Err(CborError::Malformed);
        }
        Ok(Self {
            len: raw.len,
            top: ChunkRef {
                key: Secret::new(raw.key),
                id: raw.id,
            },
        })
    }

    /// The root that a field holds; `None` if it holds something else.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Self::from_bytes(bytes).ok(),
            _ => None,
        }
    }

    /// The root as a record holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&RawRoot {
            version: VERSION,
            suite: SUITE,
            kind: ROOT_TYPE,
            len: self.len,
            key: *self.top.key.expose(),
            id: self.top.id,
        })
    }

    /// The root as the value of a field.
    pub fn to_value(&self) -> Value {
        Value::Bytes(self.to_bytes())
    }

    /// The one chunk that names all others, or is the content.
    pub const fn top(&self) -> &ChunkId {
        &self.top.id
    }

    /// How many bytes the file has.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its chunks.
    pub fn shape(&self) -> Result<Shape, super::FileError> {
        Shape::new(self.len)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({} bytes, {:?})", self.len, self.top)
    }
}
