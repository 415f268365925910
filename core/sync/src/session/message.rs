//! What two replicas say to each other while syncing, one frame each.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use twin_identity::cbor::{self, CborError};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::sign::Signature;
use twin_ops::chain::Head;
use twin_ops::grant::GrantId;
use twin_ops::op::{Link, LogId, Origin};
use twin_ops::store::{Hole, Want};

use crate::machine::MAX_FRAME;

#[derive(Debug, Encode, Decode)]
pub(super) enum Message {
    /// Both: a nonce; says nothing about anybody.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// Both: the discovery key's proof.
    #[n(1)]
    Proof(#[cbor(n(0), with = "cbor::fixed")] [u8; 32]),
    /// Both, once the other's proof has been checked: which device this is.
    #[n(2)]
    Device(#[n(0)] Device),
    /// The identity log's entries that this side has.
    #[n(3)]
    LogTable(#[n(0)] Vec<EntryId>),
    /// Everything else that this side has, by id and height; only once the peer is known to be linked.
    #[n(4)]
    Table(#[n(0)] Box<Table>),
    /// Identity log entries.
    #[n(5)]
    Entries(#[n(0)] Vec<ByteVec>),
    /// Grants.
    #[n(6)]
    Grants(#[n(0)] Vec<ByteVec>),
    /// Ops that continue one log, or with which it begins.
    #[n(7)]
    Ops(#[n(0)] Ops),
    /// Nothing more to send now.
    #[n(8)]
    Digest(#[n(0)] Digest),
    /// Both, if the other's proof is not by the current discovery key: what only a device that this one knows can tell
    /// from chance.
    #[n(9)]
    Tags(#[n(0)] ByteVec),
    /// The keys that this side may have and has not.
    #[n(10)]
    Wants(#[n(0)] Vec<Want>),
    /// The ops of which this side lacks content that nobody erased.
    #[n(11)]
    Holes(#[n(0)] Vec<Hole>),
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Hello {
    #[n(0)]
    pub version: u8,
    #[cbor(n(3), with = "cbor::fixed")]
    pub nonce: [u8; 32],
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Device {
    #[n(3)]
    pub device: DeviceId,
    #[cbor(n(4), with = "cbor::fixed")]
    pub signature: Signature,
}

/// The digest of a replica, after so many of the peer's frames.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Digest {
    #[cbor(n(3), with = "cbor::fixed")]
    pub digest: [u8; 32],
    #[n(4)]
    pub received: u64,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Table {
    #[n(3)]
    pub grants: Vec<GrantId>,
    #[n(4)]
    pub heads: Vec<Row>,
}

/// A log, its height and its newest link.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(array)]
pub(super) struct Row {
    #[n(0)]
    pub log: LogId,
    #[n(1)]
    pub height: u64,
    #[n(2)]
    pub link: Link,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Ops {
    #[n(3)]
    pub origin: Origin,
    #[n(4)]
    pub ops: Vec<ByteVec>,
    /// What the first of them comes after, if the log begins there: the ops before are superseded by the checkpoint
    /// that the first one is.
    #[n(5)]
    pub base: Option<Head>,
}

impl Message {
    pub fn to_frame(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    pub fn from_frame(frame: &[u8]) -> Result<Self, CborError> {
        cbor::decode(frame, MAX_FRAME)
    }
}
