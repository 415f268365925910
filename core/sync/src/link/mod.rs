//! Linking: how a new device joins a twin by a QR code that the phone scans.
//!
//! ```text
//! new device                                   phone
//!   shows Offer (QR)  ───────────────────────▶  scans, dials the address, checks the transport key
//!                     ◀── Hello  twin, name, proof of the QR's secret
//!   Keys, commitment ──▶                        checks the proof
//!                     ◀── nonce
//!   nonce            ──▶                        checks the commitment
//!   shows 123 456                               the person types 123 456 here
//!                     ◀── identity log, grants  after the right code only
//!   Done             ──▶
//! ```
//!
//! A device that recovers a twin by words or guardians shows the same code to any device that is still in. That one,
//! the helper, then adds nobody: it sends the log and how far all logs of ops go (`Material`), the new device answers
//! with the rotation by which it comes in, and then gets the grants. `Done` is the helper's.
//!
//! Every step is a type that consumes the one before, so that nothing can be sent over a link that is not confirmed.
//! - [`offer`]: the QR code; [`code`]: the six digits; `proving`: what only the two know
//! - [`phone`], [`new_device`]: the two sides; [`recovering`]: what is different for a device that recovers
//! - [`afar`]: how a link begins between two devices that are not in one place

pub mod afar;
pub mod code;
mod message;
pub mod new_device;
pub mod offer;
pub mod phone;
mod proving;
pub mod recovering;
#[cfg(test)]
mod tests;

use twin_identity::cbor::CborError;
use twin_identity::log::LogError;
use twin_ops::grant::GrantError;

pub use message::{Abort, MAX_TWIN_NAME, is_message};

const LINK_VERSION: u8 = 1;
/// How many bytes of entries or grants go into one frame before the next is begun.
const BATCH: usize = 256 << 10;
/// The most grants that a new device takes.
const MAX_GRANTS: usize = twin_ops::store::MAX_GRANTS;

/// The link has ended without a linked device. Nothing has been stored; show a new code to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The device at the address is not the one that shows the code.
    #[error(
        "the device that answers is not the one that shows this code: show a new code and try again"
    )]
    OtherDevice,
    /// The other side does not know the secret, or has changed its mind about its nonce.
    #[error(
        "the other device cannot prove that it belongs to this code: show a new code and try again"
    )]
    NotProven,
    /// Not the code that the new device shows.
    #[error("wrong code: the link has ended on both devices, show a new code and try again")]
    WrongCode,
    /// Not the passcode that the phone shows.
    #[error(
        "the passcode typed on the new device is not the one that the phone shows: it is used up on both, show a new one on the phone"
    )]
    OtherPasscode,
    /// Later than the offer lives.
    #[error("the linking code has expired: show a new one")]
    Expired,
    /// A message that does not belong here, or of another version.
    #[error(
        "the other device sent something unexpected: update the app on both devices and try again"
    )]
    Unexpected,
    /// The other side ended it.
    #[error("{}", match .0 {
        Abort::WrongCode => "the code typed on the phone was not the one shown here: the link has ended, show a new code to try again",
        Abort::Declined => "the person at the other device said no",
        Abort::Failed => "the other device could not finish: try again",
        Abort::OtherPasscode => "the passcode typed on the new device is not the one that the phone shows: it is used up on both, show a new one on the phone",
    })]
    Aborted(Abort),
    /// The log that was sent is not of the twin that was named.
    #[error("the phone sent the log of another twin: do not link these devices")]
    OtherTwin,
    /// The log that was sent does not name this device.
    #[error("the phone did not add this device: try again")]
    NotAdmitted,
    /// Damaged.
    #[error("a message of the other device is damaged: try again")]
    Format(#[from] CborError),
    /// The identity log does not verify.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The grant does not verify.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

/// The frame by which a side that cannot go on tells the other.
pub fn abort(why: Abort) -> Vec<u8> {
    message::Message::Abort(why).to_frame()
}
