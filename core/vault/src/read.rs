//! Reading records.

use twin_identity::id::DeviceId;
use twin_ops::change::Stamp;
use twin_ops::space::SpaceName;
use twin_ops::value::Fields;

use crate::error::Result;
use crate::index::{next_place, places};
use crate::merge::{Version, fields};
use crate::oplog::{PartNo, StoredPart};
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
    fn of(versions: Vec<Version<PartNo>>) -> Option<Self> {
        let newest = versions.first()?;
        let (id, at) = (newest.change.id.clone(), newest.at);
        Some(Self {
            id,
            fields: fields(versions)?,
            changed: at.stamp,
            by: at.device,
        })
    }
}

/// A row of the index with, if the record is in one part, that part and its op: what a join gives.
pub(crate) const ROWS: &str = "SELECT rec.k, rec.p, rec.t, part.v, op.header, op.salt FROM rec
    LEFT JOIN part ON part.n = rec.p LEFT JOIN op ON op.n = rec.p >> 12";

/// The place and the settled changes of a record.
pub(crate) type Found = (i64, Vec<Version<PartNo>>);

impl Vault {
    /// A record; `None` if it is deleted or never was.
    ///
    /// This and the other readers take the vault mutably because they may have to see what another process wrote.
    pub fn get(&mut self, space: &SpaceName, collection: &str, id: &str) -> Result<Option<Record>> {
        self.fresh(|vault| {
            let found = vault.find(space, collection, id)?;
            Ok(found.and_then(|(_, versions)| Record::of(versions)))
        })
    }

    /// The records of a collection after the one with the id `after`, at most `limit`, in an order of the vault's own
    /// that stays the same.
    pub fn list(
        &mut self,
        space: &SpaceName,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>> {
        let page = self.fresh(|vault| vault.page(space, collection, after, limit))?;
        Ok(page.unwrap_or_default())
    }

    /// Tries to read with what is in memory; looks for what other processes wrote only if that is not enough, as keys,
    /// logs and collections are only ever added.
    fn fresh<T>(&mut self, read: impl Fn(&Self) -> Result<Option<T>>) -> Result<Option<T>> {
        match read(self) {
            Ok(Some(found)) => Ok(Some(found)),
            _ if self.catch_up()? => read(self),
            result => result,
        }
    }

    /// The place and the settled changes of a record.
    fn find(&self, space: &SpaceName, collection: &str, id: &str) -> Result<Option<Found>> {
        let Some(number) = self.state.collection(&space.id(self.twin()), collection) else {
            return Ok(None);
        };
        self.find_in(number, id)
    }

    /// The same, in the collection with this number.
    pub(crate) fn find_in(&self, number: u16, id: &str) -> Result<Option<Found>> {
        let mut place = self.file.keys.place(number, id);
        let mut statement = self.file.store.sql(&format!("{ROWS} WHERE rec.k = ?1"))?;
        loop {
            let mut rows = statement.query([place])?;
            let Some(row) = rows.next()? else {
                return Ok(None);
            };
            let (place_there, versions) = self.read_row(row)?;
            if versions.first().is_some_and(|first| first.change.id == id) {
                return Ok(Some((place_there, versions)));
            }
            place = next_place(place);
        }
    }

    fn page(
        &self,
        space: &SpaceName,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Record>>> {
        let Some(number) = self.state.collection(&space.id(self.twin()), collection) else {
            return Ok(None);
        };
        let (mut first, last) = places(number);
        if let Some(after) = after {
            let place = match self.find(space, collection, after)? {
                Some((place, _)) => place,
                None => self.file.keys.place(number, after),
            };
            if place == last {
                return Ok(Some(Vec::new()));
            }
            first = place + 1;
        }
        let sql = format!("{ROWS} WHERE rec.k BETWEEN ?1 AND ?2 ORDER BY rec.k");
        let mut statement = self.file.store.sql(&sql)?;
        let mut rows = statement.query((first, last))?;
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(row) = rows.next()?
        {
            let (_, versions) = self.read_row(row)?;
            page.extend(Record::of(versions));
        }
        Ok(Some(page))
    }

    /// The place and the settled changes in one row of [`ROWS`].
    pub(crate) fn read_row(&self, row: &rusqlite::Row<'_>) -> Result<Found> {
        let place = row.get(0)?;
        let parts = self.file.checked(place, row.get_ref(1)?, row.get_ref(2)?)?;
        let versions = match parts.as_slice() {
            [part] => {
                let (sealed, header, salt) = (row.get_ref(3)?, row.get_ref(4)?, row.get_ref(5)?);
                vec![self.version(StoredPart::read(*part, sealed, header, salt)?)?]
            }
            parts => parts
                .iter()
                .map(|part| self.version(self.file.store.part(*part)?))
                .collect::<Result<_>>()?,
        };
        Ok((place, versions))
    }
}
