//! From a password to a key: Argon2id (RFC 9106), at a cost that is written in the slot.

use argon2::{Algorithm, Argon2, Params, Version};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::cbor;
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};

/// Length of a salt, in bytes.
const SALT_LEN: usize = 16;

/// How a password is stretched: memory in KiB, passes, lanes, salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Stretch {
    #[n(0)]
    pub memory: u32,
    #[n(1)]
    pub passes: u32,
    #[n(2)]
    pub lanes: u32,
    #[cbor(n(3), with = "cbor::fixed")]
    salt: [u8; SALT_LEN],
}

/// What new slots use and the least that is accepted: 64 MiB, 3 passes, 4 lanes (RFC 9106, section 4).
const LEAST: [u32; 3] = [64 << 10, 3, 4];
/// The most that is accepted, so that a damaged file cannot ask for memory that no device has: 512 MiB.
const MOST: [u32; 3] = [512 << 10, 16, 16];

impl Stretch {
    /// The cost of new slots, with a fresh salt.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        let [memory, passes, lanes] = LEAST;
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        Self {
            memory,
            passes,
            lanes,
            salt,
        }
    }

    /// The key made of a password and, where there is one, a key store's secret: Argon2's secret value K, so that
    /// without the key store no password can be tried.
    pub fn key(&self, password: &str, secret: Option<&Secret<32>>) -> Result<Secret<32>> {
        if password.is_empty() {
            return Err(VaultError::EmptyPassword);
        }
        let cost = [self.memory, self.passes, self.lanes];
        let within = |(value, (least, most))| value >= least && value <= most;
        if !cost
            .into_iter()
            .zip(LEAST.into_iter().zip(MOST))
            .all(within)
        {
            return Err(VaultError::BadSlot);
        }
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32));
        let params = params.map_err(|_| VaultError::BadSlot)?;
        let secret: &[u8] = secret.map_or(&[], |secret| secret.expose());
        argon2id(params, secret, password.as_bytes(), &self.salt)
    }
}

fn argon2id(params: Params, secret: &[u8], password: &[u8], salt: &[u8]) -> Result<Secret<32>> {
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new_with_secret(secret, Algorithm::Argon2id, Version::V0x13, params)
        .and_then(|argon2| argon2.hash_password_into(password, salt, key.as_mut()))
        .map_err(|_| VaultError::BadSlot)?;
    Ok(Secret::new(*key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use data_encoding::HEXLOWER;

    use super::*;

    fn stretch() -> Stretch {
        Stretch::new(&mut ChaCha20Rng::seed_from_u64(1))
    }

    /// RFC 9106, section 5.3.
    #[test]
    fn is_argon2id() {
        let mut params = ParamsBuilder::new();
        params.m_cost(32).t_cost(3).p_cost(4).output_len(32);
        params.data(AssociatedData::new(&[4; 12]).unwrap());
        let key = argon2id(params.build().unwrap(), &[3; 8], &[1; 32], &[2; 16]).unwrap();
        assert_eq!(
            HEXLOWER.encode(key.expose()),
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
        );
    }

    #[test]
    fn the_key_hangs_on_password_salt_and_key_store() {
        let secret = Secret::new([7; 32]);
        let mut other = stretch();
        other.salt = [9; SALT_LEN];
        let keys = [
            stretch().key("correct horse", None).unwrap(),
            stretch().key("correct house", None).unwrap(),
            stretch().key("correct horse", Some(&secret)).unwrap(),
            other.key("correct horse", None).unwrap(),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(i + 1).all(|other| other != key));
        }
        assert_eq!(stretch().key("correct horse", None).unwrap(), keys[0]);
    }

    #[test]
    fn weaker_and_absurd_costs_are_refused() {
        let refused = |change: fn(&mut Stretch)| {
            let mut stretch = stretch();
            change(&mut stretch);
            let key = stretch.key("correct horse", None);
            assert!(matches!(key, Err(VaultError::BadSlot)), "{stretch:?}");
        };
        refused(|stretch| stretch.memory -= 1);
        refused(|stretch| stretch.passes -= 1);
        refused(|stretch| stretch.lanes -= 1);
        // 100 GiB: refused before any memory is asked for.
        refused(|stretch| stretch.memory = 100 << 20);
        refused(|stretch| stretch.passes = 17);
        refused(|stretch| stretch.lanes = u32::MAX);
    }

    #[test]
    fn an_empty_password_is_refused() {
        let secret = Secret::new([7; 32]);
        for secret in [None, Some(&secret)] {
            let key = stretch().key("", secret);
            assert!(matches!(key, Err(VaultError::EmptyPassword)));
        }
    }
}
