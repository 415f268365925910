//! The frames of our protocols, written down a second time for those who do not use our machines.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use twin_identity::cbor;
use twin_identity::device::DevicePublic;
use twin_identity::id::{DeviceId, TwinId};
use twin_ops::op::Origin;

/// What a session says once both sides have proved themselves.
#[derive(Encode, Decode)]
pub enum SyncFrame {
    /// Identity log entries.
    #[n(5)]
    Entries(#[n(0)] Vec<ByteVec>),
    /// Grants.
    #[n(6)]
    Grants(#[n(0)] Vec<ByteVec>),
    /// Ops of one log.
    #[n(7)]
    Ops(#[n(0)] Ops),
}

/// Ops of one log.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Ops {
    /// The log.
    #[n(3)]
    pub origin: Origin,
    /// The ops.
    #[n(4)]
    pub ops: Vec<ByteVec>,
}

/// What is said while linking.
#[derive(Encode, Decode)]
pub enum LinkFrame {
    /// The phone's first.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// The new device's first.
    #[n(1)]
    Keys(#[n(0)] Box<Keys>),
    /// The phone's second.
    #[n(2)]
    PhoneNonce(#[cbor(n(0), with = "cbor::fixed")] [u8; 32]),
    /// The new device's second.
    #[n(3)]
    NewNonce(#[cbor(n(0), with = "cbor::fixed")] [u8; 32]),
}

/// Who invites.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// 1.
    #[n(0)]
    pub version: u8,
    /// The twin.
    #[n(3)]
    pub twin: TwinId,
    /// Its name.
    #[n(4)]
    pub name: String,
    /// The phone.
    #[n(5)]
    pub phone: DeviceId,
    /// The proof of having seen the QR code.
    #[cbor(n(6), with = "cbor::fixed")]
    pub proof: [u8; 32],
}

/// Who wants to join.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Keys {
    /// The device.
    #[n(3)]
    pub device: DevicePublic,
    /// Its signature over twin id and keys.
    #[cbor(n(4), with = "cbor::fixed")]
    pub statement: [u8; 64],
    /// To its nonce.
    #[cbor(n(5), with = "cbor::fixed")]
    pub commitment: [u8; 32],
    /// The proof of being the one that shows the QR code.
    #[cbor(n(6), with = "cbor::fixed")]
    pub proof: [u8; 32],
}

/// The bytes of a frame.
pub fn frame<T: Encode<()>>(message: &T) -> Vec<u8> {
    cbor::encode(message)
}
