//! What is signed, and how: `"digital-twin v1 sig <use>\0" ‖ twin id ‖ 32-byte id`, Ed25519 (RFC 8032), verified
//! strictly (no small-order keys, canonical encodings only), so that one signature fits one use in one twin.

use std::sync::LazyLock;

use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signer, SigningKey, Verifier as _, VerifyingKey};

use crate::id::{DeviceId, TWIN_ID_LEN, TwinId};

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

pub(crate) fn sign(key: &SigningKey, what: Use, twin: &TwinId, id: &[u8; 32]) -> Signature {
    key.sign(&message(what, twin, id)).to_bytes()
}

/// A device's verifying key, unpacked: to unpack it takes a tenth of the time of a verification, and a device signs
/// many times.
#[derive(Debug, Clone)]
pub struct Verifier(VerifyingKey);

impl Verifier {
    /// Unpacks the key of a device. A key of small order signs everything, and so nothing: it is refused.
    pub fn new(device: &DeviceId) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(device.as_bytes()).map_err(|_| SignatureError)?;
        if key.is_weak() {
            Err(SignatureError)
        } else {
            Ok(Self(key))
        }
    }

    /// Verifies a signature of the device: accepts and refuses what `verify_strict` of ed25519-dalek does, in nine
    /// tenths of its time. That unpacks R to see whether it is of small order; a signature that verifies has an R in
    /// canonical form, and only eight of those are of small order.
    pub fn verify(
        &self,
        what: Use,
        twin: &TwinId,
        id: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        let message = message(what, twin, id);
        if SMALL_ORDER.contains(signature.r_bytes()) {
            return Err(SignatureError);
        }
        let verified = self.0.verify(&message, &signature);
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
        let signature = sign(&key, Use::Op, &twin(), &ID);
        assert!(accepts(&key, &signature));
        for bit in 0..SIGNATURE_LEN * 8 {
            let mut altered = signature;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&key, &altered), "bit {bit}");
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
    fn a_key_of_small_order_is_refused() {
        for point in EIGHT_TORSION {
            let id = DeviceId::from_bytes(point.compress().to_bytes());
            assert_eq!(Verifier::new(&id).err(), Some(SignatureError));
        }
    }
}
