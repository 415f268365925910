//! Why two replicas differ though neither side has anything more to send, as far as this side can tell.

use std::collections::BTreeSet;
use std::fmt;

use twin_identity::id::DeviceId;
use twin_ops::store::OpStore;

use super::error::SyncError;
use super::peer::Peer;

/// Something in which two replicas differ, and why it does not come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The peer knows of changes of who is in that cannot be taken here.
    Entries,
    /// The peer does not take changes of who is in that are known here.
    EntriesThere,
    /// The peer holds keys that cannot be taken here.
    Keys,
    /// The peer has another history of what a device wrote: that device was copied or restored.
    TwoHistories(Option<DeviceId>),
    /// This replica cannot take what the peer has of a device: a limit is reached, or it is of a newer version.
    NotTaken(Option<DeviceId>),
    /// The peer does not take what is here of a device.
    NotTakenThere(Option<DeviceId>),
    /// The peer has more of a device than is here, and does not send it.
    NotSent(Option<DeviceId>),
    /// Of so many ops content is missing here that nobody erased, and the peer has not given it.
    Content(usize),
    /// None of these: only the digests say it.
    Unknown,
}

impl Difference {
    /// The device that wrote what this is about, if it is about one that is known here.
    pub const fn writer(&self) -> Option<DeviceId> {
        match self {
            Self::TwoHistories(writer)
            | Self::NotTaken(writer)
            | Self::NotTakenThere(writer)
            | Self::NotSent(writer) => *writer,
            Self::Entries | Self::EntriesThere | Self::Keys | Self::Content(_) | Self::Unknown => {
                None
            }
        }
    }
}

/// In words, of which the other device is the subject and the one that wrote what it is about has no name.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self {
            Self::Entries => {
                "it knows of changes of who is in your twin that cannot be taken here: update this device"
            }
            Self::EntriesThere => {
                "it does not take changes of who is in your twin that are known here: update it"
            }
            Self::Keys => "it holds keys that cannot be taken here: update this device",
            Self::TwoHistories(_) => {
                "a device was copied or restored and has written two histories: link that one again"
            }
            Self::NotTaken(_) => {
                "it has changes that cannot be taken here: update this device, and if that does not help, compact the vault"
            }
            Self::NotTakenThere(_) => "it does not take changes that are here: update it",
            Self::NotSent(_) => "it has changes that it does not pass on: update it",
            Self::Content(ops) => {
                return write!(
                    f,
                    "the content of {ops} changes is missing here, and it has not got that either: sync with another device"
                );
            }
            Self::Unknown => "its records are not the same, and it does not say why: update both",
        };
        f.write_str(said)
    }
}

impl Peer {
    /// In what it differs from this replica, once it has listed everything in whole and nothing is left to be sent.
    pub fn differences<S: OpStore + ?Sized>(
        &self,
        store: &S,
    ) -> Result<BTreeSet<Difference>, SyncError> {
        let mut found = BTreeSet::new();
        if !self.lists_no_other_entries(store) {
            found.insert(Difference::Entries);
        }
        if !self.has_heard(store) {
            found.insert(Difference::EntriesThere);
        }
        let grants = store.grants().map_err(SyncError::store)?;
        if self.lists_other_grants(&grants) {
            found.insert(Difference::Keys);
        }
        for (log, ours, theirs) in self.heights_beside(store)? {
            let origin = store.origin(&log).map_err(SyncError::store)?;
            let writer = origin.map(|origin| origin.device);
            let difference = match (self.is_forked(&log), self.is_passed_over(&log)) {
                (true, _) => Difference::TwoHistories(writer),
                (false, true) => Difference::NotTaken(writer),
                (false, false) if theirs > ours => Difference::NotSent(writer),
                (false, false) if theirs < ours => Difference::NotTakenThere(writer),
                (false, false) => continue,
            };
            found.insert(difference);
        }
        let holes = self.holes(store)?.len();
        if holes > 0 {
            found.insert(Difference::Content(holes));
        }
        if found.is_empty() {
            found.insert(Difference::Unknown);
        }
        Ok(found)
    }
}
