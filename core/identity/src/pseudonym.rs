//! Pseudonyms: a key of its own for every site, derived and never stored.
//!
//! ```text
//! info = for each of
//!          "digital-twin v1 pseudonym"    the label
//!          generation                     u32, big-endian: which pseudonym root
//!          site id                        canonical text, see [`SiteId`]
//!          counter                        u32, big-endian: which persona at this site
//!          algorithm                      "Ed25519" or "P-256"
//!        u16 big-endian length ‖ the field
//!
//! okm  = HKDF-SHA256(salt = none, ikm = root, info)          RFC 5869
//! Ed25519: the 32 bytes of okm are the RFC 8032 §5.1.5 seed
//! P-256:   d = (okm as a 48-byte big-endian integer mod (n - 1)) + 1
//! ```
//!
//! The P-256 scalar is made as in FIPS 186-5 A.2.1 ("extra random bits"): 384 bits reduced, so
//! that its distance from uniform is below 2^-128 and no derivation can fail.
//! Two sites, two counters or two algorithms share nothing anyone could link without the root.
//! Golden vectors for a second implementation: `tests/vectors/pseudonym.json`.

mod key;
mod site_id;

pub use key::{Algorithm, KeyError, PersonaKey, PublicKey, SIGNATURE_BYTES, SiteKey};
pub use site_id::{SiteClass, SiteId, SiteIdError};

use core::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const LABEL: &[u8] = b"digital-twin v1 pseudonym";

/// The 32-byte secret that every pseudonym of one generation is derived from.
///
/// It lives in the keys space of admins only. Whoever has it can sign in as the person everywhere.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PseudonymRoot([u8; 32]);

impl PseudonymRoot {
    /// The root with these 32 secret bytes; wiping the caller's copy is the caller's part.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for sealing into the keys space and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The persona's key at `site`: `generation` says which root this is, `counter` is 0 for the
    /// first persona at a site and grows when the person wants a new one there.
    #[must_use]
    pub fn persona(
        &self,
        site: &SiteId,
        generation: u32,
        counter: u32,
        algorithm: Algorithm,
    ) -> PersonaKey {
        let info = info(site, generation, counter, algorithm);
        let hkdf = Hkdf::<Sha256>::new(None, &self.0);
        match algorithm {
            Algorithm::Ed25519 => PersonaKey::ed25519(&expand::<32>(&hkdf, &info)),
            Algorithm::P256 => PersonaKey::p256(&expand::<48>(&hkdf, &info)),
        }
    }
}

fn info(site: &SiteId, generation: u32, counter: u32, algorithm: Algorithm) -> Vec<u8> {
    let fields: [&[u8]; 5] = [
        LABEL,
        &generation.to_be_bytes(),
        site.as_str().as_bytes(),
        &counter.to_be_bytes(),
        algorithm.curve().as_bytes(),
    ];
    let mut info = Vec::with_capacity(fields.iter().map(|field| 2 + field.len()).sum());
    for field in fields {
        // Every field is at most SiteId::MAX_BYTES (512) long, so the length always fits.
        info.extend_from_slice(&(field.len() as u16).to_be_bytes());
        info.extend_from_slice(field);
    }
    info
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut okm = Zeroizing::new([0; N]);
    // HKDF-SHA256 refuses only outputs above 255 * 32 bytes; N is 32 or 48.
    let outcome = hkdf.expand(info, okm.as_mut());
    debug_assert!(outcome.is_ok());
    okm
}

impl fmt::Debug for PseudonymRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymRoot(..)")
    }
}

impl PartialEq for PseudonymRoot {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PseudonymRoot {}

#[cfg(test)]
mod tests;
