//! How a mailbox is derived, and how what lies in it is sealed.
//!
//! ```text
//! secret    H("mailbox"; discovery key ‖ relay key ‖ u64(day))
//! address   Ed25519 verifying key of the seed H("mailbox address"; secret)
//! key       H("mailbox key"; secret)
//! slot      first 16 bytes of H("mailbox slot"; secret ‖ device id)
//! envelope  nonce (24) ‖ ciphertext ‖ tag (16) under the key, associated data
//!           H("mailbox aad"; relay key ‖ u64(day) ‖ address ‖ kind (1) ‖ slot (16))
//! plaintext u64(made) ‖ u64(seen) ‖ u32(length) ‖ content ‖ zeros
//! ```
//!
//! An envelope is 1, 4, 16, 64 or 256 KiB long, never anything between: so its size tells a relay 2.3 bits at most, for
//! at most four times the bytes. Steps of two would tell 3.2 bits and save a quarter of the bytes on average; one size
//! for all would tell nothing and send 256 KiB for a record of a hundred bytes.

use std::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::address::{Address, AddressKey};
use twin_identity::aead::{AeadError, DATA_OVERHEAD, DataKey};
use twin_identity::cbor;
use twin_identity::context;
use twin_identity::id::DeviceId;
use twin_identity::secret::Secret;
use twin_identity::sign::Signature;
use twin_ops::epoch::DiscoveryKey;
use zeroize::Zeroizing;

use super::{Day, EnvelopeId, RelayKey, proof_id, withdrawal_id};
use crate::link::afar::Nameplate;
use crate::machine::Millis;
use crate::transport::TransportKey;

/// The lengths that a sealed envelope may have, in bytes.
pub const BUCKETS: [usize; 5] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, MAX_ENVELOPE];
/// The longest sealed envelope, in bytes.
pub const MAX_ENVELOPE: usize = 256 << 10;
/// The length of a presence, in bytes: always the same.
pub const PRESENCE: usize = 1 << 10;
/// What stands before the content: when it was made, what its writer had seen, its length.
const HEAD: usize = 8 + 8 + 4;
/// The most content of a post, in bytes.
pub const MAX_POST: usize = MAX_ENVELOPE - DATA_OVERHEAD - HEAD;
/// The most content of a presence, in bytes.
pub const MAX_PRESENCE: usize = PRESENCE - DATA_OVERHEAD - HEAD;

/// Where a device's presence lies in a mailbox. Says nothing about the device, and is another one every day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Slot(#[cbor(n(0), with = "cbor::fixed")] pub [u8; 16]);

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "Slot({a:02x}{b:02x}…)")
    }
}

/// An envelope could not be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More content than fits.
    #[error("{len} bytes do not fit into an envelope, which holds {max}: send less at once")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// Of no length that envelopes have, altered, sealed for another place, or not by a device of the twin.
    #[error("an envelope on the relay does not open: it was altered or is none of this twin's")]
    Open,
    /// The cipher refused.
    #[error(transparent)]
    Seal(#[from] AeadError),
}

/// What an envelope holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// When it was made, by its writer's clock.
    pub made: Millis,
    /// The highest number that its writer knew of in this mailbox, so that a relay that shows its posts to one device
    /// and hides them from another is found out by the next letter.
    pub seen: u64,
    /// For the application.
    pub content: Vec<u8>,
}

impl fmt::Debug for Letter {
    /// Without the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("made", &self.made)
            .field("seen", &self.seen)
            .field("len", &self.content.len())
            .finish()
    }
}

/// The mailbox of one epoch of a twin, at one relay, on one day: the keys to it.
pub struct Mailbox {
    relay: RelayKey,
    day: Day,
    secret: Secret<32>,
    key: AddressKey,
    seal: DataKey,
}

impl Mailbox {
    /// Derives the keys from the discovery key of a membership epoch.
    pub fn new(discovery: &DiscoveryKey, relay: RelayKey, day: Day) -> Self {
        let number = day.0.to_be_bytes();
        let fields = [relay.as_bytes().as_slice(), &number];
        Self::of_secret(discovery.derive(&context::MAILBOX, fields), relay, day)
    }

    /// The mailbox in which a phone that shows a passcode says where it is. Whoever knows the nameplate, as its relay does,
    /// finds it; nothing that lies there is a secret.
    pub fn of_nameplate(nameplate: Nameplate, relay: RelayKey, day: Day) -> Self {
        let (nameplate, number) = (nameplate.number().to_be_bytes(), day.0.to_be_bytes());
        let fields = [nameplate.as_slice(), relay.as_bytes(), &number];
        let secret = Secret::new(context::MAILBOX_NAMEPLATE.hash(fields));
        Self::of_secret(secret, relay, day)
    }

    fn of_secret(secret: Secret<32>, relay: RelayKey, day: Day) -> Self {
        let derived =
            |what: &context::Context| Secret::new(what.hash([secret.expose().as_slice()]));
        Self {
            relay,
            day,
            key: AddressKey::new(&derived(&context::MAILBOX_ADDRESS)),
            seal: DataKey::new(derived(&context::MAILBOX_KEY)),
            secret,
        }
    }

    /// The relay that it is at.
    pub const fn relay(&self) -> RelayKey {
        self.relay
    }

    /// The day that it is of.
    pub const fn day(&self) -> Day {
        self.day
    }

    /// What the relay knows it by.
    pub const fn address(&self) -> Address {
        self.key.address()
    }

    /// Where a device's presence lies in it.
    pub fn slot(&self, device: &DeviceId) -> Slot {
        let fields = [self.secret.expose().as_slice(), device.as_bytes()];
        let hash = context::MAILBOX_SLOT.hash(fields);
        let mut slot = [0; 16];
        slot.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Slot(slot)
    }

    /// Seals a post; its length is one of [`BUCKETS`].
    pub fn seal_post(
        &self,
        letter: &Letter,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, EnvelopeError> {
        let len = letter.content.len();
        let mut buckets = BUCKETS.iter().map(|bucket| bucket - DATA_OVERHEAD);
        let room = buckets
            .find(|room| len <= room - HEAD)
            .ok_or(EnvelopeError::TooLong { len, max: MAX_POST })?;
        Ok(self
            .seal
            .seal(&self.aad(None), &plaintext(letter, room), rng)?)
    }

    /// Seals the presence that is to lie in a slot; [`PRESENCE`] bytes.
    pub fn seal_presence(
        &self,
        slot: &Slot,
        letter: &Letter,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, EnvelopeError> {
        let (len, max) = (letter.content.len(), MAX_PRESENCE);
        if len > max {
            return Err(EnvelopeError::TooLong { len, max });
        }
        let text = plaintext(letter, PRESENCE - DATA_OVERHEAD);
        Ok(self.seal.seal(&self.aad(Some(slot)), &text, rng)?)
    }

    /// Opens a post.
    pub fn open_post(&self, sealed: &[u8]) -> Result<Letter, EnvelopeError> {
        if !BUCKETS.contains(&sealed.len()) {
            return Err(EnvelopeError::Open);
        }
        self.open(None, sealed)
    }

    /// Opens the presence that lies in a slot.
    pub fn open_presence(&self, slot: &Slot, sealed: &[u8]) -> Result<Letter, EnvelopeError> {
        if sealed.len() != PRESENCE {
            return Err(EnvelopeError::Open);
        }
        self.open(Some(slot), sealed)
    }

    /// Proves to the relay that this side holds the address.
    pub(super) fn prove(
        &self,
        challenge: &[u8; 32],
        device: &TransportKey,
        relay: &TransportKey,
    ) -> Signature {
        self.key
            .sign(&proof_id(challenge, device, relay, &self.address()))
    }

    /// Takes a post back.
    pub(super) fn withdraw(&self, number: u64, envelope: &EnvelopeId) -> Signature {
        self.key
            .sign(&withdrawal_id(&self.address(), number, envelope))
    }

    fn open(&self, slot: Option<&Slot>, sealed: &[u8]) -> Result<Letter, EnvelopeError> {
        let opened = self.seal.open(&self.aad(slot), sealed);
        read(&opened.map_err(|_| EnvelopeError::Open)?).ok_or(EnvelopeError::Open)
    }

    /// Of a post, or of the presence in a slot.
    fn aad(&self, slot: Option<&Slot>) -> [u8; 32] {
        let (kind, slot) = slot.map_or((0, [0; 16]), |slot| (1, slot.0));
        context::MAILBOX_AAD.hash([
            self.relay.as_bytes().as_slice(),
            &self.day.0.to_be_bytes(),
            self.address().as_bytes(),
            &[kind],
            &slot,
        ])
    }
}

fn plaintext(letter: &Letter, room: usize) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    text.extend_from_slice(&letter.made.to_be_bytes());
    text.extend_from_slice(&letter.seen.to_be_bytes());
    // At most 256 KiB.
    let len = u32::try_from(letter.content.len()).unwrap_or(u32::MAX);
    text.extend_from_slice(&len.to_be_bytes());
    text.extend_from_slice(&letter.content);
    text.resize(room, 0);
    text
}

fn read(text: &[u8]) -> Option<Letter> {
    let (made, rest) = text.split_first_chunk()?;
    let (seen, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (content, padding) = rest.split_at_checked(len)?;
    padding.iter().all(|byte| *byte == 0).then(|| Letter {
        made: u64::from_be_bytes(*made),
        seen: u64::from_be_bytes(*seen),
        content: content.to_vec(),
    })
}

#[cfg(test)]
mod tests;
