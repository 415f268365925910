//! What an identity log entry says.

use minicbor::{Decode, Encode};

use crate::authority::{AuthorityHash, AuthorityPublic};
use crate::cbor::{self, CborError};
use crate::device::{DeviceStatement, Role};
use crate::entry::MAX_ENTRY_LEN;
use crate::id::{DeviceId, EntryId};
use crate::seal::SealingPublic;

/// The longest that guardians can be made to wait, in days.
pub const MAX_DELAY_DAYS: u16 = 365;

/// When guardians have waited so many days, in milliseconds since the Unix epoch, as `seen` is.
pub(crate) fn waited(seen: u64, days: u16) -> u64 {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    seen.saturating_add(u64::from(days) * DAY)
}

/// The most bytes of [`Rotate::roots`].
pub const MAX_ROOTS_LEN: usize = 4 << 10;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An authority key is used: it sets the devices anew. Entry 1 is one.
    Rotate(Box<Rotate>),
    /// An admin adds a device, or makes a member an admin.
    AddDevice(Box<DeviceStatement>),
    /// An admin removes a member for good, or a device removes itself.
    Revoke(Box<Removal>),
    /// An admin suspends another device: nothing new is sealed to it, and what it does waits.
    Suspend(Box<Removal>),
    /// An admin takes another's suspension back.
    Resume(DeviceId),
    /// A device takes the rotation that the entry is based on for the right one.
    Acknowledge,
    /// A device objects to a rotation by guardians: their delay begins again, once.
    Veto(EntryId),
    /// An admin lets more of what a device that is gone has written count. Never less.
    Raise(Box<Removal>),
    /// A device gives up a branch of one of its own logs: it was set back to an older state and has written there beside
    /// what it had written before.
    Fork(Box<Fork>),
    /// Of a later version: kept and forwarded, but nothing is concluded from it.
    Unknown {
        /// Its suite.
        suite: u8,
        /// Its type.
        kind: u8,
    },
}

/// A rotation: reveals an authority key, commits to the next, and says which devices there are from here on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rotate {
    /// The authority key that signs, until now known by its hash.
    #[n(0)]
    pub authority: AuthorityPublic,
    /// Hash of the next authority key.
    #[cbor(n(1), with = "cbor::fixed")]
    pub next: AuthorityHash,
    /// The recovery sealing key that belongs to the words.
    #[n(2)]
    pub recovery: SealingPublic,
    /// The generation of pseudonyms in use from here on: the one before, or one more.
    #[n(3)]
    pub generation: u32,
    /// Devices named for the first time.
    #[n(4)]
    pub devices: Vec<DeviceStatement>,
    /// Devices that stay, or come back, sorted by id. All others go.
    #[n(5)]
    pub keeps: Vec<Kept>,
    /// The guardians who may rotate next instead of the words.
    #[n(6)]
    pub guardians: Option<Guardians>,
    /// What still counts of the devices that go.
    #[n(7)]
    pub removals: Vec<Removal>,
    /// The pseudonym roots of all generations before, each 32 bytes, sealed to the new words' recovery sealing key;
    /// at most [`MAX_ROOTS_LEN`] bytes.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub roots: Option<Vec<u8>>,
}

/// A device that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Kept {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// What it may do from here on: no less than before.
    #[n(1)]
    pub role: Role,
    /// Whether it stays suspended.
    #[n(2)]
    pub suspended: bool,
}

/// Guardians: people who together can rotate, after a delay that the person's devices count.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Guardians {
    /// Hash of their authority key.
    #[cbor(n(0), with = "cbor::fixed")]
    pub authority: AuthorityHash,
    /// How long their rotation waits from when a device first sees it, in days; 1 to [`MAX_DELAY_DAYS`].
    #[n(1)]
    pub delay_days: u16,
    /// A key of theirs to which epoch keys are sealed too, if the person wants them to be able to bring the data back.
    #[n(2)]
    pub sealing: Option<SealingPublic>,
}

/// A device that goes, and what it has written that still counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removal {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// How far its logs count, sorted by log. What is not listed does not count.
    #[n(1)]
    pub lines: Vec<Line>,
}

/// How far a log of ops counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Line {
    /// The log's id.
    #[cbor(n(0), with = "cbor::fixed")]
    pub log: [u8; 32],
    /// The last op that counts.
    #[n(1)]
    pub height: u64,
    /// The link of that op.
    #[cbor(n(2), with = "cbor::fixed")]
    pub head: [u8; 32],
}

/// A branch of one of its own logs that a device has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Fork {
    /// The log, and the height and the link of the first op of the branch: that op and all that follow it do not count.
    #[n(0)]
    pub branch: Line,
    /// What the branch said has been written again in another log of the device, up to this op; `None` if it said
    /// nothing that had to be. Whoever has that, has no use for the branch any more.
    #[n(1)]
    pub again: Option<Line>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Nothing {}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Of<T> {
    #[n(0)]
    what: T,
}

const ROTATE: u8 = 1;
const ADD_DEVICE: u8 = 2;
const REVOKE: u8 = 3;
const SUSPEND: u8 = 4;
const RESUME: u8 = 5;
const ACKNOWLEDGE: u8 = 6;
const VETO: u8 = 7;
const RAISE: u8 = 8;
const FORK: u8 = 9;

impl Body {
    /// Its type and bytes. [`Body::Unknown`] is never written here.
    pub(crate) fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Rotate(rotate) => (ROTATE, cbor::encode(rotate)),
            Self::AddDevice(statement) => (ADD_DEVICE, cbor::encode(statement)),
            Self::Revoke(removal) => (REVOKE, cbor::encode(removal)),
            Self::Suspend(removal) => (SUSPEND, cbor::encode(removal)),
            Self::Resume(device) => (RESUME, cbor::encode(&Of { what: *device })),
            Self::Acknowledge => (ACKNOWLEDGE, cbor::encode(&Nothing {})),
            Self::Veto(rotation) => (VETO, cbor::encode(&Of { what: *rotation })),
            Self::Raise(removal) => (RAISE, cbor::encode(removal)),
            Self::Fork(fork) => (FORK, cbor::encode(fork)),
            Self::Unknown { kind, .. } => (*kind, Vec::new()),
        }
    }

    /// Reads the body of an entry of this suite.
    pub(crate) fn decode(kind: u8, suite: u8, bytes: &[u8]) -> Result<Self, CborError> {
        let max = MAX_ENTRY_LEN;
        Ok(match kind {
            ROTATE => Self::Rotate(Box::new(Rotate::decode_checked(bytes)?)),
            ADD_DEVICE => Self::AddDevice(Box::new(cbor::decode(bytes, max)?)),
            REVOKE => Self::Revoke(Box::new(Removal::decode_checked(bytes)?)),
            SUSPEND => Self::Suspend(Box::new(Removal::decode_checked(bytes)?)),
            RESUME => Self::Resume(cbor::decode::<Of<DeviceId>>(bytes, max)?.what),
            ACKNOWLEDGE => {
                let Nothing {} = cbor::decode(bytes, max)?;
                Self::Acknowledge
            }
            VETO => Self::Veto(cbor::decode::<Of<EntryId>>(bytes, max)?.what),
            RAISE => Self::Raise(Box::new(Removal::decode_checked(bytes)?)),
            FORK => Self::Fork(Box::new(Fork::decode_checked(bytes)?)),
            kind => Self::Unknown { suite, kind },
        })
    }

    /// The devices that it names with their keys.
    pub(crate) fn names(&self) -> &[DeviceStatement] {
        match self {
            Self::Rotate(rotate) => &rotate.devices,
            Self::AddDevice(statement) => std::slice::from_ref(&**statement),
            _ => &[],
        }
    }
}

impl Removal {
    fn decode_checked(bytes: &[u8]) -> Result<Self, CborError> {
        let removal: Self = cbor::decode(bytes, MAX_ENTRY_LEN)?;
        removal.check().map(|()| removal)
    }

    fn check(&self) -> Result<(), CborError> {
        if self.lines.is_sorted_by(|a, b| a.log < b.log)
            && self.lines.iter().all(|line| line.height > 0)
        {
            Ok(())
        } else {
            Err(CborError::Malformed)
        }
    }
}

impl Fork {
    fn decode_checked(bytes: &[u8]) -> Result<Self, CborError> {
        let fork: Self = cbor::decode(bytes, MAX_ENTRY_LEN)?;
        let again = fork.again.as_ref();
        // No log is written again in itself.
        let fits = fork.branch.height > 0
            && again.is_none_or(|again| again.height > 0 && again.log != fork.branch.log);
        if fits {
            Ok(fork)
        } else {
            Err(CborError::Malformed)
        }
    }
}

impl Rotate {
    fn decode_checked(bytes: &[u8]) -> Result<Self, CborError> {
        let rotate: Self = cbor::decode(bytes, MAX_ENTRY_LEN)?;
        rotate.removals.iter().try_for_each(Removal::check)?;
        let sorted = rotate.keeps.is_sorted_by(|a, b| a.device < b.device)
            && rotate.removals.is_sorted_by(|a, b| a.device < b.device);
        let delay = rotate
            .guardians
            .as_ref()
            .is_none_or(|guardians| (1..=MAX_DELAY_DAYS).contains(&guardians.delay_days));
        let roots = rotate
            .roots
            .as_ref()
            .is_none_or(|roots| roots.len() <= MAX_ROOTS_LEN);
        if sorted && delay && roots {
            Ok(rotate)
        } else {
            Err(CborError::Malformed)
        }
    }
}
