//! What the peer is known to have, and so what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::EntryId;
use twin_identity::log::MAX_ENTRIES;
use twin_ops::chain::Head;
use twin_ops::grant::GrantId;
use twin_ops::op::LogId;
use twin_ops::space::{Audience, SpaceId, SpaceName};
use twin_ops::store::{LogHead, OpStore};

use super::error::SyncError;
use super::message::{Row, Table};
use super::replica;

/// The most grants and logs that a peer may list.
pub(super) const MAX_LISTED: usize = 4096;

/// The peer's replica, as far as it is known: from its table, and from what was sent either way since.
#[derive(Default)]
pub(super) struct Peer {
    /// Whether the peer's grants and logs are known at all.
    table: bool,
    entries: BTreeSet<EntryId>,
    grants: BTreeSet<GrantId>,
    heights: BTreeMap<LogId, u64>,
    /// Logs of which the peer has another continuation: the writer was copied or restored. Nothing is sent of them.
    forked: BTreeSet<LogId>,
}

/// What to send next.
pub(super) enum Lack {
    Entries(Vec<EntryId>),
    Grants(Vec<GrantId>),
    Ops { log: LogId, after: u64 },
}

impl Peer {
    /// Takes the peer's table of the identity log.
    pub fn learn_log(&mut self, entries: &[EntryId]) -> Result<(), SyncError> {
        if entries.len() > MAX_ENTRIES {
            return Err(SyncError::Unexpected);
        }
        self.entries.extend(entries);
        Ok(())
    }

    /// Takes the peer's table of grants and logs. Returns the logs found to be forked.
    pub fn learn<S: OpStore + ?Sized>(
        &mut self,
        table: &Table,
        store: &S,
    ) -> Result<Vec<LogId>, SyncError> {
        if table.grants.len() > MAX_LISTED || table.heads.len() > MAX_LISTED {
            return Err(SyncError::Unexpected);
        }
        self.grants.extend(&table.grants);
        self.table = true;
        let mut forked = Vec::new();
        for Row { log, height, link } in &table.heads {
            let known = self.heights.entry(*log).or_default();
            *known = (*known).max(*height);
            #[cfg(twin_break)]
            if twin_identity::broken::is("resume_skips_one") {
                *known = known.saturating_add(1);
            }
            let ours = store.link_at(log, *height).map_err(SyncError::store)?;
            if ours.is_some_and(|ours| ours != *link) && self.forked.insert(*log) {
                forked.push(*log);
            }
        }
        Ok(forked)
    }

    /// The peer has all that we have: the digests are equal.
    pub fn equals<S: OpStore + ?Sized>(
        &mut self,
        store: &S,
        audience: Audience,
    ) -> Result<(), SyncError> {
        self.table = true;
        self.entries.extend(store.identity().entries().keys());
        self.grants
            .extend(store.grants().map_err(SyncError::store)?);
        for LogHead { log, head } in replica::heads(store, audience)? {
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

    /// The peer has a log up to this height.
    pub fn has_ops(&mut self, log: LogId, height: u64) {
        let known = self.heights.entry(log).or_default();
        *known = (*known).max(height);
    }

    /// Whether everything that the peer has listed of the identity log is here.
    pub fn lists_no_other_entries<S: OpStore + ?Sized>(&self, store: &S) -> bool {
        let here = store.identity().entries();
        self.entries.iter().all(|id| here.contains_key(id))
    }

    /// What the peer lacks of our replica, the most urgent first; only the identity log until its table is known.
    pub fn lacks<S: OpStore + ?Sized>(
        &self,
        store: &S,
        audience: Audience,
    ) -> Result<Option<Lack>, SyncError> {
        let entries: Vec<EntryId> = store
            .identity()
            .entries()
            .keys()
            .filter(|id| !self.entries.contains(id))
            .copied()
            .collect();
        if !entries.is_empty() {
            return Ok(Some(Lack::Entries(entries)));
        }
        if !self.table {
            return Ok(None);
        }
        let mut grants = store.grants().map_err(SyncError::store)?;
        grants.retain(|id| !self.grants.contains(id));
        if !grants.is_empty() {
            return Ok(Some(Lack::Grants(grants)));
        }
        for LogHead { log, head } in replica::heads(store, audience)? {
            let after = self.heights.get(&log).copied().unwrap_or(0);
            if head.height > after && !self.forked.contains(&log) {
                return Ok(Some(Lack::Ops { log, after }));
            }
        }
        Ok(None)
    }
}

/// The row of a head in a table.
pub(super) const fn row(head: &LogHead) -> Row {
    let Head { height, link } = head.head;
    Row {
        log: head.log,
        height,
        link,
    }
}

/// Whether a space is only for admins.
pub(super) fn is_admins_only<S: OpStore + ?Sized>(store: &S, space: SpaceId) -> bool {
    space == SpaceName::keys().id(store.identity().twin())
}
