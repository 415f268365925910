//! The few questions that a salvage has about the tables of operations and that nobody else asks.

use crate::error::Result;
use crate::oplog::{PartNo, op_number};
use crate::store::Store;

/// The highest index of a part.
const LAST: u64 = (1 << 12) - 1;

impl Store {
    /// The indices of the parts that are there of an op, whether it is whole or not.
    pub(super) fn indices(&self, op: i64) -> Result<Vec<u64>> {
        let mut statement = self.sql("SELECT n FROM part WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let range = (PartNo::new(op, 0).0, PartNo::new(op, LAST).0);
        let parts = statement.query_map(range, |row| Ok(PartNo(row.get(0)?).index()))?;
        Ok(parts.collect::<rusqlite::Result<_>>()?)
    }

    /// The place of the last op that is there of the log with this number; 0 if there is none.
    pub(super) fn highest(&self, log: u32) -> Result<u64> {
        let (Some(first), Some(end)) = (op_number(log, 0), op_number(log + 1, 0)) else {
            return Ok(0);
        };
        let mut last = self.sql("SELECT max(n) FROM op WHERE n > ?1 AND n < ?2")?;
        let last: Option<i64> = last.query_row((first, end), |row| row.get(0))?;
        Ok(last.map_or(0, |last| (last - first).unsigned_abs()))
    }

    /// Forgets the parts that are of no op that is there.
    pub(super) fn remove_strays(&self) -> Result<()> {
        self.sql("DELETE FROM part WHERE n >> 12 NOT IN (SELECT n FROM op)")?
            .execute([])?;
        Ok(())
    }
}
