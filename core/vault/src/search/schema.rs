//! Which fields of a collection are indexed: its schema says so.

use std::collections::BTreeSet;

use twin_ops::space::SpaceId;
use twin_ops::value::Value;

use crate::error::Result;
use crate::read::Record;
use crate::vault::Vault;

/// The collection of a space that holds the schemas of the others, each under the name of its collection: for each
/// field a text like `text required indexed`.
pub(crate) const SCHEMAS: &str = "~schema";
const INDEXED: &str = "indexed";
/// The most fields of a collection that are indexed.
const MAX_INDEXED: usize = 32;

impl Vault {
    /// The indexed fields of a collection, sorted.
    pub(crate) fn indexed_fields(&self, space: &SpaceId, collection: &str) -> Result<Vec<String>> {
        let Some(schemas) = self.state.collection(space, SCHEMAS) else {
            return Ok(Vec::new());
        };
        let found = self.find_in(schemas, collection)?;
        let Some(schema) = found.and_then(|(_, versions)| Record::of(versions)) else {
            return Ok(Vec::new());
        };
        let is_indexed = |value: &Value| match value {
            Value::Text(text) => text.split_ascii_whitespace().any(|word| word == INDEXED),
            _ => false,
        };
        let fields = schema.fields.0.into_iter();
        let fields: BTreeSet<String> = fields
            .filter(|(_, value)| is_indexed(value))
            .map(|(name, _)| name)
            .collect();
        Ok(fields.into_iter().take(MAX_INDEXED).collect())
    }
}
