//! Who is in the twin: the identity log as this device takes it over and adds to it.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use twin_identity::body::{Body, Removal};
use twin_identity::device::{DeviceStatement, Role};
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::LogError;
use twin_ops::grant::{GrantId, Recipients};
use twin_ops::space::SpaceId;
use twin_ops::store::{MAX_GRANTS, OpStore};

use crate::error::{Result, VaultError};
use crate::rows::{EntryRow, GrantRow, SeenRow};
use crate::state::{Granted, SpaceEpoch};
use crate::vault::Vault;

/// What a new device gets from the one that admits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The identity log with the new device in it (see [`twin_identity::log::IdentityLog::from_bytes`]).
    pub identity: Vec<u8>,
    /// Signed grants of all keys that its role allows.
    pub grants: Vec<Vec<u8>>,
}

impl Vault {
    /// Adds a device to the twin and grants it the keys of all spaces. Only an admin can.
    pub fn admit(
        &mut self,
        statement: &DeviceStatement,
        rng: &mut impl CryptoRng,
    ) -> Result<Admission> {
        self.write(|vault| {
            vault.say(&[Body::AddDevice(Box::new(statement.clone()))])?;
            vault.renew_epochs(rng)?;
            let epochs: Vec<SpaceEpoch> = vault.state.epochs.keys().copied().collect();
            let to = Recipients::One(&statement.device.id);
            let grants = vault.grant_to(&epochs, &to, rng)?;
            Ok(Admission {
                identity: vault.state.identity.to_bytes(),
                grants: grants
                    .iter()
                    .map(|grant| grant.to_bytes().to_vec())
                    .collect(),
            })
        })
    }

    /// Makes a member an admin ("may replace my phone") and grants it the keys that go with that.
    pub fn promote(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.write(|vault| {
            let known = vault.state.identity.device(device);
            let known = known.ok_or(VaultError::NoSuchDevice)?;
            let entry = vault.state.identity.entries().get(&known.added);
            let statement = entry.and_then(|entry| match &entry.body {
                Body::AddDevice(statement) => Some((**statement).clone()),
                Body::Rotate(rotate) => {
                    let mut named = rotate.devices.iter();
                    named.find(|named| named.device.id == *device).cloned()
                }
                _ => None,
            });
            let mut statement = statement.ok_or(VaultError::NoSuchDevice)?;
            statement.role = Role::Admin;
            vault.say(&[Body::AddDevice(Box::new(statement))])?;
            vault.tend_now(rng)?;
            Ok(())
        })
    }

    /// Removes a device for good: what it has written so far counts, what it writes from now on does not, and it can
    /// read nothing that is written from now on. An admin can remove members; any device can remove itself, unless it is
    /// the last admin.
    pub fn revoke(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.remove(device, Body::Revoke, rng)
    }

    /// Suspends another device until it is resumed: as [`Vault::revoke`], but it can be taken back.
    pub fn suspend(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.remove(device, Body::Suspend, rng)
    }

    /// Takes a suspension back.
    pub fn resume(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.write(|vault| {
            vault.say(&[Body::Resume(*device)])?;
            vault.tend_now(rng)?;
            Ok(())
        })
    }

    /// Objects to a rotation by guardians: their delay begins again, once.
    pub fn veto(&mut self, rotation: &EntryId) -> Result<()> {
        self.write(|vault| vault.say(&[Body::Veto(*rotation)]))
    }

    /// The ids of all grants that are here, of devices that are out, too: those are told to nobody, but what they gave
    /// this device it has.
    pub fn held_grants(&self) -> impl Iterator<Item = GrantId> {
        self.state.grants.keys().copied()
    }

    /// The signed grants that are here, at most [`MAX_GRANTS`]: those by devices that take part come first.
    pub fn all_grants(&self) -> Result<Vec<Vec<u8>>> {
        let mut rows = self.file.items::<GrantRow>()?;
        let takes_part = |row: &GrantRow| {
            let grant = self.state.grants.get(&row.id);
            grant.is_some_and(|grant| self.state.takes_part(&grant.signer))
        };
        rows.sort_by_key(|row| !takes_part(row));
        rows.truncate(MAX_GRANTS);
        Ok(rows.into_iter().map(|row| row.grant).collect())
    }

    /// Those of [`Vault::all_grants`] that gave this device a key of one of these spaces.
    pub fn grants_of(&self, spaces: &BTreeSet<SpaceId>) -> Result<Vec<Vec<u8>>> {
        let grants = self.state.grants.iter();
        let gives = |granted: &Granted| {
            let mut epochs = granted.epochs.iter();
            epochs.any(|(space, _)| spaces.contains(space))
        };
        let ids = grants.filter(|(_, granted)| gives(granted));
        let mut bytes = Vec::new();
        for (id, _) in ids.take(MAX_GRANTS) {
            bytes.extend(self.grant(id)?);
        }
        Ok(bytes)
    }

    /// Signs entries and takes them in. Inside a transaction.
    pub(crate) fn say(&mut self, bodies: &[Body]) -> Result<()> {
        self.change_identity(|vault| {
            for body in bodies {
                let entry = vault.state.identity.sign(body, &vault.device)?;
                vault.take_entry(entry).map_err(|error| match error {
                    VaultError::Identity(LogError::NotAllowed) => VaultError::NotAdmin,
                    error => error,
                })?;
            }
            Ok(())
        })
    }

    /// Takes in an entry of the identity log; `false` if it was there. Inside [`Vault::change_identity`].
    pub(crate) fn take_entry(&mut self, entry: Entry) -> Result<bool> {
        let row = EntryRow {
            id: entry.id,
            entry: entry.to_bytes().to_vec(),
        };
        let new = self.state.identity.insert(entry)?;
        if new {
            self.file.put(&row)?;
        }
        Ok(new)
    }

    /// Does something to the identity log, and then what follows from it: what a removed device wrote too late leaves
    /// the index, what a resumed one wrote comes back. Inside a transaction.
    pub(crate) fn change_identity<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        // Of a device that has just come in, something may be here already.
        self.selection_changed = true;
        let before = self.state.all_counted(&self.file.store)?;
        let done = work(self)?;
        // Before anybody has told the time, nothing can be said of when anything was seen.
        if self.now > 0 {
            for (id, at) in self.state.identity.observe(self.now) {
                self.file.put(&SeenRow { id, at })?;
            }
        }
        self.state.find_discovery();
        self.drop_branches()?;
        if self.state.all_counted(&self.file.store)? != before {
            self.rebuild_index_now()?;
        }
        Ok(done)
    }

    /// Takes a device out and begins new epochs, in one transaction if that is possible. If it is not, because a thief has
    /// added so many devices that no grant can hold them, the device is out all the same.
    fn remove(
        &mut self,
        device: &DeviceId,
        how: fn(Box<Removal>) -> Body,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let both = self.write(|vault| {
            vault.say(&vault.removal(device, how)?)?;
            vault.tend_now(rng)
        });
        match both {
            Err(VaultError::Grant(_) | VaultError::NoEpoch) => {
                self.write(|vault| vault.say(&vault.removal(device, how)?))
            }
            both => both.map(|_| ()),
        }
    }
}
