//! The birth of a twin: everything that has to exist before its first log entry can be read.

use rand_core::CryptoRng;

use crate::body::Rotate;
use crate::device::{DeviceKeys, Role};
use crate::entry::{Entry, Genesis, Place};
use crate::words::RecoverySecret;

/// Everything that is made at the birth of a twin, and again when its words are all that is left of it.
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
        let rotate = Rotate {
            authority: authority.public(),
            next: recovery.authority(1).public().hash(),
            recovery: recovery.sealing().public().map_err(|_| BirthError)?,
            generation: 0,
            devices: vec![device.statement(&genesis.twin_id(), Role::Admin)],
            keeps: Vec::new(),
            guardians: None,
            removals: Vec::new(),
            roots: None,
        };
        let place = Place {
            prevs: vec![genesis.entry_id()],
            seq: 1,
            base: genesis.entry_id(),
        };
        let entry = Entry::by_authority(&genesis.twin_id(), place, rotate, &authority)
            .map_err(|_| BirthError)?;
        Ok(Self {
            genesis,
            entry,
            device,
        })
    }
}
