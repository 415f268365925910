//! The identity log's wire form: the genesis and its entries.

use minicbor::{Decode, Encode};

use crate::authority::{AUTHORITY_SIGNATURE_LEN, AuthorityHash, AuthorityKey, AuthorityPublic};
use crate::cbor::{self, CborError};
use crate::context;
use crate::device::{DeviceKeys, DeviceStatement};
use crate::id::{DeviceId, EntryId, TwinId};
use crate::seal::SealingPublic;
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
const ROTATE_TYPE: u8 = 1;
const ADD_DEVICE_TYPE: u8 = 2;

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

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An authority key is used: it sets the devices anew. Entry 1 is one.
    Rotate(Box<Rotate>),
    /// An admin adds a device.
    AddDevice(Box<DeviceStatement>),
    /// Of a later version: kept and forwarded, but nothing is concluded from it.
    Unknown {
        /// Its suite.
        suite: u8,
        /// Its type.
        kind: u8,
    },
}

/// A rotation: reveals an authority key, commits to the next.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rotate {
    /// The authority key that signs, until now known by its hash.
    #[n(0)]
    pub authority: AuthorityPublic,
    /// Hash of the next authority key.
    #[cbor(n(1), with = "cbor::fixed")]
    pub next: AuthorityHash,
    /// The recovery sealing key that belongs to the words.
    #[n(2)]
    pub recovery: SealingPublic,
    /// The generation of pseudonyms that starts here.
    #[n(3)]
    pub generation: u32,
    /// Devices named for the first time.
    #[n(4)]
    pub devices: Vec<DeviceStatement>,
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
    /// The entries that the signer had seen last, sorted; the genesis for entry 1.
    pub prevs: Vec<EntryId>,
    /// One more than the highest seq among `prevs`; the genesis counts as 0.
    pub seq: u64,
    /// What it says.
    pub body: Body,
    /// The device that signed; `None` for the authority key.
    pub signer: Option<DeviceId>,
    /// Ed25519 by the device, or Ed25519 ‖ ML-DSA-65 by the authority key.
    pub signature: Vec<u8>,
    bytes: Vec<u8>,
}

impl Entry {
    /// Entry 1: authority key 0 names the first device.
    pub fn first(
        genesis: &Genesis,
        authority: &AuthorityKey,
        next: AuthorityHash,
        recovery: SealingPublic,
        device: DeviceStatement,
    ) -> Result<Self, CborError> {
        let body = Rotate {
            authority: authority.public(),
            next,
            recovery,
            generation: 0,
            devices: vec![device],
        };
        let raw = RawEntry {
            version: VERSION,
            suite: SUITE,
            kind: ROTATE_TYPE,
            prevs: vec![genesis.entry_id()],
            seq: 1,
            body: cbor::encode(&body),
            signer: None,
        };
        raw.sign(|id| authority.sign_entry(&genesis.twin_id(), id))
    }

    /// An admin adds a device after the given heads (see [`crate::log::IdentityLog::heads`]).
    pub fn add_device(
        twin: &TwinId,
        heads: &[EntryId],
        seq: u64,
        statement: &DeviceStatement,
        signer: &DeviceKeys,
    ) -> Result<Self, CborError> {
        let raw = RawEntry {
            version: VERSION,
            suite: SUITE,
            kind: ADD_DEVICE_TYPE,
            prevs: heads.to_vec(),
            seq,
            body: cbor::encode(statement),
            signer: Some(signer.id()),
        };
        raw.sign(|id| signer.sign(Use::Entry, twin, id).to_vec())
    }

    /// Reads an entry; at most [`MAX_ENTRY_LEN`] bytes. The signature is verified when the entry joins a log.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let signed: SignedEntry = cbor::decode(bytes, MAX_ENTRY_LEN)?;
        let raw: RawEntry = cbor::decode(&signed.entry, MAX_ENTRY_LEN)?;
        let sorted = raw.prevs.is_sorted_by(|a, b| a < b);
        if raw.prevs.is_empty() || raw.prevs.len() > MAX_PREVS || !sorted {
            return Err(CborError::Malformed);
        }
        let known = raw.version == VERSION && raw.suite == SUITE;
        let body = match raw.kind {
            ROTATE_TYPE if known => Body::Rotate(Box::new(cbor::decode(&raw.body, MAX_ENTRY_LEN)?)),
            ADD_DEVICE_TYPE if known => {
                Body::AddDevice(Box::new(cbor::decode(&raw.body, MAX_ENTRY_LEN)?))
            }
            kind => Body::Unknown {
                suite: raw.suite,
                kind,
            },
        };
        let expected = match raw.signer {
            Some(_) => SIGNATURE_LEN,
            None => AUTHORITY_SIGNATURE_LEN,
        };
        if known && signed.signature.len() != expected {
            return Err(CborError::Malformed);
        }
        Ok(Self {
            id: EntryId::from_bytes(context::ENTRY.hash([signed.entry.as_slice()])),
            prevs: raw.prevs,
            seq: raw.seq,
            body,
            signer: raw.signer,
            signature: signed.signature,
            bytes: bytes.to_vec(),
        })
    }

    /// The signed entry as it is stored and sent.
    pub fn to_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl RawEntry {
    fn sign(self, sign: impl FnOnce(&[u8; 32]) -> Vec<u8>) -> Result<Entry, CborError> {
        let entry = cbor::encode(&self);
        let signature = sign(&context::ENTRY.hash([entry.as_slice()]));
        Entry::from_bytes(&cbor::encode(&SignedEntry { entry, signature }))
    }
}
