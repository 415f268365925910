//! What is signed, and how: `"digital-twin v1 sig <use>\0" ‖ twin id ‖ 32-byte id`, Ed25519 (RFC 8032), verified
//! strictly (no small-order keys, canonical encodings only), so that one signature fits one use in one twin.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

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
    /// Unpacks the key of a device.
    pub fn new(device: &DeviceId) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(device.as_bytes());
        key.map(Self).map_err(|_| SignatureError)
    }

    /// Verifies a signature of the device.
    pub fn verify(
        &self,
        what: Use,
        twin: &TwinId,
        id: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        let message = message(what, twin, id);
        let verified = self.0.verify_strict(&message, &signature);
        verified.map_err(|_| SignatureError)
    }
}

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
