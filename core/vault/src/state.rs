//! What a vault keeps in memory: small, read at opening, and read again when another process has written.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::aead::DataKey;
use twin_identity::body::{Body, Fork, Line};
use twin_identity::device::Role;
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::log::{Counts, IdentityLog, LogError};
use twin_identity::secret::Secret;
use twin_identity::sign::Verifier;
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::epoch::{DiscoveryKey, EpochId, EpochKey};
use twin_ops::grant::{Grant, GrantId, Recipient};
use twin_ops::op::{Link, LogId, Origin};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::Hole;

use crate::checkpoint::Checkpointed;
use crate::erase::Erased;
use crate::error::{Result, VaultError};
use crate::heard::Heard;
use crate::known::KnownOf;
use crate::late::Late;
use crate::opened::OpenedOps;
use crate::oplog::{MAX_SEQ, OpHeads, PartNo, log_number, op_number};
use crate::rows::{
    AheadRow, ClockRow, CollectionRow, EntryRow, EpochRow, GenesisRow, GrantRow, HoleRow, LeftRow,
    LogRow, Predecessor, SeenRow, ToldRow, UnheardRow,
};
use crate::schema::Schemas;
use crate::segment::Blocks;
use crate::selection::Unselected;
use crate::store::{Sealed, Store};

/// What is kept in memory.
pub(crate) struct State {
    pub identity: IdentityLog,
    pub epochs: BTreeMap<SpaceEpoch, Epoch>,
    /// The ids of the spaces that this device has keys to.
    pub spaces: BTreeMap<SpaceName, SpaceId>,
    pub grants: BTreeMap<GrantId, Granted>,
    /// Of the epoch of the members' space that is to be written in.
    pub discovery: Option<DiscoveryKey>,
    pub logs: BTreeMap<LogId, Log>,
    pub collections: BTreeMap<SpaceId, BTreeMap<String, u16>>,
    /// The highest stamp given or merged.
    pub clock: Stamp,
    /// The clock as it is in the file.
    pub saved_clock: Stamp,
    /// The logs whose heads are not in the file yet.
    pub grown: BTreeSet<LogId>,
    /// By space, what this device's ops have told of what it has seen.
    pub told: BTreeMap<SpaceId, ToldRow>,
    /// Parts that wait for the clock.
    pub ahead: BTreeSet<(Stamp, PartNo)>,
    /// What is erased by the ops that count.
    pub erased: Erased,
    /// Ops that content is missing of.
    pub holes: BTreeSet<Hole>,
    /// Checkpoints, whether they stand or not.
    pub checkpoints: Vec<Checkpointed>,
    /// What other devices are known to have.
    pub heard: Heard,
    /// And what they say themselves.
    pub known: KnownOf,
    /// What is still to be written into the index of records.
    pub late: Late,
    pub op_heads: OpHeads,
    pub opened_ops: OpenedOps,
    pub schemas: Schemas,
    /// Of what is kept for searching, what was opened lately.
    pub blocks: Blocks,
    /// What devices do not keep.
    pub unselected: Unselected,
    /// The spaces that this device has left; whether chunks of their files may be here still.
    pub left: BTreeMap<SpaceId, bool>,
    /// Entries of the identity log that other devices have seen and this one has not, and who has.
    pub unheard: BTreeMap<EntryId, DeviceId>,
    /// The version of the file that all this is of; `None` once the file was let go, for versions are counted from its
    /// opening on.
    pub data_version: Option<i64>,
}

/// An epoch in a space. Two spaces have one epoch only if somebody granted one key for both; then each has it.
pub(crate) type SpaceEpoch = (SpaceId, EpochId);

/// What whoever began an epoch knew of the identity log.
#[derive(Clone)]
pub(crate) struct Known {
    /// The rotation that counted.
    pub base: EntryId,
    /// The heads; none if nobody said.
    pub heads: Vec<EntryId>,
}

impl Known {
    /// Nobody said.
    pub const fn nothing(base: EntryId) -> Self {
        Self {
            base,
            heads: Vec::new(),
        }
    }
}

/// An epoch that this device has the key of.
pub(crate) struct Epoch {
    pub space: SpaceName,
    pub key: EpochKey,
    /// The key that seals parts, derived once.
    pub parts: DataKey,
    pub predecessor: Option<Predecessor>,
    pub known: Known,
    /// Whether this device has written in it.
    pub written: bool,
}

/// A grant, without its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub signer: DeviceId,
    pub recipients: BTreeSet<DeviceId>,
    /// Those of them that got the admins' keys, too.
    pub admins: BTreeSet<DeviceId>,
    /// Whether it is for the words too.
    pub words: bool,
    /// The rotation that counted for its maker.
    pub base: EntryId,
    /// Heads of the identity log that its maker knew.
    pub heads: Vec<EntryId>,
    /// What it gave to this device.
    pub epochs: Vec<SpaceEpoch>,
}

impl Granted {
    /// What is to be remembered of a grant that gave this device `epochs`.
    pub fn new(grant: &Grant, epochs: Vec<SpaceEpoch>) -> Self {
        let device = |to| match to {
            Recipient::Device(device) => Some(device),
            Recipient::Words | Recipient::Guardians => None,
        };
        Self {
            signer: grant.signer(),
            recipients: grant.recipients().filter_map(device).collect(),
            admins: grant.admin_recipients().filter_map(device).collect(),
            words: grant.recipients().any(|to| to == Recipient::Words),
            base: *grant.base(),
            heads: grant.heads().to_vec(),
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
    /// What it begins after here, if not with its first op. What of the ops up to there is here nonetheless is of use as
    /// long as no checkpoint supersedes it.
    pub base: Option<Head>,
}

impl State {
    /// Reads everything, but takes from `before` what only ever grows and has not, and is dear to read.
    pub fn load(file: &Sealed, before: Option<&Self>) -> Result<Self> {
        file.store.snapshot(|store| {
            let mut state = Self {
                identity: load_identity(file, before)?,
                grants: load_grants(file, before)?,
                epochs: BTreeMap::new(),
                spaces: BTreeMap::new(),
                discovery: None,
                logs: BTreeMap::new(),
                collections: BTreeMap::new(),
                clock: Stamp::default(),
                saved_clock: Stamp::default(),
                grown: BTreeSet::new(),
                told: BTreeMap::new(),
                ahead: BTreeSet::new(),
                unselected: Unselected::new(),
                left: BTreeMap::new(),
                unheard: BTreeMap::new(),
                erased: Erased::new(),
                holes: file
                    .items::<HoleRow>()?
                    .iter()
                    .map(|row| row.hole)
                    .collect(),
                checkpoints: Vec::new(),
                heard: Heard::load(file)?,
                known: KnownOf::load(file)?,
                late: file.late()?,
                op_heads: OpHeads::default(),
                opened_ops: OpenedOps::default(),
                schemas: Schemas::default(),
                blocks: Blocks::default(),
                data_version: Some(store.data_version()?),
            };
            for row in file.items::<EpochRow>()? {
                state.add_epoch(&row);
            }
            state.find_discovery();
            for row in file.items::<LogRow>()? {
                state.load_log(store, row)?;
            }
            state.miss_no_log(store)?;
            for row in file.items::<CollectionRow>()? {
                let of_space = state.collections.entry(row.space).or_default();
                of_space.insert(row.name, row.number);
            }
            for row in file.whole_items::<ToldRow>()? {
                state.told.insert(row.space, row);
            }
            for row in file.items::<AheadRow>()? {
                state.ahead.insert((row.stamp, PartNo(row.part)));
            }
            for row in file.items::<LeftRow>()? {
                state.left.insert(row.space, row.chunks);
            }
            for row in file.items::<UnheardRow>()? {
                state.unheard.insert(row.id, row.by);
            }
            let saved = file.item::<ClockRow>(&[])?;
            let saved = saved.map(|row| row.last).unwrap_or_default();
            state.clock = saved.max(state.late.clock());
            state.saved_clock = state.clock;
            Ok(state)
        })
    }

    /// Takes in a log, as far as it goes.
    fn load_log(&mut self, store: &Store, row: LogRow) -> Result<()> {
        let id = row.id;
        let mut log = Log::from(row);
        log.head = self.late.head(log.number).unwrap_or(log.head);
        let newest = store.last_op(log.number)?;
        if newest > op_number(log.number, log.head.height) {
            // A late row is missing or damaged, and with it where the log ends: its ops say so, too.
            if self.late.damaged.is_empty() {
                self.late.miss();
            }
            if let Some(head) = newest.and_then(|op| log.head_at(store, op, self.identity.twin())) {
                log.head = head;
                self.grown.insert(id);
            }
        }
        self.logs.insert(id, log);
        Ok(())
    }

    /// Every op is in a log that is known: another would be given its number, and its ops would be written over these.
    fn miss_no_log(&self, store: &Store) -> Result<()> {
        let known: BTreeSet<u32> = self.logs.values().map(|log| log.number).collect();
        let mut last = 0;
        while let Some(op) = store.op_after(last)? {
            let number = log_number(op);
            if !known.contains(&number) {
                return Err(VaultError::Damaged("how far a log goes"));
            }
            let Some(end) = op_number(number, MAX_SEQ) else {
                break;
            };
            last = end;
        }
        Ok(())
    }

    /// Whether an entry of the identity log names a device, whether it counts or not.
    pub fn is_named(&self, device: &DeviceId) -> bool {
        let mut entries = self.identity.entries().values();
        entries.any(|entry| match &entry.body {
            Body::Rotate(rotate) => {
                let mut new = rotate.devices.iter();
                let mut kept = rotate.keeps.iter();
                new.any(|new| new.device.id == *device) || kept.any(|kept| kept.device == *device)
            }
            Body::AddDevice(new) => new.device.id == *device,
            // Nobody here can tell.
            Body::Unknown { .. } => true,
            _ => false,
        })
    }

    /// Takes in an epoch, or what is newly known of it.
    pub fn add_epoch(&mut self, row: &EpochRow) {
        let key = EpochKey::new(Secret::new(row.key));
        let epoch = Epoch {
            space: row.space.clone(),
            parts: key.part_key(),
            key,
            predecessor: row.predecessor.clone(),
            known: Known {
                base: row.base,
                heads: row.heads.clone(),
            },
            written: row.written.unwrap_or(false),
        };
        let space = row.space.id(self.identity.twin());
        self.spaces.insert(row.space.clone(), space);
        self.epochs.insert((space, row.id), epoch);
    }

    /// Finds the discovery key, after epochs or the identity log have changed.
    pub fn find_discovery(&mut self) {
        let members = SpaceName::members().id(self.identity.twin());
        let epoch = self.writing_epoch(&members);
        let epoch = epoch.and_then(|id| self.epochs.get(&(members, id)));
        self.discovery = epoch.map(|epoch| epoch.key.discovery());
    }

    /// The discovery keys of the epochs of the members' space that are not to be written in.
    pub fn other_discovery_keys(&self) -> Vec<DiscoveryKey> {
        let members = SpaceName::members().id(self.identity.twin());
        let current = self.writing_epoch(&members);
        let others = self.epochs_of(&members);
        let others = others.filter(|(id, _)| Some(*id) != current);
        others.map(|(_, epoch)| epoch.key.discovery()).collect()
    }

    /// The epochs of a space, by id.
    fn epochs_of(&self, space: &SpaceId) -> impl Iterator<Item = (EpochId, &Epoch)> {
        let first = EpochId::from_bytes([0; 32]);
        let last = EpochId::from_bytes([0xff; 32]);
        self.epochs
            .range((*space, first)..=(*space, last))
            .map(|((_, id), epoch)| (*id, epoch))
    }

    /// The epoch to write in: of those that nobody has the key of who is out, and that none such came after, the one
    /// with the lowest id. `None` if one has to be begun.
    pub fn writing_epoch(&self, space: &SpaceId) -> Option<EpochId> {
        let usable = |epoch: &Epoch| {
            #[cfg(twin_break)]
            if twin_identity::broken::is("old_epochs_go_on") {
                return true;
            }
            let Known { base, heads } = &epoch.known;
            self.identity.knew_all_removals(base, heads)
        };
        let usable: Vec<(EpochId, &Epoch)> = self
            .epochs_of(space)
            .filter(|(_, epoch)| usable(epoch))
            .collect();
        leaf(&usable)
    }

    /// The epoch that a new one comes after: the one to write in, or the one that was.
    pub fn newest_epoch(&self, space: &SpaceId) -> Option<EpochId> {
        let all: Vec<(EpochId, &Epoch)> = self.epochs_of(space).collect();
        self.writing_epoch(space).or_else(|| leaf(&all))
    }

    /// Whether a device is in and not suspended. What others have made has no claim to the room of those who are.
    pub fn takes_part(&self, device: &DeviceId) -> bool {
        let device = self.identity.device(device);
        device.is_some_and(|device| !device.suspended)
    }

    /// The grants by devices that take part.
    pub fn standing(&self) -> impl Iterator<Item = (&GrantId, &Granted)> {
        let grants = self.grants.iter();
        grants.filter(|(_, grant)| self.takes_part(&grant.signer))
    }

    /// Whether what this device writes in this space counts at all: only admins write to theirs. Who was one by a rotation
    /// that another went before, and is none any more, has written there for nobody; if it is promoted, all of that
    /// counts.
    pub fn may_write(&self, origin: &Origin) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("anyone_writes_to_keys") {
            return true;
        }
        origin.space != self.space(&SpaceName::keys())
            || self.identity.role_once(&origin.device) == Some(Role::Admin)
    }

    /// How much of a log that is here counts.
    pub fn counted(&self, store: &Store, log: &Log) -> Result<u64> {
        if !self.may_write(&log.origin) {
            return Ok(0);
        }
        let id = log.origin.log_id(self.identity.twin());
        let height = log.head.height;
        match self.identity.counts(&log.origin.device, id.as_bytes()) {
            Counts::All => {
                let branch = self.branch_at(store, log)?;
                Ok(branch.map_or(height, |first| first - 1))
            }
            Counts::Nothing => Ok(0),
            // On the way to the line nothing can be said yet of what is there.
            Counts::UpTo(line) if height < line.height => Ok(height),
            Counts::UpTo(line) => {
                let link = self.link_at(store, &id, line.height)?;
                let link = link.ok_or(VaultError::Damaged("an operation"))?;
                let same = *link.as_bytes() == line.head;
                Ok(if same { line.height } else { 0 })
            }
        }
    }

    /// Where what is here of a log that may count as a whole begins to be a branch that its device has given up: the height
    /// of the first op of that.
    pub fn branch_at(&self, store: &Store, log: &Log) -> Result<Option<u64>> {
        let mut lowest: Option<u64> = None;
        for fork in self.forks_here(store, log)? {
            let height = fork.branch.height;
            lowest = Some(lowest.map_or(height, |lowest| lowest.min(height)));
        }
        Ok(lowest)
    }

    /// What a device has given up of a log, as far as just that is here.
    pub fn forks_here(&self, store: &Store, log: &Log) -> Result<Vec<Fork>> {
        let device = &log.origin.device;
        let mut given_up = self.identity.given_up(device).peekable();
        let mut here = Vec::new();
        #[cfg(twin_break)]
        if twin_identity::broken::is("branches_are_kept") {
            return Ok(here);
        }
        if given_up.peek().is_none() {
            return Ok(here);
        }
        let id = log.origin.log_id(self.identity.twin());
        if self.identity.counts(device, id.as_bytes()) != Counts::All {
            return Ok(here);
        }
        let base = log.base.map_or(0, |base| base.height);
        for fork in given_up {
            let Line {
                log: of,
                height,
                head,
            } = &fork.branch;
            // What a checkpoint has made of it since, nobody gives up any more.
            if of == id.as_bytes() && (base + 1..=log.head.height).contains(height) {
                let link = self.link_at(store, &id, *height)?;
                if link.is_some_and(|link| link.as_bytes() == head) {
                    here.push(*fork);
                }
            }
        }
        Ok(here)
    }

    /// The link of the op at `seq` of a log, if it is known. Of the ops that a log begins after that is the last, and
    /// the one that the line of its device names: what was there is gone, and can be no other.
    pub fn link_at(&self, store: &Store, id: &LogId, seq: u64) -> Result<Option<Link>> {
        let Some(log) = self.logs.get(id) else {
            return Ok(None);
        };
        match log.base {
            Some(base) if base.height == seq => return Ok(Some(base.link)),
            Some(base) if base.height > seq => {
                let counts = self.identity.counts(&log.origin.device, id.as_bytes());
                return Ok(match counts {
                    Counts::UpTo(line) if line.height == seq => Some(Link::from_bytes(line.head)),
                    _ => None,
                });
            }
            _ => {}
        }
        match store.op_at(log.number, seq)? {
            Some(op) => store.link(op).map(Some),
            None => Ok(None),
        }
    }

    /// How much of each log that is here counts.
    pub fn all_counted(&self, store: &Store) -> Result<BTreeMap<LogId, u64>> {
        let logs = self.logs.iter();
        logs.map(|(id, log)| Ok((*id, self.counted(store, log)?)))
            .collect()
    }

    /// Forgets what was opened of ops, when they are replaced.
    pub fn forget_ops(&self) {
        self.op_heads.clear();
        self.opened_ops.clear();
    }

    /// The id of a space.
    pub fn space(&self, name: &SpaceName) -> SpaceId {
        let known = self.spaces.get(name).copied();
        known.unwrap_or_else(|| name.id(self.identity.twin()))
    }

    /// The number of a collection.
    pub fn collection(&self, space: &SpaceId, name: &str) -> Option<u16> {
        self.collections.get(space)?.get(name).copied()
    }

    /// The space of the collection with this number.
    pub fn space_of_collection(&self, number: u16) -> Option<SpaceId> {
        let holds = |names: &&BTreeMap<String, u16>| names.values().any(|other| *other == number);
        let mut spaces = self.collections.iter();
        spaces
            .find(|(_, names)| holds(names))
            .map(|(space, _)| *space)
    }

    /// The number for the next collection, from 1 up; `None` if all are taken.
    pub fn next_collection(&self) -> Option<u16> {
        let numbers = || self.collections.values().flat_map(BTreeMap::values);
        let highest = numbers().max().copied().unwrap_or(0);
        highest.checked_add(1).or_else(|| {
            let taken: BTreeSet<u16> = numbers().copied().collect();
            (1..=u16::MAX).find(|number| !taken.contains(number))
        })
    }
}

/// Of those that none of the others came after, the lowest.
fn leaf(epochs: &[(EpochId, &Epoch)]) -> Option<EpochId> {
    let before: BTreeSet<EpochId> = epochs
        .iter()
        .filter_map(|(_, epoch)| Some(epoch.predecessor.as_ref()?.id))
        .collect();
    let mut ids = epochs.iter().map(|(id, _)| *id);
    ids.find(|id| !before.contains(id))
}

impl Epoch {
    /// The row that it is stored as.
    pub fn row(&self) -> EpochRow {
        EpochRow {
            id: self.key.id(),
            space: self.space.clone(),
            key: *self.key.secret().expose(),
            predecessor: self.predecessor.clone(),
            heads: self.known.heads.clone(),
            base: self.known.base,
            written: self.written.then_some(true),
        }
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
            base: self.base,
        }
    }

    /// The head that the op with this number makes; `None` if it is not an op of this log, signed by who writes it.
    pub fn head_at(&self, store: &Store, op: i64, twin: &TwinId) -> Option<Head> {
        let op = store.op(op).ok()?;
        let device = Verifier::new(&self.origin.device).ok()?;
        op.verify(&device, twin).ok()?;
        let header = op.header();
        let head = Head {
            height: header.seq,
            link: op.link(),
        };
        (header.log == self.origin.log_id(twin)).then_some(head)
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
            base: row.base,
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
    let seen = file.whole_items::<SeenRow>()?;
    if file.count::<EntryRow>()? == identity.entries().len() {
        identity.remember(seen.into_iter().map(|row| (row.id, row.at)));
        return Ok(identity);
    }
    let mut entries = file
        .items::<EntryRow>()?
        .iter()
        .map(|row| Entry::from_bytes(&row.entry))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| DAMAGED)?;
    // After all that it builds on.
    entries.sort_by_key(|entry| entry.place.seq);
    for entry in entries {
        identity.insert(entry).map_err(|error| match error {
            LogError::Limit => VaultError::Identity(error),
            _ => DAMAGED,
        })?;
    }
    identity.remember(seen.into_iter().map(|row| (row.id, row.at)));
    Ok(identity)
}

fn load_grants(file: &Sealed, before: Option<&State>) -> Result<BTreeMap<GrantId, Granted>> {
    if let Some(before) = before
        && before.grants.len() == file.count::<GrantRow>()?
    {
        return Ok(before.grants.clone());
    }
    let mut grants = BTreeMap::new();
    // Others send those again that are damaged.
    for row in file.whole_items::<GrantRow>()? {
        let grant = Grant::from_bytes(&row.grant).map_err(|_| VaultError::Damaged("a grant"))?;
        grants.insert(row.id, Granted::new(&grant, row.epochs));
    }
    Ok(grants)
}
