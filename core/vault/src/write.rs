//! Writing: any number of changes become one op.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use twin_identity::cbor;
use twin_ops::change::{Change, Kind, RecordChange, Seen, SeenHeight, Stamp};
use twin_ops::edit::Edits;
use twin_ops::epoch::EpochId;
use twin_ops::op::{LogId, MAX_OP_LEN, MAX_PARTS, Op, OpError, Origin, Place};
use twin_ops::seal::seal_parts;
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::LogHead;
use twin_ops::value::Fields;
use zeroize::Zeroizing;

use crate::change::{RESERVED_NAME, WriteChange};
use crate::error::{Result, VaultError};
use crate::field::Field;
use crate::merge::{Version, Write};
use crate::oplog::PartNo;
use crate::rows::ToldRow;
use crate::stage::{Stage, horizon};
use crate::vault::Vault;

/// The most logs that one op tells the heights of, so that it leaves room for changes.
const MAX_SEEN: usize = 1024;

/// Who asks for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// An app: what schemas say binds it, and reserved collections are not its own.
    App,
    /// An import: what was taken along may come back as it was.
    Import,
    /// This vault, to write a schema.
    Schema,
    /// Whoever undoes a delete: the patch of a deleted record stays one.
    Restore,
}

impl Vault {
    /// Writes changes to a space as one op: all of them are durable when this returns, or none has happened. Returns
    /// the log that was written and its new head. `now`: milliseconds since the Unix epoch.
    ///
    /// The first commit to a space that nobody has written to makes the space.
    ///
    /// # Errors
    /// Among others [`OpError::TooLarge`] for more than 4,096 changes or 1 MiB, and [`VaultError::Schema`] for what the
    /// schema of a collection does not allow.
    pub fn commit(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        if changes.iter().any(WriteChange::is_reserved) {
            return Err(VaultError::InvalidChange(RESERVED_NAME));
        }
        self.commit_by(By::App, now, rng, space, changes)
    }

    /// As [`Vault::commit`], for what was taken along from a twin: schemas are not asked, and they and other reserved
    /// collections may be among it.
    pub fn commit_imported(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        self.commit_by(By::Import, now, rng, space, changes)
    }

    /// Undoes a delete: the record is again as it was, with what was written to it meanwhile.
    ///
    /// # Errors
    /// [`VaultError::InvalidChange`] if it is not deleted, or never was there.
    pub fn restore(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        collection: &str,
        id: &str,
    ) -> Result<LogHead> {
        let change = WriteChange::patch(collection, id, Fields::default());
        self.commit_by(By::Restore, now, rng, space, vec![change])
    }

    pub(crate) fn commit_by(
        &mut self,
        by: By,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        changes.iter().try_for_each(WriteChange::check)?;
        let len: usize = changes.iter().map(WriteChange::least_len).sum();
        if changes.len() > MAX_PARTS || len > MAX_OP_LEN {
            return Err(OpError::TooLarge.into());
        }
        if changes.is_empty() {
            return Err(VaultError::InvalidChange(
                "there is nothing to write: give a change",
            ));
        }
        self.now = now;
        self.write(|vault| {
            vault.tell_time()?;
            let me = vault.device.id();
            match vault.state.identity.device(&me) {
                Some(device) if device.is_active(now) => vault.append(by, rng, space, changes),
                Some(_) => Err(VaultError::Suspended),
                None => Err(VaultError::Removed),
            }
        })
    }

    fn append(
        &mut self,
        by: By,
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
            if by == By::Restore && (!gone || record.versions.len() < 2) {
                return Err(VaultError::InvalidChange(
                    "this record is not deleted: there is nothing to restore",
                ));
            }
            let puts = change.kind == Kind::Put || (change.kind == Kind::Patch && gone);
            if by == By::App
                && change.kind != Kind::Delete
                && let Some(schema) = self.schema_of(&space, &change.collection)?
            {
                schema.check(&change, puts)?;
            }
            let mut fields = change.fields;
            let mut edits = Edits::default();
            for (name, edit) in change.edits {
                if gone {
                    fields.0.insert(name, edit.begin());
                } else {
                    let field = Field::of(&record.versions, &name);
                    let edit = edit.on(&field, &place.log)?;
                    edits.0.insert(name, edit);
                }
            }
            let change = RecordChange {
                kind: if puts && by != By::Restore {
                    Kind::Put
                } else {
                    change.kind
                },
                stamp,
                collection: change.collection,
                id: change.id,
                fields,
                edits,
            };
            let plaintext = Zeroizing::new(change.to_bytes());
            // Every item takes a byte: what is shorter has no more than any reader takes.
            if plaintext.len() > cbor::MAX_ITEMS
                && cbor::check_with_floats(&plaintext, MAX_OP_LEN).is_err()
            {
                return Err(OpError::TooLarge.into());
            }
            plaintexts.push(plaintext);
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
    fn epoch_for(&mut self, space: &SpaceName, rng: &mut impl CryptoRng) -> Result<EpochId> {
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
