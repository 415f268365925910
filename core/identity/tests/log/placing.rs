//! Where a new entry goes: what it has to know, however many branches a thief makes.

use twin_identity::body::{Body, Kept, Rotate};
use twin_identity::device::Role;
use twin_identity::entry::{Entry, MAX_PREVS};

use super::limits::{insert, numbered};
use crate::common::{device, place, removal, take, twin, words};

/// The owner adds a laptop; a thief with an admin's key makes many longer branches that do not know of it.
#[test]
fn longer_branches_do_not_hide_who_was_added() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    let heads = twin.log.heads();
    let laptop = twin.add(&device(3), Role::Admin);
    let mut number = 0;
    for _ in 0..2 * MAX_PREVS {
        let mut last = heads.clone();
        for _ in 0..3 {
            number += 1;
            let entry = numbered(&twin, &last, number, &device(2));
            last = vec![entry.id];
            assert_eq!(insert(&mut twin, entry), Ok(true));
        }
    }
    let prevs = twin.log.heads();
    assert_eq!(prevs.len(), MAX_PREVS);
    assert!(prevs.contains(&laptop));
    // The rest are the longest.
    let seqs: Vec<u64> = prevs
        .iter()
        .map(|prev| twin.log.entries()[prev].place.seq)
        .collect();
    assert_eq!(twin.log.place().seq, seqs.iter().max().unwrap() + 1);
    // A removal in force is known as well.
    let phone = crate::common::twin(1).phone;
    let stop = twin
        .after(&[laptop], &phone, &Body::Suspend(removal(&device(2))))
        .unwrap();
    assert!(twin.log.heads().contains(&stop));
    assert!(
        twin.log
            .knew_all_removals(&twin.log.base(), &twin.log.heads())
    );
    let by_laptop = twin.add_device(&device(4), Role::Member);
    twin.says(&device(3), &by_laptop).unwrap();
}

#[test]
fn a_rotation_knows_whom_it_keeps_and_the_rotation_before() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    let heads = twin.log.heads();
    let laptop = twin.add(&device(3), Role::Admin);
    // The thief adds devices of its own on more branches than an entry can name, all longer.
    for number in 0..3 * MAX_PREVS as u8 {
        let adds = twin.add_device(&device(100 + number), Role::Admin);
        let one = twin.after(&heads, &device(2), &adds).unwrap();
        let adds = twin.add_device(&device(150 + number), Role::Admin);
        twin.after(&[one], &device(100 + number), &adds).unwrap();
    }
    let keeps = [twin.phone.id(), device(3).id()];
    let mut rotate = twin.rotation(1, &words(2));
    rotate.keeps.retain(|kept| keeps.contains(&kept.device));
    let entry = twin.log.rotate(rotate, &words(1).authority(1)).unwrap();
    assert!(entry.place.prevs.contains(&laptop));
    let rotation = take(&mut twin.log, entry).unwrap();
    assert_eq!(twin.log.devices().len(), 2);
    // What is based on the rotation before grows on; the place knows of the rotation all the same.
    let base = twin.log.entries()[&rotation].place.base;
    for number in 0..2 * MAX_PREVS as u8 {
        let mut last = heads.clone();
        for hop in 0..3 {
            let at = place(&twin.log, &last, base);
            let adds = twin.add_device(&device(200 + number + 16 * hop), Role::Member);
            let entry = Entry::by_device(&twin.id(), at, &adds, &device(2)).unwrap();
            last = vec![take(&mut twin.log, entry).unwrap()];
        }
    }
    let at = twin.log.place();
    assert!(at.prevs.contains(&rotation) && at.base == rotation);
    twin.add(&device(4), Role::Member);
    // Who waits can be kept as well.
    let phone = crate::common::twin(1).phone;
    let adds = twin.add_device(&device(5), Role::Member);
    let heads = twin.log.heads();
    twin.after(&heads, &device(3), &adds).unwrap();
    twin.after(&heads, &phone, &Body::Suspend(removal(&device(3))))
        .unwrap();
    let mut rotate = Rotate {
        authority: words(2).authority(2).public(),
        ..twin.rotation(2, &words(2))
    };
    rotate.keeps.push(Kept {
        device: device(5).id(),
        role: Role::Member,
        suspended: false,
    });
    rotate.keeps.sort_by_key(|kept| kept.device);
    twin.rotates(rotate, &words(2), 2).unwrap();
    assert!(twin.has(&device(5)));
}

/// Two devices were added apart, and a thief has made more branches than an entry can name, all longer.
#[test]
fn a_rotation_knows_all_that_it_needs_and_no_more() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    let heads = twin.log.heads();
    let phone = crate::common::twin(1).phone;
    let mut needed: Vec<_> = [3, 4]
        .map(|number| {
            let adds = twin.add_device(&device(number), Role::Member);
            twin.after(&heads, &phone, &adds).unwrap()
        })
        .into();
    for number in 0..2 * MAX_PREVS as u16 {
        let one = numbered(&twin, &heads, 2 * number, &device(2));
        let last = [one.id];
        assert_eq!(insert(&mut twin, one), Ok(true));
        let longer = numbered(&twin, &last, 2 * number + 1, &device(2));
        assert_eq!(insert(&mut twin, longer), Ok(true));
    }
    needed.sort();
    let rotate = twin.rotation(1, &words(2));
    let rotation = twin.log.rotate(rotate, &words(1).authority(1)).unwrap();
    assert_eq!(rotation.place.prevs, needed);
    // A device names as many as it can, and those too.
    let prevs = twin.log.heads();
    assert_eq!(prevs.len(), MAX_PREVS);
    assert!(needed.iter().all(|needed| prevs.contains(needed)));
}

/// Who has rotated twice settles it with a third rotation, and names neither what others said nor others' rotations.
#[test]
fn a_rotation_knows_of_those_that_it_settles() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    let rotations = [(0, 2), (1, 2), (0, 3)].map(|(without, next)| {
        let mut rotate = twin.rotation(1, &words(next));
        rotate.keeps.truncate(2 - without);
        twin.log.rotate(rotate, &words(1).authority(1)).unwrap()
    });
    let mut settled = [rotations[0].id, rotations[1].id];
    settled.sort();
    for rotation in rotations {
        take(&mut twin.log, rotation).unwrap();
    }
    twin.log.trust(&settled[0]);
    let rotate = Rotate {
        authority: words(2).authority(2).public(),
        ..twin.rotation(2, &words(2))
    };
    let third = twin.log.rotate(rotate, &words(2).authority(2)).unwrap();
    assert_eq!(third.place.prevs, settled);
}
