//! Deterministic CBOR (RFC 8949, section 4.2.1) for everything that is hashed, signed or sent.
//!
//! A decoder that accepts two encodings of one value lets an attacker make two ids for it. So every structure is
//! decoded, encoded again and compared, and its shape is checked first: depth at most 8, at most 65,536 items, no tags,
//! no floats, no indefinite lengths, map keys in order and unique.

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;
use minicbor::{Decode, Encode};

/// Deepest nesting of arrays and maps.
pub const MAX_DEPTH: usize = 8;
/// The most items of one value: numbers, strings, lists and maps. The longest table of a sync has about 41,000; a list
/// of a million empty strings would be short, and take many times its length to hold.
pub const MAX_ITEMS: usize = 1 << 16;

/// The bytes are not one value in deterministic CBOR of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Longer than the structure may be.
    #[error("the data is {len} bytes long, more than the {max} allowed")]
    TooLong {
        /// Length met, in bytes.
        len: usize,
        /// Length allowed, in bytes.
        max: usize,
    },
    /// Not well-formed, not of the expected form, or not the one deterministic encoding.
    #[error("the data is damaged or not in the expected format")]
    Malformed,
}

/// Encodes a value. Derived encoders write maps in key order and definite lengths, so the result is deterministic.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    encode_into(Vec::new(), value)
}

/// The same, appended to `out`: with room enough in it, what is secret is not copied on the way.
pub fn encode_into<T: Encode<()>>(mut out: Vec<u8>, value: &T) -> Vec<u8> {
    let mut encoder = Encoder::new(&mut out);
    // Writing to a vector cannot fail; an encoder that reports an error of its own would be a defect here, and an
    // empty result is refused by every decoder.
    match value.encode(&mut encoder, &mut ()) {
        Ok(()) => out,
        Err(_) => Vec::new(),
    }
}

/// How long the encoding of a value is, in bytes.
pub fn len<T: Encode<()>>(value: &T) -> usize {
    let mut counted = Counted(0);
    match value.encode(&mut Encoder::new(&mut counted), &mut ()) {
        Ok(()) => counted.0,
        Err(_) => 0,
    }
}

/// Counts what is written to it.
struct Counted(usize);

impl minicbor::encode::Write for Counted {
    type Error = std::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// Whether `bytes` is what [`encode`] makes of a value: compared as it is written, without a copy.
pub fn is_encoding<T: Encode<()>>(bytes: &[u8], value: &T) -> bool {
    let mut rest = Compared(bytes);
    let written = value.encode(&mut Encoder::new(&mut rest), &mut ());
    written.is_ok() && rest.0.is_empty()
}

/// Holds what is still to be written to it.
struct Compared<'b>(&'b [u8]);

/// What is written is not what was expected.
struct Different;

impl minicbor::encode::Write for Compared<'_> {
    type Error = Different;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Different> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Different)?;
        Ok(())
    }
}

/// Decodes one value that fills `bytes` exactly and is its deterministic encoding.
pub fn decode<'b, T>(bytes: &'b [u8], max: usize) -> Result<T, CborError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    check(bytes, max)?;
    decode_checked(bytes)
}

/// Decodes a value that [`check`] or [`check_with_floats`] has let through.
fn decode_checked<'b, T>(bytes: &'b [u8]) -> Result<T, CborError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    let value: T = minicbor::decode(bytes).map_err(|_| CborError::Malformed)?;
    if is_encoding(bytes, &value) {
        Ok(value)
    } else {
        Err(CborError::Malformed)
    }
}

/// Checks that `bytes` is exactly one deterministic value, without knowing its type.
pub fn check(bytes: &[u8], max: usize) -> Result<(), CborError> {
    Check::new(bytes, false).all(max)
}

/// Like [`check`], but 64-bit floats may be in it.
pub fn check_with_floats(bytes: &[u8], max: usize) -> Result<(), CborError> {
    Check::new(bytes, true).all(max)
}

struct Check<'b> {
    bytes: &'b [u8],
    decoder: Decoder<'b>,
    items: usize,
    floats: bool,
}

impl<'b> Check<'b> {
    fn new(bytes: &'b [u8], floats: bool) -> Self {
        Self {
            bytes,
            decoder: Decoder::new(bytes),
            items: 0,
            floats,
        }
    }

    fn all(mut self, max: usize) -> Result<(), CborError> {
        let len = self.bytes.len();
        if len > max {
            return Err(CborError::TooLong { len, max });
        }
        self.value(0)?;
        if self.decoder.position() == len {
            Ok(())
        } else {
            Err(CborError::Malformed)
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), CborError> {
        let bad = |_| CborError::Malformed;
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(CborError::Malformed);
        }
        let start = self.decoder.position();
        let first = *self.bytes.get(start).ok_or(CborError::Malformed)?;
        let kind = self.decoder.datatype().map_err(bad)?;
        if kind == Type::F64 && self.floats {
            return self.decoder.skip().map_err(bad);
        }
        check_head(self.bytes.get(start..).unwrap_or_default())?;
        match kind {
            Type::Array if depth < MAX_DEPTH => {
                let len = self.decoder.array().map_err(bad)?;
                for _ in 0..len.ok_or(CborError::Malformed)? {
                    self.value(depth + 1)?;
                }
            }
            Type::Map if depth < MAX_DEPTH => {
                let len = self.decoder.map().map_err(bad)?;
                let mut last: Option<&[u8]> = None;
                for _ in 0..len.ok_or(CborError::Malformed)? {
                    let key_start = self.decoder.position();
                    self.value(depth + 1)?;
                    let key = self.bytes.get(key_start..self.decoder.position());
                    if key <= last {
                        return Err(CborError::Malformed);
                    }
                    last = key;
                    self.value(depth + 1)?;
                }
            }
            Type::Bytes => {
                self.decoder.bytes().map_err(bad)?;
            }
            Type::String => {
                self.decoder.str().map_err(bad)?;
            }
            Type::Bool | Type::Null => self.decoder.skip().map_err(bad)?,
            // An integer is major type 0 or 1.
            _ if first >> 5 <= 1 => self.decoder.skip().map_err(bad)?,
            _ => return Err(CborError::Malformed),
        }
        Ok(())
    }
}

/// Refuses a head whose argument is not in its shortest form (RFC 8949, section 3).
fn check_head(head: &[u8]) -> Result<(), CborError> {
    let (first, rest) = head.split_first().ok_or(CborError::Malformed)?;
    let take = |n: usize| -> Result<u64, CborError> {
        let bytes = rest.get(..n).ok_or(CborError::Malformed)?;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    };
    let (value, least) = match first & 0x1f {
        0..24 => return Ok(()),
        24 => (take(1)?, 24),
        25 => (take(2)?, 1 << 8),
        26 => (take(4)?, 1 << 16),
        27 => (take(8)?, 1 << 32),
        _ => return Err(CborError::Malformed),
    };
    if value < least {
        return Err(CborError::Malformed);
    }
    Ok(())
}

/// Encodes a fixed-size byte array as a CBOR byte string; for `#[cbor(with = "…")]`.
pub mod fixed {
    use minicbor::decode::Decoder;
    use minicbor::encode::{Encoder, Error, Write};

    /// Writes the array as a byte string.
    pub fn encode<const N: usize, C, W: Write>(
        value: &[u8; N],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), Error<W::Error>> {
        e.bytes(value)?.ok()
    }

    /// Reads a byte string of exactly `N` bytes.
    pub fn decode<'b, const N: usize, C>(
        d: &mut Decoder<'b>,
        _: &mut C,
    ) -> Result<[u8; N], minicbor::decode::Error> {
        d.bytes()?
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("wrong length"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Sample {
        #[n(0)]
        version: u8,
        #[cbor(n(3), with = "minicbor::bytes")]
        data: Vec<u8>,
        #[n(4)]
        note: Option<String>,
    }

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_encoding_is_told_from_all_that_is_longer_shorter_or_other() {
        let sample = Sample {
            version: 1,
            data: vec![2; 300],
            note: Some("three".to_owned()),
        };
        let bytes = encode(&sample);
        assert!(is_encoding(&bytes, &sample));
        let (last, shorter) = bytes.split_last().unwrap();
        assert!(!is_encoding(shorter, &sample));
        assert!(!is_encoding(&[&bytes, [0].as_slice()].concat(), &sample));
        assert!(!is_encoding(&[shorter, &[last ^ 1]].concat(), &sample));
    }

    #[test]
    fn each_width_of_a_head_has_its_least_argument() {
        for (least, before) in [
            ("1818", "1817"),
            ("190100", "1900ff"),
            ("1a00010000", "1a0000ffff"),
            ("1b0000000100000000", "1b00000000ffffffff"),
        ] {
            assert_eq!(check_head(&hex(least)), Ok(()), "{least}");
            assert_eq!(check_head(&hex(before)), Err(CborError::Malformed));
            let cut = hex(least);
            assert!(check_head(&cut[..cut.len() - 1]).is_err());
        }
        assert_eq!(check_head(&hex("17")), Ok(()));
        assert!(check_head(&[]).is_err() && check_head(&hex("1c")).is_err());
    }

    #[test]
    fn one_encoding_only() {
        let good = hex("a2000103420102");
        let sample: Sample = decode(&good, 100).unwrap();
        assert_eq!(sample.data, [1, 2]);
        for (bytes, why) in [
            ("a20342010200 01", "keys out of order"),
            ("a300010342010206 00", "unknown key"),
            ("a2001801 03420102", "integer not in its shortest form"),
            ("a20001035f4101 4102ff", "indefinite length"),
            ("bf000103420102ff", "indefinite map"),
            ("a2000103420102 00", "trailing byte"),
            ("a20001034201", "cut"),
            ("a3000100010342 0102", "key twice"),
            ("a20001 c2420102", "tag"),
            ("", "empty"),
        ] {
            let bytes = hex(&bytes.replace(' ', ""));
            assert!(decode::<Sample>(&bytes, 100).is_err(), "{why}");
        }
    }

    #[test]
    fn maps_are_as_deep_as_lists_by_their_values_and_by_their_keys() {
        let by_values = |depth| [[0xa1, 0].repeat(depth), vec![0]].concat();
        let by_keys = |depth| [vec![0xa1; depth], vec![0; depth + 1]].concat();
        for (deep, deeper) in [
            (by_values(MAX_DEPTH), by_values(MAX_DEPTH + 1)),
            (by_keys(MAX_DEPTH), by_keys(MAX_DEPTH + 1)),
        ] {
            assert_eq!(check(&deep, 100), Ok(()));
            assert_eq!(check(&deeper, 100), Err(CborError::Malformed));
        }
    }

    #[test]
    fn length_and_depth_are_bounded() {
        let good = hex("a2000103420102");
        assert_eq!(
            decode::<Sample>(&good, 6),
            Err(CborError::TooLong { len: 7, max: 6 })
        );
        let mut nested = vec![0x81; MAX_DEPTH];
        nested.push(0);
        assert_eq!(check(&nested, 100), Ok(()));
        nested.insert(0, 0x81);
        assert_eq!(check(&nested, 100), Err(CborError::Malformed));
    }

    #[test]
    fn floats_are_let_in_where_they_are_expected() {
        for (bytes, fine) in [
            ("fb3ff8000000000000", true),
            ("fb0000000000000000", true),
            ("82fb3ff800000000000000", true),
            ("fb3ff80000000000", false),
            ("fa3fc00000", false),
            ("f93e00", false),
            ("f7", false),
        ] {
            let bytes = hex(bytes);
            assert_eq!(check_with_floats(&bytes, 100).is_ok(), fine, "{bytes:x?}");
            assert_eq!(check(&bytes, 100), Err(CborError::Malformed));
        }
    }

    #[test]
    fn items_are_counted_at_every_depth() {
        // A list of pairs: itself, and three items each.
        let pairs = (MAX_ITEMS - 1) / 3;
        let mut most = vec![0x99];
        most.extend(u16::try_from(pairs).unwrap().to_be_bytes());
        most.extend([0x82, 0, 0x40].repeat(pairs));
        assert_eq!(check(&most, usize::MAX), Ok(()));
        let mut more = vec![0x83];
        more.extend(&most);
        more.extend([0, 0]);
        assert_eq!(check(&more, usize::MAX), Err(CborError::Malformed));
    }

    proptest! {
        #[test]
        fn round_trip(version: u8, data: Vec<u8>, note: Option<String>) {
            let sample = Sample { version, data, note };
            let bytes = encode(&sample);
            prop_assert_eq!(len(&sample), bytes.len());
            prop_assert_eq!(decode::<Sample>(&bytes, usize::MAX).unwrap(), sample);
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            if check(&bytes, 4096).is_ok() {
                // What passes is canonical for a generic reader too.
                prop_assert_eq!(minicbor::Decoder::new(&bytes).skip().ok(), Some(()));
            }
        }
    }
}
