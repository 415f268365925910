//! What is erased is gone: here, from the file, and on every device that hears of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "common/files.rs"]
mod files;

use std::fs;
use std::path::Path;

use common::*;
use files::*;
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::op::{LogId, Op, Origin, Part};
use twin_ops::store::{Hole, LogHead, OpStore};
use twin_vault::check::Damage;
use twin_vault::{Erasure, FILE_NAME, Unlock, Vault};

/// A phone and two linked devices, the first a companion.
fn three() -> (Vec<TempDir>, [Vault; 3]) {
    let dirs: Vec<TempDir> = (0..3).map(|_| tempdir().unwrap()).collect();
    let mut phone = phone(dirs[0].path());
    let laptop = linked(dirs[1].path(), &mut phone, 10, Role::Member);
    let tablet = linked(dirs[2].path(), &mut phone, 20, Role::Admin);
    (dirs, [phone, laptop, tablet])
}

fn erase(vault: &mut Vault, id: &str) -> Erasure {
    vault
        .erase(NOON + MINUTE, &mut rng(77), &space("home"), "c", id)
        .unwrap()
}

fn ids(vault: &mut Vault) -> Vec<String> {
    records(vault, "c").into_iter().map(|(id, _)| id).collect()
}

/// Everything sealed that is in a vault.
fn sealed(dir: &Path) -> Vec<Vec<u8>> {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    let mut rows = file.prepare("SELECT v FROM op").unwrap();
    let rows = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    rows.flat_map(|row| frames(&row.unwrap())).collect()
}

/// The blocks of what is kept for searching in a vault.
fn blocks(dir: &Path) -> Vec<Vec<u8>> {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    let mut rows = file.prepare("SELECT v FROM block WHERE n >= 0").unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Whether a piece of these bytes is in any file of the folder.
fn is_in(dir: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(dir).unwrap();
    files.into_iter().any(|file| {
        let content = fs::read(file.unwrap().path()).unwrap();
        let pieces = bytes.chunks_exact(16);
        pieces
            .into_iter()
            .any(|piece| content.windows(16).any(|window| window == piece))
    })
}

/// Ops of a log as they are sent.
fn run(vault: &Vault, origin: &Origin) -> Vec<Vec<u8>> {
    let log = origin.log_id(vault.twin());
    vault.read_run(&log, 0, usize::MAX).unwrap()
}

/// Where a device writes in the space `home`.
fn origin(vault: &Vault, of: &Vault) -> Origin {
    let heads = vault.heads().unwrap();
    let mut origins = heads
        .iter()
        .map(|LogHead { log, .. }| vault.origin(log).unwrap().unwrap());
    let home = space("home").id(vault.twin());
    let is = |origin: &Origin| origin.device == of.device_keys().id() && origin.space == home;
    origins.find(is).unwrap()
}

/// Gives `to` the identity log and the keys that `from` has, and nothing else.
fn send_keys(from: &Vault, to: &mut Vault) {
    send_identity(from, to, NOON);
    let grants = from.grants().unwrap();
    let grants = grants.iter().map(|id| from.grant(id).unwrap().unwrap());
    to.add_grants(&grants.collect::<Vec<_>>()).unwrap();
}

fn whole(vault: &mut Vault) {
    let report = vault.check().unwrap();
    assert!(report.is_whole(), "{:?}", report.named);
    let before = records(vault, "c");
    vault.rebuild_index().unwrap();
    assert_eq!(records(vault, "c"), before);
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn nothing_of_it_is_left_in_the_file() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    // One op of three records, then patches of one of them.
    let put = |id| change(Kind::Put, "c", id, &[("a", "one"), ("b", "two")]);
    commit(
        &mut vault,
        NOON,
        vec![put("keep"), put("gone"), put("also")],
    );
    let before = sealed(dir.path());
    patch(&mut vault, NOON + 1, "c", "gone", &[("a", "three")]);
    patch(&mut vault, NOON + 2, "c", "gone", &[("b", "four")]);
    delete(&mut vault, NOON + 3, "c", "gone");
    vault.settle_index().unwrap();
    let all = sealed(dir.path());
    let rows = index_rows(dir.path()).len();
    let kept = records(&mut vault, "c");
    let found = vault.search(&space("home"), "one", None, 10).unwrap();
    assert_eq!(found.len(), 2);
    let words = blocks(dir.path());
    assert!(!words.is_empty());
    assert!(all.iter().all(|part| is_in(dir.path(), part)));

    assert_eq!(erase(&mut vault, "gone"), Erasure::Done);
    let after = sealed(dir.path());
    let gone: Vec<_> = all.iter().filter(|part| !after.contains(part)).collect();
    assert_eq!(gone.len(), 4, "a put, two patches, a delete");
    assert_eq!(before.iter().filter(|part| gone.contains(part)).count(), 1);
    for part in &gone {
        assert!(!is_in(dir.path(), part), "while open");
    }
    assert_eq!(index_rows(dir.path()).len(), rows - 1);
    // What it was found by is gone, and what others are found by is not.
    assert_eq!(blocks(dir.path()).len(), words.len());
    assert!(words.iter().all(|block| !is_in(dir.path(), block)));
    assert_eq!(records(&mut vault, "c"), kept);
    let found = vault.search(&space("home"), "one", None, 10).unwrap();
    assert_eq!(found.len(), 2);
    assert!(
        vault
            .history(&space("home"), "c", "gone", None, 10)
            .unwrap()
            .is_empty()
    );
    whole(&mut vault);
    drop(vault);
    for part in &gone {
        assert!(!is_in(dir.path(), part), "after closing");
    }

    // It is as if it had never been, and can be made anew.
    let mut vault = reopen(dir.path()).unwrap();
    assert_eq!(erase(&mut vault, "gone"), Erasure::Nothing);
    common::put(&mut vault, NOON + 2 * MINUTE, "c", "gone", &[("a", "new")]);
    let new = vault.get(&space("home"), "c", "gone").unwrap().unwrap();
    assert_eq!(new.fields, fields(&[("a", "new")]));
    let unlock = Unlock::Password("a new key");
    vault.add_slot(NOON, unlock, "", &mut rng(5)).unwrap();
    let number = vault.slots().unwrap().last().unwrap().number;
    vault.remove_slot(number, None, &mut rng(6)).unwrap();
    whole(&mut vault);
    assert_eq!(ids(&mut vault), ["also", "gone", "keep"]);
}

#[test]
fn what_another_program_leaves_in_the_write_ahead_log_is_wiped_when_there_is_time() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let mut other = reopen(dir.path()).unwrap();
    put(&mut vault, NOON, "c", "r", &[("a", "1")]);
    let log = dir.path().join(format!("{FILE_NAME}-wal"));
    let len = || std::fs::metadata(&log).unwrap().len();
    assert!(len() > 0);
    assert!(other.changed_elsewhere().unwrap());
    other.wipe_for_others();
    assert_eq!(len(), 0);
    // Once; then again when anybody else has written.
    put(&mut other, NOON + 1, "c", "r", &[("a", "2")]);
    other.wipe_for_others();
    assert!(len() > 0);
    put(&mut vault, NOON + 2, "c", "r", &[("a", "3")]);
    assert!(other.changed_elsewhere().unwrap());
    other.wipe_for_others();
    assert_eq!(len(), 0);
    assert!(vault.get(&space("home"), "c", "r").unwrap().is_some());
}

#[test]
fn it_goes_on_every_device_that_hears_of_it() {
    let (dirs, mut vaults) = three();
    let [phone, laptop, tablet] = &mut vaults;
    put(phone, NOON, "c", "gone", &[("a", "one")]);
    put(phone, NOON, "c", "keep", &[("a", "one")]);
    send(phone, laptop, NOON);
    patch(laptop, NOON + 1, "c", "gone", &[("b", "two")]);
    send(laptop, phone, NOON + 1);
    let content = sealed(dirs[1].path());
    assert_eq!(erase(phone, "gone"), Erasure::Done);
    send(phone, laptop, NOON + MINUTE);
    let left = sealed(dirs[1].path());
    let gone = content.iter().filter(|part| !left.contains(part));
    let gone: Vec<_> = gone
        .inspect(|part| assert!(!is_in(dirs[1].path(), part)))
        .collect();
    assert_eq!(gone.len(), 2);
    // The tablet was away all the time: it gets what is left, and why.
    send(laptop, tablet, NOON + MINUTE);
    for vault in vaults.iter_mut() {
        assert_eq!(ids(vault), ["keep"]);
        assert!(vault.holes().unwrap().is_empty());
        whole(vault);
    }
}

#[test]
fn content_that_comes_after_its_erasure_is_not_kept() {
    for keys_come_last in [false, true] {
        let (dirs, mut vaults) = three();
        let [phone, laptop, tablet] = &mut vaults;
        put(laptop, NOON, "c", "gone", &[("a", "one")]);
        send(laptop, phone, NOON);
        phone.tend(NOON, &mut rng(8)).unwrap();
        let full = run(phone, &origin(phone, laptop));
        assert_eq!(erase(phone, "gone"), Erasure::Done);
        // The tablet hears of the erasure first, then of the record from the laptop, which has not heard of it.
        if !keys_come_last {
            send_keys(phone, tablet);
        }
        let erasing = origin(phone, phone);
        let erasure = run(phone, &erasing);
        tablet
            .append_run(NOON + MINUTE, &erasing, &erasure)
            .unwrap();
        *tablet = reopen(dirs[2].path()).unwrap();
        let origin = origin(laptop, laptop);
        tablet.append_run(NOON + MINUTE, &origin, &full).unwrap();
        if keys_come_last {
            send_keys(phone, tablet);
        }
        assert!(ids(tablet).is_empty());
        assert!(tablet.holes().unwrap().is_empty());
        // The first part says what its writer had seen.
        let op = Op::from_bytes(&full[0]).unwrap();
        let mut sealed = op.parts().iter().filter_map(|part| match part {
            Part::Sealed(sealed) => Some(sealed),
            Part::Dropped(_) => None,
        });
        let content = sealed.next_back().unwrap();
        assert!(is_in(dirs[1].path(), content));
        assert!(!is_in(dirs[2].path(), content));
        whole(tablet);
    }
}

#[test]
fn a_change_that_did_not_know_stays() {
    let (_dirs, mut vaults) = three();
    let [phone, laptop, _] = &mut vaults;
    put(phone, NOON, "c", "r", &[("a", "one")]);
    send(phone, laptop, NOON);
    patch(laptop, NOON + 1, "c", "r", &[("b", "two")]);
    assert_eq!(erase(phone, "r"), Erasure::Done);
    send(laptop, phone, NOON + MINUTE);
    send(phone, laptop, NOON + MINUTE);
    for vault in [phone, laptop] {
        let left = vault.get(&space("home"), "c", "r").unwrap().unwrap();
        assert_eq!(left.fields, fields(&[("b", "two")]));
        whole(vault);
    }
}

#[test]
fn what_somebody_leaves_out_is_missed_and_filled() {
    let (_dirs, mut vaults) = three();
    let [phone, laptop, tablet] = &mut vaults;
    put(phone, NOON, "c", "a", &[("a", "one")]);
    put(phone, NOON, "c", "b", &[("a", "one")]);
    for other in [&mut *laptop, &mut *tablet] {
        send_keys(phone, other);
    }
    let from = origin(phone, phone);
    let full = run(phone, &from);
    let mut stripped = full.clone();
    let mut op = Op::from_bytes(&full[1]).unwrap();
    op.drop_part(0);
    stripped[1] = op.to_bytes();
    assert_eq!(laptop.append_run(NOON, &from, &stripped).unwrap().new, 2);
    let hole = Hole {
        log: from.log_id(phone.twin()),
        seq: 2,
    };
    assert_eq!(laptop.holes().unwrap(), [hole]);
    assert_eq!(ids(laptop), ["a"]);
    let report = laptop.check().unwrap();
    assert!(report.can_be_fetched() && !report.can_be_rebuilt());
    assert_eq!(
        report.named,
        [Damage::Missing {
            log: hole.log,
            seq: 2
        }]
    );
    // What it passes on is missed there, too.
    let passed_on = run(laptop, &from);
    assert_eq!(passed_on, stripped);
    tablet.append_run(NOON, &from, &passed_on).unwrap();
    assert_eq!(tablet.holes().unwrap(), [hole]);
    // Another op in its place fills nothing.
    let mut forged = Op::from_bytes(&full[0]).unwrap().to_bytes();
    assert!(
        laptop
            .append_run(NOON, &from, &[std::mem::take(&mut forged)])
            .is_ok()
    );
    assert_eq!(laptop.holes().unwrap(), [hole]);
    for vault in [laptop, tablet] {
        let taken = vault.append_run(NOON, &from, &full[1..]).unwrap();
        assert_eq!(taken.new, 1);
        assert!(vault.holes().unwrap().is_empty());
        assert_eq!(ids(vault), ["a", "b"]);
        whole(vault);
    }
}

/// What others are found by stays, too where it shared an op or a record's past with what is erased.
#[test]
fn what_stays_is_found_as_before() {
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    let mut vault = phone(dirs[0].path());
    let mut laptop = linked(dirs[1].path(), &mut vault, 10, Role::Member);
    let put = |id| change(Kind::Put, "c", id, &[("a", "amsel"), ("b", id)]);
    for round in 0..3 {
        let all = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"].map(put);
        commit(&mut vault, NOON + round, all.to_vec());
    }
    send(&vault, &mut laptop, NOON + 5);
    let found = |vault: &mut Vault| {
        let hits = vault.search(&space("home"), "amsel", None, 100).unwrap();
        let mut ids: Vec<String> = hits.into_iter().map(|hit| hit.record.id).collect();
        ids.sort();
        ids
    };
    assert_eq!((found(&mut vault).len(), found(&mut laptop).len()), (8, 8));
    let mut left: Vec<String> = found(&mut vault);
    for (round, id) in (0..).zip(["r3", "r0", "r6"]) {
        assert_eq!(erase(&mut vault, id), Erasure::Done);
        left.retain(|other| other != id);
        assert_eq!(found(&mut vault), left);
        send(&vault, &mut laptop, NOON + 10 + round);
        assert_eq!(found(&mut laptop), left);
        laptop.in_sync(NOON + 10, &vault.device_keys().id());
        vault.in_sync(NOON + 10, &laptop.device_keys().id());
        let gone = vault
            .compact(NOON + 20, &mut rng(30), &space("home"))
            .unwrap()
            .gone;
        assert!(gone > 0);
        assert_eq!(found(&mut vault), left);
        send(&vault, &mut laptop, NOON + 30 + round);
        assert_eq!(found(&mut laptop), left);
    }
    whole(&mut vault);
    whole(&mut laptop);
}

/// Of a copy that lies elsewhere it is known which ops are in it.
#[test]
fn it_can_be_told_what_a_copy_holds_of_what_is_erased() {
    let (_dirs, mut vaults) = three();
    let [phone, laptop, _] = &mut vaults;
    put(phone, NOON, "c", "a", &[("x", "1")]);
    let log = origin(phone, phone).log_id(phone.twin());
    let first = phone.read_run(&log, 0, usize::MAX).unwrap().len() as u64;
    put(phone, NOON, "c", "b", &[("x", "1")]);
    put(phone, NOON, "c", "d", &[("x", "1")]);
    send(phone, laptop, NOON);
    let among = |vault: &Vault, first, last| vault.erased_among(|of| *of == log, &(first..=last));
    let is_gone = |vault: &Vault, seq| (0..4).any(|part| vault.is_gone(&log, seq, part).unwrap());
    assert_eq!(among(phone, first, first + 2), Some(0));
    assert_eq!(erase(phone, "b"), Erasure::Done);
    assert_eq!(among(phone, first, first), Some(0));
    assert_eq!(among(phone, first, first + 2), Some(1));
    assert_eq!(among(phone, first + 1, first + 1), Some(1));
    assert!(is_gone(phone, first + 1));
    assert!(!is_gone(phone, first) && !is_gone(phone, first + 2));
    // Who has not heard knows nothing of it; who has, the same.
    assert_eq!(among(laptop, first, first + 2), Some(0));
    assert!(!is_gone(laptop, first + 1));
    send(phone, laptop, NOON + 2 * MINUTE);
    assert_eq!(among(laptop, first, first + 2), Some(1));
    assert!(is_gone(laptop, first + 1));
    // Of what is not here nothing can be told.
    assert_eq!(among(phone, first, first + 99), None);
    let other = |of: &LogId| *of == LogId::from_bytes([1; 32]);
    assert_eq!(phone.erased_among(other, &(1..=1)), None);
}

#[test]
fn a_companion_asks_and_an_admin_confirms() {
    let (_dirs, mut vaults) = three();
    let [phone, laptop, _] = &mut vaults;
    let home = space("home");
    put(phone, NOON, "c", "r", &[("a", "one")]);
    send(phone, laptop, NOON);
    assert_eq!(erase(laptop, "nothing"), Erasure::Nothing);
    for _ in 0..2 {
        assert_eq!(erase(laptop, "r"), Erasure::Asked);
    }
    assert_eq!(ids(laptop), ["r"]);
    send(laptop, phone, NOON + MINUTE);
    let asked = phone.erasure_requests(&home).unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].collection.as_str(), asked[0].id.as_str()),
        ("c", "r")
    );
    assert_eq!(asked[0].by, laptop.device_keys().id());
    assert_eq!(erase(phone, "r"), Erasure::Done);
    send(phone, laptop, NOON + MINUTE);
    for vault in [phone, laptop] {
        assert!(ids(vault).is_empty());
        assert!(vault.erasure_requests(&home).unwrap().is_empty());
        whole(vault);
    }
}

fn erase_file(vault: &mut Vault, now: u64, id: &str) -> Erasure {
    vault
        .erase(now, &mut rng(78), &space("home"), "files", id)
        .unwrap()
}

#[test]
fn content_of_a_file_goes_with_its_record_at_once() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let (film, letter) = (of_chunks("film", 3), of_chunks("letter", 2));
    add_file(&mut vault, NOON, "film", &film);
    let of_film = sealed_chunks(dir.path());
    add_file(&mut vault, NOON, "letter", &letter);
    let kept = root(&mut vault, "film");
    assert!(of_film.iter().all(|chunk| is_in(dir.path(), chunk)));
    assert_eq!(erase_file(&mut vault, NOON, "film"), Erasure::Done);
    // Neither its bytes are in any file, nor is anything there that whoever kept all of its keys could open.
    for chunk in &of_film {
        assert!(!is_in(dir.path(), chunk));
    }
    let left = vault.missing_chunks(&space("home"), &kept, 0).unwrap();
    assert_eq!((left.count, left.chunks), (4, 4));
    assert_eq!(sealed_chunks(dir.path()).len(), 3);
    assert_eq!(read_file(&mut vault, "letter").unwrap(), letter);
    assert!(vault.check().unwrap().is_whole());
    // What changed the record is as gone after the vault was opened again.
    drop(vault);
    let mut vault = reopen(dir.path()).unwrap();
    assert!(of_film.iter().all(|chunk| !is_in(dir.path(), chunk)));
    assert_eq!(vault.collect_garbage(NOON).unwrap().chunks, 0);
}

#[test]
fn content_that_something_else_names_stays() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let film = of_chunks("film", 3);
    // The same again; one that begins alike; and one that was replaced, but can be looked up in its history.
    let longer = [film.as_slice(), b"and more"].concat();
    for (id, content) in [
        ("film", &film),
        ("again", &film),
        ("longer", &longer),
        ("was", &film),
    ] {
        add_file(&mut vault, NOON, id, content);
    }
    add_file(&mut vault, NOON, "was", &of_chunks("other", 1));
    let all = sealed_chunks(dir.path()).len();
    erase_file(&mut vault, NOON, "film");
    assert_eq!(sealed_chunks(dir.path()).len(), all);
    erase_file(&mut vault, NOON, "again");
    assert_eq!(sealed_chunks(dir.path()).len(), all);
    erase_file(&mut vault, NOON, "was");
    // The manifest of the film and the other one; of the film all chunks are in the longer one.
    assert_eq!(sealed_chunks(dir.path()).len(), all - 2);
    assert_eq!(read_file(&mut vault, "longer").unwrap(), longer);
    erase_file(&mut vault, NOON, "longer");
    assert!(sealed_chunks(dir.path()).is_empty());
    // Deleted is not erased.
    add_file(&mut vault, NOON, "letter", &film);
    delete(&mut vault, NOON + 1, "files", "letter");
    assert_eq!(sealed_chunks(dir.path()).len(), 4);
    erase_file(&mut vault, NOON + 2, "letter");
    assert!(sealed_chunks(dir.path()).is_empty());
}
