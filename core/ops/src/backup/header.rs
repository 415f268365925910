//! Who can open a backup: its key, sealed to each of them. Nobody is named, and there are as many seals as fill up
//! eights, so that the file tells neither whose it is nor how many devices they have.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::DataKey;
use twin_identity::cbor;
use twin_identity::context;
use twin_identity::device::DevicePublic;
use twin_identity::entry::SUITE;
use twin_identity::id_type;
use twin_identity::log::{IdentityLog, MAX_DEVICES};
use twin_identity::seal::{SEAL_OVERHEAD, SealError, SealingKey, SealingPublic};
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use super::BackupError;
use super::container::{MAX_HEADER_LEN, Place};

const HEADER_TYPE: u8 = 1;
const HEADER_VERSION: u8 = 1;
const INFO: &[u8] = b"digital-twin v1 backup";
const KEY_LEN: usize = 32;
const WRAP_LEN: usize = KEY_LEN + SEAL_OVERHEAD;
/// Seals come in eights.
const STEP: usize = 8;
/// The most seals: all devices, this one, words and guardians, filled up.
pub const MAX_WRAPS: usize = (MAX_DEVICES + 3).next_multiple_of(STEP);

id_type! {
    /// A backup: hash of its key, so that the header commits to the key that opens it.
    FileId
}

/// The key of one backup, random.
#[derive(Debug, PartialEq, Eq)]
pub struct FileKey(Secret<KEY_LEN>);

impl FileKey {
    /// A new key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// The file that this key is for.
    pub fn id(&self) -> FileId {
        FileId::from_bytes(context::BACKUP_FILE.hash([self.0.expose().as_slice()]))
    }

    pub(super) fn data_key(&self) -> DataKey {
        let key = Zeroizing::new(context::BACKUP_KEY.hash([self.0.expose().as_slice()]));
        DataKey::new(Secret::new(*key))
    }
}

/// The header of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    file: FileId,
    /// The file's key, sealed to each recipient; sorted, so that their order says nothing.
    #[n(4)]
    wraps: Vec<ByteVec>,
}

/// To whom a backup is sealed: the words, guardians who are to hold the data too, and every device that may take part
/// at `now`, `me` among them.
pub fn recipients(log: &IdentityLog, now: u64, me: &DevicePublic) -> Vec<SealingPublic> {
    let guardians = log
        .guardians()
        .and_then(|guardians| guardians.sealing.clone());
    let active = log.devices().values();
    let active = active.filter(|device| device.is_active(now) && device.public.id != me.id);
    let others = active.map(|device| device.public.sealing.clone());
    let words = log.recovery().cloned();
    let own = std::iter::once(me.sealing.clone());
    words
        .into_iter()
        .chain(guardians)
        .chain(own)
        .chain(others)
        .collect()
}

impl Header {
    /// Seals `key` to `recipients`.
    pub fn seal(
        key: &FileKey,
        recipients: &[SealingPublic],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, BackupError> {
        let file = key.id();
        let mut wraps = Vec::new();
        for recipient in recipients {
            wraps.push(
                recipient
                    .seal(INFO, file.as_bytes(), key.0.expose(), rng)?
                    .into(),
            );
        }
        while wraps.len() % STEP != 0 {
            // To nobody: what cannot be opened cannot be told from it.
            let nobody = SealingKey::random(rng).public()?;
            let nothing = Secret::<KEY_LEN>::random(rng);
            wraps.push(
                nobody
                    .seal(INFO, file.as_bytes(), nothing.expose(), rng)?
                    .into(),
            );
        }
        if wraps.len() > MAX_WRAPS {
            return Err(BackupError::Content("too many devices"));
        }
        wraps.sort_by(|one: &ByteVec, other| one.as_slice().cmp(other.as_slice()));
        Ok(Self {
            version: HEADER_VERSION,
            suite: SUITE,
            kind: HEADER_TYPE,
            file,
            wraps,
        })
    }

    /// The beginning of a file with this header, and the place after it.
    pub fn begin(&self) -> (Vec<u8>, Place) {
        Place::begin(&cbor::encode(self))
    }

    pub(super) fn from_bytes(bytes: &[u8], damaged: BackupError) -> Result<Self, BackupError> {
        let header: Self = cbor::decode(bytes, MAX_HEADER_LEN).map_err(|_| damaged)?;
        if (header.version, header.suite, header.kind) != (HEADER_VERSION, SUITE, HEADER_TYPE) {
            return Err(BackupError::Newer);
        }
        let count = header.wraps.len();
        let fits = (1..=MAX_WRAPS).contains(&count)
            && header.wraps.iter().all(|wrap| wrap.len() == WRAP_LEN);
        if fits { Ok(header) } else { Err(damaged) }
    }

    /// The file.
    pub const fn file(&self) -> &FileId {
        &self.file
    }

    /// The file's key, if `open` opens one of the seals; it gets info, associated data and the sealed key. `None` if
    /// the file is not for whoever asks.
    pub fn open(
        &self,
        open: impl Fn(&[u8], &[u8], &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError>,
    ) -> Option<FileKey> {
        let keys = self.wraps.iter().filter_map(|wrap| {
            let opened = open(INFO, self.file.as_bytes(), wrap).ok()?;
            Secret::from_slice(&opened).map(FileKey)
        });
        { keys }.find(|key| key.id() == self.file)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_seals_of_one_length_some_but_not_too_many() {
        const DAMAGED: BackupError = BackupError::Damaged(8);
        assert_eq!(MAX_WRAPS, (MAX_DEVICES + 3).div_ceil(8) * 8);
        for (lens, fits) in [
            (vec![], false),
            (vec![WRAP_LEN], true),
            (vec![WRAP_LEN - 1], false),
            (vec![WRAP_LEN, WRAP_LEN + 1], false),
            (vec![WRAP_LEN; MAX_WRAPS], true),
            (vec![WRAP_LEN; MAX_WRAPS + 1], false),
        ] {
            let header = Header {
                version: HEADER_VERSION,
                suite: SUITE,
                kind: HEADER_TYPE,
                file: FileId::from_bytes([1; 32]),
                wraps: lens.iter().map(|len| vec![2; *len].into()).collect(),
            };
            let read = Header::from_bytes(&cbor::encode(&header), DAMAGED);
            assert_eq!(read.is_ok(), fits, "{} seals", lens.len());
        }
    }
}
