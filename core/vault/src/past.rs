//! Parts that no longer decide what a record is, by the record's place: what its history is read from.
//!
//! A row has no MAC. Whether a part is a change of the record can be seen from the part itself, which is sealed; and that
//! one is missing is found by `check`, which looks for every change.

use crate::error::Result;
use crate::merge::Write;
use crate::oplog::PartNo;
use crate::store::Store;
use crate::vault::Vault;

impl Store {
    /// Notes that a part no longer decides what the record at `place` is.
    pub fn insert_past(&self, place: i64, part: PartNo) -> Result<()> {
        self.sql("INSERT OR IGNORE INTO past (k, p) VALUES (?1, ?2)")?
            .execute((place, part.0))?;
        Ok(())
    }

    /// Shows the past parts at the places `first` to `last`, in their order.
    fn each_past(
        &self,
        (first, last): (i64, i64),
        mut show: impl FnMut(i64, PartNo) -> Result<()>,
    ) -> Result<()> {
        let mut statement =
            self.sql("SELECT k, p FROM past WHERE k BETWEEN ?1 AND ?2 ORDER BY k, p")?;
        let mut rows = statement.query((first, last))?;
        while let Some(row) = rows.next()? {
            show(row.get(0)?, PartNo(row.get(1)?))?;
        }
        Ok(())
    }

    fn is_past(&self, place: i64, part: PartNo) -> Result<bool> {
        let mut statement = self.sql("SELECT 1 FROM past WHERE k = ?1 AND p = ?2")?;
        Ok(statement.exists((place, part.0))?)
    }

    /// Forgets the past parts of the record at `place`.
    pub fn remove_past(&self, place: i64) -> Result<()> {
        self.sql("DELETE FROM past WHERE k = ?1")?
            .execute([place])?;
        Ok(())
    }

    /// Forgets them all.
    pub fn clear_past(&self) -> Result<()> {
        self.sql("DELETE FROM past")?.execute([])?;
        Ok(())
    }
}

impl Vault {
    /// The past parts of the record at `place`.
    pub(crate) fn past_at(&self, place: i64) -> Result<Vec<PartNo>> {
        let mut parts: Vec<PartNo> = self.state.late.past(place)?.collect();
        self.file.store.each_past((place, place), |_, part| {
            parts.push(part);
            Ok(())
        })?;
        parts.sort_unstable();
        parts.dedup();
        Ok(parts)
    }

    /// Shows all past parts, each with its record's place; those that are late come last.
    pub(crate) fn all_past(&self, mut show: impl FnMut(i64, PartNo) -> Result<()>) -> Result<()> {
        let store = &self.file.store;
        store.each_past((i64::MIN, i64::MAX), &mut show)?;
        self.state
            .late
            .all_past()?
            .try_for_each(|(place, part)| show(place, part))
    }

    /// Whether a part is known to have been of the record at `place`, or another that holds the same change.
    pub(crate) fn was_at(&self, place: i64, part: PartNo, at: Write) -> Result<bool> {
        let mut late = self.state.late.past(place)?;
        if late.any(|past| past == part) || self.file.store.is_past(place, part)? {
            return Ok(true);
        }
        for other in self.past_at(place)? {
            if self.stored_version(other)?.at == at {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a past part belongs where it is: it is a change that counts of the record there.
    pub(crate) fn is_past_in_place(&self, place: i64, part: PartNo) -> Result<bool> {
        let version = self.stored_version(part)?;
        let Some(now) = self.versions_at(place)? else {
            return Ok(false);
        };
        Ok(self.is_of(place, &version)?
            && self.counts(&version)?
            && now.iter().all(|other| other.key != part)
            && now
                .first()
                .is_some_and(|first| first.change.id == version.change.id))
    }
}
