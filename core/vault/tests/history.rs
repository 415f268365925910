//! What a record was, who changed it and when; and undoing a delete.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use std::path::Path;

use common::*;
use rusqlite::Connection;
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::value::Fields;
use twin_vault::check::Damage;
use twin_vault::{FILE_NAME, FieldEdit, Revision, Unlock, Vault, VaultError, WriteChange};
use twins::{family, meet};

fn history(vault: &mut Vault, id: &str) -> Vec<Revision> {
    vault
        .history(&space("home"), "c", id, None, usize::MAX)
        .unwrap()
}

fn restore(vault: &mut Vault, now: u64, id: &str) -> Result<(), VaultError> {
    let restored = vault.restore(now, &mut rng(now), &space("home"), "c", id);
    restored.map(|_| ())
}

fn read(vault: &mut Vault, id: &str) -> Option<Fields> {
    let record = vault.get(&space("home"), "c", id).unwrap();
    record.map(|record| record.fields)
}

/// How many rows the table of past parts has.
fn rows(dir: &Path) -> i64 {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    let count = "SELECT count(*) FROM past";
    file.query_row(count, [], |row| row.get(0)).unwrap()
}

fn harm(dir: &Path, sql: &str) {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn each_change_is_told_with_who_when_and_what_came_of_it() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    put(&mut phone, NOON, "c", "r", &[("a", "1"), ("b", "1")]);
    patch(&mut phone, NOON + 1, "c", "r", &[("a", "2")]);
    meet(&mut [&mut phone, &mut laptop], NOON + 2);
    let count = WriteChange::patch("c", "r", Fields::default());
    commit(
        &mut laptop,
        NOON + 3,
        vec![count.with("n", FieldEdit::Count(1))],
    );
    delete(&mut laptop, NOON + 4, "c", "r");
    put(&mut laptop, NOON + 5, "c", "r", &[("a", "3")]);
    put(&mut laptop, NOON + 5, "c", "another", &[("a", "x")]);
    meet(&mut [&mut phone, &mut laptop], NOON + 6);
    let all = history(&mut phone, "r");
    let told: Vec<_> = all
        .iter()
        .map(|revision| {
            let by_phone = revision.by == phone.device_keys().id();
            (revision.changed.millis() - NOON, by_phone, revision.kind)
        })
        .collect();
    let expected = [
        (5, false, Kind::Put),
        (4, false, Kind::Delete),
        (3, false, Kind::Patch),
        (1, true, Kind::Patch),
        (0, true, Kind::Put),
    ];
    assert_eq!(told, expected);
    assert_eq!(all[0].record, Some(fields(&[("a", "3")])));
    assert_eq!(all[1].record, None);
    assert!(all[2].given.0.is_empty() && all[2].edits.0.contains_key("n"));
    let counted = all[2].record.as_ref().unwrap();
    assert_eq!(
        counted.0.get("n"),
        Some(&twin_ops::value::Value::Counter(1))
    );
    assert_eq!(counted.0.len(), 3);
    assert_eq!(all[3].given, fields(&[("a", "2")]));
    assert_eq!(all[3].record, Some(fields(&[("a", "2"), ("b", "1")])));
    assert_eq!(all, history(&mut laptop, "r"));
    assert_eq!(history(&mut phone, "another").len(), 1);
    assert_eq!(history(&mut phone, "never"), []);

    // A page at a time.
    let mut paged = Vec::new();
    loop {
        let before = paged.last().map(|revision: &Revision| revision.at);
        let page = phone.history(&space("home"), "c", "r", before, 2).unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

#[test]
fn it_is_the_same_late_settled_rebuilt_reopened_and_under_a_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    for i in 0..40 {
        let (id, value) = (format!("r{}", i % 3), format!("{i}"));
        match i % 7 {
            0 => put(&mut vault, NOON + i, "c", &id, &[("a", &value)]),
            5 => delete(&mut vault, NOON + i, "c", &id),
            _ => patch(&mut vault, NOON + i, "c", &id, &[("b", &value)]),
        }
    }
    let all = |vault: &mut Vault| ["r0", "r1", "r2"].map(|id| history(vault, id));
    let late = all(&mut vault);
    assert_eq!(late.iter().map(Vec::len).sum::<usize>(), 40);
    // Nothing of it costs a page of its own before it is settled.
    assert_eq!(rows(dir.path()), 0);
    let mut other = reopen(dir.path()).unwrap();
    assert_eq!(all(&mut other), late);
    vault.settle_index().unwrap();
    let settled = rows(dir.path());
    assert!(settled >= 40 - 3 * 3, "{settled}");
    assert_eq!(all(&mut vault), late);
    assert_eq!(all(&mut other), late, "another process sees it");
    vault.rebuild_index().unwrap();
    assert_eq!((all(&mut vault), rows(dir.path())), (late.clone(), settled));
    patch(&mut vault, NOON + 50, "c", "r0", &[("b", "late")]);
    let with_late = all(&mut vault);
    let unlock = Unlock::Password("a new one");
    vault.change_slot(NOON, 1, unlock, &mut rng(1)).unwrap();
    assert_eq!(all(&mut vault), with_late);
    assert!(vault.check().unwrap().is_whole());
    drop(vault);
    let mut vault = Vault::open(dir.path(), Unlock::Password("a new one"), NOON).unwrap();
    assert_eq!(all(&mut vault), with_late);
}

#[test]
fn settling_happens_by_itself_when_one_record_changes_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    for op in 0..5u64 {
        let change = |i| common::change(Kind::Put, "c", "r", &[("a", &format!("{op} {i}"))]);
        commit(&mut vault, NOON + op, (0..4000).map(change).collect());
    }
    assert!(rows(dir.path()) > 16_384);
    let newest = vault.history(&space("home"), "c", "r", None, 3).unwrap();
    let values = newest
        .iter()
        .map(|revision| revision.record.clone().unwrap());
    let expected = ["4 3999", "4 3998", "4 3997"].map(|value| fields(&[("a", value)]));
    assert!(values.eq(expected));
    assert_eq!(history(&mut vault, "r").len(), 500, "a page has an end");
}

#[test]
fn damage_to_it_is_named_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    for id in ["r", "s"] {
        put(&mut vault, NOON, "c", id, &[("a", "1")]);
        put(&mut vault, NOON + 1, "c", id, &[("a", "2")]);
        put(&mut vault, NOON + 2, "c", id, &[("a", "3")]);
    }
    vault.settle_index().unwrap();
    let whole = history(&mut vault, "r");
    assert_eq!(rows(dir.path()), 4);
    for (sql, is_read) in [
        // One is missing.
        (
            "DELETE FROM past WHERE p = (SELECT min(p) FROM past)",
            false,
        ),
        // One is the other record's.
        (
            "UPDATE past SET k = (SELECT max(k) + min(k) FROM rec) - k
             WHERE p = (SELECT min(p) FROM past)",
            true,
        ),
        // One that decides.
        ("INSERT INTO past SELECT k, p FROM rec LIMIT 1", false),
        // One that is not there.
        ("INSERT INTO past SELECT k, 5 FROM rec", true),
        // One of no record at all.
        ("INSERT INTO past SELECT 77, p FROM rec LIMIT 1", false),
    ] {
        harm(dir.path(), sql);
        let report = vault.check().unwrap();
        assert!(!report.is_whole() && report.can_be_rebuilt(), "{sql}");
        let of_index =
            |damage: &Damage| matches!(damage, Damage::Unshown { .. } | Damage::Record(_));
        assert!(report.named.iter().all(of_index), "{sql}");
        if is_read {
            let damaged = ["r", "s"].map(|id| {
                let read = vault.history(&space("home"), "c", id, None, 9);
                matches!(read, Err(VaultError::Damaged(_)))
            });
            assert!(damaged.contains(&true), "{sql}");
        }
        assert_eq!(read(&mut vault, "r"), Some(fields(&[("a", "3")])));
        vault.rebuild_index().unwrap();
        assert!(vault.check().unwrap().is_whole(), "{sql}");
        assert_eq!(history(&mut vault, "r"), whole);
    }
}

#[test]
fn a_delete_can_be_undone() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    put(&mut phone, NOON, "c", "r", &[("a", "1"), ("b", "1")]);
    patch(&mut phone, NOON + 1, "c", "r", &[("b", "2")]);
    let was = read(&mut phone, "r");
    delete(&mut phone, NOON + 2, "c", "r");
    meet(&mut [&mut phone, &mut laptop], NOON + 3);
    assert_eq!(read(&mut laptop, "r"), None);
    // On another device, whose clock is behind.
    restore(&mut laptop, NOON - 100, "r").unwrap();
    assert_eq!(read(&mut laptop, "r"), was);
    meet(&mut [&mut phone, &mut laptop], NOON + 4);
    assert_eq!(read(&mut phone, "r"), was);
    let revision = &history(&mut phone, "r")[0];
    assert_eq!(
        (revision.kind, &revision.given),
        (Kind::Patch, &Fields::default())
    );
    assert_eq!(revision.record, was);
    patch(&mut phone, NOON + 5, "c", "r", &[("a", "3")]);
    assert_eq!(
        read(&mut phone, "r"),
        Some(fields(&[("a", "3"), ("b", "2")]))
    );
    phone.rebuild_index().unwrap();
    assert_eq!(
        read(&mut phone, "r"),
        Some(fields(&[("a", "3"), ("b", "2")]))
    );

    // What is there, never was, or was nothing but deleted has nothing to be undone.
    delete(&mut phone, NOON + 6, "c", "nothing");
    for id in ["r", "never", "nothing"] {
        let refused = restore(&mut phone, NOON + 7, id);
        assert!(matches!(refused, Err(VaultError::InvalidChange(_))), "{id}");
        assert_ne!(read(&mut phone, id), Some(Fields::default()));
    }
}
