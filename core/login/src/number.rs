//! The number match: two digits that the site's page shows once the phone has fetched the request,
//! and that the person types on the phone.
//!
//! It stops blind approval (a QR code sent to someone else: the victim sees no number to type). It
//! does not stop a live proxy that shows the victim the real page. One attempt: a wrong number
//! ends the login.
//!
//! On the wire, all three optional for both sides:
//! - the wallet announces it in `wallet_metadata` as `"digital_twin_number_match": true`;
//! - the signed request object says `"digital_twin_number_match": "required"` to a wallet that
//!   announced it and `"offered"` to any other, so that a stripped announcement is noticed;
//! - the answer carries the digits as the form field `digital_twin_number`.

use core::fmt;
use core::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Two digits, 10 to 99: no leading zero that a person might leave out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Number(u8);

/// What was typed is not two digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The number on the site's page has two digits; type both of them.")]
pub struct NotANumber;

impl Number {
    /// A fresh number; each of the 90 is equally likely to within 2^-25.
    pub(crate) fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let spread = (u64::from(rng.next_u32()) * 90) >> 32;
        Self(10 + spread as u8)
    }
}

impl FromStr for Number {
    type Err = NotANumber;

    /// Takes what a person types: blanks around and between the digits are forgiven.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let digits: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(3)
            .collect();
        match digits.parse::<u8>() {
            Ok(number @ 10..=99) if digits.len() == 2 => Ok(Self(number)),
            _ => Err(NotANumber),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A log that shows the digits would defeat them.
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(..)")
    }
}

/// What a request object says about the number match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NumberMatch {
    /// This wallet announced it, so this login needs it.
    Required,
    /// This wallet did not announce it; the site would have liked it.
    Offered,
}

/// The form field that carries the digits.
pub(crate) const FORM_FIELD: &str = "digital_twin_number";
