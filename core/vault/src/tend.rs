//! What becomes a device's to do since others have written.

use rand_core::CryptoRng;
use twin_identity::body::{Body, Removal};
use twin_ops::grant::Recipients;

use crate::error::{Result, VaultError};
use crate::vault::Vault;

/// How many entries may be needed to bring together the branches of a log that was flooded.
const MAX_JOINS: usize = 160;

impl Vault {
    /// Does what has become this device's to do since others have written: acknowledges a rotation, begins epochs where
    /// somebody is out who has the key, grants keys to who lacks them, draws the lines that who removed a device could not
    /// know of, drops content of erased files that is still here, gives up branches of its logs.
    /// To be called after a sync; `now` in milliseconds since the Unix epoch. `true` if others have something to hear of.
    pub fn tend(&mut self, now: u64, rng: &mut impl CryptoRng) -> Result<bool> {
        self.merge_due(now)?;
        self.try_to_drop_erased_files();
        let gave_up = self.has_branches()? && self.give_up_branches(rng)?;
        let idle = !self.state.identity.should_acknowledge(&self.device.id())
            && self.stale_spaces().is_empty()
            && self.orphans()?.is_empty()
            && self.missing().is_empty()
            && self.unopened().is_empty()
            && self.known_only_to_keepers()?.is_empty();
        if idle {
            return Ok(gave_up);
        }
        let tended = self.write(|vault| vault.tend_now(rng))?;
        Ok(gave_up | tended)
    }

    pub(crate) fn tend_now(&mut self, rng: &mut impl CryptoRng) -> Result<bool> {
        let acknowledges = self.state.identity.should_acknowledge(&self.device.id());
        if acknowledges {
            self.say(&[Body::Acknowledge])?;
        }
        let raised = self.raise_for_keepers()?;
        let renewed = self.renew_epochs(rng)?;
        let orphans = self.orphans()?;
        self.grant_to(&orphans, &Recipients::All, rng)?;
        // New words, or new guardians, are to open what is older too.
        let unopened = self.unopened();
        self.grant_to(&unopened, &Recipients::Words, rng)?;
        let granted = self.grant_missing(rng)?;
        let given = !orphans.is_empty() || !unopened.is_empty() || granted > 0;
        Ok(acknowledges | raised | renewed | given)
    }

    pub(crate) fn renew_epochs(&mut self, rng: &mut impl CryptoRng) -> Result<bool> {
        if self.stale_spaces().is_empty() {
            return Ok(false);
        }
        self.join_branches()?;
        let stale = self.stale_spaces();
        self.begin_epochs(&stale, rng)?;
        Ok(true)
    }

    /// Brings branches together until whoever stands at the heads of the log knows of every removal, or an epoch begun
    /// there would be of no use. One entry joins a few; a log that was flooded has more of them.
    fn join_branches(&mut self) -> Result<()> {
        for _ in 0..MAX_JOINS {
            let identity = &self.state.identity;
            if identity.knew_all_removals(&identity.base(), &identity.heads()) {
                return Ok(());
            }
            let suspended = identity.devices().values();
            let suspended = suspended.filter(|device| device.suspended);
            let mut out = suspended.map(|device| device.public.id);
            // An entry that changes nothing: no more of what this device wrote is to count.
            let Some(device) = out.next().or_else(|| identity.gone().next().copied()) else {
                break;
            };
            let lines = Vec::new();
            self.say(&[Body::Raise(Box::new(Removal { device, lines }))])?;
        }
        Err(VaultError::NoEpoch)
    }
}
