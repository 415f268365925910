//! What another device lacks, carried over by hand: in a file, or as pictures. What is in it and who can read it is in
//! [`twin_sync::bundle`].

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use twin_identity::id::DeviceId;
use twin_ops::store::OpStore;
use twin_sync::bundle::frames::{Frames, MAX_PICTURED};
use twin_sync::bundle::{
    self, BundleError, Carried, Intake, MAGIC, Maker, Outline, Piece, Reader, Received, Size, Step,
};
use twin_vault::files::Since;

use crate::backup::{Draft, TakenIn, end_taking};
use crate::error::{Error, Result};
use crate::files::open_file;
use crate::platform::rng;
use crate::progress::{Progress, Unit, Watch, tell, tell_of};
use crate::twin::Twin;

/// How many bytes of chunks are added at once.
const RUN: usize = 256 << 10;

/// What was written for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundled {
    /// What is in it.
    pub carried: Carried,
    /// Length of the file, in bytes.
    pub bytes: u64,
}

/// What can be told of a bundle from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlined {
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// How many pieces it has.
    pub pieces: u64,
    /// For how many devices it was made.
    pub devices: usize,
}

/// Who has made a bundle, and when: every piece of it was opened, and is signed by that device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The device.
    pub by: DeviceId,
    /// Milliseconds since the Unix epoch, by its clock.
    pub made: u64,
}

impl Twin {
    /// Writes into one file what a device of the twin is not known to have: by what it has last said or was found to have
    /// in a sync, so all of it if it was never met. It is sealed to that device, and to those that are up to date. The
    /// content of files comes along `with_files`, as far as it is on this device and came since the last bundle with content
    /// that the other took.
    ///
    /// It is written under the name `file` with `.unfinished` after it, which goes if the work is broken off.
    ///
    /// # Errors
    /// Among others [`bundle::BundleError::Recipient`] if the device does not take part.
    pub fn export_since(
        &self,
        file: &Path,
        device: &DeviceId,
        with_files: bool,
        watch: &mut Watch<'_>,
    ) -> Result<Bundled> {
        self.refresh()?;
        let mut draft = Draft::open(file)?;
        draft.begin_anew(&MAGIC)?;
        match self.write_bundle(&mut draft.file, device, with_files, watch) {
            Ok(bundled) => {
                draft.finish()?;
                Ok(bundled)
            }
            Err(error) => {
                draft.discard()?;
                Err(error)
            }
        }
    }

    fn write_bundle(
        &self,
        file: &mut File,
        device: &DeviceId,
        with_files: bool,
        watch: &mut Watch<'_>,
    ) -> Result<Bundled> {
        let (now, rng) = (self.now(), &mut rng());
        let mut bytes = 0;
        let mut write = |file: &mut File, some: Vec<u8>| {
            bytes += some.len() as u64;
            file.write_all(&some)
        };
        let mut maker = Maker::new(&*self.vault(), now, &[*device], None, Size::Any, rng)?;
        write(file, maker.begin())?;
        // Others can use the vault between two pieces.
        loop {
            let piece = maker.next(&*self.vault(), rng)?;
            let Some(piece) = piece else { break };
            write(file, piece)?;
            let progress = Progress {
                done: maker.carried().ops,
                total: None,
                unit: Unit::Operations,
            };
            tell_of(watch, progress)?;
        }
        let (mut look, mut some, mut len, mut done) = (Since::default(), Vec::new(), 0, 0);
        let since = maker.files_since();
        let mut next = || match with_files {
            true => self.vault().chunks_since(since, &mut look),
            false => Ok(None),
        };
        while let Some(names) = next()? {
            for name in names {
                let chunk = self.vault().chunk(device, &name)?;
                let Some(chunk) = chunk else { continue };
                if len + chunk.len() > RUN {
                    let run = std::mem::take(&mut some);
                    done += std::mem::take(&mut len) as u64;
                    if let Some(piece) = maker.add_chunks(run, &*self.vault(), rng)? {
                        write(file, piece)?;
                    }
                    tell(watch, done, None)?;
                }
                len += chunk.len();
                some.push((name, chunk));
            }
        }
        if !some.is_empty()
            && let Some(piece) = maker.add_chunks(some, &*self.vault(), rng)?
        {
            write(file, piece)?;
        }
        let last = maker.finish(with_files, &*self.vault(), rng)?;
        write(file, last)?;
        Ok(Bundled {
            carried: *maker.carried(),
            bytes,
        })
    }

    /// The same as pictures, for small amounts: at most [`MAX_PICTURED`] bytes, without the content of files.
    ///
    /// # Errors
    /// Among others [`Error::TooMuchForPictures`].
    pub fn pictures_since(&self, device: &DeviceId) -> Result<(Frames, Carried)> {
        self.refresh()?;
        let (now, vault) = (self.now(), self.vault());
        let made = bundle::make(&*vault, now, &[*device], None, MAX_PICTURED, &mut rng())?;
        if made.more {
            return Err(Error::TooMuchForPictures);
        }
        let frames = Frames::new(&made.bytes).map_err(|_| Error::TooMuchForPictures)?;
        Ok((frames, made.carried))
    }

    /// Whether a file begins as one that [`Twin::export_since`] has made; a folder does not.
    ///
    /// # Errors
    /// [`Error::NotAFile`] of what can be read only once, as a pipe: whoever asks reads it again.
    pub fn is_bundle(file: &Path) -> Result<bool> {
        if file.metadata()?.is_dir() {
            return Ok(false);
        }
        let mut magic = Vec::with_capacity(MAGIC.len());
        let file = open_file(file)?;
        file.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        Ok(magic == MAGIC)
    }

    /// Whether a file that [`Twin::export_since`] has made is complete: it begins and ends as it should, and everything in
    /// it has the length that it should. No key is needed for that, and so it does not tell whether anything in it was
    /// changed, nor who has made it: [`Twin::look_into_bundle`] does.
    ///
    /// # Errors
    /// [`bundle::BundleError`] says what is wrong with the file, and where.
    pub fn check_bundle(file: &Path, watch: &mut Watch<'_>) -> Result<Outlined> {
        let mut file = BufReader::new(open_file(file)?);
        let total = file.get_ref().metadata()?.len();
        let (mut outline, mut bytes) = (Outline::default(), Vec::new());
        loop {
            bytes.clear();
            let wanted = outline.wanted() as u64;
            file.by_ref().take(wanted).read_to_end(&mut bytes)?;
            if outline.take(&bytes)? {
                break;
            }
            tell(watch, outline.at(), Some(total))?;
        }
        Ok(Outlined {
            bytes: outline.at(),
            pieces: outline.pieces(),
            devices: outline.devices(),
        })
    }

    /// The same, and every piece is opened by this device and verified to be signed by a device of the twin, which may be
    /// out by now. Nothing is taken in.
    ///
    /// # Errors
    /// Among others [`bundle::BundleError::Stranger`] if it is for others.
    pub fn look_into_bundle(&self, file: &Path, watch: &mut Watch<'_>) -> Result<Opened> {
        let mut file = BufReader::new(open_file(file)?);
        let total = file.get_ref().metadata()?.len();
        let mut opened = None;
        self.each_piece(&mut file, |piece, at| {
            let (by, made) = (piece.maker(), piece.made());
            opened = Some(Opened { by, made });
            tell(watch, at, Some(total))
        })?;
        let opened = opened.ok_or(BundleError::Cut(0))?;
        let known = self.vault().identity().role_once(&opened.by).is_some();
        known.then_some(opened).ok_or(BundleError::NotLinked.into())
    }

    /// Takes in what another device has written for this one, or for others, and takes note of what that one has: all of it
    /// is read and verified before anything is taken. What is here already is passed over, so an import that was broken off
    /// can be done again.
    pub fn import_bundle(&self, file: &Path, watch: &mut Watch<'_>) -> Result<Received> {
        let mut file = BufReader::new(open_file(file)?);
        let total = file.get_ref().metadata()?.len();
        let far = |done| (done, Some(2 * total));
        self.each_piece(&mut file, |_, at| {
            let (done, total) = far(at);
            tell(watch, done, total)
        })?;
        file.seek(SeekFrom::Start(0))?;
        self.take_in_pieces(|twin, intake, now| {
            twin.each_piece(&mut file, |piece, at| {
                intake.take(now, piece, &mut *twin.vault())?;
                let (done, total) = far(total + at);
                tell(watch, done, total)
            })
        })
    }

    /// The same, of pictures that were gathered (see [`twin_sync::bundle::frames::Gathering`]).
    pub fn take_in_bundle(&self, bytes: &[u8]) -> Result<Received> {
        let mut pieces = Vec::new();
        self.each_piece(&mut &*bytes, |piece, _| {
            pieces.push(piece);
            Ok(())
        })?;
        self.take_in_pieces(|twin, intake, now| {
            let mut pieces = pieces.into_iter();
            Ok(pieces.try_for_each(|piece| intake.take(now, piece, &mut *twin.vault()))?)
        })
    }

    fn take_in_pieces(
        &self,
        take: impl FnOnce(&Self, &mut Intake, u64) -> Result<()>,
    ) -> Result<Received> {
        let (now, mut intake) = (self.now(), Intake::default());
        let taken = take(self, &mut intake, now);
        let received = taken.and_then(|()| Ok(intake.finish(now, &mut *self.vault())?));
        let chunks = received.as_ref().map_or(1, |received| received.chunks);
        let mut taken = TakenIn {
            chunks,
            ..TakenIn::default()
        };
        let ended = end_taking(&mut self.vault(), now, &mut taken);
        self.notify();
        let received = received?;
        ended?;
        Ok(Received {
            chunks: taken.chunks,
            ..received
        })
    }

    /// Reads a bundle to its end, and shows each of its pieces and where it ends.
    fn each_piece(
        &self,
        file: &mut impl Read,
        mut show: impl FnMut(Piece, u64) -> Result<()>,
    ) -> Result<()> {
        let (mut reader, mut bytes) = (Reader::default(), Vec::new());
        loop {
            bytes.clear();
            let wanted = reader.wanted() as u64;
            file.by_ref().take(wanted).read_to_end(&mut bytes)?;
            let step = reader.take(&*self.vault(), &bytes)?;
            match step {
                Step::Frame => {}
                Step::Piece(piece) => show(piece, reader.at())?,
                Step::End => return Ok(()),
            }
        }
    }
}
