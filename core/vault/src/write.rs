//! Writing: any number of changes become one op.

use rand_core::CryptoRng;
use twin_identity::body::Rotate;
use twin_identity::cbor;
use twin_ops::change::{Kind, RecordChange, Stamp};
use twin_ops::edit::Edits;
use twin_ops::op::{MAX_OP_LEN, MAX_PARTS, OpError};
use twin_ops::space::SpaceName;
use twin_ops::store::LogHead;
use twin_ops::value::Fields;
use zeroize::Zeroizing;

use crate::change::{RESERVED_NAME, WriteChange};
use crate::error::{Result, VaultError};
use crate::field::Field;
use crate::files::Added;
use crate::merge::{Version, Write};
use crate::snapshot::has_room;
use crate::stage::{Sought, Stage, horizon};
use crate::vault::Vault;

/// Who asks for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// An app: what schemas say binds it, and reserved collections are not its own.
    App,
    /// An import: what was taken along may come back as it was.
    Import,
    /// This vault itself, in a reserved collection.
    Vault,
    /// Whoever undoes a delete: the patch of a deleted record stays one.
    Restore,
}

/// Whether one op can hold these changes.
pub(crate) fn check_changes(changes: &[WriteChange]) -> Result<()> {
    let mut len = 0;
    for change in changes {
        len += change.checked_len()?;
    }
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
        self.commit_by(By::App, now, rng, space, changes, &[])
    }

    /// As [`Vault::commit_files`], for what was taken along from a twin: schemas are not asked, and they and other reserved
    /// collections may be among it.
    pub fn commit_imported(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
        files: &[Added],
    ) -> Result<LogHead> {
        self.commit_by(By::Import, now, rng, space, changes, files)
    }

    /// Undoes a delete: the record is again as it was, with what was written to it meanwhile.
    ///
    /// # Errors
    /// [`VaultError::InvalidChange`] if it is not deleted, was erased, or never was there.
    pub fn restore(
        &mut self,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        collection: &str,
        id: &str,
    ) -> Result<LogHead> {
        let change = WriteChange::patch(collection, id, Fields::default());
        self.commit_by(By::Restore, now, rng, space, vec![change], &[])
    }

    pub(crate) fn commit_by(
        &mut self,
        by: By,
        now: u64,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
        files: &[Added],
    ) -> Result<LogHead> {
        check_changes(&changes)?;
        self.now = now;
        let written = self.write(|vault| {
            vault.end_adds(space, files)?;
            vault.commit_now(by, rng, space, changes)
        });
        if written.is_err() {
            self.try_to_end_adds(files);
        }
        written
    }

    /// As [`Vault::commit`], inside a transaction, of changes that were checked.
    pub(crate) fn commit_now(
        &mut self,
        by: By,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        self.tell_time()?;
        self.check_may_write()?;
        self.check_selected(&space.id(self.twin()))?;
        self.append(by, rng, space, changes)
    }

    /// Whether this device may write now.
    pub(crate) fn check_may_write(&self) -> Result<()> {
        match self.state.identity.device(&self.device.id()) {
            Some(device) if device.is_active(self.now) => Ok(()),
            Some(_) => Err(VaultError::Suspended),
            None if self.waits() => Err(VaultError::Waiting),
            None => Err(VaultError::Removed),
        }
    }

    /// Whether this device is in as soon as what waits counts.
    fn waits(&self) -> bool {
        let (identity, me) = (&self.state.identity, self.device.id());
        let brings = |rotation: &Rotate| rotation.devices.iter().any(|new| new.device.id == me);
        let mut pending = identity.pending().iter();
        pending.any(|pending| identity.rotation_of(&pending.rotation).is_some_and(brings))
            || identity.waiting().any(|device| device.public.id == me)
    }

    fn append(
        &mut self,
        by: By,
        rng: &mut impl CryptoRng,
        space: &SpaceName,
        changes: Vec<WriteChange>,
    ) -> Result<LogHead> {
        let mut draft = self.begin_op(space, rng)?;
        if changes.len() < MAX_PARTS {
            self.tell_seen(&mut draft)?;
        }
        let (origin, place) = (draft.origin, draft.place);
        let mut stage = Stage::default();
        let records = changes.iter();
        let records = records.map(|change| (change.collection.as_str(), change.id.as_str()));
        let known = self.stage_all(&mut stage, &origin.space, records)?;
        let clock = self.tick();
        for (change, known) in changes.into_iter().zip(known) {
            let sought = match known {
                Some(sought) => sought,
                None => {
                    let number = self.collection(&stage, &origin.space, &change.collection)?;
                    let first = self.file.keys.place(number, &change.id);
                    Sought { first, last: false }
                }
            };
            let record = self.staged_at(&mut stage, sought.first, &change.id)?;
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
                    "there is nothing to restore: this record is not deleted, was erased, or was never there",
                ));
            }
            let puts = change.kind == Kind::Put || (change.kind == Kind::Patch && gone);
            if by == By::App
                && change.kind != Kind::Delete
                && let Some(schema) = self.schema_of(&origin.space, &change.collection)?
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
            if !has_room(plaintext.len()) {
                return Err(OpError::TooLarge.into());
            }
            // Every item takes a byte: what is shorter has no more than any reader takes.
            if plaintext.len() > cbor::MAX_ITEMS
                && cbor::check_with_floats(&plaintext, MAX_OP_LEN).is_err()
            {
                return Err(OpError::TooLarge.into());
            }
            let key = draft.add(plaintext);
            let at = Write {
                stamp,
                device: origin.device,
                log: place.log,
                seq: place.seq,
                index: key.index(),
            };
            // It is new, so nothing else holds it.
            record.merge(Version { at, key, change }, |_, _| false);
            // Its part cannot be read again before all of the op is sealed.
            if sought.last {
                record.slim_down();
            }
            self.state.clock = self.state.clock.max(stamp);
        }
        let head = self.finish_op(draft, rng)?;
        self.flush(stage)?;
        Ok(head)
    }

    /// A stamp for a new change: higher than all that this device has given or merged, but a clock that was led
    /// astray leads it no further than the horizon.
    fn tick(&self) -> Stamp {
        let last = self.state.clock.min(horizon(self.now));
        Stamp::at(self.now).max(last.next())
    }
}
