//! Forgetting chunks that no record names or ever has named: what is left of adds that were broken off, and of ops that
//! are gone.
//!
//! First every root in every op that is here is followed, whether the op counts or not, then what was not come to is
//! removed. What came less than a day ago stays, and so does what came since an add began that goes on. Other processes
//! may add and write meanwhile: before each removal the ops that are new are followed, too, in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use twin_ops::chain::Head;
use twin_ops::change::Change;
use twin_ops::file::{ChunkId, ChunkRef, Root, Visit, Walked, walk};
use twin_ops::op::{LogId, Op, Part};
use twin_ops::space::SpaceId;
use twin_ops::store::OpStore;

use super::chunks::chunk_key;
use crate::error::{Result, VaultError};
use crate::items::Page;
use crate::keys::NAME_LEN;
use crate::oplog::PartNo;
use crate::rows::{AddingRow, ChunkRow};
use crate::state::Log;
use crate::store::Sealed;
use crate::vault::Vault;

/// How long a chunk is kept that no record names, in milliseconds: a day. An add may pause for as long.
pub const KEPT: u64 = 24 * 60 * 60 * 1000;
/// How long an add may pause, in milliseconds, when the disk is full: longer than what goes on takes for 4 MiB. Else one
/// that was killed would keep what others have left for a day.
const PAUSE: u64 = 10 * 60 * 1000;
/// How many chunks are removed in one transaction.
const BATCH: u32 = 64;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Chunks.
    pub chunks: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// A collection of garbage that goes on: what was come to so far.
#[derive(Default)]
pub struct Collecting {
    marks: Marks,
    /// The last chunk that was looked at, once all ops were.
    after: Option<[u8; NAME_LEN]>,
    /// What came since then does not wait for a day.
    since: Option<u64>,
    collected: Collected,
}

impl Collecting {
    /// One that lets go, too, of what came at `since` or later, in milliseconds since the Unix epoch, if no add goes on: for
    /// what an add has left that began then, on a disk that has no room for it.
    pub fn since(since: u64) -> Self {
        Self {
            since: Some(since),
            ..Self::default()
        }
    }

    /// What was removed so far.
    pub const fn collected(&self) -> Collected {
        self.collected
    }
}

impl Vault {
    /// Removes the chunks that no record names or has named. `now`: milliseconds since the Unix epoch.
    ///
    /// Reads every op that is here, and every manifest. Other processes can write meanwhile.
    ///
    /// # Errors
    /// Among others [`VaultError::Damaged`] if an op or a manifest is damaged: what it names cannot be known, and
    /// nothing is removed.
    pub fn collect_garbage(&mut self, now: u64) -> Result<Collected> {
        self.drop_erased_files()?;
        let mut collecting = Collecting::default();
        while self.collect_some(now, &mut collecting, u64::MAX)? {}
        self.wipe |= collecting.collected.chunks > 0;
        self.wipe_for_others();
        Ok(collecting.collected)
    }

    /// As [`Vault::collect_garbage`], but only one step: looks through `budget` ops, or a few chunks. `true` if there is
    /// more to do. Between two steps anybody can read and write.
    pub fn collect_some(
        &mut self,
        now: u64,
        collecting: &mut Collecting,
        budget: u64,
    ) -> Result<bool> {
        self.catch_up()?;
        if self.file.count::<ChunkRow>()? == 0 {
            return self.give_some_back(collecting);
        }
        if collecting.after.is_none() && !self.follow_some(&mut collecting.marks, budget)? {
            return Ok(true);
        }
        let page: Page<ChunkRow> = self.file.items_after(collecting.after, BATCH)?;
        let Some((last, _)) = page.last() else {
            return self.give_some_back(collecting);
        };
        collecting.after = Some(*last);
        let rows: Result<Vec<ChunkRow>> = page.into_iter().map(|(_, row)| row).collect();
        let mut unnamed = rows?;
        unnamed.retain(|row| !collecting.marks.has(&row.id));
        if !unnamed.is_empty() {
            // What is new is looked at before others are kept from writing.
            self.follow_some(&mut collecting.marks, u64::MAX)?;
            let (marks, since) = (&mut collecting.marks, collecting.since);
            let removed = self.write(|vault| vault.remove_garbage(now, since, &unnamed, marks))?;
            collecting.collected.chunks += removed.chunks;
            collecting.collected.bytes += removed.bytes;
        }
        Ok(true)
    }

    /// The last steps: what was removed is the file system's again.
    fn give_some_back(&self, collecting: &Collecting) -> Result<bool> {
        let more = self.file.store.give_some_back()?;
        if !more && collecting.since.is_some() {
            self.file.store.truncate_wal();
        }
        Ok(more)
    }

    /// Removes those of the chunks that are garbage still. Inside a transaction.
    fn remove_garbage(
        &mut self,
        now: u64,
        since: Option<u64>,
        unnamed: &[ChunkRow],
        marks: &mut Marks,
    ) -> Result<Collected> {
        let began = self.adds_began(now, since.map_or(KEPT, |_| PAUSE))?;
        let from = now.saturating_sub(KEPT);
        let from = began.map_or(from, |began| from.min(began));
        let until = since.filter(|_| began.is_none()).unwrap_or(u64::MAX);
        self.remove_unnamed(unnamed, marks, |at| !(from..until).contains(&at))
    }

    /// Removes those of the chunks that nothing names still and that may go by when they came. Inside a transaction.
    pub(super) fn remove_unnamed(
        &mut self,
        unnamed: &[ChunkRow],
        marks: &mut Marks,
        may_go: impl Fn(u64) -> bool,
    ) -> Result<Collected> {
        self.follow_new(marks)?;
        let mut removed = Collected::default();
        for row in unnamed {
            // What has come again since, or was removed by another, is told by its row of now.
            let Some(row) = self.file.chunk_row(&row.space, &row.id)? else {
                continue;
            };
            if !may_go(row.at) || marks.has(&row.id) {
                continue;
            }
            self.file
                .remove::<ChunkRow>(&chunk_key(&row.space, &row.id))?;
            removed.bytes += self.file.store.remove_chunk_bytes(row.number)?;
            removed.chunks += 1;
        }
        Ok(removed)
    }

    /// When the first of the adds began that go on. Forgets those that nothing was heard of for as long as `pause`, in
    /// milliseconds.
    pub(super) fn adds_began(&self, now: u64, pause: u64) -> Result<Option<u64>> {
        let mut first: Option<u64> = None;
        for row in self.file.items::<AddingRow>()? {
            // A clock that was set back ends no add.
            if row.touched.saturating_add(pause) < now {
                self.file.remove::<AddingRow>(&row.add)?;
            } else {
                first = Some(first.map_or(row.began, |first| first.min(row.began)));
            }
        }
        Ok(first)
    }

    /// Follows the roots in the ops that were not looked at yet.
    pub(super) fn follow_new(&self, marks: &mut Marks) -> Result<()> {
        self.follow_some(marks, u64::MAX).map(drop)
    }

    /// Follows the roots in the ops that were not looked at yet, `budget` of them at most; `true` if these were all.
    fn follow_some(&self, marks: &mut Marks, mut budget: u64) -> Result<bool> {
        for (id, log) in &self.state.logs {
            let spaces = marks.spaces.as_ref();
            if spaces.is_some_and(|spaces| !spaces.contains(&log.origin.space)) {
                continue;
            }
            let looked = match marks.logs.get(id) {
                // Another history in its place is looked at from the beginning.
                Some(head) if self.link_at(id, head.height)? == Some(head.link) => head.height,
                _ => 0,
            };
            let base = log.base.map_or(0, |base| base.height);
            let looked = looked.max(base);
            let height = log.head.height.min(looked.saturating_add(budget));
            for seq in looked + 1..=height {
                self.follow_op(log, seq, marks)?;
            }
            budget -= height.saturating_sub(looked);
            let link = match height == log.head.height {
                true => Some(log.head.link),
                false => self.link_at(id, height)?,
            };
            let head = link.map(|link| (*id, Head { height, link }));
            marks.logs.extend(head);
            if height < log.head.height {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn follow_op(&self, log: &Log, seq: u64, marks: &mut Marks) -> Result<()> {
        const DAMAGED: VaultError = VaultError::Damaged("an operation");
        let number = self.file.store.op_at(log.number, seq)?.ok_or(DAMAGED)?;
        // Its parts are checked against its header: what does not open was never to be read.
        let op: Op = self.file.store.op(number)?;
        for (index, part) in (0..).zip(op.parts()) {
            let Part::Sealed(sealed) = part else { continue };
            let key = PartNo::new(number, index);
            let Some((origin, Change::Record(change) | Change::Copy(_, change))) =
                self.open_change(op.header(), op.salt(), key, sealed)
            else {
                continue;
            };
            for root in change.fields.0.values().filter_map(Root::of) {
                let mut follow = Follow {
                    file: &self.file,
                    space: &origin.space,
                    marks,
                };
                walk(&origin.space, &root, &mut follow)?;
            }
        }
        Ok(())
    }
}

/// What has been come to.
#[derive(Default)]
pub(super) struct Marks {
    /// The only spaces that are looked at; `None` for all.
    spaces: Option<BTreeSet<SpaceId>>,
    /// The first 8 bytes of the ids of chunks: 8 bytes a chunk, and where two are alike too much is kept.
    ids: HashSet<u64>,
    /// Manifests all below which was come to.
    done: HashSet<(SpaceId, ChunkId)>,
    /// How far each log was looked at.
    logs: BTreeMap<LogId, Head>,
}

impl Marks {
    /// Of what is in these spaces.
    pub fn of(spaces: BTreeSet<SpaceId>) -> Self {
        Self {
            spaces: Some(spaces),
            ..Self::default()
        }
    }

    pub fn has(&self, id: &ChunkId) -> bool {
        self.ids.contains(&short(id))
    }
}

fn short(id: &ChunkId) -> u64 {
    let first = id.as_bytes().first_chunk();
    first.map_or(0, |first| u64::from_be_bytes(*first))
}

struct Follow<'a> {
    file: &'a Sealed,
    space: &'a SpaceId,
    marks: &'a mut Marks,
}

impl Visit<VaultError> for Follow<'_> {
    fn visit(&mut self, level: u32, _: u64, chunk: &ChunkRef) -> Result<Walked> {
        self.marks.ids.insert(short(chunk.id()));
        if level == 0 || self.marks.done.contains(&(*self.space, *chunk.id())) {
            return Ok(Walked::Beside);
        }
        Ok(match self.file.chunk(self.space, chunk.id())? {
            Some(sealed) => Walked::Into(sealed),
            None => Walked::Beside,
        })
    }

    fn leave(&mut self, chunk: &ChunkRef) {
        self.marks.done.insert((*self.space, *chunk.id()));
    }
}
