//! The platform's key store, as the vault sees it.

use twin_identity::secret::Secret;

/// Hardware (or the platform on its behalf) that keeps a key of its own and never hands it out.
pub trait KeyStore {
    /// Wraps 32 bytes under the key store's key; at most 4 KiB come back.
    fn wrap(&self, key: &Secret<32>) -> Result<Vec<u8>, KeyStoreError>;

    /// Unwraps what [`KeyStore::wrap`] made. May ask the person to show that they are there.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, KeyStoreError>;

    /// What [`KeyStore::wrap`] made is needed no more: a key store that keeps something for each may remove it.
    fn forget(&self, _wrapped: &[u8]) -> Result<(), KeyStoreError> {
        Ok(())
    }
}

/// The key store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// The person refused, or was not recognised.
    #[error("the vault stays locked: confirm with your fingerprint, face or device code")]
    Refused,
    /// It does not answer now.
    #[error("the device's key store does not answer: unlock the device and try again")]
    Unavailable,
    /// The key is gone, or the wrapped bytes are of another one.
    #[error(
        "the device's key store no longer has this vault's key: unlock it in another way, or restore from your words or a backup"
    )]
    KeyLost,
}
