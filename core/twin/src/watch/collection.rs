//! Watching a collection.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use twin_vault::Record;

use super::Watched;
use crate::error::Result;
use crate::json::fields_to_json;
use crate::space::Collection;

/// The most records that are shown at once.
const PAGE: usize = 500;

/// What has changed in a collection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Records that are new or have changed, as they are now.
    pub records: Vec<Record>,
    /// The ids of those that are gone.
    pub gone: Vec<String>,
}

impl Changes {
    const fn is_empty(&self) -> bool {
        self.records.is_empty() && self.gone.is_empty()
    }
}

/// A collection's records, and what they become. It ends when it is dropped.
///
/// It keeps the ids of the records in memory, and a few bytes of each to tell whether it has changed.
pub struct CollectionWatch {
    collection: Collection,
    watched: Arc<Watched>,
    known: BTreeMap<String, Known>,
    hasher: RandomState,
    /// Records to be looked at.
    dirty: BTreeSet<String>,
    /// Going through all records: how far it has come.
    round: Option<Option<String>>,
    rounds: u64,
    shown: bool,
}

/// A record that was shown.
struct Known {
    hash: u64,
    /// The round in which it was last seen.
    round: u64,
}

impl CollectionWatch {
    pub(super) fn new(collection: Collection) -> Self {
        let watched = Watched::open(&collection, None);
        Self {
            collection,
            watched,
            known: BTreeMap::new(),
            hasher: RandomState::new(),
            dirty: BTreeSet::new(),
            round: None,
            rounds: 0,
            shown: false,
        }
    }

    /// First what is there, at most 500 records at a time and nothing if there are none, then what has changed, whenever
    /// something has. Cancel safe.
    pub async fn next(&mut self) -> Result<Changes> {
        loop {
            let touched = self.watched.take();
            self.dirty.extend(touched.ids);
            if touched.all {
                // From the beginning: nobody knows what of it was seen already.
                self.round = Some(None);
                self.rounds += 1;
            }
            let changes = match self.look() {
                Ok(changes) => changes,
                Err(error) => {
                    self.watched.put_back();
                    return Err(error);
                }
            };
            if let Some(changes) = changes {
                if !changes.is_empty() || !self.shown {
                    self.shown = true;
                    return Ok(changes);
                }
            } else {
                self.watched.wake.notified().await;
            }
        }
    }

    /// Looks at some of what may have changed; `None` if nothing may have.
    fn look(&mut self) -> Result<Option<Changes>> {
        let mut changes = Changes::default();
        if let Some(after) = self.round.take() {
            let page = self.collection.list(after.as_deref(), PAGE)?;
            let is_last = page.len() < PAGE;
            self.round = page
                .last()
                .filter(|_| !is_last)
                .map(|last| Some(last.id.clone()));
            for record in page {
                self.see(record, &mut changes);
            }
            if is_last {
                let round = self.rounds;
                let gone = self.known.extract_if(.., |_, known| known.round != round);
                changes.gone = gone.map(|(id, _)| id).collect();
            }
            return Ok(Some(changes));
        }
        if self.dirty.is_empty() {
            return Ok(None);
        }
        for _ in 0..PAGE {
            let Some(id) = self.dirty.pop_first() else {
                break;
            };
            match self.collection.get(&id)? {
                Some(record) => self.see(record, &mut changes),
                None if self.known.remove(&id).is_some() => changes.gone.push(id),
                None => {}
            }
        }
        Ok(Some(changes))
    }

    fn see(&mut self, record: Record, changes: &mut Changes) {
        let fields = fields_to_json(&record.fields).to_string();
        let hash = self
            .hasher
            .hash_one((record.changed.0, record.by.as_bytes(), fields));
        let round = self.rounds;
        let known = Known { hash, round };
        let before = self.known.insert(record.id.clone(), known);
        if before.is_none_or(|before| before.hash != hash) {
            changes.records.push(record);
        }
    }
}
