//! Two processes on one vault, and processes that are killed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use tempfile::tempdir;
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_vault::VaultError;

const DIR: &str = "TWIN_VAULT_TEST_DIR";
const NAME: &str = "TWIN_VAULT_TEST_NAME";

/// Not a test: what the child processes of the tests below run. It writes records, one a commit, and says so after
/// each.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let name = std::env::var(NAME).unwrap();
    let mut vault = reopen(Path::new(&dir)).unwrap();
    for i in 0u64.. {
        put(
            &mut vault,
            NOON + i,
            "c",
            &format!("{name}{i}"),
            &[("i", &format!("{i}"))],
        );
        let mut out = std::io::stdout().lock();
        writeln!(out, "ack {i}").unwrap();
        out.flush().unwrap();
    }
}

fn spawn(dir: &Path, name: &str) -> (Child, impl Iterator<Item = u64> + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(NAME, name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let acks = out.lines().filter_map(|line| {
        let line = line.unwrap();
        // The test harness's own words may stand before the first.
        line.split("ack ").nth(1)?.parse().ok()
    });
    (child, acks)
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempdir().unwrap();
    drop(phone(dir.path()));
    for round in 0..12u64 {
        let name = format!("{round}-");
        let (mut child, mut acks) = spawn(dir.path(), &name);
        let mut last = 0;
        for _ in 0..=round * 3 {
            last = acks.next().unwrap();
        }
        child.kill().unwrap();
        // What it said before it died counts too.
        last = acks.last().unwrap_or(last);
        child.wait().unwrap();
        let mut vault = reopen(dir.path()).unwrap();
        for i in 0..=last {
            let record = vault
                .get(&space("home"), "c", &format!("{name}{i}"))
                .unwrap();
            assert!(record.is_some(), "round {round}: {i} of {last} is lost");
        }
        vault.settle_index().unwrap();
        let rows = index_rows(dir.path());
        vault.rebuild_index().unwrap();
        assert_eq!(index_rows(dir.path()), rows);
    }
}

#[test]
fn two_processes_write_at_once() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let (mut child, acks) = spawn(dir.path(), "child");
    let mut acks = acks.take(50);
    for i in 0..50 {
        put(
            &mut vault,
            NOON + i,
            "c",
            &format!("parent{i}"),
            &[("i", "1")],
        );
        acks.next().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for i in 0..50 {
        for name in ["parent", "child"] {
            let id = format!("{name}{i}");
            assert!(
                vault.get(&space("home"), "c", &id).unwrap().is_some(),
                "{id}"
            );
        }
    }
    // One log, without a hole, from both.
    let head = vault.heads().unwrap()[0];
    let run = vault.read_run(&head.log, 0, usize::MAX).unwrap();
    assert_eq!(run.len() as u64, head.head.height);
    assert!(run.len() >= 100);
}

#[test]
fn what_one_changes_the_other_sees() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut app = phone(dir.path());
    let mut extension = reopen(dir.path()).unwrap();
    assert!(!extension.changed_elsewhere().unwrap());
    let generation = extension.generation();
    put(&mut app, NOON, "c", "r", &[("a", "1")]);
    // A new space, key, log and collection, seen without being told to look.
    assert_eq!(records(&mut extension, "c"), records(&mut app, "c"));
    assert!(extension.generation() > generation);
    assert!(
        extension.changed_elsewhere().unwrap(),
        "a read has seen it, and whoever looks for news has not heard"
    );
    assert!(!extension.changed_elsewhere().unwrap());
    put(&mut app, NOON, "c", "r", &[("a", "2")]);
    assert!(extension.changed_elsewhere().unwrap());
    assert!(!extension.changed_elsewhere().unwrap());
    assert_eq!(records(&mut extension, "c"), records(&mut app, "c"));
    // Both go on in one log.
    put(&mut extension, NOON, "c", "r", &[("a", "3")]);
    put(&mut app, NOON, "d", "r", &[("a", "4")]);
    put(&mut extension, NOON, "d", "s", &[("a", "5")]);
    assert!(app.changed_elsewhere().unwrap());
    assert_eq!(app.heads().unwrap(), extension.heads().unwrap());
    assert_eq!(app.heads().unwrap()[0].head.height, 5);
    // A device admitted by one is known to the other.
    let mut laptop = linked(other.path(), &mut app, 10, Role::Member);
    assert!(extension.changed_elsewhere().unwrap());
    assert_eq!(extension.identity().devices().len(), 2);
    send(&extension, &mut laptop, NOON);
    assert_eq!(records(&mut laptop, "d"), records(&mut app, "d"));
    assert!(!app.changed_elsewhere().unwrap());
}

#[test]
fn a_vault_is_made_once() {
    let dir = tempdir().unwrap();
    let results: Vec<_> = std::thread::scope(|scope| {
        let make = || {
            let birth = twin_identity::birth::Birth::new(
                &twin_identity::words::RecoverySecret::random(&mut rng(1)),
                &mut rng(2),
            )
            .unwrap();
            let store = SoftKeyStore::new(1);
            let unlock = twin_vault::Unlock::KeyStore(&store);
            twin_vault::Vault::create(dir.path(), unlock, &birth, &mut rng(3)).map(drop)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = |result: &Result<(), VaultError>| {
        matches!(result, Ok(()) | Err(VaultError::Exists | VaultError::Busy))
    };
    assert!(results.iter().all(refused));
}
