//! A sealed export that is read, a chunk at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use twin_identity::device::DeviceKeys;
use twin_identity::seal::SealingKey;
use twin_ops::backup::{
    BackupError, Container, FileKey, Header, Item, Items, Opener, Piece, Place, Reading,
};

use crate::error::{Error, Result};
use crate::files::open_file;
use crate::progress::{Watch, tell};

/// A sealed export that is read from its beginning.
pub(super) struct Source {
    file: BufReader<File>,
    container: Container,
    bytes: Vec<u8>,
    done: u64,
    total: u64,
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(open_file(path)?)
    }

    pub fn new(file: File) -> Result<Self> {
        Ok(Self {
            total: file.metadata()?.len(),
            file: BufReader::new(file),
            container: Container::default(),
            bytes: Vec::new(),
            done: 0,
        })
    }

    /// The next piece, which is as it was written.
    pub fn piece(&mut self) -> Result<Piece<'_>> {
        self.bytes.clear();
        let wanted = self.container.wanted() as u64;
        let mut next = self.file.by_ref().take(wanted);
        self.done += next.read_to_end(&mut self.bytes)? as u64;
        Ok(self.container.take(&self.bytes)?)
    }

    /// Reads up to the header.
    pub fn header(&mut self) -> Result<Header> {
        loop {
            match self.piece()? {
                Piece::Header(header) => return Ok(header),
                Piece::Frame => {}
                Piece::Chunk(_) | Piece::End => return Err(BackupError::Foreign.into()),
            }
        }
    }

    /// Where it stands; `None` before the header.
    pub const fn place(&self) -> Option<Place> {
        self.container.place()
    }

    /// How many bytes were read, and how many there are.
    pub const fn progress(&self) -> (u64, u64) {
        (self.done, self.total)
    }

    /// Shows all items, to the end of the file.
    pub fn each_item(
        mut self,
        key: &FileKey,
        watch: &mut Watch<'_>,
        mut show: impl FnMut(Item) -> Result<()>,
    ) -> Result<()> {
        let place = self.place().ok_or(BackupError::Foreign)?;
        let opener = Opener::new(key, &place);
        let mut items = Items::default();
        loop {
            match self.piece()? {
                Piece::Chunk(chunk) => {
                    items.push(opener.open(&chunk)?.content());
                    let last = chunk.last;
                    while let Some(item) = items.take()? {
                        show(item)?;
                    }
                    if items.is_over() != last {
                        return Err(BackupError::Content("its end is in the wrong place").into());
                    }
                }
                Piece::End => return Ok(()),
                Piece::Frame | Piece::Header(_) => {}
            }
            let (done, total) = self.progress();
            tell(watch, done, Some(total))?;
        }
    }

    /// Reads and verifies all of it, and shows each item.
    pub fn verify(
        self,
        header: &Header,
        key: &FileKey,
        watch: &mut Watch<'_>,
        mut show: impl FnMut(&Item) -> Result<()>,
    ) -> Result<Reading> {
        let mut reading = Reading::new(*header.file());
        self.each_item(key, watch, |item| {
            reading.take(&item)?;
            show(&item)
        })?;
        Ok(reading)
    }
}

/// The key of an export that is for this device, too.
pub(super) fn key_of_device(header: &Header, device: &DeviceKeys) -> Option<FileKey> {
    header.open(|info, aad, sealed| device.open(info, aad, sealed))
}

/// The key of an export that is for these words or guardians.
pub(super) fn key_of_means(header: &Header, sealing: &SealingKey) -> Result<FileKey> {
    let key = header.open(|info, aad, sealed| sealing.open(info, aad, sealed));
    key.ok_or(Error::BackupMeans)
}
