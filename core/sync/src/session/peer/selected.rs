//! What is compared with a peer, and sent to it, of spaces that both keep. Who has not heard yet that the other does not
//! keep one sends what is not taken.

use std::collections::BTreeSet;

use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::{Hole, LogHead, OpStore};

use super::Peer;
use crate::session::error::SyncError;
use crate::session::replica;

impl Peer {
    /// The spaces of which nothing is compared or sent.
    pub const fn apart(&self) -> &BTreeSet<SpaceId> {
        &self.apart
    }

    /// These are the spaces that not both keep. `true` if both keep one again that they had not: what the peer has of it
    /// has to be heard before anything of it is sent.
    pub fn set_apart<S: OpStore + ?Sized>(
        &mut self,
        apart: BTreeSet<SpaceId>,
        store: &S,
    ) -> Result<bool, SyncError> {
        let back: Vec<SpaceId> = self.apart.difference(&apart).copied().collect();
        let gone: BTreeSet<SpaceId> = apart.difference(&self.apart).copied().collect();
        if !gone.is_empty() {
            // What was sent in the meantime was not taken.
            for log in self.logs_of(&gone, store)? {
                self.heights.remove(&log);
            }
        }
        self.unheard.retain(|space| !apart.contains(space));
        self.unheard.extend(&back);
        self.apart = apart;
        Ok(!back.is_empty())
    }

    /// One of several for whom a bundle is made, that does not keep these spaces: nothing of them is for it.
    pub fn without<S: OpStore + ?Sized>(
        mut self,
        apart: BTreeSet<SpaceId>,
        store: &S,
    ) -> Result<Self, SyncError> {
        for log in self.logs_of(&apart, store)? {
            self.heights.insert(log, u64::MAX);
        }
        self.apart = apart;
        Ok(self)
    }

    /// The logs of which something may be sent.
    pub(super) fn to_be_sent<S: OpStore + ?Sized>(
        &self,
        store: &S,
    ) -> Result<Vec<LogHead>, SyncError> {
        if self.unheard.is_empty() {
            return replica::heads(store, &self.apart);
        }
        let spaces = self.apart.union(&self.unheard).copied().collect();
        replica::heads(store, &spaces)
    }

    /// The ops here that lack content, of what both keep.
    pub fn holes<S: OpStore + ?Sized>(&self, store: &S) -> Result<Vec<Hole>, SyncError> {
        replica::holes(store, &self.apart)
    }

    fn logs_of<S: OpStore + ?Sized>(
        &self,
        spaces: &BTreeSet<SpaceId>,
        store: &S,
    ) -> Result<Vec<LogId>, SyncError> {
        let mut logs = Vec::new();
        if spaces.is_empty() {
            return Ok(logs);
        }
        for LogHead { log, .. } in store.heads().map_err(SyncError::store)? {
            let origin = store.origin(&log).map_err(SyncError::store)?;
            if origin.is_some_and(|origin| spaces.contains(&origin.space)) {
                logs.push(log);
            }
        }
        Ok(logs)
    }
}
