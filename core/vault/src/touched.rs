//! Which records have changed, for whoever watches them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use twin_ops::space::SpaceId;

use crate::vault::Vault;

/// How many records are told apart until somebody asks; of more, only that many have changed.
const MAX_TOUCHED: usize = 4096;

/// Records that may have changed.
#[derive(Debug, Default)]
pub struct Touched {
    /// By space and collection, their ids.
    pub records: BTreeMap<(SpaceId, String), BTreeSet<String>>,
    /// Whether any others may have changed as well.
    pub others: bool,
    count: usize,
}

impl Touched {
    fn add(&mut self, space: SpaceId, collection: &str, id: &str) {
        if self.others || self.count >= MAX_TOUCHED {
            self.all();
            return;
        }
        let of_collection = self.records.entry((space, collection.to_owned()));
        self.count += usize::from(of_collection.or_default().insert(id.to_owned()));
    }

    fn all(&mut self) {
        self.others = true;
        self.records.clear();
    }
}

/// Gathers what a vault touches, from the moment it is made.
#[derive(Debug, Clone, Default)]
pub struct Listener(Arc<Mutex<Touched>>);

impl Listener {
    /// What was touched since this was last asked. A change is in here before it can be read.
    pub fn take(&self) -> Touched {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Touched> {
        // What is in it is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault {
    /// Begins to gather which records are touched: written here, received, or possibly by another process.
    pub fn listen(&mut self) -> Listener {
        self.listener.get_or_insert_default().clone()
    }

    /// Records of the collections with these numbers are about to change.
    pub(crate) fn touch<'r>(&self, records: impl Iterator<Item = (u16, &'r str)>) {
        let Some(listener) = &self.listener else {
            return;
        };
        let mut names: BTreeMap<u16, (SpaceId, &str)> = BTreeMap::new();
        for (space, collections) in &self.state.collections {
            for (name, number) in collections {
                names.insert(*number, (*space, name));
            }
        }
        let mut touched = listener.lock();
        for (number, id) in records {
            match names.get(&number) {
                Some((space, name)) => touched.add(*space, name, id),
                None => touched.all(),
            }
        }
    }

    /// Any record may have changed.
    pub(crate) fn touch_all(&self) {
        if let Some(listener) = &self.listener {
            listener.lock().all();
        }
    }
}
