//! Who may fill what: a device that is out, or that others have suspended, takes no room from those who take part.
//!
//! What such a device has made is counted by itself: grants of theirs are not told of any more (see
//! [`Vault::orphans`]), and logs only as far as they count. So a thief that was in once and filled everything keeps
//! nobody from going on once it is out.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::DeviceId;
use twin_ops::store::{MAX_GRANTS, MAX_LOGS};

use crate::error::{Result, VaultError};
use crate::index;
use crate::rows::{CollectionRow, collection_key};
use crate::stage::Stage;
use crate::state::{SpaceEpoch, State};
use crate::vault::Vault;

/// The most grants by one device, so that none can fill the table for all.
const MAX_GRANTS_PER_DEVICE: usize = 2048;
/// The most logs of one device.
const MAX_LOGS_PER_DEVICE: usize = 512;

/// How many grants are here, by signer.
pub(crate) struct GrantRoom(BTreeMap<DeviceId, usize>);

impl GrantRoom {
    /// Whether there is room for one more grant of a device; it is counted then.
    pub fn take(&mut self, state: &State, signer: &DeviceId) -> bool {
        let alike = |other: &DeviceId| state.takes_part(other) == state.takes_part(signer);
        let held = self.0.iter().filter(|(other, _)| alike(other));
        let held: usize = held.map(|(_, count)| count).sum();
        let own = self.0.entry(*signer).or_default();
        let room = held < MAX_GRANTS && *own < MAX_GRANTS_PER_DEVICE;
        *own += usize::from(room);
        room
    }
}

impl Vault {
    pub(crate) fn room_for_grants(&self) -> GrantRoom {
        let mut held = BTreeMap::new();
        for grant in self.state.grants.values() {
            *held.entry(grant.signer).or_default() += 1;
        }
        GrantRoom(held)
    }

    /// Whether there is room for one more log of a device.
    pub(crate) fn has_room_for_log(&self, device: &DeviceId) -> bool {
        let takes_part = self.state.takes_part(device);
        let (mut alike, mut own) = (0, 0);
        for log in self.state.logs.values() {
            alike += usize::from(self.state.takes_part(&log.origin.device) == takes_part);
            own += usize::from(log.origin.device == *device);
        }
        alike < MAX_LOGS && own < MAX_LOGS_PER_DEVICE
    }

    /// Gives up the collections that no record which counts is in, and returns the number of one of them.
    pub(crate) fn free_collection(&mut self, stage: &Stage) -> Result<u16> {
        let mut used = self.file.store.collections_in_use()?;
        let unwritten = stage.places().chain(self.state.late.places());
        used.extend(unwritten.map(index::collection));
        for (space, names) in &mut self.state.collections {
            for (name, _) in names.extract_if(.., |_, number| !used.contains(number)) {
                self.file
                    .remove::<CollectionRow>(&collection_key(space, &name))?;
            }
        }
        let free = self.state.next_collection();
        free.ok_or(VaultError::Limit("collections"))
    }

    /// The epochs that something which counts is sealed under.
    pub(crate) fn used_epochs(&self) -> Result<BTreeSet<SpaceEpoch>> {
        let counted = self.state.all_counted(&self.file.store)?;
        let mut used = BTreeSet::new();
        self.file.store.each_header(|header| {
            let counts = counted.get(&header.log).copied().unwrap_or(0);
            if let Some(log) = self.state.logs.get(&header.log)
                && header.seq <= counts
            {
                used.insert((log.origin.space, header.epoch));
            }
            Ok(())
        })?;
        Ok(used)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use twin_identity::device::{DeviceKeys, Role};
    use twin_ops::chain::Head;
    use twin_ops::grant::{Grant, GrantId, Recipients};
    use twin_ops::op::{Link, LogId, Origin};
    use twin_ops::store::OpStore;

    use super::*;
    use crate::common::{NOON, linked, phone, put, records, rng, space};
    use crate::state::{Granted, Log};

    fn bytes(n: usize) -> [u8; 32] {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        bytes
    }

    /// So many of them that together they fill a table.
    fn thieves(phone: &mut Vault, limit: usize, each: usize) -> Vec<DeviceId> {
        (0..limit / each)
            .map(|n| {
                let keys = DeviceKeys::random(&mut rng(1000 + n as u64)).unwrap();
                let statement = keys.statement(phone.twin(), Role::Member);
                phone.admit(&statement, &mut rng(2000 + n as u64)).unwrap();
                keys.id()
            })
            .collect()
    }

    fn revoke(phone: &mut Vault, devices: &[DeviceId]) {
        for device in devices {
            phone.revoke(device, &mut rng(3000)).unwrap();
        }
    }

    #[test]
    fn grants_of_devices_that_are_out_take_no_room() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut phone = phone(dirs[0].path());
        let tablet = linked(dirs[1].path(), &mut phone, 10, Role::Admin);
        let thieves = thieves(&mut phone, MAX_GRANTS, MAX_GRANTS_PER_DEVICE);
        for n in 0..MAX_GRANTS {
            let granted = Granted {
                signer: thieves[n / MAX_GRANTS_PER_DEVICE],
                recipients: BTreeSet::new(),
                admins: BTreeSet::new(),
                words: false,
                base: phone.state.identity.base(),
                heads: Vec::new(),
                epochs: Vec::new(),
            };
            phone
                .state
                .grants
                .insert(GrantId::from_bytes(bytes(n)), granted);
        }
        let grant = |seed| {
            let log = tablet.identity();
            let (keys, rng) = (tablet.device_keys(), &mut rng(seed));
            let grant = Grant::new(log, NOON, &[], &Recipients::All, keys, rng).unwrap();
            vec![grant.to_bytes().to_vec()]
        };
        assert_eq!(phone.add_grants(&grant(1)).unwrap().refused, 1);
        revoke(&mut phone, &thieves);
        assert_eq!(phone.add_grants(&grant(2)).unwrap().new, 1);
        let told = phone.grants().unwrap();
        let signers = told.iter().map(|id| phone.state.grants[id].signer);
        let devices = [phone.device(), tablet.device()];
        assert!({ signers }.all(|signer| devices.contains(&signer)));
    }

    #[test]
    fn logs_of_devices_that_are_out_take_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut phone = phone(dir.path());
        let thieves = thieves(&mut phone, MAX_LOGS, MAX_LOGS_PER_DEVICE);
        let mut logs = BTreeMap::new();
        for n in 0..MAX_LOGS {
            let log = Log {
                number: n as u32,
                origin: Origin {
                    space: space("home").id(phone.twin()),
                    device: thieves[n / MAX_LOGS_PER_DEVICE],
                    incarnation: [0; 16],
                },
                head: Head {
                    height: 1,
                    link: Link::from_bytes(bytes(n)),
                },
                base: None,
            };
            logs.insert(LogId::from_bytes(bytes(n)), log);
        }
        let me = phone.device();
        let here = std::mem::replace(&mut phone.state.logs, logs.clone());
        assert!(!phone.has_room_for_log(&me));
        phone.state.logs = here;
        revoke(&mut phone, &thieves);
        phone.state.logs.extend(logs);
        assert!(phone.has_room_for_log(&me));
        assert!(!phone.has_room_for_log(&thieves[0]));
    }

    #[test]
    fn collections_without_records_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut phone = phone(dir.path());
        put(&mut phone, NOON, "notes", "a", &[("x", "1")]);
        let home = space("home").id(phone.twin());
        let names = phone.state.collections.get_mut(&home).unwrap();
        let first = names["notes"];
        for number in 1..=u16::MAX {
            if number != first {
                names.insert(format!("thief {number}"), number);
            }
        }
        put(&mut phone, NOON, "lists", "b", &[("x", "2")]);
        assert_eq!(phone.state.collection(&home, "notes"), Some(first));
        assert_eq!(records(&mut phone, "notes").len(), 1);
        assert_eq!(records(&mut phone, "lists").len(), 1);
        assert_eq!(phone.state.collections[&home].len(), 2);
    }
}
