//! What a device notices of a relay that lies, forgets, replays or withholds.
//!
//! A device goes on all the same: whatever comes through another relay, or when devices meet, is not touched by it. The
//! person is told, and can choose another relay.

use super::{Address, Slot};

/// One thing that a relay should not have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Distrust {
    /// The relay knows of fewer posts than it did, or than another device has seen.
    #[error(
        "the relay knows of fewer messages than before: it has forgotten some, or keeps them back"
    )]
    Backwards {
        /// Where.
        address: Address,
        /// The highest number now.
        told: u64,
        /// The highest number that there was.
        known: u64,
    },
    /// The relay does not show posts that are there by its own count.
    #[error("the relay keeps messages back, or has lost them")]
    Withheld {
        /// Where.
        address: Address,
        /// The first number of those that are missing.
        number: u64,
        /// How many in a row.
        count: u64,
    },
    /// A post that this device had a receipt for is gone before its time. It has to be sent again.
    #[error("the relay has lost a message that it had promised to keep: it is sent again")]
    Lost {
        /// Where.
        address: Address,
        /// The number in the receipt.
        number: u64,
    },
    /// Under a number that was known lies something else.
    #[error("the relay shows another message than before in the same place")]
    Replaced {
        /// Where.
        address: Address,
        /// The number.
        number: u64,
    },
    /// The same post is shown under two numbers.
    #[error("the relay shows the same message twice")]
    Repeated {
        /// Where.
        address: Address,
        /// The number under which it came again.
        number: u64,
    },
    /// The bytes that came are not those that were listed.
    #[error("the relay sent other bytes than it had announced")]
    Altered {
        /// Where.
        address: Address,
        /// The number.
        number: u64,
    },
    /// A post that does not open.
    #[error("a message on the relay does not open: it was altered, or somebody else left it there")]
    Unreadable {
        /// Where.
        address: Address,
        /// The number.
        number: u64,
    },
    /// A presence that does not open.
    #[error("what the relay says of where a device is does not open: it was altered")]
    UnreadablePresence {
        /// Where.
        address: Address,
        /// Whose.
        slot: Slot,
    },
    /// A presence that is older than one that had come before.
    #[error("the relay shows where a device was before instead of where it is")]
    Stale {
        /// Where.
        address: Address,
        /// Whose.
        slot: Slot,
    },
    /// A withdrawal that no device of the twin signed.
    #[error("the relay says that a message was taken back, and none of our devices did")]
    Forged {
        /// Where.
        address: Address,
        /// The number.
        number: u64,
    },
    /// More posts than a mailbox can have.
    #[error("the relay shows more messages than a mailbox can hold: they are not read")]
    TooMany {
        /// Where.
        address: Address,
    },
}
