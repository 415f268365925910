//! Schemas: what an app says of the records of a collection.
//!
//! A schema is itself a record, in the collection [`SCHEMAS`] of the same space: its id is the collection's name, and it
//! has a field for each field that it describes, with a text such as `text required indexed`. So schemas travel like all
//! else, and what two devices change of one at the same time merges field by field.
//!
//! A schema binds what is written here. What comes from other devices is never refused by one, for theirs may have been
//! another; fields that it does not describe are free; words of later versions are kept, and ask nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand_core::CryptoRng;
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::LogHead;
use twin_ops::value::{Fields, Value};

use crate::change::{FieldEdit, RESERVED_NAME, WriteChange};
use crate::error::{Result, VaultError};
use crate::merge::fields;
use crate::vault::Vault;
use crate::write::By;

/// The collection of schemas.
pub const SCHEMAS: &str = "~schema";
/// The most fields of a collection that are indexed.
const MAX_INDEXED: usize = 32;
const TOO_MANY_INDEXED: &str = "at most 32 fields of a collection can be indexed";

/// How many collections' schemas are remembered.
const MAX_REMEMBERED: usize = 256;

const REQUIRED: &str = "required";
const INDEXED: &str = "indexed";

/// What the fields of a collection's records are, by their names. Others may be there too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema(pub BTreeMap<String, Rule>);

/// What a field is. As text: its type, then words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The type of its values.
    pub of: FieldType,
    /// Whether every record has it.
    pub required: bool,
    /// Whether it should be quick to find records by it.
    pub indexed: bool,
    /// What a later version says of it.
    more: Vec<String>,
}

/// The type of a field's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// Any.
    Any,
    /// [`Value::Text`].
    Text,
    /// [`Value::Int`].
    Int,
    /// [`Value::Float`].
    Float,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Bytes`].
    Bytes,
    /// [`Value::Timestamp`].
    Timestamp,
    /// [`Value::Set`].
    Set,
    /// [`Value::Counter`].
    Counter,
    /// [`Value::Reference`].
    Reference,
    /// One of a later version: any value goes.
    Later(String),
}

/// Why a schema does not allow a change. Names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// A record would lack a field.
    #[error("the schema wants every record to have the field {0:?}: give it a value")]
    Missing(String),
    /// A value is of another type.
    #[error("the schema wants the field {field:?} to be of the type {of}: give it such a value")]
    Type {
        /// The field.
        field: String,
        /// What it should be.
        of: FieldType,
    },
    /// Programs that do not know of it yet could write no more.
    #[error(
        "apps and devices that do not know of it yet could write no more: give the field {0:?} another name instead of another type, and let a new one not be required"
    )]
    Breaks(String),
}

/// A text does not say what a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is not a type and words of this version.
    #[error(
        "a field is any, text, int, float, bool, bytes, timestamp, set, counter or reference, and may be required and indexed: write for instance \"text required\""
    )]
    Words,
    /// Sets are in no order.
    #[error(
        "a set cannot be indexed: leave that word out; a search finds the texts that are in it"
    )]
    IndexedSet,
}

impl FieldType {
    const ALL: [(&str, Self); 10] = [
        ("any", Self::Any),
        ("text", Self::Text),
        ("int", Self::Int),
        ("float", Self::Float),
        ("bool", Self::Bool),
        ("bytes", Self::Bytes),
        ("timestamp", Self::Timestamp),
        ("set", Self::Set),
        ("counter", Self::Counter),
        ("reference", Self::Reference),
    ];

    fn named(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|(name, _)| *name == word);
        known.map_or_else(|| Self::Later(word.to_owned()), |(_, of)| of)
    }

    const fn allows(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Any | Self::Later(_), _)
                | (Self::Text, Value::Text(_))
                | (Self::Int, Value::Int(_))
                | (Self::Float, Value::Float(_))
                | (Self::Bool, Value::Bool(_))
                | (Self::Bytes, Value::Bytes(_))
                | (Self::Timestamp, Value::Timestamp(_))
                | (Self::Set, Value::Set(_))
                | (Self::Counter, Value::Counter(_))
                | (Self::Reference, Value::Reference(_))
        )
    }

    const fn allows_edit(&self, edit: &FieldEdit) -> bool {
        matches!(
            (self, edit),
            (Self::Any | Self::Later(_), _)
                | (Self::Set, FieldEdit::Elements { .. })
                | (Self::Counter, FieldEdit::Count(_))
        )
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(_, of)| of == self);
        f.write_str(match (known, self) {
            (Some((name, _)), _) => name,
            (None, Self::Later(name)) => name,
            (None, _) => "any",
        })
    }
}

impl Rule {
    /// A field of this type.
    pub const fn new(of: FieldType) -> Self {
        Self {
            of,
            required: false,
            indexed: false,
            more: Vec::new(),
        }
    }

    /// What a text says, whatever a later version has written there.
    fn read(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let mut rule = Self::new(words.next().map_or(FieldType::Any, FieldType::named));
        for word in words {
            match word {
                REQUIRED => rule.required = true,
                INDEXED => rule.indexed = true,
                later => rule.more.push(later.to_owned()),
            }
        }
        rule
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    /// What somebody here writes has no words of later versions.
    fn from_str(text: &str) -> std::result::Result<Self, RuleError> {
        let rule = Self::read(text);
        let later = matches!(rule.of, FieldType::Later(_)) || !rule.more.is_empty();
        if text.trim().is_empty() || later {
            return Err(RuleError::Words);
        }
        if rule.indexed && rule.of == FieldType::Set {
            return Err(RuleError::IndexedSet);
        }
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)?;
        let flags = [(self.required, REQUIRED), (self.indexed, INDEXED)];
        for (_, word) in flags.iter().filter(|(is, _)| *is) {
            write!(f, " {word}")?;
        }
        self.more.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

impl Schema {
    fn of(fields: &Fields) -> Self {
        let rules = fields.0.iter().filter_map(|(name, value)| match value {
            Value::Text(text) => Some((name.clone(), Rule::read(text))),
            _ => None,
        });
        Self(rules.collect())
    }

    /// The names of the fields that should be quick to find records by, sorted.
    pub fn indexed(&self) -> impl Iterator<Item = &str> {
        let indexed = self.0.iter().filter(|(_, rule)| rule.indexed);
        indexed.map(|(name, _)| name.as_str())
    }

    /// A field of which it asks what the schema before did not, so that what was written by that is not allowed by this one.
    /// The first schema of a collection asks what it likes.
    fn breaks(&self, before: &Self) -> Option<&String> {
        if before.0.is_empty() {
            return None;
        }
        let breaks = |(name, rule): &(&String, &Rule)| match before.0.get(*name) {
            Some(was) => {
                (rule.required && !was.required) || (rule.of != was.of && rule.of != FieldType::Any)
            }
            None => rule.required,
        };
        self.0.iter().find(breaks).map(|(name, _)| name)
    }

    /// Whether it allows a change; `puts`: whether the record is made anew by it.
    pub(crate) fn check(&self, change: &WriteChange, puts: bool) -> Result<()> {
        for (name, rule) in &self.0 {
            let of_type = match (change.fields.0.get(name), change.edits.get(name)) {
                (None | Some(Value::Null), None) => {
                    let goes = puts || change.fields.0.contains_key(name);
                    if goes && rule.required {
                        return Err(SchemaFault::Missing(name.clone()).into());
                    }
                    true
                }
                (Some(value), _) => rule.of.allows(value),
                (None, Some(edit)) => rule.of.allows_edit(edit),
            };
            if !of_type {
                let (field, of) = (name.clone(), rule.of.clone());
                return Err(SchemaFault::Type { field, of }.into());
            }
        }
        Ok(())
    }
}

/// The schemas that were read lately; `None` for collections that have none.
#[derive(Default)]
pub(crate) struct Schemas(RefCell<BTreeMap<SpaceId, Known>>);

type Known = BTreeMap<String, Option<Arc<Schema>>>;

impl Schemas {
    /// Forgets them all, when a schema has changed.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    fn get(&self, space: &SpaceId, collection: &str) -> Option<Option<Arc<Schema>>> {
        self.0.borrow().get(space)?.get(collection).cloned()
    }

    fn remember(&self, space: &SpaceId, collection: &str, schema: Option<Arc<Schema>>) {
        let mut spaces = self.0.borrow_mut();
        let of_space = spaces.entry(*space).or_default();
        if of_space.len() >= MAX_REMEMBERED {
            of_space.clear();
        }
        of_space.insert(collection.to_owned(), schema);
    }
}

impl Vault {
    /// The schema of a collection; `None` if it has none.
    pub fn schema(&mut self, space: &SpaceName, collection: &str) -> Result<Option<Arc<Schema>>> {
        self.catch_up()?;
        self.schema_of(&space.id(self.twin()), collection)
    }

    /// Makes this the schema of a collection. Writes the difference to what it was, so that what another device changes
    /// of it at the same time stays. Records that are there already are not looked at. Returns `None` if it was so.
    ///
    /// # Errors
    /// Among others [`SchemaFault::Breaks`] where an app that goes by the schema before could write no more;
    /// [`VaultError::InvalidChange`] for the name of a collection that has none, and for more than 32 indexed
    /// fields. Devices that add some at the same time may end with more; then the first 32 by their names are.
    pub fn set_schema(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        collection: &str,
        schema: &Schema,
    ) -> Result<Option<LogHead>> {
        let described = WriteChange::delete(collection, "any");
        described.check()?;
        if described.is_reserved() {
            return Err(VaultError::InvalidChange(RESERVED_NAME));
        }
        let known = self.schema(space, collection)?;
        let before = known.as_deref().cloned().unwrap_or_default();
        let new = schema.0.iter();
        let new = new.filter(|(name, rule)| before.0.get(*name) != Some(rule));
        let new = new.map(|(name, rule)| (name.clone(), Value::Text(rule.to_string())));
        let gone = before.0.keys().filter(|name| !schema.0.contains_key(*name));
        let gone = gone.map(|name| (name.clone(), Value::Null));
        let difference = Fields(new.chain(gone).collect());
        if let Some(field) = schema.breaks(&before) {
            return Err(SchemaFault::Breaks(field.clone()).into());
        }
        let indexed = schema.indexed().count();
        if indexed > MAX_INDEXED && indexed > before.indexed().count() {
            return Err(VaultError::InvalidChange(TOO_MANY_INDEXED));
        }
        if difference.0.is_empty() {
            return Ok(None);
        }
        let change = WriteChange::patch(SCHEMAS, collection, difference);
        self.commit_by(By::Vault, now, rng, space, vec![change], &[])
            .map(Some)
    }

    /// The schema of a collection, as of the last call that wrote or caught up.
    pub(crate) fn schema_of(
        &self,
        space: &SpaceId,
        collection: &str,
    ) -> Result<Option<Arc<Schema>>> {
        let Some(number) = self.state.collection(space, SCHEMAS) else {
            return Ok(None);
        };
        if let Some(known) = self.state.schemas.get(space, collection) {
            return Ok(known);
        }
        let found = self.find_in(number, collection)?;
        let schema = found.and_then(|(_, versions)| fields(versions));
        let schema = schema.map(|fields| Arc::new(Schema::of(&fields)));
        self.state
            .schemas
            .remember(space, collection, schema.clone());
        Ok(schema)
    }

    /// The fields of a collection that are quick to find records by, sorted: at most [`MAX_INDEXED`].
    pub(crate) fn indexed_fields(&self, space: &SpaceId, collection: &str) -> Result<Vec<String>> {
        let schema = self.schema_of(space, collection)?;
        let fields = schema.iter().flat_map(|schema| schema.indexed());
        Ok(fields.take(MAX_INDEXED).map(str::to_owned).collect())
    }

    /// The numbers of the collections of schemas.
    pub(crate) fn schema_numbers(&self) -> Vec<u16> {
        let spaces = self.state.collections.values();
        spaces
            .filter_map(|names| names.get(SCHEMAS).copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in ["any", "text required indexed", "set required", "reference"] {
            assert_eq!(
                text.parse::<Rule>().map(|rule| rule.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "  ", "words", "text unique", "required", "Text"] {
            assert_eq!(text.parse::<Rule>(), Err(RuleError::Words), "{text}");
        }
        let indexed_set = "set required indexed".parse::<Rule>();
        assert_eq!(indexed_set, Err(RuleError::IndexedSet));
    }

    #[test]
    fn words_of_later_versions_are_kept_and_ask_nothing() {
        let rule = Rule::read("vector indexed unique within=collection");
        assert_eq!(rule.of, FieldType::Later("vector".to_owned()));
        assert!(rule.indexed && !rule.required);
        assert_eq!(rule.to_string(), "vector indexed unique within=collection");
        assert!(rule.of.allows(&Value::Bool(true)));
    }
}
