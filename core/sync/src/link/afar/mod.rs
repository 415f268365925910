//! Linking from afar: the phone shows a passcode, and the person types it on a new device that is somewhere else.
//!
//! ```text
//! new device                                        phone
//!   the person types the passcode                     shows a passcode: nameplate, secret, check digits
//!   finds the phone by the nameplate
//!   Start    element of SPAKE2           ─────────▶  the passcode is used up, whatever comes of it
//!                                        ◀─────────  Answer   element, proof of the passcode
//!   checks the proof
//!   Agree    proof, name of the device   ─────────▶  checks the proof
//!                                        ◀─────────  Hello …  the link goes on as one by a QR code
//! ```
//!
//! From `Hello` on everything is as in [`super`], only that what proves is not the secret of a QR code but the key that
//! both sides made of the passcode: the new device shows six digits and asks whether to join, and the person types them
//! on the phone, which names the device and asks, too. So whoever has overheard the passcode, and uses it first, has
//! a device in hand that shows other digits than that of the person.
//!
//! Nobody who does not know the passcode learns anything, nor can search for it: each side sends one element before it
//! has seen a proof, which fits one guess. The phone gives one proof a passcode, and the new device asks once for what
//! was typed. With 50 bits of secret that is one chance in 10^15. The key is bound to the transport keys of both ends, so
//! somebody between them has two connections and two keys.
//!
//! What the first part of the passcode is for, both ends can say to a relay: it is no secret (see [`Nameplate`]).
//! - [`passcode`]: what is shown and typed; [`phone`], [`new_device`]: the two sides; `pake`: the key; `message`: frames

mod message;
pub mod new_device;
mod pake;
pub mod passcode;
pub mod phone;
#[cfg(test)]
mod tests;

pub use message::{MAX_DEVICE_NAME, is_message};
pub use passcode::{Nameplate, Passcode, PasscodeError};

use crate::machine::Millis;

/// How long a passcode lives, in milliseconds, by the timer of the phone that shows it: longer than a QR code, for it is
/// told and typed.
pub const AFAR_LIFE: Millis = 600_000;

const AFAR_VERSION: u8 = 1;
