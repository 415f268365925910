//! The table of sealed rows: everything that is neither an op nor the index of records.
//!
//! A row is `(kind, name, v)`: name = PRF(kind ‖ natural key), v = the padded CBOR of its content, sealed with
//! (kind ‖ name) as associated data, so that no row can stand in for another.

use twin_ops::seal::{pad, unpad};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::keys::NAME_LEN;
use crate::rows::Row;
use crate::store::Sealed;

/// What a sealed row is about. The numbers are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// This device's keys.
    Device = 1,
    /// The genesis of the twin.
    Genesis = 2,
    /// An entry of the identity log.
    Entry = 3,
    /// A grant.
    Grant = 4,
    /// A space's epoch.
    Epoch = 5,
    /// The number of a collection.
    Collection = 6,
    /// A log: who writes it and how far it goes.
    Log = 7,
    /// This device's clock.
    Clock = 8,
    /// What this device's last op in a space told of what it has seen.
    Told = 9,
    /// An op whose epoch is not known yet.
    Unread = 10,
    /// A part stamped too far ahead.
    Ahead = 11,
    /// Where a device was reached.
    Address = 12,
    /// When an entry of the identity log was first seen.
    Seen = 13,
}

const DAMAGED: VaultError = VaultError::Damaged("a sealed row");

impl Sealed {
    /// Writes a row, over the one with the same natural key.
    pub fn put<T: Row>(&self, row: &T) -> Result<()> {
        let kind = T::KIND;
        let name = self.keys.name(kind, &row.natural());
        // Large enough for every row that holds a key, so that growing leaves no copy of one behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(512));
        minicbor::encode(row, &mut *plain).map_err(|_| DAMAGED)?;
        let padded = Zeroizing::new(pad(&plain));
        let sealed = self.keys.rows.seal_synthetic(&aad(kind, &name), &padded)?;
        self.store
            .sql("INSERT OR REPLACE INTO item (kind, name, v) VALUES (?1, ?2, ?3)")?
            .execute((kind as u8, name, sealed))?;
        Ok(())
    }

    /// The row with this natural key.
    pub fn item<T: Row>(&self, natural: &[u8]) -> Result<Option<T>> {
        let name = self.keys.name(T::KIND, natural);
        let mut statement = self
            .store
            .sql("SELECT v FROM item WHERE kind = ?1 AND name = ?2")?;
        let mut rows = statement.query((T::KIND as u8, name))?;
        match rows.next()? {
            Some(row) => self.open(&name, row.get_ref(0)?.as_blob()?).map(Some),
            None => Ok(None),
        }
    }

    /// All rows of a kind.
    pub fn items<T: Row>(&self) -> Result<Vec<T>> {
        let mut statement = self
            .store
            .sql("SELECT name, v FROM item WHERE kind = ?1 ORDER BY name")?;
        let mut rows = statement.query([T::KIND as u8])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_blob()?;
            let name = name.try_into().map_err(|_| DAMAGED)?;
            items.push(self.open(&name, row.get_ref(1)?.as_blob()?)?);
        }
        Ok(items)
    }

    /// How many rows of a kind there are.
    pub fn count<T: Row>(&self) -> Result<usize> {
        let count: i64 = self
            .store
            .sql("SELECT count(*) FROM item WHERE kind = ?1")?
            .query_row([T::KIND as u8], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| DAMAGED)
    }

    /// Removes a row.
    pub fn remove<T: Row>(&self, natural: &[u8]) -> Result<()> {
        let name = self.keys.name(T::KIND, natural);
        self.store
            .sql("DELETE FROM item WHERE kind = ?1 AND name = ?2")?
            .execute((T::KIND as u8, name))?;
        Ok(())
    }

    fn open<T: Row>(&self, name: &[u8; NAME_LEN], sealed: &[u8]) -> Result<T> {
        let aad = aad(T::KIND, name);
        let mut plain = self.keys.rows.open(&aad, sealed).map_err(|_| DAMAGED)?;
        unpad(&mut plain).map_err(|_| DAMAGED)?;
        minicbor::decode(&plain).map_err(|_| DAMAGED)
    }
}

fn aad(kind: Kind, name: &[u8; NAME_LEN]) -> [u8; 1 + NAME_LEN] {
    let mut aad = [kind as u8; 1 + NAME_LEN];
    aad.iter_mut()
        .skip(1)
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    aad
}
