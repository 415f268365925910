//! The authority key: Ed25519 and ML-DSA-65 (FIPS 204) together, both must verify.
//!
//! Until it is used, others know only its hash, so that neither a quantum computer nor a stolen device can prepare
//! for it.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa65};

use crate::cbor;
use crate::context::{self, HASH_LEN};
use crate::id::TwinId;
use crate::secret::Secret;
use crate::sign::{SIGNATURE_LEN, SignatureError, Use, message};

/// Length of an ML-DSA-65 verifying key, in bytes.
pub const ML_DSA_KEY_LEN: usize = 1952;
/// Length of an ML-DSA-65 signature, in bytes.
pub const ML_DSA_SIGNATURE_LEN: usize = 3309;
/// Length of an authority signature, in bytes: Ed25519 ‖ ML-DSA-65.
pub const AUTHORITY_SIGNATURE_LEN: usize = SIGNATURE_LEN + ML_DSA_SIGNATURE_LEN;

/// The secret halves of an authority key, expanded only while signing.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthorityKey {
    ed25519: Secret<32>,
    ml_dsa: Secret<32>,
}

/// The public halves of an authority key.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuthorityPublic {
    /// Ed25519 verifying key.
    #[cbor(n(0), with = "cbor::fixed")]
    pub ed25519: [u8; 32],
    /// ML-DSA-65 verifying key.
    #[cbor(n(1), with = "cbor::fixed")]
    pub ml_dsa: [u8; ML_DSA_KEY_LEN],
}

/// The hash by which an authority key is known before it is used.
pub type AuthorityHash = [u8; HASH_LEN];

impl AuthorityKey {
    /// From the seeds of both keys (RFC 8032 secret key, FIPS 204 ξ).
    pub const fn from_seeds(ed25519: Secret<32>, ml_dsa: Secret<32>) -> Self {
        Self { ed25519, ml_dsa }
    }

    /// The public halves.
    pub fn public(&self) -> AuthorityPublic {
        let ml_dsa = self.ml_dsa_key();
        AuthorityPublic {
            ed25519: self.ed25519_key().verifying_key().to_bytes(),
            ml_dsa: ml_dsa.expanded_key().verifying_key().encode().into(),
        }
    }

    /// Signs an entry with both keys; [`AUTHORITY_SIGNATURE_LEN`] bytes. Deterministic, so that the same rotation
    /// made twice from the words is the same entry.
    pub fn sign_entry(&self, twin: &TwinId, id: &[u8; 32]) -> Vec<u8> {
        let message = message(Use::Entry, twin, id);
        let mut signature = Vec::with_capacity(AUTHORITY_SIGNATURE_LEN);
        signature.extend_from_slice(&self.ed25519_key().sign(&message).to_bytes());
        // The only error is a context string that is too long; ours is empty.
        if let Ok(ml_dsa) = self
            .ml_dsa_key()
            .expanded_key()
            .sign_deterministic(&message, &[])
        {
            signature.extend_from_slice(&ml_dsa.encode());
        }
        signature
    }

    fn ed25519_key(&self) -> SigningKey {
        SigningKey::from_bytes(self.ed25519.expose())
    }

    fn ml_dsa_key(&self) -> ml_dsa::SigningKey<MlDsa65> {
        ml_dsa::SigningKey::from_seed(self.ml_dsa.expose().into())
    }
}

impl AuthorityPublic {
    /// The commitment to this key.
    pub fn hash(&self) -> AuthorityHash {
        context::AUTHORITY.hash([self.ed25519.as_slice(), &self.ml_dsa])
    }

    /// Verifies an entry's signature by both keys.
    pub fn verify_entry(
        &self,
        twin: &TwinId,
        id: &[u8; 32],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let (ed25519, ml_dsa) = signature
            .split_first_chunk::<SIGNATURE_LEN>()
            .ok_or(SignatureError)?;
        let message = message(Use::Entry, twin, id);
        VerifyingKey::from_bytes(&self.ed25519)
            .and_then(|key| {
                key.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(ed25519))
            })
            .map_err(|_| SignatureError)?;
        let encoded = EncodedSignature::<MlDsa65>::try_from(ml_dsa).map_err(|_| SignatureError)?;
        let signature = ml_dsa::Signature::decode(&encoded).ok_or(SignatureError)?;
        let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(&EncodedVerifyingKey::<MlDsa65>::from(
            self.ml_dsa,
        ));
        if key.verify_with_context(&message, &[], &signature) {
            Ok(())
        } else {
            Err(SignatureError)
        }
    }
}

impl std::fmt::Debug for AuthorityPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityPublic").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_must_verify() {
        let key = AuthorityKey::from_seeds(Secret::new([1; 32]), Secret::new([2; 32]));
        let public = key.public();
        let twin = TwinId::from_hash([3; 32]);
        let signature = key.sign_entry(&twin, &[4; 32]);
        assert_eq!(signature.len(), AUTHORITY_SIGNATURE_LEN);
        assert_eq!(public.verify_entry(&twin, &[4; 32], &signature), Ok(()));
        for index in [0, SIGNATURE_LEN, signature.len() - 1] {
            let mut bad = signature.clone();
            bad[index] ^= 1;
            assert!(public.verify_entry(&twin, &[4; 32], &bad).is_err());
        }
        assert!(public.verify_entry(&twin, &[5; 32], &signature).is_err());
        assert!(
            public
                .verify_entry(&twin, &[4; 32], &signature[..SIGNATURE_LEN])
                .is_err()
        );
    }
}
