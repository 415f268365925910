//! What a salvage has saved, and what not: by name and number, with what helps.

use std::fmt;

use twin_identity::id::DeviceId;
use twin_ops::op::LogId;

use crate::items::Kind;

/// What was saved of a damaged vault, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Whether there is a new vault. There is none without the beginning of the identity log, which says whose it is.
    pub vault: bool,
    /// Entries of the identity log.
    pub entries: u64,
    /// Operations that continue their logs.
    pub ops: u64,
    /// Chunks of files.
    pub chunks: u64,
    /// Records whose newest content is in no operation that could be kept, and that were shown instead.
    pub rest: u64,
    /// What could not be saved.
    pub lost: Vec<Loss>,
}

/// Something that could not be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// A key slot: this way to unlock the vault.
    Slot(u32),
    /// This device's own keys: it is not one of the twin's any more.
    Keys,
    /// The beginning of the identity log: without it nothing says who is in the twin.
    Identity,
    /// Entries of the identity log that are damaged, or whose forerunners are.
    Entries(u64),
    /// Keys of spaces: what is sealed under them can be read again when they come again.
    Epochs(u64),
    /// Signed grants of keys.
    Grants(u64),
    /// Operations of a log: their content could be read only in part or is shown instead, and they come again from
    /// any device that has them.
    Ops {
        /// The log.
        log: LogId,
        /// Who writes it, as far as that is known.
        by: Option<DeviceId>,
        /// Whether this device wrote it.
        own: bool,
        /// The first that is missing.
        first: u64,
        /// The last that is known to have been there.
        last: u64,
    },
    /// Chunks of files: they come again from a device that has them, or by adding the file again.
    Chunks(u64),
    /// Parts of operations that were erased, which this device may not erase: their content comes again from a device that
    /// never heard of it. They are to be erased again.
    Erasures(u64),
    /// Some of what was written last, before the program that wrote it ended or was stopped.
    Newest,
    /// Rows of whatever kind that cannot be read at all.
    Unread(u64),
    /// Sealed rows that matter less: addresses, and when things were first seen.
    Rows(u64),
}

impl Salvaged {
    /// Whether everything was saved.
    pub const fn is_all(&self) -> bool {
        self.lost.is_empty()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(number) => write!(f, "key slot {number}"),
            Self::Keys => write!(f, "this device's own keys"),
            Self::Identity => write!(f, "the beginning of the identity log"),
            Self::Entries(count) => write!(f, "entries of the identity log: {count}"),
            Self::Epochs(count) => write!(f, "keys of spaces: {count}"),
            Self::Grants(count) => write!(f, "signed grants of keys: {count}"),
            Self::Ops {
                log,
                by,
                own,
                first,
                last,
            } => {
                write!(f, "operations {first} to {last} of log {log}")?;
                match by {
                    _ if *own => write!(f, ", written here"),
                    Some(by) => write!(f, ", written by device {by}"),
                    None => write!(f, ", and who writes it"),
                }
            }
            Self::Chunks(count) => write!(f, "chunks of files: {count}"),
            Self::Erasures(count) => write!(
                f,
                "that {count} changes were erased: erase their records again where that counts"
            ),
            Self::Newest => write!(
                f,
                "perhaps some of what was written last: the log of the file is damaged"
            ),
            Self::Unread(count) => write!(f, "rows that cannot be read at all: {count}"),
            Self::Rows(count) => write!(f, "notes of what was seen when and where: {count}"),
        }
    }
}

/// Damaged rows of a kind as a loss. What can be made anew is none.
pub(super) fn rows(kind: u8, count: u64) -> Option<Loss> {
    const MINOR: [Kind; 4] = [Kind::Address, Kind::Seen, Kind::Unheard, Kind::Clock];
    let is = |other: Kind| kind == other as u8;
    if is(Kind::Entry) {
        Some(Loss::Entries(count))
    } else if is(Kind::Grant) {
        Some(Loss::Grants(count))
    } else if is(Kind::Epoch) {
        Some(Loss::Epochs(count))
    } else if MINOR.into_iter().any(is) {
        Some(Loss::Rows(count))
    } else {
        // Others are missed by what hangs on them.
        None
    }
}
