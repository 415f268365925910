//! What records were, and undoing a delete.

use twin_vault::{Revision, RevisionAt};

use crate::error::Result;
use crate::platform::rng;
use crate::space::Collection;

impl Collection {
    /// What a record was, newest first: at most `limit` revisions, and 500, that stand before `before`. Empty if there
    /// never was such a record. [`crate::Twin::device_name`] says who is behind [`Revision::by`].
    pub fn history(
        &self,
        id: &str,
        before: Option<RevisionAt>,
        limit: usize,
    ) -> Result<Vec<Revision>> {
        let mut vault = self.space.twin.vault();
        Ok(vault.history(self.space.name(), &self.name, id, before, limit)?)
    }

    /// Undoes a delete: the record is again as it was.
    ///
    /// # Errors
    /// If it is not deleted, was erased, or never was there.
    pub fn restore(&self, id: &str) -> Result<()> {
        let twin = &self.space.twin;
        let now = twin.now();
        let (space, name) = (self.space.name(), &self.name);
        twin.vault().restore(now, &mut rng(), space, name, id)?;
        twin.notify();
        Ok(())
    }
}
