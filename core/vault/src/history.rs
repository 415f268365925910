//! What a record was: all changes of it, those that no longer decide anything too.

use twin_identity::id::DeviceId;
use twin_ops::change::{Kind, Stamp};
use twin_ops::edit::Edits;
use twin_ops::space::SpaceName;
use twin_ops::value::Fields;

use crate::error::{Result, VaultError};
use crate::index::collection;
use crate::merge::{Version, Write, fields, settle};
use crate::oplog::PartNo;
use crate::read::Versions;
use crate::vault::Vault;

/// The most revisions that are shown at once.
pub const MAX_REVISIONS: usize = 500;

const DAMAGED: VaultError = VaultError::Damaged("the history of a record");

/// A change of a record, and what the record was with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// When it was made, by the clock of the device that did.
    pub changed: Stamp,
    /// The device that made it.
    pub by: DeviceId,
    /// How the record changed.
    pub kind: Kind,
    /// The fields that got a value.
    pub given: Fields,
    /// What was done to other fields.
    pub edits: Edits,
    /// The record as all changes up to this one make it; `None` if this deleted it. What another device did not know of
    /// when it wrote stands before it or after it, as in merging.
    pub record: Option<Fields>,
    /// Where it stands.
    pub at: RevisionAt,
}

/// Where a revision stands among those of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevisionAt(Write);

/// A change without what it says: histories may be longer than memory.
struct Known {
    at: Write,
    key: PartNo,
    kind: Kind,
}

impl Vault {
    /// What a record was, newest first: at most `limit` revisions (and [`MAX_REVISIONS`]) that stand before `before`.
    /// Empty if there never was such a record.
    pub fn history(
        &mut self,
        space: &SpaceName,
        collection: &str,
        id: &str,
        before: Option<RevisionAt>,
        limit: usize,
    ) -> Result<Vec<Revision>> {
        self.read(|vault| vault.revisions(space, collection, id, before, limit))
    }

    fn revisions(
        &self,
        space: &SpaceName,
        collection: &str,
        id: &str,
        before: Option<RevisionAt>,
        limit: usize,
    ) -> Result<Vec<Revision>> {
        let Some((place, now)) = self.find(space, collection, id)? else {
            return Ok(Vec::new());
        };
        let mut known = self.known_changes(place, id, &now)?;
        if let Some(RevisionAt(before)) = before {
            known.retain(|change| change.at < before);
        }
        let oldest = known.len().saturating_sub(limit.min(MAX_REVISIONS));
        // What is below a put decides nothing any more.
        let mut shown = known.iter().take(oldest + 1);
        let floor = shown.rposition(|change| change.kind == Kind::Put);
        let mut settled = Versions::new();
        let mut revisions = Vec::new();
        for (index, change) in known.iter().enumerate().skip(floor.unwrap_or(0)) {
            let version = self.stored_version(change.key)?;
            settled.push(version.clone());
            settle(&mut settled);
            if index >= oldest {
                revisions.push(Revision {
                    changed: version.at.stamp,
                    by: version.at.device,
                    kind: version.change.kind,
                    given: version.change.fields,
                    edits: version.change.edits,
                    record: fields(settled.clone()),
                    at: RevisionAt(version.at),
                });
            }
        }
        revisions.reverse();
        Ok(revisions)
    }

    /// All changes of the record at `place`, lowest first.
    fn known_changes(&self, place: i64, id: &str, now: &Versions) -> Result<Vec<Known>> {
        let known = |version: &Version<PartNo>| Known {
            at: version.at,
            key: version.key,
            kind: version.change.kind,
        };
        let mut all: Vec<Known> = now.iter().map(known).collect();
        for part in self.past_at(place)? {
            let version = self.stored_version(part).map_err(|error| match error {
                VaultError::Damaged(_) => DAMAGED,
                error => error,
            })?;
            if version.change.id != id || !self.is_of(place, &version)? {
                return Err(DAMAGED);
            }
            all.push(known(&version));
        }
        all.sort_by_key(|change| change.at);
        all.dedup_by_key(|change| change.at);
        Ok(all)
    }

    /// Whether a change is of the collection that a place is in.
    pub(crate) fn is_of(&self, place: i64, version: &Version<PartNo>) -> Result<bool> {
        let space = self.space_of(&version.at.log)?;
        let number = self.state.collection(&space, &version.change.collection);
        Ok(number == Some(collection(place)))
    }
}
