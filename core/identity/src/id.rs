//! Names of things: 32-byte ids, and the twin id a person sees.

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// Declares a public 32-byte id: ordered, printable as hex, a CBOR byte string.
#[macro_export]
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes as they are.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, "…)")
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
                $crate::cbor::fixed::decode(d, c).map(Self)
            }
        }
    };
}

id_type! {
    /// A device: its Ed25519 verifying key.
    DeviceId
}

id_type! {
    /// An identity log entry: hash of the unsigned entry. The genesis stands in as the one before entry 1.
    EntryId
}

/// Length of a [`TwinId`], in bytes: one of format, 32 of hash.
pub const TWIN_ID_LEN: usize = 33;

const FORMAT: u8 = 1;
const HRP: &str = "twin";
/// Prefix and separator, 33 bytes in 5-bit characters, checksum.
const TEXT_LEN: usize = 5 + 53 + 6;

/// A twin's name for life: `0x01 ‖ hash(genesis)`; 33 bytes, as text bech32m (BIP-350) with the prefix `twin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinId([u8; TWIN_ID_LEN]);

impl TwinId {
    pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
        let mut bytes = [FORMAT; TWIN_ID_LEN];
        if let Some(rest) = bytes.last_chunk_mut() {
            *rest = hash;
        }
        Self(bytes)
    }

    /// Reads the 33 bytes, refusing a format that this version does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TwinIdError> {
        let bytes: [u8; TWIN_ID_LEN] = bytes.try_into().map_err(|_| TwinIdError::Invalid)?;
        match bytes.first() {
            Some(&FORMAT) => Ok(Self(bytes)),
            _ => Err(TwinIdError::Newer),
        }
    }

    /// The 33 bytes.
    pub const fn as_bytes(&self) -> &[u8; TWIN_ID_LEN] {
        &self.0
    }
}

/// A text or byte string is no twin id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TwinIdError {
    /// Not bech32m with the prefix `twin`, or of the wrong length.
    #[error("this is not a twin id: it should read twin1… and be copied whole")]
    Invalid,
    /// A format of a later version.
    #[error("this twin id was made by a newer version: update the app to read it")]
    Newer,
}

impl fmt::Display for TwinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, Hrp::parse_unchecked(HRP), &self.0)
            .map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for TwinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "TwinId({}…)", text.get(..10).unwrap_or(&text))
    }
}

impl FromStr for TwinId {
    type Err = TwinIdError;

    fn from_str(text: &str) -> Result<Self, TwinIdError> {
        let text = text.trim();
        if text.len() != TEXT_LEN {
            return Err(TwinIdError::Invalid);
        }
        let parsed = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| TwinIdError::Invalid)?;
        if parsed.hrp() != Hrp::parse_unchecked(HRP) {
            return Err(TwinIdError::Invalid);
        }
        let bytes: Vec<u8> = parsed.byte_iter().take(TWIN_ID_LEN + 1).collect();
        let id = Self::from_bytes(&bytes)?;
        // The last character holds one bit more than the id: 0, so that an id has one text.
        if text.eq_ignore_ascii_case(&id.to_string()) {
            Ok(id)
        } else {
            Err(TwinIdError::Invalid)
        }
    }
}

impl<C> Encode<C> for TwinId {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for TwinId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(d.bytes()?).map_err(|_| minicbor::decode::Error::message("twin id"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_round_trip(hash: [u8; 32]) {
            let id = TwinId::from_hash(hash);
            let text = id.to_string();
            prop_assert!(text.starts_with("twin1"));
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(id));
        }

        #[test]
        fn any_text_gets_an_answer(text: String) {
            let _ = text.parse::<TwinId>();
        }
    }

    #[test]
    fn a_twin_id_is_read_as_it_was_written() {
        let id = TwinId::from_hash([7; 32]);
        assert_eq!(crate::cbor::decode(&crate::cbor::encode(&id), 64), Ok(id));
    }

    #[test]
    fn refuses_damage_and_the_future() {
        let text = TwinId::from_hash([7; 32]).to_string();
        let mut damaged = text.clone();
        damaged.replace_range(20..21, if &text[20..21] == "q" { "p" } else { "q" });
        assert_eq!(damaged.parse::<TwinId>(), Err(TwinIdError::Invalid));
        let mut newer = *TwinId::from_hash([7; 32]).as_bytes();
        newer[0] = 2;
        assert_eq!(TwinId::from_bytes(&newer), Err(TwinIdError::Newer));
    }
}
