//! What only the two sides of a link know, and the proofs that it makes.

use twin_identity::context;
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

/// The secret of a link, and what it is bound to: the QR code that holds it, or the messages that agreed on it.
pub(super) struct Proving {
    secret: Secret<32>,
    bytes: Zeroizing<Vec<u8>>,
}

/// Which side a proof is by, and what for, so that one cannot be sent back or used for the other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Phone = 0,
    New = 1,
    /// The two that say, over a link from afar, that the passcode was the right one.
    PhoneAgrees = 2,
    NewAgrees = 3,
}

impl Proving {
    pub const fn new(secret: Secret<32>, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { secret, bytes }
    }

    #[cfg(test)]
    pub const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Proof of knowing the secret: keyed BLAKE3 over what it is bound to and `fields` (each preceded by its length).
    pub fn prove(&self, side: Side, fields: &[&[u8]]) -> Secret<32> {
        let key = Zeroizing::new(context::LINK_MAC.hash([self.secret.expose().as_slice()]));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&[side as u8]);
        for field in std::iter::once(&self.bytes.as_slice()).chain(fields) {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        Secret::new(*hasher.finalize().as_bytes())
    }
}
