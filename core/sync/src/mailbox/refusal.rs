//! The relay's ways to say no, each with what to do.

use minicbor::{Decode, Encode};

/// Why a relay did not do what it was asked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, thiserror::Error,
)]
#[cbor(index_only)]
pub enum Refusal {
    /// The address was not proven on this connection.
    #[error("the relay wants to see first that this mailbox is ours: connect again")]
    #[n(0)]
    NotProven,
    /// More mailboxes than it allows for one connection.
    #[error(
        "the relay opens no more mailboxes on this connection: open another connection for the rest"
    )]
    #[n(1)]
    TooManyAddresses,
    /// There is no more room in this mailbox.
    #[error(
        "this mailbox is full until tomorrow: use another relay as well, or let the devices meet"
    )]
    #[n(2)]
    MailboxFull,
    /// There is no more room at all.
    #[error("the relay is full: use another one, or try again tomorrow")]
    #[n(3)]
    RelayFull,
    /// More at once than it allows.
    #[error("the relay asks for a pause: it goes on by itself")]
    #[n(4)]
    TooFast,
    /// An envelope of a length that none has.
    #[error("the relay does not take an envelope of this size: update the app")]
    #[n(5)]
    Size,
    /// There is no such envelope, or no more.
    #[error(
        "the relay has not got this envelope any more: the device that left it can leave it again"
    )]
    #[n(6)]
    Gone,
    /// The signature of a withdrawal does not fit.
    #[error(
        "the relay does not accept that this envelope is taken back: it stays until it expires"
    )]
    #[n(7)]
    NotYours,
    /// The relay's own store does not work.
    #[error("something is wrong with the relay's disk: try again later, or use another relay")]
    #[n(8)]
    Failed,
    /// Too much was left from one network address in a day.
    #[error(
        "too much was left at the relay from your network today: it goes on tomorrow, or use another relay as well"
    )]
    #[n(9)]
    SourceFull,
}

impl Refusal {
    /// Whether asking again later, on the same connection, may help.
    pub const fn passes(self) -> bool {
        matches!(self, Self::TooFast)
    }
}
