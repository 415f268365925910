//! History goes, and nothing else does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use std::collections::BTreeSet;
use std::path::Path;

use common::*;
use twin_identity::body::{Body, Line, Removal};
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::{Fields, Value};
use twin_vault::{Erasure, FieldEdit, Vault, VaultError, WriteChange};
use twins::*;

fn compact(vault: &mut Vault, now: u64) -> u64 {
    vault
        .compact(now, &mut rng(now), &space("home"))
        .unwrap()
        .gone
}

/// How many ops of the space `home` are here.
fn ops(vault: &mut Vault) -> u64 {
    vault.superseded_ops(&space("home")).unwrap().0
}

/// Writes all kinds of changes, many times over.
fn busy(vault: &mut Vault, now: u64, rounds: u64) {
    for round in 0..rounds {
        let at = now + round * 10;
        for i in 0..5 {
            let text = format!("{round} of {i}");
            put(
                vault,
                at,
                "c",
                &format!("r{i}"),
                &[("a", &text), ("b", "same")],
            );
        }
        patch(vault, at, "c", "r1", &[("b", &format!("patched {round}"))]);
        delete(vault, at, "c", "r2");
        let edit = |edit| WriteChange {
            edits: [("n".to_owned(), edit)].into(),
            ..WriteChange::patch("counts", "all", Fields::default())
        };
        if round == 0 {
            let zero = [("n".to_owned(), Value::Counter(0))];
            commit(
                vault,
                at,
                vec![WriteChange::put("counts", "all", Fields(zero.into()))],
            );
        }
        commit(vault, at, vec![edit(FieldEdit::Count(3))]);
    }
}

fn all(vault: &mut Vault) -> [Vec<(String, Fields)>; 2] {
    ["c", "counts"].map(|collection| records(vault, collection))
}

fn history(vault: &mut Vault, id: &str) -> usize {
    let history = vault.history(&space("home"), "c", id, None, 100);
    history.unwrap().len()
}

fn is_whole(vault: &mut Vault) {
    let report = vault.check().unwrap();
    assert!(report.is_whole(), "{report:?}");
}

/// How many rows there are of ops, and whether a text is in any file of a folder.
fn rows_of_ops(dir: &Path) -> i64 {
    let file = rusqlite::Connection::open(dir.join(twin_vault::FILE_NAME)).unwrap();
    file.query_row("SELECT count(*) FROM op", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn a_device_alone_keeps_its_records_and_loses_their_history() {
    let dir = tempfile::tempdir().unwrap();
    let mut phone = phone(dir.path());
    busy(&mut phone, NOON, 20);
    let before = all(&mut phone);
    let head = phone.heads().unwrap();
    let many = ops(&mut phone);
    assert!(history(&mut phone, "r1") > 20);

    let gone = compact(&mut phone, NOON + MINUTE);
    assert_eq!(gone, many);
    assert!(ops(&mut phone) <= 2);
    assert!(rows_of_ops(dir.path()) <= ops(&mut phone) as i64 + 2);
    assert_eq!(all(&mut phone), before);
    // r1 is made of a put and a patch.
    assert_eq!(history(&mut phone, "r1"), 2);
    is_whole(&mut phone);
    phone.rebuild_index().unwrap();
    assert_eq!(all(&mut phone), before);
    is_whole(&mut phone);
    // It goes on, and can be opened again.
    drop(phone);
    let mut phone = reopen(dir.path()).unwrap();
    assert_eq!(all(&mut phone), before);
    assert!(head.iter().all(|old| {
        let now = phone.heads().unwrap();
        let now = now.iter().find(|now| now.log == old.log).unwrap();
        now.head.height >= old.head.height
    }));
    phone
        .restore(NOON + 2 * MINUTE, &mut rng(1), &space("home"), "c", "r2")
        .unwrap();
    assert_eq!(records(&mut phone, "c").len(), 5);
    let nothing = phone.compact(NOON + 2 * MINUTE, &mut rng(1), &space("nothing"));
    assert_eq!(nothing.unwrap().gone, 0);

    // Once more: what was a checkpoint goes, too; and then there is nothing more to let go.
    busy(&mut phone, NOON + 3 * MINUTE, 5);
    let before = all(&mut phone);
    assert!(compact(&mut phone, NOON + 4 * MINUTE) > 0);
    assert_eq!(all(&mut phone), before);
    assert!(ops(&mut phone) <= 2);
    assert_eq!(compact(&mut phone, NOON + 5 * MINUTE), 0);
    assert_eq!(phone.checkpoints().len(), 1);
    is_whole(&mut phone);
    assert!(phone.holes().unwrap().is_empty());
}

#[test]
fn only_admins_compact_and_the_space_of_keys_stays() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    let refused = laptop.compact(NOON, &mut rng(1), &space("home"));
    assert!(matches!(refused, Err(VaultError::MayNotCompact)));
    let keys = twin_ops::space::SpaceName::keys();
    assert_eq!(phone.compact(NOON, &mut rng(1), &keys).unwrap().gone, 0);
}

#[test]
fn what_a_device_may_not_have_stays_until_it_has() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    are_equal(&mut [&mut phone, &mut laptop], NOON);
    busy(&mut phone, NOON, 3);
    let waits = phone
        .compact(NOON + MINUTE, &mut rng(1), &space("home"))
        .unwrap();
    assert_eq!(waits.gone, 0);
    let [waits] = waits.waiting.try_into().unwrap();
    assert_eq!((waits.device, waits.heard), (laptop.device(), Some(NOON)));
    assert!(waits.ops > 20);
    assert!(history(&mut phone, "r1") > 3);

    meet(&mut [&mut phone, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut laptop], NOON + 2 * MINUTE);
    assert!(compact(&mut phone, NOON + 2 * MINUTE) > 20);
    let before = all(&mut phone);
    // The laptop lets go when it hears of it.
    meet(&mut [&mut phone, &mut laptop], NOON + 3 * MINUTE);
    while laptop.sweep().unwrap() {}
    assert_eq!(ops(&mut laptop), ops(&mut phone));
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    assert_eq!(all(&mut laptop), before);
    assert_eq!(history(&mut laptop, "r1"), 2);
    is_whole(&mut laptop);
    laptop.rebuild_index().unwrap();
    assert_eq!(all(&mut laptop), before);
    // Both go on.
    busy(&mut laptop, NOON + 4 * MINUTE, 2);
    busy(&mut phone, NOON + 4 * MINUTE, 2);
    meet(&mut [&mut phone, &mut laptop], NOON + 5 * MINUTE);
    assert_eq!(all(&mut laptop), all(&mut phone));
    are_equal(&mut [&mut phone, &mut laptop], NOON + 7 * MINUTE);
    assert!(compact(&mut phone, NOON + 7 * MINUTE) > 20);
    meet(&mut [&mut phone, &mut laptop], NOON + 8 * MINUTE);
    assert_eq!(all(&mut laptop), all(&mut phone));
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    is_whole(&mut laptop);
    is_whole(&mut phone);
}

#[test]
fn a_new_device_starts_without_the_history() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    busy(&mut phone, NOON, 5);
    busy(&mut laptop, NOON + 1, 5);
    meet(&mut [&mut phone, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut laptop], NOON + MINUTE);
    assert!(compact(&mut phone, NOON + MINUTE) > 60);
    meet(&mut [&mut phone, &mut laptop], NOON + MINUTE);
    put(&mut laptop, NOON + 2 * MINUTE, "c", "r0", &[("a", "new")]);
    meet(&mut [&mut phone, &mut laptop], NOON + 2 * MINUTE);
    // From the device that compacted, and from one that only heard of it.
    for (seed, from) in [(500, true), (600, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut tablet = linked(dir.path(), &mut phone, seed, Role::Member);
        send_identity(&phone, &mut laptop, NOON + 2 * MINUTE);
        let from = if from { &mut phone } else { &mut laptop };
        send(from, &mut tablet, NOON + 3 * MINUTE);
        assert_eq!(all(&mut tablet), all(from));
        assert_eq!(tablet.heads().unwrap(), from.heads().unwrap());
        assert!(rows_of_ops(dir.path()) < 10);
        is_whole(&mut tablet);
        tablet.rebuild_index().unwrap();
        assert_eq!(all(&mut tablet), all(from));
        assert!(tablet.holes().unwrap().is_empty());
    }
}

#[test]
fn no_peer_makes_a_device_skip_what_no_checkpoint_names() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    busy(&mut phone, NOON, 2);
    busy(&mut laptop, NOON, 2);
    send(&phone, &mut laptop, NOON);
    send(&laptop, &mut phone, NOON);
    let before = all(&mut tablet);
    // A run in the middle of each log, as if that were all there is.
    for LogHead { log, .. } in phone.heads().unwrap() {
        let origin = phone.origin(&log).unwrap().unwrap();
        if origin.space != space("home").id(phone.twin()) {
            continue;
        }
        let run = phone.read_run(&log, 0, usize::MAX).unwrap();
        let here = tablet.heads().unwrap();
        let here = here.iter().find(|head| head.log == log);
        let here = here.map_or(0, |head| head.head.height);
        let base = twin_ops::chain::Head {
            height: here + 4,
            link: phone.link_at(&log, here + 4).unwrap().unwrap(),
        };
        let rest = &run[base.height as usize..];
        let taken = tablet.append_from(NOON, &origin, base, rest).unwrap();
        assert_eq!((taken.new, taken.early), (0, rest.len()));
        let taken = tablet.append_run(NOON, &origin, rest).unwrap();
        assert_eq!((taken.new, taken.early), (0, rest.len()));
    }
    assert_eq!(all(&mut tablet), before);
    // Nor with a real checkpoint: it names its own base.
    are_equal(&mut [&mut phone, &mut laptop], NOON);
    tablet_is_equal(&mut phone, &tablet);
    let gone = compact(&mut phone, NOON + MINUTE);
    assert!(gone > 0);
    let [standing] = phone.checkpoints().try_into().unwrap();
    let origin = phone.origin(&standing.log).unwrap().unwrap();
    let run = phone
        .read_run(&standing.log, standing.seq - 1, usize::MAX)
        .unwrap();
    let right = standing.lines[&standing.log];
    let mut wrong = right;
    wrong.link = standing
        .lines
        .values()
        .find(|line| **line != right)
        .unwrap()
        .link;
    let refused = tablet.append_from(NOON + MINUTE, &origin, wrong, &run);
    assert!(refused.is_err());
    // What comes after the checkpoint says nothing of the kind itself.
    let after = twin_ops::chain::Head {
        height: standing.seq,
        link: phone.link_at(&standing.log, standing.seq).unwrap().unwrap(),
    };
    let taken = tablet.append_from(NOON + MINUTE, &origin, after, &run[1..]);
    assert_eq!(taken.unwrap().new, 0);
    assert_eq!(all(&mut tablet), before);
    send(&phone, &mut tablet, NOON + MINUTE);
    assert_eq!(all(&mut tablet), all(&mut phone));
    is_whole(&mut tablet);
}

/// Lets `phone` believe that `tablet` has everything.
fn tablet_is_equal(phone: &mut Vault, tablet: &Vault) {
    phone.in_sync(NOON, &tablet.device(), &BTreeSet::new());
}

#[test]
fn a_device_that_was_away_takes_the_snapshot_over_what_it_has() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    busy(&mut phone, NOON, 2);
    busy(&mut laptop, NOON, 2);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + MINUTE);
    // The tablet is away, and writes there; the others let go of what it has and of what it has not.
    busy(&mut tablet, NOON + MINUTE, 1);
    put(&mut tablet, NOON + MINUTE, "c", "r9", &[("a", "tablet")]);
    busy(&mut phone, NOON + 2 * MINUTE, 2);
    busy(&mut laptop, NOON + 2 * MINUTE, 2);
    send(&phone, &mut laptop, NOON + 2 * MINUTE);
    send(&laptop, &mut phone, NOON + 2 * MINUTE);
    are_equal(&mut [&mut phone, &mut laptop], NOON + 2 * MINUTE);
    tablet_is_equal(&mut phone, &tablet);
    assert!(compact(&mut phone, NOON + 3 * MINUTE) > 30);
    meet(
        &mut [&mut phone, &mut laptop, &mut tablet],
        NOON + 4 * MINUTE,
    );
    let truth = all(&mut phone);
    assert!(truth[0].iter().any(|(id, _)| id == "r9"));
    for vault in [&mut phone, &mut laptop, &mut tablet] {
        while vault.sweep().unwrap() {}
        assert_eq!(all(vault), truth);
        is_whole(vault);
        vault.rebuild_index().unwrap();
        assert_eq!(all(vault), truth);
        assert!(vault.holes().unwrap().is_empty());
    }
    assert_eq!(tablet.heads().unwrap(), phone.heads().unwrap());
}

#[test]
fn two_admins_may_compact_at_once() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    busy(&mut phone, NOON, 3);
    busy(&mut other, NOON + 1, 3);
    busy(&mut laptop, NOON + 2, 3);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    // Each has something more that the other has not seen.
    assert!(compact(&mut phone, NOON + MINUTE) > 60);
    assert!(compact(&mut other, NOON + MINUTE) > 60);
    put(&mut phone, NOON + 2 * MINUTE, "c", "r0", &[("a", "phone")]);
    patch(&mut other, NOON + 2 * MINUTE, "c", "r0", &[("b", "other")]);
    meet(
        &mut [&mut phone, &mut other, &mut laptop],
        NOON + 3 * MINUTE,
    );
    let dir = tempfile::tempdir().unwrap();
    let mut new = linked(dir.path(), &mut phone, 700, Role::Member);
    meet(
        &mut [&mut phone, &mut other, &mut laptop, &mut new],
        NOON + 4 * MINUTE,
    );
    let truth = all(&mut phone);
    for vault in [&mut phone, &mut other, &mut laptop, &mut new] {
        assert_eq!(all(vault), truth);
        assert_eq!(vault.checkpoints().len(), 2);
        is_whole(vault);
        vault.rebuild_index().unwrap();
        assert_eq!(all(vault), truth);
    }
    // One that has seen both takes the place of both.
    are_equal(
        &mut [&mut phone, &mut other, &mut laptop, &mut new],
        NOON + 6 * MINUTE,
    );
    assert!(compact(&mut other, NOON + 6 * MINUTE) > 0);
    meet(
        &mut [&mut phone, &mut other, &mut laptop, &mut new],
        NOON + 7 * MINUTE,
    );
    for vault in [&mut phone, &mut other, &mut laptop, &mut new] {
        assert_eq!(all(vault), truth);
        assert_eq!(vault.checkpoints().len(), 1);
        is_whole(vault);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut newer = linked(dir.path(), &mut phone, 800, Role::Member);
    send(&phone, &mut newer, NOON + 8 * MINUTE);
    assert_eq!(all(&mut newer), truth);
}

#[test]
fn what_is_erased_stays_erased_wherever_a_snapshot_holds_it() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    busy(&mut phone, NOON, 2);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    // One erases what the other puts into a snapshot at the same time.
    let home = space("home");
    let erased = other.erase(NOON + MINUTE, &mut rng(5), &home, "c", "r0");
    assert_eq!(erased.unwrap(), Erasure::Done);
    assert!(compact(&mut phone, NOON + MINUTE) > 10);
    meet(
        &mut [&mut phone, &mut other, &mut laptop],
        NOON + 2 * MINUTE,
    );
    let without = |vault: &mut Vault, id: &str| {
        assert!(records(vault, "c").iter().all(|(other, _)| other != id));
        assert!(vault.holes().unwrap().is_empty());
        is_whole(vault);
    };
    for vault in [&mut phone, &mut other, &mut laptop] {
        without(vault, "r0");
        vault.rebuild_index().unwrap();
        without(vault, "r0");
    }
    // What only a snapshot holds is erased, too, and stays so through the next one.
    let erased = phone.erase(NOON + 3 * MINUTE, &mut rng(6), &home, "c", "r1");
    assert_eq!(erased.unwrap(), Erasure::Done);
    meet(
        &mut [&mut phone, &mut other, &mut laptop],
        NOON + 3 * MINUTE,
    );
    for vault in [&mut phone, &mut other, &mut laptop] {
        without(vault, "r1");
    }
    busy(&mut laptop, NOON + 4 * MINUTE, 1);
    let erased = phone.erase(NOON + 4 * MINUTE, &mut rng(7), &home, "c", "r3");
    assert_eq!(erased.unwrap(), Erasure::Done);
    meet(
        &mut [&mut phone, &mut other, &mut laptop],
        NOON + 5 * MINUTE,
    );
    are_equal(
        &mut [&mut phone, &mut other, &mut laptop],
        NOON + 6 * MINUTE,
    );
    assert!(compact(&mut other, NOON + 6 * MINUTE) > 0);
    meet(
        &mut [&mut phone, &mut other, &mut laptop],
        NOON + 7 * MINUTE,
    );
    let truth = all(&mut phone);
    for vault in [&mut phone, &mut other, &mut laptop] {
        assert_eq!(all(vault), truth);
        assert!(vault.holes().unwrap().is_empty());
        is_whole(vault);
    }
}

/// How far the log of a device in `home` goes up to `height`, as a line.
fn line(vault: &Vault, of: &Vault, height: u64) -> Line {
    let home = space("home").id(vault.twin());
    let heads = vault.heads().unwrap();
    let log = heads.iter().map(|head| head.log).find(|log| {
        let origin = vault.origin(log).unwrap().unwrap();
        origin.space == home && origin.device == of.device()
    });
    let log = log.unwrap();
    Line {
        log: *log.as_bytes(),
        height,
        head: *vault.link_at(&log, height).unwrap().unwrap().as_bytes(),
    }
}

#[test]
fn what_a_device_wrote_beyond_its_line_does_not_come_back_by_a_snapshot() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    put(&mut laptop, NOON, "c", "good", &[("a", "1")]);
    put(&mut laptop, NOON + 1, "c", "bad", &[("a", "1")]);
    put(&mut phone, NOON + 1, "c", "mine", &[("a", "1")]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + MINUTE);
    let line = line(&phone, &laptop, 1);
    are_equal(&mut [&mut phone, &mut laptop, &mut tablet], NOON + MINUTE);
    assert!(compact(&mut phone, NOON + MINUTE) > 0);
    send(&phone, &mut tablet, NOON + MINUTE);
    let ids = |vault: &mut Vault| -> Vec<String> {
        records(vault, "c").into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids(&mut tablet), ["bad", "good", "mine"]);
    let removal = Removal {
        device: laptop.device(),
        lines: vec![line],
    };
    say(&mut phone, &Body::Suspend(Box::new(removal)));
    send(&phone, &mut tablet, NOON + 2 * MINUTE);
    let dir = tempfile::tempdir().unwrap();
    let mut new = linked(dir.path(), &mut phone, 900, Role::Member);
    send(&phone, &mut new, NOON + 3 * MINUTE);
    for vault in [&mut phone, &mut tablet, &mut new] {
        assert_eq!(ids(vault), ["good", "mine"]);
        is_whole(vault);
        vault.rebuild_index().unwrap();
        assert_eq!(ids(vault), ["good", "mine"]);
        assert!(vault.holes().unwrap().is_empty());
    }
    assert_eq!(new.heads().unwrap(), phone.heads().unwrap());
    // It may count after all.
    say(&mut phone, &Body::Resume(laptop.device()));
    assert_eq!(ids(&mut phone), ["bad", "good", "mine"]);
}

#[test]
fn without_its_checkpoint_a_log_has_no_beginning_and_gets_it_back() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    busy(&mut phone, NOON, 2);
    busy(&mut laptop, NOON, 2);
    put(&mut other, NOON, "c", "r7", &[("a", "1")]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    let truth = all(&mut phone);
    let before = line(&phone, &other, 1);
    assert!(compact(&mut other, NOON + MINUTE) > 30);
    send(&other, &mut phone, NOON + MINUTE);
    while phone.sweep().unwrap() {}
    assert_eq!(all(&mut phone), truth);
    assert!(phone.holes().unwrap().is_empty());

    // The checkpoint counts no more: what went by it is missing.
    let removal = Removal {
        device: other.device(),
        lines: vec![before],
    };
    say(&mut phone, &Body::Suspend(Box::new(removal)));
    let holes = phone.holes().unwrap();
    assert!(!holes.is_empty());
    let report = phone.check().unwrap();
    assert!(!report.is_whole() && !report.can_be_rebuilt(), "{report:?}");
    phone.rebuild_index().unwrap();
    put(&mut phone, NOON + 2 * MINUTE, "c", "r8", &[("a", "1")]);
    // The laptop still has it, and never heard of the checkpoint.
    for _ in 0..1000 {
        let Some(hole) = phone.holes().unwrap().pop() else {
            break;
        };
        let mut wanted: Vec<_> = phone.holes().unwrap();
        wanted.retain(|other| other.log == hole.log);
        while let Some(hole) = wanted.pop() {
            let origin = laptop.origin(&hole.log).unwrap().unwrap();
            let run = laptop.read_run(&hole.log, hole.seq - 1, 0).unwrap();
            let taken = phone.append_run(NOON + 2 * MINUTE, &origin, &run);
            assert_eq!(taken.unwrap().new, 1);
        }
    }
    assert!(phone.holes().unwrap().is_empty());
    meet(&mut [&mut phone, &mut laptop], NOON + 3 * MINUTE);
    assert_eq!(all(&mut laptop), all(&mut phone));
    assert_eq!(all(&mut phone)[1], truth[1]);
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    is_whole(&mut phone);
}

#[test]
fn whatever_can_be_written_has_room_in_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut phone = phone(dir.path());
    let home = space("home");
    let write = |phone: &mut Vault, len: usize| {
        let large = "x".repeat(len);
        let put = change(Kind::Put, "c", "large", &[("a", &large)]);
        phone.commit(NOON, &mut rng(1), &home, vec![put]).is_ok()
    };
    // The longest text that is taken.
    let (mut fits, mut does_not) = (1 << 19, 1 << 20);
    while does_not - fits > 1 {
        let middle = usize::midpoint(fits, does_not);
        if write(&mut phone, middle) {
            fits = middle;
        } else {
            does_not = middle;
        }
    }
    assert!(fits > 1_000_000 && write(&mut phone, fits));
    let before = all(&mut phone);
    assert!(compact(&mut phone, NOON + MINUTE) > 1);
    assert_eq!(ops(&mut phone), 2);
    assert_eq!(all(&mut phone), before);
    is_whole(&mut phone);
}
