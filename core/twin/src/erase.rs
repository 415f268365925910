//! Erasing: the content of a record goes on every device, not only from sight.

use twin_ops::space::SpaceName;
use twin_vault::{Erasure, ErasureRequest};

use crate::error::Result;
use crate::platform::rng;
use crate::space::Collection;
use crate::twin::Twin;

impl Collection {
    /// Erases a record: its content, its history and its id go from this device's files, and from those of every other
    /// device once it syncs. Nothing can bring it back but a copy that was made earlier. On a companion this asks the
    /// devices that may replace the phone, and one of them has to erase it.
    pub fn erase(&self, id: &str) -> Result<Erasure> {
        let twin = self.twin();
        let now = twin.now();
        let erasure = twin
            .vault()
            .erase(now, &mut rng(), self.space().name(), self.name(), id)?;
        twin.notify();
        Ok(erasure)
    }
}

impl Twin {
    /// Whether what was erased here is gone from every file of the vault; see [`twin_vault::Vault::is_wiped`].
    pub fn is_wiped(&self) -> Result<bool> {
        Ok(self.vault().is_wiped()?)
    }

    /// What companions have asked to be erased, in every space.
    pub fn erasure_requests(&self) -> Result<Vec<(SpaceName, ErasureRequest)>> {
        let mut all = Vec::new();
        for space in self.spaces()? {
            let requests = self.vault().erasure_requests(&space)?;
            all.extend(requests.into_iter().map(|request| (space.clone(), request)));
        }
        Ok(all)
    }
}
