//! What operations say that cannot be kept, because one before them in their log is lost: each of their parts that opens
//! was sealed by a device of the twin, and is the newest that is known of its record.

use std::collections::BTreeMap;

use twin_identity::aead::DataKey;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::secret::Secret;
use twin_ops::change::{Change, ErasedParts, Stamp};
use twin_ops::checkpoint::{Checkpoint, Original};
use twin_ops::epoch::{EpochId, EpochKey};
use twin_ops::op::{Header, LogId, Origin, Part};
use twin_ops::seal::{PartPlace, open_part};
use twin_ops::space::SpaceName;
use twin_ops::value::Fields;

use crate::VaultError;
use crate::error::Result;
use crate::merge::{Version, Write, settle};
use crate::oplog::PartNo;
use crate::read::{Record, Versions};
use crate::rows::EpochRow;
use crate::store::{Sealed, Store};
use crate::vault::Vault;

/// Whoever it was.
const NOBODY: DeviceId = DeviceId::from_bytes([0; 32]);

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
pub(super) struct Rest<'s> {
    store: &'s Store,
    origins: &'s BTreeMap<LogId, Origin>,
    twin: Option<TwinId>,
    epochs: BTreeMap<EpochId, Vec<(SpaceName, DataKey)>>,
    /// By log, the place of each checkpoint and what it says.
    checkpoints: BTreeMap<LogId, Vec<(u64, Checkpoint)>>,
    records: BTreeMap<[u8; 16], Vec<PartNo>>,
    /// What was to be erased, by space and by who said so.
    erased: BTreeMap<(SpaceName, DeviceId), Vec<ErasedParts>>,
}

/// What a part says, and in which space.
struct Said {
    space: SpaceName,
    header: Header,
    change: Change,
}

impl<'s> Rest<'s> {
    /// All that can be read in `store`, with the keys in `file`. `origins` says of logs who writes them; the twin is not
    /// always known.
    pub fn read(
        store: &'s Store,
        file: &Sealed,
        origins: &'s BTreeMap<LogId, Origin>,
        twin: Option<TwinId>,
    ) -> Result<Self> {
        let mut rest = Self {
            store,
            origins,
            twin,
            epochs: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            records: BTreeMap::new(),
            erased: BTreeMap::new(),
        };
        for row in file.items::<EpochRow>()? {
            let key = EpochKey::new(Secret::new(row.key)).part_key();
            let of_epoch = rest.epochs.entry(row.id).or_default();
            of_epoch.push((row.space.clone(), key));
        }
        let mut last = 0;
        while let Some(number) = store.op_after(last)? {
            last = number;
            rest.add(number)?;
        }
        Ok(rest)
    }

    fn add(&mut self, number: i64) -> Result<()> {
        for part in self.store.parts_left(number)? {
            let Some(said) = self.open(part)? else {
                continue;
            };
            let Header { log, seq, .. } = said.header;
            let change = match said.change {
                Change::Record(change) | Change::Copy(_, change) => change,
                Change::Checkpoint(said) => {
                    self.checkpoints.entry(log).or_default().push((seq, said));
                    continue;
                }
                Change::Erase(erase) => {
                    if let Some(origin) = self.origins.get(&log) {
                        let by = (said.space, origin.device);
                        self.erased.entry(by).or_default().extend(erase.ops);
                    }
                    continue;
                }
                _ => continue,
            };
            // What a twin keeps for itself is no app's, and some of it secret.
            if !said.space.as_str().starts_with('~') {
                let record = name_of([said.space.as_str(), &change.collection, &change.id]);
                self.records.entry(record).or_default().push(part);
            }
        }
        Ok(())
    }

    /// What was to be erased, by space and by who said so.
    pub const fn erased(&self) -> &BTreeMap<(SpaceName, DeviceId), Vec<ErasedParts>> {
        &self.erased
    }

    /// Shows each record as it is with what is in `vault`, unless it is there just so. Returns how many were shown.
    pub fn show<E: From<VaultError>>(
        &self,
        vault: Option<&Vault>,
        show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<u64, E> {
        let mut shown = 0;
        for parts in self.records.values() {
            let mut versions = Versions::new();
            let mut of = None;
            for part in parts {
                if let Some((space, version)) = self.version(*part)? {
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
            show(RestRecord {
                space,
                collection,
                id,
                fields: then.fields,
                changed: then.changed,
                by: (then.by != NOBODY).then_some(then.by),
            })?;
        }
        Ok(shown)
    }

    /// The change of a record in a part, in the place where it was first written, and its space.
    fn version(&self, key: PartNo) -> Result<Option<(SpaceName, Version<PartNo>)>> {
        let Some(said) = self.open(key)? else {
            return Ok(None);
        };
        let header = &said.header;
        let origin = self.origins.get(&header.log);
        let here = Write {
            stamp: Stamp::default(),
            device: origin.map_or(NOBODY, |origin| origin.device),
            log: header.log,
            seq: header.seq,
            index: key.index(),
        };
        let (at, change) = match said.change {
            Change::Record(change) => (here, change),
            Change::Copy(original, change) => (
                self.first_written(header, &original).unwrap_or(here),
                change,
            ),
            _ => return Ok(None),
        };
        let at = Write {
            stamp: change.stamp,
            ..at
        };
        Ok(Some((said.space, Version { at, key, change })))
    }

    /// Where a change was first written that is in a snapshot; `None` if its checkpoint is lost.
    fn first_written(&self, header: &Header, original: &Original) -> Option<Write> {
        let origin = self.origins.get(&header.log)?;
        let checkpoints = self.checkpoints.get(&header.log)?;
        let (_, said) = checkpoints
            .iter()
            .find(|(seq, said)| (1..=said.ops).contains(&header.seq.saturating_sub(*seq)))?;
        let line = said.lines.get(usize::try_from(original.line).ok()?)?;
        Some(Write {
            stamp: Stamp::default(),
            device: line.device,
            log: line.origin(origin.space).log_id(self.twin.as_ref()?),
            seq: original.seq,
            index: original.index.into(),
        })
    }

    /// What a part says; `None` if it cannot be read.
    fn open(&self, key: PartNo) -> Result<Option<Said>> {
        let store = self.store;
        let (Ok(head), Some(Part::Sealed(sealed))) =
            (store.head(key.op()), store.part_if_any(key)?)
        else {
            return Ok(None);
        };
        let header = head.header;
        let place = PartPlace {
            log: &header.log,
            seq: header.seq,
            epoch: &header.epoch,
            salt: &head.salt,
            index: key.index(),
        };
        let origin = self.origins.get(&header.log);
        let of_log = |space: &SpaceName| match (origin, &self.twin) {
            (Some(origin), Some(twin)) => space.id(twin) == origin.space,
            _ => true,
        };
        let mut epochs = self.epochs.get(&header.epoch).into_iter().flatten();
        let Some((space, epoch)) = epochs.find(|(space, _)| of_log(space)) else {
            return Ok(None);
        };
        let plain = open_part(epoch, place, &sealed).ok();
        let change = plain.and_then(|plain| Change::from_bytes(&plain).ok());
        Ok(change.map(|change| Said {
            space: space.clone(),
            header,
            change,
        }))
    }
}

/// What stands for a record.
fn name_of(texts: [&str; 3]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    let mut name = [0; 16];
    hasher.finalize_xof().fill(&mut name);
    name
}
