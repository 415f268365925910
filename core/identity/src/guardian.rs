//! Guardians: people who together can rebuild a second authority key, each holding one share of it.
//!
//! The key is a secret of its own: nothing of the 24 words is in it, so that guardians can replace a person's devices
//! but cannot read what is sealed to the words. It is split by Shamir's scheme (Shamir, 1979) over GF(256), byte by
//! byte: any `needed` shares give it back, and fewer tell nothing at all.

mod gathered;
mod share;

use rand_core::CryptoRng;
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::authority::AuthorityKey;
use crate::context::{self, Context};
use crate::seal::SealingKey;
use crate::secret::Secret;

pub use gathered::Gathered;
pub use share::{MAX_SET_NAME, MAX_SHARE_LEN, MAX_SHARE_TEXT, SetId, Share, ShareError};

/// The fewest shares that can be asked for.
pub const MIN_NEEDED: u8 = 2;
/// The most guardians of a set.
pub const MAX_GUARDIANS: u8 = 16;

/// The secret that guardians share: 32 bytes, random and unrelated to the words. Wiped from memory when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct GuardianSecret(Secret<32>);

/// The secret cannot be split like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Not 2 ≤ needed ≤ guardians ≤ 16.
    #[error("choose 2 to 16 guardians, and how many of them are needed: at least 2")]
    Count,
    /// Empty, too long, or with control characters.
    #[error("the name of a set of guardians has 1 to 64 bytes and no control characters")]
    Name,
}

/// Shares do not give a secret. Shares are named by their number, 1 to 16, and the name that was given to their set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There is none at all.
    #[error("no guardian share was given: enter the first one")]
    Empty,
    /// Two sets are mixed.
    #[error(
        "share {index} is of the set “{name}” ({}), but the first share is of the set “{first_name}” ({}): \
         use shares of one set only",
        set.short(), first.short()
    )]
    OtherSet {
        /// The share that does not go with the first.
        index: u8,
        /// The name of its set.
        name: String,
        /// Its set.
        set: SetId,
        /// The name of the first share's set.
        first_name: String,
        /// The first share's set.
        first: SetId,
    },
    /// Its content is not what was handed out under this number.
    #[error(
        "share {index} of “{name}” is not the one that was handed out: it was altered or made up, leave it out"
    )]
    Forged {
        /// Its number.
        index: u8,
        /// The name of its set.
        name: String,
    },
    /// The same share again.
    #[error("share {index} of “{name}” was given twice: enter another one")]
    Twice {
        /// Its number.
        index: u8,
        /// The name of its set.
        name: String,
    },
    /// More are needed.
    #[error("{have} of the {needed} shares needed of “{name}” are there: enter another one")]
    TooFew {
        /// How many there are.
        have: u8,
        /// How many it takes.
        needed: u8,
        /// The name of their set.
        name: String,
    },
}

impl GuardianSecret {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The authority key that guardians can use. It is used once: its rotation names new guardians or none.
    pub fn authority(&self) -> AuthorityKey {
        AuthorityKey::from_seeds(
            self.derive(&context::GUARDIAN_ED25519),
            self.derive(&context::GUARDIAN_ML_DSA),
        )
    }

    /// The key that data keys are sealed to, where a person chose that guardians can read the data too.
    pub fn sealing(&self) -> SealingKey {
        SealingKey::from_seed(self.derive(&context::GUARDIAN_SEALING))
    }

    fn derive(&self, what: &Context) -> Secret<32> {
        Secret::new(what.hash([self.0.expose().as_slice()]))
    }

    /// Splits the secret into `guardians` shares, any `needed` of which give it back ([`combine`]). The name is for
    /// people to tell sets apart; it is in every share, readable.
    pub fn split(
        &self,
        name: &str,
        needed: u8,
        guardians: u8,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Share>, SplitError> {
        if needed < MIN_NEEDED || needed > guardians || guardians > MAX_GUARDIANS {
            return Err(SplitError::Count);
        }
        if !share::is_set_name(name) {
            return Err(SplitError::Name);
        }
        // The splitter leaves the polynomial of the last byte in freed memory, so a byte that says nothing is last.
        let mut padded = Zeroizing::new([0; 33]);
        padded
            .iter_mut()
            .zip(self.0.expose())
            .for_each(|(to, from)| *to = *from);
        let split = Gf256::split_bytes(needed.into(), guardians.into(), padded.as_slice(), rng)
            .map_err(|_| SplitError::Count)?;
        // Each is `number ‖ value ‖ share of the last byte`.
        let values = Zeroizing::new(split)
            .iter()
            .filter_map(|share| Secret::from_slice(share.get(1..33)?))
            .collect();
        Ok(Share::set(name, needed, values))
    }
}

/// Gives the secret back from shares of one set, at least as many as are needed, in any order.
///
/// Called with each share that is added, it names what is wrong with that one; [`CombineError::TooFew`] then says that
/// all is well so far. [`Gathered`] does that, and keeps sets apart.
pub fn combine(shares: &[Share]) -> Result<GuardianSecret, CombineError> {
    let first = shares.first().ok_or(CombineError::Empty)?;
    let name = || first.set_name().to_owned();
    let mut seen = [false; MAX_GUARDIANS as usize + 1];
    for share in shares {
        let index = share.index();
        if share.set_id() != first.set_id() {
            return Err(CombineError::OtherSet {
                index,
                name: share.set_name().to_owned(),
                set: share.set_id(),
                first_name: name(),
                first: first.set_id(),
            });
        }
        if !share.is_as_handed_out() {
            let name = name();
            return Err(CombineError::Forged { index, name });
        }
        let seen = seen.get_mut(usize::from(index));
        if seen.is_none_or(|seen| std::mem::replace(seen, true)) {
            let name = name();
            return Err(CombineError::Twice { index, name });
        }
    }
    let too_few = || CombineError::TooFew {
        // At most 16: none is there twice.
        have: u8::try_from(shares.len()).unwrap_or(MAX_GUARDIANS),
        needed: first.needed(),
        name: name(),
    };
    if shares.len() < first.needed().into() {
        return Err(too_few());
    }
    let points: Vec<Vec<u8>> = shares
        .iter()
        .take(first.needed().into())
        .map(Share::point)
        .collect();
    Gf256::combine_bytes(&*Zeroizing::new(points))
        .ok()
        .map(Zeroizing::new)
        .and_then(|secret| Secret::from_slice(&secret))
        .map(GuardianSecret)
        .ok_or_else(too_few)
}
