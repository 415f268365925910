//! A folder: its files, with where they stood in it.
//!
//! What is hidden (begins with a dot) is what programs keep for themselves, and is passed over; so are links, which
//! could lead anywhere, and whatever is neither file nor folder.

use std::fs;
use std::path::{Path, PathBuf};

use twin_ops::value::Value;
use twin_vault::WriteChange;

use super::Imported;
use super::entry::{short_id, text_id};
use crate::error::{Error, Result};
use crate::files::NewFile;
use crate::progress::{Progress, Watch};
use crate::space::Collection;

/// How deep folders may stand in each other.
const MAX_DEPTH: u32 = 64;
/// Where a file stood in the folder.
const PATH: &str = "path";

/// Adds the files of a folder. One that is here with the same path is replaced if it has another content.
pub(super) fn take_in(to: &Collection, folder: &Path, watch: &mut Watch<'_>) -> Result<Imported> {
    let mut found = Found::default();
    found.look(folder, String::new(), MAX_DEPTH)?;
    let mut imported = Imported {
        skipped: found.skipped,
        ..Imported::default()
    };
    let mut done = 0;
    for (relative, path) in found.files {
        let mut told = |progress: Progress| {
            watch(Progress {
                done: done + progress.done,
                total: Some(found.bytes),
                ..progress
            })
        };
        let before = imported;
        done += to.space().anew_if_erased(|| {
            imported = before;
            add(to, &relative, &path, &mut imported, &mut told)
        })?;
    }
    Ok(imported)
}

/// Adds one file, and counts it; its length.
fn add(
    to: &Collection,
    relative: &str,
    path: &Path,
    imported: &mut Imported,
    watch: &mut Watch<'_>,
) -> Result<u64> {
    let (about, mut file) = NewFile::open(path)?;
    let content = to.space().store(&mut file, about.len, watch)?;
    let len = content.root().len();
    let mut fields = about.fields(&content);
    let path = Value::from(relative);
    fields.0.insert(PATH.to_owned(), path);
    let id = text_id(relative);
    if !imported.count(to, &id, &fields)? {
        to.space().drop_content(content)?;
        return Ok(len);
    }
    let change = WriteChange::put(to.name(), &id, fields);
    to.space().commit_imported(vec![change], &[content])?;
    Ok(len)
}

#[derive(Default)]
struct Found {
    files: Vec<(String, PathBuf)>,
    bytes: u64,
    skipped: u64,
}

impl Found {
    fn look(&mut self, folder: &Path, before: String, depth: u32) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::TooDeep);
        };
        let mut entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().into_string().unwrap_or_else(|name| {
                // Two names that are no text may look the same.
                let hash = short_id(name.as_encoded_bytes());
                format!("{}-{hash}", name.to_string_lossy())
            });
            // Of the entry itself: a link is not followed.
            let metadata = entry.metadata()?;
            let relative = format!("{before}{name}");
            if name.starts_with('.') {
                self.skipped += 1;
            } else if metadata.is_dir() {
                self.look(&entry.path(), format!("{relative}/"), depth)?;
            } else if metadata.is_file() {
                self.bytes = self.bytes.saturating_add(metadata.len());
                self.files.push((relative, entry.path()));
            } else {
                self.skipped += 1;
            }
        }
        Ok(())
    }
}
