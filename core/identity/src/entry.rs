//! The identity log's wire form: the genesis and its entries.

use minicbor::{Decode, Encode};

use crate::authority::{AUTHORITY_SIGNATURE_LEN, AuthorityHash, AuthorityKey};
use crate::body::{Body, Rotate};
use crate::cbor::{self, CborError};
use crate::context;
use crate::device::DeviceKeys;
use crate::id::{DeviceId, EntryId, TwinId};
use crate::sign::{SIGNATURE_LEN, Use};

/// Version of every structure in this room.
pub const VERSION: u8 = 1;
/// The suite of algorithms: BLAKE3, Ed25519, ML-DSA-65, X-Wing, XChaCha20-Poly1305.
pub const SUITE: u8 = 1;
/// The most bytes of a signed entry.
pub const MAX_ENTRY_LEN: usize = 16 << 10;
/// The most prevs of an entry.
pub const MAX_PREVS: usize = 8;

const GENESIS_TYPE: u8 = 0;

/// The beginning of a twin: a commitment to authority key 0, so that the words alone give the twin id back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Genesis {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    /// Hash of authority key 0.
    #[cbor(n(3), with = "cbor::fixed")]
    pub authority: AuthorityHash,
}

impl Genesis {
    /// The genesis for an authority key 0.
    pub const fn new(authority: AuthorityHash) -> Self {
        Self {
            version: VERSION,
            suite: SUITE,
            kind: GENESIS_TYPE,
            authority,
        }
    }

    /// Reads a genesis.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let genesis: Self = cbor::decode(bytes, 64)?;
        if (genesis.version, genesis.suite, genesis.kind) == (VERSION, SUITE, GENESIS_TYPE) {
            Ok(genesis)
        } else {
            Err(CborError::Malformed)
        }
    }

    /// Its bytes, of which the twin id is made.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// The twin id.
    pub fn twin_id(&self) -> TwinId {
        TwinId::from_hash(self.hash())
    }

    /// The id that entry 1 names as the one before it.
    pub fn entry_id(&self) -> EntryId {
        EntryId::from_bytes(self.hash())
    }

    fn hash(&self) -> [u8; 32] {
        context::GENESIS.hash([self.to_bytes().as_slice()])
    }
}

/// Where an entry stands in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The entries that the signer had seen last, sorted; the genesis for entry 1.
    pub prevs: Vec<EntryId>,
    /// One more than the highest seq among `prevs`; the genesis counts as 0.
    pub seq: u64,
    /// The rotation under which the entry is made, or which it follows; the genesis for entry 1.
    pub base: EntryId,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawEntry {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    prevs: Vec<EntryId>,
    #[n(4)]
    seq: u64,
    /// CBOR of the body, as a byte string so that a body of a later version can be carried unread.
    #[cbor(n(5), with = "minicbor::bytes")]
    body: Vec<u8>,
    /// Absent when the authority key in the body signs.
    #[n(6)]
    signer: Option<DeviceId>,
    #[n(7)]
    base: EntryId,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct SignedEntry {
    #[cbor(n(0), with = "minicbor::bytes")]
    entry: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: Vec<u8>,
}

/// One entry of the identity log, read but not yet judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Hash of the unsigned entry.
    pub id: EntryId,
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub body: Body,
    /// The device that signed; `None` for the authority key.
    pub signer: Option<DeviceId>,
    /// Whether its signature is of a suite that this version can verify.
    pub known_suite: bool,
    /// Ed25519 by the device, or Ed25519 ‖ ML-DSA-65 by the authority key.
    pub signature: Vec<u8>,
    bytes: Vec<u8>,
}

impl Entry {
    /// An entry by a device. [`crate::log::IdentityLog::sign`] finds its place.
    pub fn by_device(
        twin: &TwinId,
        place: Place,
        body: &Body,
        signer: &DeviceKeys,
    ) -> Result<Self, CborError> {
        let raw = RawEntry::new(place, body, Some(signer.id()));
        raw.sign(|id| signer.sign(Use::Entry, twin, id).to_vec())
    }

    /// A rotation, signed by the authority key that it reveals. [`crate::log::IdentityLog::rotate`] finds its place.
    pub fn by_authority(
        twin: &TwinId,
        place: Place,
        rotate: Rotate,
        authority: &AuthorityKey,
    ) -> Result<Self, CborError> {
        let raw = RawEntry::new(place, &Body::Rotate(Box::new(rotate)), None);
        raw.sign(|id| authority.sign_entry(twin, id))
    }

    /// Reads an entry; at most [`MAX_ENTRY_LEN`] bytes. The signature is verified when the entry joins a log.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let signed: SignedEntry = cbor::decode(bytes, MAX_ENTRY_LEN)?;
        let raw: RawEntry = cbor::decode(&signed.entry, MAX_ENTRY_LEN)?;
        let sorted = raw.prevs.is_sorted_by(|a, b| a < b);
        if raw.prevs.is_empty() || raw.prevs.len() > MAX_PREVS || !sorted {
            return Err(CborError::Malformed);
        }
        let known_suite = raw.version == VERSION && raw.suite == SUITE;
        let body = if known_suite {
            Body::decode(raw.kind, raw.suite, &raw.body)?
        } else {
            Body::Unknown {
                suite: raw.suite,
                kind: raw.kind,
            }
        };
        let expected = match raw.signer {
            Some(_) => SIGNATURE_LEN,
            None => AUTHORITY_SIGNATURE_LEN,
        };
        if known_suite && signed.signature.len() != expected {
            return Err(CborError::Malformed);
        }
        Ok(Self {
            id: EntryId::from_bytes(context::ENTRY.hash([signed.entry.as_slice()])),
            place: Place {
                prevs: raw.prevs,
                seq: raw.seq,
                base: raw.base,
            },
            body,
            signer: raw.signer,
            known_suite,
            signature: signed.signature,
            bytes: bytes.to_vec(),
        })
    }

    /// The signed entry as it is stored and sent.
    pub fn to_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rotation that it is, if it is one.
    pub const fn rotation(&self) -> Option<&Rotate> {
        match &self.body {
            Body::Rotate(rotate) => Some(rotate),
            _ => None,
        }
    }
}

impl RawEntry {
    fn new(place: Place, body: &Body, signer: Option<DeviceId>) -> Self {
        let (kind, body) = body.encode();
        Self {
            version: VERSION,
            suite: SUITE,
            kind,
            prevs: place.prevs,
            seq: place.seq,
            body,
            signer,
            base: place.base,
        }
    }

    fn sign(self, sign: impl FnOnce(&[u8; 32]) -> Vec<u8>) -> Result<Entry, CborError> {
        let entry = cbor::encode(&self);
        let signature = sign(&context::ENTRY.hash([entry.as_slice()]));
        Entry::from_bytes(&cbor::encode(&SignedEntry { entry, signature }))
    }
}
