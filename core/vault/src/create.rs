//! Making a vault: beside its place, then moved there whole, so that a half-made one is never found.

use std::fs;
use std::path::Path;

use rand_core::CryptoRng;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Removal};
use twin_identity::device::DeviceKeys;
use twin_identity::log::IdentityLog;
use twin_identity::seal::SealingKey;
use twin_identity::secret::Secret;
use twin_ops::grant::Recipient;
use twin_ops::space::SpaceName;

use crate::error::{Result, VaultError};
use crate::folder::in_folder;
use crate::incarnation::{FileMark, new_incarnation};
use crate::keys::VaultKeys;
use crate::rows::{DeviceRow, EntryRow, GenesisRow, SeenRow};
use crate::slots::{self, Opened, Unlock};
use crate::store::{self, Sealed, Store};
use crate::vault::{FILE_NAME, Vault};

pub(crate) const NEW: &str = "vault.db.new";
pub(crate) const LOCK: &str = "vault.lock";

impl Vault {
    /// Makes the vault of a new twin's first device in the folder `dir`, with the twin's own two spaces.
    pub fn create(
        dir: &Path,
        unlock: Unlock<'_>,
        birth: &Birth,
        rng: &mut impl CryptoRng,
    ) -> Result<Self> {
        Self::create_with(dir, unlock, birth, rng, |_, _| Ok(()))
    }

    /// As [`Vault::create`], with what must be in it before anybody can find it: if `fill` fails, or the machine does,
    /// there is no vault.
    pub fn create_with<R: CryptoRng>(
        dir: &Path,
        unlock: Unlock<'_>,
        birth: &Birth,
        rng: &mut R,
        fill: impl FnOnce(&mut Self, &mut R) -> Result<()>,
    ) -> Result<Self> {
        let mut identity = IdentityLog::new(birth.genesis.clone());
        identity.insert(birth.entry.clone())?;
        build(dir, unlock, &birth.device, &identity, rng, |vault, rng| {
            vault.write(|vault| {
                let spaces = [SpaceName::members(), SpaceName::keys()];
                vault.begin_epochs(&spaces, rng)
            })?;
            fill(vault, rng)
        })
    }

    /// Makes the vault of a device that was linked to a twin in the folder `dir`: `identity` is the log that names
    /// `device`, `grants` are the signed grants that were sent with it.
    pub fn create_linked(
        dir: &Path,
        unlock: Unlock<'_>,
        device: &DeviceKeys,
        identity: &IdentityLog,
        grants: &[Vec<u8>],
        rng: &mut impl CryptoRng,
    ) -> Result<Self> {
        if identity.device(&device.id()).is_none() {
            return Err(VaultError::NotAllowed);
        }
        build(dir, unlock, device, identity, rng, |vault, _| {
            let taken = vault.write(|vault| vault.take_grants(grants))?;
            // Without the members' key the device could not even find the others.
            if taken.early > 0 || vault.state.discovery.is_none() {
                return Err(VaultError::NoKey);
            }
            Ok(())
        })
    }
}

/// A twin that comes back: what a new device needs to make its vault (see [`Vault::create_recovered`]).
pub struct Comeback<'a> {
    /// Its keys.
    pub device: &'a DeviceKeys,
    /// The log, with the rotation that names the device.
    pub identity: &'a IdentityLog,
    /// The signed grants that were found with the log.
    pub grants: &'a [Vec<u8>],
    /// What opens them: the key of the words, or of the guardians if they hold the data too.
    pub opens: Option<(Recipient, &'a SealingKey)>,
    /// What of devices that are gone counts beyond what the rotation could say.
    pub later: Vec<Removal>,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
}

impl Vault {
    /// Makes the vault of a device that has come into the twin by a rotation of its own, in the folder `dir`. A device
    /// that guardians have named is not in yet: its vault waits with it. As with [`Vault::create_with`], there is no vault
    /// before `fill` has put in what must be there.
    pub fn create_recovered<R: CryptoRng, E: From<VaultError>>(
        dir: &Path,
        unlock: Unlock<'_>,
        comeback: Comeback<'_>,
        rng: &mut R,
        fill: impl FnOnce(&mut Self, &mut R) -> std::result::Result<(), E>,
    ) -> std::result::Result<Self, E> {
        let Comeback {
            device, identity, ..
        } = comeback;
        let pending = identity.pending().iter().any(|pending| {
            let rotate = identity.rotation_of(&pending.rotation);
            let mut named = rotate.into_iter().flat_map(|rotate| &rotate.devices);
            named.any(|named| named.device.id == device.id())
        });
        let is_in = identity.device(&device.id()).is_some();
        if !is_in && !pending {
            return Err(VaultError::NotAllowed.into());
        }
        build(dir, unlock, device, identity, rng, |vault, rng| {
            vault.now = comeback.now;
            vault.write(|vault| {
                vault.tell_time()?;
                vault.take_grants(comeback.grants)?;
                if let Some((to, key)) = comeback.opens {
                    vault.learn_with(to, key)?;
                }
                if is_in {
                    let later = comeback.later.into_iter();
                    let later: Vec<Body> = later.map(|more| Body::Raise(Box::new(more))).collect();
                    vault.say(&later)?;
                    vault.tend_now(rng)?;
                }
                Ok(())
            })?;
            fill(vault, rng)
        })
    }
}

/// Makes the vault, and the folders on the way to it; if it cannot be made, these are gone again.
fn build<R: CryptoRng, E: From<VaultError>>(
    dir: &Path,
    unlock: Unlock<'_>,
    device: &DeviceKeys,
    identity: &IdentityLog,
    rng: &mut R,
    fill: impl FnOnce(&mut Vault, &mut R) -> std::result::Result<(), E>,
) -> std::result::Result<Vault, E> {
    unlock.check()?;
    let build = || build_in(dir, unlock, device, identity, rng, fill);
    in_folder(dir, |_| true, build)
}

/// Makes the vault in a folder that is there and locked.
fn build_in<R: CryptoRng, E: From<VaultError>>(
    dir: &Path,
    unlock: Unlock<'_>,
    device: &DeviceKeys,
    identity: &IdentityLog,
    rng: &mut R,
    fill: impl FnOnce(&mut Vault, &mut R) -> std::result::Result<(), E>,
) -> std::result::Result<Vault, E> {
    let (new, path) = (dir.join(NEW), dir.join(FILE_NAME));
    if path.try_exists().map_err(VaultError::from)? {
        return Err(VaultError::Exists.into());
    }
    remove(&new)?;
    let opened = Opened {
        slot: slots::FIRST,
        key: Secret::random(rng),
    };
    let made = begin(&new, unlock, &opened.key, device, identity, rng)
        .and_then(|()| Vault::load(Store::open(&new)?, &opened))
        .map_err(E::from)
        .and_then(|mut vault| {
            fill(&mut vault, rng)?;
            vault.file.store.close()?;
            store::sync(dir, &new)?;
            Ok(())
        });
    if let Err(error) = made {
        // The reason counts, not whether the remains could be cleared away: the next attempt does that first.
        let _ = remove(&new);
        return Err(error);
    }
    let opened = move_in(dir, &new, &path).and_then(|()| Vault::load(Store::open(&path)?, &opened));
    opened.map_err(|error| {
        // Whoever is told that it could not be made does not expect one.
        for remains in [&path, &new] {
            let _ = remove(remains);
        }
        error.into()
    })
}

/// Moves a vault that is whole to its place.
pub(crate) fn move_in(dir: &Path, new: &Path, path: &Path) -> Result<()> {
    fs::rename(new, path)?;
    store::sync(dir, path)
}

/// The file with everything that must be there before it can be loaded as a vault.
fn begin(
    path: &Path,
    unlock: Unlock<'_>,
    key: &Secret<32>,
    device: &DeviceKeys,
    identity: &IdentityLog,
    rng: &mut impl CryptoRng,
) -> Result<()> {
    let file = Sealed {
        store: Store::create(path)?,
        keys: VaultKeys::new(key),
    };
    file.store.begin()?;
    slots::add(&file, unlock, "", None, rng)?;
    file.put(&DeviceRow {
        keys: *device.to_secret().expose(),
        incarnation: new_incarnation(rng),
        mark: Some(FileMark::of(path)?),
        ended: None,
    })?;
    file.put(&GenesisRow::of(identity))?;
    for entry in identity.entries().values() {
        file.put(&EntryRow {
            id: entry.id,
            entry: entry.to_bytes().to_vec(),
        })?;
    }
    for (id, at) in identity.seen() {
        file.put(&SeenRow { id: *id, at: *at })?;
    }
    file.store.commit()?;
    file.store.close()
}

/// Removes what an attempt to make a vault left behind. Never called on a vault that anybody was told of.
pub(crate) fn remove(remains: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = remains.as_os_str().to_owned();
        path.push(suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
