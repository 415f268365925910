//! The tables of ops and their parts: the truth, sealed once and stored once.
//!
//! An op's number is that of its log and its place there, so that a run of ops is a run of rows, and no index is needed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use twin_identity::aead::Salt;
use twin_ops::op::{Header, Link, Op, Part};

use crate::error::{Result, VaultError};
use crate::store::Store;

/// Bits of a part's number that are its index in its op.
const INDEX_BITS: u32 = 12;
/// Bits of an op's number that are its place in its log.
const SEQ_BITS: u32 = 37;
/// The highest number of a log: it, a place and an index fit into 63 bits.
pub(crate) const MAX_LOG: u32 = (1 << (63 - SEQ_BITS - INDEX_BITS)) - 1;
/// The highest place in a log: far more than a device writes in a lifetime.
const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;
const DAMAGED: VaultError = VaultError::Damaged("an operation");

/// The number of the op at `seq` of the log with the number `log`; `None` if there can be none.
pub(crate) fn op_number(log: u32, seq: u64) -> Option<i64> {
    let fits = log <= MAX_LOG && seq <= MAX_SEQ;
    fits.then_some((i64::from(log) << SEQ_BITS) | seq.cast_signed())
}

/// The number of the log that an op is in, from the op's.
pub(crate) fn log_number(op: i64) -> u32 {
    u32::try_from(op >> SEQ_BITS).unwrap_or(0)
}

/// A part's number: its op's number, then 12 bits of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartNo(pub i64);

impl PartNo {
    /// The part at `index` of an op.
    pub const fn new(op: i64, index: u64) -> Self {
        Self((op << INDEX_BITS) | index.cast_signed())
    }

    /// The op's number.
    pub const fn op(self) -> i64 {
        self.0 >> INDEX_BITS
    }

    /// The index in the op.
    pub const fn index(self) -> u64 {
        (self.0 & ((1 << INDEX_BITS) - 1)).cast_unsigned()
    }
}

/// What of an op it takes to open its parts.
#[derive(Clone)]
pub(crate) struct OpHead {
    pub header: Header,
    pub salt: Salt,
}

/// The heads of ops whose parts were read lately, so that a page of records does not look for each part's op anew.
#[derive(Default)]
pub(crate) struct OpHeads(RefCell<HashMap<i64, Arc<OpHead>>>);

/// How many heads are remembered.
const MAX_HEADS: usize = 1024;

impl OpHeads {
    /// The head of the op with this number.
    pub fn get(&self, store: &Store, number: i64) -> Result<Arc<OpHead>> {
        if let Some(known) = self.0.borrow().get(&number) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(store.head(number)?);
        let mut heads = self.0.borrow_mut();
        if heads.len() >= MAX_HEADS {
            heads.clear();
        }
        heads.insert(number, Arc::clone(&read));
        Ok(read)
    }

    /// Forgets them all, when ops are replaced.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Store {
    /// Stores an op as `number` (see [`op_number`]).
    pub fn insert_op(&self, number: i64, op: &Op) -> Result<()> {
        self.sql("INSERT INTO op (n, header, signature, salt) VALUES (?1, ?2, ?3, ?4)")?
            .execute((number, op.header_bytes(), op.signature(), op.salt()))?;
        let mut insert = self.sql("INSERT INTO part (n, v) VALUES (?1, ?2)")?;
        for (index, part) in (0..).zip(op.parts()) {
            let Part::Sealed(sealed) = part else {
                return Err(VaultError::Incomplete);
            };
            insert.execute((PartNo::new(number, index).0, sealed))?;
        }
        Ok(())
    }

    /// Forgets an op and its parts.
    pub fn remove_op(&self, number: i64) -> Result<()> {
        let last = (1 << INDEX_BITS) - 1;
        self.sql("DELETE FROM part WHERE n BETWEEN ?1 AND ?2")?
            .execute((PartNo::new(number, 0).0, PartNo::new(number, last).0))?;
        self.sql("DELETE FROM op WHERE n = ?1")?.execute([number])?;
        Ok(())
    }

    /// One part, sealed.
    pub fn part(&self, number: PartNo) -> Result<Vec<u8>> {
        let mut statement = self.sql("SELECT v FROM part WHERE n = ?1")?;
        let mut rows = statement.query([number.0])?;
        let row = rows.next()?.ok_or(DAMAGED)?;
        Ok(row.get_ref(0)?.as_blob()?.to_vec())
    }

    fn head(&self, number: i64) -> Result<OpHead> {
        let mut statement = self.sql("SELECT header, salt FROM op WHERE n = ?1")?;
        let mut rows = statement.query([number])?;
        let row = rows.next()?.ok_or(DAMAGED)?;
        Ok(OpHead {
            header: minicbor::decode(row.get_ref(0)?.as_blob()?).map_err(|_| DAMAGED)?,
            salt: row.get_ref(1)?.as_blob()?.try_into().map_err(|_| DAMAGED)?,
        })
    }

    /// The op with this number, its parts checked against its header.
    pub fn op(&self, number: i64) -> Result<Op> {
        let mut statement = self.sql("SELECT header, signature, salt FROM op WHERE n = ?1")?;
        let mut rows = statement.query([number])?;
        let row = rows.next()?.ok_or(DAMAGED)?;
        let header = row.get(0)?;
        let (signature, salt) = (row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob()?);
        Op::from_stored(
            header,
            signature.try_into().map_err(|_| DAMAGED)?,
            salt.try_into().map_err(|_| DAMAGED)?,
            self.parts(number)?,
        )
        .map_err(|_| DAMAGED)
    }

    fn parts(&self, op: i64) -> Result<Vec<Part>> {
        let mut statement =
            self.sql("SELECT n, v FROM part WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let last = (1 << INDEX_BITS) - 1;
        let mut rows = statement.query((PartNo::new(op, 0).0, PartNo::new(op, last).0))?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)? != PartNo::new(op, parts.len() as u64).0 {
                return Err(DAMAGED);
            }
            parts.push(Part::Sealed(row.get(1)?));
        }
        Ok(parts)
    }

    /// The number of the op at `seq` of a log.
    pub fn op_at(&self, log: u32, seq: u64) -> Result<Option<i64>> {
        let Some(number) = op_number(log, seq) else {
            return Ok(None);
        };
        let there = self
            .sql("SELECT 1 FROM op WHERE n = ?1")?
            .exists([number])?;
        Ok(there.then_some(number))
    }

    /// The number of the op stored next after `number`.
    pub fn op_after(&self, number: i64) -> Result<Option<i64>> {
        let mut next = self.sql("SELECT min(n) FROM op WHERE n > ?1")?;
        Ok(next.query_row([number], |row| row.get(0))?)
    }

    /// The header of the op with this number.
    pub fn header(&self, number: i64) -> Result<Header> {
        let mut statement = self.sql("SELECT header FROM op WHERE n = ?1")?;
        let mut rows = statement.query([number])?;
        let row = rows.next()?.ok_or(DAMAGED)?;
        minicbor::decode(row.get_ref(0)?.as_blob()?).map_err(|_| DAMAGED)
    }

    /// Shows the header of every op, in no order.
    pub fn each_header(&self, mut show: impl FnMut(&Header) -> Result<()>) -> Result<()> {
        let mut statement = self.sql("SELECT header FROM op")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            show(&minicbor::decode(row.get_ref(0)?.as_blob()?).map_err(|_| DAMAGED)?)?;
        }
        Ok(())
    }

    /// The link of the op with this number.
    pub fn link(&self, number: i64) -> Result<Link> {
        let mut statement = self.sql("SELECT header, signature FROM op WHERE n = ?1")?;
        let mut rows = statement.query([number])?;
        let row = rows.next()?.ok_or(DAMAGED)?;
        let (header, signature) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        let signature = signature.try_into().map_err(|_| DAMAGED)?;
        Ok(Link::of(header, signature))
    }
}
