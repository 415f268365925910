//! The tables of ops and their parts: the truth, sealed once and stored once.

use rusqlite::types::ValueRef;
use twin_identity::aead::Salt;
use twin_ops::op::{Header, Link, Op, Part};

use crate::error::{Result, VaultError};
use crate::store::Store;

/// Bits of a part's number that are its index in its op.
const INDEX_BITS: u32 = 12;
const DAMAGED: VaultError = VaultError::Damaged("an operation");

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

/// A part as it is read, with what of its op it takes to open it.
pub(crate) struct StoredPart {
    pub number: PartNo,
    pub header: Header,
    pub salt: Salt,
    pub sealed: Vec<u8>,
}

impl StoredPart {
    /// From the columns of `part.v`, `op.header`, `op.salt`.
    pub fn read(
        number: PartNo,
        sealed: ValueRef<'_>,
        header: ValueRef<'_>,
        salt: ValueRef<'_>,
    ) -> Result<Self> {
        let bytes = |value: ValueRef<'_>| match value {
            ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Err(DAMAGED),
        };
        Ok(Self {
            number,
            header: minicbor::decode(&bytes(header)?).map_err(|_| DAMAGED)?,
            salt: bytes(salt)?.try_into().map_err(|_| DAMAGED)?,
            sealed: bytes(sealed)?,
        })
    }
}

impl Store {
    /// Stores an op as `number` (see [`Store::next_op`]) of the log with the number `log`.
    pub fn insert_op(&self, number: i64, log: u32, op: &Op) -> Result<()> {
        let seq = op.header().seq.cast_signed();
        self.sql(
            "INSERT INTO op (n, log, seq, header, signature, salt) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            number,
            log,
            seq,
            op.header_bytes(),
            op.signature(),
            op.salt(),
        ))?;
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

    /// One part.
    pub fn part(&self, number: PartNo) -> Result<StoredPart> {
        let mut statement = self.sql(
            "SELECT part.v, op.header, op.salt FROM part JOIN op ON op.n = ?2 WHERE part.n = ?1",
        )?;
        let mut rows = statement.query((number.0, number.op()))?;
        let row = rows.next()?.ok_or(DAMAGED)?;
        StoredPart::read(number, row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?)
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
        let mut statement = self.sql("SELECT n FROM op WHERE log = ?1 AND seq = ?2")?;
        let mut rows = statement.query((log, seq.cast_signed()))?;
        Ok(match rows.next()? {
            Some(row) => Some(row.get(0)?),
            None => None,
        })
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

    /// The number that the next op gets.
    pub fn next_op(&self) -> Result<i64> {
        let mut next = self.sql("SELECT coalesce(max(n), 0) + 1 FROM op")?;
        Ok(next.query_row([], |row| row.get(0))?)
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
