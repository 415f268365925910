//! What the two devices say to each other until both have proved the passcode, one frame each. They are numbered on from
//! those of [`super::super::message`], with which the link goes on.

use minicbor::{Decode, Encode};
use twin_identity::cbor;

use crate::link::LinkError;
use crate::link::message::Abort;
use crate::machine::MAX_FRAME;

/// The most bytes of the new device's name.
pub const MAX_DEVICE_NAME: usize = 64;

#[derive(Debug, Encode, Decode)]
pub(super) enum Message {
    /// Either: this link has ended.
    #[n(8)]
    Abort(#[n(0)] Abort),
    /// New device: its element.
    #[n(13)]
    Start(#[n(0)] Start),
    /// Phone: its element, and the proof that it has shown the passcode.
    #[n(14)]
    Answer(#[n(0)] Answer),
    /// New device: the proof that the passcode was typed there, and what it is called.
    #[n(15)]
    Agree(#[n(0)] Agree),
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Start {
    #[n(0)]
    pub version: u8,
    #[cbor(n(3), with = "cbor::fixed")]
    pub element: [u8; 32],
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Answer {
    #[cbor(n(3), with = "cbor::fixed")]
    pub element: [u8; 32],
    #[cbor(n(4), with = "cbor::fixed")]
    pub proof: [u8; 32],
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Agree {
    #[n(3)]
    pub name: String,
    #[cbor(n(4), with = "cbor::fixed")]
    pub proof: [u8; 32],
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

/// Whether bytes are one message that comes before the passcode is proved, and what writing it gives: for fuzzers.
pub fn is_message(frame: &[u8]) -> bool {
    cbor::decode::<Message>(frame, MAX_FRAME).is_ok_and(|message| message.to_frame() == frame)
}
