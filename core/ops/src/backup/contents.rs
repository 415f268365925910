//! All that is in a backup, verified as it is read: signatures, chains, and that everything is there which the manifest
//! promises. What it keeps in memory does not grow with what is in the backup, but for the identity log, the table of
//! logs and the ids of grants, which have their limits.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::entry::Entry;
use twin_identity::log::{IdentityLog, LogError};

use super::BackupError;
use super::header::FileId;
use super::item::{Chunks, Content, Item, Ops};
use super::manifest::{LogRow, Manifest, Stand, heights};
use crate::chain::{Head, verify_run};
use crate::file::{ChunkId, MAX_SEALED_CHUNK, MIN_SEALED_CHUNK};
use crate::grant::{Grant, GrantId};
use crate::op::{LogId, Op, Origin};
use crate::space::SpaceId;
use crate::store::{MAX_GRANTS, MAX_LOGS};

/// What was read of a backup so far.
pub struct Reading {
    file: FileId,
    begun: Option<(Manifest, IdentityLog)>,
    promised: BTreeMap<LogId, (Origin, Head)>,
    reached: BTreeMap<LogId, Head>,
    ops: u64,
    grants: BTreeSet<GrantId>,
    chunks: u64,
    last_chunk: Option<(SpaceId, ChunkId)>,
    content: Option<Content>,
    unknown: u64,
}

/// What is in a backup, all of it verified.
pub struct Contents {
    /// What its maker has signed.
    pub manifest: Manifest,
    /// The identity log as it stood for its maker.
    pub log: IdentityLog,
    /// The grants.
    pub grants: BTreeSet<GrantId>,
    /// The logs and how far they go.
    pub logs: BTreeMap<LogId, (Origin, Head)>,
    /// How many ops there are: those that a checkpoint supersedes may not be among them.
    pub ops: u64,
    /// What there is of files.
    pub content: Content,
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
            grants: BTreeSet::new(),
            chunks: 0,
            last_chunk: None,
            content: None,
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
        self.grants.contains(id)
    }

    /// How many chunks of files came.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// What there is of files, if all chunks came.
    pub const fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// The chunk of a file that came last.
    pub const fn last_chunk(&self) -> Option<(SpaceId, ChunkId)> {
        self.last_chunk
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
            // At the end of a file there is another copy of what it begins with.
            (Item::Manifest(manifest), Some((first, _))) if **manifest == *first => Ok(()),
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
            (Item::Chunks(chunks), Some(_)) if self.content.is_none() => self.take_chunks(chunks),
            (Item::Content(content), Some(_)) => {
                if self.content.is_some() || content.chunks != self.chunks {
                    return Err(BackupError::Content("chunks of files are missing"));
                }
                self.content = Some(*content);
                Ok(())
            }
            (Item::Chunks(_), Some(_)) => {
                Err(BackupError::Content("chunks of files come after their end"))
            }
            _ => Err(BackupError::Content("it does not begin with one manifest")),
        }
    }

    fn take_chunks(&mut self, chunks: &Chunks) -> Result<(), BackupError> {
        for sealed in &chunks.sealed {
            if !(MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&sealed.len()) {
                return Err(BackupError::Content("a chunk of a file has no such length"));
            }
            self.chunks += 1;
            self.last_chunk = Some((chunks.space, ChunkId::of(sealed)));
        }
        Ok(())
    }

    /// After the last item that could be read of a damaged backup: what came of it is true, however little. The identity
    /// log has to be whole, for without an entry it could say who is in that is out.
    pub fn finish_damaged(mut self) -> Result<Contents, BackupError> {
        let reached = std::mem::take(&mut self.reached);
        let origin = |log: &LogId| self.promised.get(log).map(|(origin, _)| *origin);
        let rows = reached
            .into_iter()
            .filter_map(|(log, head)| Some((log, (origin(&log)?, head))));
        let logs = rows.collect();
        self.promised = logs;
        self.accept()
    }

    /// After the last item: all that the manifest promises has come.
    pub fn finish(self) -> Result<Contents, BackupError> {
        const MISSING: BackupError = BackupError::Content("not all is there that it promises");
        let (manifest, _) = self.begun.as_ref().ok_or(MISSING)?;
        let reached = self.reached.iter();
        let promised = self.promised.iter().map(|(log, (_, head))| (log, head));
        if !reached.eq(promised.clone())
            || heights(promised) != *manifest.heights()
            || self.content.is_none()
        {
            return Err(MISSING);
        }
        self.accept()
    }

    /// The identity log is as its maker had it, and the maker a device of the twin.
    fn accept(self) -> Result<Contents, BackupError> {
        const MISSING: BackupError =
            BackupError::Content("the list of devices is not all there, so it cannot be trusted");
        let (manifest, mut log) = self.begun.ok_or(MISSING)?;
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
            grants: self.grants,
            logs: self.promised,
            ops: self.ops,
            content: self.content.unwrap_or(Content {
                chunks: self.chunks,
                ..Content::default()
            }),
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
    let told = (row.origin, row.head());
    if promised.get(&id) == Some(&told) {
        return Ok(());
    }
    if full || row.height == 0 || promised.insert(id, told).is_some() {
        return Err(BackupError::Content("the table of logs breaks a rule"));
    }
    Ok(())
}

fn take_grant(grants: &mut BTreeSet<GrantId>, bytes: &[u8]) -> Result<(), BackupError> {
    let grant = Grant::from_bytes(bytes);
    let grant = grant.map_err(|_| BackupError::Content("a grant is not in its format"))?;
    if grants.len() >= 2 * MAX_GRANTS {
        return Err(BackupError::Content("too many grants"));
    }
    grants.insert(grant.id);
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
