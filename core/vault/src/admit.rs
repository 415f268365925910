//! Keys for spaces and devices: making spaces, taking in grants, admitting a device.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::device::{DeviceStatement, Role};
use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, MAX_GRANTED_KEYS, Recipients};
use twin_ops::space::{Audience, SpaceName};
use twin_ops::store::{MAX_GRANTS, Taken};

use crate::error::{Result, VaultError};
use crate::rows::{EntryRow, EpochRow, GrantRow, Predecessor};
use crate::state::{Epoch, Granted, SpaceEpoch};
use crate::vault::Vault;

/// The most grants by one device, so that none can fill the table for all.
const MAX_GRANTS_PER_DEVICE: usize = 2048;

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
            let identity = &mut vault.state.identity;
            if !identity.is_admin(&vault.device.id()) {
                return Err(VaultError::NotAdmin);
            }
            let entry = Entry::add_device(
                identity.twin(),
                &identity.heads(),
                identity.next_seq(),
                statement,
                &vault.device,
            )?;
            vault.file.put(&EntryRow {
                id: entry.id,
                entry: entry.to_bytes().to_vec(),
            })?;
            identity.insert(entry)?;
            let epochs: Vec<SpaceEpoch> = vault.state.epochs.keys().copied().collect();
            let grants = vault.grant_to(&epochs, &Recipients::One(&statement.device.id), rng)?;
            Ok(Admission {
                identity: vault.state.identity.to_bytes(),
                grants: grants
                    .iter()
                    .map(|grant| grant.to_bytes().to_vec())
                    .collect(),
            })
        })
    }

    /// Grants keys to devices that were added by somebody who did not have them: a space made on one device while
    /// another was being linked elsewhere. Does so for keys that this device granted before, and for all if it is an
    /// admin. Returns how many grants were made; to be called after a sync.
    pub fn grant_missing(&mut self, rng: &mut impl CryptoRng) -> Result<usize> {
        self.catch_up()?;
        if self.missing().is_empty() {
            return Ok(0);
        }
        self.write(|vault| {
            let mut made = 0;
            for (device, epochs) in vault.missing() {
                made += vault
                    .grant_to(&epochs, &Recipients::One(&device), rng)?
                    .len();
            }
            Ok(made)
        })
    }

    /// The devices that lack keys which are this device's to give.
    fn missing(&self) -> BTreeMap<DeviceId, Vec<SpaceEpoch>> {
        let me = self.device.id();
        let mut holders: BTreeMap<SpaceEpoch, BTreeSet<DeviceId>> = BTreeMap::new();
        let mut mine = BTreeSet::new();
        for grant in self.state.grants.values() {
            for epoch in &grant.epochs {
                let holders = holders.entry(*epoch).or_default();
                holders.extend(&grant.recipients);
                if grant.signer == me {
                    mine.insert(*epoch);
                }
            }
        }
        let admin = self.state.identity.is_admin(&me);
        let mut missing: BTreeMap<DeviceId, Vec<SpaceEpoch>> = BTreeMap::new();
        for (id, epoch) in &self.state.epochs {
            if !admin && !mine.contains(id) {
                continue;
            }
            for (device, known) in self.state.identity.devices() {
                let allowed = may_have(epoch, known.role);
                let has = holders.get(id).is_some_and(|has| has.contains(device));
                if allowed && !has {
                    missing.entry(*device).or_default().push(*id);
                }
            }
        }
        missing
    }

    /// Makes new spaces, each with its first epoch, and grants them to everybody. Inside a transaction.
    pub(crate) fn found_spaces(
        &mut self,
        spaces: &[SpaceName],
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let mut epochs = Vec::new();
        for space in spaces {
            let key = EpochKey::random(rng);
            epochs.push(self.learn(space.clone(), key, None)?);
        }
        self.grant_to(&epochs, &Recipients::All, rng)?;
        Ok(())
    }

    /// Makes and stores the grants that give `epochs` to `recipients`.
    fn grant_to(
        &mut self,
        epochs: &[SpaceEpoch],
        recipients: &Recipients<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Grant>> {
        let mut grants = Vec::new();
        for some in epochs.chunks(MAX_GRANTED_KEYS) {
            let known = some.iter().filter_map(|id| self.state.epochs.get(id));
            let keys: Vec<GrantedKey> = known.map(granted).collect();
            let grant = Grant::new(&self.state.identity, &keys, recipients, &self.device, rng)?;
            self.store_grant(&grant, some.to_vec())?;
            grants.push(grant);
        }
        Ok(grants)
    }

    fn store_grant(&mut self, grant: &Grant, epochs: Vec<SpaceEpoch>) -> Result<()> {
        self.file.put(&GrantRow {
            id: grant.id,
            grant: grant.to_bytes().to_vec(),
            epochs: epochs.clone(),
        })?;
        let granted = Granted::new(grant, epochs);
        self.state.grants.insert(grant.id, granted);
        Ok(())
    }

    /// Verifies and stores grants, learns the keys in them that are for this device, and merges the ops that waited
    /// for these. Inside a transaction.
    pub(crate) fn take_grants(&mut self, grants: &[Vec<u8>]) -> Result<Taken> {
        let mut taken = Taken::default();
        for bytes in grants {
            let grant = Grant::from_bytes(bytes)?;
            if self.state.grants.contains_key(&grant.id) {
                continue;
            }
            if !self.knows_heads(&grant) {
                taken.early += 1;
                continue;
            }
            grant.verify(&self.state.identity)?;
            let of_signer = |held: &&Granted| held.signer == grant.signer();
            let signed = self.state.grants.values().filter(of_signer).count();
            if self.state.grants.len() >= MAX_GRANTS || signed >= MAX_GRANTS_PER_DEVICE {
                taken.refused += 1;
                continue;
            }
            // A device that grants nonsense harms itself only: the grant is kept and forwarded like any other.
            let keys = grant
                .open(&self.state.identity, &self.device)
                .unwrap_or_default();
            let mut epochs = Vec::with_capacity(keys.len());
            for granted in keys {
                epochs.push(self.learn(granted.space, granted.key, granted.predecessor)?);
            }
            self.store_grant(&grant, epochs)?;
            taken.new += 1;
        }
        if taken.new > 0 {
            self.absorb_unread()?;
        }
        Ok(taken)
    }

    fn knows_heads(&self, grant: &Grant) -> bool {
        let identity = &self.state.identity;
        grant
            .heads()
            .iter()
            .all(|head| identity.entries().contains_key(head))
    }

    /// Takes in the key of an epoch, and the key of the epoch before that it opens.
    fn learn(
        &mut self,
        space: SpaceName,
        key: EpochKey,
        sealed: Option<Vec<u8>>,
    ) -> Result<SpaceEpoch> {
        let space_id = space.id(self.twin());
        let id = (space_id, key.id());
        let mut predecessor = None;
        if let Some(sealed) = sealed
            && let Ok(before) = key.open_predecessor(&sealed)
        {
            let id = before.id();
            predecessor = Some(Predecessor { id, sealed });
            if !self.state.epochs.contains_key(&(space_id, id)) {
                self.store_epoch(space.clone(), before, None)?;
            }
        }
        let known = self.state.epochs.get(&id);
        let news = known.is_none_or(|known| known.predecessor.is_none() && predecessor.is_some());
        if news {
            self.store_epoch(space, key, predecessor)?;
        }
        Ok(id)
    }

    fn store_epoch(
        &mut self,
        space: SpaceName,
        key: EpochKey,
        predecessor: Option<Predecessor>,
    ) -> Result<()> {
        self.file.put(&EpochRow {
            id: key.id(),
            space: space.clone(),
            key: *key.secret().expose(),
            predecessor: predecessor.clone(),
        })?;
        self.state.add_epoch(space, key, predecessor);
        Ok(())
    }
}

fn granted(epoch: &Epoch) -> GrantedKey {
    let key = twin_identity::secret::Secret::new(*epoch.key.secret().expose());
    GrantedKey {
        space: epoch.space.clone(),
        key: EpochKey::new(key),
        predecessor: epoch
            .predecessor
            .as_ref()
            .map(|before| before.sealed.clone()),
    }
}

fn may_have(epoch: &Epoch, role: Role) -> bool {
    epoch.space.audience() == Audience::Members || role == Role::Admin
}
