//! The QR code that a new device shows.

use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::cbor;
use twin_identity::context;
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use super::proving::Proving;
use crate::machine::Millis;
use crate::transport::TransportKey;

/// How long an offer lives, in milliseconds, by the timer of the device that made it.
pub const OFFER_LIFE: Millis = 120_000;
/// The most addresses in an offer.
pub const MAX_ADDRESSES: usize = 8;

/// The schemes of login codes (OpenID4VP 1.0, SIOPv2), known here only to say so.
const LOGIN_SCHEMES: [&str; 4] = ["openid4vp", "openid", "siopv2", "haip-vp"];
const PREFIX: &str = "TWIN:LINK:";
const VERSION: u8 = 1;
const MAX_OFFER_LEN: usize = 400;
const MAX_ADDRESS_LEN: usize = 24;
const CHECKSUM_LEN: usize = 4;

/// An offer to be linked: where the new device listens, who it is there, and a one-time secret.
pub struct Offer {
    transport: [u8; 32],
    addresses: Vec<Vec<u8>>,
    expires: Millis,
    /// The secret, and the payload as it was read or written, secret included: what the proofs are made over.
    proving: Proving,
}

/// A text is no offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Something else altogether.
    #[error("this is not a linking code: show one on the new device with `twin link offer`")]
    Foreign,
    /// A site's login code: the other QR code that people scan.
    #[error(
        "this is a site's login code: use it with `twin login`, or show a linking code on the new device"
    )]
    LoginCode,
    /// Not all of it is there, or a character is wrong.
    #[error("the linking code is incomplete or misread: scan it again, or copy it whole")]
    Cut,
    /// Of a later version.
    #[error("the linking code was made by a newer version: update the app on this device")]
    Newer,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawOffer {
    #[n(0)]
    version: u8,
    #[cbor(n(3), with = "cbor::fixed")]
    transport: [u8; 32],
    #[cbor(n(4), with = "cbor::fixed")]
    secret: [u8; 32],
    #[n(5)]
    addresses: Vec<minicbor::bytes::ByteVec>,
    /// Seconds since the Unix epoch by the clock of the new device: it words an error, it decides nothing.
    #[n(6)]
    expires: u64,
}

impl Offer {
    /// A new offer by the device that listens at `addresses` (opaque bytes of the transport) under `transport`.
    pub fn new(
        transport: &TransportKey,
        addresses: impl IntoIterator<Item = Vec<u8>>,
        now: Millis,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let secret = Secret::random(rng);
        let mut raw = RawOffer {
            version: VERSION,
            transport: transport_hash(transport),
            secret: *secret.expose(),
            addresses: addresses
                .into_iter()
                .filter(|address| address.len() <= MAX_ADDRESS_LEN)
                .take(MAX_ADDRESSES)
                .map(Into::into)
                .collect(),
            expires: (now + OFFER_LIFE) / 1000,
        };
        let bytes = Zeroizing::new(cbor::encode(&raw));
        zeroize::Zeroize::zeroize(&mut raw.secret);
        Self {
            transport: raw.transport,
            addresses: raw.addresses.into_iter().map(Into::into).collect(),
            expires: now + OFFER_LIFE,
            proving: Proving::new(secret, bytes),
        }
    }

    /// The text in the QR code: upper case and digits, so that the QR code is a small one.
    pub fn to_text(&self) -> String {
        let bytes = self.proving.bytes();
        let mut payload = Zeroizing::new(bytes.to_vec());
        payload.extend(checksum(bytes));
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&payload))
    }

    /// Reads the text of a QR code, in upper or lower case.
    pub fn parse(text: &str) -> Result<Self, OfferError> {
        let text = text.trim();
        let prefix = text.get(..PREFIX.len()).unwrap_or_default();
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            let is_login = LOGIN_SCHEMES
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known));
            return Err(if is_login {
                OfferError::LoginCode
            } else {
                OfferError::Foreign
            });
        }
        let rest = text.get(PREFIX.len()..).unwrap_or_default();
        if rest.len() > MAX_OFFER_LEN * 2 {
            return Err(OfferError::Cut);
        }
        let payload = BASE32_NOPAD
            .decode(rest.to_ascii_uppercase().as_bytes())
            .map_err(|_| OfferError::Cut)?;
        let (bytes, sum) = payload
            .split_last_chunk::<CHECKSUM_LEN>()
            .ok_or(OfferError::Cut)?;
        if checksum(bytes) != *sum {
            return Err(OfferError::Cut);
        }
        let mut raw: RawOffer =
            cbor::decode(bytes, MAX_OFFER_LEN).map_err(|_| OfferError::Newer)?;
        let fits = raw.addresses.len() <= MAX_ADDRESSES
            && raw.addresses.iter().all(|a| a.len() <= MAX_ADDRESS_LEN);
        if raw.version != VERSION || !fits {
            return Err(OfferError::Newer);
        }
        let secret = Secret::new(raw.secret);
        zeroize::Zeroize::zeroize(&mut raw.secret);
        Ok(Self {
            transport: raw.transport,
            addresses: raw.addresses.into_iter().map(Into::into).collect(),
            expires: raw.expires.saturating_mul(1000),
            proving: Proving::new(secret, Zeroizing::new(bytes.to_vec())),
        })
    }

    /// Where the new device listens.
    pub fn addresses(&self) -> &[Vec<u8>] {
        &self.addresses
    }

    /// When the offer ends, by the clock of the device that made it.
    pub const fn expires(&self) -> Millis {
        self.expires
    }

    /// Whether the peer at the other end is the device that shows this offer.
    pub fn is_from(&self, peer: &TransportKey) -> bool {
        transport_hash(peer) == self.transport
    }

    /// What proves that somebody has seen this offer.
    pub(super) const fn proving(&self) -> &Proving {
        &self.proving
    }

    /// The same, of an offer that has done its work.
    pub(super) fn into_proving(self) -> Proving {
        self.proving
    }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").finish_non_exhaustive()
    }
}

fn transport_hash(key: &TransportKey) -> [u8; 32] {
    context::TRANSPORT.hash([key.as_bytes().as_slice()])
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = context::LINK_CHECKSUM.hash([bytes]);
    [a, b, c, d]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use proptest::prelude::*;

    use super::*;

    fn offer() -> Offer {
        let key = TransportKey::from_bytes([1; 32]);
        let addresses = [vec![192, 168, 1, 2, 0x1f, 0x90], vec![9; 18]];
        Offer::new(&key, addresses, 5_000, &mut ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn text_round_trip() {
        let offer = offer();
        let text = offer.to_text();
        assert!(
            text.len() < 260,
            "a QR code of moderate size: {}",
            text.len()
        );
        for text in [text.clone(), text.to_lowercase(), format!(" {text}\n")] {
            let read = Offer::parse(&text).unwrap();
            assert_eq!(read.addresses(), offer.addresses());
            assert_eq!(read.proving.secret(), offer.proving.secret());
            assert_eq!(read.expires(), 125_000);
            assert!(read.is_from(&TransportKey::from_bytes([1; 32])));
            assert!(!read.is_from(&TransportKey::from_bytes([2; 32])));
        }
    }

    #[test]
    fn foreign_and_cut_codes_are_told_apart() {
        let text = offer().to_text();
        assert_eq!(
            Offer::parse("https://example.com").unwrap_err(),
            OfferError::Foreign
        );
        assert_eq!(Offer::parse("").unwrap_err(), OfferError::Foreign);
        let login = Offer::parse("openid4vp://?client_id=x");
        assert_eq!(login.unwrap_err(), OfferError::LoginCode);
        for end in PREFIX.len()..text.len() {
            assert_eq!(Offer::parse(&text[..end]).unwrap_err(), OfferError::Cut);
        }
        let wrong = text.replacen(
            &text[40..41],
            if &text[40..41] == "A" { "B" } else { "A" },
            1,
        );
        assert_eq!(Offer::parse(&wrong).unwrap_err(), OfferError::Cut);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text: String) {
            let _ = Offer::parse(&text);
            let _ = Offer::parse(&format!("{PREFIX}{text}"));
        }
    }
}
