//! What was overtaken before its record was erased does not come up again where it was not let go of yet.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use common::*;
use tempfile::TempDir;
use twin_identity::device::Role;
use twin_ops::chain::Head;
use twin_ops::store::{LogHead, OpStore};
use twin_vault::{Erasure, Vault};
use twins::*;

/// Devices that all have a record in an old and a new state, of which the phone has then let go of the old one.
fn overtaken() -> (Vec<TempDir>, Vault, [Vault; 2]) {
    let (dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    put(&mut phone, NOON, "c", "keep", &[("a", "kept")]);
    put(&mut phone, NOON, "c", "r", &[("a", "regret")]);
    patch(&mut laptop, NOON + 1, "c", "r", &[("b", "more of it")]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + 1);
    put(&mut phone, NOON + 2, "c", "r", &[("a", "joy")]);
    put(&mut phone, NOON + 3, "c", "keep", &[("a", "kept anew")]);
    let mut all = [&mut phone, &mut other, &mut laptop];
    meet(&mut all, NOON + MINUTE);
    are_equal(&mut all, NOON + MINUTE);
    let compacted = phone.compact(NOON + MINUTE, &mut rng(7), &space("home"));
    assert!(compacted.unwrap().gone > 4);
    (dirs, phone, [other, laptop])
}

fn erase(vault: &mut Vault) {
    let erased = vault.erase(NOON + 2 * MINUTE, &mut rng(8), &space("home"), "c", "r");
    assert_eq!(erased.unwrap(), Erasure::Done);
}

/// Gives `to` what `from` has of a device's log in `home`, without the last `but` ops.
fn send_log(from: &Vault, to: &mut Vault, of: &Vault, but: usize) {
    let home = space("home").id(from.twin());
    for LogHead { log, .. } in from.heads().unwrap() {
        let origin = from.origin(&log).unwrap().unwrap();
        if (origin.device, origin.space) != (of.device(), home) {
            continue;
        }
        let base: Option<Head> = from.base(&log).unwrap();
        let after = base.map_or(0, |base| base.height);
        let mut run = from.read_run(&log, after, usize::MAX).unwrap();
        run.truncate(run.len() - but);
        let now = NOON + 3 * MINUTE;
        match base {
            Some(base) => to.append_from(now, &origin, base, &run),
            None => to.append_run(now, &origin, &run),
        }
        .unwrap();
    }
}

/// The record is gone on all of them, with everything that it ever was.
fn is_gone(vaults: &mut [&mut Vault]) {
    for vault in vaults {
        for _ in 0..2 {
            let kept = [("keep".to_owned(), fields(&[("a", "kept anew")]))];
            assert_eq!(records(vault, "c"), kept);
            let history = vault.history(&space("home"), "c", "r", None, 9).unwrap();
            assert!(history.is_empty());
            assert_eq!(vault.checkpoints().len(), 1);
            assert!(vault.holes().unwrap().is_empty());
            assert!(vault.check().unwrap().is_whole());
            vault.rebuild_index().unwrap();
        }
        let now = NOON + 9 * MINUTE;
        let again = vault.erase(now, &mut rng(9), &space("home"), "c", "r");
        assert_eq!(again.unwrap(), Erasure::Nothing, "nothing of it is there");
    }
}

/// The phone erases the record, all meet, and it is gone.
fn is_gone_once_erased(phone: &mut Vault, other: &mut Vault, laptop: &mut Vault) {
    erase(phone);
    let all = &mut [phone, other, laptop];
    meet(all, NOON + 3 * MINUTE);
    is_gone(all);
}

#[test]
fn all_that_has_happened_comes_at_once() {
    let (_dirs, mut phone, [mut other, mut laptop]) = overtaken();
    is_gone_once_erased(&mut phone, &mut other, &mut laptop);
}

#[test]
fn the_snapshot_comes_without_what_is_erased_and_the_erasure_later() {
    let (_dirs, mut phone, [_, mut laptop]) = overtaken();
    erase(&mut phone);
    send_log(&phone, &mut laptop, &phone, 1);
    assert!(!laptop.holes().unwrap().is_empty());
    let joy = fields(&[("a", "joy")]);
    let found = laptop.get(&space("home"), "c", "r").unwrap();
    assert_eq!(found.unwrap().fields, joy, "nobody has erased it yet");
    send_log(&phone, &mut laptop, &phone, 0);
    is_gone(&mut [&mut phone, &mut laptop]);
}

#[test]
fn the_erasure_comes_before_the_checkpoint() {
    let (_dirs, mut phone, [mut other, mut laptop]) = overtaken();
    send(&phone, &mut other, NOON + 2 * MINUTE);
    erase(&mut other);
    send_log(&other, &mut laptop, &other, 0);
    send(&other, &mut phone, NOON + 3 * MINUTE);
    // From who has it whole and from who has not.
    send_log(&phone, &mut laptop, &phone, 0);
    send_log(&other, &mut laptop, &phone, 0);
    is_gone(&mut [&mut phone, &mut other, &mut laptop]);
}

#[test]
fn what_a_device_wrote_not_knowing_is_all_that_is_left() {
    let (_dirs, mut phone, [mut other, mut laptop]) = overtaken();
    patch(&mut laptop, NOON + 2 * MINUTE, "c", "r", &[("c", "new")]);
    erase(&mut phone);
    let all = &mut [&mut phone, &mut other, &mut laptop];
    meet(all, NOON + 3 * MINUTE);
    for vault in all {
        let found = vault.get(&space("home"), "c", "r").unwrap().unwrap();
        assert_eq!(found.fields, fields(&[("c", "new")]));
        let history = vault.history(&space("home"), "c", "r", None, 9).unwrap();
        assert_eq!(history.len(), 1);
        assert!(vault.check().unwrap().is_whole());
    }
}

#[test]
fn what_only_a_second_checkpoint_overtakes_goes_too() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    put(&mut laptop, NOON + 1, "c", "r", &[("a", "regret")]);
    put(&mut phone, NOON + 2, "c", "r", &[("a", "joy")]);
    for text in ["kept", "kept again", "kept anew"] {
        put(&mut phone, NOON + 3, "c", "keep", &[("a", text)]);
    }
    // The other has all that the phone wrote, and not what the laptop did.
    send(&phone, &mut other, NOON + 3);
    are_equal(&mut [&mut phone, &mut other], NOON + 3);
    meet(&mut [&mut phone, &mut laptop], NOON + 3);
    are_equal(&mut [&mut phone, &mut laptop], NOON + 3);
    let compact = |phone: &mut Vault, now| {
        let compacted = phone.compact(now, &mut rng(now), &space("home")).unwrap();
        assert!(compacted.gone > 0);
    };
    compact(&mut phone, NOON + 4);
    for text in ["kept", "kept anew"] {
        put(&mut phone, NOON + 5, "c", "keep", &[("a", text)]);
    }
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + 6);
    are_equal(&mut [&mut phone, &mut other, &mut laptop], NOON + 6);
    compact(&mut phone, NOON + 7);
    is_gone_once_erased(&mut phone, &mut other, &mut laptop);
}

#[test]
fn what_waits_for_the_clock_is_not_taken_for_erased() {
    const DAYS: u64 = 20 * 24 * 60 * MINUTE;
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    for id in ["s", "t", "u"] {
        put(&mut phone, NOON, "c", id, &[("a", "one")]);
    }
    put(&mut phone, NOON, "c", "slow", &[("a", "one")]);
    let all = &mut [&mut phone, &mut other, &mut laptop];
    meet(all, NOON + MINUTE);
    for id in ["s", "t", "u"] {
        let erased = all[0].erase(NOON + MINUTE, &mut rng(5), &space("home"), "c", id);
        assert_eq!(erased.unwrap(), Erasure::Done);
    }
    put(all[0], NOON + DAYS, "c", "slow", &[("a", "two")]);
    meet(all, NOON + 2 * MINUTE);
    are_equal(all, NOON + 2 * MINUTE);
    let compacted = all[0].compact(NOON + DAYS, &mut rng(6), &space("home"));
    assert!(compacted.unwrap().gone > 0);
    meet(all, NOON + 3 * MINUTE);
    for vault in &mut all[1..] {
        let found = vault.get(&space("home"), "c", "slow").unwrap().unwrap();
        assert_eq!(found.fields, fields(&[("a", "one")]));
    }
    // When its time has come it is what the phone says, and what was before goes.
    for vault in &mut all[1..] {
        vault.merge_due(NOON + DAYS).unwrap();
        let found = vault.get(&space("home"), "c", "slow").unwrap().unwrap();
        assert_eq!(found.fields, fields(&[("a", "two")]));
    }
}

#[test]
fn a_device_that_comes_back_from_a_copy_lets_go_of_it_too() {
    let (dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    put(&mut phone, NOON, "c", "keep", &[("a", "kept")]);
    put(&mut phone, NOON, "c", "r", &[("a", "regret")]);
    meet(&mut [&mut phone, &mut laptop], NOON + 1);
    drop(laptop);
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dirs[1].path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let mut laptop = reopen(dirs[1].path()).unwrap();
    put(&mut phone, NOON + 2, "c", "r", &[("a", "joy")]);
    put(&mut phone, NOON + 3, "c", "keep", &[("a", "kept anew")]);
    meet(&mut [&mut phone, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut laptop], NOON + MINUTE);
    let compacted = phone.compact(NOON + MINUTE, &mut rng(7), &space("home"));
    assert!(compacted.unwrap().gone > 2);
    erase(&mut phone);
    let mut laptop = reopen(copy.path()).unwrap();
    meet(&mut [&mut phone, &mut laptop], NOON + 3 * MINUTE);
    is_gone(&mut [&mut phone, &mut laptop]);
}

#[test]
fn a_device_that_was_suspended_meanwhile_lets_go_of_it_too() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Member, Role::Member]);
    let all = &mut [&mut phone, &mut other, &mut laptop];
    meet(all, NOON);
    put(all[0], NOON, "c", "keep", &[("a", "kept")]);
    put(all[0], NOON, "c", "r", &[("a", "regret")]);
    meet(all, NOON + 1);
    are_equal(all, NOON + 1);
    phone.suspend(&laptop.device(), &mut rng(1)).unwrap();
    put(&mut phone, NOON + 2, "c", "r", &[("a", "joy")]);
    put(&mut phone, NOON + 3, "c", "keep", &[("a", "kept anew")]);
    meet(&mut [&mut phone, &mut other], NOON + 4);
    are_equal(&mut [&mut phone, &mut other], NOON + 4);
    let compacted = phone.compact(NOON + 5, &mut rng(7), &space("home"));
    assert!(compacted.unwrap().gone > 2);
    meet(&mut [&mut phone, &mut other], NOON + 6);
    erase(&mut phone);
    meet(&mut [&mut phone, &mut other], NOON + 3 * MINUTE);
    phone.resume(&laptop.device(), &mut rng(2)).unwrap();
    let all = &mut [&mut phone, &mut other, &mut laptop];
    meet(all, NOON + 4 * MINUTE);
    is_gone(all);
}
