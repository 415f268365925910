//! Whether the index of records, and what is kept for searching, show what the operations say.

use std::ops::ControlFlow;

use twin_ops::change::Change;
use twin_ops::epoch::EpochId;
use twin_ops::op::{Op, Part};

use super::{Damage, Report, whole};
use crate::error::Result;
use crate::index::collection;
use crate::merge::{Write, settle};
use crate::oplog::PartNo;
use crate::read::Versions;
use crate::rows::UnreadRow;
use crate::segment::Source;
use crate::stage::version;
use crate::state::Log;
use crate::vault::Vault;

impl Vault {
    pub(super) fn check_search(&self, report: &mut Report) -> Result<()> {
        let source = Source {
            file: &self.file,
            opened: None,
        };
        for segment in &self.file.search_row()?.segments {
            if !source.is_whole(segment)? {
                report.add(Damage::Search);
            }
        }
        for number in self.file.store.todos()? {
            if whole(self.file.todo(number))?.is_none() {
                report.add(Damage::Search);
            }
        }
        Ok(())
    }

    /// Whether the key that an operation is sealed under is here, or it is known that it is not.
    pub(crate) fn has_key_or_waits(&self, log: &Log, number: i64, epoch: EpochId) -> Result<bool> {
        if self.state.epochs.contains_key(&(log.origin.space, epoch)) {
            return Ok(true);
        }
        let waits = self.file.item::<UnreadRow>(&number.to_be_bytes());
        Ok(whole(waits)?.flatten().is_some())
    }

    /// Whether the index knows of all that an operation says, or is still to hear it.
    pub(super) fn is_shown(&self, log: &Log, number: i64, op: &Op) -> Result<bool> {
        let header = op.header();
        let space = log.origin.space;
        if !self.state.epochs.contains_key(&(space, header.epoch)) {
            return Ok(true);
        }
        for (index, part) in (0..).zip(op.parts()) {
            let Part::Sealed(sealed) = part else { continue };
            let key = PartNo::new(number, index);
            let new = match self.open_change(header, op.salt(), key, sealed) {
                Some((origin, Change::Record(change))) => {
                    Some(version(&origin, header, key, change))
                }
                Some((_, Change::Copy(original, change))) => self.copy(key, original, change),
                _ => None,
            };
            let Some(new) = new else { continue };
            if !self.counts(&new)? {
                continue;
            }
            if self.state.ahead.contains(&(new.at.stamp, key)) {
                continue;
            }
            let Some(number) = self.state.collection(&space, &new.change.collection) else {
                return Ok(false);
            };
            // A damaged row of the index is named when the index is looked through.
            let Some(found) = whole(self.find_in(number, &new.change.id))? else {
                continue;
            };
            let Some((place, mut versions)) = found else {
                return Ok(false);
            };
            let before: Vec<Write> = versions.iter().map(|version| version.at).collect();
            let at = new.at;
            versions.push(new);
            settle(&mut versions);
            if !versions
                .iter()
                .map(|version| version.at)
                .eq(before.iter().copied())
            {
                return Ok(false);
            }
            // What decides nothing any more is found by the record's history.
            if !before.contains(&at) && whole(self.was_at(place, key, at))? != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks through the index: each row is what it was, where its record is looked for, and of operations that count;
    /// and each past part is of the record that it is kept for.
    pub(super) fn check_index(&self, report: &mut Report) -> Result<()> {
        for row in &self.state.late.damaged {
            report.add(Damage::Record(*row));
        }
        if !self.state.late.damaged.is_empty() {
            return Ok(());
        }
        self.each_found((i64::MIN, i64::MAX), |place, versions| {
            let looked_at = versions.and_then(|versions| {
                let in_place = self.is_in_place(place, &versions)?;
                Ok((in_place, self.absent_files(collection(place), versions)?))
            });
            match whole(looked_at)? {
                Some((true, absent)) => {
                    report.records += 1;
                    report.absent_files += absent;
                }
                Some((false, _)) | None => report.add(Damage::Record(place)),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.all_past(|place, part| {
            if whole(self.is_past_in_place(place, part))? != Some(true) {
                report.add(Damage::Record(place));
            }
            Ok(())
        })
    }

    fn is_in_place(&self, place: i64, versions: &Versions) -> Result<bool> {
        // Where a record was erased there may be a place that leads to another.
        let Some(first) = versions.first() else {
            return Ok(true);
        };
        for version in versions {
            if !self.counts(version)? {
                return Ok(false);
            }
        }
        let found = self.find_in(collection(place), &first.change.id)?;
        Ok(found.is_some_and(|(there, _)| there == place))
    }
}
