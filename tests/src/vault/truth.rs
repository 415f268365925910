//! What a vault must hold.

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::value::{Fields, Value};

use super::load::{Change, FileContent, Step};

/// What a person sees of a vault: everything that steps have made, and nothing else.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Truth {
    /// Records, by collection and id.
    pub records: BTreeMap<(String, String), Fields>,
    /// Files, by the id of the record that names each.
    pub files: BTreeMap<String, FileContent>,
    /// Which chip opens each slot.
    pub slots: BTreeMap<u32, u64>,
    /// How many ops of the laptop are here.
    pub of_laptop: usize,
    /// The devices that were admitted besides, by the seeds of their keys.
    pub devices: BTreeSet<u64>,
}

impl Truth {
    /// Goes on by a step.
    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Commit(changes) => changes.iter().for_each(|change| self.change(change)),
            Step::Erase(collection, id) => {
                self.records.remove(&(collection.clone(), id.clone()));
            }
            Step::AddFile(id, content) => {
                self.files.insert(id.clone(), *content);
            }
            Step::SetSlot(number, chip) => {
                self.slots.insert(*number, *chip);
            }
            Step::RemoveSlot(number) => {
                self.slots.remove(number);
            }
            Step::FromLaptop(ops) => self.of_laptop = *ops,
            Step::Admit(device) => {
                self.devices.insert(*device);
            }
            Step::Revoke(device) => {
                self.devices.remove(device);
            }
            Step::Settle | Step::Search(_) | Step::Rebuild | Step::Collect | Step::Compact => {}
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Put(collection, id, fields) => {
                let record = (collection.clone(), id.clone());
                self.records.insert(record, fields.clone());
            }
            Change::Patch(collection, id, fields, count) => {
                let record = (collection.clone(), id.clone());
                let there = self.records.entry(record).or_default();
                there.0.extend(fields.0.clone());
                let counter = there.0.entry("count".to_owned());
                let counter = counter.or_insert(Value::Counter(0));
                if let Value::Counter(total) = counter {
                    *total += count;
                }
            }
            Change::Delete(collection, id) => {
                self.records.remove(&(collection.clone(), id.clone()));
            }
        }
    }

    /// The ids of the records of a collection.
    pub fn ids<'t>(&'t self, collection: &'t str) -> impl Iterator<Item = &'t String> {
        let all = self.records.keys();
        all.filter(move |(there, _)| there == collection)
            .map(|(_, id)| id)
    }
}
