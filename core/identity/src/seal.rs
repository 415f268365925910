//! Sealing to a key: HPKE (RFC 9180) in base mode with X-Wing (draft-ietf-hpke-pq), HKDF-SHA256 and
//! ChaCha20-Poly1305, one message per encapsulation.

use std::sync::Arc;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Length of an X-Wing public key, in bytes.
pub const SEALING_PUBLIC_LEN: usize = 1216;
/// Length of an X-Wing encapsulated key, in bytes.
pub const ENCAPSULATED_LEN: usize = 1120;
/// How much longer a sealed message is than its plaintext, in bytes: encapsulated key and tag.
pub const SEAL_OVERHEAD: usize = ENCAPSULATED_LEN + 16;

/// The secret key that opens what was sealed to its public half; kept as its 32-byte X-Wing seed.
#[derive(Debug, PartialEq, Eq)]
pub struct SealingKey(Secret<32>);

/// The public key that others seal to; 1,216 bytes. Clones share them.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingPublic(Arc<[u8; SEALING_PUBLIC_LEN]>);

/// A message could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The public key is no X-Wing key.
    #[error("a sealing key is not valid: the device that it belongs to has to be linked again")]
    Key,
    /// Not sealed to this key and context, or altered.
    #[error("a sealed message cannot be opened with the keys of this device")]
    Open,
}

impl SealingKey {
    /// A new key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// From its 32-byte seed (the X-Wing decapsulation key).
    pub const fn from_seed(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// The seed, to be stored sealed.
    pub const fn seed(&self) -> &Secret<32> {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> Result<SealingPublic, SealError> {
        let public = XWing::sk_to_pk(&self.private()?).to_bytes();
        Ok(SealingPublic(Arc::new(public.into())))
    }

    /// Opens `encapsulated key ‖ ciphertext ‖ tag`.
    pub fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (encapsulated, ciphertext) = sealed
            .split_first_chunk::<ENCAPSULATED_LEN>()
            .ok_or(SealError::Open)?;
        let encapsulated =
            <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::Open)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.private()?,
            &encapsulated,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| SealError::Open)
    }

    fn private(&self) -> Result<<XWing as Kem>::PrivateKey, SealError> {
        <XWing as Kem>::PrivateKey::from_bytes(self.0.expose()).map_err(|_| SealError::Key)
    }
}

impl SealingPublic {
    /// Checks and takes a public key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        <XWing as Kem>::PublicKey::from_bytes(bytes).map_err(|_| SealError::Key)?;
        let bytes = bytes.try_into().map_err(|_| SealError::Key)?;
        Ok(Self(Arc::new(bytes)))
    }

    /// The 1,216 bytes.
    pub fn as_bytes(&self) -> &[u8; SEALING_PUBLIC_LEN] {
        &self.0
    }

    /// Seals `plaintext`; the result is [`SEAL_OVERHEAD`] bytes longer.
    pub fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let key = <XWing as Kem>::PublicKey::from_bytes(&*self.0).map_err(|_| SealError::Key)?;
        let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<
            ChaCha20Poly1305,
            HkdfSha256,
            XWing,
        >(&OpModeS::Base, &key, info, plaintext, aad, rng)
        .map_err(|_| SealError::Key)?;
        let mut sealed = encapsulated.to_bytes().to_vec();
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }
}

impl std::fmt::Debug for SealingPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingPublic(…)")
    }
}

impl<C> minicbor::Encode<C> for SealingPublic {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&*self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for SealingPublic {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(d.bytes()?).map_err(|_| minicbor::decode::Error::message("sealing key"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn opens_only_what_was_sealed_to_it() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let key = SealingKey::random(rng);
        let public = key.public().unwrap();
        let sealed = public.seal(b"info", b"aad", b"secret", rng).unwrap();
        assert_eq!(sealed.len(), 6 + SEAL_OVERHEAD);
        assert_eq!(*key.open(b"info", b"aad", &sealed).unwrap(), b"secret");
        let other = SealingKey::random(rng);
        assert_eq!(other.open(b"info", b"aad", &sealed), Err(SealError::Open));
        assert_eq!(key.open(b"info", b"other", &sealed), Err(SealError::Open));
        assert_eq!(key.open(b"other", b"aad", &sealed), Err(SealError::Open));
        assert_eq!(
            key.open(b"info", b"aad", &sealed[..900]),
            Err(SealError::Open)
        );
    }

    #[test]
    fn refuses_what_is_no_key() {
        assert_eq!(SealingPublic::from_bytes(&[0; 10]), Err(SealError::Key));
        assert_eq!(
            SealingPublic::from_bytes(&[0xff; SEALING_PUBLIC_LEN]),
            Err(SealError::Key)
        );
    }
}
