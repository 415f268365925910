//! Every trace of a record: all parts here that say something of it, whether they count or not.
//!
//! The index and the past parts name those that count. What does not count is in no index, and is looked through: parts
//! that wait for the clock, and ops beyond the line of a device that is out.

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::change::Change;
use twin_ops::op::Part;
use twin_ops::space::SpaceId;

use crate::error::{Result, VaultError};
use crate::index::next_place;
use crate::merge::Version;
use crate::oplog::PartNo;
use crate::stage::{Stage, version};
use crate::state::Log;
use crate::vault::Vault;

/// Records of a space, by collection and id.
pub(crate) type Records = BTreeSet<(String, String)>;
/// The changes of records, each in no order.
pub(crate) type Changes = BTreeMap<(String, String), Vec<Version<PartNo>>>;

impl Vault {
    /// All changes of these records that are here. If the index knows of none, all of the space is looked through: that
    /// there is nothing is not said lightly.
    pub(crate) fn every_change_of(&self, space: &SpaceId, records: &Records) -> Result<Changes> {
        let traces = self.traces_of(&Stage::default(), space, records)?;
        let changes = self.changes_in(&traces, space, records)?;
        if changes.is_empty() {
            return self.look_through(space, records);
        }
        Ok(changes)
    }

    /// The same, from all parts of all ops of the space.
    fn look_through(&self, space: &SpaceId, records: &Records) -> Result<Changes> {
        let mut changes = Changes::new();
        for log in self.logs_of(space) {
            for seq in 1..=log.head.height {
                let mut parts = BTreeSet::new();
                self.add_parts(log, seq, &mut parts)?;
                for (record, more) in self.changes_in(&parts, space, records)? {
                    changes.entry(record).or_default().extend(more);
                }
            }
        }
        Ok(changes)
    }

    /// The parts in which all changes of these records are, as they are on the stage or else in the index; others may be
    /// among them.
    pub(crate) fn traces_of(
        &self,
        stage: &Stage,
        space: &SpaceId,
        records: &Records,
    ) -> Result<BTreeSet<PartNo>> {
        let ahead = self.state.ahead.iter();
        let mut traces: BTreeSet<PartNo> = ahead.map(|(_, part)| *part).collect();
        for (collection, id) in records {
            if let Some(number) = self.state.collection(space, collection)
                && let Some((place, parts)) = self.parts_of(stage, number, id)?
            {
                traces.extend(parts);
                traces.extend(self.past_at(place)?);
            }
        }
        for log in self.logs_of(space) {
            let counted = self.state.counted(&self.file.store, log)?;
            for seq in counted + 1..=log.head.height {
                self.add_parts(log, seq, &mut traces)?;
            }
        }
        Ok(traces)
    }

    /// What changes these records, of what is here of some parts.
    pub(crate) fn changes_in(
        &self,
        parts: &BTreeSet<PartNo>,
        space: &SpaceId,
        records: &Records,
    ) -> Result<Changes> {
        let mut changes = Changes::new();
        for key in parts {
            let Some(Part::Sealed(sealed)) = self.file.store.part_if_any(*key)? else {
                continue;
            };
            let head = self.state.op_heads.get(&self.file.store, key.op())?;
            let change = self.open_change(&head.header, &head.salt, *key, &sealed);
            let Some((origin, Change::Record(change))) = change else {
                continue;
            };
            let record = (change.collection.clone(), change.id.clone());
            if origin.space == *space && records.contains(&record) {
                let version = version(&origin, &head.header, *key, change);
                changes.entry(record).or_default().push(version);
            }
        }
        Ok(changes)
    }

    /// The place of a record, and the parts that decide what it is or have until this transaction.
    fn parts_of(&self, stage: &Stage, number: u16, id: &str) -> Result<Option<(i64, Vec<PartNo>)>> {
        let mut place = self.file.keys.place(number, id);
        loop {
            if let Some(staged) = stage.at(place) {
                if staged.is(id) {
                    return Ok(Some((place, staged.parts().collect())));
                }
            } else {
                let Some(versions) = self.versions_at(place)? else {
                    return Ok(None);
                };
                if versions.first().is_some_and(|first| first.change.id == id) {
                    let parts = versions.iter().map(|version| version.key);
                    return Ok(Some((place, parts.collect())));
                }
            }
            place = next_place(place);
        }
    }

    fn logs_of(&self, space: &SpaceId) -> impl Iterator<Item = &Log> {
        let logs = self.state.logs.values();
        logs.filter(move |log| log.origin.space == *space)
    }

    /// Adds the parts of the op of a log at `seq`.
    fn add_parts(&self, log: &Log, seq: u64, parts: &mut BTreeSet<PartNo>) -> Result<()> {
        let op = self.file.store.op_at(log.number, seq)?;
        let op = op.ok_or(VaultError::Damaged("an operation"))?;
        let count = self.file.store.parts(op)?.len() as u64;
        parts.extend((0..count).map(|index| PartNo::new(op, index)));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use chacha20_rng::rand_core::Rng;
    use tempfile::tempdir;
    use twin_identity::device::Role;

    use super::*;
    use crate::common::{MINUTE, NOON, delete, linked, patch, phone, put, rng, send, space};

    /// The parts of each record, in their order.
    fn parts(changes: Changes) -> Vec<((String, String), BTreeSet<PartNo>)> {
        let keys = |versions: Vec<Version<PartNo>>| versions.iter().map(|v| v.key).collect();
        let all = changes.into_iter();
        all.map(|(record, versions)| (record, keys(versions)))
            .collect()
    }

    #[test]
    fn the_traces_of_a_record_are_all_that_looking_through_everything_finds() {
        for seed in 0..6 {
            let dirs = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
            let mut phone = phone(dirs[0].path());
            let mut laptop = linked(dirs[1].path(), &mut phone, 10, Role::Member);
            let mut tablet = linked(dirs[2].path(), &mut phone, 20, Role::Member);
            let dice = &mut rng(seed);
            let home = space("home");
            let out = laptop.device_keys().id();
            for step in 0..60 {
                let now = NOON + step * MINUTE;
                let writer = match dice.next_u32() % 3 {
                    0 => &mut phone,
                    1 => &mut laptop,
                    _ => &mut tablet,
                };
                let id = format!("{}", dice.next_u32() % 6);
                // Some are far ahead of the clock of the others.
                let ahead = u64::from(dice.next_u32() % 8 == 0) * 1000 * MINUTE;
                // Who is out already can write no more.
                if writer.check_may_write().is_ok() {
                    match dice.next_u32() % 6 {
                        0 => delete(writer, now + ahead, "c", &id),
                        1 => put(writer, now + ahead, "c", &id, &[("a", "one")]),
                        _ => patch(writer, now + ahead, "c", &id, &[("b", "two")]),
                    }
                }
                match dice.next_u32() % 6 {
                    0 => send(&laptop, &mut phone, now),
                    1 => send(&tablet, &mut phone, now),
                    2 => send(&phone, &mut tablet, now),
                    3 if seed % 2 == 0 => send(&phone, &mut laptop, now),
                    4 => phone.settle_index().unwrap(),
                    _ => {}
                }
                if step == 25 && seed % 3 == 0 {
                    phone.suspend(&out, &mut rng(30)).unwrap();
                }
                if step == 40 {
                    phone.revoke(&out, &mut rng(31)).unwrap();
                }
                if step == 50 {
                    phone.erase(now, &mut rng(32), &home, "c", "3").unwrap();
                }
            }
            let id = home.id(phone.twin());
            let all: Records = (0..6).map(|i| ("c".to_owned(), format!("{i}"))).collect();
            let traces = phone.traces_of(&Stage::default(), &id, &all).unwrap();
            let found = parts(phone.changes_in(&traces, &id, &all).unwrap());
            assert!(found.len() > 3);
            assert_eq!(
                found,
                parts(phone.look_through(&id, &all).unwrap()),
                "{seed}"
            );
            for one in &all {
                let one = Records::from([one.clone()]);
                let traces = phone.traces_of(&Stage::default(), &id, &one).unwrap();
                let found = parts(phone.changes_in(&traces, &id, &one).unwrap());
                assert_eq!(
                    found,
                    parts(phone.look_through(&id, &one).unwrap()),
                    "{seed}"
                );
            }
        }
    }
}
