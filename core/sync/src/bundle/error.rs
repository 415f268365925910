//! Why a bundle cannot be made or taken.

use twin_identity::aead::AeadError;
use twin_identity::seal::SealError;

use crate::session::SyncError;

/// A bundle cannot be made, or not be taken. What was taken before is kept and verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Another kind of file.
    #[error("this is nothing that `twin export --since` has made")]
    Foreign,
    /// Made by a later version.
    #[error("this was made by a newer version of the app: update the app to take it in")]
    Newer,
    /// It ends too early.
    #[error("this is cut off after {0} bytes: copy it anew from where it came")]
    Cut(u64),
    /// What stands there is not what was written.
    #[error("this is damaged near byte {0}: copy it anew from where it came")]
    Damaged(u64),
    /// It goes on after its end.
    #[error("this has something after its end, at byte {0}: copy it anew")]
    TooLong(u64),
    /// It does not open with any key of this device.
    #[error(
        "this is not for this device: it is of another twin, or it was made when this device was not linked to the one that made it"
    )]
    Stranger,
    /// Its maker is no device of the twin, or not any more.
    #[error("this was made by a device that is not, or no longer, linked to this twin")]
    NotLinked,
    /// Somebody for whom it should be made does not take part.
    #[error("that device is not linked to this twin now, so nothing is made for it")]
    Recipient,
    /// Nobody, or more than there can be devices.
    #[error("this is to be made for 1 to 64 devices")]
    Recipients,
    /// The content breaks a rule, though it is sealed and signed as it should be.
    #[error("this was not made as it should be ({0}): make it anew")]
    Content(&'static str),
    /// Not even what it takes at least fits into the size that was asked for.
    #[error("{0} bytes are too few: ask for more")]
    TooSmall(usize),
    /// A key could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A piece could not be sealed.
    #[error(transparent)]
    Aead(#[from] AeadError),
    /// The store refused what is in it, or could not be read.
    #[error(transparent)]
    Store(#[from] SyncError),
}

impl BundleError {
    /// An error of the store, in its own words.
    pub(super) fn store(error: impl std::error::Error) -> Self {
        Self::Store(SyncError::store(error))
    }
}
