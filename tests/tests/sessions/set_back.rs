//! A device that is set back to an older state and writes there, before it meets anybody who has what it had written.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::grant::Recipient;
use twin_ops::op::LogId;
use twin_ops::set::Set;
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_sync::machine::Machine;
use twin_sync::session::SyncEvent;
use twin_vault::{FieldEdit, Vault, WriteChange};

use crate::common::*;
use crate::session::Talk;
use crate::twins::*;

static DRAWN: AtomicU64 = AtomicU64::new(0);

/// A copy of a vault as it is now.
pub fn copy_of(dir: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// A copy as if it was the file itself that was set back.
pub fn unnoticed(copy: &Path) -> Vault {
    let mut vault = reopen(copy).unwrap();
    vault.take_for_original().unwrap();
    vault
}

/// Two devices meet, and do what is theirs to do, until neither has anything to say.
pub fn talk(one: &mut Vault, two: &mut Vault, now: u64) -> [Vec<SyncEvent>; 2] {
    let mut talk = Talk::new(now);
    for round in 0.. {
        assert!(round < 8, "there is no end of it");
        talk.go_on(one, two, usize::MAX);
        let mut busy = false;
        for vault in [&mut *one, &mut *two] {
            // No two copies draw the same.
            let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
            busy |= vault.tend(now, &mut rng(now + drawn)).unwrap();
        }
        if !busy {
            break;
        }
        talk.sessions[0].store_changed(one).unwrap();
        talk.sessions[1].store_changed(two).unwrap();
    }
    talk.events()
}

/// The same, and they are equal then.
pub fn agree(one: &mut Vault, two: &mut Vault, now: u64) -> [Vec<SyncEvent>; 2] {
    let events = talk(one, two, now);
    for events in &events {
        assert_eq!(events.last(), Some(&SyncEvent::InSync), "{events:?}");
    }
    assert_eq!(one.heads().unwrap(), two.heads().unwrap());
    assert_eq!(all(one), all(two));
    for vault in [one, two] {
        let report = vault.check().unwrap();
        assert!(report.is_whole(), "{report:?}");
        let before = all(vault);
        vault.rebuild_index().unwrap();
        assert_eq!(all(vault), before);
        assert!(vault.set_aside().unwrap().is_empty());
    }
    events
}

fn all(vault: &mut Vault) -> Vec<(String, Fields)> {
    let mut all = records(vault, "notes");
    all.extend(records(vault, "c"));
    all
}

fn set(elements: &[&str]) -> Set {
    Set::of(elements.iter().map(|element| Value::from(*element))).unwrap()
}

fn edit(vault: &mut Vault, now: u64, id: &str, field: &str, edit: FieldEdit) {
    let change = WriteChange::patch("c", id, Fields::default()).with(field, edit);
    commit(vault, now, vec![change]);
}

fn tag(vault: &mut Vault, now: u64, add: &[&str], remove: &[&str]) {
    let (add, remove) = (set(add), set(remove));
    edit(vault, now, "r", "tags", FieldEdit::Elements { add, remove });
}

fn count(vault: &mut Vault, now: u64, id: &str, by: i64) {
    edit(vault, now, id, "n", FieldEdit::Count(by));
}

fn give(vault: &mut Vault, now: u64, id: &str, field: &str, value: Value) {
    let fields = Fields([(field.to_owned(), value)].into());
    commit(vault, now, vec![WriteChange::patch("c", id, fields)]);
}

fn value(vault: &mut Vault, id: &str, field: &str) -> Option<Value> {
    let record = vault.get(&space("home"), "c", id).unwrap()?;
    record.fields.0.get(field).cloned()
}

/// Whether a session has found that this device was set back.
fn found(events: &[SyncEvent]) -> usize {
    let branched = |event: &&SyncEvent| matches!(event, SyncEvent::Branched { .. });
    events.iter().filter(branched).count()
}

/// A phone, and a laptop of which there is a copy from when both were equal; and a tablet.
struct Scene {
    dirs: Vec<TempDir>,
    phone: Vault,
    laptop: Vault,
    tablet: Vault,
}

impl Scene {
    fn new() -> Self {
        let (dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
        put(&mut laptop, NOON, "notes", "1", &[("x", "1")]);
        give(&mut laptop, NOON, "r", "n", Value::Counter(10));
        give(&mut laptop, NOON, "r", "tags", Value::Set(set(&["a", "b"])));
        count(&mut laptop, NOON, "r", 1);
        meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
        Self {
            dirs,
            phone,
            laptop,
            tablet,
        }
    }

    /// The laptop goes on, and the phone gets that; then the laptop is as it was before.
    fn set_back(&mut self, lives_on: impl FnOnce(&mut Vault)) {
        let copy = copy_of(self.dirs[1].path());
        lives_on(&mut self.laptop);
        talk(&mut self.laptop, &mut self.phone, NOON + 5);
        self.laptop = unnoticed(copy.path());
        self.dirs[1] = copy;
    }
}

#[test]
fn what_was_written_in_both_lives_comes_together() {
    let mut scene = Scene::new();
    scene.set_back(|laptop| {
        count(laptop, NOON + 1, "r", 5);
        tag(laptop, NOON + 1, &["x"], &["b"]);
        put(laptop, NOON + 1, "notes", "2a", &[("x", "2a")]);
        patch(laptop, NOON + 1, "notes", "1", &[("a", "a")]);
    });
    let Scene {
        mut phone,
        mut laptop,
        mut tablet,
        ..
    } = scene;
    let laptop_was = laptop.heads().unwrap();
    count(&mut laptop, NOON + 2, "r", 3);
    count(&mut laptop, NOON + 2, "r", 4);
    // A counter that begins in the branch, and counts from there.
    give(&mut laptop, NOON + 2, "d", "n", Value::Counter(100));
    count(&mut laptop, NOON + 2, "d", 7);
    // Removals of what is older, of what is of the branch, and of both.
    tag(&mut laptop, NOON + 2, &["y", "z", "a"], &[]);
    tag(&mut laptop, NOON + 2, &[], &["z", "a"]);
    put(&mut laptop, NOON + 2, "notes", "2b", &[("x", "2b")]);
    patch(&mut laptop, NOON + 2, "notes", "1", &[("b", "b")]);
    put(&mut laptop, NOON + 2, "notes", "3", &[("x", "3")]);
    delete(&mut laptop, NOON + 2, "notes", "3");
    put(&mut laptop, NOON + 2, "notes", "secret", &[("x", "s")]);
    put(&mut laptop, NOON + 2, "notes", "4", &[("x", "4")]);
    let home = space("home");
    laptop
        .erase(NOON + 2, &mut rng(9), &home, "notes", "secret")
        .unwrap();
    // More than one answer tells.
    for i in 0..70 {
        put(
            &mut laptop,
            NOON + 3,
            "notes",
            "5",
            &[("x", &i.to_string())],
        );
    }
    send(&laptop, &mut tablet, NOON + 3);
    assert_eq!(ids(&mut tablet), ["1", "2b", "4", "5"]);

    let events = agree(&mut laptop, &mut phone, NOON + 6);
    assert_eq!(events.each_ref().map(|events| found(events)), [1, 0]);
    assert!(
        events
            .iter()
            .flatten()
            .all(|event| !matches!(event, SyncEvent::PassedOver(_)))
    );
    let check = |vault: &mut Vault| {
        assert_eq!(ids(vault), ["1", "2a", "2b", "4", "5"]);
        let note = vault.get(&home, "notes", "1").unwrap().unwrap();
        assert_eq!(note.fields, fields(&[("x", "1"), ("a", "a"), ("b", "b")]));
        let both = Value::Counter(10 + 1 + 5 + 3 + 4);
        assert_eq!(value(vault, "r", "n"), Some(both));
        assert_eq!(value(vault, "d", "n"), Some(Value::Counter(107)));
        let tags = Value::Set(set(&["x", "y"]));
        assert_eq!(value(vault, "r", "tags"), Some(tags));
        let last = vault.get(&home, "notes", "5").unwrap().unwrap();
        assert_eq!(last.fields, fields(&[("x", "69")]));
        assert!(
            vault
                .history(&home, "notes", "secret", None, 9)
                .unwrap()
                .is_empty()
        );
        let deleted = vault.history(&home, "notes", "3", None, 9).unwrap();
        assert_eq!(deleted.len(), 2, "and can come back");
    };
    check(&mut laptop);
    check(&mut phone);
    // Who holds the branch gives it up, and gets all from whoever has it.
    let events = agree(&mut phone, &mut tablet, NOON + 7);
    assert_eq!(events.each_ref().map(|events| found(events)), [0, 0]);
    check(&mut tablet);
    // The laptop goes on in new logs.
    count(&mut laptop, NOON + 8, "r", 1);
    count(&mut laptop, NOON + 8, "d", 1);
    agree(&mut laptop, &mut tablet, NOON + 9);
    assert_eq!(value(&mut tablet, "r", "n"), Some(Value::Counter(24)));
    assert_eq!(value(&mut tablet, "d", "n"), Some(Value::Counter(108)));
    assert!(laptop.heads().unwrap().len() > laptop_was.len());
}

#[test]
fn who_holds_the_branch_may_hear_of_it_before_it_has_what_was_written_again() {
    let mut scene = Scene::new();
    scene.set_back(|laptop| put(laptop, NOON + 1, "notes", "2a", &[("x", "a")]));
    let Scene {
        mut phone,
        mut laptop,
        mut tablet,
        ..
    } = scene;
    put(&mut laptop, NOON + 2, "notes", "2b", &[("x", "b")]);
    put(&mut laptop, NOON + 2, "notes", "3b", &[("x", "b")]);
    send(&laptop, &mut tablet, NOON + 2);
    agree(&mut laptop, &mut phone, NOON + 6);
    send_identity(&laptop, &mut tablet, NOON + 7);
    // It does not count any more, but it is all that this device has of it.
    assert_eq!(ids(&mut tablet), ["1"]);
    let report = tablet.check().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert!(tablet.set_aside().unwrap().is_empty());
    agree(&mut phone, &mut tablet, NOON + 8);
    assert_eq!(ids(&mut tablet), ["1", "2a", "2b", "3b"]);
}

#[test]
fn it_may_be_set_back_again_and_again() {
    let mut scene = Scene::new();
    let first = copy_of(scene.dirs[1].path());
    scene.set_back(|laptop| {
        count(laptop, NOON + 1, "r", 1);
        put(laptop, NOON + 1, "notes", "2a", &[("x", "a")]);
    });
    count(&mut scene.laptop, NOON + 2, "r", 10);
    put(&mut scene.laptop, NOON + 2, "notes", "2b", &[("x", "b")]);
    let mut total = 10 + 1 + 1 + 10;
    // It resolves that, and is set back to where it had not, and to before; each time it writes.
    scene.set_back(|_| {});
    count(&mut scene.laptop, NOON + 10, "r", 100);
    tag(&mut scene.laptop, NOON + 10, &["c"], &["a"]);
    put(&mut scene.laptop, NOON + 10, "notes", "2c", &[("x", "c")]);
    total += 100;
    agree(&mut scene.laptop, &mut scene.phone, NOON + 20);
    let expected = ["1", "2a", "2b", "2c"];
    for vault in [&mut scene.laptop, &mut scene.phone] {
        assert_eq!(ids(vault), expected);
        assert_eq!(value(vault, "r", "n"), Some(Value::Counter(total)));
        assert_eq!(
            value(vault, "r", "tags"),
            Some(Value::Set(set(&["b", "c"])))
        );
    }
    scene.laptop = unnoticed(first.path());
    count(&mut scene.laptop, NOON + 30, "r", 1000);
    total += 1000;
    for other in [&mut scene.phone, &mut scene.tablet] {
        agree(&mut scene.laptop, other, NOON + 40);
        assert_eq!(value(other, "r", "n"), Some(Value::Counter(total)));
        assert_eq!(ids(other), expected);
    }
}

#[test]
fn two_copies_that_live_resolve_it_between_them() {
    let mut scene = Scene::new();
    let copy = copy_of(scene.dirs[1].path());
    let mut other = unnoticed(copy.path());
    count(&mut scene.laptop, NOON + 1, "r", 1);
    count(&mut other, NOON + 1, "r", 10);
    put(&mut other, NOON + 1, "notes", "2", &[("x", "2")]);
    let events = agree(&mut scene.laptop, &mut other, NOON + 2);
    assert_eq!(events.each_ref().map(|events| found(events)), [1, 0]);
    // And if each meets somebody else first, who has what the other wrote.
    count(&mut scene.laptop, NOON + 3, "r", 100);
    count(&mut other, NOON + 3, "r", 1000);
    agree(&mut scene.laptop, &mut scene.phone, NOON + 4);
    agree(&mut other, &mut scene.phone, NOON + 5);
    agree(&mut other, &mut scene.tablet, NOON + 6);
    agree(&mut scene.laptop, &mut scene.tablet, NOON + 7);
    agree(&mut scene.laptop, &mut other, NOON + 8);
    for vault in [&mut scene.laptop, &mut scene.phone] {
        let total = Value::Counter(10 + 1 + 1 + 10 + 100 + 1000);
        assert_eq!(value(vault, "r", "n"), Some(total));
        assert_eq!(ids(vault), ["1", "2"]);
    }
}

#[test]
fn both_may_be_given_up() {
    let mut scene = Scene::new();
    let copy = copy_of(scene.dirs[1].path());
    let mut other = unnoticed(copy.path());
    count(&mut scene.laptop, NOON + 1, "r", 1);
    count(&mut other, NOON + 1, "r", 10);
    // Each has given what it wrote to one device, and meets the one that the other has given it to.
    talk(&mut scene.laptop, &mut scene.phone, NOON + 2);
    talk(&mut other, &mut scene.tablet, NOON + 2);
    let events = talk(&mut scene.laptop, &mut scene.tablet, NOON + 3);
    assert_eq!(found(&events[0]), 1);
    let events = talk(&mut other, &mut scene.phone, NOON + 3);
    assert_eq!(found(&events[0]), 1);
    for round in 4..6 {
        let now = NOON + round;
        talk(&mut scene.phone, &mut scene.tablet, now);
        talk(&mut scene.laptop, &mut scene.phone, now);
        talk(&mut other, &mut scene.tablet, now);
    }
    agree(&mut scene.phone, &mut scene.tablet, NOON + 7);
    agree(&mut scene.laptop, &mut scene.phone, NOON + 7);
    agree(&mut other, &mut scene.phone, NOON + 7);
    let total = Value::Counter(10 + 1 + 1 + 10);
    assert_eq!(value(&mut scene.tablet, "r", "n"), Some(total));
}

#[test]
fn who_was_set_back_and_wrote_nothing_has_nothing_to_give_up() {
    let mut scene = Scene::new();
    scene.set_back(|laptop| put(laptop, NOON + 1, "notes", "2a", &[("x", "a")]));
    let events = agree(&mut scene.laptop, &mut scene.phone, NOON + 6);
    assert_eq!(events.each_ref().map(|events| found(events)), [0, 0]);
    assert_eq!(ids(&mut scene.laptop), ["1", "2a"]);
    let device = scene.laptop.device();
    assert_eq!(scene.laptop.identity().given_up(&device).count(), 0);
    put(&mut scene.laptop, NOON + 7, "notes", "3", &[("x", "3")]);
    agree(&mut scene.laptop, &mut scene.phone, NOON + 8);
}

/// The log of a vault's own device in the space `home`.
fn own_log(vault: &Vault) -> LogId {
    let home = space("home").id(vault.twin());
    let heads = vault.heads().unwrap().into_iter();
    let mut own = heads.filter(|head| {
        let origin = vault.origin(&head.log).unwrap().unwrap();
        (origin.device, origin.space) == (vault.device(), home)
    });
    own.next().unwrap().log
}

#[test]
fn a_branch_whose_beginning_was_let_go_stays() {
    let mut scene = Scene::new();
    let laptop = &mut scene.laptop;
    for i in 0..20 {
        put(laptop, NOON + 2, "notes", "2", &[("x", &i.to_string())]);
    }
    agree(laptop, &mut scene.tablet, NOON + 3);
    agree(laptop, &mut scene.phone, NOON + 3);
    let log = own_log(laptop);
    let home = space("home");
    let compacted = laptop.compact(NOON + 4, &mut rng(4), &home).unwrap();
    assert!(compacted.gone > 0);
    let held = laptop.heads().unwrap();
    laptop.branched(&log, 4);
    laptop.tend(NOON + 5, &mut rng(5)).unwrap();
    assert_eq!(laptop.heads().unwrap(), held);
    let device = laptop.device();
    assert_eq!(laptop.identity().given_up(&device).count(), 0);
    assert_eq!(ids(laptop), ["1", "2"]);
}

#[test]
fn what_was_let_go_in_the_branch_comes_back() {
    let mut scene = Scene::new();
    for round in 0..9 {
        let text = round.to_string();
        put(&mut scene.laptop, NOON, "notes", "2", &[("x", &text)]);
        put(&mut scene.phone, NOON, "notes", "3", &[("x", &text)]);
    }
    let now = NOON + 1;
    agree(&mut scene.laptop, &mut scene.phone, now);
    agree(&mut scene.laptop, &mut scene.tablet, now);
    agree(&mut scene.laptop, &mut scene.phone, now);
    scene.set_back(|laptop| put(laptop, NOON + 2, "notes", "4a", &[("x", "a")]));
    let home = space("home");
    let compacted = scene.laptop.compact(NOON + 2, &mut rng(4), &home).unwrap();
    assert!(compacted.gone > 0);
    put(&mut scene.laptop, NOON + 3, "notes", "4b", &[("x", "b")]);
    let Scene {
        mut phone,
        mut laptop,
        mut tablet,
        ..
    } = scene;
    let events = agree(&mut laptop, &mut phone, NOON + 6);
    assert_eq!(found(&events[0]), 1);
    agree(&mut phone, &mut tablet, NOON + 7);
    for vault in [&mut laptop, &mut phone, &mut tablet] {
        assert_eq!(ids(vault), ["1", "2", "3", "4a", "4b"]);
    }
}

#[test]
fn who_may_not_write_gives_nothing_up() {
    let mut scene = Scene::new();
    scene.set_back(|laptop| put(laptop, NOON + 1, "notes", "2a", &[("x", "a")]));
    let Scene {
        mut phone,
        mut laptop,
        ..
    } = scene;
    put(&mut laptop, NOON + 2, "notes", "2b", &[("x", "b")]);
    let log = own_log(&laptop);
    phone.suspend(&laptop.device(), &mut rng(5)).unwrap();
    send_identity(&phone, &mut laptop, NOON + 3);
    let before = laptop.heads().unwrap();
    laptop.branched(&log, 4);
    laptop.tend(NOON + 4, &mut rng(6)).unwrap();
    assert_eq!(laptop.heads().unwrap(), before);
    let device = laptop.device();
    assert_eq!(laptop.identity().given_up(&device).count(), 0);
    // Nor does anybody give up what is of somebody else, or is not there.
    let first = phone.heads().unwrap();
    for head in &first {
        phone.branched(&head.log, 0);
    }
    phone.branched(&LogId::from_bytes([7; 32]), 0);
    let own = |vault: &Vault, log| vault.origin(&log).unwrap().unwrap().device == vault.device();
    let others: Vec<_> = first.iter().filter(|head| !own(&phone, head.log)).collect();
    phone.tend(NOON + 4, &mut rng(7)).unwrap();
    let after = phone.heads().unwrap();
    assert!(others.iter().all(|head| after.contains(head)));
}

#[test]
fn a_change_of_the_branch_is_as_it_was() {
    let mut scene = Scene::new();
    scene.set_back(|laptop| put(laptop, NOON + 1, "notes", "2a", &[("x", "a")]));
    let Scene {
        mut phone,
        mut laptop,
        ..
    } = scene;
    // Ahead of the clock: it waits, and goes on waiting.
    let ahead = NOON + 60 * MINUTE;
    put(&mut laptop, ahead, "notes", "late", &[("x", "l")]);
    let changes = vec![
        change(Kind::Put, "notes", "big", &[("x", &"b".repeat(400_000))]),
        change(Kind::Put, "notes", "bigger", &[("x", &"c".repeat(500_000))]),
    ];
    commit(&mut laptop, NOON + 3, changes);
    let home = space("home");
    let stamps = |vault: &mut Vault, id: &str| {
        let history = vault.history(&home, "notes", id, None, 9).unwrap();
        history
            .iter()
            .map(|was| (was.changed, was.by))
            .collect::<Vec<_>>()
    };
    let ids = ["late", "big", "bigger"];
    let before = ids.map(|id| stamps(&mut laptop, id));
    agree(&mut laptop, &mut phone, NOON + 6);
    assert!(phone.get(&home, "notes", "late").unwrap().is_none());
    for vault in [&mut laptop, &mut phone] {
        vault.merge_due(ahead).unwrap();
        assert_eq!(ids.map(|id| stamps(vault, id)), before);
    }
}

#[test]
fn the_words_are_granted_again_what_only_a_new_device_was_granted() {
    let (mut dirs, mut phone, [_laptop]) = family([Role::Member]);
    let copy = copy_of(dirs[0].path());
    // A space that is begun now, whose key goes to the words; and a device that gets the key alone.
    let epoch = write_in(&mut phone, NOON + 1, "work");
    let words = words().sealing();
    assert!(opens_with(&phone, Recipient::Words, &words).contains(&epoch));
    dirs.push(tempdir().unwrap());
    let dir = dirs.last().unwrap().path();
    let mut tablet = linked(dir, &mut phone, 300, Role::Member);
    assert_eq!(write_in(&mut tablet, NOON + 2, "work"), epoch);
    assert!(!opens_with(&tablet, Recipient::Words, &words).contains(&epoch));
    let mut phone = unnoticed(copy.path());
    dirs[0] = copy;
    agree(&mut phone, &mut tablet, NOON + 3);
    for vault in [&phone, &tablet] {
        assert!(opens_with(vault, Recipient::Words, &words).contains(&epoch));
    }
}

#[test]
fn who_was_away_gets_a_log_of_which_a_branch_was_given_up_and_the_rest_let_go() {
    let mut scene = Scene::new();
    let first = copy_of(scene.dirs[1].path());
    scene.set_back(|laptop| {
        for i in 0..9 {
            put(laptop, NOON + 1, "notes", "2", &[("x", &i.to_string())]);
        }
    });
    let Scene {
        mut dirs,
        mut phone,
        mut laptop,
        mut tablet,
    } = scene;
    put(&mut laptop, NOON + 2, "notes", "3", &[("x", "b")]);
    let log = own_log(&laptop);
    let away = copy_of(dirs[2].path());
    agree(&mut laptop, &mut phone, NOON + 6);
    // Set back once more, but before it writes it hears of all that: it goes on in the log that it had begun with.
    let mut laptop = unnoticed(first.path());
    dirs[1] = first;
    agree(&mut laptop, &mut phone, NOON + 7);
    put(&mut laptop, NOON + 8, "notes", "4", &[("x", "c")]);
    agree(&mut laptop, &mut phone, NOON + 9);
    agree(&mut laptop, &mut tablet, NOON + 9);
    agree(&mut laptop, &mut phone, NOON + 9);
    let home = space("home");
    let compacted = laptop.compact(NOON + 10, &mut rng(8), &home).unwrap();
    assert!(compacted.gone > 0, "{compacted:?}");
    put(&mut laptop, NOON + 11, "notes", "5", &[("x", "d")]);
    agree(&mut laptop, &mut phone, NOON + 12);
    let base = phone.base(&log).unwrap().unwrap();
    let heads = phone.heads().unwrap();
    let head = heads.iter().find(|head| head.log == log).unwrap();
    assert!(head.head.height > base.height, "it goes on after that");
    // What the tablet had of it then, nobody can compare any more.
    let mut tablet = unnoticed(away.path());
    dirs[2] = away;
    assert!(tablet.link_at(&log, 1).unwrap().is_some());
    assert_eq!(phone.link_at(&log, 1).unwrap(), None);
    let events = agree(&mut phone, &mut tablet, NOON + 13);
    let forked = |event: &SyncEvent| matches!(event, SyncEvent::Forked(_));
    assert!(!events.iter().flatten().any(forked), "{events:?}");
    assert_eq!(ids(&mut tablet), ["1", "2", "3", "4", "5"]);
}

/// The answer to a question about a log: heights, and a byte that links are made of.
fn answer(log: &LogId, places: &[(u8, u8)]) -> Vec<u8> {
    let mut frame = vec![0x82, 15, 0x81, 0xa2, 3, 0x58, 32];
    frame.extend(log.as_bytes());
    frame.extend([4, 0x80 + u8::try_from(places.len()).unwrap()]);
    for (height, link) in places {
        frame.extend([0x82, *height, 0x58, 32]);
        frame.extend([*link; 32]);
    }
    frame
}

/// Lets a device that was set back ask a peer, which answers this. Returns what the device was told, and whether it went
/// on.
fn answered(places: &[(u8, u8)], other_log: bool) -> (Vec<SyncEvent>, bool) {
    let mut scene = Scene::new();
    scene.set_back(|laptop| put(laptop, NOON + 1, "notes", "2a", &[("x", "a")]));
    let Scene {
        mut phone,
        mut laptop,
        ..
    } = scene;
    put(&mut laptop, NOON + 2, "notes", "2b", &[("x", "b")]);
    let log = match other_log {
        true => LogId::from_bytes([5; 32]),
        false => own_log(&laptop),
    };
    let now = NOON + 3;
    let [mut asks, mut answers] = Talk::new(now).sessions;
    for _ in 0..50 {
        while let Some(frame) = asks.next_frame(now, &mut laptop).unwrap() {
            if !frame.starts_with(&[0x82, 14]) {
                answers.receive(now, &frame, &mut phone).unwrap();
                continue;
            }
            // Nobody asks twice, nor for what it has not been told of.
            answers.receive(now, &frame, &mut phone).unwrap();
            assert!(answers.receive(now, &frame, &mut phone).is_err());
            let went_on = asks
                .receive(now, &answer(&log, places), &mut laptop)
                .is_ok();
            if went_on {
                while asks.next_frame(now, &mut laptop).unwrap().is_some() {}
            }
            let events = std::iter::from_fn(|| asks.next_event()).collect();
            return (events, went_on);
        }
        while let Some(frame) = answers.next_frame(now, &mut phone).unwrap() {
            asks.receive(now, &frame, &mut laptop).unwrap();
        }
    }
    panic!("it does not ask");
}

#[test]
fn what_a_peer_answers_is_within_what_was_asked() {
    // The log has four ops that both have, and a fifth that differs.
    let forked = |events: &[SyncEvent]| {
        let mut events = events.iter();
        events.any(|event| matches!(event, SyncEvent::Forked(_)))
    };
    for places in [
        &[(5, 1)][..],
        &[(0, 1)],
        &[(2, 1), (2, 1)],
        &[(3, 1), (2, 1)],
    ] {
        assert!(!answered(places, false).1, "{places:?}");
    }
    assert!(!answered(&[], true).1, "of another log");
    // What tells nothing new ends the search: both histories stay.
    let (events, went_on) = answered(&[], false);
    assert!(went_on && forked(&events), "{events:?}");
    assert_eq!(found(&events), 0);
    // What looks like a fork from the beginning is taken for one: the peer is a device of the twin.
    let (events, went_on) = answered(&[(1, 1)], false);
    assert!(went_on && found(&events) == 1, "{events:?}");
}

#[test]
fn nobody_answers_what_was_not_asked() {
    let mut scene = Scene::new();
    let mut talk = Talk::new(NOON + 1);
    talk.go_on(&mut scene.phone, &mut scene.laptop, usize::MAX);
    let frame = answer(&own_log(&scene.laptop), &[]);
    let [mut one, _] = talk.sessions;
    assert!(one.receive(NOON + 1, &frame, &mut scene.phone).is_err());
}
