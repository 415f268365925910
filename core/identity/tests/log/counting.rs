//! What of a device still counts once it is out, and who knew what.

use twin_identity::body::Body;
use twin_identity::device::Role;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::{Counts, LogError};

use super::roles::{again, three};
use crate::common::{Twin, device, line, removal, up_to};

#[test]
fn what_still_counts_rises_and_never_falls() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    let log = |number: u8| [number; 32];
    let counts = |twin: &Twin, number| twin.log.counts(&tablet.id(), &log(number));
    assert_eq!(counts(&twin, 1), Counts::All);
    assert_eq!(twin.log.counts(&device(9).id(), &log(1)), Counts::Nothing);
    assert_eq!(
        twin.says(&phone, &Body::Raise(removal(&tablet))),
        Err(LogError::NotAllowed),
        "it is in"
    );
    assert_eq!(
        twin.says(&phone, &Body::Raise(removal(&device(9)))),
        Err(LogError::NotAllowed)
    );
    twin.says(&phone, &Body::Suspend(up_to(&tablet, &[(1, 5), (2, 5)])))
        .unwrap();
    assert_eq!(counts(&twin, 1), Counts::UpTo(line(1, 5, 0)));
    assert_eq!(counts(&twin, 3), Counts::Nothing);
    twin.says(
        &laptop,
        &Body::Raise(up_to(&tablet, &[(1, 4), (2, 6), (3, 1)])),
    )
    .unwrap();
    assert_eq!(counts(&twin, 1), Counts::UpTo(line(1, 5, 0)));
    assert_eq!(counts(&twin, 2), Counts::UpTo(line(2, 6, 0)));
    assert_eq!(counts(&twin, 3), Counts::UpTo(line(3, 1, 0)));
    twin.says(&phone, &Body::Resume(tablet.id())).unwrap();
    assert_eq!(counts(&twin, 1), Counts::All);
    assert_eq!(counts(&twin, 9), Counts::All);
    // What was raised stays raised; what only the suspension said is forgotten with it.
    twin.says(&phone, &Body::Revoke(up_to(&tablet, &[(1, 1)])))
        .unwrap();
    assert_eq!(counts(&twin, 1), Counts::UpTo(line(1, 4, 0)));
    assert_eq!(counts(&twin, 2), Counts::UpTo(line(2, 6, 0)));
    assert_eq!(counts(&twin, 9), Counts::Nothing);
    // At the same height the head decides, in any order.
    let mut higher = up_to(&tablet, &[(1, 4)]);
    higher.lines[0].head = [9; 32];
    twin.says(&laptop, &Body::Raise(higher)).unwrap();
    assert_eq!(counts(&twin, 1), Counts::UpTo(line(1, 4, 9)));
    twin.says(&laptop, &Body::Raise(up_to(&tablet, &[(1, 4)])))
        .unwrap();
    assert_eq!(counts(&twin, 1), Counts::UpTo(line(1, 4, 9)));
    // Two revocations at once: the higher line of both.
    let heads = {
        twin.add(&device(6), Role::Member);
        twin.log.heads()
    };
    twin.after(
        &heads,
        &phone,
        &Body::Revoke(up_to(&device(6), &[(1, 2), (2, 8)])),
    )
    .unwrap();
    twin.after(
        &heads,
        &laptop,
        &Body::Revoke(up_to(&device(6), &[(1, 7), (2, 3)])),
    )
    .unwrap();
    assert_eq!(
        twin.log.counts(&device(6).id(), &log(1)),
        Counts::UpTo(line(1, 7, 0))
    );
    assert_eq!(
        twin.log.counts(&device(6).id(), &log(2)),
        Counts::UpTo(line(2, 8, 0))
    );
}

#[test]
fn who_knew_of_every_removal_and_who_was_in() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    let entry_1 = twin.log.base();
    let was_in = |twin: &Twin, id: &DeviceId, heads: &[EntryId]| {
        twin.log.role_at(id, &entry_1, heads).is_some()
    };
    let genesis = twin.log.genesis().entry_id();
    let before = twin.log.heads();
    assert!(twin.log.knew_all_removals(&twin.log.base(), &before));
    assert!(
        !twin.log.knew_all_removals(&twin.log.base(), &[genesis]),
        "not even entry 1"
    );
    assert!(
        !twin
            .log
            .knew_all_removals(&twin.log.base(), &[EntryId::from_bytes([1; 32])]),
        "what is not here"
    );
    assert!(
        !twin
            .log
            .knew_all_removals(&twin.log.base(), &[before[0], EntryId::from_bytes([1; 32])])
    );
    let suspended = twin.says(&phone, &Body::Suspend(removal(&tablet))).unwrap();
    assert!(!twin.log.knew_all_removals(&twin.log.base(), &before));
    assert!(twin.log.knew_all_removals(&twin.log.base(), &[suspended]));
    assert!(
        twin.log
            .knew_all_removals(&twin.log.base(), &[before[0], suspended])
    );
    assert!(was_in(&twin, &tablet.id(), &before));
    assert!(!was_in(&twin, &tablet.id(), &[suspended]));
    let resumed = twin.says(&laptop, &Body::Resume(tablet.id())).unwrap();
    assert!(
        twin.log.knew_all_removals(&twin.log.base(), &before),
        "taken back"
    );
    assert!(was_in(&twin, &tablet.id(), &[resumed]));
    let revoked = twin.says(&laptop, &Body::Revoke(removal(&tablet))).unwrap();
    for heads in [&before, &vec![resumed]] {
        assert!(!twin.log.knew_all_removals(&twin.log.base(), heads));
        assert!(was_in(&twin, &tablet.id(), heads));
    }
    assert!(twin.log.knew_all_removals(&twin.log.base(), &[revoked]));
    assert!(!was_in(&twin, &tablet.id(), &[revoked]));
    assert!(!was_in(
        &twin,
        &tablet.id(),
        &[EntryId::from_bytes([1; 32])]
    ));
    assert!(!was_in(&twin, &tablet.id(), &[genesis]));
    assert!(!was_in(&twin, &device(9).id(), &[revoked]));
    // A rotation without the laptop: it was in before, and not since, whatever it says that it knows.
    let recovery = crate::common::words(1);
    let mut rotate = twin.rotation(1, &recovery);
    rotate.keeps.retain(|kept| kept.device == phone.id());
    let rotation = twin.rotates(rotate, &recovery, 1).unwrap();
    assert!(!twin.log.knew_all_removals(&twin.log.base(), &[revoked]));
    assert!(twin.log.knew_all_removals(&twin.log.base(), &[rotation]));
    assert!(
        !twin.log.knew_all_removals(&entry_1, &[rotation]),
        "who knows of the rotation and stands under the one before"
    );
    for (keys, role) in [
        (&laptop, None),
        (&phone, Some(Role::Admin)),
        (&tablet, None),
    ] {
        assert_eq!(twin.log.role_at(&keys.id(), &rotation, &[rotation]), role);
    }
    assert_eq!(
        twin.log.role_at(&phone.id(), &rotation, &[revoked]),
        None,
        "a rotation that was not known"
    );
    assert_eq!(
        twin.log.role_at(&laptop.id(), &entry_1, &[revoked]),
        Some(Role::Admin)
    );
    assert_eq!(
        twin.log.role_at(&tablet.id(), &entry_1, &before),
        Some(Role::Member)
    );
}

#[test]
fn a_role_is_that_under_the_rotation_that_is_named() {
    let (mut twin, _, tablet) = three();
    let recovery = crate::common::words(1);
    let (entry_1, before) = (twin.log.base(), twin.log.heads());
    let mut rotate = twin.rotation(1, &recovery);
    for kept in &mut rotate.keeps {
        kept.role = Role::Admin;
    }
    let rotation = twin.rotates(rotate, &recovery, 1).unwrap();
    for heads in [&before, &vec![rotation]] {
        let role = twin.log.role_at(&tablet.id(), &entry_1, heads);
        assert_eq!(role, Some(Role::Member));
    }
    assert_eq!(
        twin.log.role_at(&tablet.id(), &rotation, &[rotation]),
        Some(Role::Admin)
    );
}

#[test]
fn who_had_seen_what() {
    let (mut twin, laptop, _) = three();
    let genesis = twin.log.genesis().entry_id();
    let unknown = EntryId::from_bytes([1; 32]);
    let heads = twin.log.heads();
    let adds = [6, 7].map(|number| twin.add_device(&device(number), Role::Member));
    let phone = again(&twin);
    let one = twin.after(&heads, &phone, &adds[0]).unwrap();
    let two = twin.after(&heads, &laptop, &adds[1]).unwrap();
    assert!(twin.log.had_seen(&[one], &[one]) && twin.log.had_seen(&[one], &heads));
    assert!(twin.log.had_seen(&[one], &[]) && twin.log.had_seen(&[genesis], &[]));
    assert!(twin.log.had_seen(&[one, two], &[two, one]));
    assert!(!twin.log.had_seen(&[one], &[two]) && !twin.log.had_seen(&[one], &[one, two]));
    assert!(!twin.log.had_seen(&heads, &[one]));
    assert!(!twin.log.had_seen(&[one], &[unknown]) && !twin.log.had_seen(&[unknown], &[one]));
}
