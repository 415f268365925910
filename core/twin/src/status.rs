//! How this device stands with each other one: equal, or what is lacking, and why it does not come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twin_identity::id::DeviceId;
use twin_net::SessionError;
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_sync::session::{self, Difference, SyncEvent};
use twin_vault::{Beside, Vault};

use crate::error::{Error, Result};
use crate::twin::Twin;

/// How this device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStatus {
    /// Each other device of the twin.
    pub peers: Vec<PeerStatus>,
    /// What this device knows of and cannot show, whoever it is equal with.
    pub lacking: BTreeSet<Lacking>,
}

/// How this device stands with another, as far as it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The other device.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// When this device last learnt what it has, in milliseconds since the Unix epoch; `None` if it never has.
    pub heard: Option<u64>,
    /// The spaces that not both keep: nothing is said of how the two stand in them.
    pub apart: Vec<SpaceName>,
    /// Whether the two are known to hold the same of all that both keep: their digests were equal when they last met, and nothing has come to
    /// this one or was written on it since. What was written there since nobody can know here.
    pub in_sync: bool,
    /// How many changes of here it is not known to have.
    pub lacks: u64,
    /// How many it is known to have that are not here.
    pub has_more: u64,
    /// Why the two do not become equal, as it showed when they last met since this program has opened the twin.
    pub stuck: BTreeSet<Difference>,
    /// How many chunks of files are wanted here that it had not got then.
    pub wanting: u64,
}

/// Something that a device knows of and cannot show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacking {
    /// The content of so many changes; at most some hundreds are counted.
    Content(usize),
    /// So many keys; at most some hundreds are counted.
    Keys(usize),
    /// So many changes that another device has dated more than ten minutes ahead of the clock of this one.
    Ahead(usize),
    /// What only a newer version can read.
    Update,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(count) => write!(
                f,
                "the content of {count} changes has not come: sync with a device that has it"
            ),
            Self::Keys(count) => write!(
                f,
                "{count} keys are missing here, and what is sealed with them cannot be read: sync with your other devices"
            ),
            Self::Ahead(count) => write!(
                f,
                "{count} changes are dated ahead of the clock of this device and wait for it: see that all clocks are right"
            ),
            Self::Update => f.write_str("another device uses a newer version: update this one"),
        }
    }
}

/// What came of meeting other devices, while the twin is open.
#[derive(Default)]
pub(crate) struct Meetings(Mutex<BTreeMap<DeviceId, Meeting>>);

#[derive(Default, Clone)]
struct Meeting {
    /// The digest that both had.
    equal: Option<[u8; 32]>,
    stuck: BTreeSet<Difference>,
    wanting: u64,
}

impl Meetings {
    fn all(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Meeting>> {
        // What is in it is whole after every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what a session with a device tells.
    pub fn heard(&self, device: DeviceId, event: &SyncEvent) {
        let mut all = self.all();
        let meeting = all.entry(device).or_default();
        match event {
            SyncEvent::Met(_) => meeting.stuck.clear(),
            SyncEvent::Equal(digest) => {
                meeting.equal = Some(*digest);
                meeting.stuck.clear();
            }
            SyncEvent::Differs(difference) => {
                meeting.equal = None;
                meeting.stuck.insert(*difference);
            }
            SyncEvent::Wanting { chunks } => meeting.wanting = *chunks,
            _ => {}
        }
    }

    fn of(&self, device: &DeviceId) -> Meeting {
        self.all().get(device).cloned().unwrap_or_default()
    }
}

fn digest(vault: &Vault, device: &DeviceId) -> Result<[u8; 32]> {
    session::digest_with(vault, device)
        .map_err(|error| Error::Session(SessionError::Machine(error)))
}

impl Twin {
    /// How this device stands with each other one: in sync, or what is lacking and why.
    pub fn sync_status(&self) -> Result<SyncStatus> {
        let mut peers = Vec::new();
        for device in self.devices()?.into_iter().filter(|device| !device.is_this) {
            let met = self.meetings.of(&device.id);
            let mut vault = self.vault();
            let Beside {
                is_equal,
                lacks,
                has_more,
            } = vault.beside(&device.id)?;
            let digest = digest(&vault, &device.id)?;
            let mut apart = vault.unselected_by(&device.id)?;
            let me = vault.device();
            apart.extend(vault.unselected_by(&me)?);
            apart.sort();
            apart.dedup();
            peers.push(PeerStatus {
                heard: vault.last_heard(&device.id),
                apart,
                in_sync: is_equal || met.equal == Some(digest),
                device: device.id,
                name: device.name,
                lacks,
                has_more,
                stuck: met.stuck,
                wanting: met.wanting,
            });
        }
        Ok(SyncStatus {
            peers,
            lacking: self.lacking()?,
        })
    }

    fn lacking(&self) -> Result<BTreeSet<Lacking>> {
        let vault = self.vault();
        let counted = [
            Lacking::Content(vault.holes()?.len()),
            Lacking::Keys(vault.wants()?.len()),
            Lacking::Ahead(vault.ahead()),
        ];
        let mut lacking: BTreeSet<Lacking> = counted.into_iter().collect();
        lacking.retain(|lacking| {
            !matches!(
                lacking,
                Lacking::Content(0) | Lacking::Keys(0) | Lacking::Ahead(0)
            )
        });
        if vault.identity().needs_update() {
            lacking.insert(Lacking::Update);
        }
        Ok(lacking)
    }

    /// What sessions that are open have found lately, for other programs of this device.
    pub(crate) fn note_all_equal(&self) {
        let devices: Vec<DeviceId> = self.meetings.all().keys().copied().collect();
        devices.iter().for_each(|device| self.note_equal(device));
    }

    /// At the end of a session, and now and then: if the two are equal still, that is kept for whoever asks later.
    pub(crate) fn note_equal(&self, device: &DeviceId) {
        let Some(equal) = self.meetings.of(device).equal else {
            return;
        };
        let now = self.now();
        let mut vault = self.vault();
        let noted = match digest(&vault, device) {
            Ok(digest) if digest == equal => vault.note_equal_now(now, device).map_err(Error::from),
            other => other.map(|_| ()),
        };
        if let Err(error) = noted {
            log::warn!("what a device has could not be noted: {error}");
        }
    }
}
