//! Finding records by what is in them: by words ([`find`]) and by the values of fields ([`query`]).
//!
//! What this takes is kept in sealed segments (see [`crate::segment`]), and is made late: writing only remembers which
//! records it has touched, and [`keep`] takes them up before the next search, or when nothing else is to be done.

pub(crate) mod find;
pub(crate) mod keep;
mod order;
pub(crate) mod query;
mod row;
mod words;

pub use find::{Hit, MAX_HITS, MAX_QUERY, MAX_QUERY_WORDS};
pub use query::{Cursor, MAX_PAGE, Order, Page, Query};
pub(crate) use row::SearchRow;
#[cfg(any(test, fuzzing))]
pub(crate) use row::{pack, unpacked};

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::space::SpaceId;

use crate::vault::Vault;

/// The key under which records with a word are.
pub(crate) fn word_key(word: &str) -> Vec<u8> {
    [b"W", word.as_bytes()].concat()
}

/// What the keys begin with under which the records of a collection are by the value of a field.
pub(crate) fn field_key(collection: u16, field: &str) -> Vec<u8> {
    // The name of a field has at most 128 bytes.
    let len = u8::try_from(field.len()).unwrap_or(u8::MAX);
    let mut key = vec![b'F'];
    key.extend_from_slice(&collection.to_be_bytes());
    key.push(len);
    key.extend_from_slice(field.as_bytes());
    key
}

/// The collections of the person's spaces, by number.
pub(crate) type Names = BTreeMap<u16, (SpaceId, String)>;

impl Vault {
    /// The collections of the person's spaces: what a twin keeps for itself nobody looks for.
    pub(crate) fn collection_names(&self) -> Names {
        let reserved: BTreeSet<SpaceId> = self
            .state
            .epochs
            .iter()
            .filter(|(_, epoch)| epoch.space.as_str().starts_with('~'))
            .map(|((space, _), _)| *space)
            .collect();
        let mut all = Names::new();
        for (space, names) in &self.state.collections {
            if !reserved.contains(space) {
                let names = names.iter();
                all.extend(names.map(|(name, number)| (*number, (*space, name.clone()))));
            }
        }
        all
    }
}
