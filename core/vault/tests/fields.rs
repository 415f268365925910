//! Sets and counters on several devices, and values of later versions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use chacha20_rng::rand_core::Rng;
use common::*;
use twin_identity::device::Role;
use twin_ops::op::OpError;
use twin_ops::set::Set;
use twin_ops::value::{Fields, Reference, Unknown, Value};
use twin_vault::{FieldEdit, Vault, VaultError, WriteChange};
use twins::{family, meet};

fn set(elements: &[&str]) -> Set {
    Set::of(elements.iter().map(|element| Value::from(*element))).unwrap()
}

fn elements(add: &[&str], remove: &[&str]) -> FieldEdit {
    FieldEdit::Elements {
        add: set(add),
        remove: set(remove),
    }
}

fn edited(id: &str, field: &str, edit: FieldEdit) -> WriteChange {
    WriteChange::patch("c", id, Fields::default()).with(field, edit)
}

fn edit(vault: &mut Vault, now: u64, field: &str, edit: FieldEdit) {
    commit(vault, now, vec![edited("r", field, edit)]);
}

fn give(vault: &mut Vault, now: u64, field: &str, value: Value) {
    let fields = Fields([(field.to_owned(), value)].into());
    commit(vault, now, vec![WriteChange::patch("c", "r", fields)]);
}

fn read(vault: &mut Vault, field: &str) -> Option<Value> {
    let record = vault.get(&space("home"), "c", "r").unwrap().unwrap();
    record.fields.0.get(field).cloned()
}

fn refuses(vault: &mut Vault, change: WriteChange, says: &str) {
    let refused = vault.commit(NOON, &mut rng(1), &space("home"), vec![change]);
    match refused {
        Err(VaultError::InvalidChange(why)) => assert!(why.contains(says), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_adds_while_another_removes_has_added() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    put(&mut phone, NOON, "c", "r", &[("title", "kept")]);
    edit(&mut phone, NOON + 1, "tags", elements(&["a", "b"], &[]));
    meet(&mut [&mut phone, &mut laptop], NOON + 2);
    assert_eq!(
        read(&mut laptop, "tags"),
        Some(Value::Set(set(&["a", "b"])))
    );

    // The laptop's clock is behind: what it removes it has seen all the same.
    edit(
        &mut laptop,
        NOON - 9,
        "tags",
        elements(&["c"], &["a", "b", "none"]),
    );
    edit(&mut phone, NOON + 3, "tags", elements(&["a"], &[]));
    assert_eq!(read(&mut laptop, "tags"), Some(Value::Set(set(&["c"]))));
    meet(&mut [&mut phone, &mut laptop], NOON + 4);
    for vault in [&mut phone, &mut laptop] {
        assert_eq!(read(vault, "tags"), Some(Value::Set(set(&["a", "c"]))));
        assert_eq!(read(vault, "title"), Some(Value::from("kept")));
    }
    // Now that it has seen it, it can remove it.
    edit(&mut laptop, NOON - 8, "tags", elements(&[], &["a", "c"]));
    meet(&mut [&mut phone, &mut laptop], NOON + 5);
    assert_eq!(read(&mut phone, "tags"), Some(Value::Set(Set::default())));

    // An assignment takes all that it has seen away.
    edit(&mut phone, NOON + 6, "tags", elements(&["x"], &[]));
    give(&mut phone, NOON + 7, "tags", Value::Set(set(&["y", "z"])));
    edit(&mut phone, NOON + 8, "tags", elements(&[], &["y"]));
    meet(&mut [&mut phone, &mut laptop], NOON + 9);
    assert_eq!(read(&mut laptop, "tags"), Some(Value::Set(set(&["z"]))));
}

#[test]
fn what_devices_count_at_the_same_time_adds_up() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member, Role::Member]);
    put(&mut phone, NOON, "c", "r", &[]);
    give(&mut phone, NOON, "n", Value::Counter(100));
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    // Several times in one commit, and in several.
    let thrice = vec![edited("r", "n", FieldEdit::Count(1)); 3];
    commit(&mut phone, NOON + 1, thrice);
    edit(&mut phone, NOON + 2, "n", FieldEdit::Count(4));
    edit(&mut laptop, NOON - 5, "n", FieldEdit::Count(-10));
    edit(&mut tablet, NOON + 9, "n", FieldEdit::Count(1000));
    assert_eq!(read(&mut phone, "n"), Some(Value::Counter(107)));
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + 10);
    for vault in [&mut phone, &mut laptop, &mut tablet] {
        assert_eq!(read(vault, "n"), Some(Value::Counter(1097)));
    }
    // A new number: counting goes on from there, and what was counted from the old one is in it no more.
    edit(&mut laptop, NOON + 10, "n", FieldEdit::Count(7));
    give(&mut phone, NOON + 11, "n", Value::Counter(0));
    edit(&mut phone, NOON + 12, "n", FieldEdit::Count(2));
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + 13);
    edit(&mut laptop, NOON + 14, "n", FieldEdit::Count(3));
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + 15);
    for vault in [&mut phone, &mut laptop, &mut tablet] {
        assert_eq!(read(vault, "n"), Some(Value::Counter(5)));
        vault.rebuild_index().unwrap();
        assert_eq!(read(vault, "n"), Some(Value::Counter(5)));
    }
    // It stops where numbers end.
    edit(&mut phone, NOON + 16, "n", FieldEdit::Count(i64::MAX));
    edit(&mut phone, NOON + 17, "n", FieldEdit::Count(i64::MAX));
    assert_eq!(read(&mut phone, "n"), Some(Value::Counter(i64::MAX)));
}

#[test]
fn edits_begin_with_nothing_and_fit_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    // A record that is not there is made by them, again after it was deleted.
    for now in [NOON, NOON + 10] {
        let change = edited("r", "tags", elements(&["a"], &["b"]));
        commit(
            &mut vault,
            now,
            vec![change.with("n", FieldEdit::Count(-3))],
        );
        assert_eq!(read(&mut vault, "tags"), Some(Value::Set(set(&["a"]))));
        assert_eq!(read(&mut vault, "n"), Some(Value::Counter(-3)));
        delete(&mut vault, now + 5, "c", "r");
    }
    put(&mut vault, NOON + 20, "c", "r", &[("title", "text")]);
    edit(&mut vault, NOON + 21, "new", FieldEdit::Count(1));
    assert_eq!(read(&mut vault, "new"), Some(Value::Counter(1)));
    // A field that was taken away begins anew.
    give(&mut vault, NOON + 22, "new", Value::Null);
    assert_eq!(read(&mut vault, "new"), None);
    edit(&mut vault, NOON + 23, "new", elements(&["a"], &[]));
    assert_eq!(read(&mut vault, "new"), Some(Value::Set(set(&["a"]))));

    refuses(
        &mut vault,
        edited("r", "title", FieldEdit::Count(1)),
        "no counter",
    );
    refuses(
        &mut vault,
        edited("r", "title", elements(&["a"], &[])),
        "no set",
    );
    refuses(
        &mut vault,
        edited("r", "new", FieldEdit::Count(1)),
        "no counter",
    );
    let both = WriteChange::patch("c", "r", fields(&[("n", "1")]));
    refuses(&mut vault, both.with("n", FieldEdit::Count(1)), "not both");
    let put = WriteChange::put("c", "r", Fields::default());
    refuses(
        &mut vault,
        put.with("n", FieldEdit::Count(1)),
        "only a patch",
    );
    let nowhere = Value::Reference(Reference {
        collection: String::new(),
        id: "x".to_owned(),
    });
    let nowhere = Fields([("to".to_owned(), nowhere)].into());
    refuses(
        &mut vault,
        WriteChange::put("c", "r", nowhere),
        "a reference",
    );
    refuses(
        &mut vault,
        WriteChange::put("~c", "r", Fields::default()),
        "reserved",
    );
}

#[test]
fn a_change_with_more_values_than_any_reader_takes_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let numbers = |count: i64| {
        let set = Set::of((0..count).map(Value::Int)).unwrap();
        WriteChange::put("c", "r", Fields([("s".to_owned(), Value::Set(set))].into()))
    };
    let mut commit = |change| vault.commit(NOON, &mut rng(1), &space("home"), vec![change]);
    commit(numbers(65_000)).unwrap();
    assert!(matches!(
        commit(numbers(65_536)),
        Err(VaultError::Op(OpError::TooLarge))
    ));
}

#[test]
fn what_a_later_version_wrote_is_left_as_it_was() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    let later = Value::Unknown(Unknown::from_bytes(&[0x83, 0x18, 0x2a, 0x61, b'x', 0x80]).unwrap());
    put(&mut phone, NOON, "c", "r", &[("a", "1")]);
    give(&mut phone, NOON, "later", later.clone());
    meet(&mut [&mut phone, &mut laptop], NOON);
    patch(&mut laptop, NOON + 1, "c", "r", &[("a", "2")]);
    meet(&mut [&mut phone, &mut laptop], NOON + 2);
    phone.rebuild_index().unwrap();
    for vault in [&mut phone, &mut laptop] {
        assert_eq!(read(vault, "later"), Some(later.clone()));
        assert_eq!(read(vault, "a"), Some(Value::from("2")));
    }
}

/// Devices edit the same record, with clocks that differ, and meet now and then, two at a time.
#[test]
fn whoever_meets_whomever_in_the_end_all_hold_the_same() {
    for seed in 0..4 {
        let dice = &mut rng(seed);
        let (_dirs, phone, [laptop, tablet]) = family([Role::Member, Role::Member]);
        let mut vaults = [phone, laptop, tablet];
        for step in 0..60 {
            let now = NOON + 10 * step + dice.next_u64() % 50;
            let [who, other, what] = [(); 3].map(|()| dice.next_u64() as usize);
            let vault = &mut vaults[who % 3];
            let field = ["x", "y"][other % 2];
            let letter = ["a", "b", "c"][what % 3];
            let there = vault.get(&space("home"), "c", "r").unwrap();
            let value = there.and_then(|record| record.fields.0.get(field).cloned());
            match (what % 16, value) {
                (0..5, None | Some(Value::Set(_))) => {
                    edit(vault, now, field, elements(&[letter], &[]));
                }
                (5..9, None | Some(Value::Set(_))) => {
                    edit(vault, now, field, elements(&[], &[letter]));
                }
                (0..9, Some(Value::Counter(_))) => edit(vault, now, field, FieldEdit::Count(1)),
                (9, _) => give(vault, now, field, Value::Counter(5)),
                (10, _) => give(vault, now, field, Value::Set(set(&[letter]))),
                (11, _) => put(vault, now, "c", "r", &[("z", letter)]),
                (12, _) => delete(vault, now, "c", "r"),
                _ => {
                    let (one, two) = vaults.split_at_mut(1 + other % 2);
                    send(&one[0], &mut two[0], now);
                    send(&two[0], &mut one[0], now);
                }
            }
        }
        let [one, two, three] = &mut vaults;
        meet(&mut [one, two, three], NOON + 2000);
        let all = vaults.each_mut().map(|vault| {
            let before = records(vault, "c");
            assert!(vault.check().unwrap().is_whole());
            vault.rebuild_index().unwrap();
            assert_eq!(records(vault, "c"), before);
            assert!(vault.check().unwrap().is_whole());
            (
                before,
                vault.history(&space("home"), "c", "r", None, 500).unwrap(),
            )
        });
        assert!(all[0].1.len() > 20, "{}", all[0].1.len());
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
    }
}
