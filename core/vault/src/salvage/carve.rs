//! What can be read of a damaged file's tables, moved row by row into the tables of a new one. Rows are authenticated by
//! what is in them; whether they are whole is asked afterwards, not here.
//!
//! A page belongs to the table from whose root it is reached. A row in a page that nothing leads to any more, because one
//! above it is damaged, and a row that its own table does not want, may be of any table whose columns it fits: what is in
//! it decides.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::btree::{self, Kind, StoredRow};
use super::pages::{Layer, Pages};
use super::tables::{Table, tables};
use crate::error::Result;
use crate::store::Store;

/// How many bytes are written in one transaction.
const TRANSACTION: usize = 16 << 20;
const NOBODY: u8 = u8::MAX;

/// Takes the tables of a damaged file to pieces.
pub(super) struct Carver<'p> {
    pages: &'p Pages,
    tables: Vec<Table>,
    /// The table that each page is of, by the page's number.
    owners: BTreeMap<u32, u8>,
    /// How many pages of tables that cannot be made anew are missing.
    missing: u64,
}

/// What a table makes of a row that it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one of its rows.
    Keep,
    /// It is, but damaged, and whoever decided so names it among what is lost.
    Lost,
    /// It is none of its rows.
    Refuse,
}

/// Decides about a row that is offered to a table: given its name, the values, which may be put right, and whether the row
/// is in a page of that table.
pub(super) type Judge<'j> = &'j mut dyn FnMut(&str, &mut [Value], bool) -> Verdict;

/// What became of a row.
#[derive(PartialEq, Eq)]
enum Row {
    /// It is in the new table, or named.
    Settled,
    /// Another is there with its key.
    Taken,
    /// It is none of this table.
    Refused,
}

impl<'p> Carver<'p> {
    /// Finds out which page is of which table; `store` is the new file.
    pub fn new(pages: &'p Pages, store: &Store) -> Result<Self> {
        let mut carver = Self {
            pages,
            tables: tables(store)?,
            owners: pages.numbers().map(|number| (number, NOBODY)).collect(),
            missing: 0,
        };
        // Where tables begin is certain; what a damaged page leads to must not take it away from them.
        for (owner, table) in (0..).zip(&carver.tables) {
            match carver.owners.get_mut(&table.root) {
                Some(root) => *root = owner,
                None => carver.missing += u64::from(!table.is_derived()),
            }
        }
        for (owner, table) in (0..).zip(&carver.tables) {
            let mut left = carver.below(table, table.root)?;
            while let Some(number) = left.pop() {
                match carver.owners.get_mut(&number) {
                    Some(there) if *there == NOBODY && number > 1 => *there = owner,
                    Some(_) => continue,
                    None => {
                        carver.missing += u64::from(!table.is_derived());
                        continue;
                    }
                }
                left.extend(carver.below(table, number)?);
            }
        }
        Ok(carver)
    }

    /// How many pages of tables that cannot be made anew are missing.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// The pages below one of a table's, the last first, for it is taken up last.
    fn below(&self, table: &Table, number: u32) -> Result<Vec<u32>> {
        let mut below = Vec::new();
        for (_, page) in self.pages.versions(number)? {
            let kind = table.kind_of(&page, number);
            below.extend(btree::children(&page, number, kind).into_iter().rev());
        }
        Ok(below)
    }

    /// Moves the rows of these tables that `judge` keeps. Returns how many there should be that cannot be read, and are
    /// not named.
    pub fn carve(&self, store: &Store, tables: &[&str], judge: Judge<'_>) -> Result<u64> {
        let wanted: Vec<(u8, &Table)> = (0..)
            .zip(&self.tables)
            .filter(|(_, table)| tables.contains(&table.name.as_str()))
            .collect();
        let mut writer = Writer {
            store,
            written: 0,
            judge,
        };
        store.begin()?;
        // What is in pages of its own table comes first: of two rows with one key the first is kept.
        let (mut unread, mut refused) = (0, BTreeMap::new());
        for (owner, table) in &wanted {
            for (number, _) in self.owners.iter().filter(|(_, there)| *there == owner) {
                unread += self.carve_own(table, *number, &mut writer, &mut refused)?;
            }
        }
        for (&number, owner) in &self.owners {
            let of = wanted.iter().find(|(wanted, _)| wanted == owner);
            let of = of.map(|(_, table)| *table);
            let found = self.carve_strays(&wanted, of, number, &mut writer, &refused)?;
            if let Some(refused) = refused.get_mut(&number) {
                *refused = refused.saturating_sub(found);
            }
        }
        store.commit()?;
        Ok(unread + refused.values().sum::<u64>())
    }

    /// Moves the rows that a page of `table` counts. Returns how many cannot be read, and notes in `refused` how many the
    /// table does not want.
    fn carve_own(
        &self,
        table: &Table,
        number: u32,
        writer: &mut Writer<'_, '_>,
        refused: &mut BTreeMap<u32, u64>,
    ) -> Result<u64> {
        let mut unread = 0;
        for (layer, page) in self.pages.versions(number)? {
            let kind = table.kind_of(&page, number);
            let (rows, missed) = btree::rows(self.pages, &page, number, kind, layer, true)?;
            // Another version may be one that never counted.
            let counts = layer == Layer::Sound;
            // SQLite leaves no page but the first of a table without rows.
            let is_empty = rows.is_empty() && !kind.is_interior() && number != table.root;
            let missed = missed.max(u64::from(is_empty));
            unread += if counts { missed } else { 0 };
            for row in rows.iter().filter(|row| row.counted) {
                match writer.write(table, row, true)? {
                    Row::Settled => {}
                    // Of pages from behind damage in the log two may be the same one at different times.
                    Row::Taken => unread += u64::from(counts && !self.pages.is_log_damaged()),
                    Row::Refused => *refused.entry(number).or_default() += u64::from(counts),
                }
            }
        }
        Ok(unread)
    }

    /// Moves rows of a page that its own table, `of`, has not taken: those that it refused or the page does not count, or
    /// all if the page is of no table that is wanted now. Returns how many were found that are counted.
    fn carve_strays(
        &self,
        wanted: &[(u8, &Table)],
        of: Option<&Table>,
        number: u32,
        writer: &mut Writer<'_, '_>,
        refused: &BTreeMap<u32, u64>,
    ) -> Result<u64> {
        let mut found = 0;
        for (layer, page) in self.pages.versions(number)? {
            let said = Kind::of(&page, number);
            let own = of.map(|table| table.kind_of(&page, number));
            for kind in own
                .into_iter()
                .chain(said.filter(|said| own != Some(*said)))
            {
                let fits = |table: &&Table| table.keyed != kind.is_table();
                if !wanted.iter().any(|(_, table)| fits(table)) {
                    continue;
                }
                let all = own != Some(kind) || refused.contains_key(&number);
                let (rows, _) = btree::rows(self.pages, &page, number, kind, layer, all)?;
                for row in &rows {
                    for (_, table) in wanted.iter().filter(|(_, table)| fits(table)) {
                        if writer.write(table, row, false)? == Row::Settled {
                            found += u64::from(row.counted && layer == Layer::Sound);
                            break;
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Writes rows, and from time to time makes them durable, so that the log of the new file does not grow as large as it.
struct Writer<'w, 'j> {
    store: &'w Store,
    written: usize,
    judge: Judge<'j>,
}

impl Writer<'_, '_> {
    /// Writes a row, if it is of the table and there is none with its key; `is_own` if it is in a page of the table.
    fn write(&mut self, table: &Table, row: &StoredRow, is_own: bool) -> Result<Row> {
        let Some(mut values) = table.values(row) else {
            return Ok(Row::Refused);
        };
        match (self.judge)(&table.name, &mut values, is_own) {
            Verdict::Keep => {}
            Verdict::Lost => return Ok(Row::Settled),
            Verdict::Refuse => return Ok(Row::Refused),
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
        Ok(if written == 1 {
            Row::Settled
        } else {
            Row::Taken
        })
    }
}
