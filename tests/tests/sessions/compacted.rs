//! Devices meet one that has let history go.

use twin_identity::body::{Body, Line, Removal};
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_ops::value::Fields;
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::{sync, sync_counted};
use crate::twins::*;

/// Many changes of few records.
fn busy(vault: &mut Vault, now: u64, rounds: u64) {
    for round in 0..rounds {
        for i in 0..4 {
            let text = format!("{round} of {i}");
            put(vault, now + round, "c", &format!("r{i}"), &[("a", &text)]);
        }
        delete(vault, now + round, "c", "r3");
    }
}

fn all(vault: &mut Vault) -> Vec<(String, Fields)> {
    records(vault, "c")
}

fn compact(vault: &mut Vault, now: u64) {
    let compacted = vault.compact(now, &mut rng(now), &space("home")).unwrap();
    assert!(compacted.gone > 0, "{compacted:?}");
}

fn in_sync(one: &mut Vault, two: &mut Vault, now: u64) {
    for events in sync(one, two, now) {
        assert!(events.contains(&SyncEvent::InSync), "{events:?}");
        assert!(!events.contains(&SyncEvent::Stuck), "{events:?}");
    }
    while one.sweep().unwrap() || two.sweep().unwrap() {}
    assert_eq!(one.heads().unwrap(), two.heads().unwrap());
    assert_eq!(all(one), all(two));
    assert!(one.check().unwrap().is_whole());
    assert!(two.check().unwrap().is_whole());
}

#[test]
fn a_new_device_gets_few_bytes() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    busy(&mut phone, NOON, 60);
    busy(&mut laptop, NOON + 1, 60);
    in_sync(&mut phone, &mut laptop, NOON + MINUTE);
    let new = |phone: &mut Vault, laptop: &mut Vault, seed| {
        let dir = tempfile::tempdir().unwrap();
        let mut tablet = linked(dir.path(), phone, seed, Role::Member);
        send_identity(phone, laptop, NOON + MINUTE);
        let (said, bytes) = sync_counted(&mut tablet, laptop, NOON + 2 * MINUTE);
        assert!(
            said.iter()
                .all(|events| events.contains(&SyncEvent::InSync))
        );
        assert_eq!(tablet.heads().unwrap(), laptop.heads().unwrap());
        assert_eq!(all(&mut tablet), all(laptop));
        assert!(tablet.check().unwrap().is_whole());
        // It takes part from now on, but has nothing to wait for.
        phone.revoke(&tablet.device(), &mut rng(seed)).unwrap();
        meet(&mut [phone, laptop], NOON + 3 * MINUTE);
        bytes
    };
    let whole = new(&mut phone, &mut laptop, 500);
    in_sync(&mut phone, &mut laptop, NOON + 5 * MINUTE);
    compact(&mut phone, NOON + 5 * MINUTE);
    in_sync(&mut phone, &mut laptop, NOON + 6 * MINUTE);
    let few = new(&mut phone, &mut laptop, 600);
    assert!(few * 5 < whole, "{few} of {whole} bytes");
}

#[test]
fn a_device_that_was_away_comes_back() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    busy(&mut laptop, NOON, 3);
    busy(&mut phone, NOON, 3);
    in_sync(&mut phone, &mut laptop, NOON + MINUTE);
    in_sync(&mut phone, &mut tablet, NOON + MINUTE);
    busy(&mut tablet, NOON + MINUTE, 2);
    busy(&mut phone, NOON + 2 * MINUTE, 3);
    busy(&mut laptop, NOON + 2 * MINUTE, 3);
    in_sync(&mut phone, &mut laptop, NOON + 3 * MINUTE);
    // The tablet is away and has not seen it: nothing goes of what it lacks.
    let waits = phone.compact(NOON + 3 * MINUTE, &mut rng(1), &space("home"));
    let waits = waits.unwrap();
    assert_eq!(waits.gone, 0);
    assert!(
        waits
            .waiting
            .iter()
            .any(|waits| waits.device == tablet.device())
    );
    // Suspended, it is waited for no longer.
    phone.suspend(&tablet.device(), &mut rng(2)).unwrap();
    meet(&mut [&mut phone, &mut laptop], NOON + 4 * MINUTE);
    in_sync(&mut phone, &mut laptop, NOON + 5 * MINUTE);
    compact(&mut phone, NOON + 5 * MINUTE);
    phone.resume(&tablet.device(), &mut rng(3)).unwrap();
    meet(&mut [&mut phone, &mut laptop], NOON + 6 * MINUTE);
    in_sync(&mut phone, &mut tablet, NOON + 7 * MINUTE);
    meet(
        &mut [&mut phone, &mut laptop, &mut tablet],
        NOON + 7 * MINUTE,
    );
    in_sync(&mut laptop, &mut tablet, NOON + 8 * MINUTE);
    in_sync(&mut phone, &mut tablet, NOON + 8 * MINUTE);
    assert!(phone.holes().unwrap().is_empty());
}

#[test]
fn two_checkpoints_at_once_come_together() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    busy(&mut phone, NOON, 3);
    busy(&mut other, NOON + 1, 3);
    busy(&mut laptop, NOON + 2, 3);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    compact(&mut phone, NOON + MINUTE);
    compact(&mut other, NOON + MINUTE);
    in_sync(&mut phone, &mut laptop, NOON + 2 * MINUTE);
    in_sync(&mut other, &mut laptop, NOON + 3 * MINUTE);
    in_sync(&mut phone, &mut other, NOON + 4 * MINUTE);
    in_sync(&mut phone, &mut laptop, NOON + 5 * MINUTE);
    let dir = tempfile::tempdir().unwrap();
    let mut tablet = linked(dir.path(), &mut phone, 500, Role::Member);
    send_identity(&phone, &mut laptop, NOON + 6 * MINUTE);
    in_sync(&mut tablet, &mut phone, NOON + 6 * MINUTE);
    in_sync(&mut laptop, &mut tablet, NOON + 7 * MINUTE);
}

#[test]
fn what_went_by_a_checkpoint_that_counts_no_more_is_asked_for() {
    let (_dirs, mut phone, [mut other, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON);
    busy(&mut phone, NOON, 20);
    busy(&mut laptop, NOON, 20);
    put(&mut other, NOON, "c", "r7", &[("a", "1")]);
    meet(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    are_equal(&mut [&mut phone, &mut other, &mut laptop], NOON + MINUTE);
    let truth = all(&mut phone);
    let home = space("home").id(phone.twin());
    let heads = phone.heads().unwrap();
    let of_other = heads.iter().find(|head| {
        let origin = phone.origin(&head.log).unwrap().unwrap();
        origin.space == home && origin.device == other.device()
    });
    let of_other = *of_other.unwrap();
    compact(&mut other, NOON + MINUTE);
    in_sync(&mut other, &mut phone, NOON + 2 * MINUTE);
    let removal = Removal {
        device: other.device(),
        lines: vec![Line {
            log: *of_other.log.as_bytes(),
            height: of_other.head.height,
            head: *of_other.head.link.as_bytes(),
        }],
    };
    say(&mut phone, &Body::Suspend(Box::new(removal)));
    assert!(!phone.holes().unwrap().is_empty());
    assert!(!phone.check().unwrap().is_whole());
    meet_identities(&mut phone, &mut laptop);
    in_sync(&mut phone, &mut laptop, NOON + 3 * MINUTE);
    assert!(phone.holes().unwrap().is_empty());
    assert_eq!(all(&mut phone), truth);
}

/// What a suspension makes devices do comes before they sync.
fn meet_identities(phone: &mut Vault, laptop: &mut Vault) {
    send_identity(phone, laptop, NOON + 2 * MINUTE);
    phone.tend(NOON + 2 * MINUTE, &mut rng(9)).unwrap();
    laptop.tend(NOON + 2 * MINUTE, &mut rng(10)).unwrap();
}
