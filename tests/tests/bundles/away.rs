//! What goes there and back, and what is known of it.

use std::collections::BTreeSet;
use std::fs;

use twin_identity::device::Role;
use twin_ops::op::Op;
use twin_ops::store::{LogHead, OpStore};
use twin_vault::Vault;

use super::*;
use crate::common::*;
use crate::twins::*;

fn height(vault: &Vault, device: &DeviceId) -> u64 {
    let heads = vault.heads().unwrap().into_iter();
    let own = heads.filter(|LogHead { log, .. }| {
        let origin = vault.origin(log).unwrap().unwrap();
        origin.device == *device && origin.space == space("home").id(vault.twin())
    });
    own.map(|row| row.head.height).sum()
}

#[test]
fn two_that_never_meet_become_the_same() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    put(&mut phone, NOON, "notes", "a", &[("x", "of the phone")]);
    put(&mut laptop, NOON, "notes", "b", &[("x", "of the laptop")]);
    // Nothing is known of the laptop, so all comes.
    let (bytes, carried) = make(&phone, &[laptop.device()], NOON + 1);
    assert_eq!(carried.entries as usize, phone.identity().entries().len());
    assert!(carried.ops >= 2 && carried.grants > 0);
    let received = take(&mut laptop, NOON + 1, &bytes);
    assert_eq!((received.by, received.made), (phone.device(), NOON + 1));
    assert_eq!((received.early, received.refused), (0, 0));
    // On the way back there is only what the phone has not got.
    let (carried, received) = carry(&laptop, &mut phone, NOON + 2);
    assert_eq!((carried.ops, carried.entries, carried.grants), (1, 0, 0));
    assert_eq!((received.new, received.here), (1, 0));
    are_same(&mut phone, &mut laptop);
    // And then nothing, but the word that they are the same.
    let (bytes, carried) = make(&phone, &[laptop.device()], NOON + 3);
    assert!(carried.is_empty());
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
    let received = take(&mut laptop, NOON + 3, &bytes);
    assert_eq!((received.new, received.changes), (0, 0));
}

#[test]
fn what_was_made_for_a_device_is_not_counted_on() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    carry(&laptop, &mut phone, NOON);
    put(&mut phone, NOON + 1, "notes", "a", &[("x", "1")]);
    let (lost, first) = make(&phone, &[laptop.device()], NOON + 1);
    put(&mut phone, NOON + 2, "notes", "b", &[("x", "2")]);
    let (bytes, second) = make(&phone, &[laptop.device()], NOON + 2);
    assert_eq!((first.ops, second.ops), (1, 2));
    for _ in 0..2 {
        take(&mut laptop, NOON + 3, &bytes);
        are_same(&mut phone, &mut laptop);
    }
    // What was lost turns up.
    let late = take(&mut laptop, NOON + 4, &lost);
    assert_eq!((late.new, late.here), (0, 1));
    are_same(&mut phone, &mut laptop);
    // A session counts as much as a bundle.
    phone.in_sync(NOON + 60_000, &laptop.device(), &BTreeSet::new());
    assert!(make(&phone, &[laptop.device()], NOON + 60_000).1.is_empty());
}

#[test]
fn what_goes_on_from_what_is_not_there_is_early_and_comes_again() {
    let (dirs, mut phone, [laptop]) = family([Role::Member]);
    carry(&laptop, &mut phone, NOON);
    drop(laptop);
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dirs[1].path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let mut laptop = reopen(dirs[1].path()).unwrap();
    put(&mut phone, NOON + 1, "notes", "a", &[("x", "1")]);
    carry(&phone, &mut laptop, NOON + 1);
    carry(&laptop, &mut phone, NOON + 2);
    // It comes back from an old copy of itself.
    drop(laptop);
    let mut laptop = reopen(copy.path()).unwrap();
    put(&mut phone, NOON + 3, "notes", "b", &[("x", "2")]);
    let (carried, received) = carry(&phone, &mut laptop, NOON + 3);
    assert_eq!((carried.ops, received.new, received.early), (1, 0, 1));
    // Its next word is that it has less.
    carry(&laptop, &mut phone, NOON + 4);
    let (carried, received) = carry(&phone, &mut laptop, NOON + 5);
    assert_eq!((carried.ops, received.new, received.early), (2, 2, 0));
    are_same(&mut phone, &mut laptop);
}

#[test]
fn a_third_device_gets_it_onward() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    put(&mut laptop, NOON, "notes", "a", &[("x", "1")]);
    carry(&laptop, &mut phone, NOON + 1);
    // One for both, of what either lacks; the tablet is not known to have anything.
    let both = [laptop.device(), tablet.device()];
    let (bytes, carried) = make(&phone, &both, NOON + 2);
    assert!(carried.ops >= height(&phone, &laptop.device()));
    take(&mut tablet, NOON + 2, &bytes);
    are_same(&mut phone, &mut tablet);
    take(&mut laptop, NOON + 2, &bytes);
    carry(&tablet, &mut laptop, NOON + 3);
    are_same(&mut laptop, &mut tablet);
    // Whoever has the key of the epoch can read what is not for it.
    put(&mut phone, NOON + 4, "notes", "b", &[("x", "2")]);
    let (bytes, _) = make(&phone, &[tablet.device()], NOON + 4);
    assert_eq!(take(&mut laptop, NOON + 5, &bytes).new, 1);
    are_same(&mut phone, &mut laptop);
}

#[test]
fn a_device_that_was_away_while_another_went_is_brought_up_to_date() {
    let (_dirs, mut phone, [mut laptop, thief]) = family([Role::Member; 2]);
    carry(&laptop, &mut phone, NOON);
    put(&mut laptop, NOON, "notes", "from before", &[("x", "1")]);
    let (old, _) = make(&laptop, &[phone.device()], NOON);
    phone.revoke(&thief.device(), &mut rng(9)).unwrap();
    put(&mut phone, NOON + 1, "notes", "after", &[("x", "1")]);
    assert!(laptop.identity().device(&thief.device()).is_some());
    let (bytes, _) = make(&phone, &[laptop.device()], NOON + 1);
    // The laptop has only the key of the epoch before; the thief has that, too.
    let refused = bundle::check(&thief, &bytes);
    assert_eq!(refused, Err(BundleError::Stranger));
    take(&mut laptop, NOON + 2, &bytes);
    assert!(laptop.identity().device(&thief.device()).is_none());
    assert_eq!(ids(&mut laptop), ["after", "from before"]);
    // And the phone reads what was made in the epoch before, for it or not.
    take(&mut phone, NOON + 3, &old);
    carry(&laptop, &mut phone, NOON + 3);
    are_same(&mut phone, &mut laptop);
}

#[test]
fn a_grant_that_has_not_come_comes_by_the_word_of_who_lacks_it() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    carry(&laptop, &mut phone, NOON);
    // Only the operations of a space come, not the grant; the phone takes it for given that that has come, too.
    write_in(&mut phone, NOON, "work");
    let (origin, run) = log_of(&phone, &phone, "work").unwrap();
    laptop.append_run(NOON, &origin, &run).unwrap();
    phone.in_sync(NOON, &laptop.device(), &BTreeSet::new());
    let read = |vault: &mut Vault| vault.get(&space("work"), "c", "r").unwrap().is_some();
    carry(&phone, &mut laptop, NOON + 1);
    assert!(!read(&mut laptop));
    carry(&laptop, &mut phone, NOON + 2);
    let (carried, _) = carry(&phone, &mut laptop, NOON + 3);
    assert_eq!((carried.grants, carried.ops), (1, 0));
    assert!(read(&mut laptop));
}

#[test]
fn keys_that_do_not_open_are_asked_for() {
    let (_dirs, mut phone, [mut tablet, mut laptop]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    hand_nonsense(&mut phone, &mut tablet, &mut laptop);
    let read = |vault: &mut Vault| vault.get(&space("work"), "c", "r").unwrap().is_some();
    assert!(read(&mut phone) && !read(&mut tablet));
    carry(&tablet, &mut phone, NOON + 1);
    assert!(phone.tend(NOON + 1, &mut rng(1)).unwrap());
    carry(&phone, &mut tablet, NOON + 2);
    assert!(read(&mut tablet));
    carry(&tablet, &mut phone, NOON + 3);
    assert!(!phone.tend(NOON + 3, &mut rng(2)).unwrap());
}

#[test]
fn content_that_is_missing_is_sent_again() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    carry(&laptop, &mut phone, NOON);
    put(&mut phone, NOON, "notes", "a", &[("x", "1")]);
    let (origin, run) = log_of(&phone, &phone, "home").unwrap();
    let mut newest = Op::from_bytes(run.last().unwrap()).unwrap();
    for index in 0..newest.parts().len() {
        newest.drop_part(index);
    }
    let all = run.len() - 1;
    let hollow: Vec<_> = run[..all]
        .iter()
        .cloned()
        .chain([newest.to_bytes()])
        .collect();
    laptop.append_run(NOON, &origin, &hollow).unwrap();
    assert_eq!(laptop.holes().unwrap().len(), 1);
    carry(&laptop, &mut phone, NOON + 1);
    let (carried, received) = carry(&phone, &mut laptop, NOON + 2);
    assert_eq!((carried.ops, received.new), (1, 1));
    assert_eq!(laptop.holes().unwrap(), []);
    are_same(&mut phone, &mut laptop);
}

#[test]
fn nothing_in_it_says_whose_it_is() {
    let (_dirs, mut phone, [laptop]) = family([Role::Member]);
    put(
        &mut phone,
        NOON,
        "notes",
        "canary-id",
        &[("x", "a canary that sings")],
    );
    let (bytes, _) = make(&phone, &[laptop.device()], NOON + 1);
    let other = make(&phone, &[laptop.device()], NOON + 1).0;
    let has = |what: &[u8]| bytes.windows(what.len()).any(|some| some == what);
    let devices = [phone.device(), laptop.device()];
    assert!(devices.iter().all(|device| !has(device.as_bytes())));
    assert!(!has(phone.twin().as_bytes()) && !has(b"canary") && !has(b"notes"));
    // But for the same chance, two have no bytes in common that a stranger could look for.
    let rng = &mut rng(77);
    let mut again = Maker::new(&phone, NOON + 1, &[laptop.device()], None, Size::Any, rng).unwrap();
    let (one, two) = (&other[..200], &again.begin()[..200]);
    let same = one
        .iter()
        .zip(two)
        .take_while(|(one, two)| one == two)
        .count();
    assert!(same < 32, "the first {same} bytes are those of any bundle");
}
