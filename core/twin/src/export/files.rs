//! The files of an export: `files/<space>/<name>`, and which of them a record names.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value as Json, json};
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_vault::VaultError;
use twin_vault::files::Root;

use super::names::safe;
use super::{Draft, Exported};
use crate::error::{Error, Result};
use crate::files::StoredFile;
use crate::progress::{Progress, Watch};
use crate::twin::Twin;

/// The folder with the files.
const FOLDER: &str = "files";
/// How many files are tried to be told apart by a number.
const MAX_ALIKE: u32 = 1_000_000;

/// Writes files beside the records.
pub(super) struct Files<'a> {
    draft: &'a Draft,
    /// The folder of each space.
    spaces: BTreeMap<SpaceName, String>,
    /// The next number to try for a name in a folder, so that many alike take no time.
    numbers: BTreeMap<String, u32>,
}

impl<'a> Files<'a> {
    pub fn new(draft: &'a Draft) -> Self {
        Self {
            draft,
            spaces: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Takes the fields that hold files out of a record, writes the files, and returns what stands for them, and how
    /// many bytes they have. A file that is not on this device stays what it is in the record.
    pub fn write(
        &mut self,
        twin: &Twin,
        space: &SpaceName,
        fields: &mut Fields,
        exported: &mut Exported,
        watch: &mut Watch<'_>,
    ) -> Result<(Map<String, Json>, u64)> {
        let name = match fields.0.get("name") {
            Some(Value::Text(name)) => name.clone(),
            _ => String::new(),
        };
        let roots = fields.0.iter();
        let roots: Vec<(String, Root)> = roots
            .filter_map(|(field, value)| Some((field.clone(), Root::of(value)?)))
            .collect();
        let (mut written, mut len) = (Map::new(), 0);
        for (field, root) in roots {
            if twin.vault().missing_chunks(space, &root, 0)?.count > 0 {
                exported.absent += 1;
                continue;
            }
            let mut stored = StoredFile::new(twin, space, root)?;
            let mut told = |more: Progress| {
                watch(Progress {
                    done: len + more.done,
                    ..more
                })
            };
            let path = match self.write_one(space, &name, &mut stored, &mut told) {
                // What is damaged keeps the rest from nobody.
                Err(Error::Vault(VaultError::Damaged(_))) => {
                    exported.absent += 1;
                    continue;
                }
                path => path?,
            };
            len += stored.len();
            exported.files += 1;
            fields.0.remove(&field);
            written.insert(field, json!(path));
        }
        Ok((written, len))
    }

    fn write_one(
        &mut self,
        space: &SpaceName,
        name: &str,
        stored: &mut StoredFile,
        watch: &mut Watch<'_>,
    ) -> Result<String> {
        let folder = self.folder(space)?;
        let (path, mut file) = self.first_free(&folder, name, Draft::create)?;
        if let Err(error) = stored.copy(&mut file, watch) {
            drop(file);
            self.draft.remove(&path)?;
            return Err(error);
        }
        file.sync_all()?;
        Ok(path)
    }

    fn folder(&mut self, space: &SpaceName) -> Result<String> {
        if let Some(folder) = self.spaces.get(space) {
            return Ok(folder.clone());
        }
        if self.spaces.is_empty() {
            self.draft.make_folder(FOLDER)?;
        }
        let (folder, ()) = self.first_free(FOLDER, space.as_str(), Draft::make_folder)?;
        self.spaces.insert(space.clone(), folder.clone());
        Ok(folder)
    }

    /// Makes something new in a folder, with the first number that is free: also where the file system takes two names
    /// for the same that are not.
    fn first_free<T>(
        &mut self,
        folder: &str,
        name: &str,
        make: impl Fn(&Draft, &str) -> io::Result<T>,
    ) -> Result<(String, T)> {
        let next = format!("{folder}/{}", safe(name, 1).to_lowercase());
        let next = self.numbers.entry(next).or_insert(1);
        while *next <= MAX_ALIKE {
            let path = format!("{folder}/{}", safe(name, *next));
            *next += 1;
            match make(self.draft, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((path, made?)),
            }
        }
        Err(Error::FileExists)
    }
}
