//! Looking after the vault: is anything damaged, and what can be mended here.

use twin_vault::check::Report;
use twin_vault::files::{Collected, Collecting};

use crate::error::Result;
use crate::twin::Twin;

/// How many records are made ready for searching at a time when nothing else is to be done: some hundredths of a second.
const SOME_RECORDS: usize = 1024;
/// How many operations are looked through at a time for the files that they name: some hundredths of a second.
const SOME_OPS: u64 = 1024;

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

    /// As [`Twin::collect_garbage`], but only one step, in which nobody waits; `true` if there is more to do.
    pub(crate) fn collect_some(&self, collecting: &mut Collecting) -> Result<bool> {
        let now = self.now();
        Ok(self.vault().collect_some(now, collecting, SOME_OPS)?)
    }

    /// Makes the index of records anew from the operations, which are the truth.
    pub fn rebuild_index(&self) -> Result<()> {
        self.vault().rebuild_index()?;
        self.notify();
        Ok(())
    }

    /// Makes some of what was written ready for searching, so that the next search need not; `true` if there may be
    /// more. Meant for when nothing else is to be done: what a search finds does not depend on it.
    pub fn index_some(&self) -> Result<bool> {
        Ok(self.vault().index_records(SOME_RECORDS)?)
    }
}
