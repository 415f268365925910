//! Looking through all that a vault holds. What is damaged is named; nothing is changed.

use std::fmt;
use std::ops::ControlFlow;

use twin_ops::chain::{Head, verify_run};
use twin_ops::change::Change;
use twin_ops::op::{LogId, Op, Part};
use twin_ops::store::Hole;

use crate::error::{Result, VaultError};
use crate::index::collection;
use crate::items::Kind;
use crate::merge::{Write, settle};
use crate::oplog::PartNo;
use crate::read::Versions;
use crate::rows::UnreadRow;
use crate::segment::Source;
use crate::stage::version;
use crate::state::Log;
use crate::vault::Vault;

/// The most damages that are named; all are counted.
pub const MAX_NAMED: usize = 100;

/// What a vault holds, and what of it is damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that are neither operations nor index: keys, identity log, settings.
    pub rows: u64,
    /// Operations that are whole.
    pub ops: u64,
    /// Records in the index that are whole, deleted ones too.
    pub records: u64,
    /// Chunks of files that are whole.
    pub chunks: u64,
    /// How many damages there are.
    pub damages: u64,
    /// How many of them are of the index of records or of what is kept for searching, which [`Vault::rebuild_index`] mends.
    pub of_index: u64,
    /// The first [`MAX_NAMED`] of them.
    pub named: Vec<Damage>,
}

/// Something that is damaged. It tells a place in the file, and nothing of what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// SQLite finds that its file is not in order, and says this.
    File(String),
    /// A sealed row of the kind with this number.
    Row(u8),
    /// A key slot: this way to unlock the vault is lost.
    Slot(u32),
    /// An operation is missing or altered, or does not continue the one before it. What comes after it in its log is not
    /// looked at.
    Op {
        /// The log.
        log: LogId,
        /// Its place there.
        seq: u64,
    },
    /// Content of an operation is missing, and no admin has erased it: another device may have it.
    Missing {
        /// The log.
        log: LogId,
        /// The operation's place there.
        seq: u64,
    },
    /// The index of records does not show what an operation says.
    Unshown {
        /// The log.
        log: LogId,
        /// The operation's place there.
        seq: u64,
    },
    /// The row of the index of records with this number.
    Record(i64),
    /// The chunk of a file with this number: it comes again from another device that has it, or by adding the file
    /// again.
    Chunk(i64),
    /// What is kept for searching: the next search makes it anew.
    Search,
}

impl Report {
    /// Whether nothing is damaged.
    pub const fn is_whole(&self) -> bool {
        self.damages == 0
    }

    /// Whether nothing is damaged but what can be made anew.
    pub const fn can_be_rebuilt(&self) -> bool {
        self.damages == self.of_index
    }

    fn add(&mut self, damage: Damage) {
        self.damages += 1;
        let of_index = matches!(
            damage,
            Damage::Unshown { .. } | Damage::Record(_) | Damage::Search
        );
        self.of_index += u64::from(of_index);
        if self.named.len() < MAX_NAMED {
            self.named.push(damage);
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(says) => write!(f, "the file: {says}"),
            Self::Row(kind) => write!(f, "a sealed row of kind {kind}"),
            Self::Slot(number) => write!(f, "key slot {number}"),
            Self::Op { log, seq } => write!(f, "operation {seq} of log {log}"),
            Self::Missing { log, seq } => {
                write!(
                    f,
                    "content of operation {seq} of log {log}, which no admin erased"
                )
            }
            Self::Unshown { log, seq } => write!(f, "what operation {seq} of log {log} changed"),
            Self::Chunk(number) => write!(f, "chunk {number} of files"),
            Self::Record(row) => write!(f, "row {row} of the index of records"),
            Self::Search => write!(f, "what is kept for searching"),
        }
    }
}

fn row_damage(kind: u8) -> Damage {
    if kind == Kind::Search as u8 {
        Damage::Search
    } else {
        Damage::Row(kind)
    }
}

/// Damage is what is looked for; whatever else goes wrong ends the search.
fn whole<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(VaultError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Vault {
    /// Looks through everything: the file's structure, every row, every signature, and whether the index shows what
    /// the operations say. Takes about as long as reading every record and verifying every operation once.
    pub fn check(&mut self) -> Result<Report> {
        self.catch_up()?;
        let mut report = Report::default();
        self.file.store.snapshot(|store| {
            for says in store.check_file()? {
                report.add(Damage::File(says));
            }
            for number in store.damaged_slots()? {
                report.add(Damage::Slot(number));
            }
            report.rows = self.file.check_items(|kind| report.add(row_damage(kind)))?;
            report.chunks = self
                .file
                .check_chunks(|number| report.add(Damage::Chunk(number)))?;
            for (id, log) in &self.state.logs {
                self.check_log(id, log, &mut report)?;
            }
            self.check_index(&mut report)?;
            self.check_search(&mut report)
        })?;
        Ok(report)
    }

    fn check_search(&self, report: &mut Report) -> Result<()> {
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

    fn check_log(&self, id: &LogId, log: &Log, report: &mut Report) -> Result<()> {
        // Without the operation that a line names nothing of the log counts; it is missed below.
        let counted = whole(self.state.counted(&self.file.store, log))?.unwrap_or(0);
        let mut head = log.base;
        let begins = log.base.map_or(0, |base| base.height);
        if begins > self.superseded(id) {
            report.add(Damage::Missing {
                log: *id,
                seq: begins,
            });
        }
        for seq in begins + 1..=log.head.height {
            let Some((number, op, next)) = self.whole_op(log, seq, head)? else {
                report.add(Damage::Op { log: *id, seq });
                return Ok(());
            };
            head = next;
            report.ops += 1;
            let hole = Hole { log: *id, seq };
            if self.state.holes.contains(&hole) {
                report.add(Damage::Missing { log: *id, seq });
            }
            if seq <= counted && !self.is_shown(log, number, &op)? {
                report.add(Damage::Unshown { log: *id, seq });
            }
        }
        if head != Some(log.head) {
            let seq = log.head.height;
            report.add(Damage::Op { log: *id, seq });
        }
        Ok(())
    }

    /// The operation at `seq` with its number, if it continues the log after `head`; and the head that it makes.
    fn whole_op(
        &self,
        log: &Log,
        seq: u64,
        head: Option<Head>,
    ) -> Result<Option<(i64, Op, Option<Head>)>> {
        let Some(number) = self.file.store.op_at(log.number, seq)? else {
            return Ok(None);
        };
        let Some(op) = whole(self.file.store.op(number))? else {
            return Ok(None);
        };
        let run = std::slice::from_ref(&op);
        let next = verify_run(self.twin(), &log.origin, head, run);
        Ok(next.ok().map(|next| (number, op, next)))
    }

    /// Whether the index knows of all that an operation says, or is still to hear it.
    fn is_shown(&self, log: &Log, number: i64, op: &Op) -> Result<bool> {
        let header = op.header();
        let space = log.origin.space;
        if !self.state.epochs.contains_key(&(space, header.epoch)) {
            let waits = self.file.item::<UnreadRow>(&number.to_be_bytes());
            return Ok(whole(waits)?.flatten().is_some());
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
    fn check_index(&self, report: &mut Report) -> Result<()> {
        for row in &self.state.late.damaged {
            report.add(Damage::Record(*row));
        }
        if !self.state.late.damaged.is_empty() {
            return Ok(());
        }
        self.each_found((i64::MIN, i64::MAX), |place, versions| {
            let in_place = versions.and_then(|versions| self.is_in_place(place, &versions));
            match whole(in_place)? {
                Some(true) => report.records += 1,
                Some(false) | None => report.add(Damage::Record(place)),
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
