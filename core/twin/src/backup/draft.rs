//! A sealed export that is not finished: written under another name, kept if the work is broken off, and gone on with.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use twin_identity::device::DeviceKeys;
use twin_ops::backup::{
    BackupError, CHUNK_LEN, FileKey, Items, Opened, Opener, Piece, Place, Reading,
};
use zeroize::Zeroizing;

use super::source::{Source, key_of_device};
use crate::error::{Error, Result};
use crate::files::is_there;

/// The file that becomes the export when it is finished. Nobody else writes it meanwhile.
pub(crate) struct Draft {
    pub file: File,
    path: PathBuf,
    target: PathBuf,
}

/// What is left of an export by this device that was broken off.
pub(super) struct Kept {
    pub key: FileKey,
    /// The end of the chunks that stay.
    pub place: Place,
    /// What comes first in the next chunk.
    pub begun: Zeroizing<Vec<u8>>,
    /// Where the first item begins in it.
    pub begins: Option<usize>,
    /// What is in all of it.
    pub reading: Reading,
}

impl Draft {
    /// Makes the file, or takes up what is left of it.
    pub fn open(target: &Path) -> Result<Self> {
        if is_there(target)? {
            return Err(Error::ExportExists);
        }
        let mut name = OsString::from(target.file_name().ok_or(Error::ExportExists)?);
        name.push(".unfinished");
        let path = target.with_file_name(name);
        // Whatever is there that is no file, a link for instance, is not ours.
        match fs::symlink_metadata(&path) {
            Ok(there) if !there.is_file() => return Err(Error::ExportNotOurs),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::ExportBusy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Another program may have finished it just now, and then this is the export.
        if is_there(target)? {
            return Err(Error::ExportExists);
        }
        #[cfg(unix)]
        if let Err(error) =
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
        {
            // Memory sticks know no permissions. What is in the file is sealed all the same.
            log::info!("the permissions of an export cannot be set here: {error}");
        }
        Ok(Self {
            file,
            path,
            target: target.to_owned(),
        })
    }

    /// What is left of an export that this device has begun; `None` if there is nothing to go on with.
    pub(super) fn kept(&mut self, device: &DeviceKeys) -> Result<Option<Kept>> {
        if self.file.metadata()?.len() == 0 {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(0))?;
        let mut source = Source::new(self.file.try_clone()?)?;
        let header = match source.header() {
            Ok(header) => header,
            // It was broken off in its beginning.
            Err(Error::Backup(BackupError::Cut(_) | BackupError::Damaged(_))) => return Ok(None),
            Err(Error::Backup(BackupError::Foreign)) => return Err(Error::ExportNotOurs),
            Err(error) => return Err(error),
        };
        let key = key_of_device(&header, device).ok_or(Error::ExportNotOurs)?;
        Kept::read(source, Reading::new(*header.file()), key)
    }

    /// Begins anew with what cannot be gone on with. What is there has to begin with `magic`, else it is not ours.
    pub fn begin_anew(&mut self, magic: &[u8]) -> Result<()> {
        let mut begins = Vec::with_capacity(magic.len());
        let there = self.file.try_clone()?;
        there.take(magic.len() as u64).read_to_end(&mut begins)?;
        if !magic.starts_with(&begins) {
            return Err(Error::ExportNotOurs);
        }
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(())
    }

    /// Takes it away, where there is nothing to go on with.
    pub fn discard(self) -> Result<()> {
        drop(self.file);
        Ok(fs::remove_file(&self.path)?)
    }

    /// Gives the export its name, once all of it is on the disk.
    pub fn finish(self) -> Result<()> {
        self.file.sync_all()?;
        if is_there(&self.target)? {
            return Err(Error::ExportExists);
        }
        fs::rename(&self.path, &self.target)?;
        #[cfg(unix)]
        {
            let folder = self.target.parent().filter(|path| *path != Path::new(""));
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

impl Kept {
    /// Reads as far as chunks are whole. What stays ends with the last whole item: of the chunk in which that ends, the
    /// beginning is sealed again.
    fn read(mut source: Source, mut reading: Reading, key: FileKey) -> Result<Option<Self>> {
        let Some(mut place) = source.place() else {
            return Ok(None);
        };
        let opener = Opener::new(&key, &place);
        let mut items = Items::default();
        // Chunks that hold more than whole items.
        let mut open: VecDeque<(Place, Opened)> = VecDeque::new();
        loop {
            let opened = match source.piece() {
                // If it was broken off after the last chunk, that one is made anew.
                Ok(Piece::Chunk(chunk)) if !chunk.last => opener.open(&chunk),
                Ok(Piece::Frame | Piece::Header(_)) => continue,
                Ok(Piece::Chunk(_) | Piece::End) | Err(Error::Backup(_)) => break,
                Err(error) => return Err(error),
            };
            let Ok(opened) = opened else { break };
            items.push(opened.content());
            loop {
                match items.take() {
                    Ok(Some(item)) if reading.take(&item).is_ok() => {}
                    Ok(None) => break,
                    // It was sealed for us, and yet not made by us.
                    Ok(Some(_)) | Err(_) => return Ok(None),
                }
            }
            open.push_back((place, opened));
            place = source.place().unwrap_or(place);
            while let Some((first, _)) = open.front()
                && (first.chunks() + 1) * CHUNK_LEN as u64 <= items.taken()
            {
                open.pop_front();
            }
        }
        let (mut begun, mut begins) = (Zeroizing::new(Vec::new()), None);
        if let Some((first, opened)) = open.front() {
            let len = items
                .taken()
                .saturating_sub(first.chunks() * CHUNK_LEN as u64);
            let len = usize::try_from(len).unwrap_or(CHUNK_LEN);
            begun.extend_from_slice(opened.content().get(..len).unwrap_or_default());
            begins = opened.begins().filter(|begins| *begins < len);
            place = *first;
        }
        Ok(Some(Self {
            key,
            place,
            begun,
            begins,
            reading,
        }))
    }
}
