//! A vault, through the front door.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use twin::{Collection, Fields, Space, Twin, Unlock, Value, WriteChange};

use super::rows::Row;
use super::store::{Failure, Store};

const PASSWORD: Unlock<'_> = Unlock::Password("only measured");

pub struct Sealed {
    space: Space,
    collections: BTreeMap<String, Collection>,
    path: PathBuf,
}

impl Sealed {
    pub fn create(dir: &Path) -> Result<Self, Failure> {
        Self::of_twin(
            &Twin::create(dir, PASSWORD, Twin::new_words(), "measured", "machine")?,
            dir,
        )
    }

    /// Opens it again.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        Self::of_twin(&Twin::open(dir, PASSWORD)?, dir)
    }

    fn of_twin(twin: &Twin, dir: &Path) -> Result<Self, Failure> {
        Ok(Self {
            space: twin.space("home")?,
            collections: BTreeMap::new(),
            path: dir.join(twin_vault::FILE_NAME),
        })
    }

    /// The space that the records are in.
    pub const fn space(&self) -> &Space {
        &self.space
    }

    fn of(&mut self, row: &Row) -> &Collection {
        // An app keeps what it works with at hand; `entry` would copy the name each time.
        if !self.collections.contains_key(&row.collection) {
            let collection = self.space.collection(&row.collection);
            self.collections.insert(row.collection.clone(), collection);
        }
        &self.collections[&row.collection]
    }
}

/// A record's content as the vault takes it.
pub fn change(row: &Row) -> WriteChange {
    let fields = [
        ("name", Value::Text(row.name.clone())),
        ("note", Value::Text(row.note.clone())),
        ("count", Value::Int(row.count)),
        ("done", Value::Bool(row.done)),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    WriteChange::put(&row.collection, &row.id, Fields(fields.into()))
}

impl Store for Sealed {
    fn write(&mut self, rows: &[Row]) -> Result<(), Failure> {
        Ok(self.space.commit(rows.iter().map(change).collect())?)
    }

    fn get(&mut self, row: &Row) -> Result<usize, Failure> {
        let record = self.of(row).get(&row.id)?;
        let record = record.ok_or("a record is missing")?;
        Ok(match record.fields.0.get("note") {
            Some(Value::Text(note)) => note.len(),
            _ => 0,
        })
    }

    fn list(&mut self, after: &Row, limit: usize) -> Result<usize, Failure> {
        Ok(self.of(after).list(Some(&after.id), limit)?.len())
    }

    fn patch(&mut self, row: &Row, name: &str) -> Result<(), Failure> {
        let fields = Fields([("name".to_owned(), Value::from(name))].into());
        Ok(self.of(row).patch(&row.id, fields)?)
    }

    fn close(self) -> Result<u64, Failure> {
        drop(self.collections);
        drop(self.space);
        Ok(std::fs::metadata(self.path)?.len())
    }
}
