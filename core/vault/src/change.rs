//! What an app asks to be written.

use std::collections::BTreeMap;

use twin_ops::change::{Kind, MAX_COLLECTION_NAME, MAX_RECORD_ID};
use twin_ops::edit::{Edit, Removed};
use twin_ops::op::LogId;
use twin_ops::set::Set;
use twin_ops::value::{Fields, MAX_FIELD_NAME, Value};

use crate::error::{Result, VaultError};
use crate::field::Field;

/// What the names of collections begin with that hold no records of an app.
pub const RESERVED: char = '~';
/// What is said of such a name.
pub const RESERVED_NAME: &str =
    "names of collections that begin with '~' are reserved: choose another";

/// A change that an app makes to a record.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteChange {
    /// The collection; 1 to 128 bytes.
    pub collection: String,
    /// The record's id in it; 1 to 256 bytes.
    pub id: String,
    /// How. A patch of a record that is not there puts it.
    pub kind: Kind,
    /// The fields that get a value, with names of 1 to 128 bytes; none for a delete. [`Value::Null`] takes a field away.
    pub fields: Fields,
    /// What is done to other fields; none but in a patch.
    pub edits: BTreeMap<String, FieldEdit>,
}

/// What an app does to a set or a counter. On a field that is not there, or a record, it begins with nothing in it.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldEdit {
    /// Elements come into a set and others go from it; one that does both comes. What another device adds at the same
    /// time stays.
    Elements {
        /// They come.
        add: Set,
        /// They go.
        remove: Set,
    },
    /// A counter is counted up, or down. What other devices count at the same time adds up.
    Count(i64),
}

impl WriteChange {
    /// The record becomes exactly these fields.
    pub fn put(collection: &str, id: &str, fields: Fields) -> Self {
        Self::new(collection, id, Kind::Put, fields)
    }

    /// These fields change, the others stay.
    pub fn patch(collection: &str, id: &str, fields: Fields) -> Self {
        Self::new(collection, id, Kind::Patch, fields)
    }

    /// The record is gone.
    pub fn delete(collection: &str, id: &str) -> Self {
        Self::new(collection, id, Kind::Delete, Fields::default())
    }

    fn new(collection: &str, id: &str, kind: Kind, fields: Fields) -> Self {
        Self {
            collection: collection.to_owned(),
            id: id.to_owned(),
            kind,
            fields,
            edits: BTreeMap::new(),
        }
    }

    /// The same, with something done to another field: only for a patch.
    #[must_use]
    pub fn with(mut self, field: &str, edit: FieldEdit) -> Self {
        self.edits.insert(field.to_owned(), edit);
        self
    }

    /// Whether its collection is not an app's.
    pub(crate) fn is_reserved(&self) -> bool {
        self.collection.starts_with(RESERVED)
    }

    /// Whether a commit would take it.
    ///
    /// # Errors
    /// [`VaultError::InvalidChange`] for names and ids that are empty or too long, those in references too, for a delete
    /// with fields, and for edits where they cannot be.
    pub fn check(&self) -> Result<()> {
        self.checked_len().map(|_| ())
    }

    /// Checks it, and returns at least as many bytes as it takes in an op.
    pub(crate) fn checked_len(&self) -> Result<usize> {
        let within = |text: &str, max| (1..=max).contains(&text.len());
        let invalid = |why| Err(VaultError::InvalidChange(why));
        if !within(&self.collection, MAX_COLLECTION_NAME) {
            return invalid("the name of a collection has 1 to 128 bytes: choose another");
        }
        if !within(&self.id, MAX_RECORD_ID) {
            return invalid("the id of a record has 1 to 256 bytes: choose another");
        }
        if self.kind == Kind::Delete && !self.fields.0.is_empty() {
            return invalid("a delete has no fields: leave them out");
        }
        if self.kind != Kind::Patch && !self.edits.is_empty() {
            return invalid("only a patch adds, removes and counts: make it one");
        }
        let (mut len, mut named, mut valid) = (0, true, true);
        for (name, value) in &self.fields.0 {
            named &= within(name, MAX_FIELD_NAME);
            valid &= value.is_valid();
            len += name.len() + least_len(value);
        }
        for (name, edit) in &self.edits {
            if self.fields.0.contains_key(name) {
                return invalid("a field gets a value or is edited, not both: choose one");
            }
            named &= within(name, MAX_FIELD_NAME);
            len += name.len();
            match edit {
                FieldEdit::Elements { add, .. } => {
                    valid &= add.iter().all(Value::is_valid);
                    len += add.iter().map(least_len).sum::<usize>();
                }
                FieldEdit::Count(_) => len += 1,
            }
        }
        if !named {
            return invalid("the name of a field has 1 to 128 bytes: choose another");
        }
        if !valid {
            return invalid(
                "a reference names a collection by 1 to 128 bytes and a record by 1 to 256: choose another",
            );
        }
        Ok(len)
    }
}

fn least_len(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Set(set) => set.iter().map(least_len).sum(),
        Value::Unknown(unknown) => unknown.as_bytes().len(),
        _ => 1,
    }
}

impl FieldEdit {
    /// The value of a field that is not there when this is done to it.
    pub(crate) fn begin(self) -> Value {
        match self {
            Self::Elements { add, .. } => Value::Set(add),
            Self::Count(by) => Value::Counter(by),
        }
    }

    /// What a change carries when this is done by `log` to a field that is there.
    pub(crate) fn on(self, field: &Field<'_>, log: &LogId) -> Result<Edit> {
        let value = field.value();
        match self {
            Self::Elements { add, remove } => {
                if !matches!(value, Value::Null | Value::Set(_)) {
                    return Err(VaultError::InvalidChange(
                        "this field holds no set: put a set there first",
                    ));
                }
                let mut removed = Removed::default();
                for (element, covers) in field.covers(&remove) {
                    removed.insert(element, covers);
                }
                Ok(Edit::Elements {
                    added: add,
                    removed,
                })
            }
            Self::Count(by) => {
                if !matches!(value, Value::Null | Value::Counter(_)) {
                    return Err(VaultError::InvalidChange(
                        "this field holds no counter: put a counter there first",
                    ));
                }
                Ok(field.count(log, by))
            }
        }
    }
}
