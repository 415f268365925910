//! The SQLite store: it does what the simplest store does, on a disk.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::tempdir;
use twin_net::mailbox::{SqliteStore, StoreError};
use twin_sync::machine::Millis;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::{Address, EnvelopeId, Limits, MailboxStore, Refusal, Slot, Terms};

use crate::model::Shelf;

const NOW: Millis = 20_000 * DAY;

fn address(number: u8) -> Address {
    Address::from_bytes([number; 32])
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Limits::default()).unwrap()
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8, Vec<u8>),
    List(u8, u64),
    Get(u8, u64),
    Withdraw(u8, u64),
    Present(u8, u8, Option<Vec<u8>>),
    Presences(u8, u64),
    Pass(Millis),
    Sweep,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    // Few of all, so that they meet.
    let sealed = (0..12_u8, 1..900_usize).prop_map(|(byte, len)| vec![byte; len]);
    let (box_, number) = (0..3_u8, 0..9_u64);
    prop_oneof![
        4 => (box_.clone(), sealed.clone()).prop_map(|(at, sealed)| Act::Put(at, sealed)),
        1 => (box_.clone(), (0..4_u8).prop_map(|byte| vec![byte; 100])).prop_map(|(at, sealed)| Act::Put(at, sealed)),
        2 => (box_.clone(), number.clone()).prop_map(|(at, number)| Act::List(at, number)),
        1 => (box_.clone(), number.clone()).prop_map(|(at, number)| Act::Get(at, number)),
        2 => (box_.clone(), number.clone()).prop_map(|(at, number)| Act::Withdraw(at, number)),
        3 => (box_.clone(), 0..4_u8, prop::option::weighted(0.8, sealed))
            .prop_map(|(at, slot, sealed)| Act::Present(at, slot, sealed)),
        1 => (box_, number).prop_map(|(at, after)| Act::Presences(at, after)),
        2 => prop_oneof![0..400_u64, Just(5 * DAY), Just(DAY)].prop_map(Act::Pass),
        1 => Just(Act::Sweep),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn does_what_the_simplest_store_does(acts in prop::collection::vec(act(), 1..60)) {
        let limits = Limits {
            terms: Terms { post_life: 1000, presence_life: 300, bytes: 4000, posts: 6, addresses: 9 },
            total: 8000,
            ..Limits::default()
        };
        let dir = tempdir().unwrap();
        let path = dir.path().join("relay");
        let mut model = Shelf::new(limits);
        let mut store = SqliteStore::open(&path, limits).unwrap();
        let mut now = NOW;
        for act in acts {
            match act {
                Act::Put(at, sealed) => prop_assert_eq!(
                    store.put(now, &address(at), &sealed).unwrap(),
                    model.put(now, &address(at), &sealed).unwrap()
                ),
                Act::List(at, after) => prop_assert_eq!(
                    store.list(now, &address(at), after).unwrap(),
                    model.list(now, &address(at), after).unwrap()
                ),
                Act::Get(at, number) => {
                    let got = store.get(now, &address(at), number).unwrap();
                    prop_assert_eq!(
                        MailboxStore::size(&mut store, now, &address(at), number).unwrap(),
                        got.as_ref().map(Vec::len)
                    );
                    prop_assert_eq!(got, model.get(now, &address(at), number).unwrap());
                }
                Act::Withdraw(at, number) => {
                    let listed = model.list(0, &address(at), 0).unwrap();
                    let id = listed.iter().find(|row| row.number == number).map(|row| row.id);
                    let id = id.unwrap_or(EnvelopeId::from_bytes([0; 32]));
                    prop_assert_eq!(
                        store.withdraw(now, &address(at), number, &id, &[at; 64]).unwrap(),
                        model.withdraw(now, &address(at), number, &id, &[at; 64]).unwrap()
                    );
                }
                Act::Present(at, slot, sealed) => {
                    let (slot, sealed) = (Slot([slot; 16]), sealed.as_deref());
                    prop_assert_eq!(
                        store.present(now, &address(at), &slot, sealed).unwrap(),
                        model.present(now, &address(at), &slot, sealed).unwrap()
                    );
                }
                Act::Presences(at, after) => prop_assert_eq!(
                    store.presences(now, &address(at), after).unwrap(),
                    model.presences(now, &address(at), after).unwrap()
                ),
                Act::Pass(time) => now += time,
                Act::Sweep => {
                    while store.sweep(now).unwrap().more {}
                    model.sweep(now);
                }
                Act::Reopen => {
                    drop(store);
                    store = SqliteStore::open(&path, limits).unwrap();
                }
            }
            let size = SqliteStore::size(&store).unwrap();
            prop_assert_eq!(size.bytes, model.bytes());
            prop_assert!(size.bytes <= limits.total);
            let posts: usize = model.boxes.values().map(|one| one.posts.len()).sum();
            let presences: usize = model.boxes.values().map(|one| one.presences.len()).sum();
            prop_assert_eq!(
                (size.mailboxes, size.posts, size.presences),
                (model.boxes.len() as u64, posts as u64, presences as u64)
            );
            for at in 0..3 {
                prop_assert_eq!(
                    store.mark(&address(at)).unwrap(),
                    model.mark(&address(at)).unwrap()
                );
            }
        }
    }
}

#[test]
fn is_refused_if_newer_or_something_else_and_left_as_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    open(&path)
        .put(NOW, &address(1), &[1; 1024])
        .unwrap()
        .unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 2")
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        SqliteStore::open(&path, Limits::default()),
        Err(StoreError::Newer)
    ));
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = dir.path().join("other");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE a (b)")
        .unwrap();
    let before = fs::read(&other).unwrap();
    assert!(matches!(
        SqliteStore::open(&other, Limits::default()),
        Err(StoreError::Foreign)
    ));
    let text = dir.path().join("text");
    fs::write(
        &text,
        "a letter to nobody, longer than a header of a database is: ".repeat(20),
    )
    .unwrap();
    assert!(matches!(
        SqliteStore::open(&text, Limits::default()),
        Err(StoreError::Foreign)
    ));
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn is_one_process_s_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let first = open(&path);
    let second = SqliteStore::open(&path, Limits::default());
    assert!(matches!(second, Err(StoreError::Busy)), "{second:?}");
    drop(first);
    open(&path);
}

#[cfg(unix)]
#[test]
fn is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let mut store = open(&path);
    store.put(NOW, &address(1), &[1; 1024]).unwrap().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[test]
fn a_limit_that_cannot_be_counted_is_refused() {
    let dir = tempdir().unwrap();
    let limits = Limits {
        total: u64::MAX,
        ..Limits::default()
    };
    let store = SqliteStore::open(&dir.path().join("relay"), limits);
    assert!(matches!(store, Err(StoreError::Limit)));
}

#[test]
fn a_sweep_is_bounded_and_so_is_the_file() {
    let limits = Limits {
        terms: Terms {
            post_life: 3 * DAY,
            ..Limits::default().terms
        },
        total: 4 << 20,
        ..Limits::default()
    };
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let mut store = SqliteStore::open(&path, limits).unwrap();
    let mut largest = 0;
    let (mut kept, mut full) = (0, 0);
    // Six weeks, in which more comes each day than there is room for.
    for day in 0..42_u64 {
        let now = NOW + day * DAY;
        for number in 0..80_u64 {
            let mut at = [7; 32];
            at[..8].copy_from_slice(&(day * 8 + number % 8).to_be_bytes());
            let sealed = vec![(number + day) as u8; 16 << 10];
            match store
                .put(now, &Address::from_bytes(at), &sealed[number as usize..])
                .unwrap()
            {
                Ok(_) => kept += 1,
                Err(Refusal::RelayFull) => full += 1,
                Err(why) => panic!("{why}"),
            }
        }
        while store.sweep(now).unwrap().more {}
        let files = fs::read_dir(dir.path()).unwrap();
        let bytes: u64 = files
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        largest = bytes.max(largest);
    }
    assert!(kept > 1000 && full > 100, "{kept} {full}");
    // What is kept, pages that are half empty, and the WAL.
    assert!(largest < (4 << 20) * 5 / 4 + (9 << 20), "{largest}");
    let end = NOW + 100 * DAY;
    let mut calls = 0;
    loop {
        let swept = store.sweep(end).unwrap();
        assert!(swept.posts <= 256 && swept.mailboxes <= 256);
        calls += 1;
        if !swept.more {
            break;
        }
    }
    let size = SqliteStore::size(&store).unwrap();
    assert_eq!((size.posts, size.mailboxes, size.bytes), (0, 0, 0));
    assert!(size.file <= 16 * 4096, "{} after {calls} calls", size.file);
}

#[test]
fn what_is_taken_back_replaced_or_expired_is_in_no_file_after_a_sweep() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let mut store = open(&path);
    // 4 KiB by themselves, as the shortest posts are, and spread over several pages.
    let [gone, large, replaced, expired] = [0xa7, 0xb1, 0xc5, 0x5c].map(|byte| vec![byte; 4096]);
    let large = large.repeat(8);
    let holds = |bytes: &[u8]| {
        let files = fs::read_dir(dir.path()).unwrap();
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .any(|file| file.windows(64).any(|window| window == &bytes[..64]))
    };
    for post in [&gone, &large] {
        let kept = store.put(NOW, &address(1), post).unwrap().unwrap();
        let id = EnvelopeId::of(post);
        let taken = store.withdraw(NOW, &address(1), kept.number, &id, &[1; 64]);
        taken.unwrap().unwrap();
    }
    let present = |store: &mut SqliteStore, sealed: &[u8]| {
        let placed = store.present(NOW, &address(1), &Slot([1; 16]), Some(sealed));
        placed.unwrap().unwrap();
    };
    present(&mut store, &replaced);
    present(&mut store, &expired);
    assert!(holds(&gone) && holds(&large) && holds(&replaced));
    // The relay goes on running: what is gone is not only gone when it is stopped.
    let swept = store.sweep(NOW).unwrap();
    assert_eq!((swept.posts, swept.presences), (0, 0));
    assert!(!holds(&gone) && !holds(&large) && !holds(&replaced));
    assert!(holds(&expired));
    let swept = store.sweep(NOW + DAY).unwrap();
    assert_eq!((swept.posts, swept.presences, swept.mailboxes), (0, 1, 0));
    assert!(!holds(&expired));
}

#[test]
fn what_was_taken_back_before_a_crash_is_gone_after_the_next_sweep() {
    let (dir, after) = (tempdir().unwrap(), tempdir().unwrap());
    let mut store = open(&dir.path().join("relay"));
    let gone = vec![0xa7; 4096];
    let kept = store.put(NOW, &address(1), &gone).unwrap().unwrap();
    let taken = store.withdraw(
        NOW,
        &address(1),
        kept.number,
        &EnvelopeId::of(&gone),
        &[1; 64],
    );
    taken.unwrap().unwrap();
    // As its files are now.
    let files = |dir: &Path| fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    for file in files(dir.path()) {
        fs::copy(&file, after.path().join(file.file_name().unwrap())).unwrap();
    }
    let holds = || {
        files(after.path()).any(|file| {
            let file = fs::read(file).unwrap();
            file.windows(64).any(|window| window == &gone[..64])
        })
    };
    assert!(holds());
    let mut store = open(&after.path().join("relay"));
    store.sweep(NOW).unwrap();
    assert!(!holds());
}
