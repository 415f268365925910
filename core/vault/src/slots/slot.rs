//! One slot, as it is in the file: a way to a key pair of its own, and the vault key sealed to that pair.
//!
//! `[head, seed, vault]`. The password, the key store or both open `seed`, the secret half of an X-Wing pair; that
//! opens `vault`. The public half is in a sealed row (see [`crate::rows::SlotRow`]): who has the vault open can seal a
//! new vault key to every slot without its password or hardware, and nobody else can slip in a half of their own.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::DataKey;
use twin_identity::cbor;
use twin_identity::entry::{SUITE, VERSION};
use twin_identity::seal::{SealingKey, SealingPublic};
use twin_identity::secret::Secret;

use super::key_store::KeyStoreError;
use super::password::Stretch;
use super::{SlotKind, Unlock};
use crate::error::{Result, VaultError};

/// The longest that a key store may make of 32 bytes.
const MAX_WRAPPED: usize = 4 << 10;
/// The longest slot.
const MAX_SLOT: usize = 8 << 10;
/// What the vault key is sealed for (HPKE's `info`).
const INFO: &[u8] = b"digital-twin v1 vault key in a slot";

const DAMAGED: VaultError = VaultError::Damaged("a key slot");

/// What it takes to open a slot: the associated data of both of its seals, so that nobody can lower it unseen.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Head {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    /// Of the slots with a password: how it is stretched.
    #[n(2)]
    password: Option<Stretch>,
    /// Of the slots with a key store: the secret that it wrapped.
    #[cbor(n(3), with = "minicbor::bytes")]
    wrapped: Option<Vec<u8>>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Parts {
    #[cbor(n(0), with = "minicbor::bytes")]
    head: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    seed: Vec<u8>,
    #[cbor(n(2), with = "minicbor::bytes")]
    vault: Vec<u8>,
}

/// A slot.
pub(super) struct Slot {
    /// What opens it.
    pub kind: SlotKind,
    head: Head,
    parts: Parts,
}

impl Slot {
    /// A new slot for the vault key, and what later vault keys are sealed to.
    pub fn new(
        unlock: Unlock<'_>,
        vault: &Secret<32>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, SealingPublic)> {
        let (password, key_store) = (unlock.password(), unlock.key_store());
        let stretch = password.map(|_| Stretch::new(rng));
        let (secret, wrapped) = match key_store {
            Some(key_store) => {
                let secret = Secret::random(rng);
                let wrapped = key_store.wrap(&secret)?;
                if wrapped.len() > MAX_WRAPPED {
                    return Err(KeyStoreError::Unavailable.into());
                }
                (Some(secret), Some(wrapped))
            }
            None => (None, None),
        };
        let head = Head {
            version: VERSION,
            suite: SUITE,
            password: stretch,
            wrapped,
        };
        let key = head.key(password, secret)?;
        let pair = SealingKey::random(rng);
        let bytes = cbor::encode(&head);
        let seed = key.seal(&bytes, pair.seed().expose(), rng)?;
        let mut slot = Self {
            kind: head.kind()?,
            head,
            parts: Parts {
                head: bytes,
                seed,
                vault: Vec::new(),
            },
        };
        let public = pair.public()?;
        slot.hold(&public, vault, rng)?;
        Ok((slot, public))
    }

    /// Puts another vault key in.
    pub fn hold(
        &mut self,
        public: &SealingPublic,
        vault: &Secret<32>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        self.parts.vault = public.seal(INFO, &self.parts.head, vault.expose(), rng)?;
        Ok(())
    }

    /// The vault key.
    pub fn open(&self, unlock: Unlock<'_>) -> Result<Secret<32>> {
        let secret = match (unlock.key_store(), &self.head.wrapped) {
            (Some(key_store), Some(wrapped)) => Some(key_store.unwrap(wrapped)?),
            _ => None,
        };
        let key = self.head.key(unlock.password(), secret)?;
        let seed = key.open(&self.parts.head, &self.parts.seed);
        let seed = seed.map_err(|_| match unlock.password() {
            Some(_) => VaultError::WrongPassword,
            None => KeyStoreError::KeyLost.into(),
        })?;
        let pair = SealingKey::from_seed(Secret::from_slice(&seed).ok_or(DAMAGED)?);
        let vault = pair.open(INFO, &self.parts.head, &self.parts.vault);
        Secret::from_slice(&vault.map_err(|_| DAMAGED)?).ok_or(DAMAGED)
    }

    /// What the key store made, if there is one.
    pub fn wrapped(&self) -> Option<&[u8]> {
        self.head.wrapped.as_deref()
    }

    /// As it is in the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&self.parts)
    }

    /// From the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let parts: Parts = cbor::decode(bytes, MAX_SLOT).map_err(|_| DAMAGED)?;
        let head: Head = cbor::decode(&parts.head, MAX_SLOT).map_err(|_| DAMAGED)?;
        if (head.version, head.suite) != (VERSION, SUITE) {
            return Err(VaultError::Newer);
        }
        Ok(Self {
            kind: head.kind()?,
            head,
            parts,
        })
    }
}

impl Head {
    const fn kind(&self) -> Result<SlotKind> {
        match (&self.password, &self.wrapped) {
            (Some(_), None) => Ok(SlotKind::Password),
            (None, Some(_)) => Ok(SlotKind::KeyStore),
            (Some(_), Some(_)) => Ok(SlotKind::Both),
            (None, None) => Err(DAMAGED),
        }
    }

    /// The key that seals the seed.
    fn key(&self, password: Option<&str>, secret: Option<Secret<32>>) -> Result<DataKey> {
        let key = match (password, &self.password, secret) {
            (Some(password), Some(stretch), secret) => stretch.key(password, secret.as_ref())?,
            (None, None, Some(secret)) => secret,
            _ => return Err(DAMAGED),
        };
        Ok(DataKey::new(key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;

    use super::*;
    use crate::common::SoftKeyStore;

    const VAULT: Secret<32> = Secret::new([7; 32]);

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    fn slot(unlock: Unlock<'_>) -> (Slot, SealingPublic) {
        let (slot, public) = Slot::new(unlock, &VAULT, &mut rng()).unwrap();
        (Slot::from_bytes(&slot.to_bytes()).unwrap(), public)
    }

    #[test]
    fn only_what_it_was_made_with_opens_it() {
        let (chip, other) = (SoftKeyStore::new(1), SoftKeyStore::new(2));
        let (right, wrong) = ("correct horse", "correct house");
        let by_password = slot(Unlock::Password(right)).0;
        let by_chip = slot(Unlock::KeyStore(&chip)).0;
        let by_both = slot(Unlock::Both(right, &chip)).0;
        assert_eq!(by_password.kind, SlotKind::Password);
        assert_eq!(by_chip.kind, SlotKind::KeyStore);
        assert_eq!(by_both.kind, SlotKind::Both);
        assert_eq!(by_password.open(Unlock::Password(right)).unwrap(), VAULT);
        assert_eq!(by_chip.open(Unlock::KeyStore(&chip)).unwrap(), VAULT);
        assert_eq!(by_both.open(Unlock::Both(right, &chip)).unwrap(), VAULT);
        let refused = by_password.open(Unlock::Password(wrong));
        assert!(matches!(refused, Err(VaultError::WrongPassword)));
        let refused = by_both.open(Unlock::Both(wrong, &chip));
        assert!(matches!(refused, Err(VaultError::WrongPassword)));
        for refused in [
            by_chip.open(Unlock::KeyStore(&other)),
            by_both.open(Unlock::Both(right, &other)),
        ] {
            let lost = VaultError::KeyStore(KeyStoreError::KeyLost).to_string();
            assert_eq!(refused.unwrap_err().to_string(), lost);
        }
        // Half of what a slot needs is nothing, and so is more.
        assert!(by_both.open(Unlock::Password(right)).is_err());
        assert!(by_both.open(Unlock::KeyStore(&chip)).is_err());
        assert!(by_password.open(Unlock::KeyStore(&chip)).is_err());
        assert!(by_chip.open(Unlock::Password(right)).is_err());
    }

    /// A key store that knows the wrapped bytes, but hands out another secret.
    struct Liar;

    impl super::super::KeyStore for Liar {
        fn wrap(&self, _: &Secret<32>) -> std::result::Result<Vec<u8>, KeyStoreError> {
            Err(KeyStoreError::Unavailable)
        }

        fn unwrap(&self, _: &[u8]) -> std::result::Result<Secret<32>, KeyStoreError> {
            Ok(Secret::new([9; 32]))
        }
    }

    #[test]
    fn the_key_stores_secret_is_needed_beside_the_password() {
        let chip = SoftKeyStore::new(1);
        let by_both = slot(Unlock::Both("correct horse", &chip)).0;
        let refused = by_both.open(Unlock::Both("correct horse", &Liar));
        assert!(matches!(refused, Err(VaultError::WrongPassword)));
        let refused = slot(Unlock::KeyStore(&chip))
            .0
            .open(Unlock::KeyStore(&Liar));
        let lost = KeyStoreError::KeyLost;
        assert!(matches!(refused, Err(VaultError::KeyStore(error)) if error == lost));
    }

    #[test]
    fn another_vault_key_needs_no_password() {
        let (mut slot, public) = slot(Unlock::Password("correct horse"));
        slot.hold(&public, &Secret::new([8; 32]), &mut rng())
            .unwrap();
        let opened = slot.open(Unlock::Password("correct horse")).unwrap();
        assert_eq!(opened, Secret::new([8; 32]));
    }

    #[test]
    fn the_head_is_authenticated() {
        let chip = SoftKeyStore::new(1);
        let mut stronger = slot(Unlock::Password("correct horse")).0;
        // Argon2 takes any passes that are enough: the key is another one, and only the seal notices.
        if let Some(stretch) = &mut stronger.head.password {
            stretch.passes += 1;
        }
        stronger.parts.head = cbor::encode(&stronger.head);
        let stronger = Slot::from_bytes(&stronger.to_bytes()).unwrap();
        let refused = stronger.open(Unlock::Password("correct horse"));
        assert!(matches!(refused, Err(VaultError::WrongPassword)));
        // The same secret, wrapped once more: it unwraps to the right key, and the seal notices all the same.
        let mut rewrapped = slot(Unlock::KeyStore(&chip)).0;
        let mut bytes = rewrapped.parts.head.clone();
        bytes.push(0);
        rewrapped.parts.head = bytes;
        assert!(rewrapped.open(Unlock::KeyStore(&chip)).is_err());
    }

    #[test]
    fn a_later_version_is_not_called_damaged() {
        let mut later = slot(Unlock::Password("correct horse")).0;
        later.head.version += 1;
        later.parts.head = cbor::encode(&later.head);
        let refused = Slot::from_bytes(&later.to_bytes());
        assert!(matches!(refused, Err(VaultError::Newer)));
    }

    #[test]
    fn any_bytes_get_an_answer() {
        let mut nothing = slot(Unlock::Password("correct horse")).0;
        let bytes = nothing.to_bytes();
        nothing.head.password = None;
        nothing.parts.head = cbor::encode(&nothing.head);
        assert!(Slot::from_bytes(&nothing.to_bytes()).is_err());
        for len in 0..bytes.len() {
            let cut = bytes.get(..len).unwrap();
            assert!(Slot::from_bytes(cut).is_err());
        }
        assert!(Slot::from_bytes(&[0x80; MAX_SLOT + 1]).is_err());
    }
}
