//! The operation: one signed commit by one device, made of separately sealed parts.

use std::borrow::Cow;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use twin_identity::aead::{SALT_LEN, Salt, TAG_LEN};
use twin_identity::cbor::{self, CborError};
use twin_identity::context::{self, HASH_LEN};
use twin_identity::device::DeviceKeys;
use twin_identity::entry::{SUITE, VERSION};
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::id_type;
use twin_identity::sign::{Signature, SignatureError, Use, Verifier};

use crate::epoch::EpochId;
use crate::seal::MIN_PADDED;
use crate::space::SpaceId;

/// The most bytes of an op.
pub const MAX_OP_LEN: usize = 1 << 20;
/// The most parts of an op.
pub const MAX_PARTS: usize = 4096;
/// The least bytes of a sealed part: more than a hash has, so that one never passes for the other.
pub const MIN_SEALED: usize = MIN_PADDED + TAG_LEN;
/// Length of an incarnation, in bytes.
pub const INCARNATION_LEN: usize = 16;

const MAX_HEADER_LEN: usize = 256;
const OP_TYPE: u8 = 1;

id_type! {
    /// A log: hash of its [`Origin`] and the twin.
    LogId
}

id_type! {
    /// What an op names as the one before it: hash of header and signature.
    Link
}

impl Link {
    /// The link of the op with this header and signature.
    pub fn of(header: &[u8], signature: &Signature) -> Self {
        Self(context::LINK.hash([header, signature]))
    }
}

id_type! {
    /// Hash of one sealed part.
    PartHash
}

/// Who writes a log: one incarnation of one device in one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Origin {
    /// The space.
    #[n(0)]
    pub space: SpaceId,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
    /// 16 random bytes, new when a device finds that it was restored or copied.
    #[cbor(n(2), with = "cbor::fixed")]
    pub incarnation: [u8; INCARNATION_LEN],
}

impl Origin {
    /// The log of this origin in a twin.
    pub fn log_id(&self, twin: &TwinId) -> LogId {
        LogId::from_bytes(context::LOG.hash([
            self.space.as_bytes().as_slice(),
            twin.as_bytes(),
            self.device.as_bytes(),
            &self.incarnation,
        ]))
    }
}

/// What is signed of an op. Sequences begin at 1 and have no holes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    /// The log.
    #[n(3)]
    pub log: LogId,
    /// Its place there.
    #[n(4)]
    pub seq: u64,
    /// The op before; absent for the first.
    #[n(5)]
    pub prev: Option<Link>,
    /// The epoch under whose key the parts are sealed.
    #[n(6)]
    pub epoch: EpochId,
    /// Hash over salt and part hashes.
    #[cbor(n(7), with = "cbor::fixed")]
    pub parts: [u8; 32],
}

/// A part: its sealed bytes, or the hash that is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `ciphertext ‖ tag` under the epoch's part key, the op's salt and the part's index.
    Sealed(Vec<u8>),
    /// Erased. Header, chain and signature still verify; whether the part may be missing is for the reader to judge.
    Dropped(PartHash),
}

/// One op as it is stored, synced and exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    header: Header,
    header_bytes: Vec<u8>,
    signature: Signature,
    salt: Salt,
    parts: Vec<Part>,
}

/// An op cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Not in the expected format.
    #[error("an operation is damaged or not in the expected format")]
    Format(#[from] CborError),
    /// Its signature does not verify.
    #[error("an operation is forged or damaged and was refused")]
    Signature(#[from] SignatureError),
    /// Made by a later version.
    #[error("an operation was made by a newer version: update the app to read it")]
    Newer,
    /// More than 1 MiB or 4,096 parts.
    #[error(
        "this is too much for one commit (1 MiB and 4,096 changes at most): split it, or store it as a file"
    )]
    TooLarge,
    /// The parts are not those that the header names.
    #[error("an operation's content does not belong to its header and was refused")]
    Parts,
}

impl Op {
    /// Signs a new op over parts that are sealed already.
    pub fn sign(
        place: Place,
        salt: Salt,
        parts: Vec<Vec<u8>>,
        twin: &TwinId,
        device: &DeviceKeys,
    ) -> Result<Self, OpError> {
        let parts: Vec<Part> = parts.into_iter().map(Part::Sealed).collect();
        let header = Header {
            version: VERSION,
            suite: SUITE,
            kind: OP_TYPE,
            log: place.log,
            seq: place.seq,
            prev: place.prev,
            epoch: place.epoch,
            parts: parts_hash(&salt, &parts),
        };
        let header_bytes = cbor::encode(&header);
        let id = context::OP.hash([header_bytes.as_slice()]);
        let op = Self {
            signature: device.sign(Use::Op, twin, &id),
            header,
            header_bytes,
            salt,
            parts,
        };
        if op.parts.is_empty() || op.parts.len() > MAX_PARTS || cbor::len(&op.raw()) > MAX_OP_LEN {
            return Err(OpError::TooLarge);
        }
        Ok(op)
    }

    /// Reads an op, at most [`MAX_OP_LEN`] bytes, and checks that its parts are those of its header. The signature
    /// is verified by [`crate::chain`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpError> {
        let raw: RawOp = cbor::decode(bytes, MAX_OP_LEN)?;
        let header = raw.header.to_vec();
        Self::from_stored(header, raw.signature, raw.salt, raw.parts.into_owned())
    }

    /// Puts an op together from what a store keeps of it, with the checks of [`Op::from_bytes`].
    pub fn from_stored(
        header_bytes: Vec<u8>,
        signature: Signature,
        salt: Salt,
        parts: Vec<Part>,
    ) -> Result<Self, OpError> {
        if parts.is_empty() || parts.len() > MAX_PARTS {
            return Err(OpError::TooLarge);
        }
        let header: Header = cbor::decode(&header_bytes, MAX_HEADER_LEN)?;
        if (header.version, header.suite, header.kind) != (VERSION, SUITE, OP_TYPE) {
            return Err(OpError::Newer);
        }
        let named = header.parts == parts_hash(&salt, &parts);
        #[cfg(twin_break)]
        let named = named || twin_identity::broken::is("parts_unchecked");
        if !named {
            return Err(OpError::Parts);
        }
        if (header.seq == 1) != header.prev.is_none() || header.seq == 0 {
            return Err(OpError::Format(CborError::Malformed));
        }
        Ok(Self {
            header,
            header_bytes,
            signature,
            salt,
            parts,
        })
    }

    /// The same op without the content of the part at `index`.
    pub fn drop_part(&mut self, index: usize) {
        if let Some(part) = self.parts.get_mut(index) {
            *part = Part::Dropped(part.hash());
        }
    }

    /// The op as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let raw = self.raw();
        cbor::encode_into(Vec::with_capacity(cbor::len(&raw)), &raw)
    }

    fn raw(&self) -> RawOp<'_> {
        RawOp {
            header: &self.header_bytes,
            signature: self.signature,
            salt: self.salt,
            parts: Cow::Borrowed(&self.parts),
        }
    }

    /// The signed header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The header's bytes, as signed.
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The signature.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The salt that all parts are sealed under.
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The parts.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What the next op names as the one before it.
    pub fn link(&self) -> Link {
        Link::of(&self.header_bytes, &self.signature)
    }

    /// Verifies the signature of this op alone; a run of ops is cheaper through [`crate::chain`].
    pub fn verify(&self, device: &Verifier, twin: &TwinId) -> Result<(), OpError> {
        #[cfg(twin_break)]
        if twin_identity::broken::is("op_signature_unchecked") {
            return Ok(());
        }
        let id = context::OP.hash([self.header_bytes.as_slice()]);
        Ok(device.verify(Use::Op, twin, &id, &self.signature)?)
    }
}

/// Where a new op goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The log.
    pub log: LogId,
    /// The height of the log, plus one.
    pub seq: u64,
    /// The head of the log; `None` if it is empty.
    pub prev: Option<Link>,
    /// The epoch to write in.
    pub epoch: EpochId,
}

impl Part {
    /// Hash of the sealed bytes.
    pub fn hash(&self) -> PartHash {
        match self {
            Self::Sealed(sealed) => PartHash::from_bytes(context::PART.hash([sealed.as_slice()])),
            Self::Dropped(hash) => *hash,
        }
    }
}

fn parts_hash(salt: &Salt, parts: &[Part]) -> [u8; 32] {
    // In one piece: many bytes at once are hashed several times faster than a few many times.
    let mut hashed = Vec::with_capacity(salt.len() + parts.len() * HASH_LEN);
    hashed.extend_from_slice(salt);
    for part in parts {
        hashed.extend_from_slice(part.hash().as_bytes());
    }
    context::PARTS.hash([hashed.as_slice()])
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct RawOp<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    header: &'a [u8],
    #[cbor(n(1), with = "cbor::fixed")]
    signature: Signature,
    #[cbor(n(2), with = "cbor::fixed")]
    salt: [u8; SALT_LEN],
    #[n(3)]
    parts: Cow<'a, [Part]>,
}

/// A sealed part is a byte string; a dropped one is an array of its hash.
impl<C> Encode<C> for Part {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Sealed(sealed) => e.bytes(sealed)?.ok(),
            Self::Dropped(hash) => {
                e.array(1)?;
                hash.encode(e, c)
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Part {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? == Type::Bytes {
            let sealed = d.bytes()?;
            if sealed.len() < MIN_SEALED {
                return Err(minicbor::decode::Error::message("part too short"));
            }
            return Ok(Self::Sealed(sealed.to_vec()));
        }
        match d.array()? {
            Some(1) => PartHash::decode(d, c).map(Self::Dropped),
            _ => Err(minicbor::decode::Error::message("part")),
        }
    }
}
