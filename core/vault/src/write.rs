//! Writing: any number of changes become one op.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use twin_ops::change::{
    Change, Kind, MAX_COLLECTION_NAME, MAX_RECORD_ID, RecordChange, Seen, SeenHeight, Stamp,
};
use twin_ops::epoch::EpochId;
use twin_ops::op::{LogId, MAX_OP_LEN, MAX_PARTS, Op, OpError, Origin, Place};
use twin_ops::seal::seal_parts;
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::LogHead;
use twin_ops::value::{Fields, MAX_FIELD_NAME, Value};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::merge::{Version, Write};
use crate::oplog::PartNo;
use crate::rows::ToldRow;
use crate::stage::{Stage, horizon};
use crate::vault::Vault;

/// The most logs that one op tells the heights of, so that it leaves room for changes.
const MAX_SEEN: usize = 1024;

/// A change that an app makes to a record.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteChange {
    /// The collection; 1 to 128 bytes.
    pub collection: String,
    /// The record's id in it; 1 to 256 bytes.
    pub id: String,
    /// How. A patch of a record that is not there puts it.
    pub kind: Kind,
    /// The fields, with names of 1 to 128 bytes; none for a delete. [`Value::Null`] takes a field away.
    pub fields: Fields,
}

impl WriteChange {
    /// The record becomes exactly these fields.
    pub fn put(collection: &str, id: &str, fields: Fields) -> Self {
        Self::new(collection, id, Kind::Put, fields)
    }

    /// These fields change, the others stay.
    pub fn patch(collection: &str, id: &str, fields: Fields) -> Self {
        Self::new(collection, id, Kind::Patch, fields)
    }

    /// The record is gone.
    pub fn delete(collection: &str, id: &str) -> Self {
        Self::new(collection, id, Kind::Delete, Fields::default())
    }

    fn new(collection: &str, id: &str, kind: Kind, fields: Fields) -> Self {
        Self {
            collection: collection.to_owned(),
            id: id.to_owned(),
            kind,
            fields,
        }
    }

    /// Whether a commit would take it.
    ///
    /// # Errors
    /// [`VaultError::InvalidChange`] for names and ids that are empty or too long, and for a delete with fields.
    pub fn check(&self) -> Result<()> {
        let within = |text: &str, max| (1..=max).contains(&text.len());
        let invalid = |why| Err(VaultError::InvalidChange(why));
        if !within(&self.collection, MAX_COLLECTION_NAME) {
            return invalid("the name of a collection has 1 to 128 bytes: choose another");
        }
        if !within(&self.id, MAX_RECORD_ID) {
            return invalid("the id of a record has 1 to 256 bytes: choose another");
        }
        if !self
            .fields
            .0
            .keys()
            .all(|name| within(name, MAX_FIELD_NAME))
        {
            return invalid("the name of a field has 1 to 128 bytes: choose another");
        }
        if self.kind == Kind::Delete && !self.fields.0.is_empty() {
            return invalid("a delete has no fields: leave them out");
        }
        Ok(())
    }
}

/// At least as long as the change is in an op.
fn least_len(change: &WriteChange) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 1,
    };
    let fields = change.fields.0.iter();
    fields.map(|(name, field)| name.len() + value(field)).sum()
}

/// Whether one op can hold these changes.
pub(crate) fn check_changes(changes: &[WriteChange]) -> Result<()> {
    changes.iter().try_for_each(WriteChange::check)?;
    let len: usize = changes.iter().map(least_len).sum();
    if changes.len() > MAX_PARTS || len > MAX_OP_LEN {
        return Err(OpError::TooLarge.into());
    }
    if changes.is_empty() {
        return Err(VaultError::InvalidChange(
            "there is nothing to write: give a change",
        ));
    }
    Ok(())
}

impl Vault {
    /// Writes changes to a space as one op: all of them are durable when this returns, or none has happened. Returns
    /// the log that was written and its new head. `now`: milliseconds since the Unix epoch.
    ///
    /// The first commit to a space that nobody has written to makes the space.
    ///
    /// # Errors
    /// Among others [`OpError::TooLarge`] for more than 4,096 changes or 1 MiB.
    pub fn commit(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        check_changes(&changes)?;
        self.now = now;
        self.write(|vault| vault.commit_now(rng, space, changes))
    }

    /// As [`Vault::commit`], inside a transaction, of changes that were checked.
    pub(crate) fn commit_now(
        &mut self,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        self.tell_time()?;
        self.takes_writes()?;
        self.append(rng, space, changes)
    }

    /// Whether this device is one that writes.
    pub(crate) fn takes_writes(&self) -> Result<()> {
        match self.state.identity.device(&self.device.id()) {
            Some(device) if device.is_active(self.now) => Ok(()),
            Some(_) => Err(VaultError::Suspended),
            None => Err(VaultError::Removed),
        }
    }

    fn append(
        &mut self,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        let epoch = self.epoch_for(space, rng)?;
        let space = space.id(self.twin());
        self.writes_in(&(space, epoch))?;
        let (origin, place) = self.own_log(space, epoch);
        let op_no = self.next_op(&origin, &place.log, place.seq)?;
        let mut stage = Stage::default();
        let mut plaintexts = Vec::with_capacity(changes.len() + 1);
        if changes.len() < MAX_PARTS
            && let Some(seen) = self.see(space, &place.log)?
        {
            plaintexts.push(Zeroizing::new(Change::Seen(seen).to_bytes()));
        }
        let clock = self.tick();
        for change in changes {
            let index = plaintexts.len() as u64;
            let collection = self.collection(&stage, &space, &change.collection)?;
            let record = self.staged(&mut stage, collection, &change.id)?;
            let highest = record.versions.first();
            let gone = highest.is_none_or(|version| version.change.kind == Kind::Delete);
            // A write outranks what its writer saw, whatever the clocks say.
            let stamp = highest.map_or(clock, |version| clock.max(version.at.stamp.next()));
            #[cfg(twin_break)]
            let stamp = if twin_identity::broken::is("stamp_ignores_what_was_seen") {
                Stamp::at(self.now)
            } else {
                stamp
            };
            let change = RecordChange {
                kind: match change.kind {
                    Kind::Patch if gone => Kind::Put,
                    kind => kind,
                },
                stamp,
                collection: change.collection,
                id: change.id,
                fields: change.fields,
            };
            plaintexts.push(Zeroizing::new(change.to_bytes()));
            record.merge(Version {
                at: Write {
                    stamp,
                    device: origin.device,
                    log: place.log,
                    seq: place.seq,
                    index,
                },
                key: PartNo::new(op_no, index),
                change,
            });
            self.state.clock = self.state.clock.max(stamp);
        }
        let key = match self.state.epochs.get(&(space, epoch)) {
            Some(epoch) => &epoch.parts,
            None => return Err(VaultError::NoKey),
        };
        let (salt, parts) = seal_parts(key, &place, &plaintexts, rng)?;
        let op = Op::sign(place, salt, parts, self.twin(), &self.device)?;
        self.store_op(&origin, op_no, &op)?;
        let log = place.log;
        let head = self.save_log(&log)?;
        self.flush(stage)?;
        Ok(LogHead { log, head })
    }

    /// A stamp for a new change: higher than all that this device has given or merged, but a clock that was led
    /// astray leads it no further than the horizon.
    fn tick(&self) -> Stamp {
        let last = self.state.clock.min(horizon(self.now));
        Stamp::at(self.now).max(last.next())
    }

    /// This device's log in a space, and the place of its next op.
    fn own_log(&self, space: SpaceId, epoch: EpochId) -> (Origin, Place) {
        let origin = Origin {
            space,
            device: self.device.id(),
            incarnation: self.incarnation,
        };
        let log = origin.log_id(self.twin());
        let head = self.state.logs.get(&log).map(|log| log.head);
        let place = Place {
            log,
            seq: head.map_or(0, |head| head.height) + 1,
            prev: head.map(|head| head.link),
            epoch,
        };
        (origin, place)
    }

    /// What has become known in a space since this device last told of it.
    fn see(&self, space: SpaceId, own: &LogId) -> Result<Option<Seen>> {
        let told: Option<ToldRow> = self.file.item(space.as_bytes())?;
        let (before, mut heights) = match told {
            Some(told) => (Some(told.heads), told.heights),
            None => (None, BTreeMap::new()),
        };
        let logs = self.state.logs.iter();
        let others = logs.filter(|(id, log)| log.origin.space == space && *id != own);
        let grown: Vec<SeenHeight> = others
            .map(|(id, log)| SeenHeight {
                log: *id,
                height: log.head.height,
            })
            .filter(|seen| heights.get(&seen.log) != Some(&seen.height))
            .take(MAX_SEEN)
            .collect();
        let heads = self.state.identity.heads();
        if grown.is_empty() && before.as_ref() == Some(&heads) {
            return Ok(None);
        }
        heights.extend(grown.iter().map(|seen| (seen.log, seen.height)));
        self.file.put(&ToldRow {
            space,
            heads: heads.clone(),
            heights,
        })?;
        Ok(Some(Seen::new(heads, grown)))
    }

    /// The epoch to write to a space in; begins one if there is none, or if somebody is out who has its key.
    pub(crate) fn epoch_for(
        &mut self,
        space: &SpaceName,
        rng: &mut impl CryptoRng,
    ) -> Result<EpochId> {
        let id = space.id(self.twin());
        if let Some(epoch) = self.state.writing_epoch(&id) {
            return Ok(epoch);
        }
        if !self.may_begin(space) {
            let known = self.state.newest_epoch(&id).is_some();
            return Err(if known {
                VaultError::NoEpoch
            } else {
                VaultError::NoKey
            });
        }
        self.begin_epochs(std::slice::from_ref(space), rng)?;
        self.state.writing_epoch(&id).ok_or(VaultError::NoKey)
    }
}
