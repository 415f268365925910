//! Key slots: the ways to unlock a vault. Each holds the vault key in its own way, and none knows of the others.
//!
//! - `slot`: one of them, as it is in the file; `password`: Argon2id; [`key_store`]: the platform's hardware
//! - `renew`: a new vault key, whenever a slot is removed or changed
//! - `tries`: wrong passwords are counted, and wait

pub mod key_store;
mod password;
mod renew;
mod slot;
mod table;
mod tries;

use std::path::Path;

use rand_core::CryptoRng;
use twin_identity::secret::Secret;

use self::slot::Slot;
use self::tries::Turn;
use crate::error::{Result, VaultError};
use crate::rows::SlotRow;
pub use crate::slots::key_store::{KeyStore, KeyStoreError};
use crate::store::{Sealed, Store};
use crate::vault::Vault;

/// The number of the slot that a vault is made with.
pub(crate) const FIRST: u32 = 1;
/// The most slots of a vault.
pub const MAX_SLOTS: usize = 8;
/// The most bytes of a slot's label.
pub const MAX_LABEL: usize = 64;

/// A way to unlock a vault, and to set up a new one.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// A password, not empty. On phones [`Unlock::Both`] is used instead.
    Password(&'a str),
    /// The platform's key store.
    KeyStore(&'a dyn KeyStore),
    /// A password and the platform's key store: who has the file alone cannot try passwords, who has the device alone
    /// still needs one.
    Both(&'a str, &'a dyn KeyStore),
}

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// A password.
    Password,
    /// The platform's key store.
    KeyStore,
    /// A password and the platform's key store, both of them.
    Both,
}

/// A slot, as the person knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number; those of removed slots are given again.
    pub number: u32,
    /// What opens it; `None` if it is damaged: nothing does, and it can only be removed.
    pub kind: Option<SlotKind>,
    /// What the person calls it; may be empty.
    pub label: String,
    /// When it was added or last changed, in milliseconds since the Unix epoch; `None` if the vault was made with it.
    pub added: Option<u64>,
    /// Whether this vault was unlocked through it.
    pub is_this: bool,
}

impl<'a> Unlock<'a> {
    /// The password, if there is one.
    pub(crate) const fn password(self) -> Option<&'a str> {
        match self {
            Self::Password(password) | Self::Both(password, _) => Some(password),
            Self::KeyStore(_) => None,
        }
    }

    /// The key store, if there is one.
    pub(crate) const fn key_store(self) -> Option<&'a dyn KeyStore> {
        match self {
            Self::KeyStore(key_store) | Self::Both(_, key_store) => Some(key_store),
            Self::Password(_) => None,
        }
    }

    const fn kind(self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::KeyStore(_) => SlotKind::KeyStore,
            Self::Both(..) => SlotKind::Both,
        }
    }

    /// Refuses an empty password.
    pub(crate) fn check(self) -> Result<()> {
        if self.password().is_some_and(str::is_empty) {
            Err(VaultError::EmptyPassword)
        } else {
            Ok(())
        }
    }
}

/// A slot that was opened.
pub(crate) struct Opened {
    /// Its number.
    pub slot: u32,
    /// The vault key.
    pub key: Secret<32>,
}

/// The vault key, from the first slot that `unlock` opens. `dir` is the vault's folder, `now` in milliseconds since
/// the Unix epoch.
pub(crate) fn open(store: &Store, dir: &Path, unlock: Unlock<'_>, now: u64) -> Result<Opened> {
    unlock.check()?;
    if unlock.password().is_none() {
        return try_slots(store, unlock);
    }
    let turn = Turn::take(store, dir, now)?;
    let opened = try_slots(store, unlock);
    match &opened {
        Ok(_) => turn.right()?,
        Err(VaultError::WrongPassword) => turn.wrong(now)?,
        Err(_) => {}
    }
    opened
}

/// As [`open`], of a copy that nobody will use again: a wrong password is not counted, but who has to wait waits.
pub(crate) fn open_copy(store: &Store, unlock: Unlock<'_>, now: u64) -> Result<Opened> {
    unlock.check()?;
    if unlock.password().is_some() {
        tries::check(store, now)?;
    }
    match try_slots(store, unlock) {
        // That there is none of this kind says nothing as long as there is another.
        Err(VaultError::NoSlot) if !store.slots()?.iter().any(|(_, slot)| slot.is_ok()) => {
            Err(VaultError::NoSlotLeft)
        }
        Err(VaultError::Damaged(_)) => Err(VaultError::NoSlotLeft),
        opened => opened,
    }
}

/// Removes the slots that are damaged or that nobody who had the vault open has made, and returns their numbers. The one
/// that was opened is made anew if it is one of them. Inside a transaction.
pub(crate) fn keep_whole(
    file: &Sealed,
    opened: u32,
    unlock: Unlock<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u32>> {
    let mut lost = Vec::new();
    let rows = file.items::<SlotRow>()?;
    let slots = file.store.slots()?;
    for (number, slot) in &slots {
        if slot.is_ok() && rows.iter().any(|row| row.number == *number) {
            continue;
        }
        if *number == opened {
            set(file, unlock, *number, "", None, rng)?;
        } else {
            file.store.remove_slot(*number)?;
            lost.push(*number);
        }
    }
    for row in rows {
        let is_whole = |(number, slot): &(u32, Result<Slot>)| *number == row.number && slot.is_ok();
        if !slots.iter().any(is_whole) {
            file.remove::<SlotRow>(&SlotRow::name(row.number))?;
            if !lost.contains(&row.number) {
                lost.push(row.number);
            }
        }
    }
    Ok(lost)
}

/// Reads a slot and writes it again, for [`crate::readers`].
#[cfg(any(test, fuzzing))]
pub(crate) fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    Slot::from_bytes(bytes).ok().map(|slot| slot.to_bytes())
}

/// A slot as it is in the file, for [`crate::readers`].
#[cfg(any(test, fuzzing))]
pub(crate) fn sample(unlock: Unlock<'_>, rng: &mut impl CryptoRng) -> Result<Vec<u8>> {
    let (slot, _) = Slot::new(unlock, &Secret::new([1; 32]), rng)?;
    Ok(slot.to_bytes())
}

fn try_slots(store: &Store, unlock: Unlock<'_>) -> Result<Opened> {
    let mut failure = VaultError::NoSlot;
    for (number, slot) in store.slots()? {
        let opened = match slot {
            Ok(slot) if slot.kind == unlock.kind() => slot.open(unlock),
            Ok(_) => continue,
            // Its kind cannot be known: that it is damaged is told if there is nothing else to tell.
            Err(error) if matches!(failure, VaultError::NoSlot) => Err(error),
            Err(_) => continue,
        };
        match opened {
            Ok(key) => return Ok(Opened { slot: number, key }),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Adds a slot for the vault key of `file`; returns its number.
pub(crate) fn add(
    file: &Sealed,
    unlock: Unlock<'_>,
    label: &str,
    added: Option<u64>,
    rng: &mut impl CryptoRng,
) -> Result<u32> {
    let slots = file.store.slots()?;
    if slots.len() >= MAX_SLOTS {
        return Err(VaultError::Limit("ways to unlock it"));
    }
    let number = slots
        .last()
        .map_or(FIRST, |(last, _)| last.saturating_add(1));
    set(file, unlock, number, label, added, rng)?;
    Ok(number)
}

/// Writes the slot with this number anew.
fn set(
    file: &Sealed,
    unlock: Unlock<'_>,
    number: u32,
    label: &str,
    added: Option<u64>,
    rng: &mut impl CryptoRng,
) -> Result<()> {
    unlock.check()?;
    let (slot, public) = Slot::new(unlock, file.keys.vault(), rng)?;
    file.store.put_slot(number, &slot)?;
    file.put(&SlotRow {
        number,
        label: label.to_owned(),
        added,
        public,
    })
}

impl Vault {
    /// The ways to unlock this vault, by number.
    pub fn slots(&mut self) -> Result<Vec<SlotInfo>> {
        self.catch_up()?;
        let mut infos = Vec::new();
        for (number, slot) in self.file.store.slots()? {
            let row: Option<SlotRow> = self.file.item(&SlotRow::name(number))?;
            let (label, added, kind) = match row {
                Some(row) => (row.label, row.added, slot.ok().map(|slot| slot.kind)),
                // Nobody who had the vault open has made it.
                None => Default::default(),
            };
            infos.push(SlotInfo {
                number,
                kind,
                label,
                added,
                is_this: number == self.slot,
            });
        }
        Ok(infos)
    }

    /// The number of the slot that this vault was unlocked through.
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Adds a way to unlock this vault; returns its number. `label`: what the person calls it, at most 64 bytes.
    /// `now`: milliseconds since the Unix epoch.
    pub fn add_slot(
        &mut self,
        now: u64,
        unlock: Unlock<'_>,
        label: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<u32> {
        if label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(VaultError::InvalidChange(
                "a label has at most 64 bytes and nothing that cannot be seen: choose another",
            ));
        }
        self.write(|vault| add(&vault.file, unlock, label, Some(now), rng))
    }

    /// Puts another way to unlock in the place of one, for instance a new password; its label stays. The vault key is
    /// renewed: what the slot was before opens nothing that is in the file now, and every other program that has this
    /// vault open has to unlock it again.
    pub fn change_slot(
        &mut self,
        now: u64,
        number: u32,
        unlock: Unlock<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        self.renew(rng, |vault, rng| {
            let label = vault.slot_row(number)?.label;
            set(&vault.file, unlock, number, &label, Some(now), rng)
        })
    }

    /// Removes a way to unlock this vault, but never the last. The vault key is renewed, as by
    /// [`Vault::change_slot`]. `key_store`, if it is at hand, is told to forget what it keeps for the slot.
    pub fn remove_slot(
        &mut self,
        number: u32,
        key_store: Option<&dyn KeyStore>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let removed = self.renew(rng, |vault, _| {
            let mut slots = vault.file.store.slots()?;
            let at = slots.iter().position(|(there, _)| *there == number);
            let removed = slots
                .swap_remove(at.ok_or(VaultError::UnknownSlot(number))?)
                .1;
            if slots.is_empty() {
                return Err(VaultError::LastSlot);
            }
            vault.file.store.remove_slot(number)?;
            vault.file.remove::<SlotRow>(&SlotRow::name(number))?;
            Ok(removed)
        })?;
        // The slot is gone, whatever the key store makes of it: what it keeps opens nothing any more.
        if let (Some(key_store), Ok(slot)) = (key_store, removed)
            && let Some(wrapped) = slot.wrapped()
            && let Err(error) = key_store.forget(wrapped)
        {
            log::warn!("the key store keeps a key that is needed no more: {error}");
        }
        Ok(())
    }

    fn slot_row(&self, number: u32) -> Result<SlotRow> {
        let row = self.file.item(&SlotRow::name(number))?;
        row.ok_or(VaultError::UnknownSlot(number))
    }
}
