//! Times on the wire: RFC 7519 §2 `NumericDate`, seconds since the Unix epoch.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// How far two clocks may be apart, in seconds, before a time stamp is held against its sender.
pub(crate) const LEEWAY_SECONDS: u64 = 60;

/// Whole seconds since the Unix epoch. Fractions, which RFC 7519 allows, are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct NumericDate(pub u64);

impl NumericDate {
    /// The second in which `now`, in milliseconds since the Unix epoch, lies.
    pub fn from_millis(now: u64) -> Self {
        Self(now / 1000)
    }

    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// True when a thing that ends here is over at `now`, a little lateness forgiven.
    pub fn is_over(self, now: Self) -> bool {
        now > self.plus(LEEWAY_SECONDS)
    }

    /// True when this lies further ahead of `now` than clocks may differ.
    pub fn is_ahead_of(self, now: Self) -> bool {
        self > now.plus(LEEWAY_SECONDS)
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        if let Some(seconds) = number.as_u64() {
            return Ok(Self(seconds));
        }
        match number.as_f64() {
            Some(seconds) if (0.0..9_007_199_254_740_992.0).contains(&seconds) => {
                Ok(Self(seconds as u64))
            }
            _ => Err(D::Error::custom("not a NumericDate")),
        }
    }
}
