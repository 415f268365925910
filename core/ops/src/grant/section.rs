//! The keys that a grant gives, sealed: one section for every device, one for admins only.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::{AeadError, DataKey};
use twin_identity::cbor;
use twin_identity::entry::MAX_PREVS;
use twin_identity::id::{EntryId, TwinId};
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use super::{GrantError, MAX_GRANT_LEN};
use crate::epoch::EpochKey;
use crate::space::{Audience, SpaceName};

/// The most epoch keys in one grant.
pub const MAX_GRANTED_KEYS: usize = 1024;

/// An epoch key with the space that it is for.
#[derive(Debug, PartialEq, Eq)]
pub struct GrantedKey {
    /// The space.
    pub space: SpaceName,
    /// The key.
    pub key: EpochKey,
    /// The key of the epoch before, sealed under this one; `None` for a space's first epoch.
    pub predecessor: Option<Vec<u8>>,
    /// The rotation under which the epoch was begun.
    pub base: EntryId,
    /// Heads of the identity log that whoever began the epoch knew: who was out by then has never had the key.
    pub heads: Vec<EntryId>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawKey {
    #[n(0)]
    space: SpaceName,
    #[cbor(n(1), with = "cbor::fixed")]
    key: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    predecessor: Option<Vec<u8>>,
    #[n(3)]
    heads: Vec<EntryId>,
    #[n(4)]
    base: EntryId,
}

impl Drop for RawKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

fn section_aad(audience: Audience, twin: &TwinId) -> Vec<u8> {
    let mut aad = twin.as_bytes().to_vec();
    aad.push(match audience {
        Audience::Members => 0,
        Audience::Admins => 1,
    });
    aad
}

pub fn seal(
    section: &DataKey,
    audience: Audience,
    twin: &TwinId,
    keys: &[GrantedKey],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, GrantError> {
    let raw: Vec<RawKey> = keys
        .iter()
        .filter(|granted| granted.space.audience() == audience)
        .map(|granted| RawKey {
            space: granted.space.clone(),
            key: *granted.key.secret().expose(),
            predecessor: granted.predecessor.clone(),
            heads: granted.heads.clone(),
            base: granted.base,
        })
        .collect();
    let plaintext = Zeroizing::new(cbor::encode(&raw));
    Ok(section.seal(&section_aad(audience, twin), &plaintext, rng)?)
}

pub fn open(
    section: &[u8],
    audience: Audience,
    twin: &TwinId,
    sealed: &[u8],
) -> Result<Vec<GrantedKey>, GrantError> {
    let key = DataKey::new(Secret::from_slice(section).ok_or(AeadError::Open)?);
    let plaintext = key.open(&section_aad(audience, twin), sealed)?;
    let raw: Vec<RawKey> = cbor::decode(&plaintext, MAX_GRANT_LEN)?;
    if raw.len() > MAX_GRANTED_KEYS || raw.iter().any(|raw| raw.heads.len() > MAX_PREVS) {
        return Err(GrantError::TooLarge);
    }
    if raw.iter().any(|raw| raw.space.audience() != audience) {
        return Err(GrantError::NotAllowed);
    }
    Ok(raw
        .iter()
        .map(|raw| GrantedKey {
            space: raw.space.clone(),
            key: EpochKey::new(Secret::new(raw.key)),
            predecessor: raw.predecessor.clone(),
            heads: raw.heads.clone(),
            base: raw.base,
        })
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever grants can seal anything.
        #[test]
        fn any_section_gets_an_answer(plain: Vec<u8>, cut: prop::sample::Index) {
            let (twin, secret) = (TwinId::from_bytes(&[1; 33]).unwrap(), [2; 32]);
            let rng = &mut ChaCha20Rng::from_seed([3; 32]);
            let aad = section_aad(Audience::Members, &twin);
            let key = RawKey {
                space: SpaceName::members(),
                key: [4; 32],
                predecessor: None,
                heads: Vec::new(),
                base: EntryId::from_bytes([5; 32]),
            };
            let mut whole = cbor::encode(&vec![key]);
            whole.truncate(cut.index(whole.len()));
            for plain in [plain, whole] {
                let sealed = DataKey::new(Secret::new(secret)).seal(&aad, &plain, rng).unwrap();
                if let Ok(keys) = open(&secret, Audience::Members, &twin, &sealed) {
                    prop_assert!(keys.is_empty());
                }
            }
        }
    }
}
