//! Leaving spaces: a device that is to leave some asks its peer for them, and leaves those of which the peer holds all.
//!
//! ```text
//! one    Leaving  before its digest: the spaces that it is to leave, and keeps until somebody holds all of them
//! other  Holds    once both are equal, and when content has come: those of them that it keeps and lacks nothing of
//! ```
//!
//! Whoever says that it holds a space has heard of the other's choice, for both are equal in the members' space: so it
//! never counts on the other for what it leaves itself. These frames change no replica, and are not counted.

use std::collections::BTreeSet;

use twin_ops::space::SpaceId;
use twin_ops::store::{MAX_LOGS, OpStore};

use super::error::SyncError;
use super::message::Message;
use super::{Phase, Session};
use crate::machine::Millis;

/// What goes on about it.
#[derive(Default)]
pub(super) struct Leaving {
    /// What this side has asked for, and whether the peer has answered since both were equal.
    asked: BTreeSet<SpaceId>,
    answered: bool,
    /// What the peer asks for, and what it was answered since both were equal.
    asks: BTreeSet<SpaceId>,
    told: Option<Vec<SpaceId>>,
}

impl Leaving {
    /// Both are equal: who has asked is answered anew.
    pub fn equal(&mut self) {
        (self.answered, self.told) = (false, None);
    }

    /// Whether the peer waits for an answer.
    pub fn waits(&self) -> bool {
        !self.asks.is_empty() && self.told.is_none()
    }

    /// Whether nobody waits for an answer.
    pub fn is_over(&self) -> bool {
        (self.asked.is_empty() || self.answered) && !self.waits()
    }
}

impl<S: OpStore + ?Sized> Session<S> {
    /// Asks for the spaces that this device is to leave, if they are others than before.
    pub(super) fn ask_to_leave(&mut self, store: &S) {
        let to_leave = store.to_leave();
        if to_leave != self.leaving.asked {
            self.push(&Message::Leaving(to_leave.iter().copied().collect()));
            self.leaving.asked = to_leave;
        }
    }

    pub(super) fn on_leaving(&mut self, spaces: Vec<SpaceId>) -> Result<(), SyncError> {
        if spaces.len() > MAX_LOGS || !spaces.is_sorted_by(|a, b| a < b) {
            return Err(SyncError::Unexpected);
        }
        self.leaving.asks = spaces.into_iter().collect();
        self.leaving.told = None;
        Ok(())
    }

    /// What of the spaces that the peer is to leave is held here, if both are equal and it has not been told so.
    pub(super) fn next_holds(&mut self, store: &S) -> Result<Option<Message>, SyncError> {
        if self.leaving.asks.is_empty() || !self.is_in_sync() {
            return Ok(None);
        }
        let mut holds = Vec::new();
        for space in &self.leaving.asks {
            if store.holds_all(space).map_err(SyncError::store)? {
                holds.push(*space);
            }
        }
        if self.leaving.told.as_ref() == Some(&holds) {
            return Ok(None);
        }
        self.leaving.told = Some(holds.clone());
        Ok(Some(Message::Holds(holds)))
    }

    pub(super) fn on_holds(
        &mut self,
        now: Millis,
        mut spaces: Vec<SpaceId>,
        store: &mut S,
    ) -> Result<(), SyncError> {
        if spaces.len() > MAX_LOGS {
            return Err(SyncError::Unexpected);
        }
        let Phase::Open(device) = self.phase else {
            return Err(SyncError::Unexpected);
        };
        // Else something has changed here since it was said; it is said again once both are equal.
        if !self.is_in_sync() {
            return Ok(());
        }
        self.leaving.answered = true;
        spaces.retain(|space| self.leaving.asked.contains(space));
        if spaces.is_empty() {
            return Ok(());
        }
        store
            .held(now, &device, &spaces)
            .map_err(SyncError::store)?;
        self.see_selection(store)
    }
}
