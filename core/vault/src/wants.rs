//! Keys that a device should have and says that it has not.
//!
//! A grant says to whom it gives keys, but only the recipient can tell whether it opens. Who seals nonsense to a device
//! would keep it from reading for ever, if everybody else took it for given. So a device says in a session which keys
//! it lacks, and whoever holds them grants them to it, once: what this device has granted itself does open.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::device::Role;
use twin_identity::id::DeviceId;
use twin_ops::space::SpaceName;
use twin_ops::store::{MAX_WANTS, Want};

use crate::epochs::may_have;
use crate::error::Result;
use crate::rows::UnreadRow;
use crate::state::SpaceEpoch;
use crate::vault::Vault;

impl Vault {
    /// The keys of what counts here and cannot be read, and of the members' space if there is no other to write with.
    pub(crate) fn wanted_keys(&self) -> Result<Vec<Want>> {
        let me = self.device.id();
        let mut wants = BTreeSet::new();
        if !self.state.takes_part(&me) {
            return Ok(Vec::new());
        }
        let members = SpaceName::members().id(self.twin());
        let admin = self.state.identity.is_admin(&me);
        // Whoever may begin an epoch needs nobody to give it one.
        if !admin && self.state.writing_epoch(&members).is_none() {
            wants.insert(Want {
                space: members,
                epoch: None,
            });
        }
        wants.extend(self.unreadable()?.into_iter().map(|(_, want)| want));
        Ok(wants.into_iter().take(MAX_WANTS).collect())
    }

    /// The keys of what counts here and cannot be read, though this device may, and who wrote it.
    pub(crate) fn unreadable(&self) -> Result<BTreeSet<(DeviceId, Want)>> {
        let mut unreadable = BTreeSet::new();
        let unread: Vec<UnreadRow> = self.file.items()?;
        // Mostly there is none, and this is asked at every session.
        if unread.is_empty() {
            return Ok(unreadable);
        }
        let admin = self.state.identity.is_admin(&self.device.id());
        let keys = SpaceName::keys().id(self.twin());
        let counted = self.state.all_counted(&self.file.store)?;
        for UnreadRow { op } in unread {
            let header = self.file.store.header(op)?;
            let Some(log) = self.state.logs.get(&header.log) else {
                continue;
            };
            let space = log.origin.space;
            let counts = counted.get(&header.log).copied().unwrap_or(0);
            if header.seq <= counts && (admin || space != keys) {
                let epoch = Some(header.epoch);
                unreadable.insert((log.origin.device, Want { space, epoch }));
            }
        }
        Ok(unreadable)
    }

    /// Takes note of what a device lacks, as far as it is here and it may have it.
    pub(crate) fn note_wants(&mut self, device: &DeviceId, wants: &[Want]) {
        let Some(role) = self.state.identity.role_once(device) else {
            return;
        };
        let here = |want: &Want| {
            let epoch = want
                .epoch
                .or_else(|| self.state.writing_epoch(&want.space))?;
            let id = (want.space, epoch);
            let known = self.state.epochs.get(&id)?;
            may_have(known, role).then_some(id)
        };
        let here: Vec<SpaceEpoch> = wants.iter().filter_map(here).collect();
        if !here.is_empty() {
            self.asked.entry(*device).or_default().extend(here);
        }
    }

    /// What devices that take part lack and this one has not granted to them yet.
    pub(crate) fn to_be_given(&self) -> BTreeMap<DeviceId, BTreeSet<SpaceEpoch>> {
        let me = self.device.id();
        let mut lacked = self.asked.clone();
        lacked.retain(|device, epochs| {
            let Some(known) = self.state.identity.device(device) else {
                return false;
            };
            for (_, grant) in self
                .state
                .standing()
                .filter(|(_, grant)| grant.signer == me)
            {
                let given = |id: &SpaceEpoch| {
                    let known = self.state.epochs.get(id);
                    let for_members = known.is_some_and(|known| may_have(known, Role::Member));
                    let to = if for_members {
                        &grant.recipients
                    } else {
                        &grant.admins
                    };
                    to.contains(device) && grant.epochs.contains(id)
                };
                epochs.retain(|id| !given(id));
            }
            known.is_active(self.now) && !epochs.is_empty()
        });
        lacked
    }
}
