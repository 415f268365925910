//! Taking in what was taken along: the records of an export in the clear, or of any program that writes them so.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;
use twin_ops::space::SpaceName;
use twin_vault::WriteChange;

use crate::error::{Error, Result};
use crate::json::fields_from_json;
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
}

/// A line of `records.jsonl`; who changed it and when is what it was where it came from.
#[derive(Deserialize)]
struct Line {
    space: String,
    collection: String,
    id: String,
    fields: Json,
}

impl Twin {
    /// Reads a file of records as [`Twin::export_plain`] writes it, and puts each that is not here just so. A file with
    /// a line that cannot be read changes nothing; one that was broken off can be imported again.
    ///
    /// # Errors
    /// Among others [`Error::ImportLine`] with the number of the line.
    pub fn import_plain(&self, file: &Path) -> Result<Imported> {
        each_line(file, |_, _, _| Ok(()))?;
        let mut imported = Imported::default();
        let mut batch = Batch::default();
        each_line(file, |space, change, len| {
            let there = self.collection_of(space.clone(), &change.collection);
            if there
                .get(&change.id)?
                .is_some_and(|record| record.fields == change.fields)
            {
                imported.same += 1;
                return Ok(());
            }
            imported.written += 1;
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

fn each_line(
    file: &Path,
    mut take: impl FnMut(SpaceName, WriteChange, usize) -> Result<()>,
) -> Result<()> {
    let mut file = BufReader::new(File::open(file)?);
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
        take(space, change, len)?;
    }
    Ok(())
}
