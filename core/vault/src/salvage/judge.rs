//! Of which table a row is, told by what is in it: rows of several tables look alike, a number and bytes.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use twin_ops::file::{ChunkId, MAX_SEALED_CHUNK, MIN_SEALED_CHUNK};
use twin_ops::op::LogId;

use super::carve::Verdict;
use crate::error::Result;
use crate::frames::Row;
use crate::oplog::{OpHead, PartNo, log_number, op_number};
use crate::rows::{ChunkRow, LogRow};
use crate::store::Sealed;

/// Decides about rows that must be there before anything can be opened: nothing can be said of them but how they look. Of
/// rows of tries there is one.
pub(super) fn before_unlocking(table: &str, values: &mut [Value], _: bool) -> Verdict {
    match values {
        [Value::Integer(number), ..] if table != "tries" || *number == 1 => Verdict::Keep,
        _ => Verdict::Refuse,
    }
}

/// Decides about sealed rows.
pub(super) struct Items<'f> {
    file: &'f Sealed,
    whole: BTreeSet<(u8, Vec<u8>)>,
    damaged: BTreeSet<(u8, Vec<u8>)>,
}

impl<'f> Items<'f> {
    pub const fn new(file: &'f Sealed) -> Self {
        Self {
            file,
            whole: BTreeSet::new(),
            damaged: BTreeSet::new(),
        }
    }

    pub fn judge(&mut self, values: &[Value], is_own: bool) -> Verdict {
        let [Value::Integer(kind), Value::Blob(name), Value::Blob(sealed)] = values else {
            return Verdict::Refuse;
        };
        let Ok(kind) = u8::try_from(*kind) else {
            return Verdict::Refuse;
        };
        let key = (kind, name.clone());
        if self.file.is_whole_item(kind, name, sealed) {
            self.whole.insert(key);
            return Verdict::Keep;
        }
        // Elsewhere there may be what is left of any row.
        if !is_own {
            return Verdict::Refuse;
        }
        self.damaged.insert(key);
        Verdict::Lost
    }

    /// The kinds of the rows that are damaged and were not found whole, each as often as there are.
    pub fn damaged(&self) -> Vec<u8> {
        let lost = self.damaged.difference(&self.whole);
        lost.map(|(kind, _)| *kind).collect()
    }
}

/// Decides about operations, chunks and what is late.
pub(super) struct Content<'f> {
    file: &'f Sealed,
    /// The number that sealed rows say a chunk has.
    chunks: BTreeMap<ChunkId, i64>,
    numbers: BTreeSet<i64>,
    logs: BTreeMap<LogId, u32>,
}

impl<'f> Content<'f> {
    /// With what the sealed rows of `file` say.
    pub fn new(file: &'f Sealed) -> Result<Self> {
        let logs = file.items::<LogRow>()?.into_iter();
        let mut content = Self {
            file,
            chunks: BTreeMap::new(),
            numbers: BTreeSet::new(),
            logs: logs.map(|row| (row.id, row.number)).collect(),
        };
        file.each_item(|row: Result<ChunkRow>| {
            let row = row?;
            content.chunks.insert(row.id, row.number);
            content.numbers.insert(row.number);
            Ok(())
        })?;
        Ok(content)
    }

    pub fn judge(&self, table: &str, values: &mut [Value], is_own: bool) -> Verdict {
        let [Value::Integer(number), Value::Blob(bytes)] = values else {
            return Verdict::Refuse;
        };
        match table {
            "op" => self.op(number, bytes, is_own),
            "late" if self.file.is_whole_late(*number, bytes) => Verdict::Keep,
            "chunk" => self.chunk(number, bytes),
            _ => Verdict::Refuse,
        }
    }

    /// An operation's first row says which operation it is. If the number says something else, one of the two is damaged:
    /// the row has to stand back until all others are in their places.
    fn op(&self, number: &mut i64, bytes: &[u8], is_own: bool) -> Verdict {
        let read = || {
            let row = Row::opening(PartNo(*number).op(), bytes).ok()?;
            let head = row.head().and_then(OpHead::of).ok()?;
            let log = self.logs.get(&head.header.log)?;
            let op = op_number(*log, head.header.seq)?;
            Some(PartNo::new(op, row.number.index()).0)
        };
        match read() {
            Some(said) if said != *number && is_own => return Verdict::Refuse,
            Some(said) => *number = said,
            None => {}
        }
        if is_number_of_op(*number) {
            Verdict::Keep
        } else {
            Verdict::Refuse
        }
    }

    /// A chunk is what a sealed row says, whatever its number; if none does, because that row is lost, it is one unless it
    /// is something else.
    fn chunk(&self, number: &mut i64, bytes: &[u8]) -> Verdict {
        let fits = (MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&bytes.len());
        if !fits {
            return Verdict::Refuse;
        }
        if let Some(named) = self.chunks.get(&ChunkId::of(bytes)) {
            *number = *named;
            return Verdict::Keep;
        }
        if *number <= 0 || is_number_of_op(*number) {
            return Verdict::Refuse;
        }
        if self.numbers.contains(number) {
            // A sealed row misses it.
            return Verdict::Lost;
        }
        let is_derived = || {
            let keys = [&self.file.keys.rows, &self.file.keys.search];
            let aad = number.to_be_bytes();
            keys.iter().any(|key| key.open(&aad, bytes).is_ok())
        };
        if !is_derived() {
            Verdict::Keep
        } else {
            Verdict::Refuse
        }
    }
}

/// Logs are counted from 1, so that operations have far higher numbers than anything else.
fn is_number_of_op(number: i64) -> bool {
    log_number(PartNo(number).op()) > 0
}
