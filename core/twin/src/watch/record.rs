//! Watching one record.

use std::sync::Arc;

use twin_vault::Record;

use super::Watched;
use crate::error::Result;
use crate::space::Collection;

/// A record, and what it becomes. It ends when it is dropped.
pub struct RecordWatch {
    collection: Collection,
    id: String,
    watched: Arc<Watched>,
    /// What it was when it was last shown.
    shown: Option<Option<Record>>,
}

impl RecordWatch {
    pub(super) fn new(collection: Collection, id: &str) -> Self {
        let watched = Watched::open(&collection, Some(id));
        Self {
            collection,
            id: id.to_owned(),
            watched,
            shown: None,
        }
    }

    /// First what the record is, then what it has become whenever that is something else; `None` if it is not there.
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if self.watched.take().any() {
                let now = self.collection.get(&self.id);
                let now = now.inspect_err(|_| self.watched.put_back())?;
                if self.shown.as_ref() != Some(&now) {
                    self.shown = Some(now.clone());
                    return Ok(now);
                }
            }
            self.watched.wake.notified().await;
        }
    }
}
