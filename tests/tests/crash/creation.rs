//! A vault is made whole or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::tempdir;
use twin_disk::{Disk, Fault, Trouble};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_tests::dice::Dice;
use twin_tests::vault::load::{chip, create, open};
use twin_vault::{Unlock, Vault, VaultError};

/// Whether there is a vault in the folder, which is whole then; if there is none, one can be made.
fn there(folder: &Path) -> bool {
    let there = Vault::exists(folder);
    let mut vault = if there {
        open(folder, 0).unwrap()
    } else {
        create(folder, Dice::new(2).rng()).unwrap()
    };
    assert!(vault.check().unwrap().is_whole());
    there
}

#[test]
fn power_lost_at_any_moment_of_making_it_leaves_a_whole_vault_or_none() {
    let dir = tempdir().unwrap();
    let disk = Disk::under(dir.path()).unwrap();
    let vault = create(dir.path(), Dice::new(1).rng()).unwrap();
    let made = disk.moment();
    drop(vault);
    let mut dice = Dice::new(3);
    let mut found = BTreeSet::new();
    for moment in (0..=made).chain([made; 8]) {
        let after = tempdir().unwrap();
        let below = &mut |end| dice.below(end);
        disk.after_power_loss(moment, false, below, after.path())
            .unwrap();
        let there = there(after.path());
        assert!(there || moment < made, "what was made is there");
        found.insert(there);
    }
    assert_eq!(found.len(), 2);
}

/// Lets something go wrong at every call that it can befall, until all goes well; returns how often it did.
fn at_every_call(trouble: Trouble, make: impl Fn(&Path) -> Result<Vault, VaultError>) -> u64 {
    for after in 0.. {
        let dir = tempdir().unwrap();
        let disk = Disk::under(dir.path()).unwrap();
        let lasts = true;
        disk.fail(Fault {
            trouble,
            after,
            lasts,
        });
        let made = make(dir.path());
        let struck = disk.mend();
        match made {
            Ok(_) if struck == 0 => return after,
            // It can do without what processes share.
            Ok(mut made) => {
                assert!(made.check().unwrap().is_whole());
                continue;
            }
            Err(error) if trouble == Trouble::Full => {
                assert!(matches!(error, VaultError::DiskFull), "{error:?}");
            }
            // Where SQLite cannot write to what its processes share, it does not say why.
            Err(error) => {
                assert!(
                    matches!(
                        error,
                        VaultError::Storage(_) | VaultError::Io(_) | VaultError::DiskFull
                    ),
                    "{error:?}"
                );
            }
        }
        // Nothing half-made is left, and there is room again.
        let left = fs::read_dir(dir.path()).unwrap();
        let left: Vec<_> = left.map(|left| left.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "vault.lock"), "{left:?}");
        make(dir.path()).unwrap();
    }
    0
}

#[test]
fn a_disk_that_is_full_or_breaks_leaves_no_half_made_vault() {
    let first = |dir: &Path| create(dir, Dice::new(1).rng());
    for trouble in [Trouble::Full, Trouble::Broken] {
        assert!(at_every_call(trouble, first) > 10);
    }
}

#[test]
fn a_full_disk_leaves_no_half_linked_vault() {
    let home = tempdir().unwrap();
    let mut dice = Dice::new(1);
    let mut phone = create(home.path(), dice.rng()).unwrap();
    let keys = DeviceKeys::random(dice.rng()).unwrap();
    let statement = keys.statement(phone.twin(), Role::Member);
    let admission = phone.admit(&statement, dice.rng()).unwrap();
    let identity = IdentityLog::from_bytes(phone.twin(), &admission.identity).unwrap();
    let linked = |dir: &Path| {
        let (chip, grants) = (chip(0), &admission.grants);
        let unlock = Unlock::KeyStore(&chip);
        Vault::create_linked(dir, unlock, &keys, &identity, grants, Dice::new(2).rng())
    };
    assert!(at_every_call(Trouble::Full, linked) > 10);
}
