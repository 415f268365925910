//! The few questions that a salvage has about the table of operations and that nobody else asks.

use twin_ops::op::Op;

use crate::error::{Result, VaultError};
use crate::frames::{Row, read_part};
use crate::oplog::{PartNo, numbers, op_number};
use crate::store::Store;

impl Store {
    /// The parts that are there of an op, whether it is whole or not.
    pub(super) fn parts_left(&self, op: i64) -> Result<Vec<PartNo>> {
        let mut statement = self.sql("SELECT n, v FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let mut rows = statement.query(numbers(op))?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            let number = PartNo(row.get(0)?);
            let Ok(row) = Row::new(number, row.get_ref(1)?.as_blob()?) else {
                continue;
            };
            let whole = row.parts().take_while(Result::is_ok).count();
            parts.extend((row.first.0..).take(whole).map(PartNo));
        }
        Ok(parts)
    }

    /// The number of the newest op of a log of which the first row is here. Others may be here under numbers that are
    /// damaged.
    pub(super) fn newest_begun(&self, log: u32) -> Result<Option<i64>> {
        let mut before = self.sql("SELECT max(n) FROM op WHERE n >= ?1 AND n < ?2")?;
        let begin = |log| op_number(log, 0).map_or(i64::MAX, |op| PartNo::new(op, 0).0);
        let (first, mut end) = (begin(log), begin(log + 1));
        loop {
            let newest: Option<i64> = before.query_row((first, end), |row| row.get(0))?;
            let Some(op) = newest.map(|newest| PartNo(newest).op()) else {
                return Ok(None);
            };
            end = PartNo::new(op, 0).0;
            match self.with_row(PartNo(end), |row| Ok(row.first.index() == 0)) {
                Ok(Some(true)) => return Ok(Some(op)),
                Ok(_) | Err(VaultError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The op with this number without the rows that do not continue it: these are of another, and their numbers are
    /// damaged. They are removed if the op is whole without them; `None` if it is not.
    pub(super) fn op_alone(&self, number: i64) -> Result<Option<Op>> {
        let mut statement = self.sql("SELECT n, v FROM op WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let mut rows = statement.query(numbers(number))?;
        let mut next = PartNo::new(number, 0);
        let (mut head, mut parts, mut others) = (None, Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let number = PartNo(row.get(0)?);
            let row = match Row::new(number, row.get_ref(1)?.as_blob()?) {
                Ok(row) if row.first == next => row,
                _ => {
                    others.push(number);
                    continue;
                }
            };
            if row.first.index() == 0 {
                head = row
                    .head()
                    .ok()
                    .map(|head| (head.header.to_vec(), *head.signature, *head.salt));
            }
            for part in row.parts().map_while(Result::ok) {
                parts.push(read_part(part));
                next.0 += 1;
            }
        }
        let op = head.and_then(|(header, signature, salt)| {
            Op::from_stored(header, signature, salt, parts).ok()
        });
        if op.is_some() {
            let mut remove = self.sql("DELETE FROM op WHERE n = ?1")?;
            for other in others {
                remove.execute([other.0])?;
            }
        }
        Ok(op)
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
}
