//! Finding records by words and by values: what is there now, whoever wrote it and whenever it began to count.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use common::*;
use proptest::prelude::*;
use tempfile::tempdir;
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::set::Set;
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::{Fields, Reference, Value};
use twin_vault::check::Damage;
use twin_vault::{FILE_NAME, Order, Page, Query, Unlock, Vault, VaultError, WriteChange};

const ANY: usize = 1000;

/// The ids of the records in `home` that a search finds, in its order.
fn ranked(vault: &mut Vault, query: &str) -> Vec<String> {
    let hits = vault.search(&space("home"), query, None, ANY).unwrap();
    hits.into_iter().map(|hit| hit.record.id).collect()
}

/// The same, sorted.
fn found(vault: &mut Vault, query: &str) -> Vec<String> {
    let mut ids = ranked(vault, query);
    ids.sort();
    ids
}

fn ask(vault: &mut Vault, query: &Query) -> Page {
    vault.query(&space("home"), "c", query).unwrap()
}

fn ids(page: &Page) -> Vec<&str> {
    page.records
        .iter()
        .map(|record| record.id.as_str())
        .collect()
}

/// Writes to a collection that is not an app's own.
fn reserved(vault: &mut Vault, now: u64, change: WriteChange) {
    vault
        .commit_imported(now, &mut rng(now), &space("home"), vec![change], &[])
        .unwrap();
}

/// Says that these fields of the collection `c` are indexed.
fn index(vault: &mut Vault, now: u64, fields: &[&str]) {
    let fields: Vec<(&str, &str)> = fields.iter().map(|name| (*name, "any indexed")).collect();
    reserved(vault, now, change(Kind::Put, "~schema", "c", &fields));
}

fn number(id: &str, n: i64) -> WriteChange {
    let fields = Fields([("n".to_owned(), Value::Int(n))].into());
    WriteChange::put("c", id, fields)
}

/// How many blocks are kept, and how many rows of places to be taken up.
fn kept(dir: &Path) -> (u32, u32) {
    let file = rusqlite::Connection::open(dir.join(FILE_NAME)).unwrap();
    let sql = "SELECT count(*) FILTER (WHERE n >= 0), count(*) FILTER (WHERE n < 0) FROM block";
    file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

fn harm(dir: &Path, sql: &str) -> usize {
    let file = rusqlite::Connection::open(dir.join(FILE_NAME)).unwrap();
    file.execute(sql, []).unwrap()
}

/// Before there is anything, what is to be taken up next is all that tells of it.
#[test]
fn a_search_in_an_empty_vault_keeps_nothing_from_the_next() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    for round in 0..3 {
        assert_eq!(found(&mut vault, "amsel").len(), 0);
        put(&mut vault, NOON + round, "c", "r", &[("a", "amsel")]);
        vault.settle_index().unwrap();
        assert_eq!(found(&mut vault, "amsel"), ["r"]);
        vault
            .erase(NOON + round, &mut rng(round), &space("home"), "c", "r")
            .unwrap();
    }
}

#[test]
fn what_is_there_now_is_found() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(
        &mut vault,
        NOON,
        "c",
        "ada",
        &[("name", "Ada Lovelace"), ("note", "Äpfel kaufen")],
    );
    put(
        &mut vault,
        NOON,
        "c",
        "grace",
        &[("name", "Grace Hopper"), ("note", "buy apples")],
    );
    put(
        &mut vault,
        NOON,
        "d",
        "tokyo",
        &[("name", "東京都"), ("note", "Grace was here")],
    );
    assert_eq!(found(&mut vault, "apfel"), ["ada"]);
    assert_eq!(found(&mut vault, "GRACE"), ["grace", "tokyo"]);
    assert_eq!(found(&mut vault, "京都"), ["tokyo"]);
    assert_eq!(
        found(&mut vault, "buy grace"),
        ["grace"],
        "both, wherever they are"
    );
    assert_eq!(
        found(&mut vault, "app"),
        ["grace"],
        "the beginning of the last word"
    );
    assert_eq!(found(&mut vault, "app grace"), [""; 0]);
    assert_eq!(found(&mut vault, "nobody"), [""; 0]);
    let within = |vault: &mut Vault, collection: &str| {
        let hits = vault
            .search(&space("home"), "grace", Some(collection), ANY)
            .unwrap();
        hits.into_iter()
            .map(|hit| (hit.collection, hit.record.id))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        within(&mut vault, "d"),
        [("d".to_owned(), "tokyo".to_owned())]
    );
    assert_eq!(within(&mut vault, "e"), []);
    assert_eq!(
        vault.search(&space("garden"), "grace", None, ANY).unwrap(),
        []
    );

    patch(
        &mut vault,
        NOON + 1,
        "c",
        "grace",
        &[("note", "sell pears")],
    );
    assert_eq!(found(&mut vault, "apples"), [""; 0]);
    assert_eq!(found(&mut vault, "pears hop"), ["grace"]);
    delete(&mut vault, NOON + 2, "c", "grace");
    assert_eq!(found(&mut vault, "grace"), ["tokyo"]);
    patch(
        &mut vault,
        NOON + 3,
        "c",
        "grace",
        &[("name", "Grace again")],
    );
    assert_eq!(found(&mut vault, "grace"), ["grace", "tokyo"]);
    // What a twin keeps for itself is nobody's to find.
    let own = change(Kind::Put, "~own", "grace", &[("name", "Grace")]);
    reserved(&mut vault, NOON, own);
    assert_eq!(found(&mut vault, "grace"), ["grace", "tokyo"]);
    assert_eq!(within(&mut vault, "~own"), []);
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn the_best_come_first() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let long = format!("pear {}", "and something else ".repeat(30));
    put(&mut vault, NOON, "c", "long", &[("a", &long)]);
    put(&mut vault, NOON, "c", "begins", &[("a", "pears tree")]);
    put(&mut vault, NOON + 1, "c", "old", &[("a", "pear tree")]);
    put(&mut vault, NOON + 2, "c", "new", &[("a", "tree pear")]);
    put(&mut vault, NOON, "c", "much", &[("a", "pear pear")]);
    assert_eq!(
        ranked(&mut vault, "pear"),
        ["much", "new", "old", "begins", "long"]
    );
    let two = vault.search(&space("home"), "pear", None, 2).unwrap();
    assert_eq!(
        two.iter()
            .map(|hit| hit.record.id.as_str())
            .collect::<Vec<_>>(),
        ["much", "new"]
    );
    assert!(two[0].score > two[1].score);
    assert_eq!(vault.search(&space("home"), "pear", None, 0).unwrap(), []);
    // A rare word counts for more than a common one.
    put(
        &mut vault,
        NOON,
        "c",
        "rare",
        &[("a", "quince quince tree of the other kind, large")],
    );
    put(&mut vault, NOON, "c", "usual", &[("a", "quince tree tree")]);
    assert_eq!(ranked(&mut vault, "quince tree"), ["rare", "usual"]);
}

#[test]
fn a_search_has_a_length() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let mut refused = |query: &str| {
        let hits = vault.search(&space("home"), query, None, ANY);
        matches!(hits, Err(VaultError::InvalidQuery(_)))
    };
    assert!(!refused(&"a".repeat(256)) && refused(&"a".repeat(257)));
    assert!(!refused(&"a ".repeat(16)) && refused(&"a ".repeat(17)));
    assert!(refused("") && refused(" ") && refused("?!"));
}

#[test]
fn what_is_read_or_counted_later_is_found_then() {
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    let mut phone = phone(dirs[0].path());
    let mut laptop = linked(dirs[1].path(), &mut phone, 10, Role::Member);
    put(&mut laptop, NOON, "c", "own", &[("a", "pear")]);
    assert_eq!(found(&mut laptop, "pear"), ["own"]);
    // Ops before their key: nothing to be found, and then all of it.
    put(&mut phone, NOON + 1, "c", "one", &[("a", "pear")]);
    send_identity(&phone, &mut laptop, NOON);
    for LogHead { log, .. } in phone.heads().unwrap() {
        let origin = phone.origin(&log).unwrap().unwrap();
        let run = phone.read_run(&log, 0, usize::MAX).unwrap();
        laptop.append_run(NOON, &origin, &run).unwrap();
    }
    assert_eq!(found(&mut laptop, "pear"), ["own"]);
    send(&phone, &mut laptop, NOON);
    assert_eq!(found(&mut laptop, "pear"), ["one", "own"]);
    // A clock that is ahead.
    let later = NOON + 60 * MINUTE;
    put(&mut phone, later, "c", "two", &[("a", "pear")]);
    send(&phone, &mut laptop, NOON);
    assert_eq!(found(&mut laptop, "pear"), ["one", "own"]);
    assert!(laptop.merge_due(later).unwrap());
    assert_eq!(found(&mut laptop, "pear"), ["one", "own", "two"]);
    // A device that is suspended.
    send(&laptop, &mut phone, later);
    assert_eq!(found(&mut phone, "pear"), ["one", "own", "two"]);
    phone.suspend(&laptop.device(), &mut rng(1)).unwrap();
    put(&mut laptop, later, "c", "three", &[("a", "pear")]);
    patch(&mut laptop, later, "c", "own", &[("a", "plum")]);
    let me = laptop.device();
    for LogHead { log, .. } in laptop.heads().unwrap() {
        let origin = laptop.origin(&log).unwrap().unwrap();
        if origin.device == me {
            let run = laptop.read_run(&log, 0, usize::MAX).unwrap();
            phone.append_run(later, &origin, &run).unwrap();
        }
    }
    assert_eq!(found(&mut phone, "pear"), ["one", "own", "two"]);
    phone.resume(&me, &mut rng(2)).unwrap();
    send(&laptop, &mut phone, later);
    assert_eq!(found(&mut phone, "pear"), ["one", "three", "two"]);
    assert_eq!(found(&mut phone, "plum"), ["own"]);
    assert!(phone.check().unwrap().is_whole());
}

#[test]
fn two_processes_search_and_write() {
    let dir = tempdir().unwrap();
    let mut app = phone(dir.path());
    let mut extension = reopen(dir.path()).unwrap();
    index(&mut app, NOON, &["n"]);
    for i in 0..40 {
        let id = format!("r{i:02}");
        let writer = if i % 2 == 0 { &mut app } else { &mut extension };
        let mut change = number(&id, i);
        change.fields.0.insert("a".to_owned(), "pear".into());
        commit(writer, NOON, vec![change]);
        let count = i as usize + 1;
        let reader = if i % 3 == 0 { &mut app } else { &mut extension };
        assert_eq!(ranked(reader, "pear").len(), count);
        let page = ask(
            reader,
            &Query::range("n", Bound::Unbounded, Bound::Unbounded),
        );
        assert!(page.indexed);
        assert_eq!(page.records.len(), count);
        if i % 7 == 0 {
            app.settle_index().unwrap();
        }
        if i % 11 == 0 {
            extension.rebuild_index().unwrap();
        }
    }
    assert_eq!(found(&mut app, "pear"), found(&mut extension, "pear"));
    assert!(app.check().unwrap().is_whole());
}

#[test]
fn what_left_the_late_records_before_a_search_is_found() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(&mut vault, NOON, "c", "first", &[("a", "pear")]);
    assert_eq!(found(&mut vault, "pear"), ["first"]);
    for round in 0..3u64 {
        let many = |i: u64| change(Kind::Put, "c", &format!("{round}-{i}"), &[("a", "pear")]);
        commit(&mut vault, NOON + round, (0..2000).map(many).collect());
    }
    patch(&mut vault, NOON + 5, "c", "first", &[("a", "plum")]);
    vault.settle_index().unwrap();
    assert!(kept(dir.path()).1 >= 3, "places wait to be taken up");
    // Little by little, as when nothing else is to be done.
    let mut steps = 0;
    while vault.index_records(500).unwrap() {
        steps += 1;
    }
    assert!(steps >= 3);
    assert_eq!(kept(dir.path()).1, 0);
    assert!(!vault.index_records(500).unwrap());
    let all = vault.search(&space("home"), "pear", None, 10_000).unwrap();
    assert_eq!(all.len(), 1000, "the most that a search answers with");
    assert_eq!(found(&mut vault, "plum"), ["first"]);
    // A word that is in very many records, beside a rare one.
    put(&mut vault, NOON + 6, "c", "both", &[("a", "pear quince")]);
    assert_eq!(found(&mut vault, "pear quince"), ["both"]);
    drop(vault);
    let mut vault = reopen(dir.path()).unwrap();
    assert_eq!(found(&mut vault, "quince"), ["both"]);
}

#[test]
fn a_new_vault_key_begins_anew() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    index(&mut vault, NOON, &["n"]);
    for i in 0..50 {
        put(&mut vault, NOON, "c", &format!("r{i}"), &[("a", "pear")]);
    }
    commit(&mut vault, NOON, vec![number("five", 5)]);
    assert_eq!(ranked(&mut vault, "pear").len(), 50);
    assert!(kept(dir.path()).0 > 0);
    let chip = SoftKeyStore::new(2);
    vault
        .change_slot(NOON, 1, Unlock::KeyStore(&chip), &mut rng(9))
        .unwrap();
    assert_eq!(
        kept(dir.path()),
        (0, 0),
        "nothing is left under the old key"
    );
    assert_eq!(ranked(&mut vault, "pear").len(), 50);
    assert_eq!(
        ids(&ask(&mut vault, &Query::equal("n", Value::Int(5)))),
        ["five"]
    );
    assert!(kept(dir.path()).0 > 0);
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn damage_is_named_and_made_anew_and_hides_nothing() {
    for harm_done in [
        "UPDATE block SET v = zeroblob(length(v))",
        "UPDATE block SET v = x'00' WHERE n = (SELECT max(n) FROM block)",
        "DELETE FROM block WHERE n = (SELECT max(n) FROM block)",
        "UPDATE block SET v = x'' WHERE n = (SELECT min(n) FROM block)",
        "UPDATE block SET v = (SELECT b.v FROM block b ORDER BY n DESC LIMIT 1)",
        "UPDATE item SET v = x'00' WHERE kind = 17",
    ] {
        let dir = tempdir().unwrap();
        let mut vault = phone(dir.path());
        index(&mut vault, NOON, &["n"]);
        let many = |i: i64| {
            let mut change = number(&format!("r{i:03}"), i % 10);
            change
                .fields
                .0
                .insert("a".to_owned(), Value::Text(format!("pear{i} all")));
            change
        };
        commit(&mut vault, NOON, (0..300).map(many).collect());
        vault.settle_index().unwrap();
        assert_eq!(found(&mut vault, "pear7 all"), ["r007"]);
        // Places that are to be taken up, too.
        commit(&mut vault, NOON + 1, vec![many(300)]);
        vault.settle_index().unwrap();
        let (blocks, todo) = kept(dir.path());
        assert!(blocks > 2 && todo == 1);
        drop(vault);
        assert!(harm(dir.path(), harm_done) > 0);
        let mut vault = reopen(dir.path()).unwrap();
        let report = vault.check().unwrap();
        assert!(
            report.named.contains(&Damage::Search),
            "{harm_done}: {report:?}"
        );
        assert!(report.can_be_rebuilt());
        assert!(vault.get(&space("home"), "c", "r007").unwrap().is_some());
        put(&mut vault, NOON + 2, "c", "new", &[("a", "pear7 all")]);
        vault.settle_index().unwrap();
        assert_eq!(found(&mut vault, "all").len(), 302, "{harm_done}");
        assert_eq!(found(&mut vault, "pear7 all"), ["new", "r007"]);
        let threes = ask(&mut vault, &Query::equal("n", Value::Int(3)));
        assert_eq!((threes.records.len(), threes.indexed), (30, true));
        assert!(vault.check().unwrap().is_whole(), "{harm_done}");
    }
}

#[test]
fn a_query_tells_what_it_has_read() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let write = |vault: &mut Vault, now, i: i64| {
        commit(vault, now, vec![number(&format!("r{i:03}"), i)]);
    };
    (0..100).for_each(|i| write(&mut vault, NOON, i));
    commit(
        &mut vault,
        NOON,
        vec![change(Kind::Put, "d", "r", &[("n", "1")])],
    );
    let fives = Query::range(
        "n",
        Bound::Included(Value::Int(5)),
        Bound::Excluded(Value::Int(10)),
    );
    let expected = ["r005", "r006", "r007", "r008", "r009"];
    let page = ask(&mut vault, &fives);
    assert_eq!(ids(&page), expected);
    assert_eq!(
        (page.scanned, page.indexed, &page.next),
        (100, false, &None)
    );
    // The field becomes indexed, with what was there before.
    index(&mut vault, NOON, &["n"]);
    let page = ask(&mut vault, &fives);
    assert_eq!(ids(&page), expected);
    assert_eq!((page.scanned, page.indexed, &page.next), (5, true, &None));
    // That a page is full does not mean that there are more.
    for (limit, more) in [(4, true), (5, false), (6, false)] {
        let page = ask(
            &mut vault,
            &Query {
                limit,
                ..fives.clone()
            },
        );
        assert_eq!(
            (page.records.len(), page.next.is_some()),
            (limit.min(5), more)
        );
    }
    // What has changed since is neither missed nor shown as it was.
    commit(
        &mut vault,
        NOON + 1,
        vec![number("r006", 50), number("new", 7)],
    );
    delete(&mut vault, NOON + 1, "c", "r008");
    let page = ask(&mut vault, &fives);
    let mut now: Vec<_> = ids(&page);
    now.sort_unstable();
    assert_eq!(now, ["new", "r005", "r007", "r009"]);
    assert!(page.scanned <= 7);
    // Another field instead of it.
    index(&mut vault, NOON + 2, &["m"]);
    let page = ask(&mut vault, &fives);
    assert_eq!(
        (page.records.len(), page.scanned, page.indexed),
        (4, 101, false)
    );
    let fields = Fields([("m".to_owned(), Value::Float(0.5))].into());
    commit(
        &mut vault,
        NOON + 3,
        vec![WriteChange::patch("c", "r001", fields)],
    );
    let page = ask(&mut vault, &Query::equal("m", Value::Float(0.5)));
    assert_eq!(
        (ids(&page), page.scanned, page.indexed),
        (vec!["r001"], 1, true)
    );
    // And both again, when the schema is there before the collection's first record as well.
    index(&mut vault, NOON + 4, &["m", "n"]);
    assert_eq!(ask(&mut vault, &fives).records.len(), 4);
    assert!(ask(&mut vault, &fives).indexed);
    let wrong = Query::range(
        "n",
        Bound::Included(Value::Int(1)),
        Bound::Included("b".into()),
    );
    let refused = vault.query(&space("home"), "c", &wrong);
    assert!(matches!(refused, Err(VaultError::InvalidQuery(_))));
    let nowhere = vault.query(&space("home"), "nowhere", &fives).unwrap();
    assert_eq!((nowhere.records.len(), nowhere.scanned), (0, 0));
}

#[test]
fn a_schema_that_comes_first_counts() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    index(&mut vault, NOON, &["n"]);
    assert_eq!(found(&mut vault, "any"), [""; 0]);
    commit(&mut vault, NOON, vec![number("a", 1), number("b", 2)]);
    let page = ask(&mut vault, &Query::equal("n", Value::Int(2)));
    assert_eq!(
        (ids(&page), page.scanned, page.indexed),
        (vec!["b"], 1, true)
    );
    index(&mut vault, NOON, &[]);
    let page = ask(&mut vault, &Query::equal("n", Value::Int(2)));
    assert_eq!(
        (ids(&page), page.scanned, page.indexed),
        (vec!["b"], 2, false)
    );
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-4i64..4).prop_map(Value::Int),
        2 => (-8i32..8).prop_map(|n| Value::Float(f64::from(n) / 2.0)),
        3 => "[ab]{0,3}".prop_map(Value::Text),
        1 => Just(Value::Text("b".repeat(300))),
        1 => Just(Value::Text("b".repeat(299) + "c")),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => prop::collection::vec(0u8..3, 0..3).prop_map(Value::Bytes),
        2 => ("[ab]{1,2}", "[ab]{1,2}").prop_map(|(collection, id)| {
            Value::Reference(Reference { collection, id })
        }),
        1 => Just(Value::Set(Set::default())),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Value>> {
    prop_oneof![
        1 => Just(Bound::Unbounded),
        1 => value().prop_map(Bound::Included),
        1 => value().prop_map(Bound::Excluded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_indexed_field_answers_as_reading_everything_does(
        rounds in prop::collection::vec(prop::collection::btree_map(0u8..30, prop::option::weighted(0.9, value()), 0..20), 1..5),
        asked in prop::collection::vec((bound(), bound(), any::<bool>(), 1usize..6), 12),
    ) {
        let dir = tempdir().unwrap();
        let mut vault = phone(dir.path());
        index(&mut vault, NOON, &["x"]);
        for (now, round) in (NOON..).zip(&rounds) {
            let write = |(id, value): (&u8, &Option<Value>)| {
                let id = format!("{id}");
                match value {
                    Some(value) => {
                        let both = ["x", "y"].map(|field| (field.to_owned(), value.clone()));
                        WriteChange::put("c", &id, Fields(both.into()))
                    }
                    None => WriteChange::delete("c", &id),
                }
            };
            let changes: Vec<_> = round.iter().map(write).collect();
            if !changes.is_empty() {
                commit(&mut vault, now, changes);
            }
            ask(&mut vault, &Query::equal("x", Value::Int(0)));
        }
        for (low, high, down, limit) in asked {
            let mut answers = Vec::new();
            for field in ["x", "y"] {
                let mut query = Query::range(field, low.clone(), high.clone());
                query.order = if down { Order::Down } else { Order::Up };
                query.limit = limit;
                let mut records = BTreeMap::new();
                let mut order = Vec::new();
                loop {
                    let page = match vault.query(&space("home"), "c", &query) {
                        Ok(page) => page,
                        Err(VaultError::InvalidQuery(_)) => break,
                        Err(error) => panic!("{error}"),
                    };
                    prop_assert!(page.records.len() <= limit);
                    prop_assert!(page.records.is_empty() || page.indexed == (field == "x"));
                    for record in page.records {
                        order.push(record.id.clone());
                        prop_assert!(records.insert(record.id.clone(), record).is_none(), "no record twice");
                    }
                    query.after = page.next;
                    if query.after.is_none() {
                        break;
                    }
                }
                answers.push(order);
            }
            prop_assert_eq!(&answers[0], &answers[1], "{:?} {:?}", low, high);
        }
    }
}
