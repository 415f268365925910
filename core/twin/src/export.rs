//! Taking all of it along, in the clear: a folder of JSON Lines that any program can read, and files as they are.
//! `core/docs/export.md` describes it.

mod files;
mod names;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::iter;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use twin_identity::device::Role;
use twin_ops::space::SpaceName;
use twin_vault::schema::SCHEMAS;

use crate::activity::ACTIVITY;
use crate::devices::DeviceState;
use crate::error::{Error, Result};
use crate::files::is_there;
use crate::json::fields_to_json;
use crate::progress::{Progress, Watch, tell};
use crate::space::Space;
use crate::twin::Twin;

/// The file with the records, one a line.
pub const RECORDS: &str = "records.jsonl";

/// The file that says what the export is.
pub(crate) const ABOUT: &str = "twin.json";
/// What it calls the format, and the version that is written here.
pub(crate) const FORMAT: &str = "digital-twin-plain";
pub(crate) const VERSION: u64 = 1;

const SITES: &str = "sites.jsonl";
const ACTIVITIES: &str = "activity.jsonl";
const README: &str = "README.txt";
const PAGE: usize = 500;

/// For whoever finds the folder.
const TEXT: &str = "This folder holds everything that one digital twin knew, in the clear: whoever has it can read it.

twin.json       the twin and its devices
records.jsonl   every record, one JSON object a line: space, collection, id, fields,
                changed (milliseconds since 1970-01-01 UTC) and by (the id of the device that changed it last).
                Bytes are {\"hex\": \"...\"}, moments {\"timestamp\": \"...\"}, sets {\"set\": [...]},
                counters {\"counter\": 5}, other records {\"ref\": [collection, id]}.
                The collection \"~schema\" says what the fields of the others are.
                If it holds files, then also files: the path of each, by field.
files           photos, documents and other files, in a folder for each space
sites.jsonl     where you have signed in, and as whom (only from a device that may replace the phone)
activity.jsonl  what has happened: logins, links, removals (only from a device that may replace the phone)
";

/// A name for a file outside the vault, made of what a record calls it: it leads nowhere, and is a plain name on every
/// system.
pub fn plain_file_name(name: &str) -> String {
    names::safe(name, 1)
}

/// What was exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Spaces.
    pub spaces: u64,
    /// Collections with at least one record; that of a space's schemas is one.
    pub collections: u64,
    /// Records.
    pub records: u64,
    /// Files.
    pub files: u64,
    /// Files that are not on this device, or not all of them: only their records were exported.
    pub absent: u64,
    /// Records that could not be read because they are damaged, these and any that were met before: see
    /// [`Twin::left_out`].
    pub left_out: usize,
}

impl Twin {
    /// Writes all records of all spaces into a new folder, **unencrypted**, readable by its owner only, with the list
    /// of devices and, on a device that may replace the phone, the sites and what has happened. No key and no secret is in it.
    ///
    /// The folder is there when all of it is, or not at all: whoever watches is told of the bytes that are written, and
    /// if they stop it nothing is left. What is written to the twin meanwhile may be in it or not.
    pub fn export_plain(&self, folder: &Path, watch: &mut Watch<'_>) -> Result<Exported> {
        let draft = Draft::new(folder)?;
        draft.write(ABOUT, |file| line(file, &self.about()?).map(drop))?;
        let exported = draft.write(RECORDS, |file| self.write_records(file, &draft, watch))?;
        if self.is_admin() {
            draft.write(SITES, |file| {
                self.sites()?.iter().try_for_each(|site| {
                    let (name, persona) = (&site.site, site.persona);
                    line(file, &json!({"site": name, "persona": persona})).map(drop)
                })
            })?;
            let activity = self.collection_of(SpaceName::keys(), ACTIVITY);
            draft.write(ACTIVITIES, |file| {
                activity.each(PAGE, |record| {
                    line(file, &fields_to_json(&record.fields)).map(drop)
                })
            })?;
        }
        draft.finish()?;
        Ok(Exported {
            left_out: self.left_out(),
            ..exported
        })
    }

    fn about(&self) -> Result<Json> {
        let devices = self.devices()?.into_iter().map(|device| {
            json!({
                "id": device.id.to_string(),
                "name": device.name,
                "may_replace_phone": device.role == Role::Admin,
                "active": device.state == DeviceState::Active,
            })
        });
        Ok(json!({
            "format": FORMAT,
            "version": VERSION,
            "twin": self.id().to_string(),
            "name": self.name()?,
            "exported": self.now(),
            "devices": devices.collect::<Vec<_>>(),
        }))
    }

    fn write_records(
        &self,
        file: &mut impl Write,
        draft: &Draft,
        watch: &mut Watch<'_>,
    ) -> Result<Exported> {
        let mut done = 0;
        let mut exported = Exported::default();
        let mut files = files::Files::new(draft);
        for name in self.spaces()? {
            exported.spaces += 1;
            let space = Space::new(self.clone(), name.clone());
            let schemas = iter::once(SCHEMAS.to_owned());
            for collection in schemas.chain(space.collections()?) {
                let before = exported.records;
                space.collection(&collection).each(PAGE, |mut record| {
                    exported.records += 1;
                    let fields = &mut record.fields;
                    let mut told = |more: Progress| {
                        watch(Progress {
                            done: done + more.done,
                            total: None,
                            ..more
                        })
                    };
                    let (written, len) =
                        files.write(self, &name, fields, &mut exported, &mut told)?;
                    let mut json = json!({
                        "space": name.as_str(),
                        "collection": collection,
                        "id": record.id,
                        "fields": fields_to_json(&record.fields),
                        "changed": record.changed.millis(),
                        "by": record.by.to_string(),
                    });
                    if let (false, Some(json)) = (written.is_empty(), json.as_object_mut()) {
                        json.insert("files".to_owned(), Json::Object(written));
                    }
                    done += len + line(file, &json)?;
                    tell(watch, done, None)
                })?;
                exported.collections += u64::from(exported.records > before);
            }
        }
        Ok(exported)
    }
}

/// Writes a line and returns its length.
pub(crate) fn line(file: &mut impl Write, json: &Json) -> Result<u64> {
    let mut text = json.to_string();
    text.push('\n');
    file.write_all(text.as_bytes())?;
    Ok(text.len() as u64)
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Takes a folder over that was begun by an export in the clear which does not go on.
fn take_over(path: &Path) -> Result<File> {
    let is_folder = path.symlink_metadata().is_ok_and(|there| there.is_dir());
    let readme = path.join(README);
    let begun = fs::read(&readme).is_ok_and(|text| TEXT.as_bytes().starts_with(&text));
    if !is_folder || !begun {
        return Err(Error::ExportNotOurs);
    }
    let file = File::open(&readme)?;
    file.try_lock().map_err(|_| Error::ExportBusy)?;
    Ok(file)
}

/// A new file, readable by its owner only.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A folder that is not there yet; what is left of one that is not finished goes.
struct Draft {
    path: PathBuf,
    folder: PathBuf,
    /// Its first file, which nobody else takes for one that is left.
    _lock: File,
}

impl Draft {
    fn new(folder: &Path) -> Result<Self> {
        if is_there(folder)? {
            return Err(Error::ExportExists);
        }
        let mut name = folder.file_name().ok_or(Error::ExportExists)?.to_owned();
        name.push(".unfinished");
        let path = folder.with_file_name(name);
        match make_folder(&path) {
            // Left by one that was killed: it is begun anew, and what there is of it lies about no longer.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let _lock = take_over(&path)?;
                fs::remove_dir_all(&path)?;
                make_folder(&path)?;
            }
            made => made?,
        }
        let mut readme = create(&path.join(README))?;
        readme.try_lock().map_err(|_| Error::ExportBusy)?;
        let draft = Self {
            path,
            folder: folder.to_owned(),
            _lock: readme.try_clone()?,
        };
        readme.write_all(TEXT.as_bytes())?;
        readme.sync_all()?;
        Ok(draft)
    }

    /// A new folder in this one.
    fn make_folder(&self, name: &str) -> io::Result<()> {
        make_folder(&self.path.join(name))
    }

    /// Removes a file that was begun in this folder.
    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// A new file in this folder.
    fn create(&self, name: &str) -> io::Result<File> {
        create(&self.path.join(name))
    }

    fn write<T>(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<T>,
    ) -> Result<T> {
        let mut file = BufWriter::new(self.create(name)?);
        let done = write(&mut file)?;
        file.into_inner().map_err(io::Error::from)?.sync_all()?;
        Ok(done)
    }

    fn finish(self) -> Result<()> {
        Ok(fs::rename(&self.path, &self.folder)?)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it was finished there is nothing left of this name.
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("an unfinished export could not be removed: {error}");
        }
    }
}
