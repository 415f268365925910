//! What a record is: a pure function of the set of its changes, whatever their order and however often they come.
//!
//! Changes are ordered by [`Write`]. The floor is the highest put: what is below it counts for nothing. The floor of a
//! field is the highest change at or above it that gives the field a value, where [`Value::Null`] takes it away, as
//! does a put that does not name it. The field has that value, unless edits come on top:
//! - of a set, an element is in if some log has added it at a higher position than every removal has seen. What counts
//!   are edits above the field's floor, and the set that was assigned there.
//! - a counter is the number that was assigned, and of each log the highest count above the field's floor that names
//!   this floor as what it counts from.
//! - edits that do not fit the value count for nothing. Where there is none, the highest edit that says something
//!   decides whether the field is a set or a counter; where there is no edit either, the field is not there.
//!
//! The record is there unless its highest change of all is a delete. So a delete hides a record without forgetting it,
//! and a concurrent patch that is higher brings it back whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::DeviceId;
use twin_ops::change::{Kind, RecordChange, Stamp};
use twin_ops::file::Root;
use twin_ops::op::LogId;
use twin_ops::value::{Fields, Value};

use crate::field::{Field, Sieve};

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

impl<K> Version<K> {
    /// Whether a field is given a file.
    pub fn names_file(&self) -> bool {
        let mut values = self.change.fields.0.values();
        values.any(|value| Root::of(value).is_some())
    }
}

/// Keeps of a record's changes only those that decide something, highest first: the highest of all, the highest put,
/// for each field the one that gives its value, and those of its edits that count (see [`Sieve`]). Settling them again
/// with more changes gives the same as settling all at once. Returns what it lets go.
pub(crate) fn settle<K>(versions: &mut Vec<Version<K>>) -> Vec<Version<K>> {
    versions.sort_by_key(|version| Reverse(version.at));
    versions.dedup_by(|a, b| a.at == b.at);
    let mut fields: BTreeMap<String, Sieve> = BTreeMap::new();
    let mut highest = true;
    let mut above_floor = true;
    let goes = |version: &mut Version<K>| {
        let change = &version.change;
        let first = std::mem::take(&mut highest);
        if !above_floor || change.kind == Kind::Delete {
            return !first;
        }
        let mut decides = first || change.kind == Kind::Put;
        for name in change.fields.0.keys() {
            decides |= fields.entry(name.clone()).or_default().assign();
        }
        for (name, edit) in &change.edits.0 {
            let field = fields.entry(name.clone()).or_default();
            decides |= field.edit(&version.at, edit);
        }
        above_floor = change.kind != Kind::Put;
        #[cfg(twin_break)]
        if twin_identity::broken::is("puts_are_patches") {
            above_floor = true;
        }
        !decides
    };
    versions.extract_if(.., goes).collect()
}

/// The fields of a record whose changes are settled; `None` if it is deleted or never was.
pub(crate) fn fields<K>(mut settled: Vec<Version<K>>) -> Option<Fields> {
    if settled.first()?.change.kind == Kind::Delete {
        return None;
    }
    // Most records are as they were last put.
    if let [only] = settled.as_mut_slice()
        && only.change.edits.0.is_empty()
    {
        let mut fields = std::mem::take(&mut only.change.fields);
        // To look costs much less than to take out.
        if fields.0.values().any(|value| *value == Value::Null) {
            fields.0.retain(|_, value| *value != Value::Null);
        }
        return Some(fields);
    }
    let edited = settled.iter();
    let edited: BTreeSet<&String> = edited
        .flat_map(|version| version.change.edits.0.keys())
        .collect();
    let mut fields: BTreeMap<String, Value> = edited
        .into_iter()
        .map(|name| (name.clone(), Field::of(&settled, name).value()))
        .collect();
    for version in settled {
        for (name, value) in version.change.fields.0 {
            fields.entry(name).or_insert(value);
        }
    }
    fields.retain(|_, value| *value != Value::Null);
    Some(Fields(fields))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
