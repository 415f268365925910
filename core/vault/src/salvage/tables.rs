//! The tables that rows are moved into: what their rows look like, and where they begin. A file of the same version has
//! them in the same places.

use rusqlite::types::Value;

use super::btree::{Kind, StoredRow};
use crate::error::{Result, VaultError};
use crate::store::Store;

/// What can be made anew from everything else.
const DERIVED: [&str; 3] = ["rec", "past", "block"];

/// A table of the new file, which is made as the damaged one was.
pub(super) struct Table {
    pub name: String,
    pub root: u32,
    columns: Vec<Column>,
    /// Whether its rows are in the order of its own key, and have no numbers.
    pub keyed: bool,
    /// How a row is written, unless there is one with its key.
    pub insert: String,
}

/// A column.
struct Column {
    kind: String,
    /// Whether it is the number of the row, which is not stored again among the columns.
    is_number: bool,
}

impl Table {
    /// Whether all of it can be made anew from everything else.
    pub fn is_derived(&self) -> bool {
        DERIVED.contains(&self.name.as_str())
    }

    /// The values of a row, the number first if rows have one; `None` if it is no row of this table.
    pub fn values(&self, row: &StoredRow) -> Option<Vec<Value>> {
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

    /// What a page of this table is: what it says, if the table has such pages, or else one with rows.
    pub fn kind_of(&self, page: &[u8], number: u32) -> Kind {
        let kinds = if self.keyed {
            [Kind::IndexLeaf, Kind::IndexInterior]
        } else {
            [Kind::TableLeaf, Kind::TableInterior]
        };
        let [leaf, _] = kinds;
        let said = Kind::of(page, number).filter(|kind| kinds.contains(kind));
        said.unwrap_or(leaf)
    }
}

/// The tables of a file, by where they begin.
pub(super) fn tables(store: &Store) -> Result<Vec<Table>> {
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
