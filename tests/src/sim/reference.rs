//! What a record is, said a second time: from a list of writes, straight from the rules, as slowly as it pleases.
//! Shares no code with the vault's merging.

use twin_identity::id::DeviceId;
use twin_ops::change::{Kind, Stamp};
use twin_ops::op::LogId;
use twin_ops::value::{Fields, Value};

/// Where a write stands among all writes of a twin: by time, then by device, then where it was written.
pub type Order = (Stamp, DeviceId, LogId, u64, u64);

/// One change of one record that a device has acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Its place in the order of all writes: stamp, device, log, seq, index of the part.
    pub order: Order,
    /// Which record.
    pub record: RecordName,
    /// How it changes.
    pub kind: Kind,
    /// The fields.
    pub fields: Fields,
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
/// made it null. The record is there unless its highest write is a delete.
pub fn fields<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Option<Fields> {
    let mut writes: Vec<&Write> = writes.into_iter().collect();
    writes.sort_by_key(|write| write.order);
    if writes.last()?.kind == Kind::Delete {
        return None;
    }
    let mut record = Fields::default();
    for write in writes {
        if write.kind == Kind::Put {
            record.0.clear();
        }
        for (name, value) in &write.fields.0 {
            record.0.insert(name.clone(), value.clone());
        }
    }
    record.0.retain(|_, value| *value != Value::Null);
    Some(record)
}
