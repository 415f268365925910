//! What can be damaged, by name and number.

use std::fmt;

use twin_ops::op::LogId;

use crate::items::Kind;

/// Something that is damaged. It tells a place in the file, and nothing of what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// SQLite finds that its file is not in order, and says this.
    File(String),
    /// The vault does not open, because of this.
    Opening(&'static str),
    /// A sealed row of the kind with this number, which is damaged or missing.
    Row(u8),
    /// A key slot: this way to unlock the vault is lost.
    Slot(u32),
    /// An operation is missing or altered, or does not continue the one before it.
    Op {
        /// The log.
        log: LogId,
        /// Its place there.
        seq: u64,
    },
    /// The key that an operation is sealed under is missing, and it is not known to wait for it.
    NoKey {
        /// The log.
        log: LogId,
        /// The operation's place there.
        seq: u64,
    },
    /// Content of an operation is missing, and no admin has erased it: another device may have it.
    Missing {
        /// The log.
        log: LogId,
        /// The operation's place there.
        seq: u64,
    },
    /// The index of records does not show what an operation says.
    Unshown {
        /// The log.
        log: LogId,
        /// The operation's place there.
        seq: u64,
    },
    /// The row of the index of records with this number.
    Record(i64),
    /// The chunk of a file with this number: it comes again from another device that has it, or by adding the file
    /// again.
    Chunk(i64),
    /// What is kept for searching: the next search makes it anew.
    Search,
}

impl Damage {
    /// A sealed row of this kind.
    pub(super) fn row(kind: u8) -> Self {
        if kind == Kind::Search as u8 {
            Self::Search
        } else {
            Self::Row(kind)
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(says) => write!(f, "the file: {says}"),
            Self::Opening(what) => write!(f, "the vault does not open: {what}"),
            Self::Row(kind) => write!(f, "a sealed row: {} (kind {kind})", Kind::says(*kind)),
            Self::Slot(number) => write!(f, "key slot {number}"),
            Self::Op { log, seq } => write!(f, "operation {seq} of log {log}"),
            Self::NoKey { log, seq } => write!(f, "the key of operation {seq} of log {log}"),
            Self::Missing { log, seq } => {
                write!(
                    f,
                    "content of operation {seq} of log {log}, which no admin erased"
                )
            }
            Self::Unshown { log, seq } => write!(f, "what operation {seq} of log {log} changed"),
            Self::Chunk(number) => write!(f, "chunk {number} of files"),
            Self::Record(row) => write!(f, "row {row} of the index of records"),
            Self::Search => write!(f, "what is kept for searching"),
        }
    }
}
