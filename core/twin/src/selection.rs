//! Which spaces each device keeps: all, until the person chooses otherwise on it.

use std::collections::BTreeMap;

use twin_identity::id::DeviceId;
use twin_ops::space::SpaceName;

use crate::error::Result;
use crate::platform::rng;
use crate::twin::Twin;

impl Twin {
    /// The spaces that each device does not keep, as far as is known here.
    pub fn not_kept(&self) -> Result<BTreeMap<DeviceId, Vec<SpaceName>>> {
        let mut not_kept = BTreeMap::new();
        for device in self.devices()? {
            let spaces = self.vault().unselected_by(&device.id)?;
            if !spaces.is_empty() {
                not_kept.insert(device.id, spaces);
            }
        }
        Ok(not_kept)
    }

    /// Lets this device keep a space from now on, or keep it no more: then nothing of it comes here, from whom and on what
    /// way ever, and nothing can be written to it here. What is here of it stays in either case. The other devices hear of
    /// it when they sync. `false` if nothing has changed.
    ///
    /// # Errors
    /// Among others [`VaultError::OnlyHere`] while something of the space is not known to be on another device that keeps
    /// it, and [`VaultError::NoSuchSpace`].
    ///
    /// [`VaultError::OnlyHere`]: twin_vault::VaultError::OnlyHere
    /// [`VaultError::NoSuchSpace`]: twin_vault::VaultError::NoSuchSpace
    pub fn keep_space(&self, space: &SpaceName, keep: bool) -> Result<bool> {
        let now = self.now();
        // The lock must be gone before anybody is told.
        let changed = self.vault().select(now, &mut rng(), space, keep)?.is_some();
        if changed {
            self.notify();
        }
        Ok(changed)
    }
}
