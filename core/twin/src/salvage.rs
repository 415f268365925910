//! A new vault of what still verifies in a damaged one, and what could not be kept in it, in the clear.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use serde_json::json;
use twin_vault::Unlock;
use twin_vault::salvage::{Header, RestRecord, Salvaged, salvage};

use crate::error::{Error, Result};
use crate::export;
use crate::files::is_there;
use crate::json::fields_to_json;
use crate::platform::{Clock, SystemClock, rng};
use crate::twin::Twin;

impl Twin {
    /// Makes a vault in the new folder `to` of all that still verifies in the damaged one in `home`, which is only read.
    /// See [`salvage`].
    ///
    /// The newest content of some records may be known only from operations that could not be kept: with `rest`, they
    /// are written to a new file of that name, **unencrypted**, in the form that [`Twin::import`] reads. It is there
    /// only if there are such records.
    pub fn salvage(
        home: &Path,
        unlock: Unlock<'_>,
        header: Header,
        to: &Path,
        rest: Option<&Path>,
    ) -> Result<Salvaged> {
        let mut lines = match rest {
            Some(path) => Some(Lines::new(path)?),
            None => None,
        };
        let now = SystemClock.now();
        let saved = salvage(home, to, unlock, header, now, &mut rng(), &mut |record| {
            lines.as_mut().map_or(Ok(()), |lines| lines.write(&record))
        })?;
        if let Some(lines) = lines {
            lines.finish()?;
        }
        Ok(saved)
    }
}

/// A file of records, which is there when it is whole.
struct Lines {
    path: PathBuf,
    unfinished: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Lines {
    fn new(path: &Path) -> Result<Self> {
        let mut name = path.file_name().ok_or(Error::ExportExists)?.to_owned();
        name.push(".unfinished");
        let unfinished = path.with_file_name(name);
        for there in [path, &unfinished] {
            if is_there(there)? {
                return Err(Error::ExportExists);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            file: None,
        })
    }

    fn write(&mut self, record: &RestRecord) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(export::create(&self.unfinished)?)),
        };
        let line = json!({
            "space": record.space.as_str(),
            "collection": record.collection,
            "id": record.id,
            "fields": fields_to_json(&record.fields),
            "changed": record.changed.millis(),
            "by": record.by.map(|by| by.to_string()),
        });
        export::line(file, &line).map(drop)
    }

    fn finish(mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.into_inner().map_err(io::Error::from)?.sync_all()?;
            fs::rename(&self.unfinished, &self.path)?;
        }
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // What is left is of a salvage that failed.
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(&self.unfinished)
        {
            log::warn!("an unfinished file could not be removed: {error}");
        }
    }
}
