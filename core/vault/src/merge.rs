//! What a record is: a pure function of the set of its changes, whatever their order and however often they come.
//!
//! Changes are ordered by [`Write`]. The floor is the highest put: what is below it counts for nothing. A field has
//! the value of the highest change at or above the floor that names it; [`Value::Null`] takes it away. The record is
//! there unless its highest change of all is a delete. So a delete hides a record without forgetting it, and a
//! concurrent patch that is higher brings it back whole.

use std::cmp::Reverse;
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
    versions.sort_by_key(|version| Reverse(version.at));
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
        #[cfg(twin_break)]
        if twin_identity::broken::is("puts_are_patches") {
            above_floor = true;
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Versions = Vec<Version<usize>>;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            1 => Just(Value::Null),
            3 => (0i64..100).prop_map(Value::Int),
        ]
    }

    fn change() -> impl Strategy<Value = RecordChange> {
        let kind = prop_oneof![
            2 => Just(Kind::Put),
            4 => Just(Kind::Patch),
            1 => Just(Kind::Delete),
        ];
        let fields = prop::collection::btree_map("[abc]", value(), 0..3);
        (kind, 0u64..5, fields).prop_map(|(kind, stamp, fields)| RecordChange {
            kind,
            stamp: Stamp(stamp),
            collection: "c".to_owned(),
            id: "r".to_owned(),
            fields: match kind {
                Kind::Delete => Fields::default(),
                _ => Fields(fields),
            },
        })
    }

    /// Changes with ties of stamps, devices and logs, and an order of arrival in which some come twice.
    fn history() -> impl Strategy<Value = (Versions, Vec<usize>)> {
        let change = (change(), 0u8..3, 0u8..2, 0u64..3);
        prop::collection::vec(change, 0..10).prop_flat_map(|changes| {
            let versions: Versions = (0..)
                .zip(changes)
                .map(|(key, (change, device, log, seq))| Version {
                    at: Write {
                        stamp: change.stamp,
                        device: DeviceId::from_bytes([device; 32]),
                        log: LogId::from_bytes([log; 32]),
                        seq,
                        index: key as u64,
                    },
                    key,
                    change,
                })
                .collect();
            let some = prop::collection::vec(0..versions.len().max(1), 0..5);
            let len = versions.len();
            some.prop_flat_map(move |twice| {
                let all: Vec<usize> = (0..len)
                    .chain(twice.into_iter().filter(|i| *i < len))
                    .collect();
                Just(all).prop_shuffle()
            })
            .prop_map(move |order| (versions.clone(), order))
        })
    }

    /// The definition at the head of this module, word for word and without a thought for cost.
    fn reference(all: &Versions) -> Option<Fields> {
        let highest = all.iter().max_by_key(|version| version.at)?;
        if highest.change.kind == Kind::Delete {
            return None;
        }
        let puts = all
            .iter()
            .filter(|version| version.change.kind == Kind::Put);
        let floor = puts.map(|version| version.at).max();
        let mut fields = BTreeMap::new();
        for name in ["a", "b", "c"] {
            let value = all
                .iter()
                .filter(|version| floor.is_none_or(|floor| version.at >= floor))
                .filter_map(|version| Some((version.at, version.change.fields.0.get(name)?)))
                .max_by_key(|(at, _)| *at)
                .map(|(_, value)| value.clone());
            if let Some(value) = value.filter(|value| *value != Value::Null) {
                fields.insert(name.to_owned(), value);
            }
        }
        Some(Fields(fields))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_order_and_duplication_gives_the_same((all, order) in history()) {
            let mut kept = Versions::new();
            for next in order {
                kept.push(all[next].clone());
                settle(&mut kept);
            }
            let mut at_once = all.clone();
            settle(&mut at_once);
            prop_assert_eq!(&kept, &at_once);
            prop_assert_eq!(fields(kept), reference(&all));
        }

        #[test]
        fn replicas_that_exchange_what_they_kept_agree((all, order) in history(), cut in 0usize..10) {
            let (one, other) = order.split_at(cut.min(order.len()));
            let take = |some: &[usize]| {
                let mut kept: Versions = some.iter().map(|next| all[*next].clone()).collect();
                settle(&mut kept);
                kept
            };
            let mut kept = take(one);
            kept.extend(take(other));
            settle(&mut kept);
            prop_assert_eq!(fields(kept), reference(&all));
        }

        #[test]
        fn no_more_is_kept_than_decides((all, _) in history()) {
            let mut kept = all;
            settle(&mut kept);
            // The highest of all, the highest put, three fields.
            prop_assert!(kept.len() <= 5);
        }
    }
}
