//! One vault, and what it promises to whoever uses it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::*;
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::op::OpError;
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_vault::{Unlock, Vault, VaultError, WriteChange};

#[test]
fn records_are_written_read_and_still_there_after_locking() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let notes = [("title", "Milk"), ("body", "two litres")];
    commit(
        &mut vault,
        NOON,
        vec![change(Kind::Put, "notes", "a", &notes)],
    );
    commit(
        &mut vault,
        NOON,
        vec![change(Kind::Patch, "notes", "a", &[("body", "three")])],
    );
    commit(
        &mut vault,
        NOON,
        vec![change(Kind::Put, "notes", "b", &[("title", "Bread")])],
    );
    commit(
        &mut vault,
        NOON,
        vec![change(Kind::Delete, "notes", "b", &[])],
    );
    drop(vault);
    let mut vault = reopen(dir.path()).unwrap();
    let home = space("home");
    let record = vault.get(&home, "notes", "a").unwrap().unwrap();
    assert_eq!(
        record.fields,
        fields(&[("title", "Milk"), ("body", "three")])
    );
    assert_eq!(record.by, vault.device());
    assert_eq!(vault.get(&home, "notes", "b").unwrap(), None);
    assert_eq!(vault.get(&home, "letters", "a").unwrap(), None);
    assert_eq!(records(&mut vault, "notes").len(), 1);
    assert_eq!(vault.collections(&home).unwrap(), ["notes"]);
    let names: Vec<_> = vault
        .spaces()
        .unwrap()
        .iter()
        .map(|s| s.to_string())
        .collect();
    assert_eq!(names, ["home", "~keys", "~members"]);
}

#[test]
fn two_devices_meet() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut phone = phone(a.path());
    commit(
        &mut phone,
        NOON,
        vec![change(Kind::Put, "notes", "a", &[("x", "1"), ("y", "1")])],
    );
    let mut laptop = linked(b.path(), &mut phone, 10, Role::Member);
    send(&phone, &mut laptop, NOON);
    assert_eq!(records(&mut laptop, "notes"), records(&mut phone, "notes"));
    commit(
        &mut phone,
        NOON + 5,
        vec![change(Kind::Patch, "notes", "a", &[("x", "2")])],
    );
    commit(
        &mut laptop,
        NOON + 1,
        vec![change(Kind::Patch, "notes", "a", &[("y", "2")])],
    );
    send(&phone, &mut laptop, NOON + 9);
    send(&laptop, &mut phone, NOON + 9);
    assert_eq!(records(&mut laptop, "notes"), records(&mut phone, "notes"));
    let merged = records(&mut laptop, "notes").remove(0).1;
    assert_eq!(merged, fields(&[("x", "2"), ("y", "2")]));
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
}
