//! A vault that a backup brings back, and one that is copied and goes on twice: nothing forks, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use std::fs;
use std::path::Path;

use common::*;
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::store::OpStore;
use twin_vault::Vault;
use twins::*;

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Two copies draw other random bytes.
fn write(vault: &mut Vault, seed: u64, now: u64, id: &str) {
    let changes = vec![change(Kind::Put, "notes", id, &[("x", id)])];
    vault
        .commit(now, &mut rng(seed), &space("home"), changes)
        .unwrap();
}

fn own_logs(vault: &Vault) -> usize {
    let heads = vault.heads().unwrap();
    let origins = heads
        .iter()
        .map(|head| vault.origin(&head.log).unwrap().unwrap());
    let home = space("home").id(vault.twin());
    origins
        .filter(|origin| origin.device == vault.device() && origin.space == home)
        .count()
}

fn sorted(vault: &mut Vault) -> Vec<String> {
    let mut ids = ids(vault);
    ids.sort();
    ids
}

#[test]
fn a_vault_brought_back_from_a_copy_goes_on_in_a_log_of_its_own() {
    let (dirs, mut phone, [mut laptop]) = family([Role::Member]);
    write(&mut phone, 1, NOON, "before");
    send(&phone, &mut laptop, NOON);
    drop(phone);
    let backup = tempfile::tempdir().unwrap();
    copy(dirs[0].path(), backup.path());

    let mut phone = reopen(dirs[0].path()).unwrap();
    for (n, id) in ["lost with the phone", "lost too"].into_iter().enumerate() {
        write(&mut phone, 10 + n as u64, NOON + MINUTE, id);
    }
    send(&phone, &mut laptop, NOON + MINUTE);
    assert_eq!(own_logs(&phone), 1, "the same file goes on in the same log");
    drop(phone);

    // It writes before it hears what it had written since.
    let mut phone = reopen(backup.path()).unwrap();
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        write(&mut phone, 20 + n as u64, NOON + 2 * MINUTE, id);
    }
    meet(&mut [&mut phone, &mut laptop], NOON + 3 * MINUTE);
    assert_eq!(phone.heads().unwrap(), laptop.heads().unwrap());
    let all = ["a", "b", "before", "c", "lost too", "lost with the phone"];
    assert_eq!(sorted(&mut phone), all);
    assert_eq!(sorted(&mut laptop), all);
    assert_eq!(own_logs(&phone), 2);

    // It stays with the new log.
    drop(phone);
    let mut phone = reopen(backup.path()).unwrap();
    write(&mut phone, 30, NOON + 4 * MINUTE, "after");
    assert_eq!(own_logs(&phone), 2);
}

#[test]
fn two_living_copies_of_a_device_do_not_fork() {
    let (dirs, phone, [mut laptop]) = family([Role::Member]);
    drop(phone);
    let other = tempfile::tempdir().unwrap();
    copy(dirs[0].path(), other.path());
    let mut phone = reopen(dirs[0].path()).unwrap();
    let mut copy = reopen(other.path()).unwrap();
    for n in 0..3 {
        write(&mut phone, 40 + n, NOON + n, &format!("phone {n}"));
        write(&mut copy, 50 + n, NOON + n, &format!("copy {n}"));
    }
    meet(&mut [&mut laptop, &mut phone, &mut copy], NOON + MINUTE);
    assert_eq!(phone.heads().unwrap(), laptop.heads().unwrap());
    assert_eq!(copy.heads().unwrap(), laptop.heads().unwrap());
    assert_eq!(sorted(&mut laptop).len(), 6);
    assert_eq!(sorted(&mut phone), sorted(&mut copy));
}

#[test]
fn programs_that_share_a_copy_share_its_new_log() {
    let (dirs, phone, []) = family([]);
    drop(phone);
    let other = tempfile::tempdir().unwrap();
    copy(dirs[0].path(), other.path());
    let mut app = reopen(other.path()).unwrap();
    let mut extension = reopen(other.path()).unwrap();
    write(&mut app, 60, NOON, "app");
    write(&mut extension, 61, NOON, "extension");
    write(&mut app, 62, NOON, "app again");
    extension.changed_elsewhere().unwrap();
    assert_eq!(own_logs(&extension), 2);
    assert_eq!(sorted(&mut extension).len(), 3);
}

/// What is rolled back has settled nothing.
#[test]
fn a_write_that_fails_leaves_a_copy_as_it_was() {
    let (dirs, phone, []) = family([]);
    drop(phone);
    let other = tempfile::tempdir().unwrap();
    copy(dirs[0].path(), other.path());
    let mut copy = reopen(other.path()).unwrap();
    let refused = vec![change(Kind::Put, "", "", &[])];
    let failed = copy.commit(NOON, &mut rng(70), &space("home"), refused);
    assert!(failed.is_err());
    assert_eq!(own_logs(&copy), 1);
    write(&mut copy, 71, NOON, "written");
    assert_eq!(own_logs(&copy), 2);
    drop(copy);
    let copy = reopen(other.path()).unwrap();
    assert_eq!(own_logs(&copy), 2);
}
