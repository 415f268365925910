//! The 24 recovery words and everything that grows from them.
//!
//! The words are the BIP-39 form of 32 random bytes, and those bytes are used as they are: no PBKDF2, no passphrase.
//! 256 bits of entropy need no stretching, and one way to read the words is one way to get back.

use bip39::{Language, Mnemonic};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::authority::AuthorityKey;
use crate::context;
use crate::pseudonym::PseudonymRoot;
use crate::seal::SealingKey;
use crate::secret::Secret;

/// How many words a person writes down.
pub const WORD_COUNT: usize = 24;

/// The most bytes of a word as it may be typed; those of the list have 8 at most.
const MAX_WORD_LEN: usize = 32;

/// A text is not a set of recovery words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Not 24 words.
    #[error("there should be 24 recovery words, but there are {0}")]
    Count(usize),
    /// One word is not in the BIP-39 English list.
    #[error("recovery word number {0} is not in the list: check its spelling")]
    Unknown(usize),
    /// All words exist but do not belong together.
    #[error("the recovery words do not fit together: check their order and each word")]
    Checksum,
}

/// The recovery secret: 32 bytes, which a person holds as 24 words.
///
/// It makes every authority key, the recovery sealing key, the pseudonym roots and the backup root. It is wiped from
/// memory when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct RecoverySecret(Secret<32>);

/// Whether a word can be one of the recovery words: in the BIP-39 English list, in upper or lower case.
pub fn is_word(word: &str) -> bool {
    let word = Zeroizing::new(word.to_lowercase());
    Language::English.find_word(&word).is_some()
}

impl RecoverySecret {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Reads 24 English words; case and white space do not matter.
    pub fn from_words(text: &str) -> Result<Self, WordsError> {
        let count = text.split_whitespace().count();
        if count != WORD_COUNT {
            return Err(WordsError::Count(count));
        }
        // No text is copied that cannot be words.
        if let Some(index) = text
            .split_whitespace()
            .position(|word| word.len() > MAX_WORD_LEN)
        {
            return Err(WordsError::Unknown(index + 1));
        }
        let mut normalized = Zeroizing::new(String::with_capacity(WORD_COUNT * (MAX_WORD_LEN + 1)));
        for word in text.split_whitespace() {
            if !normalized.is_empty() {
                normalized.push(' ');
            }
            normalized.extend(word.chars().flat_map(char::to_lowercase));
        }
        let mut mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &normalized).map_err(|error| {
                match error {
                    bip39::Error::UnknownWord(index) => WordsError::Unknown(index + 1),
                    _ => WordsError::Checksum,
                }
            })?;
        let (mut entropy, len) = mnemonic.to_entropy_array();
        mnemonic.zeroize();
        let secret = entropy
            .get(..len)
            .and_then(Secret::from_slice)
            .ok_or(WordsError::Checksum);
        entropy.zeroize();
        secret.map(Self)
    }

    /// The 24 words, to be shown to the person once.
    pub fn to_words(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(WORD_COUNT * 9));
        // 32 bytes of entropy are always 24 words.
        if let Ok(mut mnemonic) = Mnemonic::from_entropy_in(Language::English, self.0.expose()) {
            for (index, word) in mnemonic.words().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                text.push_str(word);
            }
            mnemonic.zeroize();
        }
        text
    }

    /// Authority key number `index`: 0 makes the twin id, each rotation uses the next.
    pub fn authority(&self, index: u32) -> AuthorityKey {
        AuthorityKey::from_seeds(
            self.derive(&context::AUTHORITY_ED25519, &index.to_be_bytes()),
            self.derive(&context::AUTHORITY_ML_DSA, &index.to_be_bytes()),
        )
    }

    /// The key that every epoch key is sealed to besides the devices.
    pub fn sealing(&self) -> SealingKey {
        SealingKey::from_seed(self.derive(&context::RECOVERY_SEALING, &[]))
    }

    /// The root of all pseudonyms of one generation.
    pub fn pseudonym_root(&self, generation: u32) -> PseudonymRoot {
        PseudonymRoot::from_bytes(
            *self
                .derive(&context::PSEUDONYM_ROOT, &generation.to_be_bytes())
                .expose(),
        )
    }

    /// The root that seals exports and dispersed backups.
    pub fn backup_root(&self) -> Secret<32> {
        self.derive(&context::BACKUP_ROOT, &[])
    }

    fn derive(&self, what: &context::Context, extra: &[u8]) -> Secret<32> {
        Secret::new(what.hash([self.0.expose().as_slice(), extra]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZERO: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";

    #[test]
    fn words_are_those_of_the_list() {
        assert!(is_word("abandon") && is_word("ZOO"));
        assert!(!is_word("aban") && !is_word("abandom") && !is_word(""));
    }

    #[test]
    fn spelling_and_order_are_named() {
        assert_eq!(
            RecoverySecret::from_words(ZERO).unwrap(),
            RecoverySecret::from_bytes([0; 32])
        );
        assert_eq!(
            RecoverySecret::from_words("abandon art"),
            Err(WordsError::Count(2))
        );
        assert_eq!(
            RecoverySecret::from_words(&ZERO.replacen("abandon", "abandom", 1)),
            Err(WordsError::Unknown(1))
        );
        for no_word in ["arts".to_owned(), "a".repeat(MAX_WORD_LEN + 1)] {
            assert_eq!(
                RecoverySecret::from_words(&ZERO.replace("art", &no_word)),
                Err(WordsError::Unknown(24))
            );
        }
        assert_eq!(
            RecoverySecret::from_words(&ZERO.replace("art", "abandon")),
            Err(WordsError::Checksum)
        );
    }

    proptest! {
        #[test]
        fn words_round_trip(bytes: [u8; 32]) {
            let secret = RecoverySecret::from_bytes(bytes);
            let words = secret.to_words();
            prop_assert_eq!(words.split(' ').count(), WORD_COUNT);
            let spaced = format!("  {}\n", words.to_uppercase().replace(' ', " \t"));
            prop_assert_eq!(RecoverySecret::from_words(&spaced).unwrap(), secret);
        }
    }
}
