//! What can be read of a damaged file's tables, moved row by row into the tables of a new one. Rows are authenticated by
//! what is in them; whether they are whole is asked afterwards, not here.
//!
//! A page belongs to the table from whose root it is reached. One that nothing leads to any more, because a page above it
//! is damaged, may be of any table whose columns it fits.

use rusqlite::types::Value;

use super::btree::{self, Kind, StoredRow};
use super::pages::Pages;
use crate::error::{Result, VaultError};
use crate::store::Store;

/// What can be made anew from everything else is not carried over.
const DERIVED: [&str; 3] = ["rec", "past", "block"];
/// What must be there before anything can be unlocked.
const FIRST: [&str; 2] = ["slot", "tries"];
/// How many bytes are written in one transaction.
const TRANSACTION: usize = 16 << 20;
const NOBODY: u8 = u8::MAX;

/// A table of the new file, which is made as the damaged one was.
struct Table {
    name: String,
    root: u32,
    columns: Vec<Column>,
    /// Whether its rows are in the order of its own key, and have no numbers.
    keyed: bool,
    insert: String,
}

/// A column.
struct Column {
    kind: String,
    /// Whether it is the number of the row, which is not stored again among the columns.
    is_number: bool,
}

/// Takes the tables of a damaged file to pieces.
pub(super) struct Carver<'p> {
    pages: &'p Pages,
    tables: Vec<Table>,
    /// The table that each page is of, by the page's number.
    owners: Vec<u8>,
    /// How many pages of tables that are carried over are missing.
    missing: u64,
}

/// What became of a row.
#[derive(PartialEq, Eq)]
enum Row {
    /// It is in the new table.
    Kept,
    /// It is none of this table, or another is there with its key.
    Wrong,
    /// It is not wanted.
    Unwanted,
}

impl<'p> Carver<'p> {
    /// Finds out which page is of which table; `store` is the new file.
    pub fn new(pages: &'p Pages, store: &Store) -> Result<Self> {
        let mut carver = Self {
            pages,
            tables: tables(store)?,
            owners: vec![NOBODY; pages.count() as usize + 1],
            missing: 0,
        };
        for (owner, table) in (0..).zip(&carver.tables) {
            let mut left = vec![table.root];
            while let Some(number) = left.pop() {
                match carver.owners.get_mut(number as usize) {
                    Some(there) if *there == NOBODY && number > 1 => *there = owner,
                    Some(_) if number > 0 => continue,
                    _ => {
                        carver.missing += u64::from(!is_derived(&table.name));
                        continue;
                    }
                }
                for page in pages.versions(number)? {
                    let kind = kind_in(table, &page, number);
                    // The last is read first: backwards they come in their order.
                    left.extend(btree::children(&page, number, kind).into_iter().rev());
                }
            }
        }
        Ok(carver)
    }

    /// Moves what is needed to unlock the vault.
    pub fn carve_slots(&self, store: &Store) -> Result<()> {
        self.carve(store, |table| FIRST.contains(&table), &mut |_, _, _| true)?;
        Ok(())
    }

    /// Moves everything else that is worth it and that `keep` wants, given its table, its values, and whether it surely
    /// is of that table.
    ///
    /// Returns how many rows there should be that cannot be read.
    pub fn carve_rest(
        &self,
        store: &Store,
        keep: &mut dyn FnMut(&str, &[Value], bool) -> bool,
    ) -> Result<u64> {
        let wanted = |table: &str| !FIRST.contains(&table) && !is_derived(table);
        Ok(self.carve(store, wanted, keep)? + self.missing)
    }

    fn carve(
        &self,
        store: &Store,
        wanted: impl Fn(&str) -> bool,
        keep: &mut dyn FnMut(&str, &[Value], bool) -> bool,
    ) -> Result<u64> {
        let mut unread = 0;
        let mut writer = Writer {
            store,
            written: 0,
            keep,
        };
        store.begin()?;
        // What surely is a table's comes first: of two rows with one key the first is kept.
        for (owner, table) in (0..).zip(&self.tables) {
            if !wanted(&table.name) {
                continue;
            }
            for (number, _) in (0..)
                .zip(&self.owners)
                .filter(|(_, there)| **there == owner)
            {
                for (version, page) in self.pages.versions(number)?.iter().enumerate() {
                    let kind = kind_in(table, page, number);
                    let (rows, missed) = btree::rows(self.pages, page, number, kind)?;
                    // A doubtful version may be one that never counted.
                    unread += if version == 0 { missed } else { 0 };
                    for row in rows {
                        let wrong = writer.write(table, &row, true)? == Row::Wrong;
                        unread += u64::from(wrong && row.counted && version == 0);
                    }
                }
            }
        }
        for (number, _) in (0..)
            .zip(&self.owners)
            .filter(|(_, there)| **there == NOBODY)
        {
            for page in self.pages.versions(number)? {
                let Some(kind) = Kind::of(&page, number) else {
                    continue;
                };
                for row in btree::rows(self.pages, &page, number, kind)?.0 {
                    for table in self.tables.iter().filter(|table| wanted(&table.name)) {
                        writer.write(table, &row, false)?;
                    }
                }
            }
        }
        store.commit()?;
        Ok(unread)
    }
}

fn is_derived(table: &str) -> bool {
    DERIVED.contains(&table)
}

/// Writes rows, and from time to time makes them durable, so that the log of the new file does not grow as large as it.
struct Writer<'a> {
    store: &'a Store,
    written: usize,
    keep: &'a mut dyn FnMut(&str, &[Value]) -> bool,
}

impl Writer<'_> {
    /// Writes a row, if it fits into the table and there is none with its key.
    fn write(&mut self, table: &Table, row: &StoredRow, sure: bool) -> Result<Row> {
        let Some(values) = table.values(row) else {
            return Ok(Row::Wrong);
        };
        if !(self.keep)(&table.name, &values, sure) {
            return Ok(Row::Unwanted);
        }
        let len = values.iter().map(|value| match value {
            Value::Blob(bytes) => bytes.len(),
            _ => 8,
        });
        self.written += len.sum::<usize>();
        let mut insert = self.store.sql(&table.insert)?;
        let written = insert.execute(rusqlite::params_from_iter(values))?;
        drop(insert);
        if self.written > TRANSACTION {
            self.store.commit()?;
            self.store.begin()?;
            self.written = 0;
        }
        Ok(if written == 1 { Row::Kept } else { Row::Wrong })
    }
}

impl Table {
    /// The values of a row, the number first if rows have one; `None` if it is no row of this table.
    fn values(&self, row: &StoredRow) -> Option<Vec<Value>> {
        if row.columns.len() != self.columns.len() || row.number.is_none() != self.keyed {
            return None;
        }
        let number = row.number.map(Value::Integer);
        let mut values: Vec<Value> = number.into_iter().collect();
        for (column, value) in self.columns.iter().zip(&row.columns) {
            let fits = match (column.kind.as_str(), value) {
                _ if column.is_number => *value == Value::Null,
                ("INTEGER", Value::Integer(_)) | ("BLOB", Value::Blob(_)) => true,
                ("ANY", value) => *value != Value::Null,
                _ => false,
            };
            if !fits {
                return None;
            }
            if !column.is_number {
                values.push(value.clone());
            }
        }
        Some(values)
    }
}

/// What a page of this table is: what it says, if the table has such pages, or else one with rows.
fn kind_in(table: &Table, page: &[u8], number: u32) -> Kind {
    let kinds = if table.keyed {
        [Kind::IndexLeaf, Kind::IndexInterior]
    } else {
        [Kind::TableLeaf, Kind::TableInterior]
    };
    let said = Kind::of(page, number).filter(|kind| kinds.contains(kind));
    said.unwrap_or(if table.keyed {
        Kind::IndexLeaf
    } else {
        Kind::TableLeaf
    })
}

fn tables(store: &Store) -> Result<Vec<Table>> {
    let mut statement = store.sql(
        "SELECT t.name, t.wr, s.rootpage FROM pragma_table_list AS t JOIN sqlite_schema AS s ON s.name = t.name
         WHERE t.schema = 'main' AND s.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY s.rootpage",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(String, bool, u32)> = rows.collect::<rusqlite::Result<_>>()?;
    rows.into_iter()
        .map(|(name, keyed, root)| table(store, name, keyed, root))
        .collect()
}

fn table(store: &Store, name: String, keyed: bool, root: u32) -> Result<Table> {
    // The key's columns come first where it is the table's order.
    let mut statement = store.sql(
        "SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY CASE WHEN ?2 AND pk > 0 THEN pk ELSE 1000 + cid END",
    )?;
    let rows = statement.query_map((&name, keyed), |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let rows: Vec<(String, String, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let keys = rows.iter().filter(|(.., key)| *key > 0).count();
    let mut names = Vec::new();
    let mut columns = Vec::new();
    if !keyed {
        names.push("rowid".to_owned());
    }
    for (column, kind, key) in rows {
        let is_number = !keyed && keys == 1 && key == 1 && kind == "INTEGER";
        if !is_number {
            names.push(column);
        }
        columns.push(Column { kind, is_number });
    }
    if names.is_empty() || columns.is_empty() {
        return Err(VaultError::Damaged("its tables"));
    }
    let marks = vec!["?"; names.len()].join(", ");
    let insert = format!(
        "INSERT OR IGNORE INTO {name} ({}) VALUES ({marks})",
        names.join(", ")
    );
    Ok(Table {
        name,
        root,
        columns,
        keyed,
        insert,
    })
}
