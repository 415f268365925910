//! The ways to unlock a vault: added, changed, removed, and what is left of those that are gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::cell::Cell;
use std::fs;
use std::path::Path;

use common::*;
use tempfile::{TempDir, tempdir};
use twin_identity::secret::Secret;
use twin_vault::{
    FILE_NAME, KeyStore, KeyStoreError, SlotInfo, SlotKind, Unlock, Vault, VaultError,
};

const OLD: &str = "the old password";
const NEW: &str = "the new password";

fn open(dir: &Path, unlock: Unlock<'_>) -> Result<Vault, VaultError> {
    Vault::open(dir, unlock, NOON)
}

/// A vault with records of one part and of several, that a key store and [`OLD`] open.
fn furnished() -> (TempDir, Vault) {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    for i in 0..40 {
        let id = format!("record{i}");
        put(&mut vault, NOON, "c", &id, &[("a", "one"), ("b", "two")]);
        if i % 3 == 0 {
            patch(&mut vault, NOON, "c", &id, &[("a", "three")]);
        }
    }
    let unlock = Unlock::Password(OLD);
    assert_eq!(
        vault.add_slot(NOON, unlock, "paper", &mut rng(4)).unwrap(),
        2
    );
    vault.settle_index().unwrap();
    (dir, vault)
}

/// The slots as they are in the file.
fn slots_in(file: &Path) -> Vec<(u32, Vec<u8>)> {
    let file = rusqlite::Connection::open(file).unwrap();
    let mut slots = file.prepare("SELECT n, v FROM slot ORDER BY n").unwrap();
    let slots = slots.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    slots.unwrap().map(|slot| slot.unwrap()).collect()
}

/// Whether these bytes are in any file of the folder.
fn is_in(dir: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(dir).unwrap();
    files.into_iter().any(|file| {
        let content = fs::read(file.unwrap().path()).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// Pieces of a slot: long ones may be cut by the pages of the file.
fn pieces(slot: &[u8]) -> impl Iterator<Item = &[u8]> {
    // The first bytes, up to the salt, are the same in all slots.
    slot[64..].chunks_exact(24)
}

#[test]
fn slots_are_listed_without_what_opens_them() {
    let (dir, mut vault) = furnished();
    let chip = SoftKeyStore::new(2);
    let unlock = Unlock::Both(OLD, &chip);
    assert_eq!(
        vault.add_slot(NOON + 5, unlock, "", &mut rng(5)).unwrap(),
        3
    );
    let slot = |number, kind, label: &str, added| SlotInfo {
        number,
        kind: Some(kind),
        label: label.to_owned(),
        added,
        is_this: number == 1,
    };
    let all = vec![
        slot(1, SlotKind::KeyStore, "", None),
        slot(2, SlotKind::Password, "paper", Some(NOON)),
        slot(3, SlotKind::Both, "", Some(NOON + 5)),
    ];
    assert_eq!(vault.slots().unwrap(), all);
    let mut by_password = open(dir.path(), Unlock::Password(OLD)).unwrap();
    assert_eq!(by_password.slot(), 2);
    let this: Vec<bool> = by_password
        .slots()
        .unwrap()
        .iter()
        .map(|slot| slot.is_this)
        .collect();
    assert_eq!(this, [false, true, false]);
    assert_eq!(
        open(dir.path(), Unlock::Both(OLD, &chip)).unwrap().slot(),
        3
    );
    for label in ["x".repeat(65), "bell\u{7}".to_owned()] {
        let unlock = Unlock::Password(NEW);
        let refused = vault.add_slot(NOON, unlock, &label, &mut rng(6));
        assert!(matches!(refused, Err(VaultError::InvalidChange(_))));
    }
    let empty = vault.add_slot(NOON, Unlock::Password(""), "", &mut rng(6));
    assert!(matches!(empty, Err(VaultError::EmptyPassword)));
    let empty = vault.add_slot(NOON, Unlock::Both("", &chip), "", &mut rng(6));
    assert!(matches!(empty, Err(VaultError::EmptyPassword)));
    assert_eq!(vault.slots().unwrap(), all);
}

#[test]
fn on_a_phone_it_takes_both() {
    let dir = tempdir().unwrap();
    let (chip, other) = (SoftKeyStore::new(1), SoftKeyStore::new(2));
    let birth = twin_identity::birth::Birth::new(
        &twin_identity::words::RecoverySecret::random(&mut rng(1)),
        &mut rng(2),
    )
    .unwrap();
    drop(Vault::create(dir.path(), Unlock::Both(OLD, &chip), &birth, &mut rng(3)).unwrap());
    drop(open(dir.path(), Unlock::Both(OLD, &chip)).unwrap());
    let wrong = open(dir.path(), Unlock::Both(NEW, &chip));
    assert!(matches!(wrong, Err(VaultError::WrongPassword)));
    let elsewhere = open(dir.path(), Unlock::Both(OLD, &other));
    assert!(matches!(
        elsewhere,
        Err(VaultError::KeyStore(KeyStoreError::KeyLost))
    ));
    for half in [Unlock::Password(OLD), Unlock::KeyStore(&chip)] {
        assert!(matches!(open(dir.path(), half), Err(VaultError::NoSlot)));
    }
}

#[test]
fn a_changed_password_leaves_nothing_of_the_old_one() {
    let (dir, mut vault) = furnished();
    let file = dir.path().join(FILE_NAME);
    let truth = records(&mut vault, "c");
    drop(vault);
    let before = tempdir().unwrap().keep().join(FILE_NAME);
    fs::copy(&file, &before).unwrap();
    let (old, old_index) = (slots_in(&file), index_rows(dir.path()));
    let (chip_slot, password_slot) = (&old[0].1, &old[1].1);
    // What holds the vault key is at the end of a slot: X-Wing, key and tag.
    let (way, held) = chip_slot.split_at(chip_slot.len() - 1168);
    let pieces = || pieces(password_slot).chain(held.chunks_exact(24));
    assert!(pieces().all(|piece| is_in(dir.path(), piece)));

    let mut vault = open(dir.path(), Unlock::Password(OLD)).unwrap();
    let number = vault.slot();
    vault
        .change_slot(NOON + 1, number, Unlock::Password(NEW), &mut rng(7))
        .unwrap();
    assert!(
        !pieces().any(|piece| is_in(dir.path(), piece)),
        "while open"
    );
    assert_eq!(records(&mut vault, "c"), truth);
    put(&mut vault, NOON, "d", "more", &[("a", "b")]);
    vault.settle_index().unwrap();
    let changed = vault.slots().unwrap().swap_remove(1);
    assert_eq!(
        (changed.label.as_str(), changed.added),
        ("paper", Some(NOON + 1))
    );
    drop(vault);
    assert!(
        !pieces().any(|piece| is_in(dir.path(), piece)),
        "after close"
    );

    // The other slot is the same way to another key, and no record is where it was.
    assert_eq!(slots_in(&file)[0].1[..way.len()], *way);
    let index = index_rows(dir.path());
    assert_eq!(index.len(), old_index.len() + 1);
    let there = |place: i64| old_index.iter().any(|(old, ..)| *old == place);
    assert!(!index.iter().any(|(place, ..)| there(*place)));
    let wrong = open(dir.path(), Unlock::Password(OLD));
    assert!(matches!(wrong, Err(VaultError::WrongPassword)));
    let chip = SoftKeyStore::new(1);
    for unlock in [Unlock::Password(NEW), Unlock::KeyStore(&chip)] {
        let mut vault = open(dir.path(), unlock).unwrap();
        assert_eq!(records(&mut vault, "c"), truth);
        vault.rebuild_index().unwrap();
        assert_eq!(index_rows(dir.path()), index);
    }

    // The old slots put back: they open, but the key in them opens nothing.
    let tampered = rusqlite::Connection::open(&file).unwrap();
    let from = before.to_str().unwrap();
    tampered.execute("ATTACH ?1 AS before", [from]).unwrap();
    let swap = "DELETE FROM slot; INSERT INTO slot SELECT * FROM before.slot";
    tampered.execute_batch(swap).unwrap();
    drop(tampered);
    for unlock in [Unlock::Password(OLD), Unlock::KeyStore(&chip)] {
        let opened = open(dir.path(), unlock);
        assert!(matches!(opened, Err(VaultError::Damaged(_))));
    }
    fs::remove_dir_all(before.parent().unwrap()).unwrap();
}

/// A key store that counts what it is told to forget.
struct Forgetful(SoftKeyStore, Cell<usize>);

impl KeyStore for Forgetful {
    fn wrap(&self, key: &Secret<32>) -> Result<Vec<u8>, KeyStoreError> {
        self.0.wrap(key)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, KeyStoreError> {
        self.0.unwrap(wrapped)
    }

    fn forget(&self, wrapped: &[u8]) -> Result<(), KeyStoreError> {
        assert!(self.0.unwrap(wrapped).is_ok());
        self.1.set(self.1.get() + 1);
        // That it failed is no reason to keep the slot.
        Err(KeyStoreError::Unavailable)
    }
}

#[test]
fn a_removed_slot_opens_nothing_and_the_last_one_stays() {
    let (dir, mut vault) = furnished();
    let file = dir.path().join(FILE_NAME);
    let truth = records(&mut vault, "c");
    let chip = Forgetful(SoftKeyStore::new(1), Cell::new(0));
    let unknown = vault.remove_slot(3, Some(&chip), &mut rng(8));
    assert!(matches!(unknown, Err(VaultError::UnknownSlot(3))));
    let unknown = vault.change_slot(NOON, 3, Unlock::Password(NEW), &mut rng(8));
    assert!(matches!(unknown, Err(VaultError::UnknownSlot(3))));
    let removed = slots_in(&file).swap_remove(0).1;
    vault.remove_slot(1, Some(&chip), &mut rng(8)).unwrap();
    assert_eq!(chip.1.get(), 1);
    assert!(!pieces(&removed).any(|piece| is_in(dir.path(), piece)));
    let last = vault.remove_slot(2, Some(&chip), &mut rng(9));
    assert!(matches!(last, Err(VaultError::LastSlot)));
    assert_eq!(chip.1.get(), 1);
    // What was open stays open, though its own slot is gone.
    assert_eq!(records(&mut vault, "c"), truth);
    assert_eq!(vault.slots().unwrap().len(), 1);
    drop(vault);
    assert!(!pieces(&removed).any(|piece| is_in(dir.path(), piece)));
    assert!(matches!(reopen(dir.path()), Err(VaultError::NoSlot)));
    let mut vault = open(dir.path(), Unlock::Password(OLD)).unwrap();
    assert_eq!(records(&mut vault, "c"), truth);
}

#[test]
fn there_is_an_end_to_slots() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let add = |vault: &mut Vault, byte| {
        let chip = SoftKeyStore::new(byte);
        vault.add_slot(NOON, Unlock::KeyStore(&chip), "", &mut rng(byte.into()))
    };
    for byte in 2..=8 {
        assert_eq!(add(&mut vault, byte).unwrap(), byte.into());
    }
    assert!(matches!(add(&mut vault, 9), Err(VaultError::Limit(_))));
    vault.remove_slot(4, None, &mut rng(1)).unwrap();
    add(&mut vault, 9).unwrap();
    for byte in (1..=9).filter(|byte| *byte != 4) {
        let chip = SoftKeyStore::new(byte);
        drop(open(dir.path(), Unlock::KeyStore(&chip)).unwrap());
    }
}

#[test]
fn who_has_it_open_must_unlock_it_again() {
    let (dir, mut app) = furnished();
    let truth = records(&mut app, "c");
    let mut extensions: Vec<Vault> = (0..8).map(|_| reopen(dir.path()).unwrap()).collect();
    // A slot more is no reason.
    let chip = SoftKeyStore::new(2);
    app.add_slot(NOON, Unlock::KeyStore(&chip), "", &mut rng(7))
        .unwrap();
    assert_eq!(extensions[0].slots().unwrap().len(), 3);
    app.remove_slot(2, None, &mut rng(8)).unwrap();
    let home = space("home");
    let write = || vec![change(twin_ops::change::Kind::Put, "c", "r", &[("a", "b")])];
    type Use<'a> = Box<dyn Fn(&mut Vault) -> Option<VaultError> + 'a>;
    let uses: [Use<'_>; 8] = [
        Box::new(|vault| vault.get(&home, "c", "record1").err()),
        Box::new(|vault| vault.get(&home, "c", "nothing").err()),
        Box::new(|vault| vault.list(&home, "c", None, 10).err()),
        Box::new(|vault| vault.commit(NOON, &mut rng(1), &home, write()).err()),
        Box::new(|vault| vault.changed_elsewhere().err()),
        Box::new(|vault| vault.merge_due(NOON).err()),
        Box::new(|vault| vault.slots().err()),
        Box::new(|vault| {
            vault
                .add_slot(NOON, Unlock::Password(NEW), "", &mut rng(1))
                .err()
        }),
    ];
    for (extension, use_it) in extensions.iter_mut().zip(uses) {
        for _ in 0..2 {
            let error = use_it(extension);
            assert!(matches!(error, Some(VaultError::Renewed)), "{error:?}");
        }
    }
    assert!(!app.changed_elsewhere().unwrap());
    assert_eq!(records(&mut app, "c"), truth);
    let mut again = reopen(dir.path()).unwrap();
    put(&mut again, NOON, "c", "record0", &[("a", "seen")]);
    assert_eq!(records(&mut app, "c"), records(&mut again, "c"));
}

#[test]
fn a_vault_that_is_damaged_keeps_its_key() {
    let (dir, mut vault) = furnished();
    let file = rusqlite::Connection::open(dir.path().join(FILE_NAME)).unwrap();
    for (table, damage, repair) in [
        (
            "an index row",
            "UPDATE rec SET t = t + 1",
            "UPDATE rec SET t = t - 1",
        ),
        (
            "another slot",
            "UPDATE slot SET checksum = CAST('x' || checksum AS BLOB) WHERE n = 2",
            "UPDATE slot SET checksum = substr(checksum, 2) WHERE n = 2",
        ),
    ] {
        file.execute(damage, []).unwrap();
        let failed = vault.change_slot(NOON, 1, Unlock::Password(NEW), &mut rng(7));
        assert!(matches!(failed, Err(VaultError::Damaged(_))), "{table}");
        // Nothing has happened, and who can still get in does.
        drop(reopen(dir.path()).unwrap());
        file.execute(repair, []).unwrap();
        assert_eq!(records(&mut vault, "c").len(), 40);
        drop(open(dir.path(), Unlock::Password(OLD)).unwrap());
    }
    // A damaged slot stands in the way of a new key until it is removed.
    let damage = "UPDATE slot SET v = substr(v, 2) WHERE n = 2";
    file.execute(damage, []).unwrap();
    let kinds: Vec<_> = vault
        .slots()
        .unwrap()
        .iter()
        .map(|slot| slot.kind)
        .collect();
    assert_eq!(kinds, [Some(SlotKind::KeyStore), None]);
    vault.remove_slot(2, None, &mut rng(8)).unwrap();
    vault
        .change_slot(NOON, 1, Unlock::Password(NEW), &mut rng(9))
        .unwrap();
    // A slot that nobody here has made gets no key.
    file.execute(
        "INSERT INTO slot SELECT 5, v, checksum FROM slot WHERE n = 1",
        [],
    )
    .unwrap();
    let failed = vault.change_slot(NOON, 1, Unlock::Password(OLD), &mut rng(7));
    assert!(matches!(failed, Err(VaultError::Damaged(_))));
    let kinds: Vec<_> = vault
        .slots()
        .unwrap()
        .iter()
        .map(|slot| slot.kind)
        .collect();
    assert_eq!(kinds, [Some(SlotKind::Password), None]);
    vault.remove_slot(5, None, &mut rng(8)).unwrap();
    assert_eq!(records(&mut vault, "c").len(), 40);
}
