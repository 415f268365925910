//! Keys for spaces and devices: epochs, and the grants by which their keys come and go.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_identity::seal::SealingKey;
use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, MAX_GRANTED_KEYS, Recipient, Recipients};
use twin_ops::space::{Audience, SpaceName};
use twin_ops::store::Taken;

use crate::error::{Result, VaultError};
use crate::rows::{EpochRow, GrantRow, Predecessor};
use crate::state::{Epoch, Granted, Known, SpaceEpoch};
use crate::vault::Vault;

impl Vault {
    /// Grants keys to devices that were added by somebody who did not have them: a space made on one device while
    /// another was being linked elsewhere. Does so for keys that this device granted before or has written under, and
    /// for all if it is an admin. Returns how many grants were made. Inside a transaction.
    pub(crate) fn grant_missing(&mut self, rng: &mut impl CryptoRng) -> Result<usize> {
        let mut made = 0;
        for (device, epochs) in self.missing() {
            made += self
                .grant_to(&epochs, &Recipients::One(&device), rng)?
                .len();
        }
        Ok(made)
    }

    /// The spaces that this device knows of and whose epoch somebody has who is out or whose time has run out, and that
    /// are its to renew: an admin does it for all, others when they write, once somebody is out.
    pub(crate) fn stale_spaces(&self) -> Vec<SpaceName> {
        let me = self.device.id();
        if !self.state.identity.is_admin(&me) {
            return Vec::new();
        }
        let mut names: Vec<SpaceName> = self
            .state
            .epochs
            .values()
            .map(|epoch| epoch.space.clone())
            .collect();
        names.extend([SpaceName::members(), SpaceName::keys()]);
        names.sort();
        names.dedup();
        let expired = self.expired();
        names.retain(|name| {
            let space = name.id(self.twin());
            let epoch = self.state.writing_epoch(&space);
            epoch.is_none_or(|epoch| self.is_read_by(&expired, (space, epoch)))
        });
        names
    }

    /// Whether this device may begin an epoch of a space: of our own spaces only admins may.
    pub(crate) fn may_begin(&self, space: &SpaceName) -> bool {
        let own = space.as_str().starts_with('~');
        !own || self.state.identity.is_admin(&self.device.id())
    }

    /// The epochs that are here and that nobody who takes part has granted: whoever did is out. They are granted anew,
    /// for what devices that are out have granted is not told of any more, and a thief may have granted no end of it:
    /// of more than fit into one grant only those that something is sealed under.
    pub(crate) fn orphans(&self) -> Result<Vec<SpaceEpoch>> {
        let me = self.device.id();
        if !self.state.takes_part(&me) {
            return Ok(Vec::new());
        }
        let role = self.state.identity.role_once(&me);
        let given: BTreeSet<&SpaceEpoch> = self
            .state
            .standing()
            .flat_map(|(_, grant)| &grant.epochs)
            .collect();
        let epochs = self.state.epochs.iter();
        let mut orphans: Vec<SpaceEpoch> = epochs
            .filter(|(id, _)| !given.contains(id))
            .filter(|(_, epoch)| role.is_some_and(|role| may_have(epoch, role)))
            .map(|(id, _)| *id)
            .collect();
        if orphans.len() > MAX_GRANTED_KEYS {
            let used = self.used_epochs()?;
            orphans.retain(|id| used.contains(id));
        }
        Ok(orphans)
    }

    /// The devices that lack keys which are this device's to give. One that is out gives none: nobody could take them.
    pub(crate) fn missing(&self) -> BTreeMap<DeviceId, Vec<SpaceEpoch>> {
        let me = self.device.id();
        if !self.state.identity.is_active(&me, self.now) {
            return BTreeMap::new();
        }
        let mut holders: BTreeMap<SpaceEpoch, BTreeSet<DeviceId>> = BTreeMap::new();
        let mut mine = BTreeSet::new();
        for (_, grant) in self.state.standing() {
            for epoch in &grant.epochs {
                let holders = holders.entry(*epoch).or_default();
                // Whoever gives a key has it.
                holders.insert(grant.signer);
                let known = self.state.epochs.get(epoch);
                let for_admins = known.is_some_and(|known| !may_have(known, Role::Member));
                holders.extend(if for_admins {
                    &grant.admins
                } else {
                    &grant.recipients
                });
                if grant.signer == me {
                    mine.insert(*epoch);
                }
            }
        }
        let identity = &self.state.identity;
        let admin = identity.is_admin(&me);
        // Where every admin that had them is gone, those who are left give the keys to the next.
        let orphaned = |id: &SpaceEpoch| {
            let mut holders = holders.get(id).into_iter().flatten();
            !holders.any(|holder| identity.is_admin(holder))
        };
        let mut missing: BTreeMap<DeviceId, Vec<SpaceEpoch>> = BTreeMap::new();
        for (id, epoch) in &self.state.epochs {
            // Whoever can read what this device wrote is not to depend on when they meet another.
            let mine = epoch.written || mine.contains(id);
            if !admin && !mine && !orphaned(id) {
                continue;
            }
            for (device, known) in identity.devices() {
                let allowed = may_have(epoch, known.role) && known.is_active(self.now);
                let has = holders.get(id).is_some_and(|has| has.contains(device));
                let has = has || *device == me;
                if allowed && !has {
                    missing.entry(*device).or_default().push(*id);
                }
            }
        }
        for (device, ids) in self.to_be_given() {
            let missing = missing.entry(device).or_default();
            missing.extend(ids);
            missing.sort_unstable();
            missing.dedup();
        }
        missing
    }

    /// The epochs that new words, or new guardians, do not open yet and that are this device's to give to them.
    pub(crate) fn unopened(&self) -> Vec<SpaceEpoch> {
        let identity = &self.state.identity;
        let of = |entry: &Entry| {
            let rotate = entry.rotation()?;
            let guardians = rotate.guardians.as_ref();
            let guardians = guardians.and_then(|guardians| guardians.sealing.clone());
            Some((rotate.recovery.clone(), guardians))
        };
        let path: Vec<&Entry> = identity.path().collect();
        let now = identity.rotation().and_then(of);
        let same = path.iter().rev().take_while(|entry| of(entry) == now);
        let Some(since) = path.get(path.len() - same.count()) else {
            return Vec::new();
        };
        if !identity.is_admin(&self.device.id()) {
            return Vec::new();
        }
        let to_them = self.state.standing().filter(|(_, grant)| {
            grant.words && identity.had_seen(&grant.heads, std::slice::from_ref(&since.id))
        });
        let opened: BTreeSet<SpaceEpoch> = to_them
            .flat_map(|(_, grant)| &grant.epochs)
            .copied()
            .collect();
        let epochs = self.state.epochs.keys();
        epochs.filter(|id| !opened.contains(id)).copied().collect()
    }

    /// Begins an epoch in each of these spaces, the first one or the next, and grants them to everybody who is in: one
    /// sealed message a device, whatever the number of spaces. Inside a transaction.
    pub(crate) fn begin_epochs(
        &mut self,
        spaces: &[SpaceName],
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let identity = &self.state.identity;
        let now = Known {
            base: identity.base(),
            heads: identity.heads(),
        };
        let mut epochs = Vec::new();
        for space in spaces {
            let key = EpochKey::random(rng);
            let id = space.id(self.twin());
            let before = self.state.newest_epoch(&id);
            let before = before.and_then(|before| self.state.epochs.get(&(id, before)));
            let sealed = match before {
                Some(before) => Some(key.seal_predecessor(&before.key, rng)?),
                None => None,
            };
            epochs.push(self.learn(space.clone(), key, sealed, now.clone())?);
        }
        self.state.find_discovery();
        epochs.extend(self.orphans()?);
        epochs.sort_unstable();
        epochs.dedup();
        self.grant_to(&epochs, &Recipients::All, rng)?;
        Ok(())
    }

    /// Makes and stores the grants that give `epochs` to `recipients`.
    pub(crate) fn grant_to(
        &mut self,
        epochs: &[SpaceEpoch],
        recipients: &Recipients<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Grant>> {
        let mut grants = Vec::new();
        for some in epochs.chunks(MAX_GRANTED_KEYS) {
            let known = some.iter().filter_map(|id| self.state.epochs.get(id));
            let keys: Vec<GrantedKey> = known.map(granted).collect();
            let identity = &self.state.identity;
            let grant = Grant::new(identity, self.now, &keys, recipients, &self.device, rng)?;
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
        let mut room = self.room_for_grants();
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
            if !room.take(&self.state, &grant.signer()) {
                taken.refused += 1;
                continue;
            }
            // A device that grants nonsense harms itself only: the grant is kept and forwarded like any other.
            let keys = grant
                .open(&self.state.identity, &self.device)
                .unwrap_or_default();
            let mut epochs = Vec::with_capacity(keys.len());
            for granted in keys {
                epochs.push(self.learn_granted(granted)?);
            }
            self.store_grant(&grant, epochs)?;
            taken.new += 1;
        }
        if taken.new > 0 {
            self.state.find_discovery();
            self.absorb_unread()?;
        }
        Ok(taken)
    }

    /// Learns the keys that the grants here give to the words or to the guardians. Inside a transaction.
    pub(crate) fn learn_with(&mut self, to: Recipient, key: &SealingKey) -> Result<()> {
        let ids: Vec<_> = self.state.grants.keys().copied().collect();
        for id in ids {
            let row: Option<GrantRow> = self.file.item(id.as_bytes())?;
            let row = row.ok_or(VaultError::Damaged("a grant"))?;
            let grant = Grant::from_bytes(&row.grant)?;
            // Older grants may be sealed to words that were replaced since.
            let keys = grant.open_with(&self.state.identity, to, key);
            for granted in keys.unwrap_or_default() {
                self.learn_granted(granted)?;
            }
        }
        self.state.find_discovery();
        self.absorb_unread()
    }

    fn learn_granted(&mut self, granted: GrantedKey) -> Result<SpaceEpoch> {
        let known = Known {
            base: granted.base,
            heads: granted.heads,
        };
        self.learn(granted.space, granted.key, granted.predecessor, known)
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
        known: Known,
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
                // Nobody said who had it, so nobody writes in it.
                self.store_epoch(space.clone(), &before, None, Known::nothing(known.base))?;
            }
        }
        let here = self.state.epochs.get(&id);
        let news = here.is_none_or(|here| {
            (here.predecessor.is_none() && predecessor.is_some())
                || (here.known.heads.is_empty() && !known.heads.is_empty())
        });
        if news {
            self.store_epoch(space, &key, predecessor, known)?;
        }
        Ok(id)
    }

    fn store_epoch(
        &mut self,
        space: SpaceName,
        key: &EpochKey,
        predecessor: Option<Predecessor>,
        known: Known,
    ) -> Result<()> {
        let id = (space.id(self.twin()), key.id());
        let here = self.state.epochs.get(&id);
        let row = EpochRow {
            id: key.id(),
            space,
            key: *key.secret().expose(),
            predecessor,
            base: known.base,
            heads: known.heads,
            written: here.filter(|here| here.written).map(|_| true),
        };
        self.file.put(&row)?;
        self.state.add_epoch(&row);
        Ok(())
    }

    /// This device writes in an epoch: from then on its key is this device's to give. Inside a transaction.
    pub(crate) fn writes_in(&mut self, id: &SpaceEpoch) -> Result<()> {
        if let Some(epoch) = self.state.epochs.get_mut(id)
            && !epoch.written
        {
            epoch.written = true;
            self.file.put(&epoch.row())?;
        }
        Ok(())
    }
}

fn granted(epoch: &Epoch) -> GrantedKey {
    GrantedKey {
        space: epoch.space.clone(),
        key: EpochKey::new(Secret::new(*epoch.key.secret().expose())),
        predecessor: epoch
            .predecessor
            .as_ref()
            .map(|before| before.sealed.clone()),
        base: epoch.known.base,
        heads: epoch.known.heads.clone(),
    }
}

pub(crate) fn may_have(epoch: &Epoch, role: Role) -> bool {
    epoch.space.audience() == Audience::Members || role == Role::Admin
}
