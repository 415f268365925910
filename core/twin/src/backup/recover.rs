//! A twin that comes back from a sealed export alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use twin_identity::body::{Line, Removal};
use twin_identity::device::DeviceKeys;
use twin_identity::id::DeviceId;
use twin_ops::backup::{BackupError, Contents, Item};
use twin_ops::grant::Grant;
use twin_ops::op::{LogId, Op};
use twin_sync::link::recovering::Material;
use twin_vault::{Unlock, Vault, VaultError};

use super::Contained;
use super::damaged::{Damage, Wreck};
use super::read::{TakenIn, end_taking, take_chunks, take_ops};
use super::source::{Source, key_of_means};
use crate::comeback::come_in;
use crate::error::{Error, Result};
use crate::platform::{Clock, SystemClock, rng};
use crate::progress::{Progress, Watch};
use crate::recovery::Means;
use crate::twin::{Twin, check_name};

/// The most bytes of grants that a vault is made with.
const MAX_GRANT_BYTES: usize = 64 << 20;

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
        watch: &mut Watch<'_>,
    ) -> Result<Restored> {
        check_new(dir, device_name)?;
        let mut source = Source::open(file)?;
        let header = source.header()?;
        let key = key_of_means(&header, &means.opens().1)?;
        // It is read twice: first to verify it and to see how far everything goes, then to take it in.
        let mut grants = Grants::default();
        let mut first = |progress| watch(part_of(progress, 0));
        let reading = source.verify(&header, &key, &mut first, |item| grants.take(item))?;
        let contents = reading.finish()?;

        let mut source = Source::open(file)?;
        if source.header()? != header {
            return Err(BackupError::Content("it changed while it was read").into());
        }
        let mut second = |progress| watch(part_of(progress, 1));
        restore(
            dir,
            unlock,
            means,
            device_name,
            contents,
            grants,
            |vault, taken| {
                let now = SystemClock.now();
                source.each_item(&key, &mut second, |item| take_item(vault, now, item, taken))?;
                end_taking(vault, now, taken)
            },
        )
    }

    /// As [`Twin::recover_from_backup`], from an export that is damaged: everything comes back that can still be read and
    /// verified. What of a log comes after an operation that is lost does not, and counts no more.
    ///
    /// # Errors
    /// Among others [`BackupError`] if its beginning or the list of devices is damaged where it stands twice.
    pub fn recover_from_damaged(
        dir: &Path,
        unlock: Unlock<'_>,
        file: &Path,
        means: Means,
        device_name: &str,
        watch: &mut Watch<'_>,
    ) -> Result<(Restored, Damage)> {
        check_new(dir, device_name)?;
        let wreck = Wreck::open(file)?;
        let key = key_of_means(wreck.header(), &means.opens().1)?;
        let mut grants = Grants::default();
        let (contents, damage) = wreck.verify(&key, watch, |item| grants.take(item))?;
        let reached: BTreeMap<LogId, u64> = { contents.logs.iter() }
            .map(|(log, (_, head))| (*log, head.height))
            .collect();
        let restored = restore(
            dir,
            unlock,
            means,
            device_name,
            contents,
            grants,
            |vault, taken| {
                let now = SystemClock.now();
                wreck.each_item(&key, watch, |item| {
                    let Item::Ops(ops) = &item else {
                        return take_item(vault, now, item, taken);
                    };
                    // What comes after a hole was not verified.
                    let height = reached.get(&ops.origin.log_id(vault.twin()));
                    let last = ops.run.last().and_then(|op| Op::from_bytes(op).ok());
                    let seq = last.map_or(u64::MAX, |op| op.header().seq);
                    if height.is_some_and(|height| seq <= *height) {
                        take_item(vault, now, item, taken)
                    } else {
                        Ok(())
                    }
                })?;
                end_taking(vault, now, taken)
            },
        )?;
        Ok((restored, damage))
    }
}

fn check_new(dir: &Path, device_name: &str) -> Result<()> {
    check_name(device_name)?;
    if Twin::exists(dir) {
        return Err(VaultError::Exists.into());
    }
    Ok(())
}

/// How far it is in all, of one of two readings.
fn part_of(progress: Progress, reading: u64) -> Progress {
    let total = progress.total.unwrap_or_default();
    Progress {
        done: reading * total + progress.done,
        total: Some(2 * total),
        ..progress
    }
}

/// The grants of a backup: a vault that is made needs them at once.
#[derive(Default)]
struct Grants {
    /// Each once, though they stand in it twice.
    signed: BTreeSet<Vec<u8>>,
    len: usize,
}

impl Grants {
    fn take(&mut self, item: &Item) -> Result<()> {
        let Item::Grants(grants) = item else {
            return Ok(());
        };
        for grant in grants {
            if self.signed.insert(grant.to_vec()) {
                self.len += grant.len();
            }
            if self.len > MAX_GRANT_BYTES {
                return Err(BackupError::Content("there are too many grants in it").into());
            }
        }
        Ok(())
    }
}

/// Makes the vault of a twin of which this is known, with what `fill` takes in.
fn restore(
    dir: &Path,
    unlock: Unlock<'_>,
    means: Means,
    device_name: &str,
    contents: Contents,
    grants: Grants,
    fill: impl FnOnce(&mut Vault, &mut TakenIn) -> Result<()>,
) -> Result<Restored> {
    if contents.manifest.space().is_some() {
        return Err(Error::BackupSpace);
    }
    let contained = Contained::of(&contents);
    let lines = lines(&contents);
    let log = contents.log;
    let is_true = |grant: &Grant| grant.verify(&log).is_ok();
    let grants = grants.signed.into_iter();
    let grants = grants.filter(|bytes| Grant::from_bytes(bytes).is_ok_and(|grant| is_true(&grant)));
    let grants: Vec<Vec<u8>> = grants.collect();
    let keys = DeviceKeys::random(&mut rng())?;
    let rotated = come_in(Material { keys, log, lines }, None, means)?;
    let mut taken = TakenIn::default();
    // What was granted by those who are out is given anew at the end, when it is known what is in use.
    let twin = rotated.make_vault(&grants, dir, unlock, device_name, |vault| {
        fill(vault, &mut taken)
    })?;
    Ok(Restored {
        twin,
        contained,
        taken,
    })
}

/// Entries and grants are in the vault from the beginning.
fn take_item(vault: &mut Vault, now: u64, item: Item, taken: &mut TakenIn) -> Result<()> {
    match item {
        Item::Ops(ops) => take_ops(vault, now, ops, taken),
        Item::Unknown(_) => {
            taken.unknown += 1;
            Ok(())
        }
        Item::Chunks(chunks) => take_chunks(vault, now, chunks, taken),
        Item::Manifest(_)
        | Item::Logs(_)
        | Item::Entries(_)
        | Item::Grants(_)
        | Item::Content(_) => Ok(()),
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
