//! Key slots: the ways to unlock a vault. Each holds the same random vault key, wrapped in its own way.
//!
//! Password slot: `[head, sealed]`, where `head` is the deterministic CBOR of all parameters and the associated data
//! of the seal, so that nobody can lower them unseen. Key store slot: the bytes that the key store made.

use argon2::{Algorithm, Argon2, Params, Version};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::DataKey;
use twin_identity::cbor;
use twin_identity::context;
use twin_identity::entry::{SUITE, VERSION};
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::store::Store;

/// A way to unlock a vault, and to set up a new one.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// A password, not empty. On phones it is combined with the key store, not used instead of it.
    Password(&'a str),
    /// The platform's key store.
    KeyStore(&'a dyn KeyStore),
}

/// Hardware (or the platform on its behalf) that keeps a key of its own and never hands it out.
pub trait KeyStore {
    /// Wraps 32 bytes under the key store's key; at most 4 KiB come back.
    fn wrap(&self, key: &Secret<32>) -> std::result::Result<Vec<u8>, KeyStoreError>;

    /// Unwraps what [`KeyStore::wrap`] made. May ask the person to show that they are there.
    fn unwrap(&self, wrapped: &[u8]) -> std::result::Result<Secret<32>, KeyStoreError>;
}

/// The key store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// The person refused, or was not recognised.
    #[error("the vault stays locked: confirm with your fingerprint, face or device code")]
    Refused,
    /// It does not answer now.
    #[error("the device's key store does not answer: unlock the device and try again")]
    Unavailable,
    /// The key is gone, or the wrapped bytes are of another one.
    #[error(
        "the device's key store no longer has this vault's key: restore from your words or a backup"
    )]
    KeyLost,
}

/// Argon2id (RFC 9106): memory in KiB, passes, lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// What new slots use and the least that is accepted: 64 MiB, 3 passes, 4 lanes (RFC 9106, section 4).
const LEAST: Cost = Cost {
    memory: 64 << 10,
    passes: 3,
    lanes: 4,
};
/// The most that is accepted, so that a damaged file cannot ask for memory that no device has.
const MOST: Cost = Cost {
    memory: 512 << 10,
    passes: 16,
    lanes: 16,
};

const PASSWORD: u8 = 1;
const KEY_STORE: u8 = 2;
const SALT_LEN: usize = 16;
const MAX_WRAPPED: usize = 4 << 10;

#[derive(Encode, Decode)]
#[cbor(map)]
struct Head {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    memory: u32,
    #[n(4)]
    passes: u32,
    #[n(5)]
    lanes: u32,
    #[cbor(n(6), with = "cbor::fixed")]
    salt: [u8; SALT_LEN],
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct PasswordSlot {
    #[cbor(n(0), with = "minicbor::bytes")]
    head: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

/// Adds a slot for `vault`.
pub(crate) fn add(
    store: &Store,
    unlock: Unlock<'_>,
    vault: &Secret<32>,
    rng: &mut impl CryptoRng,
) -> Result<()> {
    match unlock {
        Unlock::Password(password) => {
            let slot = seal_with_password(password, vault, LEAST, rng)?;
            insert(store, PASSWORD, &slot)
        }
        Unlock::KeyStore(key_store) => {
            let wrapped = key_store.wrap(vault)?;
            if wrapped.len() > MAX_WRAPPED {
                return Err(KeyStoreError::Unavailable.into());
            }
            insert(store, KEY_STORE, &wrapped)
        }
    }
}

/// The vault key, from the first slot that `unlock` opens.
pub(crate) fn open(store: &Store, unlock: Unlock<'_>) -> Result<Secret<32>> {
    let (kind, none) = match unlock {
        Unlock::Password("") => return Err(VaultError::EmptyPassword),
        Unlock::Password(_) => (PASSWORD, VaultError::NoSlot),
        Unlock::KeyStore(_) => (KEY_STORE, VaultError::NoSlot),
    };
    let mut failure = none;
    for slot in read(store, kind)? {
        let opened = match unlock {
            Unlock::Password(password) => open_with_password(password, &slot),
            Unlock::KeyStore(key_store) => key_store.unwrap(&slot).map_err(VaultError::from),
        };
        match opened {
            Ok(vault) => return Ok(vault),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn seal_with_password(
    password: &str,
    vault: &Secret<32>,
    cost: Cost,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    let mut head = Head {
        version: VERSION,
        suite: SUITE,
        kind: PASSWORD,
        memory: cost.memory,
        passes: cost.passes,
        lanes: cost.lanes,
        salt: [0; SALT_LEN],
    };
    rng.fill_bytes(&mut head.salt);
    let key = stretch(password, &head)?;
    let head = cbor::encode(&head);
    let sealed = key.seal(&head, vault.expose(), rng)?;
    Ok(cbor::encode(&PasswordSlot { head, sealed }))
}

fn open_with_password(password: &str, slot: &[u8]) -> Result<Secret<32>> {
    let damaged = |_| VaultError::Damaged("a key slot");
    let slot: PasswordSlot = cbor::decode(slot, MAX_WRAPPED).map_err(damaged)?;
    let head: Head = cbor::decode(&slot.head, MAX_WRAPPED).map_err(damaged)?;
    if (head.version, head.suite, head.kind) != (VERSION, SUITE, PASSWORD) {
        return Err(VaultError::Newer);
    }
    let within = |value, least, most| (least..=most).contains(&value);
    if !within(head.memory, LEAST.memory, MOST.memory)
        || !within(head.passes, LEAST.passes, MOST.passes)
        || !within(head.lanes, LEAST.lanes, MOST.lanes)
    {
        return Err(VaultError::BadSlot);
    }
    let opened = stretch(password, &head)?
        .open(&slot.head, &slot.sealed)
        .map_err(|_| VaultError::WrongPassword)?;
    Secret::from_slice(&opened).ok_or(VaultError::WrongPassword)
}

fn stretch(password: &str, head: &Head) -> Result<DataKey> {
    if password.is_empty() {
        return Err(VaultError::EmptyPassword);
    }
    let params = Params::new(head.memory, head.passes, head.lanes, Some(32))
        .map_err(|_| VaultError::BadSlot)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), &head.salt, key.as_mut())
        .map_err(|_| VaultError::BadSlot)?;
    Ok(DataKey::new(Secret::new(*key)))
}

fn insert(store: &Store, kind: u8, slot: &[u8]) -> Result<()> {
    store
        .sql("INSERT INTO slot (kind, v, checksum) VALUES (?1, ?2, ?3)")?
        .execute((kind, slot, checksum(slot)))?;
    Ok(())
}

fn read(store: &Store, kind: u8) -> Result<Vec<Vec<u8>>> {
    let mut statement = store.sql("SELECT v, checksum FROM slot WHERE kind = ?1 ORDER BY n")?;
    let rows = statement.query_map([kind], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let mut slots = Vec::new();
    for row in rows {
        let (slot, sum) = row?;
        if sum != checksum(&slot) {
            return Err(VaultError::Damaged("a key slot"));
        }
        slots.push(slot);
    }
    Ok(slots)
}

fn checksum(slot: &[u8]) -> [u8; 32] {
    context::VAULT_SLOT.hash([slot])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;

    use super::*;

    fn slot(cost: Cost) -> Vec<u8> {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        seal_with_password("correct horse", &Secret::new([7; 32]), cost, rng).unwrap()
    }

    #[test]
    fn only_the_password_opens() {
        let slot = slot(LEAST);
        let opened = open_with_password("correct horse", &slot).unwrap();
        assert_eq!(opened, Secret::new([7; 32]));
        let wrong = open_with_password("correct house", &slot);
        assert!(matches!(wrong, Err(VaultError::WrongPassword)));
    }

    #[test]
    fn weaker_and_absurd_parameters_are_refused() {
        let weak = Cost {
            memory: 8 << 10,
            ..LEAST
        };
        let refused = open_with_password("correct horse", &slot(weak));
        assert!(matches!(refused, Err(VaultError::BadSlot)));
        // 100 GiB: refused before any memory is asked for.
        let mut absurd: PasswordSlot = minicbor::decode(&slot(LEAST)).unwrap();
        let mut head: Head = minicbor::decode(&absurd.head).unwrap();
        head.memory = 100 << 20;
        absurd.head = cbor::encode(&head);
        let refused = open_with_password("correct horse", &cbor::encode(&absurd));
        assert!(matches!(refused, Err(VaultError::BadSlot)));
    }

    #[test]
    fn parameters_are_authenticated() {
        let mut stronger: PasswordSlot = minicbor::decode(&slot(LEAST)).unwrap();
        let mut head: Head = minicbor::decode(&stronger.head).unwrap();
        // Argon2 itself takes the suite for nothing: only the seal notices.
        head.passes += 1;
        stronger.head = cbor::encode(&head);
        let refused = open_with_password("correct horse", &cbor::encode(&stronger));
        assert!(matches!(refused, Err(VaultError::WrongPassword)));
    }

    #[test]
    fn an_empty_password_is_refused() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let made = seal_with_password("", &Secret::new([7; 32]), LEAST, rng);
        assert!(matches!(made, Err(VaultError::EmptyPassword)));
    }
}
