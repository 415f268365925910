//! The few questions that a salvage has about the table of operations and that nobody else asks.

use crate::error::Result;
use crate::frames::Row;
use crate::oplog::{PartNo, op_number};
use crate::store::Store;

/// The numbers of the first and the last part that an op can have.
const fn numbers(op: i64) -> (i64, i64) {
    (PartNo::new(op, 0).0, PartNo::new(op + 1, 0).0 - 1)
}

impl Store {
    /// The parts that are there of an op, whether it is whole or not.
    pub(super) fn parts_left(&self, op: i64) -> Result<Vec<PartNo>> {
        let mut statement = self.sql("SELECT n, v FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let mut rows = statement.query(numbers(op))?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            let row = Row {
                first: PartNo(row.get(0)?),
                bytes: row.get_ref(1)?.as_blob()?,
            };
            let whole = row.parts().take_while(Result::is_ok).count();
            parts.extend((row.first.0..).take(whole).map(PartNo));
        }
        Ok(parts)
    }

    /// Copies what is there of an op into another file.
    pub(super) fn copy_op(&self, op: i64, to: &Self) -> Result<()> {
        let mut statement = self.sql("SELECT n, v FROM op WHERE n BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query(numbers(op))?;
        let mut insert = to.sql("INSERT OR IGNORE INTO op (n, v) VALUES (?1, ?2)")?;
        while let Some(row) = rows.next()? {
            let n: i64 = row.get(0)?;
            insert.execute((n, row.get_ref(1)?.as_blob()?))?;
        }
        Ok(())
    }

    /// Forgets the rows whose numbers are those of no op.
    pub(super) fn remove_strays(&self) -> Result<()> {
        let first = op_number(1, 0).map(|op| PartNo::new(op, 0).0);
        self.sql("DELETE FROM op WHERE n < ?1")?.execute([first])?;
        Ok(())
    }
}
