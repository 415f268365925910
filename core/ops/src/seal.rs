//! Sealing the parts of an op, one by one, so that one can be erased and the others still open.
//!
//! A part is `ciphertext ‖ tag` of XChaCha20-Poly1305 under the epoch's part key with the nonce `salt ‖ part index`.
//! The salt is fresh for every op; the associated data is hash(log id ‖ seq ‖ epoch id ‖ part index), so that a part
//! opens only in its place. Plaintexts are padded so that lengths say little.

use rand_core::CryptoRng;
use twin_identity::aead::{AeadError, DataKey, Salt, SaltedKey, TAG_LEN};
use twin_identity::context::{self, Begun, HASH_LEN};
use zeroize::Zeroizing;

use crate::epoch::EpochId;
use crate::op::{LogId, Place};

/// The least bytes that a plaintext is padded to.
pub const MIN_PADDED: usize = 32;

/// Seals all parts of the op at `place`, each where its plaintext is: with room for padding and tag (see [`sealed_len`])
/// nothing is copied.
pub fn seal_parts(
    key: &DataKey,
    place: &Place,
    plaintexts: Vec<Zeroizing<Vec<u8>>>,
    rng: &mut impl CryptoRng,
) -> Result<(Salt, Vec<Vec<u8>>), AeadError> {
    let aad = Aad::new(&place.log, place.seq, &place.epoch);
    let first = aad.of(0);
    let fields = std::iter::once(first.as_slice()).chain(plaintexts.iter().map(|p| p.as_slice()));
    let salt = key.salt(fields, rng);
    let salted = key.salted(&salt)?;
    let mut sealed = Vec::with_capacity(plaintexts.len());
    for (index, plaintext) in (0..).zip(plaintexts) {
        sealed.push(salted.seal(index, &aad.of(index), pad_in_place(plaintext))?);
    }
    Ok((salt, sealed))
}

/// How many bytes a plaintext of so many has when it is sealed.
pub const fn sealed_len(plaintext: usize) -> usize {
    padded_len(plaintext + 1) + TAG_LEN
}

/// Where a sealed part stands.
#[derive(Debug, Clone, Copy)]
pub struct PartPlace<'a> {
    /// The log of its op.
    pub log: &'a LogId,
    /// The seq of its op.
    pub seq: u64,
    /// The epoch of its op.
    pub epoch: &'a EpochId,
    /// The salt of its op.
    pub salt: &'a Salt,
    /// Its index among the op's parts.
    pub index: u64,
}

/// Opens one part with the part key of its epoch.
pub fn open_part(
    key: &DataKey,
    place: PartPlace<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let PartPlace {
        log, seq, epoch, ..
    } = place;
    Opener::new(key, log, seq, epoch, place.salt)?.open(place.index, sealed)
}

/// Opens parts of one op: what they have in common is derived once.
pub struct Opener {
    key: SaltedKey,
    aad: Aad,
}

impl Opener {
    /// Of the op at `seq` of a log, with the part key of its epoch.
    pub fn new(
        key: &DataKey,
        log: &LogId,
        seq: u64,
        epoch: &EpochId,
        salt: &Salt,
    ) -> Result<Self, AeadError> {
        Ok(Self {
            key: key.salted(salt)?,
            aad: Aad::new(log, seq, epoch),
        })
    }

    /// Opens the part with this index.
    pub fn open(&self, index: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let mut padded = self.key.open(index, &self.aad.of(index), sealed)?;
        unpad(&mut padded)?;
        Ok(padded)
    }
}

/// The associated data of an op's parts: what they have in common is hashed once.
struct Aad(Begun);

impl Aad {
    fn new(log: &LogId, seq: u64, epoch: &EpochId) -> Self {
        let seq = seq.to_be_bytes();
        let fields = [log.as_bytes().as_slice(), &seq, epoch.as_bytes()];
        Self(context::PART_AAD.begin(fields))
    }

    /// Of the part with this index.
    fn of(&self, index: u64) -> [u8; HASH_LEN] {
        self.0.hash(&index.to_be_bytes())
    }
}

/// ISO/IEC 7816-4 padding: this byte, then zeros.
const PAD: u8 = 0x80;

/// Appends the padding that hides a plaintext's length.
pub fn pad(plaintext: &[u8]) -> Vec<u8> {
    let len = padded_len(plaintext.len() + 1);
    // The tag is appended in place: room for it saves a copy that would stay in freed memory.
    let mut padded = Vec::with_capacity(len + TAG_LEN);
    padded.extend_from_slice(plaintext);
    padded.push(PAD);
    padded.resize(len, 0);
    padded
}

/// The same, of a plaintext that is not needed any more.
fn pad_in_place(mut plaintext: Zeroizing<Vec<u8>>) -> Vec<u8> {
    if plaintext.capacity() < sealed_len(plaintext.len()) {
        return pad(&plaintext);
    }
    let len = padded_len(plaintext.len() + 1);
    let mut padded = std::mem::take(&mut *plaintext);
    padded.push(PAD);
    padded.resize(len, 0);
    padded
}

/// Takes off what [`pad`] appended.
pub fn unpad(padded: &mut Vec<u8>) -> Result<(), AeadError> {
    let end = padded
        .iter()
        .rposition(|byte| *byte != 0)
        .filter(|end| padded.get(*end) == Some(&PAD))
        .ok_or(AeadError::Open)?;
    padded.truncate(end);
    Ok(())
}

/// Padmé (Nikitin et al., PURBs, PoPETs 2019): at most 12 % more, and a length tells O(log log n) bits.
const fn padded_len(len: usize) -> usize {
    let len = if len < MIN_PADDED { MIN_PADDED } else { len };
    let exponent = len.ilog2();
    let significant = exponent.ilog2() + 1;
    let mask = (1usize << exponent.saturating_sub(significant)) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use proptest::prelude::*;
    use twin_identity::secret::Secret;

    use super::*;

    proptest! {
        #[test]
        fn opens_in_its_place_only(seed: u64, texts in prop::collection::vec(any::<Vec<u8>>(), 1..5)) {
            let rng = &mut ChaCha20Rng::seed_from_u64(seed);
            let key = DataKey::new(Secret::new([1; 32]));
            let place = Place {
                log: LogId::from_bytes([2; 32]),
                seq: 3,
                prev: None,
                epoch: EpochId::from_bytes([4; 32]),
            };
            let plaintexts: Vec<_> = texts.iter().cloned().map(Zeroizing::new).collect();
            let (salt, sealed) = seal_parts(&key, &place, plaintexts, rng).unwrap();
            for (index, (text, sealed)) in (0..).zip(texts.iter().zip(&sealed)) {
                let at = PartPlace { log: &place.log, seq: 3, epoch: &place.epoch, salt: &salt, index };
                prop_assert_eq!(&*open_part(&key, at, sealed).unwrap(), text);
                prop_assert_eq!(sealed.len(), sealed_len(text.len()));
                let later = PartPlace { seq: 4, ..at };
                prop_assert!(open_part(&key, later, sealed).is_err());
                let beside = PartPlace { index: index + 1, ..at };
                prop_assert!(open_part(&key, beside, sealed).is_err());
            }
        }

        #[test]
        fn padding_is_the_same_with_and_without_room(text: Vec<u8>, room in 0usize..2000) {
            let mut roomy = Zeroizing::new(Vec::with_capacity(text.len() + room));
            roomy.extend_from_slice(&text);
            prop_assert_eq!(pad_in_place(roomy), pad(&text));
        }

        #[test]
        fn padding_is_bounded(len in 1usize..2_000_000) {
            let padded = padded_len(len);
            prop_assert!(padded >= len.max(MIN_PADDED));
            prop_assert!(padded <= len.max(MIN_PADDED) * 112 / 100 + 1);
            prop_assert_eq!(padded_len(padded), padded);
        }
    }
}
