//! The number match: two digits that the site's page shows once the phone has fetched the request,
//! and that the person types on the phone.
//!
//! It stops blind approval (a QR code sent to someone else: the victim sees no number to type).
//! Each fetch makes a new number and puts an end to the one before, so that a number cannot be
//! fetched first and then sent along with the code. It does not stop a live proxy that shows the
//! victim the real page. One attempt: a wrong number ends the login.
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
    /// A fresh number, another one than `previous`; each is equally likely to within 2^-25.
    pub(crate) fn fresh<R: CryptoRng + ?Sized>(previous: Option<Self>, rng: &mut R) -> Self {
        let choices = 90 - u64::from(previous.is_some());
        let spread = (u64::from(rng.next_u32()) * choices) >> 32;
        let drawn = Self(10 + spread as u8);
        match previous {
            Some(previous) if drawn.0 >= previous.0 => Self(drawn.0 + 1),
            _ => drawn,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    #[test]
    fn a_fresh_number_is_any_but_the_previous() {
        let rng = &mut rng(1);
        for previous in [None, Some(Number(10)), Some(Number(57)), Some(Number(99))] {
            let mut drawn: Vec<u8> = (0..5000).map(|_| Number::fresh(previous, rng).0).collect();
            drawn.sort_unstable();
            drawn.dedup();
            let all = (10..=99).filter(|digits| previous != Some(Number(*digits)));
            assert_eq!(drawn, all.collect::<Vec<u8>>());
        }
    }
}
