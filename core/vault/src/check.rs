//! Looking through all that a vault holds. What is damaged is named; nothing is changed.
//!
//! `damage`: what there is to be named; `logs`: whether operations continue one another; `index`: whether what is made of
//! them shows what they say.

mod damage;
mod index;
mod logs;

use std::path::Path;

use twin_identity::entry::Genesis;

pub use self::damage::Damage;
use self::logs::Chain;
use crate::error::{Result, VaultError};
use crate::items::Kind;
use crate::keys::VaultKeys;
use crate::rows::{GenesisRow, LogRow, SlotRow};
use crate::slots::{self, Unlock};
use crate::state::Log;
use crate::store::{Sealed, Store};
use crate::vault::{FILE_NAME, Vault};

/// The most damages that are named; all are counted.
pub const MAX_NAMED: usize = 100;

/// What a vault holds, and what of it is damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that are neither operations nor index: keys, identity log, settings.
    pub rows: u64,
    /// Operations that are whole.
    pub ops: u64,
    /// Records in the index that are whole, deleted ones too.
    pub records: u64,
    /// Chunks of files that are whole.
    pub chunks: u64,
    /// Files that records name and of which not all content is here. That is no damage: it comes from a device that has
    /// it.
    pub absent_files: u64,
    /// How many damages there are.
    pub damages: u64,
    /// How many of them are of the index of records or of what is kept for searching, which [`Vault::rebuild_index`] mends.
    pub of_index: u64,
    /// How many of them are content that is missing ([`Damage::Missing`]) and asked for in each sync.
    pub of_sync: u64,
    /// The first [`MAX_NAMED`] of them.
    pub named: Vec<Damage>,
}

impl Report {
    /// Whether nothing is damaged.
    pub const fn is_whole(&self) -> bool {
        self.damages == 0
    }

    /// Whether nothing is damaged but what can be made anew.
    pub const fn can_be_rebuilt(&self) -> bool {
        self.damages == self.of_index
    }

    /// Whether nothing is damaged but what can be made anew, and nothing is missing but what comes with a sync, if another
    /// device has it.
    pub const fn can_be_fetched(&self) -> bool {
        self.damages == self.of_index + self.of_sync
    }

    fn add(&mut self, damage: Damage) {
        self.damages += 1;
        let of_index = matches!(
            damage,
            Damage::Unshown { .. } | Damage::Record(_) | Damage::Search
        );
        self.of_index += u64::from(of_index);
        if self.named.len() < MAX_NAMED {
            self.named.push(damage);
        }
    }
}

/// Damage is what is looked for; whatever else goes wrong ends the search.
fn whole<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(VaultError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks through the vault in the folder `dir` as [`Vault::check`] does. If damage keeps it from opening, all of it is looked
/// through that can be without: the file, the key slots, the sealed rows, the chunks of files, and the operations of each
/// log whose row is whole; not what the index of records shows. `now`: as for [`Vault::open`].
///
/// # Errors
/// Those of [`Vault::open`], [`VaultError::Damaged`] among them where nothing can be unsealed.
pub fn check(dir: &Path, unlock: Unlock<'_>, now: u64) -> Result<Report> {
    let path = dir.join(FILE_NAME);
    let store = Store::open(&path)?;
    let opened = slots::open(&store, dir, unlock, now)?;
    match Vault::load(store, &opened) {
        Ok(mut vault) => vault.check(),
        Err(VaultError::Damaged(what)) => {
            let file = Sealed {
                store: Store::open(&path)?,
                keys: VaultKeys::new(&opened.key),
            };
            let mut report = Report::default();
            report.add(Damage::Opening(what));
            check_unopened(&file, &mut report)?;
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

/// What can be said of a vault without what it keeps in memory.
fn check_unopened(file: &Sealed, report: &mut Report) -> Result<()> {
    file.store.snapshot(|store| {
        check_rows(file, report)?;
        let genesis = whole(file.item::<GenesisRow>(&[]))?.flatten();
        let genesis = genesis.and_then(|row| Genesis::from_bytes(&row.genesis).ok());
        // Signatures are of the twin.
        let Some(genesis) = genesis else {
            return Ok(());
        };
        let twin = genesis.twin_id();
        let late = file.late()?;
        file.each_item(|row: Result<LogRow>| {
            // Named among the sealed rows.
            let Some(row) = whole(row)? else {
                return Ok(());
            };
            let (id, mut log) = (row.id, Log::from(row));
            log.head = late.head(log.number).unwrap_or(log.head);
            let chain = Chain {
                store,
                twin: &twin,
                log: &log,
            };
            chain.follow(&id, report, |_, _, _, _| Ok(()))
        })
    })
}

/// Looks through all that is whole or not by itself.
fn check_rows(file: &Sealed, report: &mut Report) -> Result<()> {
    for says in file.store.check_file()? {
        report.add(Damage::File(says));
    }
    for number in file.store.damaged_slots()? {
        report.add(Damage::Slot(number));
    }
    for number in file.store.slot_numbers()? {
        // What is known of it beside it: without that row it cannot be kept through a new key.
        if file
            .item::<SlotRow>(&SlotRow::name(number))
            .is_ok_and(|row| row.is_none())
        {
            report.add(Damage::Slot(number));
        }
    }
    report.rows = file.check_items(|kind| report.add(Damage::row(kind)))?;
    report.chunks = file.check_chunks(|number| report.add(Damage::Chunk(number)))?;
    Ok(())
}

impl Vault {
    /// Looks through everything: the file's structure, every row, every signature, and whether the index shows what
    /// the operations say. Takes about as long as reading every record and verifying every operation once.
    pub fn check(&mut self) -> Result<Report> {
        self.catch_up()?;
        let mut report = Report::default();
        self.file.store.snapshot(|_| {
            check_rows(&self.file, &mut report)?;
            for (id, log) in &self.state.logs {
                self.check_log(id, log, &mut report)?;
            }
            self.check_index(&mut report)?;
            let mut logs = self.state.logs.values();
            if report.of_index > 0 && logs.any(|log| !self.state.is_named(&log.origin.device)) {
                // Records are shown of a device that nobody has let in: an entry that did is gone.
                report.add(Damage::row(Kind::Entry as u8));
            }
            self.check_search(&mut report)
        })?;
        Ok(report)
    }
}
