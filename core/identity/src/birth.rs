//! The birth of a twin: everything that has to exist before its first log entry can be read.

use rand_core::CryptoRng;

use crate::device::{DeviceKeys, Role};
use crate::entry::{Entry, Genesis};
use crate::words::RecoverySecret;

/// Everything that is made at the birth of a twin.
pub struct Birth {
    /// The genesis.
    pub genesis: Genesis,
    /// Entry 1.
    pub entry: Entry,
    /// The keys of the first device.
    pub device: DeviceKeys,
}

/// A new twin could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys of a new twin could not be made: try again")]
pub struct BirthError;

impl Birth {
    /// Makes a twin from its recovery secret: genesis, entry 1 and the first device, an admin.
    pub fn new(recovery: &RecoverySecret, rng: &mut impl CryptoRng) -> Result<Self, BirthError> {
        let authority = recovery.authority(0);
        let genesis = Genesis::new(authority.public().hash());
        let device = DeviceKeys::random(rng).map_err(|_| BirthError)?;
        let entry = Entry::first(
            &genesis,
            &authority,
            recovery.authority(1).public().hash(),
            recovery.sealing().public().map_err(|_| BirthError)?,
            device.statement(&genesis.twin_id(), Role::Admin),
        )
        .map_err(|_| BirthError)?;
        Ok(Self {
            genesis,
            entry,
            device,
        })
    }
}
