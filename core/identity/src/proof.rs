//! What a contact or a site can check of an identity log without having it: the rotations, how the signer became an
//! admin, and the signer's word of where the log stands.
//!
//! Whoever checks proofs remembers [`Known`] of each twin and never accepts an older one. A proof holds for a day at
//! most, so that a stolen phone cannot go on vouching for itself for longer than that once it is out. See [`Contact`] for
//! what guardians have done.

use std::collections::BTreeMap;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::authority::AuthorityHash;
use crate::body::Body;
use crate::cbor::{self, CborError};
use crate::contact::Contact;
use crate::context;
use crate::device::{DeviceKeys, Role};
use crate::entry::{Entry, Genesis, MAX_ENTRY_LEN, SUITE, VERSION};
use crate::id::{DeviceId, EntryId, TwinId};
use crate::log::{IdentityLog, MAX_DEVICES, MAX_ROTATIONS};
use crate::sign::{self, Signature, SignatureError, Use};

/// How long a proof holds, in milliseconds.
pub const LIFE: u64 = 24 * 60 * 60 * 1000;
/// How far the clock of whoever checks may be behind, in milliseconds.
pub const LEEWAY: u64 = 5 * 60 * 1000;
/// The most bytes of a proof.
pub const MAX_PROOF_LEN: usize = (MAX_ROTATIONS + MAX_DEVICES) * (MAX_ENTRY_LEN + 16);

const HEAD_TYPE: u8 = 1;

/// A proof cannot be made or accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not in the expected format, or made by a newer version.
    #[error("this proof of identity is damaged or made by a newer version")]
    Format(#[from] CborError),
    /// A signature does not verify.
    #[error("this proof of identity is forged or damaged")]
    Signature(#[from] SignatureError),
    /// The proof of another twin.
    #[error("this proof of identity is of another twin")]
    OtherTwin,
    /// The rotations do not follow each other, or the signer is no admin by them.
    #[error("this proof of identity does not hold together: ask for a new one")]
    Broken,
    /// Its day is over, or has not begun.
    #[error("this proof of identity is out of date: ask for a new one, and check both clocks")]
    Expired,
    /// A newer one was accepted before.
    #[error(
        "this proof of identity is older than one that was seen before: it must not be trusted"
    )]
    Older,
    /// It is as new as one that was accepted before, and says something else.
    #[error(
        "this proof of identity contradicts one that was seen before: somebody else may have the words of this twin"
    )]
    Contradicts,
    /// It rests on a rotation by guardians that has not been known for as long as they have to wait.
    #[error(
        "guardians have replaced the keys of this twin, which counts only some days after you have first seen it: ask the person whether that was their wish, and check again later"
    )]
    Waits {
        /// Until when, in milliseconds since the Unix epoch.
        until: u64,
    },
    /// Only admins vouch for the log.
    #[error("only the phone, or a device that may replace it, can make a proof of identity")]
    NotAdmin,
}

/// What is remembered of a twin whose proof was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Known {
    /// How many rotations there were.
    #[n(0)]
    pub rotations: u32,
    /// The last of them.
    #[n(1)]
    pub rotation: EntryId,
    /// The highest seq of what was said under it.
    #[n(2)]
    pub height: u64,
}

/// A proof that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What to remember of the twin, for the next proof.
    pub known: Known,
    /// The admin that vouches.
    pub signer: DeviceId,
    /// Digest of the whole log, as [`IdentityLog::digest`].
    pub digest: [u8; 32],
    /// Until when this holds, in milliseconds since the Unix epoch.
    pub expires: u64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawHead {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    known: Known,
    #[cbor(n(4), with = "cbor::fixed")]
    digest: [u8; 32],
    /// Milliseconds since the Unix epoch.
    #[n(5)]
    issued: u64,
    #[n(6)]
    expires: u64,
    #[n(7)]
    signer: DeviceId,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct RawProof {
    #[cbor(n(0), with = "minicbor::bytes")]
    genesis: Vec<u8>,
    /// All rotations that count, first to last.
    #[n(1)]
    rotations: Vec<ByteVec>,
    /// The entries that made the signer an admin after the last rotation, if it was not one by that.
    #[n(2)]
    adds: Vec<ByteVec>,
    #[cbor(n(3), with = "minicbor::bytes")]
    head: Vec<u8>,
    #[cbor(n(4), with = "cbor::fixed")]
    signature: Signature,
}

/// Makes a proof of where a log stands; `now` in milliseconds since the Unix epoch.
pub fn prove(log: &IdentityLog, signer: &DeviceKeys, now: u64) -> Result<Vec<u8>, ProofError> {
    let tip = log.rotation().ok_or(ProofError::NotAdmin)?;
    if !log.is_admin(&signer.id()) {
        return Err(ProofError::NotAdmin);
    }
    let head = cbor::encode(&RawHead {
        version: VERSION,
        suite: SUITE,
        kind: HEAD_TYPE,
        known: Known {
            rotations: u32::try_from(log.rotations()).unwrap_or(u32::MAX),
            rotation: tip.id,
            height: log.height(),
        },
        digest: log.digest(),
        issued: now,
        expires: now.saturating_add(LIFE),
        signer: signer.id(),
    });
    let id = context::HEAD.hash([head.as_slice()]);
    let bytes = |entry: &Entry| ByteVec::from(entry.to_bytes().to_vec());
    Ok(cbor::encode(&RawProof {
        genesis: log.genesis().to_bytes(),
        rotations: log.path().map(bytes).collect(),
        adds: adds(log, tip, signer.id())?
            .into_iter()
            .map(bytes)
            .collect(),
        signature: signer.sign(Use::Head, log.twin(), &id),
        head,
    }))
}

/// The entries by which a device is an admin after a rotation, in the order in which they can be checked. Whoever has
/// signed one may be gone since.
fn adds<'a>(
    log: &'a IdentityLog,
    tip: &Entry,
    device: DeviceId,
) -> Result<Vec<&'a Entry>, ProofError> {
    let mut entries: Vec<&Entry> = log.entries().values().map(|entry| &**entry).collect();
    entries.sort_by_key(|entry| (entry.place.seq, entry.id));
    let named = admins(tip);
    let mut made: BTreeMap<DeviceId, &Entry> = BTreeMap::new();
    for entry in entries {
        let knows = |signer| named.contains(&signer) || made.contains_key(&signer);
        if let Body::AddDevice(statement) = &entry.body
            && statement.role == Role::Admin
            && entry.place.base == tip.id
            && entry.signer.is_some_and(knows)
        {
            made.entry(statement.device.id).or_insert(entry);
        }
    }
    let mut adds = Vec::new();
    let mut device = device;
    while !named.contains(&device) {
        let entry = made.get(&device).ok_or(ProofError::Broken)?;
        adds.push(*entry);
        device = entry.signer.ok_or(ProofError::Broken)?;
        if adds.len() > MAX_DEVICES {
            return Err(ProofError::Broken);
        }
    }
    adds.reverse();
    Ok(adds)
}

/// The admins that a rotation names.
fn admins(rotation: &Entry) -> Vec<DeviceId> {
    let Some(rotate) = rotation.rotation() else {
        return Vec::new();
    };
    let named = rotate.devices.iter();
    let named = named.map(|named| (named.device.id, named.role));
    let kept = rotate.keeps.iter().map(|kept| (kept.device, kept.role));
    let admins = named.chain(kept).filter(|(_, role)| *role == Role::Admin);
    admins.map(|(device, _)| device).collect()
}

/// Checks a proof of a twin; `now` in milliseconds since the Unix epoch, `known` of the last proof that was accepted.
/// What rests on guardians has to wait, which takes a [`Contact`] that remembers since when.
pub fn check(
    twin: &TwinId,
    proof: &[u8],
    known: Option<&Known>,
    now: u64,
) -> Result<Checked, ProofError> {
    let mut contact = Contact {
        known: known.copied(),
        ..Contact::default()
    };
    contact.check(twin, proof, now)
}

/// Checks all of a proof but whether guardians have waited; returns with it their rotations that came after what is
/// `known`, and how many days each has to wait.
pub(crate) fn examine(
    twin: &TwinId,
    proof: &[u8],
    known: Option<&Known>,
    now: u64,
) -> Result<(Checked, Vec<(EntryId, u16)>), ProofError> {
    let raw: RawProof = cbor::decode(proof, MAX_PROOF_LEN)?;
    let head: RawHead = cbor::decode(&raw.head, 1024)?;
    if (head.version, head.suite, head.kind) != (VERSION, SUITE, HEAD_TYPE) {
        return Err(CborError::Malformed.into());
    }
    let genesis = Genesis::from_bytes(&raw.genesis)?;
    if genesis.twin_id() != *twin {
        return Err(ProofError::OtherTwin);
    }
    if raw.rotations.len() > MAX_ROTATIONS || raw.adds.len() > MAX_DEVICES {
        return Err(ProofError::Broken);
    }
    if let Some(known) = known
        && (head.known.rotations, head.known.height) < (known.rotations, known.height)
    {
        return Err(ProofError::Older);
    }
    let not_yet = head.issued > now.saturating_add(LEEWAY);
    let life = head.expires.checked_sub(head.issued);
    if not_yet || head.expires <= now || life.is_none_or(|life| life > LIFE) {
        return Err(ProofError::Expired);
    }
    let mut path = Chain::new(&genesis);
    let (mut last, mut waits) = (None, Vec::new());
    for (index, bytes) in (1..).zip(&raw.rotations) {
        let rotation = Entry::from_bytes(bytes)?;
        let days = path.follow(twin, &rotation)?;
        let news = known.is_none_or(|known| index > known.rotations);
        waits.extend(days.filter(|_| news).map(|days| (rotation.id, days)));
        let contradicts = |known: &Known| known.rotations == index && known.rotation != rotation.id;
        if known.is_some_and(contradicts) {
            return Err(ProofError::Contradicts);
        }
        last = Some(rotation);
    }
    let last = last.ok_or(ProofError::Broken)?;
    let count = u32::try_from(raw.rotations.len()).unwrap_or(u32::MAX);
    if (head.known.rotations, head.known.rotation) != (count, last.id) {
        return Err(ProofError::Broken);
    }
    let mut admins = admins(&last);
    for bytes in &raw.adds {
        let entry = Entry::from_bytes(bytes)?;
        admins.push(added_admin(twin, &entry, last.id, &admins)?);
    }
    if !admins.contains(&head.signer) {
        return Err(ProofError::Broken);
    }
    let id = context::HEAD.hash([raw.head.as_slice()]);
    sign::verify(&head.signer, Use::Head, twin, &id, &raw.signature)?;
    let checked = Checked {
        known: head.known,
        signer: head.signer,
        digest: head.digest,
        expires: head.expires,
    };
    Ok((checked, waits))
}

/// The rotations as far as they were checked.
struct Chain {
    last: EntryId,
    next: AuthorityHash,
    /// The guardians' key, and how many days they have to wait.
    guardians: Option<(AuthorityHash, u16)>,
}

impl Chain {
    fn new(genesis: &Genesis) -> Self {
        Self {
            last: genesis.entry_id(),
            next: genesis.authority,
            guardians: None,
        }
    }

    /// Follows one more; returns how many days it has to wait if it is by guardians.
    fn follow(&mut self, twin: &TwinId, rotation: &Entry) -> Result<Option<u16>, ProofError> {
        let rotate = rotation.rotation().ok_or(ProofError::Broken)?;
        let revealed = rotate.authority.hash();
        let by_words = revealed == self.next;
        let by_guardians = self
            .guardians
            .filter(|(key, _)| *key == revealed && !by_words);
        if !(by_words || by_guardians.is_some())
            || rotation.place.base != self.last
            || rotation.signer.is_some()
        {
            return Err(ProofError::Broken);
        }
        let id = rotation.id.as_bytes();
        rotate
            .authority
            .verify_entry(twin, id, &rotation.signature)?;
        self.last = rotation.id;
        self.next = rotate.next;
        let guardians = rotate.guardians.as_ref();
        self.guardians = guardians.map(|guardians| (guardians.authority, guardians.delay_days));
        Ok(by_guardians.map(|(_, days)| days))
    }
}

/// The admin that an entry adds after the last rotation.
fn added_admin(
    twin: &TwinId,
    entry: &Entry,
    last: EntryId,
    admins: &[DeviceId],
) -> Result<DeviceId, ProofError> {
    let signer = entry.signer.filter(|signer| admins.contains(signer));
    let (Body::AddDevice(statement), Some(signer)) = (&entry.body, signer) else {
        return Err(ProofError::Broken);
    };
    if statement.role != Role::Admin || entry.place.base != last {
        return Err(ProofError::Broken);
    }
    let signature = entry.signature.as_slice().try_into();
    let signature = signature.map_err(|_| SignatureError)?;
    sign::verify(&signer, Use::Entry, twin, entry.id.as_bytes(), &signature)?;
    Ok(statement.device.id)
}
