//! Salvage: a new vault of all that still verifies in a damaged one, which is only read.
//!
//! Read top-down:
//! - [`salvage`]: what is done in which order; `loss`: what is said of it
//! - `keep`: what of the rows makes up a vault; `follow`: what of its operations; `rest`: what is known from operations that cannot be kept
//! - `carve`: rows into the tables of a new file; `strays`: what only a salvage asks of them
//! - `btree`, `pages`, `wal`: SQLite's file, read without SQLite
//!
//! The new vault has the ways to unlock it and the keys of the damaged one, and writes under a new incarnation, for what
//! it wrote last may be lost here and known elsewhere.

mod btree;
mod carve;
mod follow;
mod keep;
mod loss;
mod pages;
mod rest;
mod strays;
mod wal;

use std::collections::BTreeSet;
use std::path::Path;

use rand_core::CryptoRng;
use rusqlite::types::Value;

use self::carve::Carver;
use self::keep::Keeper;
pub use self::loss::{Loss, Salvaged};
use self::pages::Pages;
pub use self::rest::RestRecord;
use crate::create::{LOCK, NEW, move_in, remove};
use crate::error::{Result, VaultError};
use crate::keys::VaultKeys;
use crate::slots::{self, Unlock};
use crate::store::{self, APPLICATION_ID, Sealed, Store};
use crate::upgrade::VERSION;
use crate::vault::FILE_NAME;

/// The lowest number of a part: logs are counted from 1.
const FIRST_OP: i64 = 1 << 49;

/// Makes a vault in the folder `to` of all that still verifies in the one in the folder `from`, whatever of that is
/// damaged. Nothing in `from` is changed, and nobody may write to it meanwhile. `now`: milliseconds since the Unix epoch.
///
/// Operations after a lost one do not continue their log and are not in the new vault; they come again from any device
/// that has them. What they say is the newest that is known of a record: `show` is shown each such record as it is with
/// what they say of it.
///
/// A wrong password is not counted, since nothing is written, but who has to wait in `from` waits here too.
///
/// # Errors
/// [`VaultError::NoSlotLeft`] if no way to unlock the vault is left, [`VaultError::Exists`] if there is a vault in `to`,
/// [`VaultError::Busy`] if the damaged one was written to meanwhile. There is no vault in `to` then.
pub fn salvage<R: CryptoRng, E: From<VaultError>>(
    from: &Path,
    to: &Path,
    unlock: Unlock<'_>,
    now: u64,
    rng: &mut R,
    show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Salvaged, E> {
    let pages = Pages::open(&from.join(FILE_NAME))?;
    if pages.is_newer(APPLICATION_ID, VERSION)? {
        return Err(VaultError::Newer.into());
    }
    store::make_folder(to)?;
    let _lock = store::lock(&to.join(LOCK))?;
    let (new, path) = (to.join(NEW), to.join(FILE_NAME));
    if path.try_exists().map_err(VaultError::from)? {
        return Err(VaultError::Exists.into());
    }
    remove(&new)?;
    let saved = fill(&pages, &new, unlock, now, rng, show).and_then(|saved| {
        if pages.have_changed()? {
            return Err(VaultError::Busy.into());
        }
        if saved.vault {
            store::sync(to, &new)?;
            move_in(to, &new, &path)?;
        }
        Ok(saved)
    });
    if !matches!(&saved, Ok(saved) if saved.vault) {
        // What counts is why there is no vault.
        let _ = remove(&new);
    }
    saved
}

/// Fills the new file with what can be kept.
fn fill<R: CryptoRng, E: From<VaultError>>(
    pages: &Pages,
    new: &Path,
    unlock: Unlock<'_>,
    now: u64,
    rng: &mut R,
    show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Salvaged, E> {
    let store = Store::create(new)?;
    let carver = Carver::new(pages, &store)?;
    carver.carve_slots(&store)?;
    let opened = slots::open_copy(&store, unlock, now)?;
    let file = Sealed {
        store,
        keys: VaultKeys::new(&opened.key),
    };
    let (damaged, unread) = carve_items(&carver, &file)?;
    drop(carver);
    let mut keeper = Keeper::new(file, damaged, unread);
    if pages.is_log_damaged() {
        keeper.lose(Loss::Newest);
    }
    keeper.keep_slots(&opened, unlock, rng)?;
    keeper.keep(opened, now, rng, show)
}

/// Whether a row of a number and bytes, which may have been found on a page of nobody, is one of this table: operations
/// have far higher numbers than chunks, and what is kept for the index and for searching is sealed with its number.
fn belongs(file: &Sealed, table: &str, number: i64, bytes: &[u8]) -> bool {
    let is_op = number >= FIRST_OP;
    let is_derived = || {
        let aad = number.to_be_bytes();
        let keys = [&file.keys.rows, &file.keys.search];
        keys.iter().any(|key| key.open(&aad, bytes).is_ok())
    };
    match table {
        "op" => is_op,
        "chunk" => !is_op && !is_derived(),
        _ => true,
    }
}

/// Moves everything but the slots, of the sealed rows those that are whole. Returns the kinds of the others, each as often
/// as there are, and how many rows of any kind cannot be read at all.
fn carve_items(carver: &Carver<'_>, file: &Sealed) -> Result<(Vec<u8>, u64)> {
    let mut damaged = BTreeSet::new();
    let mut whole = BTreeSet::new();
    let unread = carver.carve_rest(&file.store, &mut |table, values| {
        if let [Value::Integer(number), Value::Blob(bytes)] = values {
            return belongs(file, table, *number, bytes);
        }
        let (true, [Value::Integer(kind), Value::Blob(name), Value::Blob(sealed)]) =
            (table == "item", values)
        else {
            return table != "item";
        };
        let Ok(number) = u8::try_from(*kind) else {
            return false;
        };
        let is_whole = file.is_whole_item(number, name, sealed);
        let of = if is_whole { &mut whole } else { &mut damaged };
        of.insert((number, name.clone()));
        is_whole
    })?;
    let lost = damaged.difference(&whole);
    Ok((lost.map(|(kind, _)| *kind).collect(), unread))
}
