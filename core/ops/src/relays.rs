//! What a device remembers of the relays that it uses, and what is asked of its store for that.
//!
//! All of it can be lost without harm: then everything that the others are not known to have is left there again.

use std::ops::RangeInclusive;

use twin_identity::id::DeviceId;

use crate::op::LogId;
use crate::store::{Known, OpStore};

/// The key of a relay, and the address of one of its mailboxes.
pub type RelayId = [u8; 32];
/// See [`RelayId`].
pub type MailboxId = [u8; 32];

/// How a relay was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayUse {
    /// When it was last read to the end; `None` if never. Milliseconds since the Unix epoch.
    pub visited: Option<u64>,
    /// What whoever reads everything that lies there has.
    pub left: Option<Left>,
    /// Of how many parts the content was erased ([`RelayStore::erased_parts`]) when this device last took back what lay
    /// there.
    pub erased: u64,
    /// How many envelopes could not be taken when this device was there last, for they go on from what had not come.
    pub early: u64,
}

/// What lies at a relay, taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// When the oldest of it was left: milliseconds since the Unix epoch.
    pub since: u64,
    /// For which devices, sorted, and when each had last said what it has (`Known::at`) when the newest of it was left.
    pub to: Vec<(DeviceId, u64)>,
    /// What it comes to, for these devices; its holes are those of others that what lies there fills.
    pub known: Known,
}

/// A device's store as it remembers relays. Every call that writes is whole: done, or not done at all.
pub trait RelayStore: OpStore {
    /// How a relay was used.
    fn relay_use(&self, relay: &RelayId) -> Result<RelayUse, Self::Error>;

    /// What is remembered of the mailboxes of a relay.
    fn relay_pages(&self, relay: &RelayId) -> Result<Vec<(MailboxId, Vec<u8>)>, Self::Error>;

    /// Keeps how a relay was used, and these pages; `None` drops one.
    fn keep_relay_use(
        &mut self,
        relay: &RelayId,
        used: &RelayUse,
        pages: Vec<(MailboxId, Option<Vec<u8>>)>,
    ) -> Result<(), Self::Error>;

    /// Of how many parts the content is erased by operations that count. Where it is another number than before, copies that
    /// were left elsewhere may hold what is erased since.
    fn erased_parts(&self) -> u64;

    /// Of how many parts the content is erased, in the ops at these places of the logs that `is_log` says; `None` where a
    /// checkpoint is among them, which holds copies of what other ops had.
    fn erased_among(
        &self,
        is_log: impl Fn(&LogId) -> bool,
        seqs: &RangeInclusive<u64>,
    ) -> Option<u64>;

    /// Whether the content of a part is erased, and gone here: a copy that was left elsewhere has it still.
    fn is_gone(&self, log: &LogId, seq: u64, part: u16) -> Result<bool, Self::Error>;
}
