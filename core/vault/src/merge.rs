//! What a record is: a pure function of the set of its changes, whatever their order and however often they come.
//!
//! Changes are ordered by [`Write`]. The floor is the highest put: what is below it counts for nothing. A field has
//! the value of the highest change at or above the floor that names it; [`Value::Null`] takes it away. The record is
//! there unless its highest change of all is a delete. So a delete hides a record without forgetting it, and a
//! concurrent patch that is higher brings it back whole.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::DeviceId;
use twin_ops::change::{Kind, RecordChange, Stamp};
use twin_ops::op::LogId;
use twin_ops::value::{Fields, Value};

/// Where a change stands in the order of all changes of a twin. Two changes are never equal in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    pub stamp: Stamp,
    pub device: DeviceId,
    pub log: LogId,
    pub seq: u64,
    pub index: u64,
}

/// A change of a record, with what its keeper knows it by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version<K> {
    pub at: Write,
    pub key: K,
    pub change: RecordChange,
}

/// Keeps of a record's changes only those that decide something, highest first: the highest of all, the highest put,
/// and for each field the one that gives its value. Settling them again with more changes gives the same as settling
/// all at once.
pub(crate) fn settle<K>(versions: &mut Vec<Version<K>>) {
    versions.sort_by(|a, b| b.at.cmp(&a.at));
    versions.dedup_by(|a, b| a.at == b.at);
    let mut decided = BTreeSet::new();
    let mut highest = true;
    let mut above_floor = true;
    versions.retain(|version| {
        let change = &version.change;
        let first = std::mem::take(&mut highest);
        if !above_floor || change.kind == Kind::Delete {
            return first;
        }
        let mut decides = false;
        for name in change.fields.0.keys() {
            decides |= decided.insert(name.clone());
        }
        above_floor = change.kind != Kind::Put;
        first || decides || change.kind == Kind::Put
    });
}

/// The fields of a record whose changes are settled; `None` if it is deleted or never was.
pub(crate) fn fields<K>(settled: Vec<Version<K>>) -> Option<Fields> {
    if settled.first()?.change.kind == Kind::Delete {
        return None;
    }
    let mut fields = BTreeMap::new();
    for version in settled {
        for (name, value) in version.change.fields.0 {
            fields.entry(name).or_insert(value);
        }
    }
    fields.retain(|_, value| *value != Value::Null);
    Some(Fields(fields))
}
