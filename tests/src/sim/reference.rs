//! What a record is, said a second time: from a list of writes, straight from the rules, as slowly as it pleases.
//! Shares no code with the vault's merging.

use std::collections::BTreeMap;

use twin_identity::cbor;
use twin_identity::id::DeviceId;
use twin_ops::change::{Kind, Stamp};
use twin_ops::edit::{Dot, Edit, Edits};
use twin_ops::op::{Link, LogId};
use twin_ops::set::Set;
use twin_ops::value::{Fields, Value};

/// Where a write stands among all writes of a twin: by time, then by device, then where it was written.
pub type Order = (Stamp, DeviceId, LogId, u64, u64);

/// One change of one record that a device has acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The op that it is in.
    pub op: Link,
    /// Its place in the order of all writes: stamp, device, log, seq, index of the part.
    pub order: Order,
    /// Which record.
    pub record: RecordName,
    /// How it changes.
    pub kind: Kind,
    /// The fields that get a value.
    pub fields: Fields,
    /// What is done to others.
    pub edits: Edits,
}

impl Write {
    /// What sets and counters call it by.
    fn dot(&self) -> Dot {
        let (_, _, log, seq, index) = self.order;
        Dot {
            log,
            position: seq * 4096 + index,
        }
    }

    /// Whether another says the same at another place. What it takes from sets, and counts in all, is told by other
    /// places there.
    pub fn is_said_by(&self, other: &Self) -> bool {
        let (stamp, device, ..) = self.order;
        let (same_stamp, same_device, ..) = other.order;
        let same_edits = |(one, other): (&Edit, &Edit)| match (one, other) {
            (
                Edit::Elements { added, removed },
                Edit::Elements {
                    added: again,
                    removed: gone,
                },
            ) => added == again && removed.iter().eq(gone.iter()),
            (Edit::Count { .. }, Edit::Count { .. }) => true,
            _ => false,
        };
        (stamp, device) == (same_stamp, same_device)
            && self.record == other.record
            && self.kind == other.kind
            && self.fields == other.fields
            && self.edits.0.keys().eq(other.edits.0.keys())
            && self
                .edits
                .0
                .values()
                .zip(other.edits.0.values())
                .all(same_edits)
    }
}

/// A field on the way through the writes.
#[derive(Default)]
struct Field<'a> {
    /// Where it last got a value, or lost it.
    base: Option<Dot>,
    value: Option<&'a Value>,
    /// What was done to it since, lowest first.
    edits: Vec<(Dot, &'a Edit)>,
}

/// A record of any twin in the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName {
    /// The twin.
    pub twin: usize,
    /// The space.
    pub space: String,
    /// The collection.
    pub collection: String,
    /// The id.
    pub id: String,
}

/// A record's fields after these writes of it, in whatever order they are given; `None` if it is not there.
///
/// The highest put is the floor. A field is what the highest write at or above the floor made it, and is gone if that
/// made it null. Edits above that count. The record is there unless its highest write is a delete.
pub fn fields<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Option<Fields> {
    let mut writes: Vec<&Write> = writes.into_iter().collect();
    writes.sort_by_key(|write| write.order);
    if writes.last()?.kind == Kind::Delete {
        return None;
    }
    let mut record: BTreeMap<&String, Field<'_>> = BTreeMap::new();
    let mut put = None;
    for write in writes {
        if write.kind == Kind::Put {
            record.clear();
            put = Some(write.dot());
        }
        for (name, value) in &write.fields.0 {
            let given = Field {
                base: Some(write.dot()),
                value: Some(value),
                edits: Vec::new(),
            };
            record.insert(name, given);
        }
        for (name, edit) in &write.edits.0 {
            let untouched = || Field {
                base: put,
                ..Field::default()
            };
            let field = record.entry(name).or_insert_with(untouched);
            field.edits.push((write.dot(), edit));
        }
    }
    let mut fields = Fields::default();
    for (name, field) in record {
        let value = field.now();
        if value != Value::Null {
            fields.0.insert(name.clone(), value);
        }
    }
    Some(fields)
}

impl Field<'_> {
    fn now(&self) -> Value {
        let highest = self.edits.iter().rev().find(|(_, edit)| match edit {
            Edit::Elements { added, removed } => !added.is_empty() || !removed.is_empty(),
            Edit::Count { .. } => true,
            Edit::Unknown(_) => false,
        });
        match (self.value, highest) {
            (Some(Value::Set(given)), _) => self.elements(given),
            (Some(Value::Counter(given)), _) => self.counted(*given),
            (None | Some(Value::Null), Some((_, Edit::Elements { .. }))) => {
                self.elements(&Set::default())
            }
            (None | Some(Value::Null), Some(_)) => self.counted(0),
            (value, _) => value.cloned().unwrap_or(Value::Null),
        }
    }

    fn elements(&self, given: &Set) -> Value {
        let mut dots: Vec<(&Value, Dot)> = Vec::new();
        let mut taken: Vec<(&[u8], Dot)> = Vec::new();
        let base = self.base.into_iter();
        dots.extend(base.flat_map(|base| given.iter().map(move |element| (element, base))));
        for (dot, edit) in &self.edits {
            if let Edit::Elements { added, removed } = edit {
                dots.extend(added.iter().map(|element| (element, *dot)));
                for (element, covers) in removed.encoded() {
                    let covers = covers.iter();
                    taken.extend(covers.map(|(&log, &position)| (element, Dot { log, position })));
                }
            }
        }
        let is_in = |(element, dot): &(&Value, Dot)| {
            let bytes = cbor::encode(*element);
            !taken.iter().any(|(of, up_to)| {
                *of == bytes && up_to.log == dot.log && up_to.position >= dot.position
            })
        };
        let elements = dots.into_iter().filter(is_in);
        let elements = elements.map(|(element, _)| element.clone());
        Value::Set(Set::of(elements).expect("elements"))
    }

    fn counted(&self, given: i64) -> Value {
        let mut newest: BTreeMap<LogId, i64> = BTreeMap::new();
        for (dot, edit) in &self.edits {
            if let Edit::Count { base, total } = edit
                && *base == self.base
            {
                newest.insert(dot.log, *total);
            }
        }
        Value::Counter(given + newest.values().sum::<i64>())
    }
}
