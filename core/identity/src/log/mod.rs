//! The identity log: the signed, hash-linked history of a twin's devices and keys.
//!
//! The log is a DAG whose meaning is a pure function of the set of its entries: any order of arrival, any
//! duplication, no clock. An entry joins only after everything that it builds on, and only if its signer was allowed
//! to say it given that past. What it then amounts to depends on the other entries:
//!
//! - `graph`: what builds on what
//! - `admission`: who may say what, judged by the past alone, so that every replica answers alike
//! - `term`: between two rotations: who is in, whatever was said at the same time
//! - `path`: which rotations count, when there are several
//! - `place`: where a new entry goes; `whole`: the bytes of a log and its digest
//!
//! Two things are a replica's own: which of two rotations it saw first, where the devices do not decide; and how long
//! ago it first saw a rotation by guardians, who have to wait. Both come in through [`IdentityLog::observe`], in `time`.

mod admission;
mod graph;
mod path;
mod place;
mod term;
mod time;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::authority::AuthorityHash;
use crate::body::{Body, Fork, Guardians, Line, Rotate};
use crate::cbor::CborError;
use crate::device::Role;
use crate::entry::{Entry, Genesis};
use crate::id::{DeviceId, EntryId, TwinId};
use crate::seal::SealingPublic;
use crate::sign::{SignatureError, Verifier};

use graph::Graph;
use path::Path;
pub use path::Pending;
pub use term::Device;
use term::{Start, Term};
pub use whole::MAX_LOG_LEN;

/// The most entries of a log. Rotations may go beyond, and after each of them there is room for [`MAX_TERM`] more, so
/// that a thief who fills the log cannot keep its owner out.
pub const MAX_ENTRIES: usize = 4096;
/// The most entries between two rotations; for as many there is room after each, however full the log was before.
pub const MAX_TERM: usize = 1024;
/// The most entries by one signer between rotations.
pub const MAX_ENTRIES_PER_SIGNER: usize = 256;
/// The most rotations of a log, not counting the next one after the one that counts.
pub const MAX_ROTATIONS: usize = 512;
/// The most rotations that follow one that does not count, or no more.
pub const MAX_FORKS: usize = 64;
/// The most entries of suites that this version cannot verify.
pub const MAX_UNVERIFIED: usize = 32;
/// The most devices in the causal past of an entry that adds another; only adding at the same time goes beyond.
pub const MAX_DEVICES: usize = 64;

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
    /// The signer was not allowed to say that where it signed.
    #[error("an identity log entry was signed by a device that may not change the log")]
    NotAllowed,
    /// The entry breaks a rule of the log: wrong seq, an authority key that was not committed to, a device twice.
    #[error("an identity log entry breaks the rules of the log and was refused")]
    Rule,
    /// One of the limits is reached.
    #[error("the identity log is full: too many entries or devices")]
    Limit,
}

/// What of a device's log of ops counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// All of it.
    All,
    /// Up to this line: the device is gone or suspended.
    UpTo(Line),
    /// Nothing.
    Nothing,
}

/// A verified identity log.
#[derive(Debug, Clone)]
pub struct IdentityLog {
    genesis: Genesis,
    twin: TwinId,
    entries: BTreeMap<EntryId, Arc<Entry>>,
    graph: Graph,
    /// How things stand where each rotation begins.
    starts: BTreeMap<usize, Start>,
    /// How things stand under each rotation now; left out where that has to be judged anew.
    terms: BTreeMap<usize, Term>,
    /// How things stand at the ends of branches, given their pasts alone: only to be quick.
    tips: BTreeMap<usize, Term>,
    path: Path,
    /// The verifying keys of all devices that were ever named.
    keys: BTreeMap<DeviceId, Verifier>,
    unverified: usize,
    /// When this replica first saw each rotation and veto, in milliseconds since the Unix epoch.
    seen: BTreeMap<EntryId, u64>,
    /// Whether there are any that it has not told the time of yet.
    unseen: bool,
    now: u64,
}

impl IdentityLog {
    /// An empty log that begins with `genesis`.
    pub fn new(genesis: Genesis) -> Self {
        Self {
            twin: genesis.twin_id(),
            graph: Graph::new(&genesis),
            genesis,
            entries: BTreeMap::new(),
            starts: BTreeMap::new(),
            terms: BTreeMap::new(),
            tips: BTreeMap::new(),
            path: Path::default(),
            keys: BTreeMap::new(),
            unverified: 0,
            seen: BTreeMap::new(),
            unseen: false,
            now: 0,
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

    /// The entries, by id.
    pub const fn entries(&self) -> &BTreeMap<EntryId, Arc<Entry>> {
        &self.entries
    }

    /// Takes an entry over if it is valid here. `Ok(false)`: it was there already.
    pub fn insert(&mut self, entry: Entry) -> Result<bool, LogError> {
        let new = self.admit(entry)?;
        if new {
            self.settle();
        }
        Ok(new)
    }

    /// The devices that are in the twin, by id; suspended ones too.
    pub fn devices(&self) -> &BTreeMap<DeviceId, Device> {
        static NONE: BTreeMap<DeviceId, Device> = BTreeMap::new();
        self.term().map_or(&NONE, |term| &term.devices)
    }

    /// Devices that a suspended admin has added: in as soon as it is resumed, or a rotation keeps them.
    pub fn waiting(&self) -> impl Iterator<Item = &Device> {
        let term = self.term();
        term.into_iter().flat_map(|term| term.waiting.values())
    }

    /// The devices that are gone for good.
    pub fn gone(&self) -> impl Iterator<Item = &DeviceId> {
        self.term().into_iter().flat_map(|term| term.gone.keys())
    }

    /// One device that is in the twin.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices().get(id)
    }

    /// Whether `id` is a device that may change the log.
    pub fn is_admin(&self, id: &DeviceId) -> bool {
        self.device(id).is_some_and(Device::is_admin)
    }

    /// The role that a device has, or had before it went; `None` if it never was one.
    pub fn role_once(&self, id: &DeviceId) -> Option<Role> {
        let term = self.term()?;
        let here = term.devices.get(id).map(|device| device.role);
        here.or_else(|| term.gone.get(id).copied())
    }

    /// Whether `id` may take part at `now`, in milliseconds since the Unix epoch: it is in, not suspended, and its time
    /// has not run out.
    pub fn is_active(&self, id: &DeviceId, now: u64) -> bool {
        self.device(id).is_some_and(|device| device.is_active(now))
    }

    /// What counts of a log that a device has written.
    pub fn counts(&self, device: &DeviceId, log: &[u8; 32]) -> Counts {
        if self.device(device).is_some_and(|device| !device.suspended) {
            return Counts::All;
        }
        let lines = self.term().map(|term| term.lines_of(&self.graph, device));
        let line = lines.and_then(|lines| lines.get(log).copied());
        line.map_or(Counts::Nothing, Counts::UpTo)
    }

    /// The branches of its own logs that a device has given up. They say something of a log only as long as all of it
    /// counts ([`Counts::All`]): of a device that is out, the line that others have drawn does. Logs of others that it
    /// may have named are none of its business.
    pub fn given_up<'l>(&'l self, device: &DeviceId) -> impl Iterator<Item = &'l Fork> + use<'l> {
        let forks = self.term().and_then(|term| term.forks.get(device));
        let entries = forks.into_iter().flatten();
        entries.filter_map(|number| match &self.graph.entry(*number)?.body {
            Body::Fork(fork) => Some(&**fork),
            _ => None,
        })
    }

    /// What a device has given up by entries that do not count, sorted: a rotation came that did not know of them. The
    /// device has to say so again.
    pub fn given_up_in_vain(&self, device: &DeviceId) -> Vec<Fork> {
        let counting: BTreeSet<&Fork> = self.given_up(device).collect();
        let said = self.entries.values();
        let said = said.filter(|entry| entry.signer.as_ref() == Some(device));
        let said = said.filter_map(|entry| match &entry.body {
            Body::Fork(fork) => Some(&**fork),
            _ => None,
        });
        let said: BTreeSet<&Fork> = said.collect();
        said.difference(&counting).map(|fork| **fork).collect()
    }

    /// Whether whoever stood under the rotation `base` and had seen `heads` stood where this log stands now, and knew of
    /// every removal and suspension that is in force: what was sealed then was sealed to nobody who is out now.
    pub fn knew_all_removals(&self, base: &EntryId, heads: &[EntryId]) -> bool {
        let (Some(tip), Some(past)) = (self.path.tip(), self.graph.past_of(heads)) else {
            return false;
        };
        let mut removals = self.term().into_iter().flat_map(|term| &term.removals);
        self.graph.number(base) == Some(tip)
            && past.contains(tip)
            && removals.all(|removal| past.contains(*removal))
    }

    /// The role that a device had under the rotation `base`, where `heads` are all that is known; `None` if it was not in
    /// there, or suspended.
    pub fn role_at(&self, device: &DeviceId, base: &EntryId, heads: &[EntryId]) -> Option<Role> {
        let past = self.graph.past_of(heads)?;
        let base = self
            .graph
            .number(base)
            .filter(|base| past.contains(*base))?;
        let judged;
        let term = match self.terms.get(&base) {
            Some(term) if self.graph.term_is_in(base, &past) => term,
            _ => {
                judged = self.term_within(base, &past);
                &judged
            }
        };
        let device = term.devices.get(device);
        device
            .filter(|device| !device.suspended)
            .map(|device| device.role)
    }

    /// Whether whoever had seen `later` had seen all of `earlier`.
    pub fn had_seen(&self, later: &[EntryId], earlier: &[EntryId]) -> bool {
        let Some(past) = self.graph.past_of(later) else {
            return false;
        };
        let numbers = earlier.iter().map(|id| self.graph.number(id));
        numbers
            .into_iter()
            .all(|number| number.is_some_and(|number| past.contains(number)))
    }

    /// The rotation that counts now; `None` before entry 1.
    pub fn rotation(&self) -> Option<&Entry> {
        let tip = self.graph.entry(self.path.tip()?)?;
        Some(tip)
    }

    /// What a rotation says, whether it counts or not.
    pub fn rotation_of(&self, id: &EntryId) -> Option<&Rotate> {
        self.entries.get(id)?.rotation()
    }

    /// The rotation under which an entry is made now; the genesis before entry 1.
    pub fn base(&self) -> EntryId {
        let rotation = self.rotation().map(|rotation| rotation.id);
        rotation.unwrap_or_else(|| self.genesis.entry_id())
    }

    /// The rotations that led here, first to last.
    pub fn path(&self) -> impl Iterator<Item = &Entry> {
        let rotations = self.path.rotations().iter();
        rotations.filter_map(|number| self.graph.entry(*number).map(|entry| &**entry))
    }

    /// How many rotations led here, entry 1 included.
    pub fn rotations(&self) -> usize {
        self.path.rotations().len()
    }

    /// What the rotation that counts says; `None` before entry 1.
    pub fn current(&self) -> Option<&Rotate> {
        self.rotation()?.rotation()
    }

    /// The recovery sealing key; `None` before entry 1.
    pub fn recovery(&self) -> Option<&SealingPublic> {
        self.current().map(|current| &current.recovery)
    }

    /// The generation of pseudonyms in use.
    pub fn generation(&self) -> u32 {
        self.current().map_or(0, |current| current.generation)
    }

    /// The guardians who may rotate next.
    pub fn guardians(&self) -> Option<&Guardians> {
        self.current()?.guardians.as_ref()
    }

    /// The commitment to the authority key that the next rotation must reveal.
    pub fn next_authority(&self) -> AuthorityHash {
        self.graph.commitment(self.path.tip())
    }

    /// Rotations by guardians that still wait, the one that comes first first.
    pub fn pending(&self) -> &[Pending] {
        &self.path.pending
    }

    /// Whether somebody else has rotated at the same time and the devices do not agree on which counts. The person
    /// should be warned: either they have rotated twice, or their words are in somebody else's hands.
    pub const fn is_contested(&self) -> bool {
        self.path.contested
    }

    /// Whether a device should acknowledge the rotation that counts: it may take part in the choice and has not yet.
    pub fn should_acknowledge(&self, device: &DeviceId) -> bool {
        let Some(tip) = self.path.tip() else {
            return false;
        };
        let voter = self.starts.get(&tip);
        let stays = self.device(device).is_some();
        let base = self.graph.node(tip).and_then(|node| node.base);
        stays
            && voter.is_some_and(|start| start.voters.contains(device))
            && !self
                .graph
                .successors(base)
                .flat_map(|rotation| self.graph.acknowledgements(rotation))
                .any(|number| self.graph.signer(number).as_ref() == Some(device))
    }

    fn term(&self) -> Option<&Term> {
        self.terms.get(&self.path.tip()?)
    }

    /// Whether the log holds entries that this version cannot read. The app should ask for an update.
    pub fn needs_update(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| matches!(entry.body, Body::Unknown { .. }))
    }

    /// The highest seq of what was said under the rotation that counts.
    pub fn height(&self) -> u64 {
        self.path.tip().map_or(0, |tip| self.graph.height(tip))
    }
}
