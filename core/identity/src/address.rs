//! Keys that stand for nobody: an address is an Ed25519 verifying key that is derived of a secret which several devices
//! share. Whoever holds the secret can sign for it; to all others it is 32 random bytes.
//!
//! What is signed is `"digital-twin v1 sig mailbox\0" ‖ 32-byte id`. It names no twin: whoever verifies it is to know of
//! none.

use crate::id::DeviceId;
use crate::id_type;
use crate::secret::Secret;
use crate::sign::{Signature, SignatureError, Signer, Verifier};

id_type! {
    /// An address: the Ed25519 verifying key of an [`AddressKey`].
    Address
}

/// The signing key of an address. It is wiped on drop, and has no Debug and no Clone.
pub struct AddressKey {
    signer: Signer,
    address: Address,
}

impl AddressKey {
    /// Of a derived seed of 32 bytes.
    pub fn new(seed: &Secret<32>) -> Self {
        let signer = Signer::new(seed);
        let address = Address(signer.key.verifying_key().to_bytes());
        Self { signer, address }
    }

    /// What it signs for.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs the 32-byte id of what is asked for.
    pub fn sign(&self, id: &[u8; 32]) -> Signature {
        self.signer.sign_message(&message(id))
    }
}

impl Address {
    /// Verifies, strictly, that whoever holds the key of this address signed an id.
    pub fn verify(&self, id: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        Verifier::new(&DeviceId::from_bytes(self.0))?.verify_message(&message(id), signature)
    }
}

/// The message that is signed.
fn message(id: &[u8; 32]) -> Vec<u8> {
    [b"digital-twin v1 sig mailbox\0".as_slice(), id].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_for_its_address_and_id_only() {
        let [one, two] = [1, 2].map(|seed| AddressKey::new(&Secret::new([seed; 32])));
        let signature = one.sign(&[7; 32]);
        assert_eq!(one.address().verify(&[7; 32], &signature), Ok(()));
        let refused = Err(SignatureError);
        assert_eq!(one.address().verify(&[8; 32], &signature), refused);
        assert_eq!(two.address().verify(&[7; 32], &signature), refused);
        let mut altered = signature;
        altered.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        assert_eq!(one.address().verify(&[7; 32], &altered), refused);
    }

    #[test]
    fn what_a_device_signs_is_worth_nothing_here() {
        let key = AddressKey::new(&Secret::new([3; 32]));
        let alike = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let device = ed25519_dalek::Signer::sign(&alike, b"digital-twin v1 sig op\0").to_bytes();
        assert!(key.address().verify(&[7; 32], &device).is_err());
        assert!(Address([0; 32]).verify(&[7; 32], &device).is_err());
    }
}
