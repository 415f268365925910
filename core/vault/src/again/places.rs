//! Where the changes of a branch stand once they are written again, and what those say that name others by their place:
//! - What a removal from a set had seen of the log it has seen up to where the branch begins, and of the branch itself at
//!   its new places.
//! - A count says what its log has counted in all; a new log has counted what the old one did since the branch began.
//!   It counts from the assignment that it counted from, wherever that stands now.

use std::collections::BTreeMap;

use twin_ops::change::{RecordChange, Stamp};
use twin_ops::edit::{Covers, Dot, Edit, Edits, Removed, position};
use twin_ops::op::{LogId, Place};

use crate::error::Result;
use crate::merge::Version;
use crate::oplog::PartNo;
use crate::read::Versions;
use crate::state::Log;
use crate::vault::Vault;

/// A record, by collection and id.
type Name = (String, String);
/// A counter in a record, and the assignment that is counted from.
type Counter = (Name, String, Option<Dot>);

/// The places of what is written again.
pub(super) struct Places {
    log: LogId,
    /// The last position before the branch.
    last: u64,
    /// Whether some of it may have been written again before.
    before: bool,
    /// Where each change of the branch stands now, by its position there.
    moved: BTreeMap<u64, Dot>,
    /// What the log had counted before the branch, or what was written again of it before.
    counted: BTreeMap<Counter, i64>,
    /// What this device has written to each record in other logs, by when.
    elsewhere: BTreeMap<Name, BTreeMap<Stamp, Dot>>,
}

impl Places {
    pub const fn new(log: LogId, common: u64, before: bool) -> Self {
        Self {
            log,
            last: position(common + 1, 0) - 1,
            before,
            moved: BTreeMap::new(),
            counted: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        }
    }

    /// A change of the branch as it is to be written again; `None` if it was before.
    pub fn moved(
        &mut self,
        vault: &Vault,
        known: &Log,
        seq: u64,
        index: u16,
        change: RecordChange,
    ) -> Result<Option<RecordChange>> {
        let name = (change.collection.clone(), change.id.clone());
        if self.before
            && let Some(dot) = self.found_elsewhere(vault, known, &name, change.stamp)?
        {
            self.moved.insert(position(seq, index.into()), dot);
            for (field, edit) in change.edits.0 {
                if let Edit::Count { base, total } = edit {
                    self.counted.insert((name.clone(), field, base), total);
                }
            }
            return Ok(None);
        }
        let mut edits = Edits::default();
        for (field, edit) in change.edits.0 {
            let edit = match edit {
                Edit::Elements { added, removed } => {
                    let removed = self.removed(&removed);
                    Some(Edit::Elements { added, removed })
                }
                Edit::Count { base, total } => {
                    let counter = (name.clone(), field.clone(), base);
                    let before = self.counted_before(vault, known, counter)?;
                    let total = total.saturating_sub(before);
                    // What was counted from something that is erased counts for nothing.
                    self.base(base).map(|base| Edit::Count { base, total })
                }
                Edit::Unknown(unknown) => Some(Edit::Unknown(unknown)),
            };
            edits.0.extend(edit.map(|edit| (field, edit)));
        }
        Ok(Some(RecordChange { edits, ..change }))
    }

    /// Notes where a change of the branch stands now.
    pub fn note(&mut self, seq: u64, index: u16, place: &Place, key: PartNo) {
        let dot = Dot {
            log: place.log,
            position: position(place.seq, key.index()),
        };
        self.moved.insert(position(seq, index.into()), dot);
    }

    fn removed(&self, removed: &Removed) -> Removed {
        let mut again = Removed::default();
        for (element, (_, covers)) in removed.iter().zip(removed.encoded()) {
            again.insert(element.clone(), self.covers(covers));
        }
        again
    }

    fn covers(&self, covers: &Covers) -> Covers {
        let mut again = covers.clone();
        let Some(seen) = again.get_mut(&self.log).filter(|seen| **seen > self.last) else {
            return again;
        };
        let up_to = std::mem::replace(seen, self.last);
        if self.last < position(1, 0) {
            // Nothing is before the branch.
            again.remove(&self.log);
        }
        for (_, dot) in self.moved.range(..=up_to) {
            let seen = again.entry(dot.log).or_default();
            *seen = dot.position.max(*seen);
        }
        again
    }

    /// Where an assignment stands that is counted from; `None` if it is gone.
    fn base(&self, base: Option<Dot>) -> Option<Option<Dot>> {
        match base {
            Some(dot) if dot.log == self.log && dot.position > self.last => {
                self.moved.get(&dot.position).map(|dot| Some(*dot))
            }
            base => Some(base),
        }
    }

    /// What the log had counted before the branch, from the assignment that a count names.
    fn counted_before(&mut self, vault: &Vault, known: &Log, counter: Counter) -> Result<i64> {
        if let Some(known) = self.counted.get(&counter) {
            return Ok(*known);
        }
        let ((collection, id), field, base) = &counter;
        let versions = vault.all_changes(known, collection, id)?;
        let before = versions.iter().filter(|version| {
            let at = &version.at;
            at.log == self.log && position(at.seq, at.index) <= self.last
        });
        let counts = before.filter_map(|version| match version.change.edits.0.get(field) {
            Some(Edit::Count { base: named, total }) if named == base => Some((version.at, *total)),
            _ => None,
        });
        let newest = counts.max_by_key(|(at, _)| *at);
        let total = newest.map_or(0, |(_, total)| total);
        self.counted.insert(counter, total);
        Ok(total)
    }

    /// Where this device has made the same change in another log.
    fn found_elsewhere(
        &mut self,
        vault: &Vault,
        known: &Log,
        name: &Name,
        stamp: Stamp,
    ) -> Result<Option<Dot>> {
        if !self.elsewhere.contains_key(name) {
            let (collection, id) = name;
            let versions = vault.all_changes(known, collection, id)?;
            let elsewhere = versions.iter().map(|version| version.at);
            let elsewhere = elsewhere
                .filter(|at| at.device == known.origin.device && at.log != self.log)
                .map(|at| {
                    let (log, position) = (at.log, position(at.seq, at.index));
                    (at.stamp, Dot { log, position })
                });
            self.elsewhere.insert(name.clone(), elsewhere.collect());
        }
        let elsewhere = self.elsewhere.get(name);
        Ok(elsewhere.and_then(|elsewhere| elsewhere.get(&stamp).copied()))
    }
}

impl Vault {
    /// All changes of a record in the space of a log that the index knows, in no order.
    fn all_changes(&self, log: &Log, collection: &str, id: &str) -> Result<Versions> {
        let Some(number) = self.state.collection(&log.origin.space, collection) else {
            return Ok(Versions::new());
        };
        let Some((place, mut versions)) = self.find_in(number, id)? else {
            return Ok(Versions::new());
        };
        for part in self.past_at(place)? {
            let past: Version<PartNo> = self.stored_version(part)?;
            if past.change.id == id {
                versions.push(past);
            }
        }
        Ok(versions)
    }
}
