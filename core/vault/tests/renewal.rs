//! A new vault key, cut short: kill -9 leaves the old one or the new one, and always everything else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use tempfile::tempdir;
use twin_vault::{Unlock, Vault};

const DIR: &str = "TWIN_VAULT_TEST_DIR";
const RECORDS: u64 = 400;

/// Not a test: what the child process of the test below runs. It changes the second slot from one key store to
/// another and back, and says so before and after each time.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut vault = reopen(Path::new(&dir)).unwrap();
    let seed = u64::from(std::process::id());
    for i in 0u64.. {
        say(&format!("begin {i}"));
        let chip = SoftKeyStore::new(2 + (i % 2) as u8);
        let unlock = Unlock::KeyStore(&chip);
        vault
            .change_slot(NOON + i, 2, unlock, &mut rng(seed + i))
            .unwrap();
        say(&format!("done {i}"));
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

#[test]
fn kill_9_leaves_the_old_key_or_the_new_one() {
    const ROUNDS: u32 = 24;
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    for i in 0..RECORDS {
        put(
            &mut vault,
            NOON,
            "c",
            &format!("r{i}"),
            &[("i", &format!("{i}"))],
        );
    }
    let second = SoftKeyStore::new(2);
    vault
        .add_slot(NOON, Unlock::KeyStore(&second), "", &mut rng(4))
        .unwrap();
    let truth = records(&mut vault, "c");
    let begun = Instant::now();
    vault
        .change_slot(NOON, 2, Unlock::KeyStore(&second), &mut rng(5))
        .unwrap();
    let whole = begun.elapsed();
    drop(vault);
    let (mut old, mut new) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("begin 1")));
        // From its first moment to after its end.
        let until = Instant::now() + whole * round * 3 / (ROUNDS * 2) + Duration::from_micros(50);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let last = lines
            .map(|line| line.unwrap())
            .last()
            .unwrap_or_else(|| "begin 1".to_owned());
        child.wait().unwrap();

        let mut vault = reopen(dir.path()).unwrap();
        assert_eq!(records(&mut vault, "c"), truth, "round {round}: {last}");
        let (word, i) = last.split_once(' ').unwrap();
        let done: u64 = i.parse().unwrap();
        let opens = |i: u64| {
            let chip = SoftKeyStore::new(2 + (i % 2) as u8);
            Vault::open(dir.path(), Unlock::KeyStore(&chip), NOON).is_ok()
        };
        // One of the two opens it, never both; what was said to be done was.
        assert_ne!(opens(done), opens(done + 1), "round {round}: {last}");
        if word == "done" {
            assert!(opens(done), "round {round}: {last} was taken back");
        }
        if opens(done) {
            new += 1;
        } else {
            old += 1;
        }
        vault.settle_index().unwrap();
        let rows = index_rows(dir.path());
        vault.rebuild_index().unwrap();
        assert_eq!(index_rows(dir.path()), rows);
    }
    // Else nothing was cut short.
    assert!(old > 0, "{old} times the old key, {new} times the new one");
}
