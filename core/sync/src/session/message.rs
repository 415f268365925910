//! What two replicas say to each other while syncing, one frame each.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use twin_identity::cbor::{self, CborError};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::sign::Signature;
use twin_ops::chain::Head;
use twin_ops::file::ChunkId;
use twin_ops::grant::GrantId;
use twin_ops::op::{Link, LogId, Origin};
use twin_ops::piece::Begun;
use twin_ops::space::SpaceId;
use twin_ops::store::{ChunkName, Hole, Want};

use super::short::{ShortTable, Shorts};
use crate::machine::MAX_FRAME;

#[derive(Debug, Encode, Decode)]
pub(crate) enum Message {
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
    /// Chunks of files that this side wants; none: no more for now.
    #[n(12)]
    Ask(#[n(0)] Vec<ChunkName>),
    /// What this side has of the chunks that it was asked for.
    #[n(13)]
    Chunks(#[n(0)] Vec<Piece>),
    /// Which ops this side's peer has of a log of this side's device.
    #[n(14)]
    AskLinks(#[n(0)] AskLinks),
    /// Some of them, at most 64.
    #[n(15)]
    Links(#[n(0)] Links),
    /// Both, if none of the other's tags is known: which device this is, sealed under its discovery key.
    #[n(16)]
    Name(#[n(0)] ByteVec),
    /// Both, after the other's name: which device this is, sealed under the key that it was sealed under, or chance.
    #[n(17)]
    Answer(#[n(0)] ByteVec),
    /// As `LogTable`, in short.
    #[n(18)]
    ShortLogTable(#[n(0)] Shorts),
    /// As `Table`, in short.
    #[n(19)]
    ShortTable(#[n(0)] ShortTable),
    /// The ops of which the beginning has come to this side.
    #[n(20)]
    Begun(#[n(0)] Vec<Begun>),
    /// Some bytes of a long op.
    #[n(21)]
    OpPiece(#[n(0)] OpPiece),
    /// The spaces that this side's device does not keep, sorted; who has said nothing before its first digest or table
    /// keeps all.
    #[n(22)]
    NotKept(#[n(0)] Vec<SpaceId>),
    /// The spaces that this side's device is to leave once another holds all of them, sorted.
    #[n(23)]
    Leaving(#[n(0)] Vec<SpaceId>),
    /// Those of the spaces that the peer's device is to leave which this side's holds all of.
    #[n(24)]
    Holds(#[n(0)] Vec<SpaceId>),
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Hello {
    #[n(0)]
    pub version: u8,
    #[cbor(n(3), with = "cbor::fixed")]
    pub nonce: [u8; 32],
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Device {
    #[n(3)]
    pub device: DeviceId,
    #[cbor(n(4), with = "cbor::fixed")]
    pub signature: Signature,
}

/// The digest of a replica, after so many of the peer's frames.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Digest {
    #[cbor(n(3), with = "cbor::fixed")]
    pub digest: [u8; 32],
    #[n(4)]
    pub received: u64,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Table {
    #[n(3)]
    pub grants: Vec<GrantId>,
    #[n(4)]
    pub heads: Vec<Row>,
}

/// A log, its height and its newest link.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Row {
    #[n(0)]
    pub log: LogId,
    #[n(1)]
    pub height: u64,
    #[n(2)]
    pub link: Link,
}

#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Ops {
    #[n(3)]
    pub origin: Origin,
    #[n(4)]
    pub ops: Vec<ByteVec>,
    /// What the first of them comes after, if the log begins there: the ops before are superseded by the checkpoint
    /// that the first one is.
    #[n(5)]
    pub base: Option<Head>,
}

/// The next bytes of an op that continues a log, as a message with it alone would have it.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct OpPiece {
    #[n(3)]
    pub origin: Origin,
    #[n(4)]
    pub piece: ByteVec,
    #[n(5)]
    pub base: Option<Head>,
    #[n(6)]
    pub op: Link,
    #[n(7)]
    pub len: u64,
    #[n(8)]
    pub at: u64,
}

/// A question about the ops of a log between two heights, both not included.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AskLinks {
    #[n(3)]
    pub log: LogId,
    #[n(4)]
    pub after: u64,
    #[n(5)]
    pub before: u64,
}

/// Links of ops of a log, sorted by height: all that were asked about, or some, the first and the last of them included.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Links {
    #[n(3)]
    pub log: LogId,
    #[n(4)]
    pub links: Vec<Place>,
}

/// An op's height in its log, and its link.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Place {
    #[n(0)]
    pub height: u64,
    #[n(1)]
    pub link: Link,
}

/// A chunk that was asked for; without its bytes if it is not here.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Piece {
    #[n(0)]
    pub space: SpaceId,
    #[n(1)]
    pub id: ChunkId,
    #[n(2)]
    pub sealed: Option<ByteVec>,
}

impl Message {
    pub fn to_frame(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    pub fn from_frame(frame: &[u8]) -> Result<Self, CborError> {
        cbor::decode(frame, MAX_FRAME)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use proptest::prelude::*;
    use twin_ops::store::MAX_ASKED;

    use super::*;

    fn name() -> impl Strategy<Value = ChunkName> {
        (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(space, id)| ChunkName {
            space: SpaceId::from_bytes(space),
            id: ChunkId::from_bytes(id),
        })
    }

    fn piece() -> impl Strategy<Value = Piece> {
        (name(), any::<Option<Vec<u8>>>()).prop_map(|(ChunkName { space, id }, sealed)| Piece {
            space,
            id,
            sealed: sealed.map(Into::into),
        })
    }

    proptest! {
        #[test]
        fn questions_and_answers_are_read_as_they_were_written(
            names in prop::collection::vec(name(), 0..=MAX_ASKED),
            pieces in prop::collection::vec(piece(), 0..8),
            cut in 1_usize..40,
        ) {
            let ask = Message::Ask(names.clone()).to_frame();
            let Message::Ask(read) = Message::from_frame(&ask).unwrap() else {
                panic!("another message");
            };
            prop_assert_eq!(read, names);
            let chunks = Message::Chunks(pieces).to_frame();
            let read = Message::from_frame(&chunks).unwrap();
            prop_assert_eq!(read.to_frame(), &chunks[..]);
            // What is cut is no message, nor is what goes on.
            for whole in [ask, chunks] {
                let short = whole.len().saturating_sub(cut);
                prop_assert!(Message::from_frame(&whole[..short]).is_err());
                prop_assert!(Message::from_frame(&[&whole[..], &[0]].concat()).is_err());
            }
        }

        #[test]
        fn questions_about_logs_and_answers_are_read_as_they_were_written(
            log in any::<[u8; 32]>(),
            (after, before) in any::<(u64, u64)>(),
            links in prop::collection::vec((any::<u64>(), any::<[u8; 32]>()), 0..70),
        ) {
            let log = LogId::from_bytes(log);
            let ask = Message::AskLinks(AskLinks { log, after, before }).to_frame();
            let links = links.into_iter().map(|(height, link)| {
                let link = Link::from_bytes(link);
                Place { height, link }
            });
            let links = Message::Links(Links { log, links: links.collect() }).to_frame();
            for whole in [ask, links] {
                prop_assert_eq!(Message::from_frame(&whole).unwrap().to_frame(), &whole[..]);
                prop_assert!(Message::from_frame(&whole[1..]).is_err());
                prop_assert!(Message::from_frame(&[&whole[..], &[0]].concat()).is_err());
            }
        }

        #[test]
        fn any_bytes_get_an_answer(number in 10_u8..23, bytes: Vec<u8>) {
            for frame in [bytes.clone(), [&[0x82, number, 0x81], &bytes[..]].concat()] {
                if let Ok(message) = Message::from_frame(&frame) {
                    prop_assert_eq!(message.to_frame(), frame);
                }
            }
        }
    }
}
