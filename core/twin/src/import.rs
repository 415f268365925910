//! Taking in what people have already: an export in the clear, contacts, tables, lists, folders of files.
//!
//! [`Twin::import`] recognises what it is given ([`Form`]). Below it: `bounded` and `entry`, what the readers have in
//! common; `vcard`, `table`, `objects`, `folder`, one for each form; and the records of an export, in this file.

mod bounded;
mod entry;
mod folder;
mod objects;
mod table;
mod vcard;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;
use twin_ops::space::SpaceName;
use twin_ops::value::MAX_FIELD_NAME;
use twin_vault::WriteChange;

use crate::error::{Error, Result};
use crate::export;
use crate::files::FILES;
use crate::json::fields_from_json;
use crate::progress::Watch;
use crate::space::Space;
use crate::twin::Twin;

/// The most bytes of a line: a record fits into an operation, which has at most 1 MiB, and JSON may need six bytes for
/// one.
const MAX_LINE: u64 = 8 << 20;
/// How many records are written at once, and how many bytes of lines: what fits into an operation.
const BATCH: usize = 500;
const BATCH_LEN: usize = 256 << 10;

/// What was imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that were written.
    pub written: u64,
    /// Records that were here already, just so.
    pub same: u64,
    /// What is in the folder and was passed over: hidden files and folders, links.
    pub skipped: u64,
}

/// Where an import goes, where the file does not say.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Space and collection; without a collection it is one that fits: [`FILES`] for a folder, `contacts` for contacts.
    pub to: Option<(SpaceName, Option<String>)>,
    /// The field or column that names a record. Without it the id is made of all fields.
    pub id_field: Option<String>,
}

/// What can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The records of an export in the clear.
    Records,
    /// Objects, one a line.
    Lines,
    /// A list of objects.
    List,
    Table,
    Cards,
    Folder,
}

/// A line of `records.jsonl`; who changed it and when is what it was where it came from.
#[derive(Deserialize)]
struct Line {
    space: String,
    collection: String,
    id: String,
    fields: Json,
    /// The files that it holds, by field, as paths from the folder of the export.
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// A record of an export, with the files that it holds.
struct Exported {
    space: SpaceName,
    change: WriteChange,
    files: Vec<(String, PathBuf)>,
    len: usize,
}

impl Form {
    /// What is at `path`: by the end of its name, else by how it begins.
    fn of(path: &Path, is_given_place: bool) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder);
        }
        let end = path.extension().and_then(|end| end.to_str());
        let end = end.map(str::to_lowercase);
        Ok(match end.as_deref().unwrap_or_default() {
            "vcf" | "vcard" => Self::Cards,
            "csv" | "tsv" => Self::Table,
            _ => {
                let mut file = BufReader::new(File::open(path)?);
                let mut first = Vec::new();
                file.by_ref().take(MAX_LINE).read_until(b'\n', &mut first)?;
                let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&first);
                match text.trim_ascii() {
                    [b'[', ..] => Self::List,
                    b"{" => Self::List,
                    [b'{', ..] if is_given_place => Self::Lines,
                    [b'{', ..] => Self::Records,
                    begin if begin.eq_ignore_ascii_case(b"BEGIN:VCARD") => Self::Cards,
                    _ => return Err(Error::ImportForm),
                }
            }
        })
    }
}

impl Twin {
    /// Takes in the file or folder at `path`: what [`Twin::export_plain`] wrote, contacts (vCard), a table (CSV), JSON
    /// objects, or a folder of files. All of it is looked through first, and nothing is written of what has something
    /// wrong. What is here already just so is left alone, so it can be done again, also after it was broken off.
    ///
    /// # Errors
    /// Among others [`Error::ImportEntry`], which names the line or card.
    pub fn import(
        &self,
        path: &Path,
        options: &ImportOptions,
        watch: &mut Watch<'_>,
    ) -> Result<Imported> {
        let about = path.metadata()?;
        if !about.is_dir() && !about.is_file() {
            // It is read twice.
            return Err(Error::NotAFile);
        }
        let form = Form::of(path, options.to.is_some())?;
        let usual = match form {
            Form::Folder => Some(FILES),
            Form::Cards => Some("contacts"),
            _ => None,
        };
        let to = options.to.as_ref().and_then(|(space, collection)| {
            let collection = collection.clone().or_else(|| Some(usual?.to_owned()))?;
            Some((space.clone(), collection))
        });
        let to = || entry::collection(self, to.as_ref());
        let id = options.id_field.as_deref();
        match form {
            Form::Folder if path.join(export::RECORDS).is_file() && options.to.is_none() => {
                self.import_plain(&path.join(export::RECORDS))
            }
            Form::Folder => folder::take_in(&to()?, path, watch),
            Form::Records => self.import_plain(path),
            Form::Cards => entry::take_in(&to()?, vcard::refusal(), watch, |show| {
                vcard::each(path, show)
            }),
            Form::Table => entry::take_in(&to()?, table::refusal(), watch, |show| {
                table::each(path, id, show)
            }),
            Form::Lines => entry::take_in(&to()?, objects::refusal(true), watch, |show| {
                objects::each_line(path, id, show)
            }),
            Form::List => entry::take_in(&to()?, objects::refusal(false), watch, |show| {
                objects::each_of_list(path, id, show)
            }),
        }
    }

    /// Reads a file of records as [`Twin::export_plain`] writes it, and puts each that is not here just so. A file with
    /// a line that cannot be read changes nothing; one that was broken off can be imported again.
    ///
    /// # Errors
    /// Among others [`Error::ImportLine`] with the number of the line.
    pub fn import_plain(&self, file: &Path) -> Result<Imported> {
        each_line(file, |_| Ok(()))?;
        let mut imported = Imported::default();
        let mut batch = Batch::default();
        each_line(file, |exported| {
            let Exported {
                space,
                mut change,
                files,
                len,
            } = exported;
            let there = self.collection_of(space.clone(), &change.collection);
            let mut stored = Vec::new();
            for (field, path) in files {
                let mut file = File::open(path)?;
                let watch = &mut |_| ControlFlow::Continue(());
                let content = there.space().store(&mut file, None, watch)?;
                change.fields.0.insert(field, content.root().to_value());
                stored.push(content);
            }
            if there
                .get(&change.id)?
                .is_some_and(|record| record.fields == change.fields)
            {
                imported.same += 1;
                return stored
                    .into_iter()
                    .try_for_each(|content| there.space().drop_content(content));
            }
            imported.written += 1;
            if !stored.is_empty() {
                return there.space().commit_files(vec![change], &stored);
            }
            if batch.is_full(&space, len) {
                batch.write(self)?;
            }
            batch.add(space, change, len);
            Ok(())
        })?;
        batch.write(self)?;
        Ok(imported)
    }
}

/// Changes of one space that are written together.
#[derive(Default)]
struct Batch {
    space: Option<SpaceName>,
    changes: Vec<WriteChange>,
    len: usize,
}

impl Batch {
    fn is_full(&self, space: &SpaceName, len: usize) -> bool {
        let other = self.space.as_ref().is_some_and(|own| own != space);
        other || self.changes.len() >= BATCH || self.len + len > BATCH_LEN
    }

    fn add(&mut self, space: SpaceName, change: WriteChange, len: usize) {
        self.space = Some(space);
        self.changes.push(change);
        self.len += len;
    }

    fn write(&mut self, twin: &Twin) -> Result<()> {
        let Self { space, changes, .. } = std::mem::take(self);
        match space {
            Some(space) if !changes.is_empty() => {
                Space::new(twin.clone(), space).commit_imported(changes)
            }
            _ => Ok(()),
        }
    }
}

/// The file that a line names, in the folder of the export: nothing outside it, and no link.
fn beside(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    let mut metadata = None;
    for part in Path::new(name).components() {
        let Component::Normal(part) = part else {
            return None;
        };
        path.push(part);
        let here = path.symlink_metadata().ok()?;
        if here.is_symlink() {
            return None;
        }
        metadata = Some(here);
    }
    metadata?.is_file().then_some(path)
}

fn each_line(path: &Path, mut take: impl FnMut(Exported) -> Result<()>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut file = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let len = file
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut text)?;
        if len == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let wrong = || Error::ImportLine(number);
        if len as u64 > MAX_LINE {
            return Err(wrong());
        }
        let line: Line = serde_json::from_slice(&text).map_err(|_| wrong())?;
        let space = SpaceName::new(&line.space).map_err(|_| wrong())?;
        let fields = fields_from_json(&line.fields).ok_or_else(wrong)?;
        let change = WriteChange::put(&line.collection, &line.id, fields);
        change.check().map_err(|_| wrong())?;
        let files = line.files.into_iter();
        let fits = |field: &str| (1..=MAX_FIELD_NAME).contains(&field.len());
        let files = files.map(|(field, name)| {
            let path = beside(folder, &name).filter(|_| fits(&field))?;
            Some((field, path))
        });
        let files: Option<Vec<_>> = files.collect();
        take(Exported {
            space,
            change,
            files: files.ok_or_else(wrong)?,
            len,
        })?;
    }
    Ok(())
}
