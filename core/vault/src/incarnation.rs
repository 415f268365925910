//! Under which incarnation this device writes: a new one where the file is not the one that was written to last.
//!
//! Whoever goes on in a log from an older copy of it, or from the same copy as somebody else, forks it. A copy that a
//! backup brings back, or that somebody makes, is another file, and is known by that ([`FileMark`]): it begins logs of
//! its own with its first op. What others have of the logs of before comes back from them. Where the file is the same and
//! was set back, this device finds that out from others (see [`again`](crate::again)).

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_ops::op::INCARNATION_LEN;

use crate::error::{Result, VaultError};
use crate::rows::{DeviceRow, Row, ToldRow};
use crate::vault::Vault;

const DAMAGED: VaultError = VaultError::Damaged("this device's keys");

/// What the file system tells files apart by, and does not copy: where there is no such thing, copies are not noticed
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct FileMark {
    /// The number of the file (Unix).
    #[n(0)]
    number: Option<u64>,
    /// When it was made, in nanoseconds since the Unix epoch.
    #[n(1)]
    made: Option<u64>,
}

impl FileMark {
    /// For the readers of rows to be tried with.
    #[cfg(any(test, fuzzing))]
    pub const fn sample() -> Self {
        Self {
            number: Some(12),
            made: Some(1 << 60),
        }
    }

    /// That of a file; it keeps it where it is moved in its file system.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path)?;
        let made = metadata.created().ok();
        let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let number = Some(std::os::unix::fs::MetadataExt::ino(&metadata));
        #[cfg(not(unix))]
        let number = None;
        Ok(Self {
            number,
            made: made.and_then(|made| u64::try_from(made.as_nanos()).ok()),
        })
    }
}

impl Vault {
    /// Sees to it that the next op is not written in a log that another file goes on with, too. Inside a transaction.
    pub(crate) fn settle_incarnation(&mut self, rng: &mut impl CryptoRng) -> Result<()> {
        if self.is_settled_in_file {
            return Ok(());
        }
        let row: DeviceRow = self.file.item(&[])?.ok_or(DAMAGED)?;
        let here = FileMark::of(self.file.store.path())?;
        let ended = row.ended == Some(true);
        let is_copy = row.mark.is_some_and(|mark| mark != here);
        #[cfg(twin_break)]
        let is_copy = is_copy && !twin_identity::broken::is("copies_not_noticed");
        if ended {
            self.begin_incarnation(rng)?;
        } else if is_copy {
            log::info!(
                "the vault's file is a copy: this device goes on in logs of a new incarnation"
            );
            self.begin_incarnation(rng)?;
        } else if row.mark != Some(here) {
            self.keep_incarnation(row.incarnation)?;
        }
        self.is_settled_in_file = true;
        Ok(())
    }

    /// Takes this file for the one that was written to last, although it is another: only where no other copy of it is
    /// ever written to again. It saves the logs of a new incarnation; where it is not so, logs fork, which other devices
    /// find out.
    pub fn take_for_original(&mut self) -> Result<()> {
        self.write(|vault| vault.keep_incarnation(vault.incarnation))
    }

    /// Begins a new incarnation: from here on this device writes in new logs, in every space. Inside a transaction.
    pub(crate) fn begin_incarnation(&mut self, rng: &mut impl CryptoRng) -> Result<()> {
        self.keep_incarnation(new_incarnation(rng))?;
        // What this device has seen, it has told in its old logs: others may never get them.
        for told in std::mem::take(&mut self.state.told).into_values() {
            self.file.remove::<ToldRow>(&told.natural())?;
        }
        Ok(())
    }

    /// Writes under this incarnation from here on, in this file.
    fn keep_incarnation(&mut self, incarnation: [u8; INCARNATION_LEN]) -> Result<()> {
        let mut row: DeviceRow = self.file.item(&[])?.ok_or(DAMAGED)?;
        row.ended = row.ended.filter(|_| row.incarnation == incarnation);
        row.incarnation = incarnation;
        row.mark = Some(FileMark::of(self.file.store.path())?);
        self.file.put(&row)?;
        self.incarnation = incarnation;
        Ok(())
    }

    /// Sees that another program of this device has begun one.
    pub(crate) fn read_incarnation(&mut self) -> Result<()> {
        let row: DeviceRow = self.file.item(&[])?.ok_or(DAMAGED)?;
        self.incarnation = row.incarnation;
        self.is_settled_in_file &= row.ended != Some(true);
        Ok(())
    }

    /// Writes nothing more under this incarnation. Inside a transaction.
    pub(crate) fn end_incarnation(&mut self) -> Result<()> {
        let mut row: DeviceRow = self.file.item(&[])?.ok_or(DAMAGED)?;
        row.ended = Some(true);
        self.file.put(&row)?;
        self.is_settled_in_file = false;
        Ok(())
    }
}

/// Random bytes that nobody has written under.
pub(crate) fn new_incarnation(rng: &mut impl CryptoRng) -> [u8; INCARNATION_LEN] {
    let mut incarnation = [0; INCARNATION_LEN];
    rng.fill_bytes(&mut incarnation);
    incarnation
}
