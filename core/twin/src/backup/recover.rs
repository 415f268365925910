//! A twin that comes back from a sealed export alone.

use std::collections::BTreeMap;
use std::path::Path;

use twin_identity::body::{Line, Removal};
use twin_identity::device::DeviceKeys;
use twin_identity::id::DeviceId;
use twin_ops::backup::{BackupError, Contents, Item};
use twin_ops::grant::Grant;
use twin_sync::link::recovering::Material;
use twin_vault::{Unlock, Vault, VaultError};

use super::read::{TakenIn, take_ops};
use super::source::{Source, key_of_means};
use super::{Contained, Progress};
use crate::comeback::come_in;
use crate::error::{Error, Result};
use crate::platform::{Clock, SystemClock, rng};
use crate::recovery::Means;
use crate::twin::{Twin, check_name};

/// A twin that has come back from a sealed export.
#[derive(Debug)]
pub struct Restored {
    /// This device.
    pub twin: Twin,
    /// What was in the export.
    pub contained: Contained,
    /// What of it is here now.
    pub taken: TakenIn,
}

impl Twin {
    /// Gets the twin back on an empty machine from a sealed export of all of it: the same id, the same pseudonyms, and
    /// all data that is in it. All devices that could change who is in leave; the others that were in when the export
    /// was made stay. By guardians, if they hold the data, the device only waits from here on: see
    /// [`Twin::finish_recovery`].
    ///
    /// All of the export is verified before anything is made; and the vault is there when all is in it, or not at all.
    pub fn recover_from_backup(
        dir: &Path,
        unlock: Unlock<'_>,
        file: &Path,
        means: Means,
        device_name: &str,
        progress: Progress<'_>,
    ) -> Result<Restored> {
        check_name(device_name)?;
        if Self::exists(dir) {
            return Err(VaultError::Exists.into());
        }
        let mut source = Source::open(file)?;
        let header = source.header()?;
        let (_, sealing) = means.opens();
        let key = key_of_means(&header, &sealing)?;
        // It is read twice: first to verify it and to see how far everything goes, then to take it in.
        let mut first = |done, total| progress(done, 2 * total);
        let contents = source.verify(&header, &key, &mut first)?.finish()?;
        if contents.manifest.space().is_some() {
            return Err(Error::BackupSpace);
        }
        let contained = Contained::of(&contents);
        let lines = lines(&contents);
        let Contents {
            log, mut grants, ..
        } = contents;
        grants
            .retain(|grant| Grant::from_bytes(grant).is_ok_and(|grant| grant.verify(&log).is_ok()));
        let keys = DeviceKeys::random(&mut rng())?;
        let rotated = come_in(Material { keys, log, lines }, None, means)?;

        let mut source = Source::open(file)?;
        if source.header()? != header {
            return Err(BackupError::Content("it changed while it was read").into());
        }
        let now = SystemClock.now();
        let mut taken = TakenIn::default();
        let mut second = |done, total| progress(total + done, 2 * total);
        let twin = rotated.make_vault(&grants, dir, unlock, device_name, |vault| {
            source.each_item(&key, &mut second, |item| {
                take_item(vault, now, item, &mut taken)
            })?;
            // What was granted by those who are out is given anew, now that it is known what is in use.
            vault.tend(now, &mut rng())?;
            Ok(())
        })?;
        Ok(Restored {
            twin,
            contained,
            taken,
        })
    }
}

/// Entries and grants are in the vault from the beginning.
fn take_item(vault: &mut Vault, now: u64, item: Item, taken: &mut TakenIn) -> Result<()> {
    match item {
        Item::Ops(ops) => take_ops(vault, now, ops, taken),
        Item::Unknown(_) => {
            taken.unknown += 1;
            Ok(())
        }
        Item::Manifest(_) | Item::Logs(_) | Item::Entries(_) | Item::Grants(_) => Ok(()),
    }
}

/// How far the logs of each device go: of those that leave, no more will count.
fn lines(contents: &Contents) -> Vec<Removal> {
    let mut lines: BTreeMap<DeviceId, Vec<Line>> = BTreeMap::new();
    for (log, (origin, head)) in &contents.logs {
        lines.entry(origin.device).or_default().push(Line {
            log: *log.as_bytes(),
            height: head.height,
            head: *head.link.as_bytes(),
        });
    }
    let lines = lines.into_iter();
    lines
        .map(|(device, lines)| Removal { device, lines })
        .collect()
}
