//! All that is in a backup, verified as it is read: signatures, chains, and that everything is there which the manifest
//! promises.

use std::collections::BTreeMap;

use twin_identity::entry::Entry;
use twin_identity::log::{IdentityLog, LogError};

use super::BackupError;
use super::header::FileId;
use super::item::{Item, Ops};
use super::manifest::{LogRow, Manifest, Stand, heights};
use crate::chain::{Head, verify_run};
use crate::grant::{Grant, GrantId};
use crate::op::{LogId, Op, Origin};
use crate::store::{MAX_GRANTS, MAX_LOGS};

/// What was read of a backup so far.
pub struct Reading {
    file: FileId,
    begun: Option<(Manifest, IdentityLog)>,
    promised: BTreeMap<LogId, (Origin, Head)>,
    reached: BTreeMap<LogId, Head>,
    ops: u64,
    grants: BTreeMap<GrantId, Vec<u8>>,
    unknown: u64,
}

/// What is in a backup, all of it verified.
pub struct Contents {
    /// What its maker has signed.
    pub manifest: Manifest,
    /// The identity log as it stood for its maker.
    pub log: IdentityLog,
    /// The signed grants.
    pub grants: Vec<Vec<u8>>,
    /// The logs and how far they go.
    pub logs: BTreeMap<LogId, (Origin, Head)>,
    /// How many ops there are: those that a checkpoint supersedes may not be among them.
    pub ops: u64,
    /// How many items are of a later version, and were passed over.
    pub unknown: u64,
}

impl Reading {
    /// Nothing of `file` was read yet.
    pub const fn new(file: FileId) -> Self {
        Self {
            file,
            begun: None,
            promised: BTreeMap::new(),
            reached: BTreeMap::new(),
            ops: 0,
            grants: BTreeMap::new(),
            unknown: 0,
        }
    }

    /// The manifest; `None` before it came.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.begun.as_ref().map(|(manifest, _)| manifest)
    }

    /// The identity log, as far as it came; `None` before the manifest.
    pub fn log(&self) -> Option<&IdentityLog> {
        self.begun.as_ref().map(|(_, log)| log)
    }

    /// The logs that the manifest promises, as far as their table came.
    pub const fn promised(&self) -> &BTreeMap<LogId, (Origin, Head)> {
        &self.promised
    }

    /// How far the logs came.
    pub const fn reached(&self) -> &BTreeMap<LogId, Head> {
        &self.reached
    }

    /// Whether a grant came.
    pub fn has_grant(&self, id: &GrantId) -> bool {
        self.grants.contains_key(id)
    }

    /// Takes the next item.
    pub fn take(&mut self, item: &Item) -> Result<(), BackupError> {
        match (item, &mut self.begun) {
            (Item::Manifest(manifest), begun @ None) => {
                if *manifest.file() != self.file {
                    return Err(BackupError::Content("the manifest is of another file"));
                }
                *begun = Some((Manifest::clone(manifest), manifest.log()?));
                Ok(())
            }
            (Item::Unknown(_), Some(_)) => {
                self.unknown += 1;
                Ok(())
            }
            (Item::Entries(entries), Some((_, log))) => {
                let mut entries = entries.iter();
                entries.try_for_each(|entry| take_entry(log, entry))
            }
            (Item::Logs(rows), Some((_, log))) => {
                for row in rows {
                    promise(&mut self.promised, log, row)?;
                }
                Ok(())
            }
            (Item::Grants(grants), Some(_)) => {
                let mut grants = grants.iter();
                grants.try_for_each(|grant| take_grant(&mut self.grants, grant))
            }
            (Item::Ops(ops), Some((_, log))) => {
                self.ops += ops.run.len() as u64;
                take_ops(&mut self.reached, &self.promised, log, ops)
            }
            _ => Err(BackupError::Content("it does not begin with one manifest")),
        }
    }

    /// After the last item: all that the manifest promises has come.
    pub fn finish(self) -> Result<Contents, BackupError> {
        const MISSING: BackupError = BackupError::Content("not all is there that it promises");
        let (manifest, mut log) = self.begun.ok_or(MISSING)?;
        let reached = self.reached.iter();
        let promised = self.promised.iter().map(|(log, (_, head))| (log, head));
        if !reached.eq(promised.clone()) || heights(promised) != *manifest.heights() {
            return Err(MISSING);
        }
        let stand = manifest.stand();
        if Stand::of(&log).entries != stand.entries {
            return Err(MISSING);
        }
        // By its maker's word, which the signature proves to be that of a device of the twin.
        log.trust(&stand.base);
        manifest.verify(&log)?;
        Ok(Contents {
            log,
            manifest,
            grants: self.grants.into_values().collect(),
            logs: self.promised,
            ops: self.ops,
            unknown: self.unknown,
        })
    }
}

fn take_entry(log: &mut IdentityLog, bytes: &[u8]) -> Result<(), BackupError> {
    let entry = Entry::from_bytes(bytes);
    let entry = entry.map_err(|_| BackupError::Content("an entry is not in its format"))?;
    match log.insert(entry) {
        Ok(_) => Ok(()),
        Err(LogError::Limit) => Err(BackupError::Content("too many entries")),
        Err(_) => Err(BackupError::Content(
            "an entry does not fit the identity log",
        )),
    }
}

fn promise(
    promised: &mut BTreeMap<LogId, (Origin, Head)>,
    log: &IdentityLog,
    row: &LogRow,
) -> Result<(), BackupError> {
    let id = row.origin.log_id(log.twin());
    // Those who are in and those who are not have each their room.
    let full = promised.len() >= 2 * MAX_LOGS;
    if full || row.height == 0 || promised.insert(id, (row.origin, row.head())).is_some() {
        return Err(BackupError::Content("the table of logs breaks a rule"));
    }
    Ok(())
}

fn take_grant(grants: &mut BTreeMap<GrantId, Vec<u8>>, bytes: &[u8]) -> Result<(), BackupError> {
    let grant = Grant::from_bytes(bytes);
    let grant = grant.map_err(|_| BackupError::Content("a grant is not in its format"))?;
    if grants.len() >= 2 * MAX_GRANTS {
        return Err(BackupError::Content("too many grants"));
    }
    grants.insert(grant.id, bytes.to_vec());
    Ok(())
}

fn take_ops(
    reached: &mut BTreeMap<LogId, Head>,
    promised: &BTreeMap<LogId, (Origin, Head)>,
    log: &IdentityLog,
    ops: &Ops,
) -> Result<(), BackupError> {
    const WRONG: BackupError =
        BackupError::Content("operations are missing, forged or not promised");
    let id = ops.origin.log_id(log.twin());
    let (_, promised) = promised.get(&id).ok_or(WRONG)?;
    let run = ops.run.iter().map(|bytes| Op::from_bytes(bytes));
    let run = run.collect::<Result<Vec<Op>, _>>().map_err(|_| WRONG)?;
    let before = match (reached.get(&id), ops.base) {
        (Some(_), Some(_)) => return Err(WRONG),
        (reached, base) => reached.copied().or(base),
    };
    let head = verify_run(log.twin(), &ops.origin, before, &run).map_err(|_| WRONG)?;
    let head = head
        .filter(|head| head.height <= promised.height)
        .ok_or(WRONG)?;
    reached.insert(id, head);
    Ok(())
}
