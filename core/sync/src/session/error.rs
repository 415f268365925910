//! Why a sync session ends early.

use twin_identity::cbor::CborError;

/// The session has ended. What was taken over until then is kept and verified; the next session goes on from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The peer is not a device of this twin (or knows only keys that have been replaced since).
    #[error("the other side is not a device of this twin")]
    Stranger,
    /// The peer proved the discovery key but is no device in the identity log.
    #[error("the other device is not, or no longer, linked to this twin")]
    NotLinked,
    /// A message of another version, out of order, or more than is allowed.
    #[error("the other device sent something unexpected: update the app on both devices")]
    Unexpected,
    /// The peer has sent chunks of files that it was not asked for, other bytes than it was asked for, or has asked for
    /// too many at once.
    #[error("the other device sent or asked for content of files against the rules: {0}")]
    Content(&'static str),
    /// The peer was silent for too long at the beginning.
    #[error("the other device did not answer in time")]
    Silent,
    /// A damaged message.
    #[error("a message of the other device is damaged")]
    Format(#[from] CborError),
    /// The store refused what the peer sent, or could not be read.
    #[error("{0}")]
    Store(String),
}

impl SyncError {
    /// An error of the store, in its own words.
    pub(crate) fn store(error: impl std::error::Error) -> Self {
        Self::Store(error.to_string())
    }
}
