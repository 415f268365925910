//! Reading records.

use std::ops::ControlFlow;

use rusqlite::CachedStatement;
use rusqlite::types::ValueRef;
use twin_identity::id::DeviceId;
use twin_ops::change::Stamp;
use twin_ops::space::SpaceName;
use twin_ops::value::Fields;

use crate::error::Result;
use crate::frames::Row;
use crate::index::{next_place, places};
use crate::merge::{Version, fields};
use crate::oplog::{DAMAGED, PartNo, RowReader};
use crate::vault::Vault;

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id in its collection.
    pub id: String,
    /// Its fields.
    pub fields: Fields,
    /// When it was last changed, by the clock of the device that did.
    pub changed: Stamp,
    /// The device that last changed it.
    pub by: DeviceId,
}

impl Record {
    /// The record that its settled changes make.
    pub(crate) fn of(mut versions: Versions) -> Option<Self> {
        let newest = versions.first_mut()?;
        let (id, at) = (std::mem::take(&mut newest.change.id), newest.at);
        Some(Self {
            id,
            fields: fields(versions)?,
            changed: at.stamp,
            by: at.device,
        })
    }
}

/// The settled changes of a record.
pub(crate) type Versions = Vec<Version<PartNo>>;
/// The place and the settled changes of a record.
pub(crate) type Found = (i64, Versions);

/// Finds many records: with one statement for the index, most often of records that are not there yet, and one for parts.
pub(crate) struct Finder<'v> {
    vault: &'v Vault,
    index: CachedStatement<'v>,
    rows: RowReader<'v>,
}

impl Finder<'_> {
    /// As [`Vault::versions_at`].
    pub fn versions_at(&mut self, place: i64) -> Result<Option<Versions>> {
        if let Some(parts) = self.vault.state.late.get(place)? {
            return self.vault.open_with(&mut self.rows, parts).map(Some);
        }
        let mut found = self.index.query([place])?;
        let Some(row) = found.next()? else {
            return Ok(None);
        };
        let parts = self
            .vault
            .file
            .checked(place, row.get_ref(0)?, row.get_ref(1)?)?;
        self.vault.open_with(&mut self.rows, &parts).map(Some)
    }
}

impl Vault {
    /// A record; `None` if it is deleted or never was.
    ///
    /// This and the other readers take the vault mutably because they may have to see what another process wrote.
    pub fn get(&mut self, space: &SpaceName, collection: &str, id: &str) -> Result<Option<Record>> {
        let found = self.read(|vault| vault.find(space, collection, id))?;
        Ok(found.and_then(|(_, versions)| Record::of(versions)))
    }

    /// The records of a collection after the one with the id `after`, at most `limit`, in an order of the vault's own
    /// that stays the same. Damaged ones are left out: see [`Vault::left_out`].
    pub fn list(
        &mut self,
        space: &SpaceName,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        self.read(|vault| vault.page(space, collection, after, limit))
    }

    fn page(
        &self,
        space: &SpaceName,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        let Some(number) = self.collection_number(space, collection) else {
            return Ok(Vec::new());
        };
        let (mut first, last) = places(number);
        if let Some(after) = after {
            let place = match self.find_in(number, after)? {
                Some((place, _)) => place,
                None => self.file.keys.place(number, after),
            };
            if place == last {
                return Ok(Vec::new());
            }
            first = place + 1;
        }
        let mut page = Vec::new();
        if limit == 0 {
            return Ok(page);
        }
        self.each_found((first, last), |place, versions| {
            let versions = self.left_out.unless_damaged(place, versions)?;
            page.extend(versions.and_then(Record::of));
            Ok(if page.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(page)
    }

    /// The place and the settled changes of a record.
    pub(crate) fn find(
        &self,
        space: &SpaceName,
        collection: &str,
        id: &str,
    ) -> Result<Option<Found>> {
        match self.collection_number(space, collection) {
            Some(number) => self.find_in(number, id),
            None => Ok(None),
        }
    }

    fn collection_number(&self, space: &SpaceName, collection: &str) -> Option<u16> {
        self.state.collection(&self.state.space(space), collection)
    }

    /// The same, in the collection with this number.
    pub(crate) fn find_in(&self, number: u16, id: &str) -> Result<Option<Found>> {
        let mut place = self.file.keys.place(number, id);
        while let Some(versions) = self.versions_at(place)? {
            if versions.first().is_some_and(|first| first.change.id == id) {
                return Ok(Some((place, versions)));
            }
            place = next_place(place);
        }
        Ok(None)
    }

    /// The settled changes of the record at `place`; `None` if the place is free.
    pub(crate) fn versions_at(&self, place: i64) -> Result<Option<Versions>> {
        if let Some(parts) = self.state.late.get(place)? {
            return self.open_parts(parts).map(Some);
        }
        // With the row of the index that of the part that it names: the first one that does not end before it.
        let mut statement = self.file.store.sql(
            "SELECT p, t, n, v FROM rec LEFT JOIN op ON n >= p WHERE k = ?1 ORDER BY n LIMIT 1",
        )?;
        let mut rows = statement.query([place])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let (p, t) = (row.get_ref(0)?, row.get_ref(1)?);
        // Most records are in one part.
        let Some(part) = self.file.checked_one(place, p, t) else {
            let parts = self.file.checked(place, p, t)?;
            return self.open_parts(&parts).map(Some);
        };
        match row.get_ref(3)? {
            ValueRef::Blob(bytes) => {
                let row = Row::new(PartNo(row.get(2)?), bytes)?;
                Ok(Some(vec![self.version_in(part, row)?]))
            }
            _ => Err(DAMAGED),
        }
    }

    /// Finds many records, one after the other.
    pub(crate) fn finder(&self) -> Result<Finder<'_>> {
        Ok(Finder {
            vault: self,
            index: self.file.store.sql("SELECT p, t FROM rec WHERE k = ?1")?,
            rows: self.file.store.row_reader()?,
        })
    }

    /// Shows what is at the places `first` to `last`, in their order, until `show` has seen enough.
    pub(crate) fn each_found(
        &self,
        (first, last): (i64, i64),
        mut show: impl FnMut(i64, Result<Versions>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut late = self.state.late.range(first..=last)?.peekable();
        let sql = "SELECT k, p, t FROM rec WHERE k BETWEEN ?1 AND ?2 ORDER BY k";
        let mut statement = self.file.store.sql(sql)?;
        let mut reader = self.file.store.row_reader()?;
        let mut rows = statement.query((first, last))?;
        let mut row = rows.next()?;
        loop {
            let written: Option<i64> = row.map(|row| row.get(0)).transpose()?;
            let next = match (late.peek().copied(), written) {
                (Some((place, parts)), written) if written.is_none_or(|other| place <= other) => {
                    late.next();
                    if written == Some(place) {
                        row = rows.next()?;
                    }
                    show(place, self.open_with(&mut reader, parts))?
                }
                (_, Some(place)) => {
                    let versions = match row {
                        Some(row) => self.read_row(&mut reader, row),
                        None => Ok(Vec::new()),
                    };
                    row = rows.next()?;
                    show(place, versions)?
                }
                (_, None) => ControlFlow::Break(()),
            };
            if next.is_break() {
                return Ok(());
            }
        }
    }

    /// The settled changes in one row of the index.
    fn read_row(&self, reader: &mut RowReader<'_>, row: &rusqlite::Row<'_>) -> Result<Versions> {
        let (place, p, t) = (row.get(0)?, row.get_ref(1)?, row.get_ref(2)?);
        // Most records are in one part.
        match self.file.checked_one(place, p, t) {
            Some(part) => self.open_with(reader, &[part]),
            None => self.open_with(reader, &self.file.checked(place, p, t)?),
        }
    }

    fn open_parts(&self, parts: &[PartNo]) -> Result<Versions> {
        self.open_with(&mut self.file.store.row_reader()?, parts)
    }

    fn open_with(&self, reader: &mut RowReader<'_>, parts: &[PartNo]) -> Result<Versions> {
        let mut versions = Vec::with_capacity(parts.len());
        for part in parts {
            let version = reader.with_row(*part, |row| self.version_in(*part, row))?;
            versions.push(version.ok_or(DAMAGED)?);
        }
        Ok(versions)
    }
}
