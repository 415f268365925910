//! The causal past of an identity log entry: what its signer can have known.
//!
//! Every rule about who may say what is judged by the past alone. What arrived by other branches does not count, so
//! that every replica answers alike, whatever came first.

use std::collections::{BTreeMap, BTreeSet};

use crate::device::Role;
use crate::entry::{Body, Entry};
use crate::id::{DeviceId, EntryId};

/// What stands in the causal past of an entry.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Devices, each with the entry that names it and its role there; of two that name it, the lower id counts.
    devices: BTreeMap<DeviceId, (EntryId, Role)>,
    signed: BTreeMap<DeviceId, usize>,
}

impl Past {
    pub fn of(entry: &Entry, entries: &BTreeMap<EntryId, Entry>) -> Self {
        let mut past = Self::default();
        let mut stack = entry.prevs.clone();
        let mut seen = BTreeSet::new();
        while let Some(id) = stack.pop() {
            let Some(before) = entries.get(&id).filter(|_| seen.insert(id)) else {
                continue;
            };
            past.take(before);
            stack.extend(&before.prevs);
        }
        past
    }

    fn take(&mut self, entry: &Entry) {
        let statements = match &entry.body {
            Body::Rotate(rotate) => rotate.devices.as_slice(),
            Body::AddDevice(statement) => std::slice::from_ref(&**statement),
            Body::Unknown { .. } => &[],
        };
        for statement in statements {
            let named = (entry.id, statement.role);
            let known = self.devices.entry(statement.device.id).or_insert(named);
            if named.0 < known.0 {
                *known = named;
            }
        }
        if let Some(signer) = entry.signer {
            *self.signed.entry(signer).or_default() += 1;
        }
    }

    /// The role of a device, if it is in the past.
    pub fn role(&self, device: &DeviceId) -> Option<Role> {
        self.devices.get(device).map(|(_, role)| *role)
    }

    /// How many devices there are.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// How many entries a device has signed.
    pub fn signed_by(&self, device: &DeviceId) -> usize {
        self.signed.get(device).copied().unwrap_or(0)
    }
}
