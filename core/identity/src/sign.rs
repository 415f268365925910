//! What is signed, and how: `"digital-twin v1 sig <use>\0" ‖ twin id ‖ 32-byte id`, Ed25519 (RFC 8032), verified
//! strictly (no small-order keys, canonical encodings only), so that one signature fits one use in one twin.

use std::sync::LazyLock;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, ParsedPublicKey};
use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::id::{DeviceId, TWIN_ID_LEN, TwinId};
use crate::secret::Secret;

/// Length of an Ed25519 signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// An Ed25519 signature.
pub type Signature = [u8; SIGNATURE_LEN];

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// An identity log entry.
    Entry,
    /// A new device's proof that it holds its keys.
    Device,
    /// The header of an op.
    Op,
    /// A grant of epoch keys.
    Grant,
    /// The proof of a device in a sync session.
    Session,
    /// A statement of where the identity log stands.
    Head,
    /// The manifest of a backup.
    Backup,
    /// A piece of a bundle.
    Bundle,
}

impl Use {
    const fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Device => "device",
            Self::Op => "op",
            Self::Grant => "grant",
            Self::Session => "session",
            Self::Head => "head",
            Self::Backup => "backup",
            Self::Bundle => "bundle",
        }
    }
}

/// The signature does not fit the key, the use, the twin and the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signature is not valid: the data was altered or comes from somebody else")]
pub struct SignatureError;

/// The message that is signed.
pub fn message(what: Use, twin: &TwinId, id: &[u8; 32]) -> Vec<u8> {
    let mut message = Vec::with_capacity(32 + TWIN_ID_LEN + 32);
    message.extend_from_slice(b"digital-twin v1 sig ");
    message.extend_from_slice(what.name().as_bytes());
    message.push(0);
    message.extend_from_slice(twin.as_bytes());
    message.extend_from_slice(id);
    message
}

/// A device's signing key. RFC 8032 leaves a signature no choice, so it is made by the library that takes half the time.
pub(crate) struct Signer {
    pub key: SigningKey,
    quick: Option<Ed25519KeyPair>,
}

impl Signer {
    /// From a secret key of 32 bytes.
    pub fn new(seed: &Secret<32>) -> Self {
        Self {
            key: SigningKey::from_bytes(seed.expose()),
            quick: Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok(),
        }
    }

    /// Signs `id` for one use in one twin.
    pub fn sign(&self, what: Use, twin: &TwinId, id: &[u8; 32]) -> Signature {
        self.sign_message(&message(what, twin, id))
    }

    /// Signs a whole message.
    pub fn sign_message(&self, message: &[u8]) -> Signature {
        let quick = self
            .quick
            .as_ref()
            .and_then(|key| key.try_sign(message).ok());
        let quick = quick.and_then(|signature| signature.as_ref().try_into().ok());
        quick.unwrap_or_else(|| self.key.sign(message).to_bytes())
    }
}

/// A device's verifying key, checked.
#[derive(Debug, Clone)]
pub struct Verifier(ParsedPublicKey);

impl Verifier {
    /// Reads the key of a device. A key of small order signs everything, and so nothing: it is refused. So is a key
    /// that is not in the one form that a key is written in, about which libraries differ.
    pub fn new(device: &DeviceId) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(device.as_bytes()).map_err(|_| SignatureError)?;
        if key.is_weak() || key.to_edwards().compress().as_bytes() != device.as_bytes() {
            return Err(SignatureError);
        }
        let key = ParsedPublicKey::new(&ED25519, device.as_bytes()).map_err(|_| SignatureError)?;
        Ok(Self(key))
    }

    /// Verifies a signature of the device over the 32-byte id of what it signed.
    pub fn verify(
        &self,
        what: Use,
        twin: &TwinId,
        id: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_message(&message(what, twin, id), signature)
    }

    /// Verifies a signature over a whole message: accepts and refuses what `verify_strict` of ed25519-dalek does, in
    /// less time. That is RFC 8032 section 5.1.7 without the cofactor, with an R of small order refused: a signature
    /// that verifies has an R in canonical form, and only eight of those are of small order.
    pub fn verify_message(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let (r, _) = signature.split_at(32);
        if SMALL_ORDER.iter().any(|small| small == r) {
            return Err(SignatureError);
        }
        let verified = self.0.verify_sig(message, signature);
        verified.map_err(|_| SignatureError)
    }
}

/// The points of small order, packed.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// Verifies one signature of a device.
pub fn verify(
    device: &DeviceId,
    what: Use,
    twin: &TwinId,
    id: &[u8; 32],
    signature: &Signature,
) -> Result<(), SignatureError> {
    Verifier::new(device)?.verify(what, twin, id, signature)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use curve25519_dalek::scalar::Scalar;
    use ed25519_dalek::Verifier as _;
    use sha2::{Digest, Sha512};

    use super::*;

    const ID: [u8; 32] = [2; 32];

    fn twin() -> TwinId {
        TwinId::from_bytes(&[1; TWIN_ID_LEN]).unwrap()
    }

    fn device(key: &SigningKey) -> DeviceId {
        DeviceId::from_bytes(key.verifying_key().to_bytes())
    }

    /// Whether we accept a signature, which has to be what `verify_strict` says.
    fn accepts(key: &SigningKey, signature: &Signature) -> bool {
        let strictly = ed25519_dalek::Signature::from_bytes(signature);
        let strictly = key
            .verifying_key()
            .verify_strict(&message(Use::Op, &twin(), &ID), &strictly);
        let ours = verify(&device(key), Use::Op, &twin(), &ID, signature);
        assert_eq!(ours.is_ok(), strictly.is_ok());
        ours.is_ok()
    }

    #[test]
    fn accepts_what_verify_strict_accepts() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let signature = Signer::new(&Secret::new([3; 32])).sign(Use::Op, &twin(), &ID);
        assert!(accepts(&key, &signature));
        for bit in 0..SIGNATURE_LEN * 8 {
            let mut altered = signature;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&key, &altered), "bit {bit}");
        }
    }

    #[test]
    fn both_libraries_sign_alike() {
        for seed in 0..20 {
            let mut signer = Signer::new(&Secret::new([seed; 32]));
            assert!(signer.quick.is_some());
            let id = [seed.wrapping_mul(7); 32];
            let quick = signer.sign(Use::Grant, &twin(), &id);
            signer.quick = None;
            assert_eq!(signer.sign(Use::Grant, &twin(), &id), quick);
        }
    }

    #[test]
    fn an_r_of_small_order_is_refused() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let text = message(Use::Op, &twin(), &ID);
        // R is 0 here, and S = k·a fits it: only the order of R speaks against it.
        let r = EIGHT_TORSION[0].compress().to_bytes();
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(key.verifying_key().as_bytes())
            .chain_update(&text);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let mut signature = [0; SIGNATURE_LEN];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice((k * key.to_scalar()).as_bytes());
        let loose = ed25519_dalek::Signature::from_bytes(&signature);
        assert!(key.verifying_key().verify(&text, &loose).is_ok());
        assert!(!accepts(&key, &signature));
        assert_eq!(
            SMALL_ORDER
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            8
        );
    }

    #[test]
    fn a_key_in_another_form_is_refused() {
        // Of the numbers from p to 2^255 - 1 that stand for a point, those of small order left out: p + 3 and so on.
        let mut tried = 0;
        for y in 0xed..=0xff_u8 {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (y, 0x7f);
            if VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()) {
                let id = DeviceId::from_bytes(bytes);
                assert_eq!(Verifier::new(&id).err(), Some(SignatureError));
                tried += 1;
            }
        }
        assert!(tried > 0);
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        for point in EIGHT_TORSION {
            let id = DeviceId::from_bytes(point.compress().to_bytes());
            assert_eq!(Verifier::new(&id).err(), Some(SignatureError));
        }
    }
}
