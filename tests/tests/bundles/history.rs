//! Logs that have let history go, and those that were set aside.

use std::fs;

use twin_identity::device::Role;
use twin_ops::store::OpStore;

use super::*;
use crate::common::*;
use crate::twins::*;

fn busy(vault: &mut Vault, now: u64) {
    for round in 0..40 {
        for i in 0..4 {
            let text = format!("{round} of {i}");
            put(
                vault,
                now + round,
                "notes",
                &format!("r{i}"),
                &[("a", &text)],
            );
        }
    }
}

#[test]
fn a_compacted_log_comes_from_its_checkpoint_on() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    busy(&mut phone, NOON);
    busy(&mut laptop, NOON);
    let round = |phone: &mut Vault, others: &mut [&mut Vault], now: u64| {
        for other in others.iter() {
            carry(other, phone, now);
        }
        for other in others.iter_mut() {
            carry(phone, other, now + 1);
        }
        for other in others.iter() {
            carry(other, phone, now + 2);
        }
    };
    let before = make(&phone, &[tablet.device()], NOON).0.len();
    round(&mut phone, &mut [&mut laptop, &mut tablet], NOON + MINUTE);
    // What others have said that they have is enough to let it go.
    let compacted = phone
        .compact(NOON + 2 * MINUTE, &mut rng(1), &space("home"))
        .unwrap();
    assert!(compacted.gone > 0, "{compacted:?}");
    while phone.sweep().unwrap() {}
    let dir = tempfile::tempdir().unwrap();
    let mut watch = linked(dir.path(), &mut phone, 700, Role::Member);
    let (bytes, _) = make(&phone, &[watch.device()], NOON + 3 * MINUTE);
    assert!(bytes.len() * 2 < before, "{} of {before}", bytes.len());
    let received = take(&mut watch, NOON + 3 * MINUTE, &bytes);
    assert_eq!((received.early, received.refused), (0, 0));
    are_same(&mut phone, &mut watch);
    assert!(watch.check().unwrap().is_whole());
    // Those that have it all take the checkpoint, too.
    round(
        &mut phone,
        &mut [&mut laptop, &mut tablet],
        NOON + 4 * MINUTE,
    );
    for other in [&mut laptop, &mut tablet] {
        while other.sweep().unwrap() {}
        are_same(&mut phone, other);
        assert!(other.check().unwrap().is_whole());
    }
}

#[test]
fn the_history_that_counts_replaces_another() {
    let (mut dirs, mut phone, [mut tablet, mut laptop]) = family([Role::Member; 2]);
    put(&mut laptop, NOON, "notes", "1", &[("x", "1")]);
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dirs[2].path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let mut other = reopen(copy.path()).unwrap();
    other.take_for_original().unwrap();
    dirs.push(copy);
    for id in ["2a", "3a"] {
        put(&mut laptop, NOON + 1, "notes", id, &[("x", id)]);
    }
    for id in ["2b", "3b", "4b"] {
        put(&mut other, NOON + 1, "notes", id, &[("x", id)]);
    }
    carry(&laptop, &mut phone, NOON + 1);
    carry(&other, &mut tablet, NOON + 1);
    assert_eq!(ids(&mut tablet), ["1", "2b", "3b", "4b"]);
    carry(&tablet, &mut phone, NOON + 2);
    assert_eq!(ids(&mut phone), ["1", "2a", "3a"]);
    phone.revoke(&laptop.device(), &mut rng(1)).unwrap();
    carry(&phone, &mut tablet, NOON + 3);
    assert_eq!(ids(&mut tablet), ["1", "2a", "3a"]);
    carry(&tablet, &mut phone, NOON + 4);
    are_same(&mut phone, &mut tablet);
    assert!(make(&phone, &[tablet.device()], NOON + 5).1.is_empty());
}
