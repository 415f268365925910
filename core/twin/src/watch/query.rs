//! Watching the answer to a query.

use std::sync::Arc;

use twin_vault::{Page, Query, Record};

use super::Watched;
use crate::error::Result;
use crate::space::Collection;

/// The answer to a query, and what it becomes. It ends when it is dropped.
pub struct QueryWatch {
    collection: Collection,
    query: Query,
    watched: Arc<Watched>,
    /// The answer when it was last shown, and whether there were more.
    shown: Option<(Vec<Record>, bool)>,
}

impl QueryWatch {
    pub(super) fn new(collection: Collection, query: Query) -> Self {
        let watched = Watched::open(&collection, None);
        Self {
            collection,
            query,
            watched,
            shown: None,
        }
    }

    /// First the answer, then the whole new answer whenever other records are in it, they have changed, or there
    /// are more that it has no room for, or no more. Cancel safe.
    ///
    /// The query is asked again whenever the collection is touched: what that takes, [`Page::scanned`] tells.
    pub async fn next(&mut self) -> Result<Page> {
        loop {
            if self.watched.take().any() {
                let page = self.collection.query(&self.query);
                let page = page.inspect_err(|_| self.watched.put_back())?;
                let more = page.next.is_some();
                let is_shown = |(records, was_more): &(Vec<Record>, bool)| {
                    *records == page.records && *was_more == more
                };
                if !self.shown.as_ref().is_some_and(is_shown) {
                    self.shown = Some((page.records.clone(), more));
                    return Ok(page);
                }
            }
            self.watched.wake.notified().await;
        }
    }
}
