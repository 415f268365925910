//! Wrong passwords have to wait.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use tempfile::{TempDir, tempdir};
use twin_vault::{Unlock, Vault, VaultError};

const DIR: &str = "TWIN_VAULT_TEST_DIR";
const RIGHT: &str = "correct horse";
const WRONG: &str = "correct house";
const SECOND: u64 = 1000;

fn vault() -> TempDir {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    vault
        .add_slot(NOON, Unlock::Password(RIGHT), "", &mut rng(4))
        .unwrap();
    dir
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Open,
    Wrong,
    Wait(u64),
}
use Answer::{Open, Wait, Wrong};

fn try_it(dir: &Path, password: &str, now: u64) -> Answer {
    match Vault::open(dir, Unlock::Password(password), now) {
        Ok(_) => Open,
        Err(VaultError::WrongPassword) => Wrong,
        Err(VaultError::TooManyTries { wait }) => Wait(wait.as_millis().try_into().unwrap()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn after_five_wrong_passwords_the_next_waits() {
    let dir = vault();
    let dir = dir.path();
    for _ in 0..4 {
        assert_eq!(try_it(dir, WRONG, NOON), Wrong);
    }
    // The right one forgets them.
    assert_eq!(try_it(dir, RIGHT, NOON), Open);
    for _ in 0..5 {
        assert_eq!(try_it(dir, WRONG, NOON), Wrong);
    }
    // Refused at once, right or wrong, and refusals do not count.
    for _ in 0..3 {
        assert_eq!(try_it(dir, WRONG, NOON), Wait(SECOND));
        assert_eq!(try_it(dir, RIGHT, NOON + 1), Wait(SECOND - 1));
    }
    let mut now = NOON + SECOND;
    for wait in [2, 4] {
        assert_eq!(try_it(dir, WRONG, now), Wrong);
        assert_eq!(try_it(dir, RIGHT, now), Wait(wait * SECOND));
        now += wait * SECOND;
    }
    // The key store is no password: it neither waits nor forgets.
    assert_eq!(try_it(dir, WRONG, now), Wrong);
    drop(Vault::open(dir, Unlock::KeyStore(&SoftKeyStore::new(1)), now).unwrap());
    assert_eq!(try_it(dir, RIGHT, now), Wait(8 * SECOND));
    // A clock that is set back lifts nothing: the wait begins anew, no longer than it was.
    assert_eq!(try_it(dir, RIGHT, NOON - 90 * MINUTE), Wait(8 * SECOND));
    assert_eq!(try_it(dir, RIGHT, NOON - 90 * MINUTE + 7999), Wait(1));
    assert_eq!(try_it(dir, RIGHT, NOON - 90 * MINUTE + 8000), Open);
    assert_eq!(try_it(dir, WRONG, NOON), Wrong);
    assert_eq!(try_it(dir, RIGHT, NOON), Open);
    let wait = Duration::from_millis(1001);
    let said = VaultError::TooManyTries { wait }.to_string();
    assert_eq!(said, "too many wrong passwords: try again in 2 seconds");
}

#[test]
fn a_password_with_a_key_store_waits_too() {
    let dir = vault();
    let chip = SoftKeyStore::new(1);
    let mut vault = reopen(dir.path()).unwrap();
    vault
        .change_slot(NOON, 2, Unlock::Both(RIGHT, &chip), &mut rng(5))
        .unwrap();
    for _ in 0..5 {
        let wrong = Vault::open(dir.path(), Unlock::Both(WRONG, &chip), NOON);
        assert!(matches!(wrong, Err(VaultError::WrongPassword)));
    }
    let refused = Vault::open(dir.path(), Unlock::Both(RIGHT, &chip), NOON);
    assert!(matches!(refused, Err(VaultError::TooManyTries { .. })));
}

#[test]
fn many_at_once_get_no_more_tries() {
    let dir = vault();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| try_it(dir.path(), WRONG, NOON)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let wrong = answers.iter().filter(|answer| **answer == Wrong).count();
    assert_eq!(wrong, 5, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Wrong | Wait(SECOND)))
    );
}

/// Not a test: what the child process of the next test runs.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    loop {
        let answer = try_it(Path::new(&dir), WRONG, NOON);
        let mut out = std::io::stdout().lock();
        writeln!(out, "answer {answer:?}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kill_9_makes_no_try_free() {
    let dir = vault();
    let mut wrong = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed the moment that it has told its first answer.
        lines
            .find(|line| line.as_ref().unwrap().contains("answer "))
            .map_or_else(
                || panic!("round {round}: no answer"),
                |line| wrong += usize::from(line.unwrap().contains("Wrong")),
            );
        child.kill().unwrap();
        wrong += lines
            .filter(|line| line.as_ref().unwrap().contains("Wrong"))
            .count();
        child.wait().unwrap();
    }
    assert!(wrong <= 5, "{wrong} tries were free");
    assert!(matches!(try_it(dir.path(), RIGHT, NOON), Wait(_)));
}
