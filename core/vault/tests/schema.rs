//! Schemas bind what is written here, travel, and keep what later versions say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use common::*;
use twin_identity::device::Role;
use twin_ops::set::Set;
use twin_ops::value::{Fields, Value};
use twin_vault::schema::SCHEMAS;
use twin_vault::{FieldEdit, Schema, SchemaFault, Vault, VaultError, WriteChange};
use twins::{family, meet};

fn schema(rules: &[(&str, &str)]) -> Schema {
    let rule = |(name, rule): &(&str, &str)| ((*name).to_owned(), rule.parse().unwrap());
    Schema(rules.iter().map(rule).collect())
}

fn set(vault: &mut Vault, now: u64, rules: &[(&str, &str)]) {
    vault
        .set_schema(now, &mut rng(now), &space("home"), "c", &schema(rules))
        .unwrap()
        .unwrap();
}

fn shown(vault: &mut Vault) -> Vec<String> {
    let schema = vault.schema(&space("home"), "c").unwrap();
    let schema = schema.as_deref().cloned().unwrap_or_default();
    let rules = schema.0.iter();
    rules.map(|(name, rule)| format!("{name}={rule}")).collect()
}

fn indexed(vault: &mut Vault) -> Vec<String> {
    let schema = vault.schema(&space("home"), "c").unwrap();
    let fields = schema.iter().flat_map(|schema| schema.indexed());
    fields.map(str::to_owned).collect()
}

fn write(vault: &mut Vault, change: WriteChange) -> Result<(), VaultError> {
    let written = vault.commit(NOON + 100, &mut rng(1), &space("home"), vec![change]);
    written.map(|_| ())
}

fn misses(result: Result<(), VaultError>, field: &str) {
    match result {
        Err(VaultError::Schema(SchemaFault::Missing(name))) => assert_eq!(name, field),
        other => panic!("{other:?}"),
    }
}

fn mistypes(result: Result<(), VaultError>, field: &str) {
    match result {
        Err(VaultError::Schema(SchemaFault::Type { field: name, .. })) => assert_eq!(name, field),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_here_keeps_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(&mut vault, NOON, "c", "before", &[]);
    let rules = [
        ("title", "text required"),
        ("n", "counter"),
        ("tags", "set"),
        ("free", "any indexed"),
    ];
    set(&mut vault, NOON, &rules);
    let one = |name: &str, value| Fields([(name.to_owned(), value)].into());
    let put = |fields| WriteChange::put("c", "r", fields);
    let patch = |fields| WriteChange::patch("c", "r", fields);
    misses(write(&mut vault, put(Fields::default())), "title");
    misses(write(&mut vault, put(one("title", Value::Null))), "title");
    mistypes(write(&mut vault, put(one("title", Value::Int(1)))), "title");
    // Of a record that is not there, a patch makes one.
    misses(write(&mut vault, patch(fields(&[("free", "x")]))), "title");
    write(&mut vault, put(fields(&[("title", "x"), ("other", "y")]))).unwrap();
    write(&mut vault, patch(one("free", Value::Bool(true)))).unwrap();
    misses(write(&mut vault, patch(one("title", Value::Null))), "title");
    mistypes(write(&mut vault, patch(one("n", Value::Int(1)))), "n");
    let nothing = || patch(Fields::default());
    let tag = FieldEdit::Elements {
        add: Set::of([Value::Int(1)]).unwrap(),
        remove: Set::default(),
    };
    mistypes(
        write(&mut vault, nothing().with("tags", FieldEdit::Count(1))),
        "tags",
    );
    mistypes(
        write(&mut vault, nothing().with("title", FieldEdit::Count(1))),
        "title",
    );
    mistypes(write(&mut vault, nothing().with("n", tag.clone())), "n");
    let both = nothing().with("n", FieldEdit::Count(1)).with("tags", tag);
    write(&mut vault, both).unwrap();
    // What was there before is changed as it is; what goes is not asked.
    write(
        &mut vault,
        WriteChange::patch("c", "before", fields(&[("a", "b")])),
    )
    .unwrap();
    write(&mut vault, WriteChange::delete("c", "r")).unwrap();
    // Other collections are free, and so is what is taken in.
    write(&mut vault, WriteChange::put("d", "r", Fields::default())).unwrap();
    let taken = vec![WriteChange::put("c", "r", Fields::default())];
    vault
        .commit_imported(NOON + 200, &mut rng(2), &space("home"), taken, &[])
        .unwrap();
    assert_eq!(indexed(&mut vault), ["free"]);
    // Reserved collections are not shown among the others, nor written to.
    assert_eq!(vault.collections(&space("home")).unwrap(), ["c", "d"]);
    assert!(write(&mut vault, WriteChange::delete(SCHEMAS, "c")).is_err());
    let of_schemas = vault.set_schema(NOON, &mut rng(3), &space("home"), SCHEMAS, &schema(&rules));
    assert!(matches!(of_schemas, Err(VaultError::InvalidChange(_))));
    let nameless = vault.set_schema(NOON, &mut rng(4), &space("home"), "", &schema(&rules));
    assert!(matches!(nameless, Err(VaultError::InvalidChange(_))));
    let names: Vec<String> = (0..33).map(|number| format!("f{number}")).collect();
    let many: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), "any indexed"))
        .collect();
    let many = vault.set_schema(NOON, &mut rng(5), &space("home"), "m", &schema(&many));
    assert!(matches!(many, Err(VaultError::InvalidChange(why)) if why.contains("at most 32")));
}

#[test]
fn what_an_older_app_writes_stays_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    set(
        &mut vault,
        NOON,
        &[("a", "text required"), ("b", "int"), ("c", "float")],
    );
    let mut try_to = |rules: &[(&str, &str)]| {
        vault.set_schema(NOON + 1, &mut rng(9), &space("home"), "c", &schema(rules))
    };
    let (a, b, c) = (("a", "text required"), ("b", "int"), ("c", "float"));
    for breaks in [
        &[a, ("b", "int required"), c][..],
        &[a, b, c, ("d", "text required")],
        &[a, ("b", "float"), c],
        &[("a", "int required"), b, c],
    ] {
        let refused = try_to(breaks);
        let is_breach = matches!(refused, Err(VaultError::Schema(SchemaFault::Breaks(_))));
        assert!(is_breach, "{breaks:?}: {refused:?}");
    }
    for goes_on in [
        &[a, b, ("c", "float indexed"), ("d", "set")][..],
        &[("a", "text"), ("b", "any"), c],
        &[("a", "text")],
    ] {
        assert!(try_to(goes_on).is_ok(), "{goes_on:?}");
    }
}

#[test]
fn it_travels_merges_and_refuses_nobody_elses_records() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    set(&mut phone, NOON, &[("a", "text required"), ("b", "int")]);
    meet(&mut [&mut phone, &mut laptop], NOON + 1);
    assert_eq!(shown(&mut laptop), ["a=text required", "b=int"]);
    // Both change it at the same time.
    set(
        &mut laptop,
        NOON + 2,
        &[("a", "text required"), ("b", "int"), ("c", "bool indexed")],
    );
    set(
        &mut phone,
        NOON + 3,
        &[("a", "text"), ("d", "float indexed")],
    );
    put(
        &mut phone,
        NOON + 3,
        "c",
        "r",
        &[("b", "no number, and no a")],
    );
    meet(&mut [&mut phone, &mut laptop], NOON + 4);
    for vault in [&mut phone, &mut laptop] {
        assert_eq!(
            shown(vault),
            ["a=text", "c=bool indexed", "d=float indexed"]
        );
        assert_eq!(indexed(vault), ["c", "d"]);
    }
    let record = laptop.get(&space("home"), "c", "r").unwrap().unwrap();
    assert_eq!(record.fields, fields(&[("b", "no number, and no a")]));
    // Nothing new is not written.
    let same = schema(&[("a", "text"), ("c", "bool indexed"), ("d", "float indexed")]);
    let written = phone.set_schema(NOON + 5, &mut rng(5), &space("home"), "c", &same);
    assert_eq!(written.unwrap(), None);
}

#[test]
fn what_later_versions_say_stays_and_asks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let later = [
        (
            "v".to_owned(),
            Value::from("vector required indexed unique"),
        ),
        ("w".to_owned(), Value::Int(7)),
    ];
    let change = WriteChange::put(SCHEMAS, "c", Fields(later.clone().into()));
    vault
        .commit_imported(NOON, &mut rng(1), &space("home"), vec![change], &[])
        .unwrap();
    let mut now = vault.schema(&space("home"), "c").unwrap().unwrap();
    let rules = std::sync::Arc::make_mut(&mut now);
    rules.0.insert("a".to_owned(), "text".parse().unwrap());
    vault
        .set_schema(NOON + 1, &mut rng(2), &space("home"), "c", &now)
        .unwrap()
        .unwrap();
    assert_eq!(
        shown(&mut vault),
        ["a=text", "v=vector required indexed unique"]
    );
    let record = vault.get(&space("home"), SCHEMAS, "c").unwrap().unwrap();
    for (name, value) in later {
        assert_eq!(record.fields.0.get(&name), Some(&value));
    }
    put(&mut vault, NOON + 2, "c", "r", &[("v", "anything")]);
}

#[test]
fn it_is_read_again_when_another_process_has_changed_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(&mut vault, NOON, "c", "r", &[]);
    set(&mut vault, NOON, &[("a", "text indexed")]);
    let mut other = reopen(dir.path()).unwrap();
    assert_eq!(indexed(&mut other), ["a"]);
    set(
        &mut vault,
        NOON + 1,
        &[("a", "text indexed"), ("b", "int indexed")],
    );
    assert_eq!(indexed(&mut other), ["a", "b"]);
    set(&mut other, NOON + 2, &[("b", "int indexed")]);
    assert_eq!(indexed(&mut vault), ["b"]);
}
