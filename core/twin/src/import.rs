//! Taking in what people have already: an export in the clear, contacts, tables, lists, folders of files.
//!
//! [`Twin::import`] recognises what it is given ([`Form`]). Below it: `bounded` and `entry`, what the readers have in
//! common; `records` of an export, `vcard`, `table`, `objects`, `folder`, one for each form; `exact`, `digits` and
//! `elements`, what JSON is read with.

mod bounded;
pub(crate) mod digits;
mod elements;
mod entry;
mod exact;
mod folder;
mod objects;
mod quotes;
#[cfg(any(test, fuzzing))]
pub(crate) mod readers;
mod records;
mod table;
mod vcard;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use twin_ops::space::SpaceName;
use twin_vault::WriteChange;

use crate::error::{Error, Result};
use crate::export;
use crate::files::FILES;
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
    /// How many of these have replaced what was here under their ids.
    pub replaced: u64,
    /// Records that were here already, just so.
    pub same: u64,
    /// What is in the folder and was passed over: hidden files and folders, links.
    pub skipped: u64,
    /// Rows of a table with nothing in them, which were passed over.
    pub empty: u64,
    /// Numbers that are kept as text, since they have more digits than a value holds.
    pub as_text: u64,
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
        let open = || Ok::<_, Error>(BufReader::new(File::open(path)?));
        let id = options.id_field.as_deref();
        match form {
            Form::Folder if path.join(export::RECORDS).is_file() && options.to.is_none() => {
                self.import_plain(&path.join(export::RECORDS))
            }
            Form::Folder => folder::take_in(&to()?, path, watch),
            Form::Records => self.import_plain(path),
            Form::Cards => entry::take_in(&to()?, vcard::refusal(), watch, |show| {
                vcard::each(open()?, show)
            }),
            Form::Table => {
                let mut empty = 0;
                let table = &mut |show: entry::Show<'_>| {
                    empty = table::each(File::open(path)?, id, show)?;
                    Ok(())
                };
                let imported = entry::take_in(&to()?, table::refusal(), watch, table)?;
                Ok(Imported { empty, ..imported })
            }
            Form::Lines => entry::take_in(&to()?, objects::refusal(true), watch, |show| {
                objects::each_line(open()?, id, show)
            }),
            Form::List => entry::take_in(&to()?, objects::refusal(false), watch, |show| {
                objects::each_of_list(open()?, id, show)
            }),
        }
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
                Space::new(twin.clone(), space).commit_imported(changes, &[])
            }
            _ => Ok(()),
        }
    }
}
