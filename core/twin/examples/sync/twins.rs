//! A twin of several devices, of which two have a replica here: the phone, and a laptop.

use std::path::Path;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin::{Fields, Unlock};
use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::DeviceId;
use twin_identity::log::IdentityLog;
use twin_identity::words::RecoverySecret;
use twin_ops::space::SpaceName;
use twin_vault::{Vault, WriteChange};

use super::Failure;
use super::made::{KeptHere, SPACE, Writer};

pub const NOW: u64 = 1_800_000_000_000;

/// The two replicas, and devices that have none here.
pub struct Twins {
    pub phone: Vault,
    pub laptop: Vault,
    /// The identity log with all of them in it.
    pub log: IdentityLog,
    pub others: Vec<DeviceKeys>,
    /// What was granted to each of those.
    grants: Vec<Vec<Vec<u8>>>,
    pub rng: ChaCha20Rng,
}

impl Twins {
    /// Phone, laptop and so many others, with one space.
    pub fn new(dir: &Path, others: usize) -> Result<Self, Failure> {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let birth = Birth::new(&RecoverySecret::random(&mut rng), &mut rng)?;
        let unlock = || Unlock::KeyStore(&KeptHere);
        let mut phone = Vault::create(&dir.join("phone"), unlock(), &birth, &mut rng)?;
        // The first commit makes the space, and its key.
        let first = WriteChange::put("first", "of all", Fields::default());
        phone.commit(NOW, &mut rng, &space()?, vec![first])?;
        let (mut devices, mut grants) = (Vec::new(), Vec::new());
        for number in 0..=others {
            let device = DeviceKeys::random(&mut rng)?;
            let role = if number == 0 {
                Role::Admin
            } else {
                Role::Member
            };
            let statement = device.statement(phone.twin(), role);
            grants.push(phone.admit(&statement, &mut rng)?.grants);
            devices.push(device);
        }
        let log = IdentityLog::from_bytes(phone.twin(), &phone.identity().to_bytes())?;
        let laptop = devices.remove(0);
        let laptop = Vault::create_linked(
            &dir.join("laptop"),
            unlock(),
            &laptop,
            &log,
            &grants.remove(0),
            &mut rng,
        )?;
        Ok(Self {
            phone,
            laptop,
            log,
            others: devices,
            grants,
            rng,
        })
    }

    /// The others, as such that write.
    pub fn writers(&mut self) -> Result<Vec<Writer>, Failure> {
        let devices = std::mem::take(&mut self.others).into_iter();
        let space = space()?;
        let writers = devices.zip(&self.grants);
        writers
            .map(|(device, grants)| Writer::new(device, &self.log, grants, &space))
            .collect()
    }

    /// One more device.
    pub fn admit_one(&mut self) -> Result<DeviceId, Failure> {
        let device = DeviceKeys::random(&mut self.rng)?;
        let statement = device.statement(self.phone.twin(), Role::Member);
        self.phone.admit(&statement, &mut self.rng)?;
        Ok(device.id())
    }
}

/// The space that is written to.
pub fn space() -> Result<SpaceName, Failure> {
    Ok(SpaceName::any(SPACE)?)
}
