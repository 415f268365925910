//! The keys that speak to the web: a persona's, a site's, and their public halves.
//!
//! Both signature forms are the 64 bytes that JOSE carries: Ed25519 per RFC 8032 and RFC 8037,
//! ES256 as `r ‖ s` per RFC 7518 §3.4, deterministic per RFC 6979.

use core::fmt;

use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use p256::elliptic_curve::bigint::{NonZero, U384};
use p256::elliptic_curve::ops::ReduceNonZero as _;
use p256::{NonZeroScalar, U256};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// The length of every signature here, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// The order of P-256 less one (FIPS 186-5, SP 800-186 §3.2.1.3).
const ORDER_LESS_ONE: U384 = U384::from_be_hex(concat!(
    "00000000000000000000000000000000",
    "ffffffff00000000ffffffffffffffff",
    "bce6faada7179e84f3b9cac2fc632550",
));

/// What a key on the web is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519, `EdDSA` in JOSE (RFC 8037).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, `ES256` in JOSE (RFC 7518).
    P256,
}

impl Algorithm {
    /// The curve's name as JWK spells it; also the name in the derivation.
    #[must_use]
    pub fn curve(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "P-256",
        }
    }
}

/// A key or signature from outside that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no point of the curve.
    #[error("This public key is not valid.")]
    NotAKey,
    /// The signature was not made by this key over this message.
    #[error("The signature does not match.")]
    BadSignature,
}

/// The secret key of one persona at one site. Wiped on drop, never printed, never copied.
pub struct PersonaKey(Secret);

/// The secret key a site signs its login requests with: random, Ed25519, kept by the site.
pub struct SiteKey(Secret);

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

impl PersonaKey {
    pub(super) fn ed25519(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(Secret::ed25519(seed))
    }

    /// Reduces 384 uniform bits to a scalar in 1..n, see the module `pseudonym`.
    pub(super) fn p256(okm: &Zeroizing<[u8; 48]>) -> Self {
        let order_less_one = NonZero::new(ORDER_LESS_ONE).unwrap_or(NonZero::MAX);
        let wide = Zeroizing::new(U384::from_be_slice(okm.as_ref()));
        let reduced = Zeroizing::new(wide.rem(&order_less_one));
        let narrow: Zeroizing<U256> = Zeroizing::new(reduced.resize());
        // `narrow` is below n - 1, and this adds one to it: a scalar in 1..n without a branch.
        let scalar = Zeroizing::new(NonZeroScalar::reduce_nonzero(&*narrow));
        Self(Secret::P256(Box::new(p256::ecdsa::SigningKey::from(
            *scalar,
        ))))
    }

    /// The 64-byte signature over `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message)
    }

    /// The public half: all that the site ever sees of the person.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// What this key is made for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public().algorithm()
    }
}

impl SiteKey {
    /// A new random key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key of a seed (RFC 8032 §5.1.5) that the site stored.
    #[must_use]
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(Secret::ed25519(seed))
    }

    /// The 64-byte signature over `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message)
    }

    /// The public half, for the site's DID document.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }
}

impl Secret {
    fn ed25519(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }

    fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key().to_bytes()),
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let coordinate = |bytes: Option<&p256::FieldBytes>| {
                    bytes.map_or([0; 32], |bytes| (*bytes).into())
                };
                PublicKey::P256 {
                    x: coordinate(point.x()),
                    y: coordinate(point.y()),
                }
            }
        }
    }
}

/// A public key as the web shows it. Nothing about it is checked before [`PublicKey::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// The 32-byte encoded point of RFC 8032.
    Ed25519([u8; 32]),
    /// The two 32-byte big-endian coordinates.
    P256 {
        /// Big-endian x.
        x: [u8; 32],
        /// Big-endian y.
        y: [u8; 32],
    },
}

impl PublicKey {
    /// What this key is made for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::P256 { .. } => Algorithm::P256,
        }
    }

    /// Checks a 64-byte signature over `message`; Ed25519 strictly (no small-order points, no
    /// second spelling of a signature).
    ///
    /// # Errors
    /// [`KeyError::NotAKey`] when the key is no point of its curve, [`KeyError::BadSignature`]
    /// when the signature does not hold or has another length.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        match self {
            Self::Ed25519(bytes) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
                    .map_err(|_| KeyError::NotAKey)?;
                let signature = ed25519_dalek::Signature::from_slice(signature)
                    .map_err(|_| KeyError::BadSignature)?;
                key.verify_strict(message, &signature)
                    .map_err(|_| KeyError::BadSignature)
            }
            Self::P256 { x, y } => {
                let mut sec1 = [4; 65];
                for (to, from) in sec1.iter_mut().skip(1).zip(x.iter().chain(y)) {
                    *to = *from;
                }
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1)
                    .map_err(|_| KeyError::NotAKey)?;
                let signature = p256::ecdsa::Signature::from_slice(signature)
                    .map_err(|_| KeyError::BadSignature)?;
                key.verify(message, &signature)
                    .map_err(|_| KeyError::BadSignature)
            }
        }
    }
}

impl fmt::Debug for PersonaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonaKey(..)")
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteKey(..)")
    }
}
