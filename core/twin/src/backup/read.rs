//! Checking a sealed export, and taking it in on a device of its twin.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use twin_identity::words::RecoverySecret;
use twin_ops::backup::{ByteVec, FileKey, Header, Item, MAGIC, Ops, Piece};
use twin_ops::store::{OpStore, Taken};
use twin_vault::{Vault, VaultError};

use super::source::{Source, key_of_device, key_of_means};
use super::{Contained, Progress};
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

/// A sealed export that is complete and as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complete {
    /// Its length, in bytes.
    pub bytes: u64,
    /// How many chunks it has.
    pub chunks: u64,
}

/// What was taken in of a sealed export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Operations that were not here.
    pub new: u64,
    /// Operations that were here already.
    pub here: u64,
    /// Operations, entries and grants that do not count here: of devices that are out, or beyond a limit.
    pub refused: u64,
    /// Items that a later version of the app has made; this one cannot read them.
    pub unknown: u64,
}

impl Twin {
    /// Whether a file begins as a sealed export does; a folder does not.
    ///
    /// # Errors
    /// [`Error::NotAFile`] of what can be read only once, as a pipe: whoever asks reads it again.
    pub fn is_sealed(file: &Path) -> Result<bool> {
        let about = file.metadata()?;
        if about.is_dir() {
            return Ok(false);
        }
        if !about.is_file() {
            return Err(Error::NotAFile);
        }
        let mut magic = Vec::with_capacity(MAGIC.len());
        let file = File::open(file)?;
        file.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        Ok(magic == MAGIC)
    }

    /// Whether a sealed export is complete and as it was written; no key is needed for that. It does not tell who has
    /// written it: [`Twin::look_into_sealed`] does.
    ///
    /// # Errors
    /// [`twin_ops::backup::BackupError`] says what is wrong with the file, and where.
    pub fn check_sealed(file: &Path, progress: Progress<'_>) -> Result<Complete> {
        let mut source = Source::open(file)?;
        while !matches!(source.piece()?, Piece::End) {
            let (done, total) = source.progress();
            progress(done, total);
        }
        let (bytes, _) = source.progress();
        let chunks = source.place().map_or(0, |place| place.chunks());
        Ok(Complete { bytes, chunks })
    }

    /// What is in a sealed export: all of it is opened and verified, every signature too. By the words if they are
    /// given, else by this device's key.
    pub fn look_into_sealed(
        &self,
        file: &Path,
        words: Option<&RecoverySecret>,
        progress: Progress<'_>,
    ) -> Result<Contained> {
        let (source, header, key) = self.open_sealed(file, words)?;
        let contents = source.verify(&header, &key, progress)?.finish()?;
        Ok(Contained::of(&contents))
    }

    /// Takes in what a sealed export of this twin holds, as if a device that has it had been met: what is here already
    /// is passed over, so an import that was broken off can be done again. It is opened as by
    /// [`Twin::look_into_sealed`]. If the file is damaged, what comes before the damage is taken in.
    pub fn import_sealed(
        &self,
        file: &Path,
        words: Option<&RecoverySecret>,
        progress: Progress<'_>,
    ) -> Result<TakenIn> {
        let (source, _, key) = self.open_sealed(file, words)?;
        let mut taken = TakenIn::default();
        let read = source.each_item(&key, progress, |item| {
            take_item(&mut self.vault(), self.now(), item, &mut taken)
        });
        let tended = self.vault().tend(self.now(), &mut rng());
        self.notify();
        read?;
        tended?;
        Ok(taken)
    }

    fn open_sealed(
        &self,
        file: &Path,
        words: Option<&RecoverySecret>,
    ) -> Result<(Source, Header, FileKey)> {
        let mut source = Source::open(file)?;
        let header = source.header()?;
        let key = match words {
            Some(words) => key_of_means(&header, &words.sealing())?,
            None => {
                let key = key_of_device(&header, self.vault().device_keys());
                key.ok_or(Error::BackupDevice)?
            }
        };
        Ok((source, header, key))
    }
}

/// Takes in an item through the same door as what a peer sends.
fn take_item(vault: &mut Vault, now: u64, item: Item, taken: &mut TakenIn) -> Result<()> {
    match item {
        Item::Manifest(manifest) => {
            if manifest.twin()? != *vault.twin() {
                return Err(Error::BackupTwin);
            }
        }
        Item::Logs(_) => {}
        Item::Unknown(_) => taken.unknown += 1,
        Item::Entries(entries) => {
            let new = vault.add_entries(now, &to_vecs(entries))?;
            taken.refused += (new.early + new.refused) as u64;
        }
        Item::Grants(grants) => take_grants(vault, &to_vecs(grants), taken)?,
        Item::Ops(ops) => take_ops(vault, now, ops, taken)?,
    }
    Ok(())
}

/// A grant by who was out already, as this device knows, does not keep the others away.
fn take_grants(vault: &mut Vault, grants: &[Vec<u8>], taken: &mut TakenIn) -> Result<()> {
    match vault.add_grants(grants) {
        Ok(new) => taken.refused += (new.early + new.refused) as u64,
        Err(VaultError::Grant(_)) => {
            for grant in grants {
                match vault.add_grants(std::slice::from_ref(grant)) {
                    Ok(new) => taken.refused += (new.early + new.refused) as u64,
                    Err(VaultError::Grant(_)) => taken.refused += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Takes in ops that continue a log.
pub(super) fn take_ops(vault: &mut Vault, now: u64, ops: Ops, taken: &mut TakenIn) -> Result<()> {
    let run = to_vecs(ops.run);
    let new = match vault.append_run(now, &ops.origin, &run) {
        // What sync passes over, too.
        Err(error) if Vault::is_refusal(&error) => Taken {
            refused: run.len(),
            ..Taken::default()
        },
        new => new?,
    };
    let refused = new.early + new.refused;
    taken.new += new.new as u64;
    taken.refused += refused as u64;
    taken.here += run.len().saturating_sub(new.new + refused) as u64;
    Ok(())
}

fn to_vecs(bytes: Vec<ByteVec>) -> Vec<Vec<u8>> {
    bytes.into_iter().map(Into::into).collect()
}
