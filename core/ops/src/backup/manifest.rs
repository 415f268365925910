//! What a device has signed of a backup: what is in it, so that nobody else can make one, or leave something out.

use minicbor::{Decode, Encode};
use twin_identity::cbor;
use twin_identity::context::{self, HASH_LEN};
use twin_identity::device::DeviceKeys;
use twin_identity::entry::{Genesis, SUITE, VERSION};
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::log::IdentityLog;
use twin_identity::sign::{self, Signature, Use};

use super::header::FileId;
use super::{BackupError, MAX_ITEM_LEN};
use crate::chain::Head;
use crate::op::{Link, LogId, Origin};
use crate::space::SpaceName;

const MANIFEST_TYPE: u8 = 1;

/// How far a log goes that is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogRow {
    /// Who writes it.
    #[n(0)]
    pub origin: Origin,
    /// Number of ops.
    #[n(1)]
    pub height: u64,
    /// Link of the last one.
    #[n(2)]
    pub link: Link,
}

impl LogRow {
    /// Its head.
    pub const fn head(&self) -> Head {
        Head {
            height: self.height,
            link: self.link,
        }
    }
}

/// A digest of logs and their heads, sorted by log.
pub fn heights<'a>(heads: impl IntoIterator<Item = (&'a LogId, &'a Head)>) -> [u8; HASH_LEN] {
    let rows = heads.into_iter().map(|(log, head)| {
        let height = head.height.to_be_bytes();
        [log.as_bytes().as_slice(), &height, head.link.as_bytes()].concat()
    });
    let rows: Vec<Vec<u8>> = rows.collect();
    context::HEIGHTS_DIGEST.hash(rows.iter().map(Vec::as_slice))
}

/// Where an identity log stands for whoever makes a backup.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Stand {
    /// The genesis.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub genesis: Vec<u8>,
    /// The rotation that counts.
    #[n(1)]
    pub base: EntryId,
    /// Digest of all entries, in the order of their ids.
    #[cbor(n(2), with = "cbor::fixed")]
    pub entries: [u8; HASH_LEN],
}

impl Stand {
    /// Where `log` stands.
    pub fn of(log: &IdentityLog) -> Self {
        let ids = log.entries().keys();
        Self {
            genesis: log.genesis().to_bytes(),
            base: log.base(),
            entries: context::LOG_DIGEST.hash(ids.map(|id| id.as_bytes().as_slice())),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    file: FileId,
    #[n(4)]
    signer: DeviceId,
    #[n(5)]
    made: u64,
    #[n(6)]
    space: Option<SpaceName>,
    #[n(7)]
    stand: Stand,
    #[cbor(n(8), with = "cbor::fixed")]
    heights: [u8; HASH_LEN],
}

/// The signed manifest of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    body: Body,
    bytes: Vec<u8>,
    signature: Signature,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Signed {
    #[cbor(n(0), with = "minicbor::bytes")]
    manifest: Vec<u8>,
    #[cbor(n(1), with = "cbor::fixed")]
    signature: Signature,
}

impl Manifest {
    /// Signs what is in the backup `file`: logs as far as `heights` says, of one `space` or of all, made at `made`
    /// (milliseconds since the Unix epoch) by `device` where `log` stands.
    pub fn sign(
        file: FileId,
        made: u64,
        space: Option<SpaceName>,
        log: &IdentityLog,
        heights: [u8; HASH_LEN],
        device: &DeviceKeys,
    ) -> Self {
        let body = Body {
            version: VERSION,
            suite: SUITE,
            kind: MANIFEST_TYPE,
            file,
            signer: device.id(),
            made,
            space,
            stand: Stand::of(log),
            heights,
        };
        let bytes = cbor::encode(&body);
        let id = context::BACKUP_MANIFEST.hash([bytes.as_slice()]);
        let signature = device.sign(Use::Backup, log.twin(), &id);
        Self {
            body,
            bytes,
            signature,
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BackupError> {
        const MALFORMED: BackupError = BackupError::Content("the manifest is not in its format");
        let signed: Signed = cbor::decode(bytes, MAX_ITEM_LEN).map_err(|_| MALFORMED)?;
        let body: Body = cbor::decode(&signed.manifest, MAX_ITEM_LEN).map_err(|_| MALFORMED)?;
        if (body.version, body.suite, body.kind) != (VERSION, SUITE, MANIFEST_TYPE) {
            return Err(BackupError::Newer);
        }
        Ok(Self {
            body,
            bytes: signed.manifest,
            signature: signed.signature,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&Signed {
            manifest: self.bytes.clone(),
            signature: self.signature,
        })
    }

    /// Verifies that a device signed it that is, or was, in the twin of `log`.
    pub fn verify(&self, log: &IdentityLog) -> Result<(), BackupError> {
        const FORGED: BackupError = BackupError::Content("no device of the twin has signed it");
        let signer = self.signer();
        if log.role_once(signer).is_none() {
            return Err(FORGED);
        }
        let id = context::BACKUP_MANIFEST.hash([self.bytes.as_slice()]);
        sign::verify(signer, Use::Backup, log.twin(), &id, &self.signature).map_err(|_| FORGED)
    }

    /// The identity log that it begins with: of that twin, and empty.
    pub(super) fn log(&self) -> Result<IdentityLog, BackupError> {
        let genesis = Genesis::from_bytes(&self.body.stand.genesis);
        let genesis =
            genesis.map_err(|_| BackupError::Content("the genesis is not in its format"))?;
        Ok(IdentityLog::new(genesis))
    }

    /// The twin.
    pub fn twin(&self) -> Result<TwinId, BackupError> {
        self.log().map(|log| *log.twin())
    }

    /// The file that it is for.
    pub const fn file(&self) -> &FileId {
        &self.body.file
    }

    /// The device that made the backup.
    pub const fn signer(&self) -> &DeviceId {
        &self.body.signer
    }

    /// When it was begun, in milliseconds since the Unix epoch, by the clock of that device.
    pub const fn made(&self) -> u64 {
        self.body.made
    }

    /// The one space that is in it; `None` if all are.
    pub const fn space(&self) -> Option<&SpaceName> {
        self.body.space.as_ref()
    }

    /// Where the identity log stood.
    pub const fn stand(&self) -> &Stand {
        &self.body.stand
    }

    /// Digest of the logs in it (see [`heights`]).
    pub const fn heights(&self) -> &[u8; HASH_LEN] {
        &self.body.heights
    }
}
