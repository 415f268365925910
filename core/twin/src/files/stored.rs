//! Reading files, and saving them outside the vault.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use twin_ops::space::SpaceName;
use twin_vault::VaultError;
use twin_vault::files::{FileReader, Root};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::progress::{Watch, tell};
use crate::space::Collection;
use crate::twin::Twin;

/// How many bytes are compared and written at once.
const STEP: usize = 64 << 10;

/// A file of a twin, to be read from any place on. It holds one piece of it in memory, whatever its size.
pub struct StoredFile {
    twin: Twin,
    file: FileReader,
    at: u64,
}

impl Collection {
    /// The file that a record holds.
    ///
    /// # Errors
    /// Among others [`Error::NoSuchFile`] if there is no such record, or it holds no file.
    pub fn open_file(&self, id: &str) -> Result<StoredFile> {
        let root = self.root_of_file(id)?;
        StoredFile::new(self.space().twin(), self.space().name(), root)
    }

    /// Writes the file that a record holds to `path`, where nothing may be, readable by its owner only. What is written
    /// is called `path.unfinished` until all of it is there, and goes on from there when it is called again. Returns
    /// the number of bytes.
    pub fn save_file(&self, id: &str, path: &Path, watch: &mut Watch<'_>) -> Result<u64> {
        self.open_file(id)?.save(path, watch)
    }
}

impl StoredFile {
    pub(crate) fn new(twin: &Twin, space: &SpaceName, root: Root) -> Result<Self> {
        let file = twin.vault().open_file(space, root)?;
        Ok(Self {
            twin: twin.clone(),
            file,
            at: 0,
        })
    }

    /// How many bytes it has.
    pub const fn len(&self) -> u64 {
        self.file.len()
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Read::read`], with the vault's own error.
    fn next(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, VaultError> {
        let len = self
            .twin
            .vault()
            .read_file(&mut self.file, self.at, buffer)?;
        self.at += len as u64;
        Ok(len)
    }

    /// Writes all of it to `to`.
    pub(crate) fn copy(&mut self, to: &mut impl Write, watch: &mut Watch<'_>) -> Result<()> {
        let mut buffer = Zeroizing::new(vec![0; STEP]);
        loop {
            let len = self.next(&mut buffer)?;
            if len == 0 {
                return Ok(());
            }
            to.write_all(buffer.get(..len).unwrap_or_default())?;
            tell(watch, self.at, Some(self.len()))?;
        }
    }

    fn save(&mut self, path: &Path, watch: &mut Watch<'_>) -> Result<u64> {
        let mut name = path.file_name().ok_or(Error::FileExists)?.to_owned();
        name.push(".unfinished");
        let draft = path.with_file_name(name);
        if is_there(path)? {
            return Err(Error::FileExists);
        }
        self.twin.vault().require_all(&self.file)?;
        let mut file = self.begin_or_go_on(&draft)?;
        tell(watch, self.at, Some(self.len()))?;
        self.copy(&mut file, watch)?;
        file.sync_all()?;
        drop(file);
        if is_there(path)? {
            return Err(Error::FileExists);
        }
        fs::rename(&draft, path)?;
        Ok(self.len())
    }

    /// The unfinished file, at the end of what it has in common with this one.
    fn begin_or_go_on(&mut self, draft: &Path) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let mut first = options.clone();
        first.create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut first, 0o600);
        match first.open(draft) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok(opened?),
        }
        // A link would lead somewhere else.
        if !fs::symlink_metadata(draft)?.is_file() {
            return Err(Error::FileExists);
        }
        let mut file = options.open(draft)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let there = file.metadata()?.len();
        let same = self.in_common(&mut file)?;
        if same == 0 && there > 0 && !self.is_empty() {
            // Nothing of this file is in it: it is somebody else's.
            return Err(Error::FileExists);
        }
        file.set_len(same)?;
        file.seek(SeekFrom::Start(same))?;
        self.at = same;
        Ok(file)
    }

    /// How many bytes at the beginning are alike.
    fn in_common(&mut self, file: &mut File) -> Result<u64> {
        let (mut ours, mut theirs) = (Zeroizing::new(vec![0; STEP]), vec![0; STEP]);
        let mut same = 0;
        loop {
            let len = self.next(&mut ours)?;
            let mut piece = file.take(len as u64);
            let mut there = 0;
            while let Some(rest) = theirs.get_mut(there..len).filter(|rest| !rest.is_empty()) {
                match piece.read(rest)? {
                    0 => break,
                    more => there += more,
                }
            }
            let pairs = ours.iter().zip(theirs.iter().take(there));
            let alike = pairs.take_while(|(a, b)| a == b).count();
            same += alike as u64;
            if len == 0 || alike < len {
                return Ok(same);
            }
        }
    }
}

/// Whether something has this name: also a link that leads nowhere.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(io::Error::other)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
