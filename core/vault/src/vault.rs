//! The open vault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use twin_identity::device::DeviceKeys;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_ops::change::Stamp;
use twin_ops::op::{INCARNATION_LEN, LogId};
use twin_ops::piece::Pieces;
use twin_ops::space::SpaceName;

use crate::change::RESERVED;
use crate::error::{Result, VaultError};
use crate::files::Fetching;
use crate::keys::{NAME_LEN, VaultKeys};
use crate::left_out::LeftOut;
use crate::rows::{AddressRow, DeviceRow};
use crate::slots::{self, Opened, Unlock};
use crate::stage::horizon;
use crate::state::{SpaceEpoch, State};
use crate::store::{self, Sealed, Store};
use crate::touched::Listener;

/// The name of the file in a vault's folder.
pub const FILE_NAME: &str = "vault.db";

/// The most addresses kept of a device.
const MAX_ADDRESSES: usize = 8;
/// The most bytes of an address.
const MAX_ADDRESS_LEN: usize = 512;

/// An open vault: one device's replica of a twin, and its keys. Dropping it locks it.
///
/// Several processes of one device may have one vault open, each with a `Vault` of its own. An app that may be suspended
/// calls [`Vault::sleep`] before it is.
pub struct Vault {
    pub(crate) file: Sealed,
    pub(crate) device: DeviceKeys,
    pub(crate) incarnation: [u8; INCARNATION_LEN],
    /// Whether it is known to be the one to write under (see [`Vault::settle_incarnation`]).
    pub(crate) is_settled_in_file: bool,
    pub(crate) state: State,
    /// The latest `now` that a call has told.
    pub(crate) now: u64,
    /// Whether `state` may hold what was rolled back.
    stale: bool,
    generation: u64,
    /// The keys that other devices have said that they lack, since this vault was opened.
    pub(crate) asked: BTreeMap<DeviceId, BTreeSet<SpaceEpoch>>,
    /// When it was last written what other devices have.
    pub(crate) noted: BTreeMap<DeviceId, u64>,
    /// What has come of ops that are sent in pieces.
    pub(crate) pieces: Pieces,
    /// The slot that it was unlocked through.
    pub(crate) slot: u32,
    /// Whether what is being written erases something, or what was could not be taken out of the WAL yet.
    pub(crate) wipe: bool,
    /// Whether checkpoints that stand and do not cover may by now.
    pub(crate) look_again: bool,
    /// Whether other programs have written, and may have left in the WAL what they erased.
    others_wrote: bool,
    /// Whether something was seen by the way that nobody was told of yet who asks for it.
    has_news: bool,
    /// Which content is wanted, and who was asked for it.
    pub(crate) fetching: Fetching,
    /// Gathers what is touched, once anybody watches.
    pub(crate) listener: Option<Listener>,
    /// What was left out because it is damaged.
    pub(crate) left_out: LeftOut,
    /// Whether what devices keep may be other than it was read.
    pub(crate) selection_changed: bool,
    /// The name of the last chunk that was looked at, of those that are to go with the spaces that were left.
    pub(crate) gone_to: Option<[u8; NAME_LEN]>,
    /// The logs of this device that go on differently elsewhere, and how many ops both have in common.
    pub(crate) branched: BTreeMap<LogId, u64>,
}

impl Vault {
    /// Opens the vault in the folder `dir`.
    ///
    /// Nothing that waits for the clock is merged before the first call that tells the time: see
    /// [`Vault::merge_due`]. `now`, in milliseconds since the Unix epoch, is for wrong passwords only.
    ///
    /// # Errors
    /// Among others [`VaultError::TooManyTries`] when too many wrong passwords were given lately.
    pub fn open(dir: &Path, unlock: Unlock<'_>, now: u64) -> Result<Self> {
        let store = Store::open(&dir.join(FILE_NAME))?;
        let opened = slots::open(&store, dir, unlock, now)?;
        Self::load(store, &opened)
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        let path = self.file.store.path();
        path.parent().unwrap_or(path)
    }

    /// Whether there is a vault in the folder `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE_NAME).exists()
    }

    /// Makes sure that there is a vault in the folder `dir`, without opening it.
    ///
    /// # Errors
    /// [`VaultError::Missing`], or why nobody can tell.
    pub fn look_for(dir: &Path) -> Result<()> {
        store::look_for(&dir.join(FILE_NAME))
    }

    pub(crate) fn load(store: Store, opened: &Opened) -> Result<Self> {
        const DAMAGED: VaultError = VaultError::Damaged("this device's keys");
        let file = Sealed {
            store,
            keys: VaultKeys::new(&opened.key),
        };
        let row: DeviceRow = file.item(&[])?.ok_or(DAMAGED)?;
        let device = DeviceKeys::from_secret(&Secret::new(row.keys)).map_err(|_| DAMAGED)?;
        let state = State::load(&file, None)?;
        let mut vault = Self {
            file,
            device,
            incarnation: row.incarnation,
            is_settled_in_file: false,
            state,
            now: 0,
            stale: false,
            generation: 0,
            asked: BTreeMap::new(),
            noted: BTreeMap::new(),
            pieces: Pieces::default(),
            slot: opened.slot,
            wipe: false,
            look_again: true,
            others_wrote: true,
            has_news: false,
            fetching: Fetching::default(),
            listener: None,
            left_out: LeftOut::default(),
            selection_changed: false,
            gone_to: None,
            branched: BTreeMap::new(),
        };
        vault.read_what_counts()?;
        vault.file.store.trust()?;
        vault.read_selection()?;
        Ok(vault)
    }

    /// Runs `work` in one transaction: all of it becomes durable, or nothing has happened. Nobody else writes
    /// meanwhile, and what others wrote before is seen.
    pub(crate) fn write<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.file.store.begin()?;
        // What an earlier call could not empty is still to be.
        let owed = std::mem::take(&mut self.wipe);
        let before = self.file.store.changes();
        let result = self.catch_up().and_then(|_| work(self)).and_then(|done| {
            self.follow_selection()?;
            self.save_late(Vec::new())?;
            self.file.store.commit().map(|()| done)
        });
        let wipe = std::mem::take(&mut self.wipe);
        match result {
            Ok(done) => {
                if wipe || owed {
                    // What is gone from the file is to be gone from what was written ahead of it, too.
                    self.wipe = !self.file.store.truncate_wal();
                }
                self.generation += u64::from(self.file.store.changes() != before);
                Ok(done)
            }
            Err(error) => {
                self.file.store.rollback();
                self.wipe = owed;
                self.stale = true;
                self.is_settled_in_file = false;
                // If this fails too, the next call tries again and says why.
                let _ = self.catch_up();
                Err(error)
            }
        }
    }

    /// Whether what this `Vault` has erased is gone, out of the write-ahead log, too. If not, another program reads an
    /// older state of the file, or the disk is full: it goes with what is written here next, when another program that has
    /// the file open has nothing else to do ([`Vault::wipe_for_others`]), or when the last of them closes it; content of
    /// files with the next erasure, sync ([`Vault::tend`]) or collection of garbage.
    pub fn is_wiped(&self) -> Result<bool> {
        Ok(!self.wipe && !self.has_erased_files()?)
    }

    /// Takes out of the write-ahead log what other programs have erased and could not, if any has written since this was
    /// last done. Meant for when nothing else is to be done.
    pub fn wipe_for_others(&mut self) {
        if (self.wipe || self.others_wrote) && !self.is_asleep() && self.file.store.truncate_wal() {
            self.wipe = false;
            self.others_wrote = false;
        }
    }

    /// Runs `work` on one snapshot of the file, in which what others wrote before is seen.
    pub(crate) fn read<T>(&mut self, work: impl Fn(&Self) -> Result<T>) -> Result<T> {
        loop {
            if let (false, Some(version)) = (self.stale, self.state.data_version)
                && let Some(done) = self.file.store.snapshot_of(version, || work(self))?
            {
                return Ok(done);
            }
            self.catch_up()?;
        }
    }

    /// Reads the erasures and checkpoints that count.
    pub(crate) fn read_what_counts(&mut self) -> Result<()> {
        self.state.checkpoints = self.read_checkpoints()?;
        self.state.erased = self.read_erased()?;
        Ok(())
    }

    /// Sees what other processes have written; `true` if there was something, or may have been.
    pub(crate) fn catch_up(&mut self) -> Result<bool> {
        if !self.stale
            && let Some(known) = self.state.data_version
            && self.file.store.data_version()? == known
        {
            return Ok(false);
        }
        let before = (!self.stale).then_some(&self.state);
        let file = &self.file;
        self.state = file.store.snapshot(|_| {
            if !file.fits()? {
                return Err(VaultError::Renewed);
            }
            State::load(file, before)
        })?;
        self.read_what_counts()?;
        self.read_selection()?;
        self.read_incarnation()?;
        self.stale = false;
        (self.others_wrote, self.has_news) = (true, true);
        self.touch_all();
        self.fetching.mark += 1;
        self.generation += 1;
        Ok(true)
    }

    /// Whether another process has written since this was last asked, or may have while this was asleep; what it wrote is
    /// then seen, if a read has not seen it before. Cheap enough to ask several times a second.
    pub fn changed_elsewhere(&mut self) -> Result<bool> {
        self.catch_up()?;
        Ok(std::mem::take(&mut self.has_news))
    }

    /// Grows with every change of the vault that this `Vault` made or noticed.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Tells the time, in milliseconds since the Unix epoch: merges what waited for it and is due, and lets guardians
    /// rotate who have waited long enough; `true` if anything has changed.
    pub fn merge_due(&mut self, now: u64) -> Result<bool> {
        self.now = now;
        self.catch_up()?;
        let due = self.next_due().is_some_and(|due| due <= horizon(now));
        if !due && !self.state.identity.wants_time(now) {
            return Ok(false);
        }
        self.write(Self::tell_time).map(|()| true)
    }

    /// As [`Vault::merge_due`], inside a transaction.
    pub(crate) fn tell_time(&mut self) -> Result<()> {
        if self.state.identity.wants_time(self.now) {
            self.change_identity(|_| Ok(()))?;
        }
        self.merge_due_now()
    }

    /// The stamp of the part that is due next.
    pub(crate) fn next_due(&self) -> Option<Stamp> {
        self.state.ahead.first().map(|(stamp, _)| *stamp)
    }

    /// The twin.
    pub fn twin(&self) -> &TwinId {
        self.state.identity.twin()
    }

    /// The identity log.
    pub const fn identity(&self) -> &IdentityLog {
        &self.state.identity
    }

    /// This device's keys.
    pub const fn device_keys(&self) -> &DeviceKeys {
        &self.device
    }

    /// The names of all spaces that this device has keys to, sorted; the reserved ones, which begin with `~`, too.
    pub fn spaces(&mut self) -> Result<Vec<SpaceName>> {
        self.catch_up()?;
        let epochs = self.state.epochs.values();
        let mut names: Vec<SpaceName> = epochs.map(|epoch| epoch.space.clone()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The names of all collections of a space that ever had a record, sorted; without the reserved ones, which begin
    /// with `~`.
    pub fn collections(&mut self, space: &SpaceName) -> Result<Vec<String>> {
        self.catch_up()?;
        let names = self.state.collections.get(&space.id(self.twin()));
        Ok(names
            .into_iter()
            .flat_map(|names| names.keys().cloned())
            .filter(|name| !name.starts_with(RESERVED))
            .collect())
    }

    /// Notes that a device was reached at `address`; the newest 8 addresses of each device are kept.
    pub fn remember_address(&mut self, device: DeviceId, address: &str) -> Result<()> {
        if address.len() > MAX_ADDRESS_LEN {
            return Err(VaultError::Limit("characters in an address"));
        }
        let mut known = self.addresses(&device)?;
        if known.first().is_some_and(|newest| newest == address) {
            return Ok(());
        }
        self.write(|vault| {
            known.retain(|other| other != address);
            known.insert(0, address.to_owned());
            known.truncate(MAX_ADDRESSES);
            vault.file.put(&AddressRow {
                device,
                addresses: known,
            })
        })
    }

    /// Where a device was reached, newest first.
    pub fn addresses(&self, device: &DeviceId) -> Result<Vec<String>> {
        let row: Option<AddressRow> = self.file.item(device.as_bytes())?;
        Ok(row.map(|row| row.addresses).unwrap_or_default())
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({:?})", self.device.id())
    }
}
