//! Devices whose time has run out read nothing that is written from then on: admins begin epochs without them.
//!
//! When that is, each device tells by its own clock, and nothing is merged by it. An admin whose clock is wrong begins
//! an epoch too many, and leaves a device out that may still read; the others grant it the key, for by their clocks it
//! is missing, and that settles it: an epoch that was begun without a device and then given to it is left as it is.

use twin_identity::device::Role;
use twin_identity::log::Device;

use crate::epochs::may_have;
use crate::state::{Granted, SpaceEpoch};
use crate::vault::Vault;

impl Vault {
    /// The devices that are in and whose time has run out.
    pub(crate) fn expired(&self) -> Vec<&Device> {
        let devices = self.state.identity.devices().values();
        let devices = devices.filter(|device| !device.suspended && !device.is_active(self.now));
        devices.collect()
    }

    /// Whether one of these devices has the key of an epoch that was not begun without it.
    pub(crate) fn is_read_by(&self, devices: &[&Device], epoch: SpaceEpoch) -> bool {
        if devices.is_empty() {
            return false;
        }
        let grants = self.state.standing().map(|(_, grant)| grant);
        let grants: Vec<&Granted> = grants
            .filter(|grant| grant.epochs.contains(&epoch))
            .collect();
        let known = self.state.epochs.get(&epoch);
        let admins_only = known.is_some_and(|known| !may_have(known, Role::Member));
        devices.iter().any(|device| {
            let id = &device.public.id;
            let has = |grant: &Granted| {
                let to = if admins_only {
                    &grant.admins
                } else {
                    &grant.recipients
                };
                grant.signer == *id || to.contains(id)
            };
            // A grant to the words, too, is one to everybody who takes part. Who was suspended then was left out for
            // that, and not because its time had run out.
            let without = |grant: &Granted| {
                let log = &self.state.identity;
                let was_in = || log.role_at(id, &grant.base, &grant.heads).is_some();
                grant.words && !has(grant) && was_in()
            };
            grants.iter().any(|grant| has(grant)) && !grants.iter().any(|grant| without(grant))
        })
    }
}
