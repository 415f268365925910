//! Salvage: a new vault of all that still verifies in a damaged one, which is only read.
//!
//! Read top-down:
//! - [`salvage`]: what is done in which order; `loss`: what is said of it
//! - `keep`: what of the rows makes up a vault; `follow`: what of its operations; `vault`: what hangs on these; `rest`: what
//!   is known from operations that cannot be kept
//! - `carve`: rows into the `tables` of a new file; `judge`: of which table a row is; `strays`: what only a salvage asks
//!   of them
//! - `btree`, `pages`, `wal`: SQLite's file, read without SQLite
//!
//! The new vault has the ways to unlock it and the keys of the damaged one, and writes under a new incarnation, for what
//! it wrote last may be lost here and known elsewhere.

mod btree;
mod carve;
mod follow;
mod judge;
mod keep;
mod loss;
mod pages;
#[cfg(any(test, fuzzing))]
pub(crate) mod readers;
mod rest;
mod strays;
mod tables;
mod vault;
mod wal;

use std::collections::BTreeMap;
use std::path::Path;

use rand_core::CryptoRng;
use twin_ops::op::{LogId, Origin};

use self::carve::Carver;
use self::judge::{Content, Items};
use self::keep::Keeper;
pub use self::loss::{Loss, Salvaged};
use self::pages::Pages;
use self::rest::Rest;
pub use self::rest::RestRecord;
use crate::create::{NEW, move_in, remove};
use crate::error::VaultError;
use crate::folder::in_folder;
use crate::keys::VaultKeys;
use crate::rows::LogRow;
use crate::slots::{self, Unlock};
use crate::store::{self, APPLICATION_ID, Sealed, Store};
use crate::upgrade::VERSION;
use crate::vault::{FILE_NAME, Vault};

/// The file that operations are in which are not kept, until the salvage is done.
const ASIDE: &str = "vault.db.aside";

/// What to make of a file whose header says that a later version has made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// It is so: what this version does not know would be taken for damage.
    Believed,
    /// The header is damaged: whoever owns the vault knows that no later version has had it.
    Doubted,
}

/// Makes a vault in the folder `to` of all that still verifies in the one in the folder `from`, whatever of that is
/// damaged. Nothing in `from` is changed, and nobody may write to it meanwhile. `now`: milliseconds since the Unix epoch.
///
/// Operations after a lost one do not continue their log and are not in the new vault; they come again from any device
/// that has them. What they say is the newest that is known of a record: `show` is shown each such record as it is with
/// what they say of it. What they erase is erased again, on a device that may do that.
///
/// A wrong password is not counted, since nothing is written, but who has to wait in `from` waits here too.
///
/// # Errors
/// [`VaultError::NoSlotLeft`] if no way to unlock the vault is left, [`VaultError::Exists`] if there is a vault in `to`,
/// [`VaultError::Busy`] if the damaged one was written to meanwhile, [`VaultError::Newer`] if its `header` is believed and
/// says so. There is no vault in `to` then.
pub fn salvage<R: CryptoRng, E: From<VaultError>>(
    from: &Path,
    to: &Path,
    unlock: Unlock<'_>,
    header: Header,
    now: u64,
    rng: &mut R,
    show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Salvaged, E> {
    let pages = Pages::open(&from.join(FILE_NAME))?;
    if header == Header::Believed && pages.is_newer(APPLICATION_ID, VERSION)? {
        return Err(VaultError::Newer.into());
    }
    let salvage = || salvage_into(&pages, to, unlock, now, rng, show);
    in_folder(to, |saved: &Salvaged| saved.vault, salvage)
}

/// Makes the vault in a folder that is there and locked.
fn salvage_into<R: CryptoRng, E: From<VaultError>>(
    pages: &Pages,
    to: &Path,
    unlock: Unlock<'_>,
    now: u64,
    rng: &mut R,
    show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Salvaged, E> {
    let (new, aside, path) = (to.join(NEW), to.join(ASIDE), to.join(FILE_NAME));
    if path.try_exists().map_err(VaultError::from)? {
        return Err(VaultError::Exists.into());
    }
    remove(&new)?;
    remove(&aside)?;
    let saved = fill(pages, [&new, &aside], unlock, now, rng, show).and_then(|saved| {
        if pages.have_changed()? {
            return Err(VaultError::Busy.into());
        }
        if saved.vault {
            store::sync(to, &new)?;
            move_in(to, &new, &path)?;
        }
        Ok(saved)
    });
    // What counts is what has become of the vault: the next attempt clears away first.
    let _ = remove(&aside);
    if !matches!(&saved, Ok(saved) if saved.vault) {
        let _ = remove(&new);
    }
    saved
}

/// Fills the new file with what can be kept; `aside` is for what cannot.
fn fill<R: CryptoRng, E: From<VaultError>>(
    pages: &Pages,
    [new, aside]: [&Path; 2],
    unlock: Unlock<'_>,
    now: u64,
    rng: &mut R,
    show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Salvaged, E> {
    let store = Store::create(new)?;
    let carver = Carver::new(pages, &store)?;
    carver.carve(&store, &["slot", "tries"], &mut judge::before_unlocking)?;
    let opened = slots::open_copy(&store, unlock, now)?;
    let file = Sealed {
        store,
        keys: VaultKeys::new(&opened.key),
    };
    let mut items = Items::new(&file);
    let mut unread = carver.missing();
    unread += carver.carve(&file.store, &["item"], &mut |_, values, is_own| {
        items.judge(values, is_own)
    })?;
    let damaged = items.damaged();
    let content = Content::new(&file)?;
    unread += carver.carve(
        &file.store,
        &["op", "late", "chunk"],
        &mut |table, values, is_own| content.judge(table, values, is_own),
    )?;
    drop(carver);
    let mut keeper = Keeper::new(file, damaged, unread);
    if pages.is_log_damaged() {
        keeper.saved.lost.push(Loss::Newest);
    }
    keeper.file.store.begin()?;
    keeper.keep_slots(opened.slot, unlock, rng)?;
    keeper.forget_derived()?;
    keeper.keep_epochs()?;
    let Some(identity) = keeper.keep_identity()? else {
        keeper.file.store.commit()?;
        return lose_all(keeper, show);
    };
    let before = keeper.keep_device(rng)?;
    let grants = keeper.take_out_grants()?;
    let origins = keeper.keep_logs(&identity, before)?;
    let kept = keeper.follow(identity.twin(), before.map(|(device, _)| device))?;
    let rest = Store::create(aside)?;
    rest.begin()?;
    keeper.set_aside(&kept, &identity, &origins, &rest)?;
    rest.commit()?;
    keeper.keep_clock()?;
    keeper.file.store.commit()?;

    let Keeper { file, mut saved } = keeper;
    let mut vault = Vault::load(file.store, &opened)?;
    vault.now = now;
    vault.settle_salvaged(&grants, &mut saved)?;
    let known = Rest::read(&rest, &vault.file, &origins, Some(*vault.twin()))?;
    vault.erase_again(known.erased(), rng, &mut saved)?;
    saved.rest = known.show(Some(&vault), show)?;
    vault.file.store.close()?;
    saved.vault = true;
    Ok(saved)
}

/// There is no vault without the beginning of the identity log: everything that can be read is shown.
fn lose_all<E: From<VaultError>>(
    keeper: Keeper,
    show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Salvaged, E> {
    let Keeper { file, mut saved } = keeper;
    saved.lost.push(Loss::Identity);
    let logs = file.items::<LogRow>()?.into_iter();
    let origins: BTreeMap<LogId, Origin> = logs.map(|row| (row.id, row.origin)).collect();
    saved.rest = Rest::read(&file.store, &file, &origins, None)?.show(None, show)?;
    Ok(saved)
}
