//! The tables of ops and their parts: the truth, sealed once and stored once.
//!
//! An op's number is that of its log and its place there, so that a run of ops is a run of rows, and no index is needed.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use twin_identity::aead::Salt;
use twin_identity::context::HASH_LEN;
use twin_ops::op::{Header, Link, Op, Part, PartHash};

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

/// The place in its log of an op, from the op's number.
pub(crate) const fn place_in_log(op: i64) -> u64 {
    op.cast_unsigned() & MAX_SEQ
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

/// A part as it is stored: what is sealed is longer than a hash.
fn stored(part: &Part) -> &[u8] {
    match part {
        Part::Sealed(sealed) => sealed,
        Part::Dropped(hash) => hash.as_bytes(),
    }
}

fn read_part(v: Vec<u8>) -> Part {
    match <[u8; HASH_LEN]>::try_from(v.as_slice()) {
        Ok(hash) => Part::Dropped(PartHash::from_bytes(hash)),
        Err(_) => Part::Sealed(v),
    }
}

impl Store {
    /// Stores an op as `number` (see [`op_number`]).
    pub fn insert_op(&self, number: i64, op: &Op) -> Result<()> {
        self.sql("INSERT INTO op (n, header, signature, salt) VALUES (?1, ?2, ?3, ?4)")?
            .execute((number, op.header_bytes(), op.signature(), op.salt()))?;
        let mut insert = self.sql("INSERT INTO part (n, v) VALUES (?1, ?2)")?;
        for (index, part) in (0..).zip(op.parts()) {
            insert.execute((PartNo::new(number, index).0, stored(part)))?;
        }
        Ok(())
    }

    /// Puts a part in the place of what is there of it: its content, or the hash that is left of it.
    pub fn replace_part(&self, number: PartNo, part: &Part) -> Result<()> {
        self.sql("UPDATE part SET v = ?2 WHERE n = ?1")?
            .execute((number.0, stored(part)))?;
        Ok(())
    }

    /// The indices of the parts of an op whose content is not there.
    pub fn dropped(&self, op: i64) -> Result<Vec<u16>> {
        let last = (1 << INDEX_BITS) - 1;
        let mut statement =
            self.sql("SELECT n FROM part WHERE n BETWEEN ?1 AND ?2 AND length(v) = 32")?;
        let range = (PartNo::new(op, 0).0, PartNo::new(op, last).0);
        let parts = statement.query_map(range, |row| Ok(PartNo(row.get(0)?).index()))?;
        let parts: Vec<u64> = parts.collect::<rusqlite::Result<_>>()?;
        Ok(parts
            .into_iter()
            .filter_map(|index| u16::try_from(index).ok())
            .collect())
    }

    /// The numbers of all ops that have a part without content.
    pub fn ops_with_holes(&self) -> Result<BTreeSet<i64>> {
        let mut statement = self.sql("SELECT n FROM part WHERE length(v) = 32")?;
        let ops = statement.query_map([], |row| Ok(PartNo(row.get(0)?).op()))?;
        Ok(ops.collect::<rusqlite::Result<_>>()?)
    }

    /// Forgets an op and its parts.
    pub fn remove_op(&self, number: i64) -> Result<()> {
        let last = (1 << INDEX_BITS) - 1;
        self.sql("DELETE FROM part WHERE n BETWEEN ?1 AND ?2")?
            .execute((PartNo::new(number, 0).0, PartNo::new(number, last).0))?;
        self.sql("DELETE FROM op WHERE n = ?1")?.execute([number])?;
        Ok(())
    }

    /// One part, sealed; damaged if its content is not there.
    pub fn part(&self, number: PartNo) -> Result<Vec<u8>> {
        match self.part_if_any(number)? {
            Some(Part::Sealed(sealed)) => Ok(sealed),
            Some(Part::Dropped(_)) | None => Err(DAMAGED),
        }
    }

    /// What is there of a part; `None` if there is no such part.
    pub fn part_if_any(&self, number: PartNo) -> Result<Option<Part>> {
        let mut statement = self.sql("SELECT v FROM part WHERE n = ?1")?;
        let mut rows = statement.query([number.0])?;
        match rows.next()? {
            Some(row) => Ok(Some(read_part(row.get(0)?))),
            None => Ok(None),
        }
    }

    /// What it takes to open the parts of the op with this number.
    pub fn head(&self, number: i64) -> Result<OpHead> {
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

    /// The parts of the op with this number.
    pub fn parts(&self, op: i64) -> Result<Vec<Part>> {
        let mut statement =
            self.sql("SELECT n, v FROM part WHERE n BETWEEN ?1 AND ?2 ORDER BY n")?;
        let last = (1 << INDEX_BITS) - 1;
        let mut rows = statement.query((PartNo::new(op, 0).0, PartNo::new(op, last).0))?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)? != PartNo::new(op, parts.len() as u64).0 {
                return Err(DAMAGED);
            }
            parts.push(read_part(row.get(1)?));
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
