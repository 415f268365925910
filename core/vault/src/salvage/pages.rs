//! The pages of a SQLite file and of its write-ahead log, read without SQLite, which refuses a file whose structure is
//! damaged. Nothing is ever written.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::wal::{At, Wal};
use crate::error::{Result, VaultError};
use crate::store::look_for;
use crate::wal::{self, PAGE};

/// Where the first page says how SQLite's file is made, and by which version of us.
const APPLICATION: usize = 68;
const VERSION: usize = 60;

/// Which version of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// What SQLite would read.
    Sound,
    /// From behind damage in the log.
    Doubtful,
    /// From the file, although SQLite would read another from the log: from the damaged log newer ones may have been
    /// written back.
    Stored,
}

/// The pages of a vault.
pub(super) struct Pages {
    file: File,
    wal: Option<Wal>,
    /// How many pages of the file itself count.
    stored: u32,
    capacity: usize,
    path: PathBuf,
    before: [Option<(u64, SystemTime)>; 2],
}

impl Pages {
    /// Opens the file at `path` and its log for reading.
    pub fn open(path: &Path) -> Result<Self> {
        look_for(path)?;
        let file = File::open(path)?;
        let before = looks(path)?;
        let wal = match File::open(wal::path_of(path)) {
            Ok(file) => Some(Wal::read(file)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let pages = file.metadata()?.len().div_ceil(PAGE as u64);
        // More pages than SQLite can have are none of its.
        let stored = u32::try_from(pages).unwrap_or(u32::MAX - 1);
        let size = wal.as_ref().and_then(Wal::size);
        let stored = stored.min(size.unwrap_or(stored));
        let logged = wal.as_ref().map_or(0, Wal::count);
        let capacity = (stored as usize + logged).saturating_mul(PAGE);
        let path = path.to_owned();
        Ok(Self {
            file,
            wal,
            stored,
            capacity,
            path,
            before,
        })
    }

    /// The numbers of all pages that there are, the lowest first. One in the log alone may be any number if it is damaged,
    /// so what is between it and the others is nothing to go through.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let wal = self.wal.as_ref();
        let last = wal.and_then(Wal::size).unwrap_or(u32::MAX);
        let logged = wal.into_iter();
        (1..=self.stored).chain(logged.flat_map(move |wal| wal.after(self.stored, last)))
    }

    /// The most bytes that pages of the file and its log hold.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// What there is of a page: what SQLite would read, then what may be newer.
    pub fn versions(&self, number: u32) -> Result<Vec<(Layer, Vec<u8>)>> {
        let mut versions = Vec::new();
        let Some((wal, at)) = self.in_wal(number) else {
            let stored = self.stored(number)?;
            return Ok(stored
                .map(|page| (Layer::Sound, page))
                .into_iter()
                .collect());
        };
        match at.sound {
            Some(at) => versions.push((Layer::Sound, wal.page(at)?)),
            None => versions.extend(self.stored(number)?.map(|page| (Layer::Sound, page))),
        }
        for at in at.doubtful() {
            versions.push((Layer::Doubtful, wal.page(at)?));
        }
        if at.sound.is_some() && wal.is_damaged() {
            versions.extend(self.stored(number)?.map(|page| (Layer::Stored, page)));
        }
        Ok(versions)
    }

    /// The version of a page that goes with others of this layer: the newest in it, or else what SQLite would read.
    pub fn in_layer(&self, number: u32, layer: Layer) -> Result<Option<Vec<u8>>> {
        let (sound, doubtful) = match self.in_wal(number) {
            Some((wal, at)) => (
                at.sound.map(|at| (wal, at)),
                at.doubtful().next().map(|at| (wal, at)),
            ),
            None => (None, None),
        };
        let logged = match layer {
            Layer::Sound => sound,
            Layer::Doubtful => doubtful.or(sound),
            Layer::Stored => None,
        };
        match logged {
            Some((wal, at)) => wal.page(at).map(Some),
            None => self.stored(number),
        }
    }

    fn in_wal(&self, number: u32) -> Option<(&Wal, &At)> {
        let wal = self.wal.as_ref()?;
        Some((wal, wal.at(number)?))
    }

    /// Whether what was written last may be missing.
    pub fn is_log_damaged(&self) -> bool {
        self.wal.as_ref().is_some_and(Wal::is_damaged)
    }

    /// Whether the file says that a later version of us has made it.
    pub fn is_newer(&self, application: i32, version: i32) -> Result<bool> {
        let first = self.in_layer(1, Layer::Sound)?.unwrap_or_default();
        let number = |at: usize| {
            let bytes = first.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| i32::from_be_bytes(*bytes))
        };
        Ok(number(APPLICATION) == Some(application)
            && number(VERSION).is_some_and(|there| there > version))
    }

    /// Whether somebody has written to the vault since it was opened here.
    pub fn have_changed(&self) -> Result<bool> {
        Ok(looks(&self.path)? != self.before)
    }

    /// A page of the file itself; of the last one what is there of it.
    fn stored(&self, number: u32) -> Result<Option<Vec<u8>>> {
        let Some(before) = number.checked_sub(1).filter(|before| *before < self.stored) else {
            return Ok(None);
        };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(u64::from(before) * PAGE as u64))?;
        let mut page = Vec::with_capacity(PAGE);
        file.take(PAGE as u64).read_to_end(&mut page)?;
        if page.is_empty() {
            return Ok(None);
        }
        page.resize(PAGE, 0);
        Ok(Some(page))
    }
}

/// How long the files are, and when they were last written.
fn looks(path: &Path) -> Result<[Option<(u64, SystemTime)>; 2]> {
    let look = |path: &Path| match fs::metadata(path) {
        Ok(there) => Ok(Some((there.len(), there.modified()?))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VaultError::from(error)),
    };
    Ok([look(path)?, look(&wal::path_of(path))?])
}
