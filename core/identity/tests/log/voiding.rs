//! A thief has a device's key and back-dates what it says: whatever takes power away counts first.

use twin_identity::body::Body;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::EntryId;
use twin_identity::log::LogError;

use super::roles::again;
use crate::common::{Twin, device, removal, twin, up_to, words};

/// A phone; admins 2 and 3; members 4 and 5. With the heads before anything went wrong.
fn five() -> (Twin, DeviceKeys, Vec<EntryId>) {
    let mut twin = twin(1);
    for (number, role) in [
        (2, Role::Admin),
        (3, Role::Admin),
        (4, Role::Member),
        (5, Role::Member),
    ] {
        twin.add(&device(number), role);
    }
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let heads = twin.log.heads();
    (twin, phone, heads)
}

#[test]
fn a_member_that_was_revoked_cannot_have_been_promoted_and_done_things() {
    let (mut twin, phone, heads) = five();
    // Admin 3 promotes member 4; admin 2 revokes it at the same time.
    let promotion = twin.add_device(&device(4), Role::Admin);
    let promoted = twin.after(&heads, &device(3), &promotion).unwrap();
    let adds = twin.add_device(&device(8), Role::Member);
    let added = twin.after(&[promoted], &device(4), &adds).unwrap();
    assert!(twin.has(&device(8)) && twin.log.is_admin(&device(4).id()));
    let revoked = twin
        .after(&heads, &device(2), &Body::Revoke(removal(&device(4))))
        .unwrap();
    assert!(twin.is_gone(&device(4)) && !twin.has(&device(8)) && !twin.is_gone(&device(8)));
    assert!(!twin.is_waiting(&device(8)));
    assert!(!twin.log.knew_all_removals(&twin.log.base(), &[added]));
    assert!(twin.log.knew_all_removals(&twin.log.base(), &[revoked]));
    // What the revocation knew of, stays.
    let (mut twin, ..) = five();
    let promoted = twin.after(&heads, &device(3), &promotion).unwrap();
    let added = twin.after(&[promoted], &device(4), &adds).unwrap();
    let left = Body::Revoke(removal(&device(4)));
    assert!(
        twin.after(&[added], &phone, &left).is_err(),
        "an admin by now"
    );
    twin.after(&[added], &device(4), &left).unwrap();
    assert!(twin.is_gone(&device(4)) && twin.has(&device(8)));
}

#[test]
fn who_leaves_voids_what_its_leaving_did_not_know_and_what_hangs_on_that() {
    let (mut twin, phone, heads) = five();
    let adds = twin.add_device(&device(8), Role::Admin);
    let kept = twin.after(&heads, &device(2), &adds).unwrap();
    let adds = twin.add_device(&device(9), Role::Admin);
    let back_dated = twin.after(&heads, &device(2), &adds).unwrap();
    let adds = twin.add_device(&device(10), Role::Member);
    let hangs = twin.after(&[back_dated], &device(9), &adds).unwrap();
    let promotion = twin.add_device(&device(5), Role::Admin);
    let promoted = twin.after(&heads, &device(2), &promotion).unwrap();
    twin.after(&heads, &device(2), &Body::Suspend(removal(&device(3))))
        .unwrap();
    twin.after(&heads, &device(2), &Body::Revoke(removal(&device(4))))
        .unwrap();
    // Those whom it has named take power away as well: all of it counts as long as nobody leaves.
    for named in [device(9), device(5)] {
        let heads = match named.id() == device(9).id() {
            true => back_dated,
            false => promoted,
        };
        let stops = Body::Suspend(removal(&phone));
        twin.after(&[heads], &named, &stops).unwrap();
        assert!(twin.is_suspended(&phone));
    }
    assert!(twin.has(&device(9)) && twin.has(&device(10)) && twin.is_suspended(&device(3)));
    assert!(twin.log.is_admin(&device(5).id()) && twin.is_gone(&device(4)));
    let leaves = Body::Revoke(removal(&device(2)));
    twin.after(&[kept], &device(2), &leaves).unwrap();
    assert!(twin.is_gone(&device(2)) && twin.has(&device(8)));
    assert!(!twin.has(&device(9)) && !twin.has(&device(10)));
    assert!(!twin.is_suspended(&phone), "by whom nobody has named");
    assert!(
        !twin.is_suspended(&device(3))
            && twin.has(&device(4))
            && !twin.log.is_admin(&device(5).id())
    );
    // Whoever still builds on what is void says nothing.
    let adds = twin.add_device(&device(11), Role::Member);
    twin.after(&[hangs], &device(9), &adds).unwrap();
    assert!(!twin.has(&device(11)));
    assert!(twin.says(&device(9), &adds).is_err());
    assert!(
        twin.says(&phone, &adds).is_err(),
        "and its keys are used up"
    );
}

#[test]
fn a_stolen_admin_does_not_outrun_its_suspension() {
    let (mut twin, phone, heads) = five();
    let stolen = device(2);
    let suspended = twin
        .after(&heads, &phone, &Body::Suspend(up_to(&stolen, &[(1, 1)])))
        .unwrap();
    // The thief knows nothing of it, or says so.
    let adds = twin.add_device(&device(8), Role::Admin);
    let added = twin.after(&heads, &stolen, &adds).unwrap();
    let promotion = twin.add_device(&device(5), Role::Admin);
    twin.after(&heads, &stolen, &promotion).unwrap();
    twin.after(&heads, &stolen, &Body::Revoke(removal(&device(4))))
        .unwrap();
    assert!(!twin.has(&device(8)) && twin.is_waiting(&device(8)));
    assert!(!twin.log.is_admin(&device(5).id()) && twin.has(&device(4)));
    let further = twin.add_device(&device(9), Role::Admin);
    twin.after(&[added], &device(8), &further).unwrap();
    assert!(!twin.has(&device(9)) && !twin.is_waiting(&device(9)));
    assert!(twin.says(&device(8), &Body::Resume(stolen.id())).is_err());
    assert!(
        twin.after(&[added, suspended], &device(8), &Body::Resume(stolen.id()))
            .is_err()
    );
    // It was no thief: all of it counts as soon as it is resumed.
    twin.says(&device(3), &Body::Resume(stolen.id())).unwrap();
    assert!(twin.has(&device(8)) && twin.has(&device(9)) && !twin.is_waiting(&device(8)));
    assert!(twin.log.is_admin(&device(5).id()) && twin.is_gone(&device(4)));
}

#[test]
fn two_who_suspend_each_other_are_both_suspended() {
    let (mut twin, phone, heads) = five();
    let one = twin
        .after(&heads, &phone, &Body::Suspend(removal(&device(2))))
        .unwrap();
    let two = twin
        .after(&heads, &device(2), &Body::Suspend(removal(&phone)))
        .unwrap();
    assert!(twin.is_suspended(&phone) && twin.is_suspended(&device(2)));
    assert!(
        twin.after(&[one, two], &phone, &Body::Resume(device(2).id()))
            .is_err()
    );
    // The one whom the third trusts comes back; the other's suspension stands.
    twin.says(&device(3), &Body::Resume(phone.id())).unwrap();
    assert!(!twin.is_suspended(&phone) && twin.is_suspended(&device(2)));
    let adds = twin.add_device(&device(8), Role::Member);
    assert!(twin.says(&phone, &adds).is_ok());
}

#[test]
fn resumptions_wait_for_each_other_in_a_chain() {
    let (mut twin, phone, heads) = five();
    // 2 suspends member 4; the phone resumes it; 3 suspends the phone without knowing that.
    let one = twin
        .after(&heads, &device(2), &Body::Suspend(removal(&device(4))))
        .unwrap();
    let resumed = twin
        .after(&[one], &phone, &Body::Resume(device(4).id()))
        .unwrap();
    assert!(!twin.is_suspended(&device(4)));
    let stop = twin
        .after(&heads, &device(3), &Body::Suspend(removal(&phone)))
        .unwrap();
    assert!(
        twin.is_suspended(&device(4)),
        "the phone's resumption waits"
    );
    let go = twin
        .after(&[stop], &device(2), &Body::Resume(phone.id()))
        .unwrap();
    assert!(!twin.is_suspended(&device(4)) && !twin.is_suspended(&phone));
    // And once more, one link longer.
    twin.after(&[stop], &device(3), &Body::Suspend(removal(&device(2))))
        .unwrap();
    assert!(
        twin.is_suspended(&phone) && twin.is_suspended(&device(2)) && twin.is_suspended(&device(4))
    );
    assert!(
        twin.after(&[go, resumed], &device(3), &Body::Resume(device(2).id()))
            .is_err(),
        "not suspended there"
    );
    twin.says(&device(3), &Body::Resume(device(2).id()))
        .unwrap();
    assert!(
        !twin.is_suspended(&phone)
            && !twin.is_suspended(&device(2))
            && !twin.is_suspended(&device(4))
    );
}

/// Two stolen admins, suspended one after the other. By back-dating, the second makes a new admin that resumes the
/// first, which resumes the second: none of it may count.
#[test]
fn a_back_dated_admin_resumes_nobody() {
    for promoted in [false, true] {
        let (mut twin, phone, heads) = five();
        let (first, second) = (device(2), device(3));
        let stop_1 = twin
            .after(&heads, &phone, &Body::Suspend(removal(&first)))
            .unwrap();
        let stop_2 = twin
            .after(&[stop_1], &phone, &Body::Suspend(removal(&second)))
            .unwrap();
        let helper = if promoted { device(5) } else { device(8) };
        let adds = twin.add_device(&helper, Role::Admin);
        let added = twin.after(&[stop_1], &second, &adds).unwrap();
        let resumed = twin
            .after(&[added], &helper, &Body::Resume(first.id()))
            .unwrap();
        assert!(twin.is_suspended(&first) && twin.is_suspended(&second));
        let resumes = Body::Resume(second.id());
        assert!(twin.after(&[resumed, stop_2], &first, &resumes).is_err());
        // If the second turns out to be honest, so does all that it has said.
        twin.after(&[stop_2], &phone, &Body::Resume(second.id()))
            .unwrap();
        assert!(!twin.is_suspended(&first) && !twin.is_suspended(&second));
    }
}

#[test]
fn a_revoked_member_that_was_promoted_at_the_same_time_resumes_nobody() {
    let (mut twin, phone, heads) = five();
    let stop = twin
        .after(&heads, &phone, &Body::Suspend(removal(&device(2))))
        .unwrap();
    let promotion = twin.add_device(&device(4), Role::Admin);
    let promoted = twin.after(&[stop], &device(3), &promotion).unwrap();
    let adds = twin.add_device(&device(8), Role::Admin);
    let added = twin.after(&[promoted], &device(4), &adds).unwrap();
    for resumer in [device(4), device(8)] {
        twin.after(&[added], &resumer, &Body::Resume(device(2).id()))
            .unwrap();
    }
    assert!(!twin.is_suspended(&device(2)));
    twin.after(&[stop], &phone, &Body::Revoke(removal(&device(4))))
        .unwrap();
    assert!(twin.is_suspended(&device(2)) && !twin.has(&device(8)));
}

#[test]
fn a_suspended_device_that_goes_leaves_nothing_suspended() {
    let (mut twin, phone, heads) = five();
    twin.after(&heads, &phone, &Body::Suspend(up_to(&device(4), &[(1, 9)])))
        .unwrap();
    let revoked = twin
        .after(
            &heads,
            &device(2),
            &Body::Revoke(up_to(&device(4), &[(1, 2)])),
        )
        .unwrap();
    assert!(twin.is_gone(&device(4)) && !twin.is_suspended(&device(4)));
    assert!(
        twin.log.knew_all_removals(&twin.log.base(), &[revoked]),
        "the suspension matters no more"
    );
    // Raised by an admin who is stopped at the same time: it waits.
    let raise = Body::Raise(up_to(&device(4), &[(1, 5)]));
    twin.after(&[revoked], &device(3), &raise).unwrap();
    let counts = |twin: &Twin| twin.log.counts(&device(4).id(), &[1; 32]);
    let up_to = |height| twin_identity::log::Counts::UpTo(crate::common::line(1, height, 0));
    assert_eq!(counts(&twin), up_to(5));
    twin.after(&[revoked], &phone, &Body::Suspend(removal(&device(3))))
        .unwrap();
    assert_eq!(counts(&twin), up_to(2));
    twin.says(&phone, &Body::Resume(device(3).id())).unwrap();
    assert_eq!(counts(&twin), up_to(5));
}

/// Who has left cannot cast doubt on others by what it says behind its leaving's back.
#[test]
fn a_void_revocation_doubts_nobody() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    for number in [3, 4] {
        twin.add(&device(number), Role::Member);
    }
    twin.says(&device(2), &Body::Suspend(removal(&device(4))))
        .unwrap();
    let heads = twin.log.heads();
    let phone = again(&twin);
    let promotes = twin.add_device(&device(3), Role::Admin);
    let promoted = twin.after(&heads, &phone, &promotes).unwrap();
    twin.after(&[promoted], &device(3), &Body::Resume(device(4).id()))
        .unwrap();
    assert!(!twin.is_suspended(&device(4)));
    let revokes = Body::Revoke(removal(&device(3)));
    twin.after(&heads, &device(2), &revokes).unwrap();
    assert!(twin.is_gone(&device(3)) && twin.is_suspended(&device(4)));
    let leaves = Body::Revoke(removal(&device(2)));
    twin.after(&heads, &device(2), &leaves).unwrap();
    assert!(twin.is_gone(&device(2)) && twin.has(&device(3)));
    assert!(!twin.is_suspended(&device(4)));
}

/// A suspension that a rotation stands for is judged like any other.
#[test]
fn who_was_suspended_before_a_rotation_is_so_on_every_branch_after_it() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    twin.add(&device(3), Role::Admin);
    let phone = again(&twin);
    twin.says(&phone, &Body::Suspend(removal(&device(3))))
        .unwrap();
    let start = twin
        .rotates(twin.rotation(1, &words(1)), &words(1), 1)
        .unwrap();
    for (number, signer) in [(4, &phone), (5, &device(2))] {
        let adds = twin.add_device(&device(number), Role::Member);
        twin.after(&[start], signer, &adds).unwrap();
    }
    assert!(twin.is_suspended(&device(3)) && twin.has(&device(5)));
    let adds = twin.add_device(&device(6), Role::Member);
    assert_eq!(
        twin.after(&[start], &device(3), &adds),
        Err(LogError::NotAllowed)
    );
    twin.after(&[start], &phone, &Body::Resume(device(3).id()))
        .unwrap();
    assert!(!twin.is_suspended(&device(3)));
}
