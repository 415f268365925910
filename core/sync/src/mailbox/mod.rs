//! The blind mailbox of a relay: what one device leaves there, another finds later, and the relay cannot read it.
//!
//! ```text
//! relay    Challenge                 a nonce, and its terms
//! device   Prove   address           signature by the address over the nonce and both transport keys
//! device   Put     address, sealed   a post: kept until it expires, numbered by the relay     → Receipt
//! device   Present address, slot     a presence: one replaceable envelope a device, short life → Done
//! device   List    address, after    → Listed: number and id of each post
//! device   Get     address, number   → Envelope
//! device   Watch   address           → Done, and from then on News and Presence, unasked
//! device   Withdraw, Absent          takes a post or a presence back                           → Done
//! ```
//!
//! An address stands for one membership epoch of one twin, on one relay, on one day: two of them have nothing in common
//! that a relay could see. Whoever holds the epoch's discovery key can derive them all.
//!
//! - [`day`], [`envelope`]: where, and how it is sealed
//! - [`message`]: the frames; [`refusal`]: the relay's ways to say no; [`terms`]: how much it takes, for how long
//! - [`client`]: the device's side; [`memory`]: what it remembers of a relay; [`distrust`]: what it notices
//! - [`server`]: the relay's side; [`store`]: what that asks of its store; [`rate`]: how fast a device may ask

pub mod client;
pub mod day;
pub mod distrust;
pub mod envelope;
mod error;
mod held;
pub mod memory;
mod message;
pub mod rate;
pub mod refusal;
pub mod server;
pub mod store;
pub mod terms;

use twin_identity::context;
use twin_identity::id_type;

use crate::transport::TransportKey;

pub use client::{Client, ClientEvent, Desk, DeskError, OrderId, Visit};
pub use day::Day;
pub use distrust::Distrust;
pub use envelope::{Mailbox, Slot};
pub use error::MailboxError;
pub use held::Held;
pub use memory::Memory;
pub use message::{MAX_MESSAGE, is_message};
pub use refusal::Refusal;
pub use server::{Server, ServerEvent};
pub use store::MailboxStore;
pub use terms::{Limits, Terms};
pub use twin_identity::address::Address;

/// The version of this protocol.
const MAILBOX_VERSION: u8 = 1;

id_type! {
    /// The long-lived public key of a relay, by which devices know it.
    RelayKey
}

id_type! {
    /// Hash of a sealed envelope.
    EnvelopeId
}

impl From<TransportKey> for RelayKey {
    /// A relay keeps its transport key for as long as it is the same relay.
    fn from(key: TransportKey) -> Self {
        Self::from_bytes(*key.as_bytes())
    }
}

impl EnvelopeId {
    /// Of these sealed bytes.
    pub fn of(sealed: &[u8]) -> Self {
        Self::from_bytes(context::MAILBOX_ENVELOPE.hash([sealed]))
    }
}

/// What an address signs to prove itself: worth nothing on another connection, or to another relay.
fn proof_id(
    challenge: &[u8; 32],
    device: &TransportKey,
    relay: &TransportKey,
    address: &Address,
) -> [u8; 32] {
    context::MAILBOX_PROOF.hash([
        challenge.as_slice(),
        device.as_bytes(),
        relay.as_bytes(),
        address.as_bytes(),
    ])
}

/// What an address signs to take a post back. The relay keeps the signature, and shows it instead of the post.
fn withdrawal_id(address: &Address, number: u64, envelope: &EnvelopeId) -> [u8; 32] {
    let number = number.to_be_bytes();
    context::MAILBOX_WITHDRAWAL.hash([address.as_bytes().as_slice(), &number, envelope.as_bytes()])
}
