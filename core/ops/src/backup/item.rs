//! What is in the chunks: items, one after the other, over chunk borders: `type (u8) ‖ length (u32) ‖ content, CBOR`.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use twin_identity::cbor;
use zeroize::Zeroizing;

use super::BackupError;
use super::manifest::{LogRow, Manifest};
use crate::chain::Head;
use crate::op::{MAX_OP_LEN, Origin};
use crate::space::SpaceId;

/// The most bytes of an item's content: an op with what stands around it.
pub const MAX_ITEM_LEN: usize = MAX_OP_LEN + (64 << 10);

/// No more items; only zeros follow.
const END: u8 = 0;
const MANIFEST: u8 = 1;
const LOGS: u8 = 2;
const ENTRIES: u8 = 3;
const GRANTS: u8 = 4;
const OPS: u8 = 5;
const CHUNKS: u8 = 6;
const CONTENT: u8 = 7;

/// Type and length.
const HEAD_LEN: usize = 5;

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The first one: what a device has signed of the backup.
    Manifest(Box<Manifest>),
    /// How far logs go that are in it, sorted by log.
    Logs(Vec<LogRow>),
    /// Signed entries of the identity log, each after those that it builds on.
    Entries(Vec<ByteVec>),
    /// Signed grants.
    Grants(Vec<ByteVec>),
    /// Ops that continue a log.
    Ops(Ops),
    /// Sealed chunks of files.
    Chunks(Chunks),
    /// What there is of files: once, after all chunks.
    Content(Content),
    /// Of a later version: to be passed over.
    Unknown(u8),
}

/// Sealed chunks of the files of one space. Their ids are their hashes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Chunks {
    /// The space.
    #[n(3)]
    pub space: SpaceId,
    /// The chunks as they are stored and sent.
    #[n(4)]
    pub sealed: Vec<ByteVec>,
}

/// How much content of files there is, and how much there is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Content {
    /// How many chunks come before this.
    #[n(3)]
    pub chunks: u64,
    /// How many files of records were not, or not whole, on the device that made the backup.
    #[n(4)]
    pub incomplete: u64,
    /// Whether content was left out on purpose.
    #[n(5)]
    pub left_out: bool,
}

/// Ops that continue a log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ops {
    /// Who writes it.
    #[n(3)]
    pub origin: Origin,
    /// The ops as they are stored and sent.
    #[n(4)]
    pub run: Vec<ByteVec>,
    /// What the first of them comes after, if the log begins there: the ops before are superseded by a checkpoint.
    #[n(5)]
    pub base: Option<Head>,
}

impl Item {
    /// The item as it stands in the chunks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (number, content) = match self {
            Self::Manifest(manifest) => (MANIFEST, manifest.to_bytes()),
            Self::Logs(rows) => (LOGS, cbor::encode(rows)),
            Self::Entries(entries) => (ENTRIES, cbor::encode(entries)),
            Self::Grants(grants) => (GRANTS, cbor::encode(grants)),
            Self::Ops(ops) => (OPS, cbor::encode(ops)),
            Self::Chunks(chunks) => (CHUNKS, cbor::encode(chunks)),
            Self::Content(content) => (CONTENT, cbor::encode(content)),
            Self::Unknown(number) => (*number, Vec::new()),
        };
        let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEAD_LEN + content.len());
        bytes.push(number);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend(content);
        bytes
    }

    fn read(number: u8, content: &[u8]) -> Result<Self, BackupError> {
        const MALFORMED: BackupError = BackupError::Content("an item is not in its format");
        fn decode<'b, T>(content: &'b [u8]) -> Result<T, BackupError>
        where
            T: Decode<'b, ()> + Encode<()>,
        {
            cbor::decode(content, MAX_ITEM_LEN).map_err(|_| MALFORMED)
        }
        Ok(match number {
            MANIFEST => Self::Manifest(Box::new(Manifest::from_bytes(content)?)),
            LOGS => Self::Logs(decode(content)?),
            ENTRIES => Self::Entries(decode(content)?),
            GRANTS => Self::Grants(decode(content)?),
            OPS => Self::Ops(decode(content)?),
            CHUNKS => Self::Chunks(decode(content)?),
            CONTENT => Self::Content(decode(content)?),
            number => Self::Unknown(number),
        })
    }
}

/// The items in the content of chunks that come one by one. No more is held than one item and one chunk.
#[derive(Default)]
pub struct Items {
    buffer: Zeroizing<Vec<u8>>,
    taken: u64,
    ended: bool,
    /// Whether what comes next is the rest of an item whose beginning is lost.
    lost: bool,
}

impl Items {
    /// Adds the content of the next chunk.
    pub fn push(&mut self, content: &[u8]) {
        self.buffer.extend_from_slice(content);
    }

    /// A chunk is missing here, and with it the item that goes on into it.
    pub fn lose(&mut self) {
        self.buffer.clear();
        self.lost = true;
    }

    /// As [`Items::push`], of a chunk in which the first item begins at `begins`: after a loss it is gone on there.
    pub fn push_from(&mut self, content: &[u8], begins: Option<usize>) {
        let from = match (self.lost, begins) {
            (false, _) => 0,
            (true, Some(begins)) => begins,
            (true, None) => return,
        };
        self.lost = false;
        self.push(content.get(from..).unwrap_or_default());
    }

    /// The next item that is there whole; `None` if more has to be pushed first, or there are no more.
    pub fn take(&mut self) -> Result<Option<Item>, BackupError> {
        if !self.ended && self.buffer.len() >= HEAD_LEN && self.buffer.first() == Some(&END) {
            self.ended = true;
        }
        if self.ended {
            return if self.buffer.iter().all(|byte| *byte == 0) {
                Ok(None)
            } else {
                Err(BackupError::Content("something comes after the last item"))
            };
        }
        let Some((head, rest)) = self.buffer.split_first_chunk::<HEAD_LEN>() else {
            return Ok(None);
        };
        let [number, len @ ..] = *head;
        let len = u32::from_be_bytes(len) as usize;
        if len > MAX_ITEM_LEN {
            return Err(BackupError::Content("an item is too long"));
        }
        let Some(content) = rest.get(..len) else {
            return Ok(None);
        };
        let item = Item::read(number, content)?;
        let whole = HEAD_LEN + len;
        self.buffer.drain(..whole);
        self.taken += whole as u64;
        Ok(Some(item))
    }

    /// How many bytes of content the items took that were there whole.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the last item has come.
    pub const fn is_over(&self) -> bool {
        self.ended
    }
}
