//! Which spaces each device keeps. A device keeps them all until the person chooses otherwise on it; what the twin itself
//! needs, the spaces whose names begin with `~`, every device keeps.
//!
//! The choice is a record of the members' space, in a collection of its own with the device's id for its id: a field for
//! each space that was ever chosen about, by its name, with `false` for one that is not kept. So every device hears of it as
//! of all else: others neither send the space nor wait for the device. The device itself goes on keeping it, and says so to
//! whom it meets, until it can leave it (see [`leave`](crate::leave)). Then nothing of it is here, nothing of it is taken,
//! whoever sends it, and nothing can be written to it, until it is kept again.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::id::DeviceId;
use twin_ops::op::LogId;
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::{Hole, LogHead, OpStore};
use twin_ops::value::{Fields, Value};

use crate::change::{RESERVED, WriteChange};
use crate::error::{Result, VaultError};
use crate::merge::fields;
use crate::rows::{HeardRow, LeftRow, Row};
use crate::vault::Vault;
use crate::write::By;

/// The collection of what devices keep.
const SELECTION: &str = "~keeps";

/// By device, the spaces that it does not keep.
pub(crate) type Unselected = BTreeMap<DeviceId, BTreeSet<SpaceId>>;

impl Vault {
    /// Whether a device keeps a space, as far as is known here.
    pub(crate) fn selects(&self, device: &DeviceId, space: &SpaceId) -> bool {
        if *device == self.device.id() {
            !self.state.left.contains_key(space)
        } else {
            !self.is_left_out(device, space)
        }
    }

    /// Whether the person has chosen that a device does not keep a space.
    pub(crate) fn is_left_out(&self, device: &DeviceId, space: &SpaceId) -> bool {
        let unselected = self.state.unselected.get(device);
        unselected.is_some_and(|spaces| spaces.contains(space))
    }

    /// The spaces of these names that a device does not keep by its person's choice, sorted.
    pub fn unselected_by(&mut self, device: &DeviceId) -> Result<Vec<SpaceName>> {
        self.catch_up()?;
        let spaces = self.state.spaces.iter();
        let unselected = spaces.filter(|(_, id)| self.is_left_out(device, id));
        Ok(unselected.map(|(name, _)| name.clone()).collect())
    }

    /// The spaces that this device is to leave, and keeps until another one is known to hold all of them, sorted.
    pub fn leaving(&mut self) -> Result<Vec<SpaceName>> {
        self.catch_up()?;
        let leaving = self.to_leave();
        let spaces = self.state.spaces.iter();
        let leaving = spaces.filter(|(_, id)| leaving.contains(id));
        Ok(leaving.map(|(name, _)| name.clone()).collect())
    }

    /// Lets this device keep a space from now on, or keep it no more: then all that is here of it goes, once another device
    /// is known to hold it. `now`: milliseconds since the Unix epoch. Returns the log in which that is written and its new
    /// head; `None` if nothing has changed.
    ///
    /// # Errors
    /// [`VaultError::AlwaysKept`] for a space that the twin itself needs, [`VaultError::NoSuchSpace`].
    pub fn select(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        keep: bool,
    ) -> Result<Option<LogHead>> {
        self.now = now;
        self.write(|vault| {
            if space.as_str().starts_with(RESERVED) {
                return Err(VaultError::AlwaysKept);
            }
            let id = *vault
                .state
                .spaces
                .get(space)
                .ok_or(VaultError::NoSuchSpace)?;
            let me = vault.device.id();
            if vault.is_left_out(&me, &id) != keep {
                return Ok(None);
            }
            let field = (space.as_str().to_owned(), Value::Bool(keep));
            let change = WriteChange::patch(SELECTION, &me.to_string(), Fields([field].into()));
            let members = SpaceName::members();
            vault
                .commit_now(By::Vault, rng, &members, vec![change])
                .map(Some)
        })
    }

    /// The devices that take part and keep a space, but this one.
    pub(crate) fn others_with(&self, space: &SpaceId) -> Vec<DeviceId> {
        let devices = self.state.identity.devices().values();
        let active = devices.filter(|device| device.is_active(self.now));
        let ids = active.map(|device| device.public.id);
        ids.filter(|id| *id != self.device.id() && self.selects(id, space))
            .collect()
    }

    /// # Errors
    /// [`VaultError::NotSelected`] if this device does not keep a space.
    pub(crate) fn check_selected(&self, space: &SpaceId) -> Result<()> {
        if self.selects(&self.device.id(), space) {
            Ok(())
        } else {
            Err(VaultError::NotSelected)
        }
    }

    /// The spaces that this device or another does not keep, as far as is known here.
    pub(crate) fn apart(&self, device: &DeviceId) -> BTreeSet<SpaceId> {
        let mut apart = self.unselected(device);
        apart.extend(self.unselected(&self.device.id()));
        apart
    }

    /// Whether a log is of none of these spaces; one that is not known here is.
    pub(crate) fn is_outside(&self, log: &LogId, spaces: &BTreeSet<SpaceId>) -> bool {
        let log = self.state.logs.get(log);
        log.is_none_or(|log| !spaces.contains(&log.origin.space))
    }

    /// The logs here that count, but those of these spaces.
    pub(crate) fn heads_but(&self, spaces: &BTreeSet<SpaceId>) -> Result<Vec<LogHead>> {
        let mut heads = self.heads()?;
        heads.retain(|head| self.is_outside(&head.log, spaces));
        Ok(heads)
    }

    /// The ops here that lack content, but those in these spaces.
    pub(crate) fn holes_but(&self, spaces: &BTreeSet<SpaceId>) -> Result<Vec<Hole>> {
        let mut holes = self.holes()?;
        holes.retain(|hole| self.is_outside(&hole.log, spaces));
        Ok(holes)
    }

    /// Reads what devices keep.
    pub(crate) fn read_selection(&mut self) -> Result<()> {
        let mut unselected = Unselected::new();
        let members = SpaceName::members().id(self.twin());
        if let Some(number) = self.state.collection(&members, SELECTION) {
            // By device: there are never many, whatever else somebody writes there.
            for device in self.state.identity.devices().keys() {
                let found = match self.find_in(number, &device.to_string()) {
                    Err(VaultError::Damaged(_)) => {
                        log::warn!("what a device keeps cannot be read: all, then");
                        None
                    }
                    found => found?,
                };
                let Some(Fields(chosen)) = found.and_then(|(_, versions)| fields(versions)) else {
                    continue;
                };
                let not_kept = chosen
                    .iter()
                    .filter(|(_, kept)| **kept == Value::Bool(false));
                let spaces = not_kept.filter_map(|(name, _)| SpaceName::new(name).ok());
                let spaces: BTreeSet<SpaceId> = spaces.map(|name| name.id(self.twin())).collect();
                if !spaces.is_empty() {
                    unselected.insert(*device, spaces);
                }
            }
        }
        self.state.unselected = unselected;
        Ok(())
    }

    /// Notices that records of that collection are about to change.
    pub(crate) fn notice_selection(&mut self, mut collections: impl Iterator<Item = u16>) {
        let members = SpaceName::members().id(self.twin());
        let number = self.state.collection(&members, SELECTION);
        self.selection_changed |=
            number.is_some_and(|number| collections.any(|other| other == number));
    }

    /// Follows what devices keep, if that may have changed. Inside a transaction.
    pub(crate) fn follow_selection(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.selection_changed) {
            return Ok(());
        }
        let before = std::mem::take(&mut self.state.unselected);
        self.read_selection()?;
        self.come_back()?;
        let nothing = BTreeSet::new();
        let after = self.state.unselected.clone();
        let devices: BTreeSet<&DeviceId> = before.keys().chain(after.keys()).collect();
        for device in devices {
            let was = before.get(device).unwrap_or(&nothing);
            let is = after.get(device).unwrap_or(&nothing);
            for space in is.difference(was) {
                self.forget_heard(device, space)?;
            }
            if was.difference(is).next().is_some() {
                self.forget_taken(device)?;
                // This device may lack content now, if it is this one.
                self.fetching.mark += 1;
            }
        }
        self.leave_empty()
    }

    /// Keeps again what it has left and is to keep. Inside a transaction.
    fn come_back(&mut self) -> Result<()> {
        let me = self.device.id();
        let left = self.state.left.keys().copied();
        let again: Vec<SpaceId> = left.filter(|space| !self.is_left_out(&me, space)).collect();
        for space in again {
            self.state.left.remove(&space);
            self.file.remove::<LeftRow>(space.as_bytes())?;
        }
        Ok(())
    }

    /// Counts no more on what a device had of a space.
    pub(crate) fn forget_heard(&mut self, device: &DeviceId, space: &SpaceId) -> Result<()> {
        if let Some(row) = self.state.heard.forget(device, space) {
            self.file.remove::<HeardRow>(&row.natural())?;
        }
        self.forget_known(device, space)
    }
}
