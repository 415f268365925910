//! The identity log: the signed, hash-linked history of a twin's devices and keys.
//!
//! The log is a DAG whose meaning is a pure function of the set of its entries: any order of arrival, any
//! duplication, no clock. An entry joins only after everything it refers to, and only if its signer was allowed to
//! say it given what it refers to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use crate::authority::AuthorityHash;
use crate::cbor::{self, CborError};
use crate::context;
use crate::device::{DevicePublic, DeviceStatement, Role};
use crate::entry::{Body, Entry, Genesis, MAX_ENTRY_LEN, MAX_PREVS};
use crate::id::{DeviceId, EntryId, TwinId};
use crate::past::Past;
use crate::seal::SealingPublic;
use crate::sign::{self, SignatureError, Use};

/// The most entries of a log.
pub const MAX_ENTRIES: usize = 4096;
/// The most entries by one signer between rotations.
pub const MAX_ENTRIES_PER_SIGNER: usize = 256;
/// The most devices in the causal past of an entry that adds another; only adding at the same time goes beyond.
pub const MAX_DEVICES: usize = 64;
/// The most bytes of a whole log as [`IdentityLog::to_bytes`] writes it.
pub const MAX_LOG_LEN: usize = MAX_ENTRIES * (MAX_ENTRY_LEN + 16);

/// An entry or a log is not acceptable. Nothing of it has been taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not in the expected format.
    #[error("the identity log is damaged or not in the expected format: fetch it again")]
    Format(#[from] CborError),
    /// A signature does not verify.
    #[error("an identity log entry is forged or damaged and was refused")]
    Signature(#[from] SignatureError),
    /// The log of another twin.
    #[error("this identity log belongs to another twin")]
    OtherTwin,
    /// It refers to an entry that is not here; it can be offered again later.
    #[error("an identity log entry came before the entries it builds on: sync again")]
    MissingPrev,
    /// The signer was not an admin where it signed.
    #[error("an identity log entry was signed by a device that may not change the log")]
    NotAllowed,
    /// The entry breaks a rule of the log: wrong seq, an authority key that was not committed to, a device twice.
    #[error("an identity log entry breaks the rules of the log and was refused")]
    Rule,
    /// One of the limits is reached.
    #[error("the identity log is full: too many entries or devices")]
    Limit,
}

/// A device of the twin, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its public keys.
    pub public: DevicePublic,
    /// What it may do.
    pub role: Role,
    /// The entry that added it.
    pub added: EntryId,
}

/// A verified identity log.
#[derive(Debug, Clone)]
pub struct IdentityLog {
    genesis: Genesis,
    twin: TwinId,
    entries: BTreeMap<EntryId, Entry>,
    heads: BTreeSet<EntryId>,
    devices: BTreeMap<DeviceId, Device>,
    recovery: Option<SealingPublic>,
    next_authority: AuthorityHash,
}

impl IdentityLog {
    /// An empty log that begins with `genesis`.
    pub fn new(genesis: Genesis) -> Self {
        Self {
            twin: genesis.twin_id(),
            next_authority: genesis.authority,
            genesis,
            entries: BTreeMap::new(),
            heads: BTreeSet::new(),
            devices: BTreeMap::new(),
            recovery: None,
        }
    }

    /// The twin whose log this is.
    pub const fn twin(&self) -> &TwinId {
        &self.twin
    }

    /// The genesis.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The devices, by id.
    pub const fn devices(&self) -> &BTreeMap<DeviceId, Device> {
        &self.devices
    }

    /// One device.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    /// Whether `id` is a device that may change the log.
    pub fn is_admin(&self, id: &DeviceId) -> bool {
        self.device(id)
            .is_some_and(|device| device.role == Role::Admin)
    }

    /// The recovery sealing key; `None` before entry 1.
    pub const fn recovery(&self) -> Option<&SealingPublic> {
        self.recovery.as_ref()
    }

    /// The commitment to the authority key that the next rotation must reveal.
    pub const fn next_authority(&self) -> &AuthorityHash {
        &self.next_authority
    }

    /// The entries, by id.
    pub const fn entries(&self) -> &BTreeMap<EntryId, Entry> {
        &self.entries
    }

    /// What a new entry names as its prevs: the entries that no other builds on, sorted; the genesis before entry 1.
    /// Of more than [`MAX_PREVS`] those with the highest seq, so that no number of branches can lock the log.
    pub fn heads(&self) -> Vec<EntryId> {
        if self.heads.is_empty() {
            return vec![self.genesis.entry_id()];
        }
        let mut heads: Vec<&Entry> = self.heads.iter().filter_map(|id| self.entry(id)).collect();
        heads.sort_by_key(|entry| (Reverse(entry.seq), entry.id));
        let mut heads: Vec<EntryId> = heads.iter().take(MAX_PREVS).map(|head| head.id).collect();
        heads.sort_unstable();
        heads
    }

    /// The seq of an entry that builds on [`IdentityLog::heads`].
    pub fn next_seq(&self) -> u64 {
        let highest = self.heads.iter().filter_map(|id| self.entry(id));
        1 + highest.map(|entry| entry.seq).max().unwrap_or(0)
    }

    fn entry(&self, id: &EntryId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Whether the log holds entries that this version cannot read. The app should ask for an update.
    pub fn needs_update(&self) -> bool {
        self.entries
            .values()
            .any(|entry| matches!(entry.body, Body::Unknown { .. }))
    }

    /// A digest over the set of entries: equal digests, equal logs.
    pub fn digest(&self) -> [u8; 32] {
        context::LOG_DIGEST.hash(self.entries.keys().map(|id| id.as_bytes().as_slice()))
    }

    /// Takes an entry over if it is valid here. `Ok(false)`: it was there already.
    pub fn insert(&mut self, entry: Entry) -> Result<bool, LogError> {
        if self.entries.contains_key(&entry.id) {
            return Ok(false);
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(LogError::Limit);
        }
        self.check_place(&entry)?;
        match &entry.body {
            Body::Rotate(rotate) => {
                // Only entry 1 so far: every later key is committed to but not yet in use.
                if entry.signer.is_some() || entry.seq != 1 || !self.entries.is_empty() {
                    return Err(LogError::Rule);
                }
                let ids: BTreeSet<_> = rotate.devices.iter().map(|named| named.device.id).collect();
                if rotate.authority.hash() != self.next_authority
                    || ids.is_empty()
                    || ids.len() != rotate.devices.len()
                {
                    return Err(LogError::Rule);
                }
                let id = entry.id.as_bytes();
                rotate
                    .authority
                    .verify_entry(&self.twin, id, &entry.signature)?;
                if rotate.devices.len() > MAX_DEVICES {
                    return Err(LogError::Limit);
                }
                for statement in &rotate.devices {
                    statement.verify(&self.twin)?;
                }
                for statement in &rotate.devices {
                    self.add(statement, entry.id);
                }
                self.recovery = Some(rotate.recovery.clone());
                self.next_authority = rotate.next;
            }
            Body::AddDevice(statement) => {
                let past = Past::of(&entry, &self.entries);
                self.check_signer(&entry, &past)?;
                // Only devices that do not know of each other's entries can name one twice.
                if past.role(&statement.device.id).is_some() {
                    return Err(LogError::Rule);
                }
                if past.devices() >= MAX_DEVICES {
                    return Err(LogError::Limit);
                }
                statement.verify(&self.twin)?;
                self.add(statement, entry.id);
            }
            Body::Unknown { .. } => {
                // Kept and forwarded if an admin signed it in a suite that we can check; else nobody vouches for it.
                self.check_signer(&entry, &Past::of(&entry, &self.entries))?;
            }
        }
        for prev in &entry.prevs {
            self.heads.remove(prev);
        }
        self.heads.insert(entry.id);
        self.entries.insert(entry.id, entry);
        Ok(true)
    }

    fn check_place(&self, entry: &Entry) -> Result<(), LogError> {
        let genesis = self.genesis.entry_id();
        let mut seq = 0;
        for prev in &entry.prevs {
            seq = seq.max(match self.entries.get(prev) {
                Some(prev) => prev.seq,
                None if *prev == genesis && entry.seq == 1 => 0,
                None => return Err(LogError::MissingPrev),
            });
        }
        if entry.seq == seq + 1 {
            Ok(())
        } else {
            Err(LogError::Rule)
        }
    }

    fn check_signer(&self, entry: &Entry, past: &Past) -> Result<(), LogError> {
        let signer = entry.signer.ok_or(LogError::NotAllowed)?;
        if !self.was_admin(past, &signer) {
            return Err(LogError::NotAllowed);
        }
        if past.signed_by(&signer) >= MAX_ENTRIES_PER_SIGNER {
            return Err(LogError::Limit);
        }
        let signature = entry
            .signature
            .as_slice()
            .try_into()
            .map_err(|_| SignatureError)?;
        #[cfg(twin_break)]
        if crate::broken::is("entry_signature_unchecked") {
            return Ok(());
        }
        let id = entry.id.as_bytes();
        sign::verify(&signer, Use::Entry, &self.twin, id, &signature)?;
        Ok(())
    }

    fn was_admin(&self, past: &Past, device: &DeviceId) -> bool {
        #[cfg(twin_break)]
        if crate::broken::is("any_device_may_add") {
            return self.devices.contains_key(device);
        }
        past.role(device) == Some(Role::Admin)
    }

    /// Two admins may add one device at the same time: the entry with the lower id names it, whatever came first.
    fn add(&mut self, statement: &DeviceStatement, added: EntryId) {
        let device = Device {
            public: statement.device.clone(),
            role: statement.role,
            added,
        };
        let known = self.devices.get(&device.public.id);
        if known.is_none_or(|known| added < known.added) {
            self.devices.insert(device.public.id, device);
        }
    }

    /// The whole log in one piece: genesis and entries in an order that can be verified as it is read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by_key(|entry| (entry.seq, entry.id));
        cbor::encode(&RawLog {
            genesis: self.genesis.to_bytes(),
            entries: entries
                .into_iter()
                .map(|entry| RawBytes(entry.to_bytes().to_vec()))
                .collect(),
        })
    }

    /// Verifies a whole log from its bytes, for the twin that is expected.
    pub fn from_bytes(twin: &TwinId, bytes: &[u8]) -> Result<Self, LogError> {
        let raw: RawLog = cbor::decode(bytes, MAX_LOG_LEN)?;
        let mut log = Self::new(Genesis::from_bytes(&raw.genesis)?);
        if log.twin != *twin {
            return Err(LogError::OtherTwin);
        }
        for entry in &raw.entries {
            log.insert(Entry::from_bytes(&entry.0)?)?;
        }
        if log.entries.is_empty() {
            return Err(LogError::Rule);
        }
        Ok(log)
    }
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct RawLog {
    #[cbor(n(0), with = "minicbor::bytes")]
    genesis: Vec<u8>,
    #[n(1)]
    entries: Vec<RawBytes>,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct RawBytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);
