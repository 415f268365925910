//! Which spaces both keep, which are all that the two have to say to each other about.
//!
//! Each side says itself what its device does not keep, before its first digest or table and whenever that changes. The
//! record of it in the members' space, which others read, may not be read here yet, or not there: its key may be lacking,
//! or it is dated ahead of this clock. Two that went by it would compare different things and never be equal.

use std::collections::BTreeSet;

use twin_identity::id::DeviceId;
use twin_ops::space::SpaceId;
use twin_ops::store::{MAX_LOGS, OpStore};

use super::Session;
use super::error::SyncError;
use super::message::Message;
use super::replica;

impl<S: OpStore + ?Sized> Session<S> {
    /// The spaces of which nothing is compared or sent: by the word of both, or as far as is known here until the peer
    /// has said it.
    pub(super) fn apart(&self, device: &DeviceId, store: &S) -> BTreeSet<SpaceId> {
        let theirs = self.not_kept_there.clone();
        replica::apart(store, theirs.unwrap_or_else(|| store.unselected(device)))
    }

    /// Says which spaces this device does not keep, if the peer takes it for another choice.
    pub(super) fn tell_selection(&mut self, store: &S) {
        let not_kept = store.unselected(&store.device());
        if not_kept != self.not_kept_here {
            self.push(&Message::NotKept(not_kept.iter().copied().collect()));
            self.not_kept_here = not_kept;
        }
    }

    /// Sees which spaces both keep by now. What a device keeps may change at any time, here or there.
    pub(super) fn see_selection(&mut self, store: &S) -> Result<(), SyncError> {
        let Some(device) = self.device() else {
            return Ok(());
        };
        let apart = self.apart(&device, store);
        if apart == *self.peer.apart() {
            return Ok(());
        }
        // Before anything that goes by it.
        if self.linked(store) {
            self.tell_selection(store);
        }
        self.hears_anew |= self.peer.set_apart(apart, store)?;
        self.wanting = true;
        self.look_again();
        Ok(())
    }

    pub(super) fn on_not_kept(&mut self, spaces: Vec<SpaceId>, store: &S) -> Result<(), SyncError> {
        if spaces.len() > MAX_LOGS || !spaces.is_sorted_by(|a, b| a < b) {
            return Err(SyncError::Unexpected);
        }
        self.not_kept_there = Some(spaces.into_iter().collect());
        self.look_again();
        self.see_selection(store)
    }

    /// A peer that says what it has, and has not said that there is anything that it does not keep, keeps all.
    pub(super) fn on_first_word(&mut self, message: &Message, store: &S) -> Result<(), SyncError> {
        let tells = matches!(
            message,
            Message::Digest(_) | Message::Table(_) | Message::ShortTable(_)
        );
        if tells && self.not_kept_there.is_none() {
            self.not_kept_there = Some(BTreeSet::new());
            self.see_selection(store)?;
        }
        Ok(())
    }
}
