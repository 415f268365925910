//! A vault with a long log of another device, as sync brings it: run by run, each verified and merged.

use std::path::Path;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use twin::{Fields, Unlock, Value};
use twin_identity::aead::DataKey;
use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::change::{Kind, RecordChange, Stamp};
use twin_ops::edit::Edits;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::Grant;
use twin_ops::op::{INCARNATION_LEN, Link, Op, Origin, Place};
use twin_ops::seal::seal_parts;
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_vault::{KeyStore, KeyStoreError, Vault, WriteChange};
use zeroize::Zeroizing;

use super::Failure;

pub const SPACE: &str = "home";
pub const COLLECTION: &str = "notes";

const NOW: u64 = 1_800_000_000_000;
/// How many operations come at once.
const RUN: u64 = 1000;

/// What the platform's key store is on a phone: it wraps the vault key, so that no password is to be stretched.
pub struct KeptHere;

impl KeptHere {
    fn key() -> DataKey {
        DataKey::new(Secret::new([7; 32]))
    }
}

impl KeyStore for KeptHere {
    fn wrap(&self, key: &Secret<32>) -> Result<Vec<u8>, KeyStoreError> {
        let sealed = Self::key().seal_synthetic(b"vault", key.expose());
        sealed.map_err(|_| KeyStoreError::Unavailable)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, KeyStoreError> {
        let opened = Self::key().open(b"vault", wrapped);
        let opened = opened.map_err(|_| KeyStoreError::KeyLost)?;
        Secret::from_slice(&opened).ok_or(KeyStoreError::KeyLost)
    }
}

/// The id of the record with this number: nobody can tell the number from it.
pub fn id(number: u64) -> String {
    format!(
        "{:016x}{:016x}",
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        !number
    )
}

/// A device that writes commits of one record.
pub struct Writer {
    device: DeviceKeys,
    key: EpochKey,
    parts: DataKey,
    /// Its log.
    pub origin: Origin,
    seq: u64,
    link: Option<Link>,
}

/// Makes a vault in which there are so many operations of another device.
pub fn make(dir: &Path, ops: u64) -> Result<(), Failure> {
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let birth = Birth::new(&RecoverySecret::random(rng), rng)?;
    let mut phone = Vault::create(dir, Unlock::KeyStore(&KeptHere), &birth, rng)?;
    let space = SpaceName::any(SPACE)?;
    // The first commit makes the space, and its key.
    let first = WriteChange::put("first", "of all", Fields::default());
    phone.commit(NOW, rng, &space, vec![first])?;
    let laptop = DeviceKeys::random(rng)?;
    let statement = laptop.statement(phone.twin(), Role::Member);
    let admission = phone.admit(&statement, rng)?;
    let log = IdentityLog::from_bytes(phone.twin(), &admission.identity)?;
    let mut writer = Writer::new(laptop, &log, &admission.grants, &space)?;
    let mut seq = 0;
    while seq < ops {
        let mut run = Vec::new();
        for _ in 0..RUN.min(ops - seq) {
            run.push(writer.write(&log, seq, rng)?);
            seq += 1;
        }
        phone.append_run(NOW, &writer.origin, &run)?;
    }
    Ok(())
}

impl Writer {
    /// A device of the twin, with what was granted to it.
    pub fn new(
        device: DeviceKeys,
        log: &IdentityLog,
        grants: &[Vec<u8>],
        space: &SpaceName,
    ) -> Result<Self, Failure> {
        let mut granted = Vec::new();
        for grant in grants {
            granted.extend(Grant::from_bytes(grant)?.open(log, &device)?);
        }
        let mut granted = granted.into_iter();
        let granted = granted.find(|granted| granted.space == *space);
        let key = granted.ok_or("the space has no key")?.key;
        let origin = Origin {
            space: space.id(log.twin()),
            device: device.id(),
            incarnation: [1; INCARNATION_LEN],
        };
        Ok(Self {
            device,
            parts: key.part_key(),
            key,
            origin,
            seq: 0,
            link: None,
        })
    }

    /// A signed commit of the record with this number, as it is sent.
    pub fn write(
        &mut self,
        log: &IdentityLog,
        number: u64,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<u8>, Failure> {
        self.seq += 1;
        let place = Place {
            log: self.origin.log_id(log.twin()),
            seq: self.seq,
            prev: self.link,
            epoch: self.key.id(),
        };
        let mut random = [0; 120];
        rng.fill_bytes(&mut random);
        let (name, note) = random.split_at(20);
        let text = |bytes: &[u8]| Value::Text(data_encoding::HEXLOWER.encode(bytes));
        let fields = [
            ("name", text(name)),
            ("note", text(note)),
            ("count", Value::Int(i64::try_from(number)?)),
            ("done", Value::Bool(number.is_multiple_of(2))),
        ];
        let change = RecordChange {
            kind: Kind::Put,
            stamp: Stamp::at(NOW - 1_000_000_000 + number),
            collection: COLLECTION.to_owned(),
            id: id(number),
            fields: Fields(fields.map(|(name, value)| (name.to_owned(), value)).into()),
            edits: Edits::default(),
        };
        let plaintexts = [Zeroizing::new(change.to_bytes())];
        let (salt, sealed) = seal_parts(&self.parts, &place, plaintexts.into(), rng)?;
        let op = Op::sign(place, salt, sealed, log.twin(), &self.device)?;
        self.link = Some(op.link());
        Ok(op.to_bytes())
    }
}
