//! What a device and a relay say to each other, one frame each. 0 to 6 are a device's, the others a relay's.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use twin_identity::cbor::{self, CborError};
use twin_identity::sign::Signature;

use super::envelope::MAX_ENVELOPE;
use super::refusal::Refusal;
use super::terms::Terms;
use super::{Address, EnvelopeId, Slot};
use crate::machine::Millis;

/// The longest frame of this protocol, in bytes: an envelope and what surrounds it, or a full list.
pub const MAX_MESSAGE: usize = MAX_ENVELOPE + (1 << 10);

/// The number that a device gives a question, by which it knows the answer: higher with each.
pub(super) type Ask = u64;

#[derive(Debug, Encode, Decode)]
pub(super) enum Message {
    /// Whoever asks holds this address.
    #[n(0)]
    Prove(#[n(0)] Prove),
    /// Keep a post.
    #[n(1)]
    Put(#[n(0)] Put),
    /// Keep a presence; without bytes, take it back.
    #[n(2)]
    Present(#[n(0)] Present),
    /// Which posts are there?
    #[n(3)]
    List(#[n(0)] At),
    /// Give a post.
    #[n(4)]
    Get(#[n(0)] At),
    /// Drop a post.
    #[n(5)]
    Withdraw(#[n(0)] Withdraw),
    /// Tell of what is new from now on.
    #[n(6)]
    Watch(#[n(0)] Watch),
    /// Relay, first: what is to be signed, and its terms.
    #[n(7)]
    Challenge(#[n(0)] Challenge),
    /// It is done.
    #[n(8)]
    Done(#[n(0)] Done),
    /// The post is kept.
    #[n(9)]
    Receipt(#[n(0)] Receipt),
    /// The posts that are there.
    #[n(10)]
    Listed(#[n(0)] Listed),
    /// The post.
    #[n(11)]
    Envelope(#[n(0)] Envelope),
    /// No.
    #[n(12)]
    Refused(#[n(0)] Refused),
    /// Unasked: where a mailbox that is watched stands.
    #[n(13)]
    News(#[n(0)] News),
    /// Unasked: a presence of a mailbox that is watched; without bytes, it was taken back.
    #[n(14)]
    Presence(#[n(0)] Presence),
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Prove {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub address: Address,
    #[cbor(n(5), with = "cbor::fixed")]
    pub signature: Signature,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Put {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub address: Address,
    #[n(5)]
    pub sealed: ByteVec,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Present {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub address: Address,
    #[n(5)]
    pub slot: Slot,
    #[n(6)]
    pub sealed: Option<ByteVec>,
}

/// A post of a mailbox, or those after it.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct At {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub address: Address,
    #[n(5)]
    pub number: u64,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Withdraw {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub address: Address,
    #[n(5)]
    pub number: u64,
    #[n(6)]
    pub id: EnvelopeId,
    #[cbor(n(7), with = "cbor::fixed")]
    pub signature: Signature,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Watch {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub address: Address,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Challenge {
    #[n(0)]
    pub version: u8,
    #[cbor(n(3), with = "cbor::fixed")]
    pub nonce: [u8; 32],
    #[n(4)]
    pub terms: Terms,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Done {
    #[n(3)]
    pub ask: Ask,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Receipt {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub number: u64,
    #[n(5)]
    pub expires: Millis,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Listed {
    #[n(3)]
    pub ask: Ask,
    /// The highest number that was given.
    #[n(4)]
    pub last: u64,
    #[n(5)]
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub(super) struct Row {
    #[n(0)]
    pub number: u64,
    #[n(1)]
    pub id: EnvelopeId,
    #[n(2)]
    pub expires: Millis,
    /// By which it was taken back.
    #[n(3)]
    pub withdrawn: Option<Signed>,
}

/// A signature in a field that may be absent.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Signed(#[cbor(n(0), with = "cbor::fixed")] pub Signature);

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Envelope {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub sealed: ByteVec,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Refused {
    #[n(3)]
    pub ask: Ask,
    #[n(4)]
    pub why: Refusal,
    /// How many milliseconds to wait before asking again.
    #[n(5)]
    pub wait: Option<Millis>,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct News {
    #[n(3)]
    pub address: Address,
    #[n(4)]
    pub last: u64,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Presence {
    #[n(3)]
    pub address: Address,
    #[n(4)]
    pub slot: Slot,
    #[n(5)]
    pub sealed: Option<ByteVec>,
}

impl Message {
    pub fn to_frame(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    pub fn from_frame(frame: &[u8]) -> Result<Self, CborError> {
        cbor::decode(frame, MAX_MESSAGE)
    }
}

/// Whether bytes are one message of this protocol, and what writing it gives: what both sides ask first of every frame,
/// for fuzzers.
pub fn is_message(frame: &[u8]) -> bool {
    Message::from_frame(frame).is_ok_and(|message| message.to_frame() == frame)
}

#[cfg(test)]
mod tests;
