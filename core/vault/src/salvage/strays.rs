//! The few questions that a salvage has about the table of operations and that nobody else asks.

use crate::error::Result;
use crate::frames::Row;
use crate::oplog::{PartNo, place_in_log};
use crate::store::Store;

/// The highest index of a part.
const LAST: u64 = (1 << 12) - 1;

impl Store {
    /// The indices of the parts that are there of an op, whether it is whole or not.
    pub(super) fn indices(&self, op: i64) -> Result<Vec<u64>> {
        let mut statement = self.sql("SELECT n, v FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let mut rows = statement.query((PartNo::new(op, 0).0, PartNo::new(op, LAST).0))?;
        let mut indices = Vec::new();
        while let Some(row) = rows.next()? {
            let first = PartNo(row.get(0)?);
            let bytes = row.get_ref(1)?.as_blob()?;
            let parts = Row { first, bytes }.parts().take_while(Result::is_ok);
            indices.extend((first.index()..).zip(parts).map(|(index, _)| index));
        }
        Ok(indices)
    }

    /// The place of the last op of which anything is there in the log with this number; 0 if there is none.
    pub(super) fn highest(&self, log: u32) -> Result<u64> {
        Ok(self.last_op(log)?.map_or(0, place_in_log))
    }

    /// Forgets the parts of ops whose heads are lost.
    pub(super) fn remove_strays(&self) -> Result<()> {
        self.sql("DELETE FROM op WHERE n & ?1 != 0 AND n & ~?1 NOT IN (SELECT n FROM op)")?
            .execute([LAST.cast_signed()])?;
        Ok(())
    }
}
