//! A device that does not keep a space takes nothing of it, and is equal to the others in what both keep.

use std::collections::BTreeMap;

use twin_identity::device::Role;
use twin_ops::op::Link;
use twin_ops::space::SpaceName;
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::Fields;
use twin_sync::bundle;
use twin_sync::machine::Machine;
use twin_sync::session::{SyncEvent, digest, digest_with};
use twin_vault::files::Keep;
use twin_vault::{Vault, VaultError, WriteChange};

use crate::common::*;
use crate::files::*;
use crate::session::{Talk, sync, sync_counted};
use crate::set_back::copy_of;
use crate::twins::*;

fn archive() -> SpaceName {
    space("archive")
}

fn file_away(vault: &mut Vault, now: u64, id: &str, text: &str) {
    let change = WriteChange::put("old", id, fields(&[("x", text)]));
    vault
        .commit(now, &mut rng(now), &archive(), vec![change])
        .unwrap();
}

fn select(vault: &mut Vault, now: u64, keep: bool) {
    let chosen = vault.select(now, &mut rng(now), &archive(), keep);
    assert!(chosen.unwrap().is_some());
}

/// What is here of the archive: records, and logs with how far they go.
fn here(vault: &mut Vault) -> (BTreeMap<String, Fields>, BTreeMap<u64, Link>) {
    let records = vault.list(&archive(), "old", None, usize::MAX).unwrap();
    let records = records.into_iter().map(|record| (record.id, record.fields));
    let id = archive().id(vault.twin());
    let mut logs = BTreeMap::new();
    for LogHead { log, head } in vault.heads().unwrap() {
        if vault.origin(&log).unwrap().unwrap().space == id {
            logs.insert(head.height, head.link);
        }
    }
    (records.collect(), logs)
}

/// Lets both talk; both say that they are in sync, and nothing else is said of how they stand.
fn in_sync(one: &mut Vault, two: &mut Vault, now: u64) -> usize {
    let (said, bytes) = sync_counted(one, two, now);
    for events in said {
        assert!(events.contains(&SyncEvent::InSync), "{events:?}");
        let stuck = |event: &SyncEvent| matches!(event, SyncEvent::Stuck | SyncEvent::Differs(_));
        assert!(!events.iter().any(stuck), "{events:?}");
    }
    let (one_is, two_is) = (one.device(), two.device());
    let digests = [
        digest_with(one, &two_is).unwrap(),
        digest_with(two, &one_is).unwrap(),
    ];
    assert_eq!(digests[0], digests[1]);
    assert!(one.beside(&two_is).unwrap().is_equal);
    assert!(two.beside(&one_is).unwrap().is_equal);
    bytes
}

#[test]
fn nothing_of_a_space_that_is_not_kept_comes_and_all_of_it_once_it_is_again() {
    let (dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    file_away(&mut laptop, NOON, "one", "1");
    // Nobody else has it yet.
    let refused = laptop.select(NOON, &mut rng(1), &archive(), false);
    assert!(
        matches!(refused, Err(VaultError::OnlyHere(1))),
        "{refused:?}"
    );
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + 1);
    in_sync(&mut laptop, &mut tablet, NOON + MINUTE);
    in_sync(&mut phone, &mut tablet, NOON + MINUTE);
    in_sync(&mut phone, &mut laptop, NOON + MINUTE);

    let now = NOON + 2 * MINUTE;
    select(&mut phone, now, false);
    let again = phone.select(now, &mut rng(2), &archive(), false);
    assert_eq!(again.unwrap(), None);
    let before = here(&mut phone);
    assert_eq!(before.0.len(), 1, "what is here stays, and can be read");
    // It is said, and nothing can be written that nobody would get.
    let phone_is = phone.device();
    let change = || WriteChange::put("old", "x", fields(&[("x", "1")]));
    let refused = phone.commit(now, &mut rng(3), &archive(), vec![change()]);
    assert!(matches!(refused, Err(VaultError::NotSelected)));
    let refused = phone.erase(now, &mut rng(3), &archive(), "old", "one");
    assert!(matches!(refused, Err(VaultError::NotSelected)));

    // The laptop has not heard of it, and sends what is not taken; then it has.
    for i in 0..50 {
        file_away(&mut laptop, now, &format!("new {i}"), &"x".repeat(4000));
    }
    put(&mut laptop, now, "notes", "a", &[("x", "1")]);
    in_sync(&mut phone, &mut laptop, now + 1);
    assert_eq!(here(&mut phone), before);
    assert_eq!(records(&mut phone, "notes"), records(&mut laptop, "notes"));
    assert_eq!(laptop.unselected_by(&phone_is).unwrap(), [archive()]);
    assert_ne!(digest(&phone).unwrap(), digest(&laptop).unwrap());
    // From then on it is not sent, and both know at once that they are equal.
    for i in 0..50 {
        file_away(&mut laptop, now, &format!("newer {i}"), &"x".repeat(4000));
    }
    let bytes = in_sync(&mut phone, &mut laptop, now + MINUTE);
    assert!(bytes < 1000, "{bytes} bytes for nothing");
    assert_eq!(here(&mut phone), before);
    // Those who keep it have it all.
    in_sync(&mut laptop, &mut tablet, now + MINUTE);
    assert_eq!(here(&mut laptop), here(&mut tablet));
    in_sync(&mut phone, &mut tablet, now + MINUTE);

    // It is kept in the file.
    drop(phone);
    let mut phone = reopen(dirs[0].path()).unwrap();
    let phone_is = phone.device();
    assert_eq!(phone.unselected_by(&phone_is).unwrap(), [archive()]);
    in_sync(&mut phone, &mut laptop, now + 2 * MINUTE);
    assert_eq!(here(&mut phone), before);
    assert!(phone.check().unwrap().is_whole());

    select(&mut phone, now + 3 * MINUTE, true);
    in_sync(&mut phone, &mut laptop, now + 3 * MINUTE);
    assert_eq!(here(&mut phone), here(&mut laptop));
    assert_eq!(here(&mut phone).0.len(), 101);
    file_away(&mut phone, now + 4 * MINUTE, "of the phone", "1");
    in_sync(&mut phone, &mut tablet, now + 4 * MINUTE);
    in_sync(&mut laptop, &mut tablet, now + 4 * MINUTE);
    assert_eq!(here(&mut phone), here(&mut laptop));
    for vault in [&mut phone, &mut laptop, &mut tablet] {
        assert!(vault.check().unwrap().is_whole());
    }
}

/// Lets both talk; both say that they are in sync.
fn agree(one: &mut Vault, two: &mut Vault, now: u64) {
    for events in sync_counted(one, two, now).0 {
        assert!(events.contains(&SyncEvent::InSync), "{events:?}");
        assert!(!events.contains(&SyncEvent::Stuck), "{events:?}");
    }
}

#[test]
fn who_cannot_read_the_choice_yet_hears_it_from_the_device() {
    const HOUR: u64 = 60 * MINUTE;
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
    file_away(&mut laptop, NOON, "one", "1");
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    for _ in 0..2 {
        in_sync(&mut phone, &mut laptop, NOON);
        in_sync(&mut phone, &mut tablet, NOON);
        in_sync(&mut laptop, &mut tablet, NOON);
    }
    // Its clock is hours ahead, so that the others put off what it writes.
    select(&mut phone, NOON + 5 * HOUR, false);
    let before = here(&mut phone);
    let phone_is = phone.device();
    for round in 1..3 {
        let now = NOON + round * MINUTE;
        file_away(&mut laptop, now, &format!("new {round}"), "1");
        put(&mut laptop, now, "notes", "a", &[("x", &round.to_string())]);
        agree(&mut phone, &mut laptop, now);
        assert_eq!(laptop.unselected_by(&phone_is).unwrap(), []);
        assert_eq!(here(&mut phone), before);
        assert_eq!(records(&mut phone, "notes"), records(&mut laptop, "notes"));
        // The laptop does not take the phone for one that has what it does not keep.
        let beside = laptop.beside(&phone_is).unwrap();
        assert_eq!((beside.is_equal, beside.lacks), (false, round));
    }
    // Nor does it once nobody else has it.
    agree(&mut phone, &mut tablet, NOON + 3 * MINUTE);
    let refused = laptop.select(NOON + 3 * MINUTE, &mut rng(1), &archive(), false);
    assert!(
        matches!(refused, Err(VaultError::OnlyHere(2))),
        "{refused:?}"
    );
    // Kept again, all comes, though the others cannot read that either.
    select(&mut phone, NOON + 5 * HOUR + 1, true);
    agree(&mut phone, &mut laptop, NOON + 4 * MINUTE);
    assert_eq!(here(&mut phone), here(&mut laptop));
    select(&mut phone, NOON + 5 * HOUR + 2, false);
    agree(&mut phone, &mut laptop, NOON + 5 * MINUTE);
    assert_eq!(laptop.unselected_by(&phone_is).unwrap(), []);
    // When the clocks have got there, all read the same.
    laptop.merge_due(NOON + 5 * HOUR).unwrap();
    assert_eq!(laptop.unselected_by(&phone_is).unwrap(), [archive()]);
    in_sync(&mut phone, &mut laptop, NOON + 5 * HOUR);
    // And where they read that it does not keep the space, its word to keep it again counts.
    select(&mut phone, NOON + 11 * HOUR, true);
    agree(&mut phone, &mut laptop, NOON + 5 * HOUR + MINUTE);
    assert_eq!(laptop.unselected_by(&phone_is).unwrap(), [archive()]);
    assert_eq!(here(&mut phone), here(&mut laptop));
}

#[test]
fn who_was_set_back_to_before_the_choice_passes_on_what_it_has_written_since() {
    let (dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
    file_away(&mut phone, NOON, "one", "1");
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    for _ in 0..2 {
        in_sync(&mut phone, &mut laptop, NOON);
        in_sync(&mut phone, &mut tablet, NOON);
        in_sync(&mut laptop, &mut tablet, NOON);
    }
    drop(phone);
    let copy = copy_of(dirs[0].path());
    let mut phone = reopen(dirs[0].path()).unwrap();
    select(&mut phone, NOON + MINUTE, false);
    in_sync(&mut phone, &mut laptop, NOON + MINUTE);
    in_sync(&mut laptop, &mut tablet, NOON + MINUTE);
    drop(phone);

    let mut phone = reopen(copy.path()).unwrap();
    let phone_is = phone.device();
    assert_eq!(phone.unselected_by(&phone_is).unwrap(), []);
    file_away(&mut phone, NOON + 2 * MINUTE, "since", "1");
    agree(&mut phone, &mut tablet, NOON + 3 * MINUTE);
    assert_eq!(phone.unselected_by(&phone_is).unwrap(), [archive()]);
    assert!(here(&mut tablet).0.contains_key("since"));
    // From then on it does without, as its person has chosen.
    let before = here(&mut phone);
    file_away(&mut laptop, NOON + 4 * MINUTE, "later", "1");
    agree(&mut phone, &mut laptop, NOON + 4 * MINUTE);
    assert_eq!(here(&mut phone), before);
    let change = WriteChange::put("old", "x", fields(&[("x", "1")]));
    let refused = phone.commit(NOON + 5 * MINUTE, &mut rng(3), &archive(), vec![change]);
    assert!(matches!(refused, Err(VaultError::NotSelected)));
    in_sync(&mut laptop, &mut tablet, NOON + 5 * MINUTE);
    assert!(here(&mut laptop).0.contains_key("since"));
}

#[test]
fn it_may_change_while_both_are_connected() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    file_away(&mut laptop, NOON, "one", &"x".repeat(100_000));
    meet(&mut [&mut phone, &mut laptop], NOON);
    in_sync(&mut phone, &mut laptop, NOON);
    let mut talk = Talk::new(NOON + MINUTE);
    talk.go_on(&mut phone, &mut laptop, usize::MAX);
    let step = |talk: &mut Talk, phone: &mut Vault, laptop: &mut Vault| {
        talk.sessions[0].store_changed(phone).unwrap();
        talk.sessions[1].store_changed(laptop).unwrap();
        let before = talk.bytes;
        talk.go_on(phone, laptop, usize::MAX);
        assert!(talk.sessions.iter().all(|session| session.is_in_sync()));
        talk.bytes - before
    };
    for round in 0..3 {
        let now = NOON + MINUTE + round;
        select(&mut phone, now, false);
        file_away(&mut laptop, now, &format!("a{round}"), &"x".repeat(50_000));
        let before = here(&mut phone);
        step(&mut talk, &mut phone, &mut laptop);
        file_away(&mut laptop, now, &format!("b{round}"), &"x".repeat(50_000));
        put(&mut laptop, now, "notes", "n", &[("x", &round.to_string())]);
        let bytes = step(&mut talk, &mut phone, &mut laptop);
        assert!(bytes < 2000, "{bytes}");
        assert_eq!(here(&mut phone), before);
        assert_eq!(records(&mut phone, "notes"), records(&mut laptop, "notes"));
        select(&mut phone, now, true);
        step(&mut talk, &mut phone, &mut laptop);
        assert_eq!(here(&mut phone), here(&mut laptop));
        file_away(&mut phone, now, &format!("c{round}"), "1");
        step(&mut talk, &mut phone, &mut laptop);
        assert_eq!(here(&mut phone), here(&mut laptop));
    }
    // Where both were equal, what is here already is not sent again.
    let mut talk = Talk::new(NOON + 2 * MINUTE);
    talk.go_on(&mut phone, &mut laptop, usize::MAX);
    select(&mut phone, NOON + 2 * MINUTE, false);
    step(&mut talk, &mut phone, &mut laptop);
    select(&mut phone, NOON + 2 * MINUTE, true);
    let bytes = step(&mut talk, &mut phone, &mut laptop);
    assert!(bytes < 4000, "{bytes} bytes of a space that both have");
}

#[test]
fn bundles_bring_nothing_of_it_and_one_for_several_is_taken_by_each_as_it_keeps() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
    file_away(&mut laptop, NOON, "one", "1");
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    for _ in 0..2 {
        in_sync(&mut phone, &mut laptop, NOON);
        in_sync(&mut phone, &mut tablet, NOON);
        in_sync(&mut laptop, &mut tablet, NOON);
    }
    let now = NOON + MINUTE;
    select(&mut phone, now, false);
    let (phone_is, tablet_is) = (phone.device(), tablet.device());
    in_sync(&mut phone, &mut laptop, now);
    let before = here(&mut phone);
    for i in 0..20 {
        file_away(&mut laptop, now, &format!("{i}"), &"x".repeat(4000));
    }
    put(&mut laptop, now, "notes", "a", &[("x", "1")]);
    let make = |vault: &Vault, now, to: &[_]| {
        bundle::make(vault, now, to, None, 1 << 20, &mut rng(now)).unwrap()
    };
    let for_phone = make(&laptop, now, &[phone_is]);
    assert_eq!(for_phone.carried.ops, 1, "the note and nothing else");
    let for_both = make(&laptop, now, &[phone_is, tablet_is]);
    assert!(for_both.carried.ops >= 21);
    let taken = bundle::take(&mut phone, now + 1, &for_both.bytes).unwrap();
    assert_eq!((taken.new, taken.early, taken.refused), (1, 0, 0));
    assert_eq!(here(&mut phone), before);
    bundle::take(&mut tablet, now + 1, &for_both.bytes).unwrap();
    assert_eq!(here(&mut tablet), here(&mut laptop));
    in_sync(&mut phone, &mut laptop, now + MINUTE);
    // Once it keeps the space again the next bundle brings all of it.
    select(&mut phone, now + 2 * MINUTE, true);
    let then = now + 2 * MINUTE;
    let word = make(&phone, then, &[laptop.device()]);
    bundle::take(&mut laptop, then, &word.bytes).unwrap();
    let next = make(&laptop, then + 1, &[phone_is]);
    bundle::take(&mut phone, then + 2, &next.bytes).unwrap();
    assert_eq!(here(&mut phone), here(&mut laptop));
}

#[test]
fn content_of_files_is_neither_asked_for_nor_given() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    add_file(&mut phone, NOON, "photo", &of_chunks("photo", 3));
    sync(&mut phone, &mut laptop, NOON);
    assert_eq!(missing(&mut laptop, "photo"), 4);
    laptop.set_keeps(Keep::All).unwrap();
    let home = space("home");
    laptop.select(NOON + 1, &mut rng(1), &home, false).unwrap();
    sync(&mut phone, &mut laptop, NOON + MINUTE);
    assert_eq!(missing(&mut laptop, "photo"), 4);
    let root = root(&mut laptop, "photo");
    let wanted = laptop.want_file(&home, "files", "photo", &root);
    assert!(matches!(wanted, Err(VaultError::NotSelected)));
    laptop.select(NOON + 2, &mut rng(1), &home, true).unwrap();
    sync(&mut phone, &mut laptop, NOON + 2 * MINUTE);
    assert_eq!(missing(&mut laptop, "photo"), 0);
}

#[test]
fn nobody_waits_for_a_device_with_what_it_does_not_keep() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    for i in 0..30 {
        file_away(&mut phone, NOON + i, "one", &i.to_string());
    }
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + 60);
    in_sync(&mut phone, &mut laptop, NOON + 60);
    in_sync(&mut phone, &mut tablet, NOON + 60);
    in_sync(&mut laptop, &mut tablet, NOON + 60);
    let now = NOON + MINUTE;
    select(&mut tablet, now, false);
    in_sync(&mut phone, &mut tablet, now);
    for i in 0..30 {
        file_away(&mut phone, now + i, "one", &i.to_string());
    }
    in_sync(&mut phone, &mut laptop, now + MINUTE);
    let compact = |vault: &mut Vault, now| vault.compact(now, &mut rng(now), &archive()).unwrap();
    let compacted = compact(&mut phone, now + MINUTE);
    assert_eq!(compacted.waiting, []);
    assert!(compacted.gone > 55, "{compacted:?}");
    in_sync(&mut phone, &mut laptop, now + 2 * MINUTE);
    in_sync(&mut phone, &mut tablet, now + 2 * MINUTE);
    // What it has is older than what there is elsewhere: it gets the rest.
    select(&mut tablet, now + 3 * MINUTE, true);
    in_sync(&mut phone, &mut tablet, now + 3 * MINUTE);
    in_sync(&mut laptop, &mut tablet, now + 3 * MINUTE);
    assert_eq!(here(&mut tablet).0, here(&mut phone).0);
    file_away(&mut phone, now + 4 * MINUTE, "one", "last");
    let waits = compact(&mut phone, now + 4 * MINUTE).waiting;
    assert_eq!(waits.len(), 2, "{waits:?}");
    for vault in [&mut phone, &mut laptop, &mut tablet] {
        while vault.sweep().unwrap() {}
        assert!(vault.check().unwrap().is_whole());
    }
}

#[test]
fn a_device_that_is_removed_by_one_that_keeps_less_has_written_what_others_have() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
    file_away(&mut phone, NOON, "one", "1");
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    in_sync(&mut phone, &mut laptop, NOON);
    in_sync(&mut phone, &mut tablet, NOON);
    select(&mut phone, NOON + MINUTE, false);
    in_sync(&mut phone, &mut tablet, NOON + MINUTE);
    in_sync(&mut phone, &mut laptop, NOON + MINUTE);
    file_away(&mut tablet, NOON + 2 * MINUTE, "of the tablet", "1");
    in_sync(&mut laptop, &mut tablet, NOON + 2 * MINUTE);
    assert_eq!(here(&mut laptop).0.len(), 2);
    // The phone does not know how far the tablet has come in the archive; the laptop does.
    let now = NOON + 3 * MINUTE;
    phone.revoke(&tablet.device(), &mut rng(7)).unwrap();
    sync(&mut phone, &mut laptop, now);
    laptop.tend(now, &mut rng(8)).unwrap();
    assert_eq!(laptop.set_aside().unwrap(), BTreeMap::new());
    assert_eq!(here(&mut laptop).0.len(), 2);
    // What it writes from then on nobody takes.
    file_away(&mut tablet, now, "later", "1");
    let (origin, run) = log_of(&tablet, &tablet, "archive").unwrap();
    laptop.append_run(now, &origin, &run).unwrap();
    assert_eq!(here(&mut laptop).0.len(), 2);
    in_sync(&mut phone, &mut laptop, now + MINUTE);
    // New keys come to both all the same, and the phone can read all of it once it keeps it again.
    file_away(&mut laptop, now + MINUTE, "three", "1");
    select(&mut phone, now + 2 * MINUTE, true);
    in_sync(&mut phone, &mut laptop, now + 2 * MINUTE);
    assert_eq!(here(&mut phone), here(&mut laptop));
    assert_eq!(here(&mut phone).0.len(), 3);
}

#[test]
fn what_the_twin_needs_every_device_keeps() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    for name in ["~members", "~keys"] {
        let refused = laptop.select(NOON, &mut rng(1), &space(name), false);
        assert!(
            matches!(refused, Err(VaultError::AlwaysKept)),
            "{refused:?}"
        );
    }
    let unknown = laptop.select(NOON, &mut rng(1), &space("nowhere"), false);
    assert!(matches!(unknown, Err(VaultError::NoSuchSpace)));
    // Nobody keeps what the last one that keeps it leaves out.
    file_away(&mut phone, NOON, "one", "1");
    sync(&mut phone, &mut laptop, NOON);
    select(&mut laptop, NOON + 1, false);
    sync(&mut phone, &mut laptop, NOON + MINUTE);
    let refused = phone.select(NOON + MINUTE, &mut rng(1), &archive(), false);
    assert!(
        matches!(refused, Err(VaultError::OnlyHere(_))),
        "{refused:?}"
    );
}
