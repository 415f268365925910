//! One guardian's share: what is in its QR code.

use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, Zeroizing};

use super::{MAX_GUARDIANS, MIN_NEEDED};
use crate::cbor;
use crate::context;
use crate::entry::{SUITE, VERSION};
use crate::id_type;
use crate::secret::Secret;

/// The most bytes of a set's name.
pub const MAX_SET_NAME: usize = 64;
/// The most bytes of a share, without its checksum.
pub const MAX_SHARE_LEN: usize = 400;
/// The most characters of a share's text, white space not counted.
pub const MAX_SHARE_TEXT: usize = PREFIX.len() + (MAX_SHARE_LEN + CHECKSUM_LEN).div_ceil(5) * 8;

const PREFIX: &str = "TWIN:SHARE:";
const SHARE_TYPE: u8 = 1;
const CHECKSUM_LEN: usize = 4;
const COMMITMENT_LEN: usize = 16;

id_type! {
    /// A set of shares: hash of its name, its counts and the commitments to its shares.
    SetId
}

impl SetId {
    /// Eight hexadecimal digits, to tell sets of one name apart.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

/// One guardian's share.
///
/// It holds a random-looking value, the name and counts of its set, and a commitment to each share of the set, so
/// that a made-up share is found out. Nothing in it tells anything about the secret.
pub struct Share {
    name: String,
    index: u8,
    needed: u8,
    value: Secret<32>,
    commitments: Vec<Commitment>,
}

/// First 16 bytes of a hash over the share's number and value.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
struct Commitment(#[cbor(n(0), with = "cbor::fixed")] [u8; COMMITMENT_LEN]);

/// A text is no guardian's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Something else altogether.
    #[error("this is not a guardian's share: it should begin with {}", PREFIX)]
    Foreign,
    /// Not all of it is there, or a character is wrong.
    #[error("the share is incomplete or misread: scan it again, or copy it whole")]
    Damaged,
    /// Of a later version.
    #[error("the share was made by a newer version: update the app to read it")]
    Newer,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawShare {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    name: String,
    #[n(4)]
    index: u8,
    #[n(5)]
    needed: u8,
    #[cbor(n(6), with = "cbor::fixed")]
    value: [u8; 32],
    #[n(7)]
    commitments: Vec<Commitment>,
}

/// Only what every version has.
#[derive(Decode)]
#[cbor(map)]
struct Peek {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
}

impl Share {
    /// The shares of a set, by the values of share 1, 2, 3 …
    pub(super) fn set(name: &str, needed: u8, values: Vec<Secret<32>>) -> Vec<Self> {
        let commitments: Vec<Commitment> = (1..)
            .zip(&values)
            .map(|(index, value)| commitment(index, value))
            .collect();
        (1..)
            .zip(values)
            .map(|(index, value)| Self {
                name: name.to_owned(),
                index,
                needed,
                value,
                commitments: commitments.clone(),
            })
            .collect()
    }

    /// The name of the set.
    pub fn set_name(&self) -> &str {
        &self.name
    }

    /// Which set it belongs to.
    pub fn set_id(&self) -> SetId {
        let (needed, guardians) = ([self.needed], [self.guardians()]);
        let commitments = self.commitments.iter().map(|one| one.0.as_slice());
        let fields = [needed.as_slice(), &guardians].into_iter();
        let fields = fields.chain(commitments).chain([self.name.as_bytes()]);
        SetId::from_bytes(context::GUARDIAN_SET.hash(fields))
    }

    /// Its number, from 1.
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// How many shares it takes.
    pub const fn needed(&self) -> u8 {
        self.needed
    }

    /// How many shares were handed out.
    pub fn guardians(&self) -> u8 {
        // No more than 16 are read or made.
        u8::try_from(self.commitments.len()).unwrap_or(u8::MAX)
    }

    /// Whether this is what its set committed to under its number.
    pub fn is_as_handed_out(&self) -> bool {
        let at = usize::from(self.index).checked_sub(1);
        let committed = at.and_then(|at| self.commitments.get(at));
        committed == Some(&commitment(self.index, &self.value))
    }

    /// Number and value, as the combiner wants them.
    pub(super) fn point(&self) -> Vec<u8> {
        let mut point = Vec::with_capacity(1 + self.value.expose().len());
        point.push(self.index);
        point.extend_from_slice(self.value.expose());
        point
    }

    /// The share in CBOR, without checksum.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut raw = RawShare {
            version: VERSION,
            suite: SUITE,
            kind: SHARE_TYPE,
            name: self.name.clone(),
            index: self.index,
            needed: self.needed,
            value: *self.value.expose(),
            commitments: self.commitments.clone(),
        };
        // Room for all of it, so that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SHARE_LEN + CHECKSUM_LEN));
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(&raw, &mut *bytes);
        raw.value.zeroize();
        bytes
    }

    /// Reads what [`Share::to_bytes`] wrote; at most [`MAX_SHARE_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ShareError> {
        cbor::check(bytes, MAX_SHARE_LEN).map_err(|_| ShareError::Damaged)?;
        let peek: Peek = minicbor::decode(bytes).map_err(|_| ShareError::Damaged)?;
        if (peek.version, peek.suite, peek.kind) != (VERSION, SUITE, SHARE_TYPE) {
            return Err(ShareError::Newer);
        }
        let mut raw: RawShare = minicbor::decode(bytes).map_err(|_| ShareError::Damaged)?;
        let value = Secret::new(raw.value);
        raw.value.zeroize();
        let share = Self {
            name: raw.name,
            index: raw.index,
            needed: raw.needed,
            value,
            commitments: raw.commitments,
        };
        let guardians = share.commitments.len();
        let fits = guardians <= MAX_GUARDIANS.into()
            && (usize::from(MIN_NEEDED)..=guardians).contains(&share.needed.into())
            && (1..=guardians).contains(&share.index.into())
            && is_set_name(&share.name);
        if fits && share.to_bytes().as_slice() == bytes {
            Ok(share)
        } else {
            Err(ShareError::Damaged)
        }
    }

    /// The text of its QR code: upper case and digits, so that the QR code is a small one.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut payload = self.to_bytes();
        let sum = checksum(&payload);
        payload.extend(sum);
        let mut text = Zeroizing::new(String::with_capacity(MAX_SHARE_TEXT));
        text.push_str(PREFIX);
        BASE32_NOPAD.encode_append(&payload, &mut text);
        text
    }

    /// Reads the text of a QR code, or one typed from paper: in upper or lower case, broken into lines or not.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let mut characters = text.chars().filter(|c| !c.is_whitespace());
        let mut compact = Zeroizing::new(String::with_capacity(MAX_SHARE_TEXT));
        let start = characters.by_ref().take(MAX_SHARE_TEXT);
        compact.extend(start.map(|c| c.to_ascii_uppercase()));
        let rest = compact.strip_prefix(PREFIX).ok_or(ShareError::Foreign)?;
        if characters.next().is_some() {
            return Err(ShareError::Damaged);
        }
        let payload = BASE32_NOPAD
            .decode(rest.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| ShareError::Damaged)?;
        let (bytes, sum) = payload
            .split_last_chunk::<CHECKSUM_LEN>()
            .ok_or(ShareError::Damaged)?;
        if checksum(bytes) != *sum {
            return Err(ShareError::Damaged);
        }
        Self::from_bytes(bytes)
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share")
            .field("set", &self.set_id())
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

pub(super) fn is_set_name(name: &str) -> bool {
    (1..=MAX_SET_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn commitment(index: u8, value: &Secret<32>) -> Commitment {
    let hash = context::GUARDIAN_SHARE.hash([[index].as_slice(), value.expose()]);
    let mut commitment = [0; COMMITMENT_LEN];
    commitment
        .iter_mut()
        .zip(hash)
        .for_each(|(to, from)| *to = from);
    Commitment(commitment)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = context::SHARE_CHECKSUM.hash([bytes]);
    [a, b, c, d]
}
