//! The ways to unlock this device: key slots.

use twin_vault::{KeyStore, SlotInfo, Unlock};

use crate::error::Result;
use crate::platform::rng;
use crate::twin::Twin;

impl Twin {
    /// The ways to unlock this device, by number. What opens them is in none of this.
    pub fn slots(&self) -> Result<Vec<SlotInfo>> {
        Ok(self.vault().slots()?)
    }

    /// The number of the slot that this device was unlocked through.
    pub fn slot(&self) -> u32 {
        self.vault().slot()
    }

    /// Adds a way to unlock this device; returns its number. `label`: what the person calls it, at most 64 bytes.
    pub fn add_slot(&self, unlock: Unlock<'_>, label: &str) -> Result<u32> {
        let now = self.now();
        Ok(self.vault().add_slot(now, unlock, label, &mut rng())?)
    }

    /// Puts another way to unlock in the place of one: a new password, say. What it was before opens nothing any more,
    /// and other programs that have this device open must unlock it again.
    pub fn change_slot(&self, number: u32, unlock: Unlock<'_>) -> Result<()> {
        let now = self.now();
        Ok(self.vault().change_slot(now, number, unlock, &mut rng())?)
    }

    /// Removes a way to unlock this device, but never the last; other programs that have this device open must unlock
    /// it again. `key_store`, if it is at hand, is told to forget what it keeps for the slot.
    pub fn remove_slot(&self, number: u32, key_store: Option<&dyn KeyStore>) -> Result<()> {
        Ok(self.vault().remove_slot(number, key_store, &mut rng())?)
    }
}
