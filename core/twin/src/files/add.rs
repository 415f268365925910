//! Taking files in.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use twin_ops::change::MAX_RECORD_ID;
use twin_ops::value::{Fields, Value};
use twin_vault::files::{Added, Collecting};
use twin_vault::{VaultError, WriteChange};
use zeroize::Zeroizing;

use super::{CONTENT, MODIFIED, NAME, SIZE, TYPE, media};
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::progress::{Watch, tell};
use crate::space::{Collection, Space};

/// How many bytes are read at once. The vault is free for others in between.
const STEP: usize = 1 << 20;
/// How often an add begins anew, where something that it had found was erased meanwhile.
const TRIES: usize = 3;
/// How many files of one name are told apart by a number.
const MAX_ALIKE: u32 = 10_000;

/// What a record is to say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// When it was last changed, in milliseconds since the Unix epoch.
    pub modified: Option<u64>,
    /// How many bytes it has, if that is known, to tell how far it is.
    pub len: Option<u64>,
}

/// A file that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedFile {
    /// The id of its record.
    pub id: String,
    /// How many bytes it has.
    pub size: u64,
    /// Whether a record was written; not if one of that name holds the same content already.
    pub is_new: bool,
    /// How many chunks were written: none if all of the content is here already.
    pub stored: u64,
}

/// Opens a file that can be read more than once; to open anything else, as a pipe, may take until somebody writes to it.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    if !path.metadata()?.is_file() {
        return Err(Error::NotAFile);
    }
    Ok(File::open(path)?)
}

/// A file that is not to change while it is read: half of what it was and half of what it is, it never was.
pub(crate) struct Unchanged {
    file: File,
    begun: (u64, Option<SystemTime>),
}

impl Read for Unchanged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        if len == 0 && looks(&self.file.metadata()?) != self.begun {
            return Err(io::Error::other("it changed while it was read, try again"));
        }
        Ok(len)
    }
}

/// How long a file is, and when it was last written, if that is known.
fn looks(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

impl NewFile {
    /// A file called `name`.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            media_type: media::of_name(name).to_owned(),
            modified: None,
            len: None,
        }
    }

    /// The file at `path`, opened; reading it to its end fails if it has changed meanwhile.
    pub(crate) fn open(path: &Path) -> Result<(Self, Unchanged)> {
        let file = open_file(path)?;
        let begun @ (len, modified) = looks(&file.metadata()?);
        let name = path.file_name().ok_or(Error::NotAFile)?;
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let about = Self {
            modified: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
            len: Some(len),
            ..Self::named(&name.to_string_lossy())
        };
        Ok((about, Unchanged { file, begun }))
    }

    pub(crate) fn fields(&self, content: &Added) -> Fields {
        let size = i64::try_from(content.root().len()).unwrap_or(i64::MAX);
        let mut fields = vec![
            (NAME, Value::from(self.name.as_str())),
            (TYPE, Value::from(self.media_type.as_str())),
            (SIZE, Value::Int(size)),
            (CONTENT, content.root().to_value()),
        ];
        if let Some(modified) = self.modified.and_then(|at| i64::try_from(at).ok()) {
            fields.push((MODIFIED, Value::Int(modified)));
        }
        let fields = fields.into_iter();
        Fields(
            fields
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}

impl Collection {
    /// Adds the file at `path`, under its name. One that has the same name and other content gets a number behind it;
    /// one that is here just so is left alone, and of one that changes meanwhile nothing is added. An add that was broken
    /// off finds again what it has stored.
    pub fn add_file(&self, path: &Path, watch: &mut Watch<'_>) -> Result<AddedFile> {
        self.space().anew_if_erased(|| {
            let (about, mut file) = NewFile::open(path)?;
            self.add_content(&about, &mut file, watch)
        })
    }

    /// Adds a file from anything that can be read.
    pub fn add_content(
        &self,
        about: &NewFile,
        source: &mut impl Read,
        watch: &mut Watch<'_>,
    ) -> Result<AddedFile> {
        let content = self.space().store(source, about.len, watch)?;
        let (id, is_there) = match self.free_id(&about.name, &content) {
            Ok(found) => found,
            Err(error) => {
                self.space().drop_content(content)?;
                return Err(error);
            }
        };
        let added = AddedFile {
            id,
            size: content.root().len(),
            is_new: !is_there,
            stored: content.stored(),
        };
        if is_there {
            self.space().drop_content(content)?;
            return Ok(added);
        }
        let change = WriteChange::put(self.name(), &added.id, about.fields(&content));
        self.space().commit_files(vec![change], &[content])?;
        Ok(added)
    }

    /// The id for a file of this name, and whether a record of it holds the content already.
    fn free_id(&self, name: &str, content: &Added) -> Result<(String, bool)> {
        let value = content.root().to_value();
        for number in 1..=MAX_ALIKE {
            let id = numbered(name, number);
            match self.get(&id)? {
                None => return Ok((id, false)),
                Some(record) if record.fields.0.get(CONTENT) == Some(&value) => {
                    return Ok((id, true));
                }
                Some(_) => {}
            }
        }
        Err(Error::FileExists)
    }
}

impl Space {
    /// Adds a file, and begins anew where a file that has something in common with it was erased meanwhile.
    pub(crate) fn anew_if_erased<T>(&self, mut add: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..TRIES {
            match add() {
                // First all of what was erased goes.
                Err(Error::Vault(VaultError::AddingEnded)) => {
                    self.twin().vault().drop_erased_files()?;
                }
                added => return added,
            }
        }
        add()
    }

    /// Stores a content; no record names it yet. If that fails what was stored waits for a day, to be found again; if the
    /// disk has no room for all of it, nothing does.
    pub(crate) fn store(
        &self,
        source: &mut impl Read,
        total: Option<u64>,
        watch: &mut Watch<'_>,
    ) -> Result<Added> {
        let twin = self.twin();
        let began = twin.now();
        let mut writer = twin.vault().begin_file(began, &mut rng(), self.name())?;
        let mut buffer = Zeroizing::new(vec![0; STEP]);
        loop {
            let step = read_full(source, &mut buffer).map_err(Error::from);
            let step = step.and_then(|len| {
                let bytes = buffer.get(..len).unwrap_or_default();
                twin.vault().push_file(twin.now(), &mut writer, bytes)?;
                tell(watch, writer.len(), total)?;
                Ok(len)
            });
            match step {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    twin.vault().abandon_file(writer)?;
                    return Err(self.not_stored(error, began, total));
                }
            }
        }
        let finished = twin.vault().finish_file(twin.now(), writer);
        finished.map_err(|error| self.not_stored(error.into(), began, total))
    }

    /// Why a content of `total` bytes was not stored. If the disk has no room for it, what it left goes, and how much room it
    /// lacks is told, if that is known.
    fn not_stored(&self, error: Error, began: u64, total: Option<u64>) -> Error {
        if !matches!(error, Error::Vault(VaultError::DiskFull)) {
            return error;
        }
        let twin = self.twin();
        let mut collecting = Collecting::since(began);
        let gone = loop {
            match twin.collect_some(&mut collecting) {
                Ok(true) => {}
                end => break end,
            }
        };
        if let Err(error) = gone {
            log::warn!("what was stored of a file is still here for a day: {error}");
        }
        let lacks = total.map_or(0, |total| twin.vault().lacks_room(total));
        match lacks {
            0 => VaultError::DiskFull.into(),
            lacks => Error::NoRoom(lacks),
        }
    }

    pub(crate) fn drop_content(&self, content: Added) -> Result<()> {
        Ok(self.twin().vault().drop_file(content)?)
    }

    /// As [`Space::commit`], with records that name contents stored before.
    pub(crate) fn commit_files(&self, changes: Vec<WriteChange>, files: &[Added]) -> Result<()> {
        let twin = self.twin();
        let now = twin.now();
        twin.vault()
            .commit_files(now, &mut rng(), self.name(), changes, files)?;
        twin.notify();
        Ok(())
    }
}

/// Reads until the buffer is full or there is no more.
fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// A record's id for the `number`th file of a name, cut to what an id may have.
fn numbered(name: &str, number: u32) -> String {
    let (stem, end) = match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && end.len() <= 16 => (stem, format!(".{end}")),
        _ => (name, String::new()),
    };
    let tail = match number {
        1 => end,
        number => format!(" ({number}){end}"),
    };
    let stem = if stem.is_empty() { "file" } else { stem };
    let cut = stem.floor_char_boundary(MAX_RECORD_ID.saturating_sub(tail.len()));
    format!("{}{tail}", stem.get(..cut).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_numbers_and_fit() {
        assert_eq!(numbered("photo.jpg", 1), "photo.jpg");
        assert_eq!(numbered("photo.jpg", 2), "photo (2).jpg");
        assert_eq!(numbered(".profile", 3), ".profile (3)");
        assert_eq!(numbered("", 1), "file");
        assert_eq!(numbered("a", 12), "a (12)");
        let long = numbered(&format!("{}.jpg", "ü".repeat(200)), 7);
        assert!(
            long.len() <= MAX_RECORD_ID && long.ends_with("ü (7).jpg"),
            "{long}"
        );
    }
}
