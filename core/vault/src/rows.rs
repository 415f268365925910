//! What the sealed rows hold.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use twin_identity::cbor;
use twin_identity::device::DEVICE_KEYS_LEN;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;
use twin_identity::seal::SealingPublic;
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::epoch::EpochId;
use twin_ops::file::{ChunkId, Root};
use twin_ops::grant::GrantId;
use twin_ops::op::{INCARNATION_LEN, Link, LogId, Origin};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::Hole;
use zeroize::Zeroize;

use crate::files::{ADD_LEN, chunk_key};
use crate::incarnation::FileMark;
use crate::items::Kind;
use crate::relays::{MailboxId, RelayId, page_name};
use crate::search::SearchRow;

/// A sealed row.
pub(crate) trait Row: Encode<()> + for<'b> Decode<'b, ()> {
    /// Its kind.
    const KIND: Kind;

    /// What distinguishes it from the others of its kind; empty if there is only one.
    fn natural(&self) -> Vec<u8>;
}

/// This device's keys and the incarnation that it writes as.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct DeviceRow {
    #[cbor(n(0), with = "cbor::fixed")]
    pub keys: [u8; DEVICE_KEYS_LEN],
    #[cbor(n(1), with = "cbor::fixed")]
    pub incarnation: [u8; INCARNATION_LEN],
    /// The file that it wrote to last; none in vaults from before this was noted.
    #[n(2)]
    pub mark: Option<FileMark>,
    /// Whether a log of this incarnation was let go here, that others go on having.
    #[n(3)]
    pub ended: Option<bool>,
}

impl Drop for DeviceRow {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

/// The genesis, and the first entry once more: all others hang on it, and a vault without it cannot be salvaged.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct GenesisRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub genesis: Vec<u8>,
    /// Vaults of before do not have it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub first: Option<Vec<u8>>,
}

impl GenesisRow {
    /// Of an identity log.
    pub fn of(identity: &IdentityLog) -> Self {
        let entries = identity.entries().values();
        let first = entries.min_by_key(|entry| entry.place.seq);
        Self {
            genesis: identity.genesis().to_bytes(),
            first: first.map(|entry| entry.to_bytes().to_vec()),
        }
    }
}

/// A signed entry of the identity log.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct EntryRow {
    #[n(0)]
    pub id: EntryId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub entry: Vec<u8>,
}

/// A signed grant, and what it gave this device.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct GrantRow {
    #[n(0)]
    pub id: GrantId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub grant: Vec<u8>,
    #[n(2)]
    pub epochs: Vec<(SpaceId, EpochId)>,
}

/// An epoch's key.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct EpochRow {
    #[n(0)]
    pub id: EpochId,
    #[n(1)]
    pub space: SpaceName,
    #[cbor(n(2), with = "cbor::fixed")]
    pub key: [u8; 32],
    /// The epoch before, and its key sealed under this one.
    #[n(3)]
    pub predecessor: Option<Predecessor>,
    /// Heads of the identity log that whoever began the epoch knew.
    #[n(4)]
    pub heads: Vec<EntryId>,
    /// The rotation under which it was begun.
    #[n(5)]
    pub base: EntryId,
    /// Whether this device has written in it.
    #[n(6)]
    pub written: Option<bool>,
}

/// The epoch before another.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Predecessor {
    #[n(0)]
    pub id: EpochId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

impl Drop for EpochRow {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The number that stands for a collection in the index.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct CollectionRow {
    #[n(0)]
    pub space: SpaceId,
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub number: u16,
}

/// A log, as far as it went when what is late was last settled (see [`crate::late`]).
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct LogRow {
    /// The number that stands for it in the table of ops.
    #[n(0)]
    pub number: u32,
    #[n(1)]
    pub id: LogId,
    #[n(2)]
    pub origin: Origin,
    #[n(3)]
    pub height: u64,
    #[n(4)]
    pub link: Link,
    /// What it begins after here.
    #[n(5)]
    pub base: Option<Head>,
}

/// The highest stamp that this device had given or merged when what is late was last settled.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ClockRow {
    #[n(0)]
    pub last: Stamp,
}

/// What this device's ops in a space have told of what it has seen.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ToldRow {
    #[n(0)]
    pub space: SpaceId,
    #[n(1)]
    pub heads: Vec<EntryId>,
    #[n(2)]
    pub heights: BTreeMap<LogId, u64>,
}

/// An op whose epoch is not known yet.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct UnreadRow {
    #[n(0)]
    pub op: i64,
}

/// A part stamped too far ahead to be merged yet.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct AheadRow {
    #[n(0)]
    pub part: i64,
    #[n(1)]
    pub stamp: Stamp,
}

/// Where a device was reached, newest first.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct AddressRow {
    #[n(0)]
    pub device: DeviceId,
    #[n(1)]
    pub addresses: Vec<String>,
}

/// When this device first saw an entry of the identity log.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct SeenRow {
    #[n(0)]
    pub id: EntryId,
    /// Milliseconds since the Unix epoch.
    #[n(1)]
    pub at: u64,
}

/// An entry of the identity log that another device has seen and this one has not.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct UnheardRow {
    #[n(0)]
    pub id: EntryId,
    #[n(1)]
    pub by: DeviceId,
}

/// The part of an op that erases others.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ErasureRow {
    #[n(0)]
    pub part: i64,
}

/// An op of which content is missing that nobody who may has erased.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct HoleRow {
    #[n(0)]
    pub hole: Hole,
}

/// The part of an op that is a checkpoint.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct CheckpointRow {
    #[n(0)]
    pub part: i64,
    /// Whether all of its snapshot was merged.
    #[n(1)]
    pub stands: bool,
    /// Whether everything that it supersedes and that decided something was found in its snapshot.
    #[n(2)]
    pub covers: bool,
}

/// A part of which a later version will make more than this one can.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct LaterRow {
    #[n(0)]
    pub part: i64,
}

/// How far another device is known to have the logs of a space.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct HeardRow {
    #[n(0)]
    pub device: DeviceId,
    #[n(1)]
    pub space: SpaceId,
    /// When this was last learnt: milliseconds since the Unix epoch.
    #[n(2)]
    pub at: u64,
    #[n(3)]
    pub heights: BTreeMap<LogId, u64>,
}

/// How a relay was used, and what whoever reads all that lies there has.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct RelayRow {
    #[cbor(n(0), with = "cbor::fixed")]
    pub relay: RelayId,
    #[n(1)]
    pub visited: Option<u64>,
    /// Since when something lies there.
    #[n(2)]
    pub since: Option<u64>,
    #[n(3)]
    pub entries: Vec<EntryId>,
    #[n(4)]
    pub grants: Vec<GrantId>,
    #[n(5)]
    pub heads: BTreeMap<LogId, Head>,
    /// Of how many parts the content was erased when what lay there was last taken back.
    #[n(6)]
    pub erased: u64,
    #[n(7)]
    pub holes: Vec<Hole>,
    #[n(8)]
    pub to: Vec<(DeviceId, u64)>,
    #[n(9)]
    pub early: u64,
}

/// What is remembered of a mailbox at a relay.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct PageRow {
    #[cbor(n(0), with = "cbor::fixed")]
    pub relay: RelayId,
    #[cbor(n(1), with = "cbor::fixed")]
    pub mailbox: MailboxId,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub page: Vec<u8>,
}

/// What another device is known to have, all of it.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct KnownRow {
    #[n(0)]
    pub device: DeviceId,
    /// When it said so, by its clock: milliseconds since the Unix epoch.
    #[n(1)]
    pub at: u64,
    #[n(2)]
    pub entries: Vec<EntryId>,
    #[n(3)]
    pub grants: Vec<GrantId>,
    #[n(4)]
    pub heads: BTreeMap<LogId, Head>,
    #[n(5)]
    pub holes: Vec<Hole>,
    /// When the newest bundles with content were made that it has taken, and that were taken of it.
    #[n(6)]
    pub has_taken: u64,
    #[n(7)]
    pub was_taken: u64,
}

/// A chunk of a file that is here.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ChunkRow {
    #[n(0)]
    pub space: SpaceId,
    #[n(1)]
    pub id: ChunkId,
    /// Of its bytes in the table of chunks.
    #[n(2)]
    pub number: i64,
    /// When it came, or an add last found it here: milliseconds since the Unix epoch.
    #[n(3)]
    pub at: u64,
}

/// An add of a file that goes on, or was broken off.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct AddingRow {
    #[cbor(n(0), with = "cbor::fixed")]
    pub add: [u8; ADD_LEN],
    /// When it began, and when something was last added: milliseconds since the Unix epoch.
    #[n(1)]
    pub began: u64,
    #[n(2)]
    pub touched: u64,
}

/// A record that names a file which was not all here when the record was last written.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct AbsentRow {
    #[n(0)]
    pub space: SpaceId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub root: Vec<u8>,
    /// The number of the record's collection, and its id.
    #[n(2)]
    pub collection: u16,
    #[n(3)]
    pub id: String,
}

impl Drop for AbsentRow {
    fn drop(&mut self) {
        self.root.zeroize();
    }
}

/// Which content of files this device keeps: all, or what somebody has wanted to see.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeepRow {
    #[n(0)]
    pub all: bool,
}

/// A file whose record was erased, and whose chunks are still to go.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ErasedFileRow {
    #[n(0)]
    pub space: SpaceId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub root: Vec<u8>,
}

impl Drop for ErasedFileRow {
    fn drop(&mut self) {
        self.root.zeroize();
    }
}

/// A space that this device was to keep no more and has left.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct LeftRow {
    #[n(0)]
    pub space: SpaceId,
    /// Whether chunks of its files may be here still.
    #[n(1)]
    pub chunks: bool,
}

/// A way to unlock the vault; the slot itself, which must be readable before anything is unlocked, has a table of its
/// own.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct SlotRow {
    #[n(0)]
    pub number: u32,
    #[n(1)]
    pub label: String,
    #[n(2)]
    pub added: Option<u64>,
    /// What a new vault key is sealed to.
    #[n(3)]
    pub public: SealingPublic,
}

impl SlotRow {
    /// The natural key of the row of the slot with this number.
    pub fn name(number: u32) -> [u8; 4] {
        number.to_be_bytes()
    }
}

/// The natural key of a collection's row.
pub(crate) fn collection_key(space: &SpaceId, name: &str) -> Vec<u8> {
    [space.as_bytes().as_slice(), name.as_bytes()].concat()
}

/// The one chunk that a root refers to.
fn top(root: &[u8]) -> ChunkId {
    let root = Root::from_bytes(root).ok();
    root.map_or(ChunkId::from_bytes([0; 32]), |root| *root.top())
}

macro_rules! rows {
    ($($row:ty: $kind:ident, |$it:ident| $natural:expr;)*) => {
        $(impl Row for $row {
            const KIND: Kind = Kind::$kind;

            fn natural(&self) -> Vec<u8> {
                let $it = self;
                $natural
            }
        })*

        /// The natural key of the row of this kind with this content; `None` if it is no such row.
        pub(crate) fn natural(kind: u8, content: &[u8]) -> Option<Vec<u8>> {
            $(if kind == Kind::$kind as u8 {
                return minicbor::decode::<$row>(content).ok().map(|row| row.natural());
            })*
            None
        }
    };
}

rows! {
    DeviceRow: Device, |_row| Vec::new();
    GenesisRow: Genesis, |_row| Vec::new();
    EntryRow: Entry, |row| row.id.as_bytes().to_vec();
    GrantRow: Grant, |row| row.id.as_bytes().to_vec();
    EpochRow: Epoch, |row| [row.id.as_bytes().as_slice(), row.space.as_str().as_bytes()].concat();
    CollectionRow: Collection, |row| collection_key(&row.space, &row.name);
    LogRow: Log, |row| row.id.as_bytes().to_vec();
    ClockRow: Clock, |_row| Vec::new();
    ToldRow: Told, |row| row.space.as_bytes().to_vec();
    UnreadRow: Unread, |row| row.op.to_be_bytes().to_vec();
    AheadRow: Ahead, |row| row.part.to_be_bytes().to_vec();
    AddressRow: Address, |row| row.device.as_bytes().to_vec();
    SeenRow: Seen, |row| row.id.as_bytes().to_vec();
    UnheardRow: Unheard, |row| row.id.as_bytes().to_vec();
    ErasureRow: Erasure, |row| row.part.to_be_bytes().to_vec();
    HoleRow: Hole, |row| [row.hole.log.as_bytes().as_slice(), &row.hole.seq.to_be_bytes()].concat();
    CheckpointRow: Checkpoint, |row| row.part.to_be_bytes().to_vec();
    LaterRow: Later, |row| row.part.to_be_bytes().to_vec();
    HeardRow: Heard, |row| [row.device.as_bytes().as_slice(), row.space.as_bytes()].concat();
    KnownRow: Known, |row| row.device.as_bytes().to_vec();
    RelayRow: Relay, |row| row.relay.to_vec();
    PageRow: Page, |row| page_name(&row.relay, &row.mailbox);
    ChunkRow: Chunk, |row| chunk_key(&row.space, &row.id);
    AddingRow: Adding, |row| row.add.to_vec();
    AbsentRow: Absent, |row| [
        chunk_key(&row.space, &top(&row.root)).as_slice(),
        &row.collection.to_be_bytes(),
        row.id.as_bytes(),
    ].concat();
    KeepRow: Keep, |_row| Vec::new();
    ErasedFileRow: ErasedFile, |row| chunk_key(&row.space, &top(&row.root));
    LeftRow: Left, |row| row.space.as_bytes().to_vec();
    SlotRow: Slot, |row| SlotRow::name(row.number).to_vec();
    SearchRow: Search, |_row| Vec::new();
}
