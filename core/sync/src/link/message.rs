//! What the two devices say to each other while linking, one frame each.

use minicbor::{Decode, Encode};
use twin_identity::body::Removal;
use twin_identity::cbor;
use twin_identity::device::DevicePublic;
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::sign::Signature;

use super::LinkError;
use crate::machine::MAX_FRAME;

/// The most bytes of a twin's name while linking.
pub const MAX_TWIN_NAME: usize = 64;

#[derive(Debug, Encode, Decode)]
pub(super) enum Message {
    /// Phone: who invites, and the proof that it has seen the QR code.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// New device: its keys, and a commitment to its nonce.
    #[n(1)]
    Keys(#[n(0)] Box<Keys>),
    /// Phone: its nonce, chosen before it can know the other.
    #[n(2)]
    PhoneNonce(#[cbor(n(0), with = "cbor::fixed")] [u8; 32]),
    /// New device: the nonce that it had committed to.
    #[n(3)]
    NewNonce(#[cbor(n(0), with = "cbor::fixed")] [u8; 32]),
    /// Phone, after the right code: the identity log, in as many of these as it takes.
    #[n(4)]
    Entries(#[n(0)] Vec<minicbor::bytes::ByteVec>),
    /// Phone, or helper after the rotation: grants of keys, in as many of these as it takes.
    #[n(5)]
    Grants(#[n(0)] Vec<minicbor::bytes::ByteVec>),
    /// Phone, last: the genesis, with which the entries can be verified.
    #[n(6)]
    Admit(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// New device, or helper last: everything is stored.
    #[n(7)]
    Done,
    /// Either: this link has ended.
    #[n(8)]
    Abort(#[n(0)] Abort),
    /// Helper of a recovery: how far the logs of each device go, in as many of these as it takes.
    #[n(9)]
    Lines(#[n(0)] Vec<Removal>),
    /// Helper of a recovery, before the rotation: the genesis. The new device is in none of the entries yet.
    #[n(10)]
    Material(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// New device: the rotation by which it comes in.
    #[n(11)]
    Rotation(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Phone or helper, before the genesis: the rotation that counts for it, in case others contradict it.
    #[n(12)]
    Stands(#[n(0)] EntryId),
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Hello {
    #[n(0)]
    pub version: u8,
    #[n(3)]
    pub twin: TwinId,
    #[n(4)]
    pub name: String,
    #[n(5)]
    pub phone: DeviceId,
    #[cbor(n(6), with = "cbor::fixed")]
    pub proof: [u8; 32],
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Keys {
    #[n(3)]
    pub device: DevicePublic,
    /// The new device's own signature over twin id and keys.
    #[cbor(n(4), with = "cbor::fixed")]
    pub statement: Signature,
    #[cbor(n(5), with = "cbor::fixed")]
    pub commitment: [u8; 32],
    #[cbor(n(6), with = "cbor::fixed")]
    pub proof: [u8; 32],
}

/// Why a side ended the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Abort {
    /// The code typed on the phone was not the one shown.
    #[n(0)]
    WrongCode,
    /// The person said no.
    #[n(1)]
    Declined,
    /// Something else went wrong on that side.
    #[n(2)]
    Failed,
    /// From afar: the passcode typed on the new device was not the one that the phone shows.
    #[n(3)]
    OtherPasscode,
}

/// Whether bytes are one message of a link by QR code, and what writing it gives: for fuzzers.
pub fn is_message(frame: &[u8]) -> bool {
    cbor::decode::<Message>(frame, MAX_FRAME).is_ok_and(|message| message.to_frame() == frame)
}

impl Message {
    pub fn to_frame(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads a frame; an abort by the other side is an error.
    pub fn from_frame(frame: &[u8]) -> Result<Self, LinkError> {
        match cbor::decode(frame, MAX_FRAME)? {
            Self::Abort(abort) => Err(LinkError::Aborted(abort)),
            message => Ok(message),
        }
    }
}
