//! Spaces, collections and records: what an app reads and writes.

use std::collections::BTreeMap;

use twin_ops::change::Kind;
use twin_ops::space::SpaceName;
use twin_ops::value::Fields;
use twin_vault::files::Added;
use twin_vault::{FieldEdit, Record, WriteChange};

use crate::error::Result;
use crate::platform::rng;
use crate::twin::Twin;

/// A space of a twin.
#[derive(Debug, Clone)]
pub struct Space {
    pub(crate) twin: Twin,
    name: SpaceName,
}

/// A collection of a space.
#[derive(Debug, Clone)]
pub struct Collection {
    pub(crate) space: Space,
    pub(crate) name: String,
}

impl Space {
    pub(crate) const fn new(twin: Twin, name: SpaceName) -> Self {
        Self { twin, name }
    }

    /// Its name.
    pub const fn name(&self) -> &SpaceName {
        &self.name
    }

    pub(crate) const fn twin(&self) -> &Twin {
        &self.twin
    }

    /// A collection of this space. It comes into being with its first record.
    pub fn collection(&self, name: &str) -> Collection {
        Collection {
            space: self.clone(),
            name: name.to_owned(),
        }
    }

    /// The names of its collections; without the reserved ones, which begin with `~`.
    pub fn collections(&self) -> Result<Vec<String>> {
        Ok(self.twin.vault().collections(&self.name)?)
    }

    /// Commits what was taken along from a twin, with the contents that it names: no schema is asked, and schemas may be among
    /// it.
    pub(crate) fn commit_imported(&self, changes: Vec<WriteChange>, files: &[Added]) -> Result<()> {
        let now = self.twin.now();
        self.twin
            .vault()
            .commit_imported(now, &mut rng(), &self.name, changes, files)?;
        self.twin.notify();
        Ok(())
    }

    /// Commits changes to any number of records as one signed op: all of them, or none.
    pub fn commit(&self, changes: Vec<WriteChange>) -> Result<()> {
        let now = self.twin.now();
        self.twin
            .vault()
            .commit(now, &mut rng(), &self.name, changes)?;
        self.twin.notify();
        Ok(())
    }
}

impl Collection {
    pub(crate) const fn space(&self) -> &Space {
        &self.space
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn twin(&self) -> &Twin {
        &self.space.twin
    }

    /// Makes the record exactly these fields.
    pub fn put(&self, id: &str, fields: Fields) -> Result<()> {
        self.change(Kind::Put, id, fields)
    }

    /// Changes these fields and leaves the others.
    pub fn patch(&self, id: &str, fields: Fields) -> Result<()> {
        self.change(Kind::Patch, id, fields)
    }

    /// Deletes the record; a later put or patch, also one made elsewhere meanwhile, brings it back.
    pub fn delete(&self, id: &str) -> Result<()> {
        self.change(Kind::Delete, id, Fields::default())
    }

    /// A record, if there is one.
    pub fn get(&self, id: &str) -> Result<Option<Record>> {
        let mut vault = self.space.twin.vault();
        Ok(vault.get(&self.space.name, &self.name, id)?)
    }

    /// At most `limit` records after the one called `after`, in the order of the vault's index.
    pub fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let mut vault = self.space.twin.vault();
        Ok(vault.list(&self.space.name, &self.name, after, limit)?)
    }

    /// All records, read `page` at a time.
    pub fn list_all(&self, page: usize) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        self.each(page, |record| {
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    /// Shows all records one by one, read `page` at a time: no more of them are held at once.
    pub(crate) fn each(
        &self,
        page: usize,
        mut show: impl FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let next = self.list(after.as_deref(), page)?;
            let is_last = next.len() < page;
            after = next.last().map(|record| record.id.clone());
            next.into_iter().try_for_each(&mut show)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn change(&self, kind: Kind, id: &str, fields: Fields) -> Result<()> {
        self.edit(id, kind, fields, BTreeMap::new())
    }

    /// Changes these fields and edits those, and leaves the others. See [`FieldEdit`].
    pub fn patch_with(
        &self,
        id: &str,
        fields: Fields,
        edits: BTreeMap<String, FieldEdit>,
    ) -> Result<()> {
        self.edit(id, Kind::Patch, fields, edits)
    }

    fn edit(
        &self,
        id: &str,
        kind: Kind,
        fields: Fields,
        edits: BTreeMap<String, FieldEdit>,
    ) -> Result<()> {
        self.space.commit(vec![WriteChange {
            collection: self.name.clone(),
            id: id.to_owned(),
            kind,
            fields,
            edits,
        }])
    }
}
