//! Why a conversation with a relay ends early.

use twin_identity::cbor::CborError;

/// The conversation has ended. What was kept and read until then counts; the next one goes on from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// A message of another version, or one that the other side has no business to send.
    #[error("the other side of a mailbox sent something unexpected: update the app and the relay")]
    Unexpected,
    /// An answer to what was not asked, or was answered before; or not the answer to that.
    #[error("the relay answered what it was not asked: if it happens again, use another relay")]
    Unasked,
    /// No answer for too long, or nothing at all at the beginning.
    #[error(
        "the relay does not answer: it is tried again later; if it stays so, use another relay"
    )]
    Silent,
    /// A signature that does not fit the address.
    #[error("a device could not prove that a mailbox is its own")]
    NotProven,
    /// More questions at once than are allowed, or no end of them after a refusal.
    #[error("a device asked more than is allowed")]
    Flooded,
    /// A damaged message.
    #[error("a message about a mailbox is damaged")]
    Format(#[from] CborError),
}
