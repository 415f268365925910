//! What depends on when a replica saw something: the only place where time comes in.

use std::collections::BTreeMap;

use crate::body::Body;
use crate::entry::Entry;
use crate::id::EntryId;

use super::IdentityLog;

/// Whether it matters when an entry was first seen.
pub(super) const fn is_timed(entry: &Entry) -> bool {
    matches!(entry.body, Body::Rotate(_) | Body::Veto(_))
}

impl IdentityLog {
    /// Whether [`IdentityLog::observe`] would change anything at `now`.
    pub fn wants_time(&self, now: u64) -> bool {
        self.unseen || self.path.is_due(now)
    }

    /// Tells the time, in milliseconds since the Unix epoch: what has come since is first seen now, and guardians who
    /// have waited long enough need wait no longer. Returns what was seen for the first time, to be given to
    /// [`IdentityLog::remember`] when the log is read again.
    pub fn observe(&mut self, now: u64) -> Vec<(EntryId, u64)> {
        if !self.wants_time(now) {
            return Vec::new();
        }
        let new: Vec<(EntryId, u64)> = self
            .entries
            .values()
            .filter(|entry| is_timed(entry))
            .filter(|entry| !self.seen.contains_key(&entry.id))
            .map(|entry| (entry.id, now))
            .collect();
        self.seen.extend(new.iter().copied());
        self.unseen = false;
        self.now = self.now.max(now);
        self.settle();
        new
    }

    /// When this replica first saw each rotation and veto, in milliseconds since the Unix epoch.
    pub const fn seen(&self) -> &BTreeMap<EntryId, u64> {
        &self.seen
    }

    /// Takes the rotations that led to `rotation`, and it, for seen before all others: by the word of a device that is
    /// trusted, or because the person's own words come next after it.
    pub fn trust(&mut self, rotation: &EntryId) {
        let mut next = self.graph.number(rotation);
        while let Some(entry) = next.and_then(|number| self.graph.entry(number)) {
            self.seen.insert(entry.id, 0);
            next = self.graph.number(&entry.place.base);
        }
        self.settle();
    }

    /// Tells when this replica first saw an entry, as [`IdentityLog::observe`] said.
    pub fn remember(&mut self, seen: impl IntoIterator<Item = (EntryId, u64)>) {
        self.seen.extend(seen);
        let mut entries = self.entries.values();
        self.unseen = entries.any(|entry| is_timed(entry) && !self.seen.contains_key(&entry.id));
        self.settle();
    }
}
