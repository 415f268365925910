//! What the peer is known to have, and so what it lacks; `give`: the messages with that.

mod beside;
mod give;
mod selected;

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::EntryId;
use twin_identity::log::{MAX_ENTRIES, MAX_ROTATIONS};
use twin_ops::chain::Head;
use twin_ops::grant::GrantId;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::{Known, LogHead, MAX_GRANTS, MAX_LOGS, OpStore, Standing};

pub(crate) use give::{Lack, Room, filling};

use super::error::SyncError;
use super::message::{Row, Table};
use super::replica;
use super::short::{self, Short, ShortTable, Shorts, Told};

/// What short tables have said, and whole ones not yet.
#[derive(Default)]
struct InShort {
    entries: Shorts,
    grants: Shorts,
    /// How high the peer has logs that were not known here.
    heights: BTreeMap<Short, u64>,
    /// Whether there was a table.
    table: bool,
    /// Logs that seemed to be another history there.
    forked: BTreeSet<LogId>,
}

/// The peer's replica, as far as it is known: from its table, and from what was sent either way since.
#[derive(Default)]
pub(crate) struct Peer {
    /// The spaces of which nothing is compared or sent: this device or the peer does not keep them.
    apart: BTreeSet<SpaceId>,
    /// Those of which the peer's logs are to be heard first: both keep them again.
    unheard: BTreeSet<SpaceId>,
    /// Whether the peer's grants and logs are known at all.
    table: bool,
    in_short: InShort,
    entries: BTreeSet<EntryId>,
    /// The entries that it had when it last listed them.
    listed: BTreeSet<EntryId>,
    grants: BTreeSet<GrantId>,
    heights: BTreeMap<LogId, u64>,
    /// Logs of which nothing is sent: the peer has another continuation of them, for their writer was copied or
    /// restored, or this replica cannot take what the peer has of them.
    passed_over: BTreeSet<LogId>,
    /// Logs that were sent from the beginning, for the peer had another history than the one that counts.
    renewed: BTreeSet<LogId>,
    /// Grants that there was no room for.
    left: BTreeSet<GrantId>,
    /// How often logs were taken up again, of which their device has given up what the peer had.
    taken_up: BTreeMap<LogId, u8>,
    /// Logs of which it was told that the peer has another history.
    told: BTreeSet<LogId>,
    /// What it has listed in its last table in whole.
    listed_grants: BTreeSet<GrantId>,
    listed_heights: BTreeMap<LogId, u64>,
}

/// How often a log is taken up again, so that no number of tables makes it be sent for ever.
const MAX_TAKEN_UP: u8 = 4;

impl Peer {
    /// A device of which so much is known.
    pub fn of<S: OpStore + ?Sized>(known: Known, store: &S) -> Result<Self, SyncError> {
        let mut peer = Self::default();
        peer.learn_log(&known.entries)?;
        let heads = known.heads.iter().map(row).collect();
        let grants = known.grants;
        peer.learn(&Table { grants, heads }, store)?;
        for LogHead { log, head } in store.heads().map_err(SyncError::store)? {
            // More of a log than counts: another history of it, or what does not count. A session would hear which.
            if let Some(known) = peer.heights.get_mut(&log)
                && *known > head.height
                && store.is_settled(&log).map_err(SyncError::store)?
            {
                *known = 0;
            }
        }
        Ok(peer)
    }

    /// One that has what both have.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.entries.retain(|id| other.entries.contains(id));
        self.grants.retain(|id| other.grants.contains(id));
        self.heights.retain(|log, height| {
            let theirs = other.heights.get(log).copied().unwrap_or(0);
            *height = theirs.min(*height);
            *height > 0
        });
        // What one of them has gone on with differently, the other may take.
        self.passed_over
            .retain(|log| other.passed_over.contains(log));
        self.apart.retain(|space| other.apart.contains(space));
        self
    }

    /// One that has what either has.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.entries.extend(&other.entries);
        self.grants.extend(&other.grants);
        for (log, height) in &other.heights {
            let known = self.heights.entry(*log).or_default();
            *known = (*known).max(*height);
        }
        self
    }

    /// What it has by now of what is here.
    pub fn known<S: OpStore + ?Sized>(&self, store: &S) -> Result<Known, SyncError> {
        let mut known = Known {
            entries: self.entries.iter().copied().collect(),
            grants: self.grants.iter().copied().collect(),
            ..Known::default()
        };
        for LogHead { log, head } in replica::heads(store, &self.apart)? {
            let height = self.heights.get(&log).copied().unwrap_or(0);
            let height = height.min(head.height);
            if height > 0
                && let Some(link) = store.link_at(&log, height).map_err(SyncError::store)?
            {
                let head = Head { height, link };
                known.heads.push(LogHead { log, head });
            }
        }
        Ok(known)
    }

    /// Takes the peer's table of the identity log.
    pub fn learn_log(&mut self, entries: &[EntryId]) -> Result<(), SyncError> {
        within(entries.len(), MAX_ENTRIES + MAX_ROTATIONS)?;
        if self.in_short.entries.len() > 0 {
            self.in_short.entries = Shorts::default();
            self.entries.clear();
        }
        self.listed = entries.iter().copied().collect();
        self.entries.extend(entries);
        within(self.entries.len(), MAX_ENTRIES + MAX_ROTATIONS)
    }

    /// The same, in short.
    pub fn learn_log_in_short<S: OpStore + ?Sized>(
        &mut self,
        entries: Shorts,
        store: &S,
    ) -> Result<(), SyncError> {
        within(entries.len(), MAX_ENTRIES + MAX_ROTATIONS)?;
        let here = store.identity().entries().keys();
        self.listed = { here.filter(|id| entries.has(id.as_bytes())) }
            .copied()
            .collect();
        self.in_short.entries = entries;
        Ok(())
    }

    /// Takes the peer's table of grants and logs. Returns the logs found to be forked.
    pub fn learn<S: OpStore + ?Sized>(
        &mut self,
        table: &Table,
        store: &S,
    ) -> Result<Vec<LogId>, SyncError> {
        if std::mem::take(&mut self.in_short.table) {
            // What beginnings of hashes have led to may be wrong.
            self.in_short.grants = Shorts::default();
            self.in_short.heights.clear();
            self.grants.clear();
            self.heights.clear();
            for log in std::mem::take(&mut self.in_short.forked) {
                self.passed_over.remove(&log);
            }
        }
        self.grants.extend(&table.grants);
        within(self.grants.len(), MAX_GRANTS)?;
        within(table.heads.len(), MAX_LOGS)?;
        self.listed_grants = table.grants.iter().copied().collect();
        let heights = table.heads.iter().map(|row| (row.log, row.height));
        self.listed_heights = heights.collect();
        let rows: Vec<Told> = table.heads.iter().map(Told::from).collect();
        let forked = self.learn_rows(&rows, store)?;
        Ok(self.not_told(forked))
    }

    /// The same, in short.
    pub fn learn_in_short<S: OpStore + ?Sized>(
        &mut self,
        table: ShortTable,
        store: &S,
    ) -> Result<Vec<LogId>, SyncError> {
        within(table.grants.len(), MAX_GRANTS)?;
        within(table.heads.len(), MAX_LOGS)?;
        let (rows, others) = short::resolve(&table.heads, self.logs(store)?);
        self.in_short.grants = table.grants;
        self.in_short.heights = others;
        self.in_short.table = true;
        let forked = self.learn_rows(&rows, store)?;
        self.in_short.forked.extend(&forked);
        Ok(self.not_told(forked))
    }

    /// The logs that something is known of here.
    pub fn logs<S: OpStore + ?Sized>(&self, store: &S) -> Result<BTreeSet<LogId>, SyncError> {
        let heads = store.heads().map_err(SyncError::store)?;
        let mut logs: BTreeSet<LogId> = heads.iter().map(|head| head.log).collect();
        logs.extend(self.heights.keys());
        logs.extend(self.given_up(store)?.keys());
        Ok(logs)
    }

    fn not_told(&mut self, mut forked: Vec<LogId>) -> Vec<LogId> {
        forked.retain(|log| self.told.insert(*log));
        forked
    }

    fn learn_rows<S: OpStore + ?Sized>(
        &mut self,
        rows: &[Told],
        store: &S,
    ) -> Result<Vec<LogId>, SyncError> {
        within(self.heights.len(), MAX_LOGS)?;
        self.table = true;
        self.unheard.clear();
        // What the peer had said that it had of a log counts for nothing there any more: it was another history.
        let told: BTreeSet<&LogId> = rows.iter().map(|row| &row.log).collect();
        for (log, known) in &mut self.heights {
            if !told.contains(log)
                && store.is_settled(log).map_err(SyncError::store)?
                && self.renewed.insert(*log)
            {
                *known = 0;
            }
        }
        let mut forked = Vec::new();
        let given_up = self.given_up(store)?;
        for log in given_up.keys().filter(|log| !told.contains(log)) {
            self.take_up(log, 0);
        }
        for row in rows {
            let Told { log, height, .. } = row;
            if let Some(counted) = given_up.get(log) {
                let ours = store.link_at(log, *height).map_err(SyncError::store)?;
                if *height > *counted {
                    self.has_ops(*log, *height);
                } else if ours.is_none_or(|ours| row.is_at(&ours)) {
                    // Or what was there is superseded here: what it has then goes on with the checkpoint, or gives way.
                    self.take_up(log, *height);
                } else if self.passed_over.insert(*log) && self.has_heard(store) {
                    // Else the peer has yet to give up what it holds.
                    forked.push(*log);
                }
                continue;
            }
            let known = self.heights.entry(*log).or_default();
            *known = (*known).max(*height);
            #[cfg(twin_break)]
            if twin_identity::broken::is("resume_skips_one") {
                *known = known.saturating_add(1);
            }
            let ours = store.link_at(log, *height).map_err(SyncError::store)?;
            if ours.is_none_or(|ours| row.is_at(&ours)) {
                continue;
            }
            // Once only: a peer that keeps its own all the same is not sent it for ever.
            if store.is_settled(log).map_err(SyncError::store)? && self.renewed.insert(*log) {
                *known = 0;
            } else if self.passed_over.insert(*log) {
                forked.push(*log);
            }
        }
        Ok(forked)
    }

    /// Whether the peer had every entry that is here when it last listed its own.
    pub fn has_heard<S: OpStore + ?Sized>(&self, store: &S) -> bool {
        let mut entries = store.identity().entries().keys();
        entries.all(|id| self.listed.contains(id))
    }

    /// The logs of which their device has given up a branch, and how far what counts of them goes here.
    fn given_up<S: OpStore + ?Sized>(&self, store: &S) -> Result<BTreeMap<LogId, u64>, SyncError> {
        let identity = store.identity();
        let devices = identity.devices().keys();
        let forks = devices.flat_map(|device| identity.given_up(device));
        let logs: BTreeSet<LogId> = forks
            .map(|fork| LogId::from_bytes(fork.branch.log))
            .collect();
        let mut given_up: BTreeMap<LogId, u64> = logs.iter().map(|log| (*log, 0)).collect();
        if !given_up.is_empty() {
            for LogHead { log, head } in store.heads().map_err(SyncError::store)? {
                if let Some(counted) = given_up.get_mut(&log) {
                    *counted = head.height;
                }
            }
        }
        Ok(given_up)
    }

    /// Of a log of which the peer had a branch that was given up, it has what is here up to this height and no more.
    fn take_up(&mut self, log: &LogId, height: u64) {
        let was_ahead = self.heights.get(log).is_some_and(|known| *known > height);
        if !was_ahead && !self.passed_over.contains(log) {
            let known = self.heights.entry(*log).or_default();
            *known = (*known).max(height);
            return;
        }
        let times = self.taken_up.entry(*log).or_default();
        if *times < MAX_TAKEN_UP {
            *times += 1;
            self.passed_over.remove(log);
            self.heights.insert(*log, height);
        }
    }

    /// The peer has all that we have of what both keep: the digests are equal.
    pub fn equals<S: OpStore + ?Sized>(&mut self, store: &S) -> Result<(), SyncError> {
        self.table = true;
        self.unheard.clear();
        self.entries.extend(store.identity().entries().keys());
        self.grants
            .extend(store.grants().map_err(SyncError::store)?);
        for LogHead { log, head } in replica::heads(store, &self.apart)? {
            self.heights.insert(log, head.height);
        }
        Ok(())
    }

    /// The peer has these entries too.
    pub fn has_entries(&mut self, ids: impl IntoIterator<Item = EntryId>) {
        self.entries.extend(ids);
    }

    /// The peer has these grants too.
    pub fn has_grants(&mut self, ids: impl IntoIterator<Item = GrantId>) {
        self.grants.extend(ids);
    }

    /// This replica cannot take what the peer has of a log. `true` if that is news.
    ///
    /// # Errors
    /// The peer has sent of more logs than there can be.
    pub fn pass_over(&mut self, log: LogId) -> Result<bool, SyncError> {
        let is_new = self.passed_over.insert(log);
        within(self.passed_over.len(), MAX_LOGS)?;
        Ok(is_new)
    }

    /// The peer has a log up to this height.
    pub fn has_ops(&mut self, log: LogId, height: u64) {
        let known = self.heights.entry(log).or_default();
        *known = (*known).max(height);
    }

    /// Whether everything that the peer has listed of the identity log is here.
    pub fn lists_no_other_entries<S: OpStore + ?Sized>(&self, store: &S) -> bool {
        let here = store.identity().entries();
        let in_short = &self.in_short.entries;
        self.entries.iter().all(|id| here.contains_key(id))
            && in_short.are_all_of(here.keys().map(EntryId::as_bytes))
    }

    fn has_entry(&self, id: &EntryId) -> bool {
        self.entries.contains(id) || self.in_short.entries.has(id.as_bytes())
    }

    fn has_grant(&self, id: &GrantId) -> bool {
        self.grants.contains(id) || self.in_short.grants.has(id.as_bytes())
    }

    /// What the peer lacks of our replica, the most urgent first; only the identity log until its table is known.
    pub fn lacks<S: OpStore + ?Sized>(&self, store: &S) -> Result<Option<Lack>, SyncError> {
        let entries = store.identity().entries().values();
        let mut entries: Vec<_> = entries
            .filter(|entry| !self.has_entry(&entry.id))
            .map(|entry| (entry.place.seq, entry.id))
            .collect();
        if !entries.is_empty() {
            // In an order in which each can be verified as it comes.
            entries.sort_unstable();
            let entries = entries.into_iter().map(|(_, id)| id).collect();
            return Ok(Some(Lack::Entries(entries)));
        }
        if !self.table {
            return Ok(None);
        }
        let mut grants = store.grants().map_err(SyncError::store)?;
        grants.retain(|id| !self.has_grant(id) && !self.left.contains(id));
        if !grants.is_empty() {
            return Ok(Some(Lack::Grants(grants)));
        }
        self.lacks_ops(store)
    }

    /// What the peer lacks of ops: first the logs that begin with a checkpoint of their own, for what others begin after
    /// is said there.
    fn lacks_ops<S: OpStore + ?Sized>(&self, store: &S) -> Result<Option<Lack>, SyncError> {
        let checkpoints = store.checkpoints();
        let heads = self.to_be_sent(store)?;
        let heights = self.superseded(&checkpoints, &heads);
        let mut shortest: Option<(u64, LogId, u64)> = None;
        for LogHead { log, head } in heads {
            let after = heights.get(&log).copied().unwrap_or(0);
            if head.height <= after || self.passed_over.contains(&log) {
                continue;
            }
            let base = store.base(&log).map_err(SyncError::store)?;
            let base = base.filter(|base| base.height > after);
            let Some(base) = base else {
                // The shortest first: so most of them are whole soon, however long one is.
                let missing = head.height - after;
                if shortest.is_none_or(|(shortest, ..)| missing < shortest) {
                    shortest = Some((missing, log, after));
                }
                continue;
            };
            let mut own = checkpoints.iter().filter(|standing| standing.log == log);
            if own.any(|standing| standing.lines.get(&log) == Some(&base)) {
                return Ok(Some(Lack::Ops {
                    log,
                    after: base.height,
                    base: Some(base),
                }));
            }
        }
        let base = None;
        Ok(shortest.map(|(_, log, after)| Lack::Ops { log, after, base }))
    }

    /// How far logs go for the peer, with what the checkpoints that it has let it do without.
    fn superseded(&self, checkpoints: &[Standing], heads: &[LogHead]) -> BTreeMap<LogId, u64> {
        let mut heights = self.heights.clone();
        for LogHead { log, .. } in heads {
            if let Some(height) = short::height_of(&self.in_short.heights, log) {
                let known = heights.entry(*log).or_default();
                *known = (*known).max(height);
            }
        }
        // One may be known only by another.
        for _ in checkpoints {
            for Standing {
                log, last, lines, ..
            } in checkpoints
            {
                if heights.get(log).is_none_or(|height| height < last) {
                    continue;
                }
                for (log, line) in lines {
                    let known = heights.entry(*log).or_default();
                    *known = (*known).max(line.height);
                }
            }
        }
        heights
    }
}

/// Counts what is known of both sides, so that no number of tables makes it grow.
const fn within(known: usize, most: usize) -> Result<(), SyncError> {
    if known <= 2 * most {
        Ok(())
    } else {
        Err(SyncError::Unexpected)
    }
}

/// The row of a head in a table.
pub(crate) const fn row(head: &LogHead) -> Row {
    let Head { height, link } = head.head;
    Row {
        log: head.log,
        height,
        link,
    }
}
