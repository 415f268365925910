//! Looking for content that is wanted, so as to ask another device for it, and what comes of asking; giving others theirs.
//!
//! What each device was asked for is known for a while, so that two are not asked for the same, and nothing is stored that
//! nobody asked for or wants any more.

use std::collections::BTreeMap;

use twin_identity::id::DeviceId;
use twin_ops::file::{
    ChunkId, FileError, MAX_SEALED_CHUNK, MIN_SEALED_CHUNK, Root, Sealed as SealedChunk, Seek,
};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::{ChunkName, MAX_ASKED, Sought};
use twin_ops::value::Value;

use super::wanted::Keep;
use crate::error::{Result, VaultError};
use crate::items::Page;
use crate::keys::NAME_LEN;
use crate::merge::fields;
use crate::rows::{AbsentRow, Row};
use crate::vault::Vault;

/// How many chunks are looked at before others have their turn.
const WORK: usize = 2048;
/// How long nobody else is asked for a chunk that one device was asked for, in milliseconds.
const CLAIM: u64 = 30_000;
/// How long no content is asked for once the disk had no room for it, in milliseconds.
const NO_ROOM: u64 = 60_000;
/// How many claims are kept before those that are old are let go.
const MANY: usize = 4096;

/// What goes on about content, in memory.
#[derive(Default)]
pub(crate) struct Fetching {
    /// The files that somebody wants to see, by the keys of their rows.
    wanted: BTreeMap<Vec<u8>, Wanted>,
    /// What devices were asked for.
    claims: BTreeMap<ChunkName, Claim>,
    /// When the disk had no room for what came.
    full: Option<u64>,
    /// Changes when more may be wanted.
    pub mark: u64,
}

#[derive(Default)]
struct Wanted {
    /// How many wait for it.
    times: usize,
    /// How many chunks have come since.
    came: u64,
}

struct Claim {
    device: DeviceId,
    at: u64,
    /// The row of the file.
    file: Vec<u8>,
}

/// A look for missing chunks: first of the files that somebody wants to see, then of all, if they are to be kept.
#[derive(Default)]
pub struct Look {
    /// The last one of those that somebody wants to see.
    wanted: Option<Vec<u8>>,
    /// Whether all of them were looked at.
    past_wanted: bool,
    /// The last one of all.
    kept: Option<[u8; NAME_LEN]>,
    file: Option<LookedAt>,
    /// The rows that can go.
    whole: Vec<Vec<u8>>,
}

/// A file that is looked at.
struct LookedAt {
    row: Vec<u8>,
    space: SpaceId,
    seek: Seek,
    /// Whether bytes are checked, too: somebody is waiting for them.
    closely: bool,
    lacks: bool,
}

impl Fetching {
    /// Somebody wants to see the file of a row.
    pub fn want(&mut self, row: &[u8]) {
        self.wanted.entry(row.to_vec()).or_default().times += 1;
        self.mark += 1;
    }

    /// One of those who do no longer does.
    pub fn unwant(&mut self, row: &[u8]) {
        if let Some(wanted) = self.wanted.get_mut(row) {
            wanted.times = wanted.times.saturating_sub(1);
        }
        self.wanted.retain(|_, wanted| wanted.times > 0);
    }

    /// How many of its chunks have come since it was first wanted.
    pub fn came(&self, row: &[u8]) -> u64 {
        self.wanted.get(row).map_or(0, |wanted| wanted.came)
    }

    /// Whether the disk has had no room for content lately: it may not say itself how much it has.
    fn is_full(&self, now: u64) -> bool {
        let since = self.full.filter(|full| *full <= now);
        since.is_some_and(|full| now < full.saturating_add(NO_ROOM))
    }

    /// Whether a device may be asked for a chunk, which nobody else is then for a while.
    fn claim(&mut self, name: ChunkName, device: &DeviceId, now: u64, file: &[u8]) -> bool {
        let is_old = |claim: &Claim| !(claim.at..claim.at.saturating_add(CLAIM)).contains(&now);
        if let Some(claim) = self.claims.get(&name)
            && claim.device != *device
            && !is_old(claim)
        {
            return false;
        }
        if self.claims.len() >= MANY {
            self.claims.retain(|_, claim| !is_old(claim));
        }
        let claim = Claim {
            device: *device,
            at: now,
            file: file.to_vec(),
        };
        self.claims.insert(name, claim);
        true
    }
}

impl Vault {
    /// As [`OpStore::seek_chunks`](twin_ops::store::OpStore::seek_chunks).
    pub(crate) fn look_on(
        &mut self,
        now: u64,
        look: &mut Look,
        peer: &DeviceId,
        limit: usize,
    ) -> Result<Sought> {
        self.catch_up()?;
        let mut sought = Sought::default();
        let is_full = self.fetching.is_full(now) || self.lacks_room(0) > 0;
        for _ in 0..WORK {
            if sought.ask.len() >= limit {
                break;
            }
            let Some(mut file) = look.file.take() else {
                look.file = self.next_file(look)?;
                if look.file.is_none() {
                    self.let_go(look)?;
                    sought.over = true;
                    break;
                }
                continue;
            };
            let here = |level, id: &ChunkId| self.here(&file.space, level, id, file.closely);
            let Some(seen) = file.seek.step(here)? else {
                if !file.lacks {
                    look.whole.push(file.row);
                }
                continue;
            };
            if let Some(lacking) = seen {
                file.lacks = true;
                sought.missing = sought.missing.saturating_add(lacking.below);
                let name = ChunkName {
                    space: file.space,
                    id: lacking.id,
                };
                // Without room it counts as if nobody had it: it is looked for again later.
                if !is_full {
                    if self.fetching.claim(name, peer, now, &file.row) {
                        sought.ask.push(name);
                    } else {
                        sought.elsewhere += 1;
                    }
                }
            }
            look.file = Some(file);
        }
        Ok(sought)
    }

    /// The file that is looked at next.
    fn next_file(&self, look: &mut Look) -> Result<Option<LookedAt>> {
        while !look.past_wanted {
            let after = look.wanted.take();
            let mut keys = self.fetching.wanted.keys();
            let next = keys.find(|key| after.as_ref().is_none_or(|after| *key > after));
            let Some(key) = next else {
                look.past_wanted = true;
                break;
            };
            look.wanted = Some(key.clone());
            if let Some(row) = self.file.item::<AbsentRow>(key)?
                && !self.is_left_out(&self.device.id(), &row.space)
                && let Some(file) = LookedAt::of(&row, true)
            {
                return Ok(Some(file));
            }
        }
        if self.keeps()? == Keep::Wanted {
            return Ok(None);
        }
        loop {
            let page: Page<AbsentRow> = self.file.items_after(look.kept, 1)?;
            let Some((name, row)) = page.into_iter().next() else {
                return Ok(None);
            };
            look.kept = Some(name);
            // A row that is damaged is named by `check`.
            let Ok(row) = row else { continue };
            if self.is_left_out(&self.device.id(), &row.space) {
                continue;
            }
            let key = row.natural();
            if self.fetching.wanted.contains_key(&key) {
                continue;
            }
            match LookedAt::of(&row, false) {
                Some(file) if self.is_named(&row)? => return Ok(Some(file)),
                _ => look.whole.push(key),
            }
        }
    }

    /// Whether the record of a row holds its file still.
    fn is_named(&self, row: &AbsentRow) -> Result<bool> {
        let found = self.find_in(row.collection, &row.id)?;
        let fields = found.and_then(|(_, versions)| fields(versions));
        let mut values = fields.iter().flat_map(|fields| fields.0.values());
        Ok(values.any(|value| matches!(value, Value::Bytes(bytes) if *bytes == row.root)))
    }

    /// Removes the rows of what has come.
    fn let_go(&mut self, look: &mut Look) -> Result<()> {
        let whole = std::mem::take(&mut look.whole);
        if whole.is_empty() {
            return Ok(());
        }
        self.write(|vault| {
            let mut whole = whole.iter();
            whole.try_for_each(|key| vault.file.remove::<AbsentRow>(key))
        })
    }

    /// As [`OpStore::add_chunks`](twin_ops::store::OpStore::add_chunks).
    pub(crate) fn take_answers(
        &mut self,
        now: u64,
        answers: Vec<(ChunkName, Option<Vec<u8>>)>,
    ) -> Result<usize> {
        if answers.len() > MAX_ASKED {
            return Err(VaultError::Limit("chunks at once"));
        }
        let mut came = Vec::new();
        for (name, sealed) in answers {
            let claim = self.fetching.claims.remove(&name);
            if let (Some(claim), Some(bytes)) = (claim, sealed) {
                let chunk = SealedChunk { id: name.id, bytes };
                check_chunk(&chunk)?;
                came.push((claim.file, name.space, chunk));
            }
        }
        if came.is_empty() {
            return Ok(0);
        }
        self.now = now;
        let taken = self.write(|vault| {
            let mut stored = Vec::new();
            for (file, space, chunk) in &came {
                // Else its record was erased meanwhile.
                let wanted = vault.file.item::<AbsentRow>(file)?.is_some();
                if wanted
                    && vault.selects(&vault.device.id(), space)
                    && vault.state.newest_epoch(space).is_some()
                    && vault.file.keep_chunk(space, chunk, now, now)?
                {
                    stored.push(file);
                }
            }
            Ok(stored)
        });
        let stored = match taken {
            Err(VaultError::DiskFull) => {
                log::warn!("the disk has no room for content of files that has come");
                self.fetching.full = Some(now);
                Vec::new()
            }
            taken => taken?,
        };
        for file in &stored {
            if let Some(wanted) = self.fetching.wanted.get_mut(*file) {
                wanted.came += 1;
            }
        }
        Ok(stored.len())
    }

    /// As [`OpStore::chunk`](twin_ops::store::OpStore::chunk).
    pub(crate) fn chunk_for(&self, peer: &DeviceId, name: &ChunkName) -> Result<Option<Vec<u8>>> {
        let keys = SpaceName::keys().id(self.twin());
        if name.space == keys && !self.state.identity.is_admin(peer) {
            return Ok(None);
        }
        match self.file.chunk(&name.space, &name.id) {
            // It is of no use to anybody.
            Err(VaultError::Damaged(what)) => {
                log::warn!("what another device asks for is damaged: {what}");
                Ok(None)
            }
            chunk => chunk,
        }
    }
}

/// Whether a chunk's bytes are those of its id.
pub(super) fn check_chunk(chunk: &SealedChunk) -> Result<()> {
    let fits = (MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&chunk.bytes.len());
    if fits && ChunkId::of(&chunk.bytes) == chunk.id {
        Ok(())
    } else {
        Err(FileError::Malformed.into())
    }
}

impl LookedAt {
    fn of(row: &AbsentRow, closely: bool) -> Option<Self> {
        let root = Root::from_bytes(&row.root).ok()?;
        Some(Self {
            row: row.natural(),
            space: row.space,
            seek: Seek::new(row.space, root).ok()?,
            closely,
            lacks: false,
        })
    }
}
