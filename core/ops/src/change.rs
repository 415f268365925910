//! What the parts of an op say, once opened.
//!
//! Time, names and values are only here, inside the seal. Version and suite are those of the op's header.

use std::borrow::Cow;

use minicbor::{Decode, Decoder, Encode};
use twin_identity::cbor::{self, CborError};
use twin_identity::id::EntryId;

use crate::checkpoint::{CHECKPOINT, Checkpoint, Original, SNAPSHOT, Snapshot};
use crate::edit::{Edit, Edits};
use crate::op::{LogId, MAX_OP_LEN};
use crate::seal::sealed_len;
use crate::value::Fields;

/// The most bytes of a collection's name.
pub const MAX_COLLECTION_NAME: usize = 128;
/// The most bytes of a record's id.
pub const MAX_RECORD_ID: usize = 256;

/// A hybrid logical clock's reading (Kulkarni et al., 2014): milliseconds since the Unix epoch in the high 48 bits, a
/// counter in the low 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Stamp(#[n(0)] pub u64);

impl Stamp {
    const COUNTER_BITS: u32 = 16;

    /// The first stamp of a millisecond.
    pub const fn at(millis: u64) -> Self {
        Self(millis << Self::COUNTER_BITS)
    }

    /// The millisecond.
    pub const fn millis(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next stamp.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The content of one part.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// What the writer had seen, when that has changed since its op before in this log; only ever part 0.
    Seen(Seen),
    /// A change to a record.
    Record(RecordChange),
    /// Parts are erased; counts only if the writer is an admin.
    Erase(Erase),
    /// Ops are superseded by those that follow; counts only if the writer is an admin.
    Checkpoint(Checkpoint),
    /// The parts of this op are changes that were made before; only ever part 0, in an op that belongs to a checkpoint.
    Snapshot(Snapshot),
    /// A change to a record as it was made at another place; only after a snapshot.
    Copy(Original, RecordChange),
    /// Of a later version: kept and forwarded, not merged.
    Unknown,
}

/// What a writer had seen when it wrote, so that something withheld from a reader shows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seen {
    #[n(2)]
    kind: u8,
    /// Heads of the identity log.
    #[n(3)]
    pub heads: Vec<EntryId>,
    /// Heights of the logs of this space that have grown since the writer last said, other than its own.
    #[n(4)]
    pub heights: Vec<SeenHeight>,
}

/// A log's height as a writer had seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SeenHeight {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// Its height.
    #[n(1)]
    pub height: u64,
}

/// The parts that an admin has erased: whoever has their content drops it and keeps the hash, and whoever gets them
/// without content knows that nobody withholds it. All are of logs of the space that this is written in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Erase {
    #[n(2)]
    kind: u8,
    /// The parts, by op.
    #[n(3)]
    pub ops: Vec<ErasedParts>,
}

/// Parts of one op.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ErasedParts {
    /// The op's log.
    #[n(0)]
    pub log: LogId,
    /// Its place there.
    #[n(1)]
    pub seq: u64,
    /// The indices of the parts in it.
    #[n(2)]
    pub parts: Vec<u16>,
}

/// How a record changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The record becomes exactly these fields.
    Put,
    /// These fields change, the others stay.
    Patch,
    /// The record is gone, until a later put or patch.
    Delete,
}

/// A change to one record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordChange {
    /// How.
    pub kind: Kind,
    /// When, by the writer's hybrid logical clock.
    pub stamp: Stamp,
    /// The collection.
    pub collection: String,
    /// The record's id in it.
    pub id: String,
    /// The fields that get a value; none for a delete.
    pub fields: Fields,
    /// What is done to other fields; none but in a patch.
    pub edits: Edits,
}

const SEEN: u8 = 0;
const PUT: u8 = 1;
const PATCH: u8 = 2;
const DELETE: u8 = 3;
const ERASE: u8 = 4;

/// At least as many bytes as a change to a record has beside its names, fields and edits.
const HEADS: usize = 64;

#[derive(Encode, Decode)]
#[cbor(map)]
struct RawRecordChange<'a> {
    #[n(2)]
    kind: u8,
    #[n(3)]
    stamp: Stamp,
    #[b(4)]
    collection: Cow<'a, str>,
    #[b(5)]
    id: Cow<'a, str>,
    #[n(6)]
    fields: Cow<'a, Fields>,
    #[n(7)]
    edits: Option<Cow<'a, Edits>>,
    #[n(8)]
    original: Option<Original>,
}

/// Only the kind of a part, whatever else it holds.
#[derive(Decode)]
#[cbor(map)]
struct Peek {
    #[n(2)]
    kind: u8,
}

impl Seen {
    /// What a writer has seen.
    pub const fn new(heads: Vec<EntryId>, heights: Vec<SeenHeight>) -> Self {
        Self {
            kind: SEEN,
            heads,
            heights,
        }
    }
}

impl Erase {
    /// These parts are erased.
    pub const fn new(ops: Vec<ErasedParts>) -> Self {
        Self { kind: ERASE, ops }
    }
}

impl Change {
    /// Reads the plaintext of a part.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::check_with_floats(bytes, MAX_OP_LEN)?;
        let change = Self::from_accepted(bytes)?;
        if change.is_written_as(bytes) {
            Ok(change)
        } else {
            Err(CborError::Malformed)
        }
    }

    /// Reads again what [`Change::from_bytes`] has accepted before, in half the time: that it has no other encoding is
    /// known already.
    pub fn from_accepted(bytes: &[u8]) -> Result<Self, CborError> {
        let kind = match peek_kind(bytes)? {
            SEEN => return decode(bytes).map(Self::Seen),
            PUT => Kind::Put,
            PATCH => Kind::Patch,
            DELETE => Kind::Delete,
            ERASE => return decode(bytes).map(Self::Erase),
            CHECKPOINT => return valid(decode(bytes)?, Checkpoint::is_valid).map(Self::Checkpoint),
            SNAPSHOT => return valid(decode(bytes)?, Snapshot::is_valid).map(Self::Snapshot),
            _ => return Ok(Self::Unknown),
        };
        let raw: RawRecordChange<'_> = decode(bytes)?;
        let fits = (1..=MAX_COLLECTION_NAME).contains(&raw.collection.len())
            && (1..=MAX_RECORD_ID).contains(&raw.id.len());
        let edits = raw.edits.map(Cow::into_owned).unwrap_or_default();
        let both = edits.0.keys().any(|name| raw.fields.0.contains_key(name));
        if !fits
            || both
            || (kind == Kind::Delete && !raw.fields.0.is_empty())
            || (kind != Kind::Patch && !edits.0.is_empty())
        {
            return Err(CborError::Malformed);
        }
        let change = RecordChange {
            kind,
            stamp: raw.stamp,
            collection: raw.collection.into_owned(),
            id: raw.id.into_owned(),
            fields: raw.fields.into_owned(),
            edits,
        };
        Ok(match raw.original {
            Some(original) => Self::Copy(original, change),
            None => Self::Record(change),
        })
    }

    /// Whether this version writes it so, or cannot say how it is written.
    fn is_written_as(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Record(change) => cbor::is_encoding(bytes, &change.raw(None)),
            Self::Copy(original, change) => cbor::is_encoding(bytes, &change.raw(Some(*original))),
            Self::Unknown => true,
            _ => self.to_bytes() == bytes,
        }
    }

    /// The plaintext of a part; empty for [`Change::Unknown`], which is never written.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Seen(seen) => cbor::encode(seen),
            Self::Record(change) => change.to_bytes(),
            Self::Erase(erase) => cbor::encode(erase),
            Self::Checkpoint(checkpoint) => cbor::encode(checkpoint),
            Self::Snapshot(snapshot) => cbor::encode(snapshot),
            Self::Copy(original, change) => change.written(Some(*original)),
            Self::Unknown => Vec::new(),
        }
    }
}

/// The kind of a part. It comes first in every map that this version writes; keys below it may come in later ones.
fn peek_kind(bytes: &[u8]) -> Result<u8, CborError> {
    let mut d = Decoder::new(bytes);
    let mut first = || {
        d.map()?;
        Ok((d.u8()?, d.u8()?))
    };
    match first() {
        Ok::<_, minicbor::decode::Error>((2, kind)) => Ok(kind),
        _ => decode::<Peek>(bytes).map(|peek| peek.kind),
    }
}

fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CborError> {
    minicbor::decode(bytes).map_err(|_| CborError::Malformed)
}

fn valid<T>(read: T, is_valid: fn(&T) -> bool) -> Result<T, CborError> {
    if is_valid(&read) {
        Ok(read)
    } else {
        Err(CborError::Malformed)
    }
}

impl RecordChange {
    /// The plaintext of a part, with room to be sealed where it is.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.written(None)
    }

    /// Whether some of it is of a later version: what it comes to cannot be known here.
    pub fn is_of_later_version(&self) -> bool {
        let mut edits = self.edits.0.values();
        edits.any(|edit| matches!(edit, Edit::Unknown(_)))
    }

    fn raw(&self, original: Option<Original>) -> RawRecordChange<'_> {
        RawRecordChange {
            kind: match self.kind {
                Kind::Put => PUT,
                Kind::Patch => PATCH,
                Kind::Delete => DELETE,
            },
            stamp: self.stamp,
            collection: Cow::Borrowed(&self.collection),
            id: Cow::Borrowed(&self.id),
            fields: Cow::Borrowed(&self.fields),
            edits: (!self.edits.0.is_empty()).then_some(Cow::Borrowed(&self.edits)),
            original,
        }
    }

    fn written(&self, original: Option<Original>) -> Vec<u8> {
        let raw = self.raw(original);
        // Room enough, and not counted to the byte: that would take as long as writing it.
        let names = self.collection.len() + self.id.len();
        let edits = raw.edits.as_ref().map_or(0, cbor::len);
        let room = HEADS + names + self.fields.room() + edits;
        cbor::encode_into(Vec::with_capacity(sealed_len(room)), &raw)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use twin_identity::id::DeviceId;

    use super::*;
    use crate::checkpoint::{Line, MAX_OPS};
    use crate::edit::tests::edit;
    use crate::op::Link;
    use crate::value::tests::value;
    use crate::value::{Unknown, Value};

    proptest! {
        #[test]
        fn record_changes_round_trip(
            stamp: u64,
            collection in "[a-z]{1,20}",
            id in "\\PC{1,40}",
            fields in prop::collection::btree_map("\\PC{1,20}", value(), 0..6),
            edits in prop::collection::btree_map("\\PC{1,20}", edit(), 0..4),
            put: bool,
            copied in prop::option::of((any::<u32>(), any::<u64>(), any::<u16>())),
        ) {
            let free = |(name, _): &(String, Edit)| !put && !fields.contains_key(name);
            let edits = Edits(edits.into_iter().filter(free).collect());
            let kind = if put { Kind::Put } else { Kind::Patch };
            let change = RecordChange {
                kind, stamp: Stamp(stamp), collection, id, fields: Fields(fields), edits,
            };
            let change = match copied {
                Some((line, seq, index)) => Change::Copy(Original { line, seq, index }, change),
                None => Change::Record(change),
            };
            let bytes = change.to_bytes();
            prop_assert!(bytes.capacity() >= sealed_len(bytes.len()));
            let read = Change::from_bytes(&bytes).unwrap();
            // Not the values: a float that is no number is not equal to itself.
            prop_assert_eq!(read.to_bytes(), bytes);
        }

        #[test]
        fn erasures_round_trip(ops in prop::collection::vec((any::<[u8; 32]>(), any::<u64>(), any::<Vec<u16>>()), 0..4)) {
            let erased = |(log, seq, parts)| ErasedParts { log: LogId::from_bytes(log), seq, parts };
            let change = Change::Erase(Erase::new(ops.into_iter().map(erased).collect()));
            prop_assert_eq!(Change::from_bytes(&change.to_bytes()).unwrap(), change);
        }

        #[test]
        fn checkpoints_and_snapshots_round_trip(
            lines in prop::collection::vec((any::<[u8; 32]>(), any::<[u8; 16]>(), 1..u64::MAX, any::<[u8; 32]>()), 0..4),
            ops in 0..=MAX_OPS,
            originals in prop::collection::vec((any::<u32>(), any::<u64>(), any::<u16>()), 1..9),
        ) {
            let line = |(device, incarnation, height, link)| Line {
                device: DeviceId::from_bytes(device),
                incarnation,
                height,
                link: Link::from_bytes(link),
            };
            let lines = lines.into_iter().map(line).collect();
            let change = Change::Checkpoint(Checkpoint::new(lines, ops).unwrap());
            prop_assert_eq!(Change::from_bytes(&change.to_bytes()).unwrap(), change);
            let original = |(line, seq, index)| Original { line, seq, index };
            let originals = originals.into_iter().map(original).collect();
            let change = Change::Snapshot(Snapshot::new(originals));
            prop_assert_eq!(Change::from_bytes(&change.to_bytes()).unwrap(), change);
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            let _ = Change::from_bytes(&bytes);
        }
    }

    #[test]
    fn stamps_follow_each_other_within_a_millisecond_and_across() {
        let millis = 1_700_000_000_000;
        let first = Stamp::at(millis);
        assert_eq!(first.0, millis * 65_536);
        assert_eq!(first.millis(), millis);
        assert_eq!(first.next().millis(), millis);
        assert!(first < first.next() && first.next() < Stamp::at(millis + 1));
        let last = Stamp(u64::MAX);
        assert_eq!(last.next(), last, "and never come round");
    }

    #[test]
    fn edits_are_in_patches_only_and_beside_values() {
        let count = Edit::Count {
            base: None,
            total: 1,
        };
        let change = |kind, field: &str| RecordChange {
            kind,
            stamp: Stamp(1),
            collection: "c".to_owned(),
            id: "r".to_owned(),
            fields: match kind {
                Kind::Delete => Fields::default(),
                _ => Fields([(field.to_owned(), Value::Int(1))].into()),
            },
            edits: Edits([("n".to_owned(), count.clone())].into()),
        };
        for (kind, field, reads) in [
            (Kind::Patch, "m", true),
            (Kind::Patch, "n", false),
            (Kind::Put, "m", false),
            (Kind::Delete, "", false),
        ] {
            let read = Change::from_bytes(&change(kind, field).to_bytes());
            assert_eq!(read.is_ok(), reads, "{kind:?} {field}");
        }
        // A map of edits without any is another encoding of a patch without that map.
        let mut bytes = cbor::encode(&RawRecordChange {
            kind: PATCH,
            stamp: Stamp(1),
            collection: "c".into(),
            id: "r".into(),
            fields: Cow::Owned(Fields::default()),
            edits: None,
            original: None,
        });
        assert!(Change::from_bytes(&bytes).is_ok());
        bytes.extend([7, 0xa0]);
        if let Some(head) = bytes.first_mut() {
            *head += 1;
        }
        assert_eq!(Change::from_bytes(&bytes), Err(CborError::Malformed));
    }

    #[test]
    fn an_edit_that_only_a_later_version_knows_is_told() {
        let count = Edit::Count {
            base: None,
            total: 1,
        };
        let later = Edit::Unknown(Unknown::from_bytes(&[0x81, 0x09]).unwrap());
        for (edits, is_later) in [
            (vec![], false),
            (vec![count.clone()], false),
            (vec![count, later], true),
        ] {
            let names = ["a", "b"].map(str::to_owned).into_iter();
            let change = RecordChange {
                kind: Kind::Patch,
                stamp: Stamp(1),
                collection: "c".to_owned(),
                id: "r".to_owned(),
                fields: Fields::default(),
                edits: Edits(names.zip(edits).collect()),
            };
            assert_eq!(change.is_of_later_version(), is_later);
        }
    }

    #[test]
    fn a_later_kind_is_unknown_not_an_error() {
        let later = [0xa2, 0x02, 0x18, 0x63, 0x09, 0x01];
        assert_eq!(Change::from_bytes(&later), Ok(Change::Unknown));
    }
}
