//! Sealed exports: a whole twin, or one space, in one file that the words, the guardians or the devices open, and the
//! twin that comes back from it. `core/docs/backup.md` says what they promise; the format is in [`twin_ops::backup`].

mod content;
mod damaged;
mod draft;
mod output;
mod read;
mod recover;
mod source;
mod write;

use twin_identity::id::DeviceId;
use twin_ops::backup::Contents;
use twin_ops::space::SpaceName;

pub(crate) use draft::Draft;
pub(crate) use read::end_taking;

pub use damaged::Damage;
pub use read::{Complete, TakenIn};
pub use recover::Restored;
pub use write::Sealed;

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Twin,
    /// One space, and what it takes to read it.
    Space(SpaceName),
}

/// What is in a sealed export, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    /// When it was begun, in milliseconds since the Unix epoch, by the clock of the device that made it.
    pub made: u64,
    /// That device.
    pub by: DeviceId,
    /// The one space that is in it; `None` if all are.
    pub space: Option<SpaceName>,
    /// How many entries of the identity log.
    pub entries: u64,
    /// How many grants of keys.
    pub grants: u64,
    /// How many logs.
    pub logs: u64,
    /// How many signed operations.
    pub operations: u64,
    /// How many chunks of files.
    pub chunks: u64,
    /// How many files were not, or not whole, on the device that made it.
    pub incomplete: u64,
    /// Whether the content of files was left out.
    pub records_only: bool,
    /// How many items were made by a later version of the app, and cannot be read by this one.
    pub unknown: u64,
}

impl Contained {
    fn of(contents: &Contents) -> Self {
        let manifest = &contents.manifest;
        Self {
            made: manifest.made(),
            by: *manifest.signer(),
            space: manifest.space().cloned(),
            entries: contents.log.entries().len() as u64,
            grants: contents.grants.len() as u64,
            logs: contents.logs.len() as u64,
            operations: contents.ops,
            chunks: contents.content.chunks,
            incomplete: contents.content.incomplete,
            records_only: contents.content.left_out,
            unknown: contents.unknown,
        }
    }
}
