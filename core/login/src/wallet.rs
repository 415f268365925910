//! The wallet side: from the text of a QR code to the answer a person agreed to.
//!
//! Each step consumes what came back and says what to fetch next; none can be skipped:
//! [`Invitation`] → [`KeyFetch`] → [`RequestFetch`] → [`Consent`] → [`Sent`].

mod consent;
mod error;
mod fetch;
mod invitation;
mod reply;

pub use consent::{Ask, Consent, Proof};
pub use error::LoginError;
pub use fetch::{KeyFetch, RequestFetch};
pub use invitation::Invitation;
pub use reply::{LoggedIn, Sent};

#[cfg(test)]
mod tests;
