//! Watching records: what is there, and then what changes, whoever changes it.
//!
//! A watch is told which records were touched, here or by sync, when [`crate::Twin`] notices; what another process of
//! this device wrote is noticed by [`crate::Twin::refresh`]. It looks at the records again only when it is asked for
//! the next change: however slow its reader is, it remembers ids and no content, and many changes of one record are one.

mod collection;
mod query;
mod record;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use twin_ops::space::SpaceId;
use twin_vault::touched::{Listener, Touched};

use crate::space::Collection;
use crate::twin::Twin;

pub use collection::{Changes, CollectionWatch};
pub use query::QueryWatch;
pub use record::RecordWatch;

/// How many records that were touched are told apart; of more, all of the collection is looked at again.
const MAX_DIRTY: usize = 4096;

/// The watches of a twin.
#[derive(Default)]
pub(crate) struct Watches(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Since there was the first watch.
    listener: Option<Listener>,
    open: Vec<Weak<Watched>>,
}

/// What one watch looks at, and what of it may have changed.
struct Watched {
    space: SpaceId,
    collection: String,
    /// One record only.
    id: Option<String>,
    dirty: Mutex<Dirty>,
    wake: Notify,
}

/// What may have changed since the watch last looked.
#[derive(Default)]
struct Dirty {
    ids: BTreeSet<String>,
    all: bool,
}

impl Watches {
    /// Tells all watches what was touched.
    pub fn tell(&self) {
        let mut inner = lock(&self.0);
        let Some(touched) = inner.listener.as_ref().map(Listener::take) else {
            return;
        };
        inner.open.retain(|watched| {
            let watched = watched.upgrade();
            if let Some(watched) = &watched {
                watched.tell(&touched);
            }
            watched.is_some()
        });
    }

    fn open(&self, twin: &Twin, watched: &Arc<Watched>) {
        // The vault first: whoever tells does not hold it.
        let listener = twin.vault().listen();
        let mut inner = lock(&self.0);
        inner.listener = Some(listener);
        inner.open.push(Arc::downgrade(watched));
    }
}

impl Watched {
    fn open(collection: &Collection, id: Option<&str>) -> Arc<Self> {
        let twin = collection.space().twin();
        let watched = Arc::new(Self {
            space: collection.space().name().id(&twin.id()),
            collection: collection.name().to_owned(),
            id: id.map(str::to_owned),
            // Everything is news to it.
            dirty: Mutex::new(Dirty {
                ids: BTreeSet::new(),
                all: true,
            }),
            wake: Notify::new(),
        });
        twin.watches.open(twin, &watched);
        watched
    }

    fn tell(&self, touched: &Touched) {
        let mut dirty = lock(&self.dirty);
        let here = (self.space, self.collection.clone());
        let ids = touched.records.get(&here).into_iter().flatten();
        let ids = ids.filter(|id| self.id.as_ref().is_none_or(|only| only == *id));
        dirty.ids.extend(ids.cloned());
        if touched.others || dirty.ids.len() > MAX_DIRTY {
            dirty.all = true;
        }
        if dirty.all {
            dirty.ids.clear();
        }
        if dirty.any() {
            self.wake.notify_one();
        }
    }

    /// What may have changed since this was last asked.
    fn take(&self) -> Dirty {
        std::mem::take(&mut *lock(&self.dirty))
    }

    /// Looking at it has failed: it may have changed still.
    fn put_back(&self) {
        lock(&self.dirty).all = true;
    }
}

impl Dirty {
    fn any(&self) -> bool {
        self.all || !self.ids.is_empty()
    }
}

impl Collection {
    /// Watches one record.
    pub fn watch_record(&self, id: &str) -> RecordWatch {
        RecordWatch::new(self.clone(), id)
    }

    /// Watches all records of the collection.
    pub fn watch(&self) -> CollectionWatch {
        CollectionWatch::new(self.clone())
    }

    /// Watches the answer to a query.
    pub fn watch_query(&self, query: twin_vault::Query) -> QueryWatch {
        QueryWatch::new(self.clone(), query)
    }
}

/// What is in there is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
