//! Looking after the vault: is anything damaged, and what can be mended here.

use twin_vault::check::Report;
use twin_vault::files::Collected;

use crate::error::Result;
use crate::twin::Twin;

impl Twin {
    /// Looks through all that this device holds, and names what is damaged. Changes nothing; meanwhile this `Twin`
    /// neither reads nor writes anything else.
    pub fn check_vault(&self) -> Result<Report> {
        Ok(self.vault().check()?)
    }

    /// Forgets the chunks of files that no record names or ever has named: what is left of adds that were broken off
    /// more than a day ago.
    pub fn collect_garbage(&self) -> Result<Collected> {
        Ok(self.vault().collect_garbage(self.now())?)
    }

    /// Makes the index of records anew from the operations, which are the truth.
    pub fn rebuild_index(&self) -> Result<()> {
        self.vault().rebuild_index()?;
        self.notify();
        Ok(())
    }
}
