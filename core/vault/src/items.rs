//! The table of sealed rows: everything that is neither an op nor the index of records.
//!
//! A row is `(kind, name, v)`: name = PRF(kind ‖ natural key), v = the padded CBOR of its content, sealed with
//! (kind ‖ name) as associated data, so that no row can stand in for another.

use twin_ops::seal::{pad, unpad};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::keys::{NAME_LEN, VaultKeys};
use crate::rows::{self, Row};
use crate::store::{Sealed, Store};

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
    /// A way to unlock the vault.
    Slot = 14,
    /// An entry of the identity log that another device has seen.
    Unheard = 15,
    /// A chunk of a file.
    Chunk = 18,
    /// An add of a file that goes on.
    Adding = 19,
    /// Where an erasure is.
    Erasure = 20,
    /// An op with content missing.
    Hole = 21,
    /// Where a checkpoint is.
    Checkpoint = 24,
    /// A part of a later version.
    Later = 25,
    /// What another device is known to have.
    Heard = 26,
    /// What another device says that it has.
    Known = 27,
    /// How a relay was used.
    Relay = 28,
    /// What is remembered of a mailbox at a relay.
    Page = 29,
    /// A file of a record that is not all here.
    Absent = 30,
    /// Which content this device keeps.
    Keep = 31,
    /// A file whose record was erased, and whose chunks are still to go.
    ErasedFile = 32,
    /// A space that was left.
    Left = 33,
    /// How far what is kept for searching goes.
    Search = 17,
}

/// What rows of each kind are about, in words.
const KINDS: [(Kind, &str); 30] = [
    (Kind::Device, "this device's keys"),
    (Kind::Genesis, "the beginning of the identity log"),
    (Kind::Entry, "an entry of the identity log"),
    (Kind::Grant, "a grant of keys"),
    (Kind::Epoch, "a key of a space"),
    (Kind::Collection, "the number of a collection"),
    (Kind::Log, "how far a log goes"),
    (Kind::Clock, "this device's clock"),
    (Kind::Told, "what this device has told of others"),
    (Kind::Unread, "an operation whose key has not come"),
    (Kind::Ahead, "a change that waits for the clock"),
    (Kind::Address, "addresses of a device"),
    (Kind::Seen, "when an entry was first seen"),
    (Kind::Slot, "a way to unlock the vault"),
    (Kind::Unheard, "an entry that only others have"),
    (Kind::Search, "what is kept for searching"),
    (Kind::Chunk, "a chunk of a file"),
    (Kind::Adding, "a file that is being added"),
    (Kind::Erasure, "an erasure"),
    (Kind::Hole, "an operation with content missing"),
    (Kind::Checkpoint, "a checkpoint"),
    (Kind::Later, "a change of a later version"),
    (Kind::Heard, "what another device has"),
    (Kind::Known, "what another device says that it has"),
    (Kind::Relay, "how a relay was used"),
    (Kind::Page, "what is remembered of a mailbox"),
    (Kind::Absent, "a file that is not all here"),
    (Kind::Keep, "which content is kept here"),
    (Kind::ErasedFile, "a file that is to go"),
    (Kind::Left, "a space that was left"),
];

impl Kind {
    /// What rows of the kind with this number are about, in words.
    pub fn says(number: u8) -> &'static str {
        let mut kinds = KINDS.into_iter();
        let named = kinds.find(|(kind, _)| *kind as u8 == number);
        named.map_or("of a kind that is not known here", |(_, says)| says)
    }
}

/// How many rows are read at once where there may be no end of them.
const PAGE: u32 = 512;

/// Rows with their names.
pub(crate) type Page<T> = Vec<([u8; NAME_LEN], Result<T>)>;

const DAMAGED: VaultError = VaultError::Damaged("a sealed row");

impl Sealed {
    /// Writes a row, over the one with the same natural key.
    pub fn put<T: Row>(&self, row: &T) -> Result<()> {
        let kind = T::KIND as u8;
        let name = self.keys.name(kind, &row.natural());
        // Large enough for every row that holds a key, so that growing leaves no copy of one behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(512));
        minicbor::encode(row, &mut *plain).map_err(|_| DAMAGED)?;
        let sealed = seal(&self.keys, kind, &name, &plain)?;
        self.store.put_item(kind, &name, &sealed)
    }

    /// The row with this natural key.
    pub fn item<T: Row>(&self, natural: &[u8]) -> Result<Option<T>> {
        let name = self.keys.name(T::KIND as u8, natural);
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

    /// The rows of a kind that are whole, for whoever can do without the others: these come again, or are made anew.
    pub fn whole_items<T: Row>(&self) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.each_item(|row| match row {
            Ok(row) => {
                items.push(row);
                Ok(())
            }
            Err(VaultError::Damaged(_)) => Ok(()),
            Err(error) => Err(error),
        })?;
        Ok(items)
    }

    /// Shows all rows of a kind, one by one.
    pub fn each_item<T: Row>(&self, mut show: impl FnMut(Result<T>) -> Result<()>) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.items_after(after, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            page.into_iter().try_for_each(|(_, row)| show(row))?;
        }
    }

    /// At most `limit` rows of a kind with their names, those after the name `after`; damaged ones, too.
    pub fn items_after<T: Row>(
        &self,
        after: Option<[u8; NAME_LEN]>,
        limit: u32,
    ) -> Result<Page<T>> {
        let mut statement = self
            .store
            .sql("SELECT name, v FROM item WHERE kind = ?1 AND name > ?2 ORDER BY name LIMIT ?3")?;
        let after = after.as_ref().map_or(&[] as &[u8], |name| name);
        let mut rows = statement.query((T::KIND as u8, after, limit))?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_blob()?;
            let name = name.try_into().map_err(|_| DAMAGED)?;
            items.push((name, self.open(&name, row.get_ref(1)?.as_blob()?)));
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
        let name = self.keys.name(T::KIND as u8, natural);
        self.store
            .sql("DELETE FROM item WHERE kind = ?1 AND name = ?2")?
            .execute((T::KIND as u8, name))?;
        Ok(())
    }

    /// Removes the rows of a kind that are to go. Inside a transaction.
    pub fn remove_where<T: Row>(&self, goes: impl Fn(&T) -> bool) -> Result<()> {
        self.each_item(|row: Result<T>| {
            let row = row?;
            if goes(&row) {
                self.remove::<T>(&row.natural())?;
            }
            Ok(())
        })
    }

    /// Removes all rows of a kind.
    pub fn remove_all<T: Row>(&self) -> Result<()> {
        self.store
            .sql("DELETE FROM item WHERE kind = ?1")?
            .execute([T::KIND as u8])?;
        Ok(())
    }

    /// Whether the rows are sealed under these keys, and not under newer ones: this device's own is always there.
    pub fn fits(&self) -> Result<bool> {
        let kind = Kind::Device as u8;
        let mut statement = self
            .store
            .sql("SELECT 1 FROM item WHERE kind = ?1 AND name = ?2")?;
        Ok(statement.exists((kind, self.keys.name(kind, &[])))?)
    }

    /// Seals every row under other keys, and names it by them.
    pub fn move_items(&self, keys: &VaultKeys) -> Result<()> {
        for (kind, name) in self.store.item_names()? {
            let sealed: Vec<u8> = self
                .store
                .sql("SELECT v FROM item WHERE kind = ?1 AND name = ?2")?
                .query_row((kind, name), |row| row.get(0))?;
            let plain = open(&self.keys, kind, &name, &sealed)?;
            let natural = rows::natural(kind, &plain).ok_or(DAMAGED)?;
            self.store
                .sql("DELETE FROM item WHERE kind = ?1 AND name = ?2")?
                .execute((kind, name))?;
            let name = keys.name(kind, &natural);
            let sealed = seal(keys, kind, &name, &plain)?;
            self.store.put_item(kind, &name, &sealed)?;
        }
        Ok(())
    }

    /// Opens every row. Returns how many are whole and where they belong; shows the kind of each other.
    pub fn check_items(&self, mut damaged: impl FnMut(u8)) -> Result<u64> {
        let mut whole = 0;
        let mut statement = self.store.sql("SELECT kind, name, v FROM item")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name, sealed) = (row.get(0)?, row.get_ref(1)?, row.get_ref(2)?);
            let (name, sealed) = (name.as_blob(), sealed.as_blob());
            if name
                .is_ok_and(|name| sealed.is_ok_and(|sealed| self.is_whole_item(kind, name, sealed)))
            {
                whole += 1;
            } else {
                damaged(kind);
            }
        }
        Ok(whole)
    }

    /// Whether a row is what it was, and where it belongs.
    pub fn is_whole_item(&self, kind: u8, name: &[u8], sealed: &[u8]) -> bool {
        let in_place = || {
            let name = name.try_into().ok()?;
            let plain = open(&self.keys, kind, &name, sealed).ok()?;
            Some(self.keys.name(kind, &rows::natural(kind, &plain)?) == name)
        };
        in_place() == Some(true)
    }

    fn open<T: Row>(&self, name: &[u8; NAME_LEN], sealed: &[u8]) -> Result<T> {
        let plain = open(&self.keys, T::KIND as u8, name, sealed)?;
        minicbor::decode(&plain).map_err(|_| DAMAGED)
    }
}

impl Store {
    fn put_item(&self, kind: u8, name: &[u8; NAME_LEN], sealed: &[u8]) -> Result<()> {
        self.sql("INSERT OR REPLACE INTO item (kind, name, v) VALUES (?1, ?2, ?3)")?
            .execute((kind, name, sealed))?;
        Ok(())
    }

    fn item_names(&self) -> Result<Vec<(u8, [u8; NAME_LEN])>> {
        let mut statement = self.sql("SELECT kind, name FROM item")?;
        let names = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }
}

fn seal(keys: &VaultKeys, kind: u8, name: &[u8; NAME_LEN], plain: &[u8]) -> Result<Vec<u8>> {
    let padded = Zeroizing::new(pad(plain));
    Ok(keys.rows.seal_synthetic(&aad(kind, name), &padded)?)
}

fn open(
    keys: &VaultKeys,
    kind: u8,
    name: &[u8; NAME_LEN],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut plain = keys
        .rows
        .open(&aad(kind, name), sealed)
        .map_err(|_| DAMAGED)?;
    unpad(&mut plain).map_err(|_| DAMAGED)?;
    Ok(plain)
}

fn aad(kind: u8, name: &[u8; NAME_LEN]) -> [u8; 1 + NAME_LEN] {
    let mut aad = [kind; 1 + NAME_LEN];
    aad.iter_mut()
        .skip(1)
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    aad
}
