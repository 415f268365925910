//! What devices wrote after they were removed or suspended: kept aside, until an admin says that it counts after all.

use std::collections::BTreeMap;

use twin_identity::body::{Body, Line};
use twin_identity::id::DeviceId;

use crate::error::Result;
use crate::members::chunks;
use crate::vault::Vault;

impl Vault {
    /// How many ops of which devices are set aside.
    pub fn set_aside(&mut self) -> Result<BTreeMap<DeviceId, u64>> {
        self.catch_up()?;
        let mut aside = BTreeMap::new();
        for log in self.state.logs.values() {
            let counted = self.state.counted(&self.file.store, log)?;
            let more = log.head.height.saturating_sub(counted);
            if more > 0 {
                *aside.entry(log.origin.device).or_default() += more;
            }
        }
        Ok(aside)
    }

    /// Lets all count that a device wrote after it was removed or suspended and that is here: its lines are raised.
    /// Only an admin can. Returns how many ops that were; of ops whose keys are not here nothing can be read yet.
    pub fn accept_aside(&mut self, device: &DeviceId) -> Result<u64> {
        let Some(before) = self.set_aside()?.remove(device) else {
            return Ok(0);
        };
        self.write(|vault| {
            let twin = vault.state.identity.twin();
            let here = vault.state.logs.values();
            let theirs = here.filter(|log| log.origin.device == *device);
            let lines: Vec<Line> = theirs
                .map(|log| Line {
                    log: *log.origin.log_id(twin).as_bytes(),
                    height: log.head.height,
                    head: *log.head.link.as_bytes(),
                })
                .collect();
            let raised = chunks(*device, &lines).into_iter();
            let raised: Vec<Body> = raised.map(|more| Body::Raise(Box::new(more))).collect();
            vault.say(&raised)
        })?;
        let after = self.set_aside()?.remove(device).unwrap_or_default();
        Ok(before.saturating_sub(after))
    }
}
