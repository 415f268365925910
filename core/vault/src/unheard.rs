//! What other devices have seen of the identity log and this one has not: so that a removal that is withheld shows.
//!
//! Ops say what their writer had seen of the identity log. Whoever passes on ops has passed on that before, so an entry
//! that is named and does not come is being kept back: by a device in between, or by the writer, who may also say so
//! for nothing. What follows a removal needs keys that come with it, so that it cannot be read at all.

use std::collections::BTreeSet;

use twin_identity::id::{DeviceId, EntryId};

use crate::error::Result;
use crate::rows::UnheardRow;
use crate::vault::Vault;

/// The most entries that are noted by the word of one device.
const MAX_UNHEARD: usize = 8;

impl Vault {
    /// The devices that take part and have seen changes of who is in the twin, or use keys, that have not come here.
    /// After a sync with all devices there are none, unless somebody keeps something back.
    pub fn behind(&mut self) -> Result<BTreeSet<DeviceId>> {
        self.catch_up()?;
        let entries = self.state.identity.entries();
        let unheard = self.state.unheard.iter();
        let unheard = unheard.filter(|(id, _)| !entries.contains_key(id));
        let mut behind: BTreeSet<DeviceId> = unheard.map(|(_, by)| *by).collect();
        behind.extend(self.unreadable()?.into_iter().map(|(by, _)| by));
        behind.retain(|by| self.state.takes_part(by));
        Ok(behind)
    }

    /// Notes what a device has seen. Inside a transaction.
    pub(crate) fn note_heads(&mut self, by: &DeviceId, heads: &[EntryId]) -> Result<()> {
        let (identity, unheard) = (&self.state.identity, &mut self.state.unheard);
        for id in heads {
            if identity.entries().contains_key(id) || unheard.contains_key(id) {
                continue;
            }
            // What has come since gives way first.
            let of_device = unheard.iter().filter(|(_, other)| *other == by);
            let known = |id: &EntryId| identity.entries().contains_key(id);
            if of_device.clone().count() >= MAX_UNHEARD {
                let Some(come) = of_device.map(|(id, _)| *id).find(known) else {
                    break;
                };
                unheard.remove(&come);
                self.file.remove::<UnheardRow>(come.as_bytes())?;
            }
            unheard.insert(*id, *by);
            self.file.put(&UnheardRow { id: *id, by: *by })?;
        }
        Ok(())
    }
}
