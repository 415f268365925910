//! What was: undoing a delete.

use crate::error::Result;
use crate::platform::rng;
use crate::space::Collection;

impl Collection {
    /// Undoes a delete: the record is again as it was.
    ///
    /// # Errors
    /// If it is not deleted, or never was there.
    pub fn restore(&self, id: &str) -> Result<()> {
        let twin = &self.space.twin;
        let now = twin.now();
        let (space, name) = (self.space.name(), &self.name);
        twin.vault().restore(now, &mut rng(), space, name, id)?;
        twin.notify();
        Ok(())
    }
}
