//! Epochs: generations of a space's key.

use rand_core::CryptoRng;
use twin_identity::aead::{AeadError, DataKey};
use twin_identity::context;
use twin_identity::id_type;
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

id_type! {
    /// An epoch: hash of its key, so that a ciphertext that names its epoch commits to the key.
    EpochId
}

/// The key of an epoch: 32 random bytes from which the keys for its uses are derived.
#[derive(Debug, PartialEq, Eq)]
pub struct EpochKey(Secret<32>);

/// What proves to a device of the same twin that it is one, and to nobody else.
#[derive(Debug, PartialEq, Eq)]
pub struct DiscoveryKey(Secret<32>);

impl EpochKey {
    /// A new key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// From a secret that was granted.
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The secret, to be granted or stored sealed.
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// The epoch that this key makes.
    pub fn id(&self) -> EpochId {
        EpochId::from_bytes(context::EPOCH.hash([self.0.expose().as_slice()]))
    }

    /// The key that seals parts.
    pub fn part_key(&self) -> DataKey {
        self.derive(&context::PART_KEY)
    }

    /// The discovery key, if this is an epoch of the members space.
    pub fn discovery(&self) -> DiscoveryKey {
        DiscoveryKey(Secret::new(
            context::DISCOVERY.hash([self.0.expose().as_slice()]),
        ))
    }

    /// Seals the key of the epoch before, so that whoever has this key has the history too.
    pub fn seal_predecessor(
        &self,
        before: &Self,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, AeadError> {
        let aad = self.id();
        self.derive(&context::PREDECESSOR_KEY)
            .seal(aad.as_bytes(), before.0.expose(), rng)
    }

    /// Opens what [`EpochKey::seal_predecessor`] made.
    pub fn open_predecessor(&self, sealed: &[u8]) -> Result<Self, AeadError> {
        let aad = self.id();
        let opened = self
            .derive(&context::PREDECESSOR_KEY)
            .open(aad.as_bytes(), sealed)?;
        Secret::from_slice(&opened).map(Self).ok_or(AeadError::Open)
    }

    fn derive(&self, what: &context::Context) -> DataKey {
        let key = Zeroizing::new(what.hash([self.0.expose().as_slice()]));
        DataKey::new(Secret::new(*key))
    }
}

impl DiscoveryKey {
    /// The key that seals the keys of bundles for whoever has this discovery key.
    pub fn bundle_key(&self) -> DataKey {
        let key = Zeroizing::new(context::BUNDLE_EPOCH.hash([self.0.expose().as_slice()]));
        DataKey::new(Secret::new(*key))
    }

    /// MAC (keyed BLAKE3) over the given fields, all of fixed length.
    pub fn mac<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> Secret<32> {
        let mut hasher = blake3::Hasher::new_keyed(self.0.expose());
        for field in fields {
            hasher.update(field);
        }
        Secret::new(*hasher.finalize().as_bytes())
    }

    /// A secret for one use, and for the given fields, all of fixed length: hash(discovery key ‖ fields).
    pub fn derive<'a>(
        &'a self,
        what: &context::Context,
        fields: impl IntoIterator<Item = &'a [u8]>,
    ) -> Secret<32> {
        let key = std::iter::once(self.0.expose().as_slice());
        Secret::new(what.hash(key.chain(fields)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn an_epoch_opens_the_one_before_and_no_other() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let (first, second) = (EpochKey::random(rng), EpochKey::random(rng));
        let sealed = second.seal_predecessor(&first, rng).unwrap();
        assert_eq!(second.open_predecessor(&sealed).unwrap(), first);
        assert!(first.open_predecessor(&sealed).is_err());
    }
}
