//! What a run can end with.

use std::fmt;

use twin_vault::VaultError;

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

/// What every step of a run returns.
pub type Held<T = ()> = Result<T, Fault>;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An honest vault that refuses what an honest person asks of it.
impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Self {
        Self(format!("a vault refused: {error}"))
    }
}

/// A fault in words.
macro_rules! fault {
    ($($text:tt)*) => { $crate::sim::fault::Fault(format!($($text)*)) };
}
pub(crate) use fault;

/// Fails unless the rule holds.
macro_rules! hold {
    ($rule:expr, $($text:tt)*) => {
        if !$rule {
            return Err($crate::sim::fault::fault!($($text)*).into());
        }
    };
}
pub(crate) use hold;
