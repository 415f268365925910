#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tempfile::TempDir;
use twin_identity::words::RecoverySecret;
use twin_ops::value::{Fields, Value};
use twin_vault::{Query, Record, Unlock, WriteChange};

use super::*;

const UNLOCK: Unlock<'static> = Unlock::Password("word");

fn create(dir: &Path) -> Twin {
    let words = RecoverySecret::from_bytes([1; 32]);
    Twin::create(&dir.join("phone"), UNLOCK, words, "Ada", "phone").unwrap()
}

fn fields(n: i64) -> Fields {
    Fields([("n".to_owned(), Value::Int(n))].into())
}

/// What is there at once, without waiting.
fn now<T>(next: impl Future<Output = T>) -> Option<T> {
    match pin!(next).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(item) => Some(item),
        Poll::Pending => None,
    }
}

fn numbers(records: &[Record]) -> Vec<(String, Option<Value>)> {
    let mut numbers: Vec<_> = records
        .iter()
        .map(|record| (record.id.clone(), record.fields.0.get("n").cloned()))
        .collect();
    numbers.sort_by(|a, b| a.0.cmp(&b.0));
    numbers
}

fn expected(records: &[(&str, i64)]) -> Vec<(String, Option<Value>)> {
    let number = |(id, n): &(&str, i64)| ((*id).to_owned(), Some(Value::Int(*n)));
    records.iter().map(number).collect()
}

#[test]
fn a_record_is_shown_when_it_becomes_another() {
    let dir = TempDir::new().unwrap();
    let notes = create(dir.path())
        .space("home")
        .unwrap()
        .collection("notes");
    let mut watch = notes.watch_record("one");
    let mut next = || now(watch.next()).map(|record| record.unwrap().map(|record| record.fields));
    assert_eq!(next(), Some(None), "it is not there");
    assert_eq!(next(), None);
    notes.put("one", fields(1)).unwrap();
    notes.put("two", fields(2)).unwrap();
    assert_eq!(next(), Some(Some(fields(1))));
    assert_eq!(next(), None, "another one is none of its business");
    for n in 2..10 {
        notes.put("one", fields(n)).unwrap();
    }
    assert_eq!(
        next(),
        Some(Some(fields(9))),
        "many changes are one to who is slow"
    );
    assert_eq!(next(), None);
    notes.delete("one").unwrap();
    assert_eq!(next(), Some(None));
}

#[test]
fn a_collection_is_shown_and_then_what_changes() {
    let dir = TempDir::new().unwrap();
    let twin = create(dir.path());
    let space = twin.space("home").unwrap();
    let notes = space.collection("notes");
    let mut empty = notes.watch();
    assert_eq!(now(empty.next()).unwrap().unwrap(), Changes::default());
    assert!(now(empty.next()).is_none());
    notes.put("one", fields(1)).unwrap();
    notes.put("two", fields(2)).unwrap();
    let mut watch = notes.watch();
    for watch in [&mut watch, &mut empty] {
        let first = now(watch.next()).unwrap().unwrap();
        assert_eq!(numbers(&first.records), expected(&[("one", 1), ("two", 2)]));
        assert!(now(watch.next()).is_none());
    }
    space.collection("others").put("one", fields(1)).unwrap();
    assert!(now(watch.next()).is_none());
    let both = vec![
        WriteChange::delete("notes", "one"),
        WriteChange::patch("notes", "two", fields(3)),
    ];
    space.commit(both).unwrap();
    notes.put("three", fields(3)).unwrap();
    notes.put("never", fields(0)).unwrap();
    notes.delete("never").unwrap();
    let changes = now(watch.next()).unwrap().unwrap();
    assert_eq!(
        numbers(&changes.records),
        expected(&[("three", 3), ("two", 3)])
    );
    assert_eq!(changes.gone, ["one"]);
    assert!(now(watch.next()).is_none());
    // Everything is looked at again, and nothing has changed.
    twin.rebuild_index().unwrap();
    assert!(now(watch.next()).is_none());
}

#[test]
fn a_large_collection_comes_in_pieces() {
    let dir = TempDir::new().unwrap();
    let twin = create(dir.path());
    let space = twin.space("home").unwrap();
    let put = |from: i64, to: i64| {
        let put = |n: i64| WriteChange::put("notes", &format!("{n}"), fields(n));
        space.commit((from..to).map(put).collect()).unwrap();
    };
    put(0, 1200);
    let notes = space.collection("notes");
    let mut watch = notes.watch();
    let mut shown = BTreeSet::new();
    let mut pieces = 0;
    while let Some(changes) = now(watch.next()) {
        let changes = changes.unwrap();
        assert!(changes.records.len() <= 500);
        // The order is the twin's own: what is deleted in the midst was shown already, or never is.
        for id in &changes.gone {
            assert!(id == "7" && shown.remove(id), "{id}");
        }
        shown.extend(changes.records.into_iter().map(|record| record.id));
        pieces += 1;
        if pieces == 1 {
            // In the midst of it.
            notes.put("late", fields(-1)).unwrap();
            notes.delete("7").unwrap();
        }
    }
    assert!(pieces >= 3);
    let mut there: BTreeSet<String> = (0..1200).map(|n: i64| n.to_string()).collect();
    there.remove("7");
    there.insert("late".into());
    assert_eq!(shown, there);
    // More than are told apart.
    for from in [2000, 5000] {
        put(from, from + 3000);
    }
    let mut count = 0;
    while let Some(changes) = now(watch.next()) {
        count += changes.unwrap().records.len();
    }
    assert_eq!(count, 6000);
}

#[test]
fn what_another_process_writes_is_shown_after_a_refresh() {
    let dir = TempDir::new().unwrap();
    let twin = create(dir.path());
    let other = Twin::open(&dir.path().join("phone"), UNLOCK).unwrap();
    let notes = |twin: &Twin| twin.space("home").unwrap().collection("notes");
    notes(&twin).put("one", fields(1)).unwrap();
    let mut all = notes(&twin).watch();
    let mut one = notes(&twin).watch_record("one");
    assert!(now(all.next()).is_some() && now(one.next()).is_some());
    notes(&other).put("two", fields(2)).unwrap();
    assert!(twin.refresh().unwrap());
    let changes = now(all.next()).unwrap().unwrap();
    assert_eq!(numbers(&changes.records), expected(&[("two", 2)]));
    assert!(now(one.next()).is_none(), "looked at again, and the same");
    notes(&other).delete("one").unwrap();
    assert!(twin.refresh().unwrap());
    assert_eq!(now(all.next()).unwrap().unwrap().gone, ["one"]);
    assert_eq!(now(one.next()).unwrap().unwrap(), None);
}

#[test]
fn an_answer_is_shown_when_it_becomes_another() {
    let dir = TempDir::new().unwrap();
    let notes = create(dir.path())
        .space("home")
        .unwrap()
        .collection("notes");
    for (id, n) in [("a", 1), ("b", 5), ("c", 9)] {
        notes.put(id, fields(n)).unwrap();
    }
    let high = Query::range("n", Bound::Included(Value::Int(5)), Bound::Unbounded);
    let mut watch = notes.watch_query(high);
    let mut next = || now(watch.next()).map(|page| numbers(&page.unwrap().records));
    assert_eq!(next(), Some(expected(&[("b", 5), ("c", 9)])));
    notes.put("a", fields(2)).unwrap();
    assert_eq!(next(), None, "still not in it");
    notes.put("a", fields(7)).unwrap();
    assert_eq!(next(), Some(expected(&[("a", 7), ("b", 5), ("c", 9)])));
    notes.delete("c").unwrap();
    assert_eq!(next(), Some(expected(&[("a", 7), ("b", 5)])));
}

#[tokio::test]
async fn who_waits_is_woken_and_who_is_dropped_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let twin = create(dir.path());
    let notes = twin.space("home").unwrap().collection("notes");
    let mut watch = notes.watch_record("one");
    assert_eq!(watch.next().await.unwrap(), None);
    let waiting = tokio::spawn(async move { watch.next().await.unwrap() });
    tokio::task::yield_now().await;
    notes.put("one", fields(1)).unwrap();
    let shown = waiting.await.unwrap().unwrap();
    assert_eq!(shown.fields, fields(1));
    // The watch went with its task.
    notes.put("one", fields(2)).unwrap();
    assert!(lock(&twin.watches.0).open.is_empty());
}

#[test]
fn what_was_written_while_a_twin_slept_is_shown_when_it_wakes() {
    let dir = TempDir::new().unwrap();
    let twin = create(dir.path());
    let notes = twin.space("home").unwrap().collection("notes");
    let mut watch = notes.watch_record("one");
    let mut next = || now(watch.next()).map(|record| record.unwrap().map(|record| record.fields));
    assert_eq!(next(), Some(None));
    twin.sleep().unwrap();
    assert!(!twin.refresh().unwrap(), "looking for changes can wait");
    assert!(twin.is_asleep());
    let other = Twin::open(&dir.path().join("phone"), UNLOCK).unwrap();
    let others = other.space("home").unwrap().collection("notes");
    others.put("one", fields(1)).unwrap();
    assert_eq!(next(), None);
    assert!(twin.is_asleep(), "nobody has told the watch to look");
    assert!(twin.wake().unwrap());
    assert_eq!(next(), Some(Some(fields(1))));
    assert!(!twin.is_asleep() && !twin.wake().unwrap());
}
