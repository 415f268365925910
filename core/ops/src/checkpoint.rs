//! Checkpoints: what an admin says so that the history of a space may go.
//!
//! A checkpoint names lines: of each log how far it is superseded, by hash. The ops right after it in its log are its
//! *snapshot*: every change up to these lines that still decides something, and every erasure. Whoever has all of it can
//! do without the ops up to the lines. A change in a snapshot is the one that it was, in its old place among all others:
//! part 0 of each op of a snapshot says which these are ([`Snapshot`]), and each part repeats its own ([`Original`]).

use minicbor::{Decode, Encode};
use twin_identity::cbor;
use twin_identity::id::DeviceId;

use crate::chain::Head;
use crate::op::{INCARNATION_LEN, Link, MAX_PARTS, Origin};
use crate::space::SpaceId;

/// The most lines of a checkpoint.
pub const MAX_LINES: usize = 4096;
/// The most ops of a snapshot: each of them may have 1 MiB.
pub const MAX_OPS: u64 = 1 << 20;

pub(crate) const CHECKPOINT: u8 = 5;
pub(crate) const SNAPSHOT: u8 = 6;

/// How far logs of a space are superseded by the ops that follow. It counts if its writer is an admin, and once all of
/// these ops are there.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checkpoint {
    #[n(2)]
    kind: u8,
    /// The lines, in the order of [`Line::order`], each log once.
    #[n(3)]
    pub lines: Vec<Line>,
    /// How many ops follow with the snapshot: at most [`MAX_OPS`].
    #[n(4)]
    pub ops: u64,
}

/// How far one log is superseded, and by whom it was written, for whoever has never seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Line {
    /// The device that writes the log.
    #[n(0)]
    pub device: DeviceId,
    /// The incarnation that it writes it as.
    #[cbor(n(1), with = "cbor::fixed")]
    pub incarnation: [u8; INCARNATION_LEN],
    /// The last op that may go: at least 1.
    #[n(2)]
    pub height: u64,
    /// Its link.
    #[n(3)]
    pub link: Link,
}

impl Line {
    /// The line of a log at a head of it.
    pub const fn new(origin: &Origin, head: Head) -> Self {
        Self {
            device: origin.device,
            incarnation: origin.incarnation,
            height: head.height,
            link: head.link,
        }
    }

    /// Who writes the log, in the space that the checkpoint is written in.
    pub const fn origin(&self, space: SpaceId) -> Origin {
        Origin {
            space,
            device: self.device,
            incarnation: self.incarnation,
        }
    }

    /// Where a log begins whose superseded ops are gone.
    pub const fn head(&self) -> Head {
        Head {
            height: self.height,
            link: self.link,
        }
    }

    /// What lines are in the order of.
    pub const fn order(&self) -> (&DeviceId, &[u8; INCARNATION_LEN]) {
        (&self.device, &self.incarnation)
    }
}

/// What the other parts of an op are the changes of: part 0 of each op of a snapshot that holds changes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    #[n(2)]
    kind: u8,
    /// The changes in the parts after this one, in their order; none that are missing.
    #[n(3)]
    pub originals: Vec<Original>,
}

/// The place that a change was written in: part, op and log, the latter by its place among the lines of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Original {
    /// Which line.
    #[n(0)]
    pub line: u32,
    /// The place of the op in its log.
    #[n(1)]
    pub seq: u64,
    /// The index of the part in the op.
    #[n(2)]
    pub index: u16,
}

impl Checkpoint {
    /// A checkpoint of these lines, in any order, and so many ops. `None` if a log is named twice, or too much is.
    pub fn new(mut lines: Vec<Line>, ops: u64) -> Option<Self> {
        lines.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        let new = Self {
            kind: CHECKPOINT,
            lines,
            ops,
        };
        new.is_valid().then_some(new)
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.lines.len() <= MAX_LINES
            && self.ops <= MAX_OPS
            && self.lines.is_sorted_by(|a, b| a.order() < b.order())
            && self.lines.iter().all(|line| line.height > 0)
    }
}

impl Snapshot {
    /// The parts after this one are these changes.
    pub const fn new(originals: Vec<Original>) -> Self {
        Self {
            kind: SNAPSHOT,
            originals,
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        (1..MAX_PARTS).contains(&self.originals.len())
    }
}
