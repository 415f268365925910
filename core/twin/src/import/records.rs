//! The records of an export in the clear, as `core/docs/export.md` describes them: one object a line, and the files that it
//! names beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;
use twin_identity::cbor;
use twin_ops::space::SpaceName;
use twin_ops::value::MAX_FIELD_NAME;
use twin_vault::change::RESERVED;
use twin_vault::schema::SCHEMAS;
use twin_vault::{VaultError, WriteChange};

use super::entry::{Digest, Refusal, Seen, digest};
use super::objects::next_line;
use super::{Batch, Imported, MAX_LINE, exact};
use crate::error::{Error, Result};
use crate::export;
use crate::json::fields_from_json;
use crate::twin::Twin;

const LINE: Refusal = Refusal { what: "line" };

/// A record of an export; who changed it and when is what it was where it came from.
pub(super) struct Exported {
    space: SpaceName,
    change: WriteChange,
    /// The files that it holds, by field.
    files: Vec<(String, PathBuf)>,
    /// The number of its line, and its bytes.
    number: u64,
    len: usize,
}

impl Exported {
    /// All that it is called.
    fn name(&self) -> Vec<u8> {
        let WriteChange { collection, id, .. } = &self.change;
        cbor::encode(&(self.space.as_str(), collection.as_str(), id.as_str()))
    }

    /// What is in it.
    fn content(&self) -> Digest {
        let mut content = cbor::encode(&self.change.fields);
        for (field, path) in &self.files {
            let path = path.to_string_lossy();
            content.extend(cbor::encode(&(field.as_str(), &*path)));
        }
        digest(&content)
    }
}

impl Twin {
    /// Reads a file of records as [`Twin::export_plain`] writes it, and puts each that is not here just so. A file with
    /// a line that cannot be read changes nothing; one that was broken off can be imported again.
    ///
    /// # Errors
    /// Among others [`Error::ImportEntry`] with the number of the line, and [`Error::ImportNewer`] if what it is an export
    /// of says so beside it.
    pub fn import_plain(&self, file: &Path) -> Result<Imported> {
        check_about(&beside_it(file).join(export::ABOUT))?;
        let each = |take: &mut dyn FnMut(Exported) -> Result<()>| {
            each(BufReader::new(File::open(file)?), beside_it(file), take)
        };
        let mut seen = Seen::default();
        each(&mut |exported| {
            let noted = seen.note(&exported.name(), exported.content());
            noted.map_err(|why| LINE.at(exported.number, why))
        })?;
        let mut imported = Imported::default();
        let mut batch = Batch::default();
        each(&mut |exported| {
            let Exported {
                space,
                mut change,
                files,
                len,
                ..
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
            if !imported.count(&there, &change.id, &change.fields)? {
                return stored
                    .into_iter()
                    .try_for_each(|content| there.space().drop_content(content));
            }
            if !stored.is_empty() {
                return there.space().commit_imported(vec![change], &stored);
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

fn beside_it(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Looks at what an export says of itself. A file of records may have been taken out of its folder: then there is nothing.
fn check_about(path: &Path) -> Result<()> {
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_LINE).read_to_end(&mut text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let about: Json = serde_json::from_slice(&text).unwrap_or_default();
    is_about(&about).map(drop)
}

/// Whether this is what an export says of itself.
///
/// # Errors
/// [`Error::ImportNewer`] if it is of a version that is not known here.
fn is_about(json: &Json) -> Result<bool> {
    if json.get("format").and_then(Json::as_str) != Some(export::FORMAT) {
        return Ok(false);
    }
    let version = json.get("version").and_then(Json::as_u64);
    match version.is_some_and(|version| version <= export::VERSION) {
        true => Ok(true),
        false => Err(Error::ImportNewer),
    }
}

/// Shows the records of a text; the files that they name are in `folder`.
pub(super) fn each(
    mut text: impl BufRead,
    folder: &Path,
    take: &mut dyn FnMut(Exported) -> Result<()>,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        if !next_line(&mut text, &mut line, number)? {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |why| LINE.at(number, why);
        let exact = exact::read(&line).map_err(|fault| wrong(fault.why.text()))?;
        if exact.as_text > 0 {
            return Err(wrong(
                "a number in it has more digits than can be kept: put it in quotes",
            ));
        }
        if is_about(&exact.json)? {
            continue;
        }
        take(record(&exact.json, number, line.len(), folder).map_err(wrong)?)?;
    }
    Ok(())
}

/// The record that a line is; if it is none, why.
fn record(
    json: &Json,
    number: u64,
    len: usize,
    folder: &Path,
) -> std::result::Result<Exported, &'static str> {
    const MEMBERS: &str = "it is no record: it needs space, collection, id and fields";
    let text = |name| json.get(name).and_then(Json::as_str).ok_or(MEMBERS);
    let (space, collection, id) = (text("space")?, text("collection")?, text("id")?);
    let space = SpaceName::new(space).map_err(|_| "its space has no name that a space can have")?;
    let fields = json.get("fields").filter(|fields| fields.is_object());
    let fields = fields_from_json(fields.ok_or(MEMBERS)?);
    let fields = fields.ok_or("a field in it is no value as an export has them")?;
    // Of what a twin keeps for itself an export has the schemas.
    if collection.starts_with(RESERVED) && collection != SCHEMAS {
        return Err("its collection is one that a twin keeps for itself: take that line out");
    }
    let change = WriteChange::put(collection, id, fields);
    change.check().map_err(|error| match error {
        VaultError::InvalidChange(why) => why,
        _ => "it cannot be a record",
    })?;
    let files = match json.get("files") {
        Some(files) => named(files).ok_or("what it says of its files is no object of paths")?,
        None => BTreeMap::new(),
    };
    let files = files.into_iter().map(|(field, name)| {
        if !(1..=MAX_FIELD_NAME).contains(&field.len()) {
            return Err("the name of a field with a file is empty or too long");
        }
        let path = beside(folder, name);
        let path = path.ok_or("a file that it names is not beside it: import the whole folder")?;
        Ok((field.to_owned(), path))
    });
    Ok(Exported {
        space,
        change,
        files: files.collect::<std::result::Result<_, _>>()?,
        number,
        len,
    })
}

/// The path of each file, by field.
fn named(files: &Json) -> Option<BTreeMap<&str, &str>> {
    let files = files.as_object()?.iter();
    let files = files.map(|(field, path)| Some((field.as_str(), path.as_str()?)));
    files.collect()
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
