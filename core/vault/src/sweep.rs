//! Removing what a checkpoint supersedes: in pieces, so that neither the WAL nor a lock grows with how much there is.

use crate::error::Result;
use crate::index::parts_in;
use crate::oplog::{PartNo, op_number};
use crate::rows::{AheadRow, ErasureRow, HoleRow, LaterRow, Row, UnreadRow};
use crate::standing::is_within;
use crate::store::Store;
use crate::vault::Vault;

/// About how many bytes go in one transaction.
const PIECE: i64 = 4 << 20;

impl Store {
    /// Where the records are that depend on a part in these ranges; `None` if they are more than `most`.
    pub fn in_use(&self, ranges: &[(PartNo, PartNo)], most: usize) -> Result<Option<Vec<i64>>> {
        let mut statement = self.sql("SELECT k, p FROM rec")?;
        let mut rows = statement.query([])?;
        let mut places = Vec::new();
        while let Some(row) = rows.next()? {
            let parts = parts_in(row.get_ref(1)?)?;
            if parts.iter().any(|part| is_within(*part, ranges)) {
                if places.len() == most {
                    return Ok(None);
                }
                places.push(row.get(0)?);
            }
        }
        Ok(Some(places))
    }

    /// Forgets the past parts in a range, of all records.
    fn remove_past_within(&self, (first, last): (PartNo, PartNo)) -> Result<()> {
        self.sql("DELETE FROM past WHERE p BETWEEN ?1 AND ?2")?
            .execute((first.0, last.0))?;
        Ok(())
    }

    /// Of the ops `first` to `last` the last of those that have about so many bytes of parts together; `None` if there
    /// are none at all.
    fn piece(&self, first: i64, last: i64, bytes: i64) -> Result<Option<i64>> {
        let mut parts =
            self.sql("SELECT n, length(v) FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let range = (PartNo::new(first, 0).0, PartNo::new(last + 1, 0).0 - 1);
        let mut rows = parts.query(range)?;
        let (mut end, mut sum) = (None, 0);
        while let Some(row) = rows.next()? {
            end = Some(PartNo(row.get(0)?).op());
            sum += row.get::<_, i64>(1)?;
            if sum >= bytes {
                break;
            }
        }
        Ok(end)
    }

    /// Forgets the ops `first` to `last` and their parts.
    fn remove_ops(&self, first: i64, last: i64) -> Result<()> {
        self.sql("DELETE FROM op WHERE n BETWEEN ?1 AND ?2")?
            .execute((PartNo::new(first, 0).0, PartNo::new(last + 1, 0).0 - 1))?;
        Ok(())
    }
}

impl Vault {
    /// Removes some of the ops that checkpoints supersede, if there are any; `true` if there may be more. To be called
    /// when nothing else is to be done. After the last of them the file gives back what it no longer needs.
    pub fn sweep(&mut self) -> Result<bool> {
        self.catch_up()?;
        if self.next_piece()?.is_none() {
            return Ok(false);
        }
        self.write(Self::sweep_piece)?;
        let more = self.next_piece()?.is_some();
        if !more {
            self.file.store.give_back()?;
        }
        Ok(more)
    }

    /// The next ops that are superseded.
    fn next_piece(&self) -> Result<Option<(i64, i64)>> {
        for (id, log) in &self.state.logs {
            let superseded = self.superseded(id);
            if superseded == 0 {
                continue;
            }
            let (Some(first), Some(last)) =
                (op_number(log.number, 1), op_number(log.number, superseded))
            else {
                continue;
            };
            if let Some(end) = self.file.store.piece(first, last, PIECE)? {
                return Ok(Some((first, end)));
            }
        }
        Ok(None)
    }

    fn sweep_piece(&mut self) -> Result<()> {
        if let Some((first, last)) = self.next_piece()? {
            self.file.store.remove_ops(first, last)?;
            self.state.forget_ops();
            // It is gone from the file, and so it is to be from what was written ahead of it.
            self.wipe = true;
        }
        Ok(())
    }

    /// Removes all that is superseded; whether there was anything. Inside a transaction.
    pub(crate) fn sweep_all(&mut self) -> Result<bool> {
        let mut any = false;
        while self.next_piece()?.is_some() {
            self.sweep_piece()?;
            any = true;
        }
        Ok(any)
    }

    /// Forgets what is known of parts in these ranges beside the ops themselves. Inside a transaction.
    pub(crate) fn forget_superseded(&mut self, ranges: &[(PartNo, PartNo)]) -> Result<()> {
        let within = |part: i64| is_within(PartNo(part), ranges);
        for range in ranges {
            self.file.store.remove_past_within(*range)?;
        }
        let part = |op: i64| PartNo::new(op, 0).0;
        self.file
            .remove_where::<UnreadRow>(|row| within(part(row.op)))?;
        self.file.remove_where::<AheadRow>(|row| within(row.part))?;
        self.file
            .remove_where::<ErasureRow>(|row| within(row.part))?;
        self.file.remove_where::<LaterRow>(|row| within(row.part))?;
        self.state.ahead.retain(|(_, part)| !within(part.0));
        self.forget_checkpoints(|part| within(part.0))?;
        let logs = &self.state.logs;
        let op = |hole: &twin_ops::store::Hole| {
            let log = logs.get(&hole.log)?;
            op_number(log.number, hole.seq)
        };
        let filled = |hole: &twin_ops::store::Hole| op(hole).is_some_and(|op| within(part(op)));
        let gone = self.state.holes.extract_if(.., filled);
        for hole in gone {
            self.file.remove::<HoleRow>(&HoleRow { hole }.natural())?;
        }
        self.state.forget_ops();
        Ok(())
    }
}
