//! What a vault keeps in memory: small, read at opening, and read again when another process has written.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::aead::DataKey;
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::DeviceId;
use twin_identity::log::{IdentityLog, LogError};
use twin_identity::secret::Secret;
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::epoch::{DiscoveryKey, EpochId, EpochKey};
use twin_ops::grant::{Grant, GrantId};
use twin_ops::op::{LogId, Origin};
use twin_ops::space::{SpaceId, SpaceName};

use crate::error::{Result, VaultError};
use crate::oplog::PartNo;
use crate::rows::{
    AheadRow, ClockRow, CollectionRow, EntryRow, EpochRow, GenesisRow, GrantRow, LogRow,
    Predecessor,
};
use crate::store::Sealed;

/// What is kept in memory.
pub(crate) struct State {
    pub identity: IdentityLog,
    pub epochs: BTreeMap<SpaceEpoch, Epoch>,
    pub grants: BTreeMap<GrantId, Granted>,
    /// Of the epochs of the members' space, the one to write in first.
    pub discovery: Vec<DiscoveryKey>,
    pub logs: BTreeMap<LogId, Log>,
    pub collections: BTreeMap<SpaceId, BTreeMap<String, u16>>,
    /// The highest stamp given or merged.
    pub clock: Stamp,
    /// The clock as it is in the file.
    pub saved_clock: Stamp,
    /// Parts that wait for the clock.
    pub ahead: BTreeSet<(Stamp, PartNo)>,
    /// The file's version that all this is of.
    pub data_version: i64,
}

/// An epoch in a space. Two spaces have one epoch only if somebody granted one key for both; then each has it.
pub(crate) type SpaceEpoch = (SpaceId, EpochId);

/// An epoch that this device has the key of.
pub(crate) struct Epoch {
    pub space: SpaceName,
    pub key: EpochKey,
    /// The key that seals parts, derived once.
    pub parts: DataKey,
    pub predecessor: Option<Predecessor>,
}

/// A grant, without its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub signer: DeviceId,
    pub recipients: BTreeSet<DeviceId>,
    /// What it gave to this device.
    pub epochs: Vec<SpaceEpoch>,
}

impl Granted {
    /// What is to be remembered of a grant that gave this device `epochs`.
    pub fn new(grant: &Grant, epochs: Vec<SpaceEpoch>) -> Self {
        Self {
            signer: grant.signer(),
            recipients: grant.recipients().flatten().collect(),
            epochs,
        }
    }
}

/// A log that this device has ops of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub number: u32,
    pub origin: Origin,
    pub head: Head,
}

impl State {
    /// Reads everything, but takes from `before` what only ever grows and has not, and is dear to read.
    pub fn load(file: &Sealed, before: Option<&Self>) -> Result<Self> {
        file.store.snapshot(|store| {
            let mut state = Self {
                identity: load_identity(file, before)?,
                grants: load_grants(file, before)?,
                epochs: BTreeMap::new(),
                discovery: Vec::new(),
                logs: BTreeMap::new(),
                collections: BTreeMap::new(),
                clock: Stamp::default(),
                saved_clock: Stamp::default(),
                ahead: BTreeSet::new(),
                data_version: store.data_version()?,
            };
            for row in file.items::<EpochRow>()? {
                let key = EpochKey::new(Secret::new(row.key));
                state.add_epoch(row.space.clone(), key, row.predecessor.clone());
            }
            for row in file.items::<LogRow>()? {
                state.logs.insert(row.id, row.into());
            }
            for row in file.items::<CollectionRow>()? {
                let of_space = state.collections.entry(row.space).or_default();
                of_space.insert(row.name, row.number);
            }
            for row in file.items::<AheadRow>()? {
                state.ahead.insert((row.stamp, PartNo(row.part)));
            }
            if let Some(row) = file.item::<ClockRow>(&[])? {
                state.clock = row.last;
                state.saved_clock = row.last;
            }
            Ok(state)
        })
    }

    /// Takes in an epoch, or what is newly known of it.
    pub fn add_epoch(&mut self, space: SpaceName, key: EpochKey, predecessor: Option<Predecessor>) {
        let id = (space.id(self.identity.twin()), key.id());
        let members = space == SpaceName::members();
        let epoch = Epoch {
            space,
            parts: key.part_key(),
            key,
            predecessor,
        };
        self.epochs.insert(id, epoch);
        if members {
            self.order_discovery(&id.0);
        }
    }

    fn order_discovery(&mut self, members: &SpaceId) {
        let current = self.writing_epoch(members);
        let mut epochs: Vec<_> = self.epochs_of(members).collect();
        epochs.sort_by_key(|(id, _)| (Some(*id) != current, *id));
        self.discovery = epochs
            .into_iter()
            .map(|(_, epoch)| epoch.key.discovery())
            .collect();
    }

    /// The epochs of a space, by id.
    fn epochs_of(&self, space: &SpaceId) -> impl Iterator<Item = (EpochId, &Epoch)> {
        let first = EpochId::from_bytes([0; 32]);
        let last = EpochId::from_bytes([0xff; 32]);
        self.epochs
            .range((*space, first)..=(*space, last))
            .map(|((_, id), epoch)| (*id, epoch))
    }

    /// The epoch to write in: of those that none came after, the one with the lowest id.
    pub fn writing_epoch(&self, space: &SpaceId) -> Option<EpochId> {
        let before: BTreeSet<EpochId> = self
            .epochs_of(space)
            .filter_map(|(_, epoch)| Some(epoch.predecessor.as_ref()?.id))
            .collect();
        self.epochs_of(space)
            .map(|(id, _)| id)
            .find(|id| !before.contains(id))
    }

    /// The number of a collection.
    pub fn collection(&self, space: &SpaceId, name: &str) -> Option<u16> {
        self.collections.get(space)?.get(name).copied()
    }

    /// The number for the next collection; from 1 up.
    pub fn next_collection(&self) -> Result<u16> {
        let count = self.collections.values().map(BTreeMap::len).sum::<usize>() + 1;
        u16::try_from(count).map_err(|_| VaultError::Limit("collections"))
    }
}

impl Log {
    /// The row that it is stored as.
    pub fn row(&self, id: LogId) -> LogRow {
        LogRow {
            number: self.number,
            id,
            origin: self.origin,
            height: self.head.height,
            link: self.head.link,
        }
    }
}

impl From<LogRow> for Log {
    fn from(row: LogRow) -> Self {
        Self {
            number: row.number,
            origin: row.origin,
            head: Head {
                height: row.height,
                link: row.link,
            },
        }
    }
}

fn load_identity(file: &Sealed, before: Option<&State>) -> Result<IdentityLog> {
    const DAMAGED: VaultError = VaultError::Damaged("the identity log");
    let mut identity = match before {
        Some(before) => before.identity.clone(),
        None => {
            let row: GenesisRow = file.item(&[])?.ok_or(DAMAGED)?;
            IdentityLog::new(Genesis::from_bytes(&row.genesis).map_err(|_| DAMAGED)?)
        }
    };
    if file.count::<EntryRow>()? == identity.entries().len() {
        return Ok(identity);
    }
    let mut entries = file
        .items::<EntryRow>()?
        .iter()
        .map(|row| Entry::from_bytes(&row.entry))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| DAMAGED)?;
    // After all that it builds on.
    entries.sort_by_key(|entry| entry.seq);
    for entry in entries {
        identity.insert(entry).map_err(|error| match error {
            LogError::Limit => VaultError::Identity(error),
            _ => DAMAGED,
        })?;
    }
    Ok(identity)
}

fn load_grants(file: &Sealed, before: Option<&State>) -> Result<BTreeMap<GrantId, Granted>> {
    if let Some(before) = before
        && before.grants.len() == file.count::<GrantRow>()?
    {
        return Ok(before.grants.clone());
    }
    let mut grants = BTreeMap::new();
    for row in file.items::<GrantRow>()? {
        let grant = Grant::from_bytes(&row.grant).map_err(|_| VaultError::Damaged("a grant"))?;
        grants.insert(row.id, Granted::new(&grant, row.epochs));
    }
    Ok(grants)
}
