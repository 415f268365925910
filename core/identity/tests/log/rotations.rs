//! A rotation: the key that was committed to, both signatures, and who stays.

use twin_identity::body::{Body, Kept, Removal, Rotate};
use twin_identity::cbor;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::log::{Counts, LogError, MAX_DEVICES};
use twin_identity::sign::SignatureError;

use crate::common::{
    ROTATE, RawEntry, Twin, device, line, place, removal, take, twin, up_to, words,
};

/// A phone, an admin 2, members 3 and 4.
pub(super) fn four() -> (Twin, DeviceKeys) {
    let mut twin = twin(1);
    for (number, role) in [(2, Role::Admin), (3, Role::Member), (4, Role::Member)] {
        twin.add(&device(number), role);
    }
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    (twin, phone)
}

pub(super) fn without(rotate: &Rotate, gone: &[&DeviceKeys]) -> Rotate {
    let mut rotate = rotate.clone();
    rotate
        .keeps
        .retain(|kept| gone.iter().all(|gone| gone.id() != kept.device));
    rotate
}

#[test]
fn a_rotation_replaces_the_words_and_says_who_stays() {
    let (mut twin, phone) = four();
    let added = twin.log.heads()[0];
    let (old, new) = (words(1), words(2));
    let mut rotate = without(&twin.rotation(1, &new), &[&phone, &device(4)]);
    rotate.devices = vec![device(9).statement(&twin.id(), Role::Admin)];
    rotate.generation = 1;
    rotate.removals = vec![*up_to(&phone, &[(1, 7)])];
    rotate.roots = Some(vec![5; 80]);
    for kept in &mut rotate.keeps {
        kept.role = Role::Admin;
    }
    let (next, recovery) = (rotate.next, rotate.recovery.clone());
    let id = twin.rotates(rotate.clone(), &old, 1).unwrap();
    assert_eq!(twin.log.rotation().unwrap().id, id);
    assert_eq!(twin.log.current(), Some(&rotate));
    assert_eq!(twin.log.rotation_of(&id), Some(&rotate));
    assert_eq!(twin.log.rotation_of(&added), None);
    assert_eq!((twin.log.rotations(), twin.log.generation()), (2, 1));
    assert_eq!(twin.log.next_authority(), next);
    assert_eq!(twin.log.recovery(), Some(&recovery));
    assert!(twin.log.guardians().is_none());
    let admin = |keys: &DeviceKeys| (keys.id(), Role::Admin, false);
    let mut expected = [admin(&device(2)), admin(&device(3)), admin(&device(9))];
    expected.sort();
    assert_eq!(twin.roles(), expected);
    assert!(twin.is_gone(&phone) && twin.is_gone(&device(4)));
    assert_eq!(twin.log.role_once(&phone.id()), Some(Role::Admin));
    assert_eq!(
        twin.log.counts(&phone.id(), &[1; 32]),
        Counts::UpTo(line(1, 7, 0))
    );
    assert_eq!(twin.log.counts(&device(4).id(), &[1; 32]), Counts::Nothing);
    assert!(!twin.log.is_contested() && twin.log.pending().is_empty());
    let ids: Vec<_> = twin.log.path().map(|entry| entry.place.base).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(twin.log.heads(), [id]);
    // The old words are worth nothing any more; the new ones are.
    let again = twin.rotation(2, &old);
    assert_eq!(twin.rotates(again, &old, 2), Err(LogError::Rule));
    let mut again = twin.rotation(2, &new);
    again.authority = new.authority(2).public();
    let third = twin.rotates(again, &new, 2).unwrap();
    assert_eq!(
        (twin.log.rotations(), twin.log.rotation().unwrap().id),
        (3, third)
    );
    assert_eq!(twin.log.generation(), 1, "the one before");
}

#[test]
fn a_rotation_keeps_every_rule_or_is_refused() {
    let (mut twin, phone) = four();
    let heads = twin.log.heads();
    twin.after(&heads, &device(2), &Body::Revoke(removal(&device(4))))
        .unwrap();
    let old = words(1);
    let good = twin.rotation(1, &words(2));
    let id = twin.id();
    let alter = |alter: &dyn Fn(&mut Rotate)| {
        let mut rotate = good.clone();
        alter(&mut rotate);
        rotate.keeps.sort_by_key(|kept| kept.device);
        rotate
    };
    let member = |keys: &DeviceKeys| Kept {
        device: keys.id(),
        role: Role::Member,
        suspended: false,
    };
    let cases: &[(Rotate, &str)] = &[
        (
            alter(&|rotate| rotate.authority = old.authority(2).public()),
            "another key",
        ),
        (
            alter(&|rotate| rotate.authority = old.authority(0).public()),
            "the key before",
        ),
        (
            alter(&|rotate| rotate.authority = words(2).authority(1).public()),
            "foreign words",
        ),
        (
            alter(&|rotate| rotate.generation = 2),
            "a generation skipped",
        ),
        (
            alter(&|rotate| rotate.keeps.push(member(&device(9)))),
            "a stranger",
        ),
        (
            alter(&|rotate| rotate.keeps.retain(|kept| kept.device == device(3).id())),
            "no admin",
        ),
        (alter(&|rotate| rotate.keeps = vec![]), "nobody"),
        (
            alter(&|rotate| {
                rotate
                    .keeps
                    .iter_mut()
                    .for_each(|kept| kept.role = Role::Member)
            }),
            "an admin that falls",
        ),
        (
            alter(&|rotate| rotate.devices = vec![device(3).statement(&id, Role::Admin)]),
            "one that is in, named again",
        ),
        (
            alter(&|rotate| {
                rotate.keeps.retain(|kept| kept.device != device(3).id());
                rotate.devices = vec![device(3).statement(&id, Role::Member)];
            }),
            "one that was in, named again instead of kept",
        ),
        (
            alter(&|rotate| rotate.devices = vec![device(9).statement(&id, Role::Admin); 2]),
            "one named twice",
        ),
        (
            alter(&|rotate| rotate.removals = vec![*removal(&phone)]),
            "one kept and removed",
        ),
        (
            alter(&|rotate| {
                rotate.devices = vec![device(9).statement(&id, Role::Member)];
                rotate.removals = vec![*removal(&device(9))];
            }),
            "one named and removed",
        ),
    ];
    for (rotate, why) in cases {
        let index = u32::from(rotate.authority == old.authority(2).public()) + 1;
        let entry = twin
            .log
            .rotate(rotate.clone(), &old.authority(index))
            .unwrap();
        assert_eq!(take(&mut twin.log, entry), Err(LogError::Rule), "{why}");
    }
    // Signed by another key, or by half of it.
    let refused = Err(LogError::Signature(SignatureError));
    let other = twin.log.rotate(good.clone(), &old.authority(2)).unwrap();
    assert_eq!(take(&mut twin.log, other), refused);
    let entry = twin.log.rotate(good.clone(), &old.authority(1)).unwrap();
    let raw = RawEntry {
        signer: None,
        ..twin.raw(ROTATE, cbor::encode(&good))
    };
    assert_eq!(raw.with_signature(&entry.signature), entry.to_bytes());
    for index in [0, 63, 64, entry.signature.len() - 1] {
        let mut signature = entry.signature.clone();
        signature[index] ^= 1;
        let forged = Entry::from_bytes(&raw.with_signature(&signature)).unwrap();
        assert_eq!(take(&mut twin.log, forged), refused, "byte {index}");
    }
    // A new device agrees, or is not named.
    let foreign = device(9).statement(&crate::common::twin(2).id(), Role::Member);
    let rotate = alter(&|rotate| rotate.devices = vec![foreign.clone()]);
    assert_eq!(twin.rotates(rotate, &old, 1), refused);
    assert!(take(&mut twin.log, entry).is_ok(), "the good one");
}

#[test]
fn the_generation_goes_up_by_one_or_stays() {
    let (mut twin, _) = four();
    let all = words(1);
    for (index, generation, fits) in [
        (1, 1, true),
        (2, 0, false),
        (2, 1, true),
        (3, 3, false),
        (3, 2, true),
    ] {
        let rotate = Rotate {
            generation,
            ..twin.rotation(index, &all)
        };
        assert_eq!(twin.rotates(rotate, &all, index).is_ok(), fits);
    }
    assert_eq!(twin.log.generation(), 2);
}

#[test]
fn what_was_said_at_the_same_time_is_superseded() {
    let (mut twin, phone) = four();
    let heads = twin.log.heads();
    let old = words(1);
    let rotate = twin.rotation(1, &words(2));
    let entry =
        Entry::by_authority(&twin.id(), twin.log.place(), rotate, &old.authority(1)).unwrap();
    let adds = twin.add_device(&device(9), Role::Admin);
    let late = twin.after(&heads, &phone, &adds).unwrap();
    twin.after(&heads, &phone, &Body::Revoke(removal(&device(4))))
        .unwrap();
    twin.after(&heads, &phone, &Body::Suspend(removal(&device(2))))
        .unwrap();
    let digest = twin.log.digest();
    let rotation = take(&mut twin.log, entry).unwrap();
    assert!(!twin.has(&device(9)) && twin.has(&device(4)) && !twin.is_suspended(&device(2)));
    assert!(twin.log.knew_all_removals(&twin.log.base(), &[rotation]));
    assert_eq!(twin.log.heads().len(), 4, "built on, all the same");
    assert_ne!(twin.log.digest(), digest);
    // Under the rotation before, things can still be said; they are passed on but change nothing, not even the digest.
    let digest = twin.log.digest();
    let base = twin.log.entries()[&rotation].place.base;
    let late = place(&twin.log, &[late], base);
    let adds = twin.add_device(&device(10), Role::Admin);
    let entry = Entry::by_device(&twin.id(), late, &adds, &device(9)).unwrap();
    take(&mut twin.log, entry).unwrap();
    assert!(!twin.has(&device(10)));
    assert_eq!(twin.log.digest(), digest);
    // Under the rotation, as soon as somebody builds on it, it counts: so that replicas get each other's pasts.
    let says = Body::Suspend(removal(&device(3)));
    twin.says(&device(2), &says).unwrap();
    assert!(twin.is_suspended(&device(3)));
    // Keys that were in what was superseded are used up as well.
    let adds = twin.add_device(&device(9), Role::Member);
    assert_eq!(twin.says(&phone, &adds), Err(LogError::Rule));
}

#[test]
fn a_rotation_keeps_who_is_suspended_so_or_not_and_can_keep_who_waits() {
    let (mut twin, phone) = four();
    let heads = twin.log.heads();
    let adds = twin.add_device(&device(9), Role::Member);
    twin.after(&heads, &device(2), &adds).unwrap();
    twin.after(&heads, &phone, &Body::Suspend(up_to(&device(2), &[(1, 3)])))
        .unwrap();
    assert!(twin.is_waiting(&device(9)));
    let waits = Kept {
        device: device(9).id(),
        role: Role::Member,
        suspended: false,
    };
    let mut rotate = twin.rotation(1, &words(2));
    rotate.keeps.push(waits);
    rotate.keeps.sort_by_key(|kept| kept.device);
    let mut other = Twin {
        log: twin.log.clone(),
        recovery: words(1),
        phone: four().1,
    };
    twin.rotates(rotate, &words(1), 1).unwrap();
    // Suspended it stays, until somebody resumes it.
    assert!(twin.has(&device(9)) && twin.is_suspended(&device(2)));
    assert_eq!(twin.log.waiting().count(), 0);
    let line_3 = Counts::UpTo(line(1, 3, 0));
    assert_eq!(twin.log.counts(&device(2).id(), &[1; 32]), line_3);
    let adds = twin.add_device(&device(10), Role::Member);
    assert_eq!(twin.says(&device(2), &adds), Err(LogError::NotAllowed));
    assert!(
        twin.log
            .knew_all_removals(&twin.log.base(), &twin.log.heads())
    );
    twin.says(&phone, &Body::Resume(device(2).id())).unwrap();
    assert!(!twin.is_suspended(&device(2)));
    assert_eq!(twin.log.counts(&device(2).id(), &[1; 32]), Counts::All);
    twin.says(&device(2), &adds).unwrap();
    // Not kept, the suspended one is gone with what its suspension let count; who waited is not in and never was.
    let rotate = without(&other.rotation(1, &words(2)), &[&device(2)]);
    other.rotates(rotate, &words(1), 1).unwrap();
    assert!(other.is_gone(&device(2)) && !other.has(&device(9)) && !other.is_gone(&device(9)));
    assert_eq!(other.log.waiting().count(), 0);
    assert_eq!(
        other.log.counts(&device(2).id(), &[1; 32]),
        Counts::UpTo(line(1, 3, 0))
    );
    let adds = other.add_device(&device(9), Role::Member);
    assert_eq!(other.says(&phone, &adds), Err(LogError::Rule));
}

#[test]
fn lines_of_who_stays_are_forgotten_and_of_who_goes_only_rise() {
    let (mut twin, phone) = four();
    let suspends = Body::Suspend(up_to(&device(2), &[(1, 3)]));
    twin.says(&phone, &suspends).unwrap();
    twin.says(&phone, &Body::Raise(up_to(&device(2), &[(1, 8)])))
        .unwrap();
    twin.says(&phone, &Body::Revoke(up_to(&device(3), &[(1, 8)])))
        .unwrap();
    let mut rotate = twin.rotation(1, &words(1));
    rotate
        .keeps
        .iter_mut()
        .for_each(|kept| kept.suspended = false);
    rotate.removals = vec![Removal {
        device: device(3).id(),
        lines: vec![line(1, 5, 0), line(2, 5, 0)],
    }];
    twin.rotates(rotate, &words(1), 1).unwrap();
    let counts = |twin: &Twin, number, log: u8| twin.log.counts(&device(number).id(), &[log; 32]);
    assert_eq!(counts(&twin, 3, 1), Counts::UpTo(line(1, 8, 0)));
    assert_eq!(counts(&twin, 3, 2), Counts::UpTo(line(2, 5, 0)));
    twin.says(&phone, &Body::Suspend(up_to(&device(2), &[(1, 2)])))
        .unwrap();
    assert_eq!(
        counts(&twin, 2, 1),
        Counts::UpTo(line(1, 2, 0)),
        "a new beginning"
    );
    // Of who is long gone, an admin can still raise it.
    twin.says(&phone, &Body::Raise(up_to(&device(3), &[(2, 9)])))
        .unwrap();
    assert_eq!(counts(&twin, 3, 2), Counts::UpTo(line(2, 9, 0)));
}

#[test]
fn a_rotation_names_as_many_devices_as_a_twin_may_have() {
    let mut twin = twin(1);
    for chunk in 0..MAX_DEVICES {
        let keys = device(u8::try_from(chunk).unwrap() + 2);
        twin.add(&keys, Role::Member);
        if twin.log.devices().len() == MAX_DEVICES {
            break;
        }
    }
    let mut rotate = twin.rotation(1, &words(1));
    rotate.devices = vec![device(200).statement(&twin.id(), Role::Member)];
    assert_eq!(
        twin.rotates(rotate.clone(), &words(1), 1),
        Err(LogError::Limit)
    );
    rotate.keeps.retain(|kept| kept.device != device(2).id());
    assert!(twin.rotates(rotate, &words(1), 1).is_ok());
    assert_eq!(twin.log.devices().len(), MAX_DEVICES);
}
