//! What operations say that cannot be kept, because one before them in their log is lost: each of their parts that opens
//! was sealed by a device of the twin, and is the newest that is known of its record.

use std::collections::BTreeMap;

use twin_identity::aead::DataKey;
use twin_identity::id::DeviceId;
use twin_identity::id::TwinId;
use twin_identity::secret::Secret;
use twin_ops::change::{Change, Stamp};
use twin_ops::epoch::{EpochId, EpochKey};
use twin_ops::op::{LogId, Origin, Part};
use twin_ops::seal::{PartPlace, open_part};
use twin_ops::space::SpaceName;
use twin_ops::value::Fields;

use crate::error::Result;
use crate::merge::{Version, Write, settle};
use crate::oplog::PartNo;
use crate::read::{Record, Versions};
use crate::rows::EpochRow;
use crate::store::Sealed;
use crate::vault::Vault;

/// A record whose newest content is in operations that could not be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RestRecord {
    /// Its space.
    pub space: SpaceName,
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// All its fields, as far as they are known.
    pub fields: Fields,
    /// When it was last changed.
    pub changed: Stamp,
    /// Who changed it last; `None` if that is lost.
    pub by: Option<DeviceId>,
}

/// Parts that cannot be kept, by a hash of their record: their content is not held in memory.
pub(super) struct Rest<'f> {
    file: &'f Sealed,
    epochs: BTreeMap<EpochId, Vec<(SpaceName, DataKey)>>,
    origins: &'f BTreeMap<LogId, Origin>,
    twin: Option<TwinId>,
    records: BTreeMap<[u8; 16], Vec<PartNo>>,
}

impl<'f> Rest<'f> {
    /// Nothing yet; `origins` says of logs who writes them.
    pub fn new(
        file: &'f Sealed,
        origins: &'f BTreeMap<LogId, Origin>,
        twin: Option<TwinId>,
    ) -> Result<Self> {
        let mut epochs: BTreeMap<EpochId, Vec<_>> = BTreeMap::new();
        for row in file.items::<EpochRow>()? {
            let key = EpochKey::new(Secret::new(row.key)).part_key();
            epochs
                .entry(row.id)
                .or_default()
                .push((row.space.clone(), key));
        }
        Ok(Self {
            file,
            epochs,
            origins,
            twin,
            records: BTreeMap::new(),
        })
    }

    /// Adds what can be read of an operation.
    pub fn add(&mut self, number: i64) -> Result<()> {
        for index in self.file.store.indices(number)? {
            let key = PartNo::new(number, index);
            if let Some((space, version)) = self.open(key)? {
                // What a twin keeps for itself is no app's, and some of it secret.
                if space.as_str().starts_with('~') {
                    continue;
                }
                let change = &version.change;
                let name = (space.as_str(), &change.collection, &change.id);
                let record = name_of(name.0, name.1, name.2);
                self.records.entry(record).or_default().push(key);
            }
        }
        Ok(())
    }

    /// Shows each record as it is with what is in `vault`, unless it is there just so. Returns how many were shown.
    pub fn show<E: From<crate::VaultError>>(
        &self,
        vault: Option<&Vault>,
        show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<u64, E> {
        let mut shown = 0;
        for parts in self.records.values() {
            let mut versions = Versions::new();
            let mut of = None;
            for part in parts {
                if let Some((space, version)) = self.open(*part)? {
                    versions.push(version);
                    of = Some(space);
                }
            }
            let (Some(space), Some(first)) = (of, versions.first()) else {
                continue;
            };
            let (collection, id) = (first.change.collection.clone(), first.change.id.clone());
            let here = match vault {
                Some(vault) => vault.find(&space, &collection, &id)?,
                None => None,
            };
            let here = here.map(|(_, versions)| versions).unwrap_or_default();
            let now = Record::of(here.clone());
            versions.extend(here);
            settle(&mut versions);
            let Some(then) = Record::of(versions) else {
                continue;
            };
            if now.is_some_and(|now| now.fields == then.fields) {
                continue;
            }
            shown += 1;
            let nobody = then.by == DeviceId::from_bytes([0; 32]);
            show(RestRecord {
                space,
                collection,
                id,
                fields: then.fields,
                changed: then.changed,
                by: (!nobody).then_some(then.by),
            })?;
        }
        Ok(shown)
    }

    /// The change of a record in a part, with its space; `None` if there is none that can be read.
    fn open(&self, key: PartNo) -> Result<Option<(SpaceName, Version<PartNo>)>> {
        let store = &self.file.store;
        let (Ok(head), Some(Part::Sealed(sealed))) =
            (store.head(key.op()), store.part_if_any(key)?)
        else {
            return Ok(None);
        };
        let header = &head.header;
        let place = PartPlace {
            log: &header.log,
            seq: header.seq,
            epoch: &header.epoch,
            salt: &head.salt,
            index: key.index(),
        };
        let origin = self.origins.get(&header.log);
        let spaces = self.epochs.get(&header.epoch).into_iter().flatten();
        let of_log = |space: &SpaceName| match (origin, &self.twin) {
            (Some(origin), Some(twin)) => space.id(twin) == origin.space,
            _ => true,
        };
        let Some((space, epoch)) = spaces.into_iter().find(|(space, _)| of_log(space)) else {
            return Ok(None);
        };
        let Some(Change::Record(change)) = open_part(epoch, place, &sealed)
            .ok()
            .and_then(|plain| Change::from_bytes(&plain).ok())
        else {
            return Ok(None);
        };
        let at = Write {
            stamp: change.stamp,
            device: origin.map_or(DeviceId::from_bytes([0; 32]), |origin| origin.device),
            log: header.log,
            seq: header.seq,
            index: key.index(),
        };
        let version = Version { at, key, change };
        Ok(Some((space.clone(), version)))
    }
}

/// What stands for a record.
fn name_of(space: &str, collection: &str, id: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for text in [space, collection, id] {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    let mut name = [0; 16];
    hasher.finalize_xof().fill(&mut name);
    name
}
