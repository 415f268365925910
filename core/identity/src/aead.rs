//! Sealing of data: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03).
//!
//! The 24-byte nonce is `salt (16) ‖ index (8, big-endian)`. HChaCha20(key, salt) gives a sub-key once, and every
//! part under that salt is then plain ChaCha20-Poly1305 (RFC 8439) with the nonce `0 (4) ‖ index (8)`: byte for byte
//! XChaCha20-Poly1305, several times faster for short parts.
//!
//! Salts and nonces are keyed BLAKE3 over fresh randomness, the associated data and the plaintext, so that a cloned
//! or broken random generator repeats a nonce only for the same message.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::R20;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::context;
use crate::secret::Secret;

/// Length of a data key, in bytes.
pub const DATA_KEY_LEN: usize = 32;
/// Length of a salt, in bytes.
pub const SALT_LEN: usize = 16;
/// Length of an authentication tag, in bytes.
pub const TAG_LEN: usize = 16;
/// Length of an XChaCha20-Poly1305 nonce, in bytes.
pub const NONCE_LEN: usize = 24;
/// How much longer [`DataKey::seal`] makes a message, in bytes: nonce and tag.
pub const DATA_OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// How many bytes are gathered before they are hashed into a nonce: as many chunks as BLAKE3 hashes side by side.
const GATHERED: usize = 16 << 10;

/// A salt: fresh for every sealing, never derived from a counter.
pub type Salt = [u8; SALT_LEN];

/// Data could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AeadError {
    /// Wrong key, wrong place or altered.
    #[error("sealed data does not open with this key: it was altered or belongs elsewhere")]
    Open,
    /// The cipher refused the message: longer than 256 GiB.
    #[error("the data could not be sealed: it is too large")]
    Seal,
}

/// A key for sealing data.
#[derive(Debug, PartialEq, Eq)]
pub struct DataKey(Secret<DATA_KEY_LEN>);

/// A [`DataKey`] under one salt.
pub struct SaltedKey(LessSafeKey);

impl DataKey {
    /// From a secret of 32 bytes.
    pub const fn new(secret: Secret<DATA_KEY_LEN>) -> Self {
        Self(secret)
    }

    /// A new key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// The secret, to be wrapped under another key.
    pub const fn secret(&self) -> &Secret<DATA_KEY_LEN> {
        &self.0
    }

    /// A fresh salt for a message made of `fields` (associated data first, then plaintexts).
    pub fn salt<'a>(
        &self,
        fields: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
        rng: &mut impl CryptoRng,
    ) -> Salt {
        self.nonce::<SALT_LEN>(fields, &fresh(rng))
    }

    fn nonce<'a, const N: usize>(
        &self,
        fields: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
        fresh: &[u8; 32],
    ) -> [u8; N] {
        const { assert!(N <= blake3::OUT_LEN) };
        let key = Zeroizing::new(context::NONCE.hash([self.0.expose().as_slice()]));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        let fields = fields.into_iter();
        let len: usize = fields.clone().map(|field| 8 + field.len()).sum();
        // Many bytes at once are hashed several times faster than a few many times.
        let room = GATHERED.min(fresh.len() + len);
        let mut gathered = Zeroizing::new(Vec::with_capacity(room));
        gathered.extend_from_slice(fresh);
        for field in fields {
            for mut bytes in [(field.len() as u64).to_be_bytes().as_slice(), field] {
                while let Some((fit, rest)) = bytes.split_at_checked(room - gathered.len()) {
                    gathered.extend_from_slice(fit);
                    hasher.update(&gathered);
                    gathered.clear();
                    bytes = rest;
                }
                gathered.extend_from_slice(bytes);
            }
        }
        hasher.update(&gathered);
        let mut nonce = [0; N];
        let hash = hasher.finalize();
        let bytes = nonce.iter_mut().zip(hash.as_bytes());
        bytes.for_each(|(to, from)| *to = *from);
        nonce
    }

    /// The sub-key for `salt`.
    pub fn salted(&self, salt: &Salt) -> Result<SaltedKey, AeadError> {
        let sub_key: Zeroizing<[u8; 32]> =
            Zeroizing::new(chacha20::hchacha::<R20>(self.0.expose().into(), salt.into()).into());
        let key = UnboundKey::new(&CHACHA20_POLY1305, sub_key.as_slice());
        Ok(SaltedKey(LessSafeKey::new(
            key.map_err(|_| AeadError::Seal)?,
        )))
    }

    /// Seals one message by itself: `nonce (24) ‖ ciphertext ‖ tag`.
    pub fn seal(
        &self,
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, AeadError> {
        self.seal_under(self.nonce([aad, plaintext], &fresh(rng)), aad, plaintext)
    }

    /// Seals one message as [`DataKey::seal`] does, but with a nonce made of the message alone (a synthetic nonce, as
    /// in RFC 5297): needs no randomness, and tells only whether the same message was sealed before in the same place.
    pub fn seal_synthetic(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, AeadError> {
        self.seal_under(self.nonce([aad, plaintext], &[0; 32]), aad, plaintext)
    }

    fn seal_under(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, AeadError> {
        let (salt, index) = split(&nonce);
        let mut message = Vec::with_capacity(plaintext.len() + TAG_LEN);
        message.extend_from_slice(plaintext);
        let mut sealed = Vec::with_capacity(plaintext.len() + DATA_OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend(self.salted(&salt)?.seal(index, aad, message)?);
        Ok(sealed)
    }

    /// Opens what [`DataKey::seal`] or [`DataKey::seal_synthetic`] made.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(AeadError::Open)?;
        let (salt, index) = split(nonce);
        self.salted(&salt)?.open(index, aad, sealed)
    }
}

fn fresh(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut fresh = [0; 32];
    rng.fill_bytes(&mut fresh);
    fresh
}

fn split(nonce: &[u8; NONCE_LEN]) -> (Salt, u64) {
    let mut salt = [0; SALT_LEN];
    let mut index = [0; 8];
    salt.iter_mut()
        .chain(&mut index)
        .zip(nonce)
        .for_each(|(to, from)| *to = *from);
    (salt, u64::from_be_bytes(index))
}

impl SaltedKey {
    /// Seals the message with this index in place: `ciphertext ‖ tag`. One index seals one message.
    pub fn seal(&self, index: u64, aad: &[u8], mut message: Vec<u8>) -> Result<Vec<u8>, AeadError> {
        #[cfg(twin_break)]
        if crate::broken::is("sealing_off") {
            message.extend_from_slice(&[0; TAG_LEN]);
            return Ok(message);
        }
        self.0
            .seal_in_place_append_tag(nonce(index), Aad::from(aad), &mut message)
            .map_err(|_| AeadError::Seal)?;
        Ok(message)
    }

    /// Opens `ciphertext ‖ tag` of the message with this index.
    pub fn open(
        &self,
        index: u64,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        #[cfg(twin_break)]
        if crate::broken::is("sealing_off") {
            let len = sealed.len().checked_sub(TAG_LEN).ok_or(AeadError::Open)?;
            return Ok(Zeroizing::new(
                sealed.get(..len).unwrap_or_default().to_vec(),
            ));
        }
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let len = self
            .0
            .open_in_place(nonce(index), Aad::from(aad), &mut buffer)
            .map_err(|_| AeadError::Open)?
            .len();
        buffer.truncate(len);
        Ok(buffer)
    }
}

fn nonce(index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce
        .iter_mut()
        .skip(4)
        .zip(index.to_be_bytes())
        .for_each(|(to, from)| *to = from);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sealing_adds_a_nonce_and_a_tag() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let sealed = DataKey::random(rng).seal(b"", b"four", rng).unwrap();
        assert_eq!((DATA_OVERHEAD, sealed.len()), (40, 44));
    }

    proptest! {
        /// The crate `chacha20poly1305` is the reference, both ways.
        #[test]
        fn is_xchacha20_poly1305(key: [u8; 32], seed: u64, aad: Vec<u8>, message: Vec<u8>) {
            let rng = &mut ChaCha20Rng::seed_from_u64(seed);
            let ours = DataKey::new(Secret::new(key));
            let reference = XChaCha20Poly1305::new(&Key::from(key));
            let sealed = ours.seal(&aad, &message, rng).unwrap();
            let nonce = XNonce::try_from(&sealed[..NONCE_LEN]).unwrap();
            let opened = reference
                .decrypt(&nonce, Payload { msg: &sealed[NONCE_LEN..], aad: &aad })
                .unwrap();
            prop_assert_eq!(&opened, &message);
            let mut theirs = nonce.to_vec();
            theirs.extend(reference.encrypt(&nonce, Payload { msg: &message, aad: &aad }).unwrap());
            prop_assert_eq!(&*ours.open(&aad, &theirs).unwrap(), &message);
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            let key = DataKey::new(Secret::new([1; 32]));
            prop_assert_eq!(key.open(b"", &bytes), Err(AeadError::Open));
        }
    }

    #[test]
    fn a_synthetic_nonce_tells_equality_and_no_more() {
        let key = DataKey::new(Secret::new([1; 32]));
        let seal = |aad: &[u8], message: &[u8]| key.seal_synthetic(aad, message).unwrap();
        assert_eq!(seal(b"aad", b"one"), seal(b"aad", b"one"));
        let nonces = [(b"aad", b"one"), (b"aad", b"two"), (b"bad", b"one")];
        let nonces = nonces.map(|(aad, message)| seal(aad, message)[..NONCE_LEN].to_vec());
        assert!(nonces[0] != nonces[1] && nonces[0] != nonces[2]);
        assert_eq!(*key.open(b"aad", &seal(b"aad", b"one")).unwrap(), b"one");
        assert!(key.open(b"bad", &seal(b"aad", b"one")).is_err());
    }

    #[test]
    fn a_salt_is_fresh_and_made_of_what_is_sealed() {
        let key = DataKey::new(Secret::new([1; 32]));
        let rng = || ChaCha20Rng::seed_from_u64(7);
        let salt = |fields: &[&[u8]], rng: &mut ChaCha20Rng| key.salt(fields.iter().copied(), rng);
        let one = salt(&[b"one"], &mut rng());
        assert_eq!(one, salt(&[b"one"], &mut rng()));
        assert_ne!(one, salt(&[b"two"], &mut rng()));
        let mut moved = rng();
        assert_eq!(one, salt(&[b"one"], &mut moved));
        assert_ne!(one, salt(&[b"one"], &mut moved));
    }

    proptest! {
        /// However the fields are gathered, it is the hash of one after the other.
        #[test]
        fn a_nonce_is_the_hash_of_all_fields(lens in prop::collection::vec(0usize..3000, 0..12), long: bool) {
            let mut fields: Vec<Vec<u8>> = lens.iter().map(|len| vec![*len as u8; *len]).collect();
            if long {
                fields.insert(fields.len() / 2, vec![9; 3 * GATHERED]);
            }
            let key = DataKey::new(Secret::new([1; 32]));
            let mut input = vec![7; 32];
            for field in &fields {
                input.extend((field.len() as u64).to_be_bytes());
                input.extend(field);
            }
            let expected = blake3::keyed_hash(&context::NONCE.hash([[1; 32].as_slice()]), &input);
            let nonce: [u8; NONCE_LEN] = key.nonce(fields.iter().map(Vec::as_slice), &[7; 32]);
            prop_assert_eq!(nonce.as_slice(), &expected.as_bytes()[..NONCE_LEN]);
        }
    }

    #[test]
    fn a_stuck_random_generator_repeats_no_nonce() {
        let key = DataKey::new(Secret::new([1; 32]));
        let rng = || ChaCha20Rng::seed_from_u64(7);
        let one = key.seal(b"aad", b"one", &mut rng()).unwrap();
        let two = key.seal(b"aad", b"two", &mut rng()).unwrap();
        let elsewhere = key.seal(b"bad", b"one", &mut rng()).unwrap();
        assert_ne!(one[..NONCE_LEN], two[..NONCE_LEN]);
        assert_ne!(one[..NONCE_LEN], elsewhere[..NONCE_LEN]);
    }
}
