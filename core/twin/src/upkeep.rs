//! Looking after the vault: is anything damaged, and what can be mended here.

use std::path::Path;

use twin_ops::space::SpaceName;
use twin_vault::check::{self, Report};
use twin_vault::files::{Collected, Collecting};
use twin_vault::{Compacted, Unlock};

use crate::error::Result;
use crate::platform::{Clock, SystemClock, rng};
use crate::twin::Twin;

/// How many operations have to go at least before a device compacts by itself: some megabytes of single changes.
const WORTHWHILE: u64 = 10_000;

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

    /// As [`Twin::check_vault`], of the vault in the folder `home`, which need not open: what keeps it from opening is
    /// named, and all of it is looked through that can be.
    pub fn check(home: &Path, unlock: Unlock<'_>) -> Result<Report> {
        Ok(check::check(home, unlock, SystemClock.now())?)
    }

    /// How many records were left out of what was asked of this `Twin` so far, because they are damaged; operations that
    /// may be of a record that was to be erased count, too. [`Twin::check_vault`] names them.
    pub fn left_out(&self) -> usize {
        self.vault().left_out()
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

    /// Lets go of what is superseded, in every space, as far as all devices have it: see [`Vault::compact`]. Only a device
    /// that may replace the phone can.
    ///
    /// [`Vault::compact`]: twin_vault::Vault::compact
    pub fn compact(&self) -> Result<Compacted> {
        let mut all = Compacted::default();
        for space in self.compactable()? {
            let compacted = self.vault().compact(self.now(), &mut rng(), &space)?;
            all.gone += compacted.gone;
            all.snapshot += compacted.snapshot;
            for waits in compacted.waiting {
                match all
                    .waiting
                    .iter_mut()
                    .find(|other| other.device == waits.device)
                {
                    Some(other) => {
                        other.ops += waits.ops;
                        other.heard = other.heard.max(waits.heard);
                    }
                    None => all.waiting.push(waits),
                }
            }
        }
        self.notify();
        Ok(all)
    }

    /// Compacts one space of which more than half would go, and enough that it is worth writing the rest again; `true`
    /// if there was anything to do. Removes some of what is superseded, too. Meant for when nothing else is to be done.
    pub(crate) fn compact_some(&self) -> Result<bool> {
        if self.vault().sweep()? {
            return Ok(true);
        }
        let me = self.vault().device_keys().id();
        if !self.vault().identity().is_admin(&me) {
            return Ok(false);
        }
        for space in self.compactable()? {
            let (here, goes) = self.vault().superseded_ops(&space)?;
            if goes >= WORTHWHILE && goes * 2 > here {
                let compacted = self.vault().compact(self.now(), &mut rng(), &space)?;
                if compacted.gone > 0 {
                    self.notify();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The spaces that can be compacted: all but that of the keys, which devices carry that cannot read it.
    fn compactable(&self) -> Result<Vec<SpaceName>> {
        let mut spaces = self.vault().spaces()?;
        spaces.retain(|space| *space != SpaceName::keys());
        Ok(spaces)
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
