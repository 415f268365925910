//! Who is in, who may change what, and what of a device still counts once it is out.

use twin_identity::body::Body;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::EntryId;
use twin_identity::log::{Counts, LogError};

use crate::common::{Twin, device, line, removal, twin, up_to};

/// A phone, an admin laptop (2) and a member tablet (3).
pub(super) fn three() -> (Twin, DeviceKeys, DeviceKeys) {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    twin.add(&device(3), Role::Member);
    (twin, device(2), device(3))
}

pub(super) fn again(twin: &Twin) -> DeviceKeys {
    DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap()
}

#[test]
fn only_an_admin_says_what_changes_the_log() {
    let (twin, laptop, tablet) = three();
    let phone = again(&twin);
    let bodies = [
        twin.add_device(&device(4), Role::Member),
        twin.add_device(&tablet, Role::Admin),
        Body::Revoke(removal(&tablet)),
        Body::Suspend(removal(&tablet)),
    ];
    for body in &bodies {
        let fork = || Twin {
            log: twin.log.clone(),
            phone: again(&twin),
            recovery: crate::common::words(1),
        };
        for admin in [&phone, &laptop] {
            assert!(fork().says(admin, body).is_ok());
        }
        assert_eq!(fork().says(&device(9), body), Err(LogError::NotAllowed));
        let by_member = fork().says(&tablet, body);
        match body {
            // Leaving is everybody's own business; nobody suspends itself.
            Body::Revoke(_) => assert!(by_member.is_ok()),
            Body::Suspend(_) => assert_eq!(by_member, Err(LogError::Rule)),
            _ => assert_eq!(by_member, Err(LogError::NotAllowed)),
        }
    }
    // Of another member.
    let mut twin = twin;
    twin.add(&device(5), Role::Member);
    for body in [
        Body::Revoke(removal(&device(5))),
        Body::Suspend(removal(&device(5))),
    ] {
        assert_eq!(twin.says(&tablet, &body), Err(LogError::NotAllowed));
    }
    twin.says(&laptop, &Body::Suspend(removal(&device(5))))
        .unwrap();
    for body in [
        Body::Resume(device(5).id()),
        Body::Raise(removal(&device(5))),
    ] {
        assert_eq!(twin.says(&tablet, &body), Err(LogError::NotAllowed));
    }
}

#[test]
fn expiry_is_read_at_use_and_only_there() {
    let mut twin = twin(1);
    let mut statement = device(2).statement(&twin.id(), Role::Admin);
    statement.expires = Some(1000);
    twin.says(&again(&twin), &Body::AddDevice(Box::new(statement)))
        .unwrap();
    let id = device(2).id();
    assert_eq!(twin.log.device(&id).unwrap().expires, Some(1000));
    assert!(twin.log.is_active(&id, 0) && twin.log.is_active(&id, 999));
    assert!(!twin.log.is_active(&id, 1000) && !twin.log.is_active(&id, u64::MAX));
    assert!(twin.log.is_active(&twin.phone.id(), u64::MAX));
    assert!(!twin.log.is_active(&device(9).id(), 0));
    // Merging knows no time, before and after.
    twin.log.observe(5000);
    let body = twin.add_device(&device(3), Role::Member);
    assert!(twin.says(&device(2), &body).is_ok());
    assert!(twin.log.is_admin(&id) && twin.has(&device(3)));
}

#[test]
fn a_revoked_member_is_gone_for_good() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    assert_eq!(twin.log.role_once(&tablet.id()), Some(Role::Member));
    assert!(!twin.is_gone(&tablet));
    twin.says(&laptop, &Body::Revoke(up_to(&tablet, &[(7, 3)])))
        .unwrap();
    assert!(!twin.has(&tablet) && twin.is_gone(&tablet));
    assert!(!twin.log.is_active(&tablet.id(), 0));
    assert_eq!(twin.log.role_once(&tablet.id()), Some(Role::Member));
    assert_eq!(twin.log.role_once(&device(9).id()), None);
    // Nothing brings it back, and nothing takes it out twice.
    for body in [
        twin.add_device(&tablet, Role::Member),
        twin.add_device(&tablet, Role::Admin),
        Body::Revoke(removal(&tablet)),
        Body::Suspend(removal(&tablet)),
        Body::Resume(tablet.id()),
    ] {
        assert_eq!(twin.says(&phone, &body), Err(LogError::Rule));
    }
    assert_eq!(
        twin.says(&tablet, &Body::Revoke(removal(&tablet))),
        Err(LogError::NotAllowed)
    );
    // Nor a rotation.
    let named = twin_identity::body::Rotate {
        devices: vec![tablet.statement(&twin.id(), Role::Member)],
        ..twin.rotation(1, &twin.recovery)
    };
    let recovery = crate::common::words(1);
    assert_eq!(twin.rotates(named, &recovery, 1), Err(LogError::Rule));
    assert!(
        twin.rotates(twin.rotation(1, &recovery), &recovery, 1)
            .is_ok()
    );
    assert!(twin.is_gone(&tablet));
    assert_eq!(twin.log.role_once(&tablet.id()), Some(Role::Member));
    assert_eq!(
        twin.log.counts(&tablet.id(), &[7; 32]),
        Counts::UpTo(line(7, 3, 0))
    );
    let body = twin.add_device(&tablet, Role::Member);
    assert_eq!(twin.says(&phone, &body), Err(LogError::Rule));
}

#[test]
fn an_admin_goes_only_by_itself_and_never_the_last_one() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    assert_eq!(
        twin.says(&phone, &Body::Revoke(removal(&laptop))),
        Err(LogError::NotAllowed)
    );
    assert_eq!(
        twin.says(&laptop, &Body::Revoke(removal(&phone))),
        Err(LogError::NotAllowed)
    );
    // A suspended admin is not enough to stay behind.
    twin.says(&phone, &Body::Suspend(removal(&laptop))).unwrap();
    assert_eq!(
        twin.says(&phone, &Body::Revoke(removal(&phone))),
        Err(LogError::NotAllowed)
    );
    twin.says(&phone, &Body::Resume(laptop.id())).unwrap();
    twin.says(&phone, &Body::Revoke(removal(&phone))).unwrap();
    assert!(twin.is_gone(&phone));
    assert_eq!(twin.log.role_once(&phone.id()), Some(Role::Admin));
    assert_eq!(
        twin.says(&laptop, &Body::Revoke(removal(&laptop))),
        Err(LogError::NotAllowed)
    );
    // Members go as they like.
    twin.says(&tablet, &Body::Revoke(removal(&tablet))).unwrap();
    assert_eq!(twin.roles(), [(laptop.id(), Role::Admin, false)]);
}

#[test]
fn a_suspended_device_leaves_if_it_likes_but_an_admin_only_if_another_stays() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    twin.says(&phone, &Body::Suspend(removal(&laptop))).unwrap();
    twin.says(&phone, &Body::Suspend(up_to(&tablet, &[(1, 4)])))
        .unwrap();
    twin.says(&tablet, &Body::Revoke(up_to(&tablet, &[(1, 2)])))
        .unwrap();
    assert!(twin.is_gone(&tablet));
    assert_eq!(
        twin.log.counts(&tablet.id(), &[1; 32]),
        Counts::UpTo(line(1, 2, 0)),
        "the line of the removal, as the suspension no longer matters"
    );
    twin.says(&laptop, &Body::Revoke(removal(&laptop))).unwrap();
    assert_eq!(twin.roles(), [(phone.id(), Role::Admin, false)]);
}

#[test]
fn suspended_is_in_but_inactive_until_resumed() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    assert_eq!(
        twin.says(&phone, &Body::Resume(laptop.id())),
        Err(LogError::NotAllowed),
        "not suspended"
    );
    twin.says(&phone, &Body::Suspend(removal(&laptop))).unwrap();
    assert!(twin.has(&laptop) && twin.is_suspended(&laptop));
    assert!(!twin.log.is_active(&laptop.id(), 0) && !twin.log.is_admin(&laptop.id()));
    assert_eq!(twin.log.role_once(&laptop.id()), Some(Role::Admin));
    for (signer, body, error) in [
        (&laptop, Body::Resume(laptop.id()), LogError::Rule),
        (
            &laptop,
            Body::Suspend(removal(&phone)),
            LogError::NotAllowed,
        ),
        (
            &laptop,
            twin.add_device(&device(4), Role::Member),
            LogError::NotAllowed,
        ),
        (
            &phone,
            Body::Suspend(removal(&laptop)),
            LogError::NotAllowed,
        ),
        (&phone, Body::Resume(phone.id()), LogError::Rule),
        (&tablet, Body::Resume(laptop.id()), LogError::NotAllowed),
        (
            &phone,
            twin.add_device(&laptop, Role::Admin),
            LogError::Rule,
        ),
        (&phone, Body::Resume(device(9).id()), LogError::Rule),
    ] {
        assert_eq!(twin.says(signer, &body), Err(error), "{body:?}");
    }
    twin.says(&phone, &Body::Suspend(removal(&tablet))).unwrap();
    let promotion = twin.add_device(&tablet, Role::Admin);
    assert_eq!(
        twin.says(&phone, &promotion),
        Err(LogError::Rule),
        "not while it is suspended"
    );
    twin.says(&phone, &Body::Resume(laptop.id())).unwrap();
    assert!(twin.log.is_admin(&laptop.id()) && !twin.is_suspended(&laptop));
    assert!(twin.is_suspended(&tablet));
    twin.says(&laptop, &Body::Resume(tablet.id())).unwrap();
    assert!(twin.log.is_active(&tablet.id(), 0));
}

#[test]
fn two_suspensions_take_a_resumption_that_knows_both() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    let heads = twin.log.heads();
    let one = twin
        .after(&heads, &phone, &Body::Suspend(removal(&tablet)))
        .unwrap();
    let two = twin
        .after(&heads, &laptop, &Body::Suspend(removal(&tablet)))
        .unwrap();
    let resume = Body::Resume(tablet.id());
    twin.after(&[one], &phone, &resume).unwrap();
    assert!(twin.is_suspended(&tablet), "the other suspension stands");
    twin.after(&[two], &phone, &resume).unwrap();
    assert!(!twin.is_suspended(&tablet));
}

#[test]
fn a_member_becomes_an_admin_and_nobody_falls() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    let refused = [
        (&phone, twin.add_device(&tablet, Role::Member)),
        (&phone, twin.add_device(&laptop, Role::Admin)),
        (&phone, twin.add_device(&laptop, Role::Member)),
        (&phone, twin.add_device(&phone, Role::Member)),
    ];
    for (signer, body) in refused {
        assert_eq!(twin.says(signer, &body), Err(LogError::Rule));
    }
    let body = twin.add_device(&tablet, Role::Admin);
    assert_eq!(
        twin.says(&tablet, &body),
        Err(LogError::NotAllowed),
        "not itself"
    );
    let promoted = twin.says(&laptop, &body).unwrap();
    let device = twin.log.device(&tablet.id()).unwrap();
    assert_eq!((device.role, device.added), (Role::Admin, promoted));
    assert!(
        twin.says(
            &tablet,
            &twin.add_device(&crate::common::device(7), Role::Member)
        )
        .is_ok()
    );
    assert_eq!(
        twin.says(&phone, &Body::Revoke(removal(&tablet))),
        Err(LogError::NotAllowed)
    );
}

#[test]
fn named_twice_at_once_a_device_has_the_higher_role() {
    let base = three().0;
    let heads = base.log.heads();
    for swap in [false, true] {
        let mut twin = Twin {
            log: base.log.clone(),
            ..three().0
        };
        let (new, phone) = (device(4), again(&twin));
        let mut adds = vec![(phone, Role::Member), (device(2), Role::Admin)];
        if swap {
            adds.reverse();
        }
        let mut ids = Vec::new();
        for (signer, role) in &adds {
            let body = twin.add_device(&new, *role);
            ids.push((*role, twin.after(&heads, signer, &body).unwrap()));
        }
        let device = twin.log.device(&new.id()).unwrap();
        let added = ids.iter().find(|(role, _)| *role == Role::Admin).unwrap().1;
        assert_eq!((device.role, device.added), (Role::Admin, added));
        // Twice the same: the lower id, in any order.
        let statement = |expires| {
            let mut statement = crate::common::device(5).statement(&twin.id(), Role::Member);
            statement.expires = expires;
            Body::AddDevice(Box::new(statement))
        };
        let bodies = [statement(Some(1)), statement(Some(2))];
        let phone = again(&twin);
        let mut ids: Vec<EntryId> = Vec::new();
        for body in if swap { [1, 0] } else { [0, 1] } {
            ids.push(twin.after(&heads, &phone, &bodies[body]).unwrap());
        }
        let added = twin
            .log
            .device(&crate::common::device(5).id())
            .unwrap()
            .added;
        assert_eq!(added, *ids.iter().min().unwrap());
    }
}
