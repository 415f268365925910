//! A device: a real vault in a folder of its own, a clock that may be wrong, and what it must have in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use twin_identity::aead::DataKey;
use twin_identity::birth::Birth;
use twin_identity::id::DeviceId;
use twin_identity::secret::Secret;
use twin_ops::space::SpaceId;
use twin_ops::store::OpStore;
use twin_sync::link::new_device::Admitted;
use twin_vault::{FILE_NAME, KeyStore, KeyStoreError, Unlock, Vault};

use super::fault::{Held, fault};
use super::view::View;
use crate::dice::Dice;

/// Milliseconds since the run began, by no device's clock.
pub type Instant = u64;

/// What a right clock shows when a run begins, in milliseconds since the Unix epoch.
const BEGIN: u64 = 1_795_000_000_000;

/// The folders of a device's home: its vault, what a crash leaves, a copy that a backup has made.
const LIVE: &str = "live";
const LEFT: &str = "left";
const BACKUP: &str = "backup";

/// A device with a vault.
pub struct Device {
    /// Its place among the twins of the run.
    pub twin: usize,
    /// Its id.
    pub id: DeviceId,
    /// How wrong its clock is, in milliseconds.
    pub skew: i64,
    /// What its vault must hold and show.
    pub view: View,
    /// The spaces that it did not keep when it was last looked at.
    pub unselected: BTreeSet<SpaceId>,
    chip: Chip,
    home: PathBuf,
    backup: Option<Backup>,
    pub(super) vault: Option<Vault>,
}

/// What a copy of a device's files holds.
struct Backup {
    view: View,
    rotations: usize,
    compactions: usize,
}

/// A key store double: wraps under a key of its own at no cost, where a person's password would take Argon2id.
pub struct Chip(DataKey);

impl Chip {
    /// A new one.
    pub fn new(dice: &mut Dice) -> Self {
        Self(DataKey::random(dice.rng()))
    }
}

impl KeyStore for Chip {
    fn wrap(&self, key: &Secret<32>) -> Result<Vec<u8>, KeyStoreError> {
        let wrapped = self.0.seal_synthetic(b"chip", key.expose());
        wrapped.map_err(|_| KeyStoreError::Unavailable)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, KeyStoreError> {
        let key = self.0.open(b"chip", wrapped);
        let key = key.map_err(|_| KeyStoreError::KeyLost)?;
        Secret::from_slice(&key).ok_or(KeyStoreError::KeyLost)
    }
}

/// What a clock shows that is wrong by `skew`.
pub fn clock(at: Instant, skew: i64) -> u64 {
    (BEGIN + at).saturating_add_signed(skew)
}

impl Device {
    /// The first device of a twin.
    pub fn first(home: PathBuf, twin: usize, birth: &Birth, dice: &mut Dice) -> Held<Self> {
        let chip = Chip::new(dice);
        let unlock = Unlock::KeyStore(&chip);
        let vault = Vault::create(&home.join(LIVE), unlock, birth, dice.rng())?;
        Ok(Self::new(home, twin, 0, chip, vault))
    }

    /// A device that was linked.
    pub fn linked(
        home: PathBuf,
        twin: usize,
        skew: i64,
        admitted: &Admitted,
        dice: &mut Dice,
    ) -> Held<Self> {
        let chip = Chip::new(dice);
        let grants: Vec<Vec<u8>> = admitted
            .grants
            .iter()
            .map(|grant| grant.to_bytes().to_vec())
            .collect();
        let vault = Vault::create_linked(
            &home.join(LIVE),
            Unlock::KeyStore(&chip),
            &admitted.keys,
            &admitted.log,
            &grants,
            dice.rng(),
        )?;
        Ok(Self::new(home, twin, skew, chip, vault))
    }

    fn new(home: PathBuf, twin: usize, skew: i64, chip: Chip, vault: Vault) -> Self {
        Self {
            twin,
            id: vault.device(),
            skew,
            view: View::default(),
            unselected: BTreeSet::new(),
            chip,
            home,
            backup: None,
            vault: Some(vault),
        }
    }

    /// What its clock shows.
    pub fn clock(&self, at: Instant) -> u64 {
        clock(at, self.skew)
    }

    /// Whether it runs.
    pub const fn is_up(&self) -> bool {
        self.vault.is_some()
    }

    /// Its vault. The world asks only devices that run.
    pub fn vault(&mut self) -> &mut Vault {
        self.vault.as_mut().expect("a device that runs")
    }

    /// Its vault, to look at.
    pub fn vault_ref(&self) -> &Vault {
        self.vault.as_ref().expect("a device that runs")
    }

    /// Whether it is an admin, by its own log.
    pub fn is_admin(&self) -> bool {
        self.is_up() && self.vault_ref().identity().is_admin(&self.id)
    }

    /// Whether another device is one of its twin, by its own log.
    pub fn admits(&self, other: &DeviceId) -> bool {
        self.is_up() && self.vault_ref().admits(other)
    }

    /// The folder of its vault.
    pub fn folder(&self) -> PathBuf {
        self.home.join(LIVE)
    }

    /// The process dies: what is on the disk at this moment is all that is left, in the files that it was in. SQLite puts
    /// the files in order when it lets go of them, so they are set back to what they were.
    pub fn crash(&mut self) -> Held {
        let left = self.home.join(LEFT);
        copy_files(&self.folder(), &left)?;
        self.vault = None;
        overwrite_files(&left, &self.folder())?;
        on_disk(fs::remove_dir_all(left))
    }

    /// Something makes a copy of its files while it runs, after so many compactions anywhere.
    pub fn back_up(&mut self, compactions: usize) -> Held {
        let copy = self.home.join(BACKUP);
        if self.backup.take().is_some() {
            on_disk(fs::remove_dir_all(&copy))?;
        }
        copy_files(&self.folder(), &copy)?;
        self.backup = Some(Backup {
            view: self.view.clone(),
            rotations: self.vault_ref().identity().rotations(),
            compactions,
        });
        Ok(())
    }

    /// Whether there is a copy that its person would bring back: words that are newer would be lost with what came after.
    pub fn has_backup(&self) -> bool {
        let here = self
            .vault
            .as_ref()
            .map(|vault| vault.identity().rotations());
        let copy = self.backup.as_ref().map(|copy| copy.rotations);
        here.is_some() && here == copy
    }

    /// Whether its disk may be set back to that copy. What it writes then stands in logs that it has begun before, and what
    /// a checkpoint has made of these since cannot be told from it any more.
    pub fn may_be_set_back(&self, compactions: usize) -> bool {
        let copy = self.backup.as_ref().map(|copy| copy.compactions);
        self.has_backup() && copy == Some(compactions)
    }

    /// Its person brings the copy back: the process dies, and other files take the place of its own.
    pub fn bring_back(&mut self) -> Held {
        let Some(backup) = &self.backup else {
            return Ok(());
        };
        self.view = backup.view.clone();
        self.unselected.clear();
        self.vault = None;
        on_disk(fs::remove_dir_all(self.folder()))?;
        copy_files(&self.home.join(BACKUP), &self.folder())
    }

    /// Its disk is as it was when the copy was made: the process dies, and its own files have the content of the copy.
    pub fn set_back(&mut self) -> Held {
        let Some(backup) = &self.backup else {
            return Ok(());
        };
        self.view = backup.view.clone();
        self.unselected.clear();
        self.vault = None;
        overwrite_files(&self.home.join(BACKUP), &self.folder())
    }

    /// Starts again from the disk.
    pub fn restart(&mut self) -> Held {
        let unlock = Unlock::KeyStore(&self.chip);
        // The time is for wrong passwords, and a chip has none.
        self.vault = Some(Vault::open(&self.folder(), unlock, BEGIN)?);
        Ok(())
    }
}

/// Database and WAL, as kill -9 leaves them; the shared memory beside them is a cache that SQLite makes again.
fn files() -> [String; 2] {
    ["", "-wal"].map(|suffix| format!("{FILE_NAME}{suffix}"))
}

/// Copies them to other files in a new folder.
fn copy_files(from: &Path, to: &Path) -> Held {
    on_disk(fs::create_dir(to))?;
    for name in files() {
        if from.join(&name).exists() {
            on_disk(fs::copy(from.join(&name), to.join(&name)).map(drop))?;
        }
    }
    Ok(())
}

/// Sets files back to what they were; the database stays the same file.
fn overwrite_files(from: &Path, to: &Path) -> Held {
    for name in files() {
        if from.join(&name).exists() {
            on_disk(fs::copy(from.join(&name), to.join(&name)).map(drop))?;
        } else if to.join(&name).exists() {
            on_disk(fs::remove_file(to.join(&name)))?;
        }
    }
    Ok(())
}

fn on_disk<T>(done: io::Result<T>) -> Held<T> {
    done.map_err(|error| fault!("the disk of the simulation failed: {error}"))
}
