//! Checking a sealed export, and taking it in on a device of its twin.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use twin_identity::words::RecoverySecret;
use twin_ops::backup::{ByteVec, Chunks, FileKey, Header, Item, MAGIC, Ops, Piece};
use twin_ops::store::{OpStore, Taken};
use twin_vault::{Vault, VaultError};

use super::Contained;
use super::damaged::{Damage, Wreck};
use super::source::{Source, key_of_device, key_of_means};
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::progress::{Watch, tell};
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
    /// Chunks of files that were not here, without those of what was erased since.
    pub chunks: u64,
    /// Chunks of files that were here already.
    pub chunks_here: u64,
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
    pub fn check_sealed(file: &Path, watch: &mut Watch<'_>) -> Result<Complete> {
        let mut source = Source::open(file)?;
        while !matches!(source.piece()?, Piece::End) {
            let (done, total) = source.progress();
            tell(watch, done, Some(total))?;
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
        watch: &mut Watch<'_>,
    ) -> Result<Contained> {
        let (source, header, key) = self.open_sealed(file, words)?;
        let reading = source.verify(&header, &key, watch, |_| Ok(()))?;
        Ok(Contained::of(&reading.finish()?))
    }

    /// Takes in what a sealed export of this twin holds, as if a device that has it had been met: what is here already
    /// is passed over, so an import that was broken off can be done again. It is opened as by
    /// [`Twin::look_into_sealed`]. If the file is damaged, what comes before the damage is taken in.
    pub fn import_sealed(
        &self,
        file: &Path,
        words: Option<&RecoverySecret>,
        watch: &mut Watch<'_>,
    ) -> Result<TakenIn> {
        let (source, _, key) = self.open_sealed(file, words)?;
        self.take_in(|twin, now, taken| {
            source.each_item(&key, watch, |item| {
                take_item(&mut twin.vault(), now, item, taken)
            })
        })
    }

    /// As [`Twin::import_sealed`], of a file that is damaged: everything is taken in that can still be read and verified.
    pub fn import_damaged(
        &self,
        file: &Path,
        words: Option<&RecoverySecret>,
        watch: &mut Watch<'_>,
    ) -> Result<(TakenIn, Damage)> {
        let wreck = Wreck::open(file)?;
        let key = self.key_of(wreck.header(), words)?;
        let (contents, damage) = wreck.verify(&key, watch, |_| Ok(()))?;
        if contents.manifest.twin()? != self.id() {
            return Err(Error::BackupTwin);
        }
        let taken = self.take_in(|twin, now, taken| {
            wreck.each_item(&key, watch, |item| {
                match take_item(&mut twin.vault(), now, item, taken) {
                    // After a hole.
                    Err(Error::Vault(VaultError::Chain(_) | VaultError::Identity(_))) => {
                        taken.refused += 1;
                        Ok(())
                    }
                    result => result,
                }
            })?;
            Ok(())
        })?;
        Ok((taken, damage))
    }

    /// Takes in what `read` gives, and does what is to be done then.
    fn take_in(
        &self,
        read: impl FnOnce(&Self, u64, &mut TakenIn) -> Result<()>,
    ) -> Result<TakenIn> {
        let (now, mut taken) = (self.now(), TakenIn::default());
        let read = read(self, now, &mut taken);
        let ended = end_taking(&mut self.vault(), now, &mut taken);
        self.notify();
        read?;
        ended?;
        Ok(taken)
    }

    fn open_sealed(
        &self,
        file: &Path,
        words: Option<&RecoverySecret>,
    ) -> Result<(Source, Header, FileKey)> {
        let mut source = Source::open(file)?;
        let header = source.header()?;
        let key = self.key_of(&header, words)?;
        Ok((source, header, key))
    }

    fn key_of(&self, header: &Header, words: Option<&RecoverySecret>) -> Result<FileKey> {
        match words {
            Some(words) => key_of_means(header, &words.sealing()),
            None => {
                let key = key_of_device(header, self.vault().device_keys());
                key.ok_or(Error::BackupDevice)
            }
        }
    }
}

/// After what was taken in at `now`: a backup may be older than an erasure, and what that took away does not come back.
pub(crate) fn end_taking(vault: &mut Vault, now: u64, taken: &mut TakenIn) -> Result<()> {
    if taken.chunks + taken.chunks_here > 0 {
        match vault.drop_uncalled(now) {
            // What it names cannot be known: then everything stays.
            Err(VaultError::Damaged(what)) => log::warn!("this vault is damaged: {what}"),
            dropped => taken.chunks = taken.chunks.saturating_sub(dropped?),
        }
    }
    vault.tend(now, &mut rng())?;
    Ok(())
}

/// Takes in an item through the same door as what a peer sends.
fn take_item(vault: &mut Vault, now: u64, item: Item, taken: &mut TakenIn) -> Result<()> {
    match item {
        Item::Manifest(manifest) => {
            if manifest.twin()? != *vault.twin() {
                return Err(Error::BackupTwin);
            }
        }
        Item::Logs(_) | Item::Content(_) => {}
        Item::Chunks(chunks) => take_chunks(vault, now, chunks, taken)?,
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

/// Takes in chunks of files of a space that this device has a key of.
pub(super) fn take_chunks(
    vault: &mut Vault,
    now: u64,
    chunks: Chunks,
    taken: &mut TakenIn,
) -> Result<()> {
    let count = chunks.sealed.len() as u64;
    match vault.take_carried(now, chunks.space, to_vecs(chunks.sealed)) {
        Ok(new) => {
            taken.chunks += new;
            taken.chunks_here += count.saturating_sub(new);
        }
        Err(VaultError::NoKey) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Takes in ops that continue a log.
pub(super) fn take_ops(vault: &mut Vault, now: u64, ops: Ops, taken: &mut TakenIn) -> Result<()> {
    let run = to_vecs(ops.run);
    let new = match ops.base {
        Some(base) => vault.append_from(now, &ops.origin, base, &run),
        None => vault.append_run(now, &ops.origin, &run),
    };
    let new = match new {
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
