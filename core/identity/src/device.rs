//! A device's keys: made on the device, random, never leaving it.

use ed25519_dalek::VerifyingKey;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::cbor;
use crate::context;
use crate::id::{DeviceId, TwinId};
use crate::seal::{SealError, SealingKey, SealingPublic};
use crate::secret::Secret;
use crate::sign::{self, Signature, SignatureError, Signer, Use};

/// Length of a device's keys as they are stored, in bytes: Ed25519 secret key ‖ X-Wing seed.
pub const DEVICE_KEYS_LEN: usize = 64;

/// The secret keys of one device.
pub struct DeviceKeys {
    signing: Signer,
    sealing: SealingKey,
    public: DevicePublic,
}

/// What others know of a device: its id (the Ed25519 verifying key) and its sealing key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DevicePublic {
    /// The Ed25519 verifying key, which is the device's id.
    #[n(0)]
    pub id: DeviceId,
    /// The X-Wing key that grants are sealed to.
    #[n(1)]
    pub sealing: SealingPublic,
}

/// What a device may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Reads and writes data.
    #[n(0)]
    Member,
    /// May also change the identity log.
    #[n(1)]
    Admin,
}

/// A device as the identity log names it: keys, role, and the keys' own signature that they are in this twin.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceStatement {
    /// Its public keys.
    #[n(0)]
    pub device: DevicePublic,
    /// Its role.
    #[n(1)]
    pub role: Role,
    /// [`Use::Device`] signature by the device itself over twin id and keys, so that nobody can claim the keys of
    /// another's device.
    #[cbor(n(2), with = "cbor::fixed")]
    pub proof: Signature,
    /// Until when it may take part, in milliseconds since the Unix epoch; without end if absent. Read when the device
    /// is used, never when logs are merged.
    #[n(3)]
    pub expires: Option<u64>,
}

impl DeviceKeys {
    /// New keys.
    pub fn random(rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        let secret = Secret::<DEVICE_KEYS_LEN>::random(rng);
        Self::from_secret(&secret)
    }

    /// Keys as stored by [`DeviceKeys::to_secret`].
    pub fn from_secret(secret: &Secret<DEVICE_KEYS_LEN>) -> Result<Self, SealError> {
        let (signing, sealing) = secret.expose().split_at(32);
        let signing = Secret::<32>::from_slice(signing).ok_or(SealError::Key)?;
        let sealing = SealingKey::from_seed(Secret::from_slice(sealing).ok_or(SealError::Key)?);
        let signing = Signer::new(&signing);
        let public = DevicePublic {
            id: DeviceId::from_bytes(signing.key.verifying_key().to_bytes()),
            sealing: sealing.public()?,
        };
        Ok(Self {
            signing,
            sealing,
            public,
        })
    }

    /// The keys in one secret, to be stored sealed.
    pub fn to_secret(&self) -> Secret<DEVICE_KEYS_LEN> {
        let mut bytes = Zeroizing::new([0; DEVICE_KEYS_LEN]);
        bytes
            .iter_mut()
            .zip(
                self.signing
                    .key
                    .as_bytes()
                    .iter()
                    .chain(self.sealing.seed().expose()),
            )
            .for_each(|(to, from)| *to = *from);
        Secret::new(*bytes)
    }

    /// The public halves.
    pub const fn public(&self) -> &DevicePublic {
        &self.public
    }

    /// The device's id.
    pub const fn id(&self) -> DeviceId {
        self.public.id
    }

    /// Signs `id` for one use in one twin.
    pub fn sign(&self, what: Use, twin: &TwinId, id: &[u8; 32]) -> Signature {
        self.signing.sign(what, twin, id)
    }

    /// A secret that this device and `other` alone can make (X25519 over the Ed25519 keys' Montgomery form, RFC 7748),
    /// to recognise each other where no epoch key is shared any more; `None` if `other` is no proper key.
    ///
    /// It is not safe against quantum computers and seals nothing.
    pub fn shared(&self, other: &DeviceId) -> Option<Secret<32>> {
        let other = VerifyingKey::from_bytes(other.as_bytes()).ok()?;
        if other.is_weak() {
            return None;
        }
        let scalar = Zeroizing::new(self.signing.key.to_scalar_bytes());
        let shared = other.to_montgomery().mul_clamped(*scalar);
        Some(Secret::new(
            context::DEVICE_PAIR.hash([shared.as_bytes().as_slice()]),
        ))
    }

    /// Opens what was sealed to this device.
    pub fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.sealing.open(info, aad, sealed)
    }

    /// The statement by which an admin can add this device to the twin.
    pub fn statement(&self, twin: &TwinId, role: Role) -> DeviceStatement {
        DeviceStatement {
            device: self.public.clone(),
            role,
            proof: self.sign(Use::Device, twin, &self.public.proof_id()),
            expires: None,
        }
    }
}

impl std::fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceKeys({:?})", self.public.id)
    }
}

impl DevicePublic {
    fn proof_id(&self) -> [u8; 32] {
        context::DEVICE.hash([self.id.as_bytes().as_slice(), self.sealing.as_bytes()])
    }
}

impl DeviceStatement {
    /// Verifies that the device itself agrees to be in this twin with these keys.
    pub fn verify(&self, twin: &TwinId) -> Result<(), SignatureError> {
        let id = self.device.proof_id();
        sign::verify(&self.device.id, Use::Device, twin, &id, &self.proof)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn keys_survive_storage() {
        let keys = DeviceKeys::random(&mut ChaCha20Rng::seed_from_u64(1)).unwrap();
        let again = DeviceKeys::from_secret(&keys.to_secret()).unwrap();
        assert_eq!(again.public(), keys.public());
    }

    #[test]
    fn a_device_opens_what_is_sealed_to_it() {
        let rng = &mut ChaCha20Rng::seed_from_u64(4);
        let keys = DeviceKeys::random(rng).unwrap();
        let sealed = keys.public().sealing.seal(b"use", b"with", b"hello", rng);
        let sealed = sealed.unwrap();
        let opened = keys.open(b"use", b"with", &sealed).unwrap();
        assert_eq!(&**opened, b"hello");
        assert!(keys.open(b"use", b"without", &sealed).is_err());
    }

    #[test]
    fn two_devices_share_a_secret_that_no_other_pair_has() {
        let rng = &mut ChaCha20Rng::seed_from_u64(3);
        let [a, b, c] = [(); 3].map(|()| DeviceKeys::random(rng).unwrap());
        let at_a = a.shared(&b.id()).unwrap();
        assert_eq!(at_a, b.shared(&a.id()).unwrap());
        assert_ne!(at_a, c.shared(&a.id()).unwrap());
        assert_ne!(at_a, c.shared(&b.id()).unwrap());
        // The neutral element, which would share the same secret with everybody.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(a.shared(&DeviceId::from_bytes(weak)).is_none());
    }

    #[test]
    fn a_statement_fits_one_twin_and_one_pair_of_keys() {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let twin = TwinId::from_hash([1; 32]);
        let keys = DeviceKeys::random(rng).unwrap();
        let statement = keys.statement(&twin, Role::Member);
        assert_eq!(statement.verify(&twin), Ok(()));
        assert!(statement.verify(&TwinId::from_hash([2; 32])).is_err());
        let mut other = statement.clone();
        other.device.sealing = DeviceKeys::random(rng).unwrap().public().sealing.clone();
        assert!(other.verify(&twin).is_err());
    }
}
