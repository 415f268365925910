//! Contradicting rotations that another one settles, more than two, and those with which a twin begins.

use twin_identity::body::Rotate;
use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::id::EntryId;
use twin_identity::log::LogError;

use super::forks::{Fork, fork, twin_phone};
use crate::common::{Twin, device, place, state, take, twin, words};

#[test]
fn who_rotates_twice_settles_it_with_the_key_that_only_the_owner_has() {
    for first in [true, false] {
        // The owner has rotated twice to the same new words.
        let mut twin = twin(1);
        twin.add(&device(2), Role::Admin);
        let mut one = twin.rotation(1, &words(2));
        one.keeps.retain(|kept| kept.device != device(2).id());
        let other = twin.rotation(1, &words(2));
        let entries =
            [one, other].map(|rotate| twin.log.rotate(rotate, &words(1).authority(1)).unwrap());
        let [ours, theirs] = [entries[0].id, entries[1].id];
        let mut entries: Vec<Entry> = entries.into();
        if !first {
            entries.reverse();
        }
        for (now, entry) in (1..).zip(entries) {
            take(&mut twin.log, entry).unwrap();
            twin.log.observe(now);
        }
        let mut fork = Fork {
            phone: twin_phone(),
            twin,
            ours,
            theirs,
        };
        assert_eq!(fork.stands(), (first, true));
        // Even against an acknowledgement.
        fork.acknowledges(theirs, &device(2)).unwrap();
        assert_eq!(fork.stands(), (false, false));
        let rotate = Rotate {
            authority: words(2).authority(2).public(),
            keeps: vec![twin_identity::body::Kept {
                device: fork.phone.id(),
                role: Role::Admin,
                suspended: false,
            }],
            ..fork.twin.rotation(2, &words(2))
        };
        let sign = |fork: &Fork, prevs: &[EntryId], base, rotate: &Rotate| {
            let at = place(&fork.twin.log, prevs, base);
            Entry::by_authority(&fork.twin.id(), at, rotate.clone(), &words(2).authority(2))
                .unwrap()
        };
        // It has to know of the other.
        let mut ignorant = Twin {
            log: fork.twin.log.clone(),
            phone: twin_phone(),
            recovery: words(1),
        };
        take(&mut ignorant.log, sign(&fork, &[ours], ours, &rotate)).unwrap();
        assert_eq!(ignorant.log.path().nth(1).unwrap().id, theirs);
        let third = sign(&fork, &[ours, theirs], ours, &rotate);
        take(&mut fork.twin.log, third.clone()).unwrap();
        assert_eq!(
            (fork.tip(), fork.twin.log.is_contested()),
            (third.id, false)
        );
        assert_eq!(fork.twin.log.rotations(), 3);
        // Settled both ways is not settled: the devices decide again.
        let fourth = sign(&fork, &[ours, theirs], theirs, &rotate);
        take(&mut fork.twin.log, fourth.clone()).unwrap();
        assert_eq!(
            (fork.tip(), fork.twin.log.is_contested()),
            (fourth.id, false)
        );
    }
}

/// A thief that copies the owner's commitment cannot settle anything, because it cannot reveal the key; and one whose
/// commitment is another settles nothing either.
#[test]
fn only_a_common_commitment_settles() {
    let mut fork = fork(false, true);
    let rotate = Rotate {
        authority: words(3).authority(2).public(),
        keeps: vec![twin_identity::body::Kept {
            device: device(66).id(),
            role: Role::Admin,
            suspended: false,
        }],
        ..fork.twin.rotation(2, &words(3))
    };
    let at = place(&fork.twin.log, &[fork.ours, fork.theirs], fork.theirs);
    let third =
        Entry::by_authority(&fork.twin.id(), at.clone(), rotate, &words(3).authority(2)).unwrap();
    take(&mut fork.twin.log, third).unwrap();
    assert_eq!(fork.stands(), (true, true));
}

#[test]
fn of_three_the_one_that_beats_both_counts_in_any_order() {
    let mut twin = twin(1);
    for number in [2, 3, 4] {
        twin.add(&device(number), Role::Member);
    }
    let entries = [5, 6, 7].map(|next| {
        let rotate = twin.rotation(1, &words(next));
        twin.log.rotate(rotate, &words(1).authority(1)).unwrap()
    });
    let ids = [0, 1, 2].map(|index: usize| entries[index].id);
    for order in [
        [0, 1, 2],
        [2, 1, 0],
        [1, 0, 2],
        [1, 2, 0],
        [0, 2, 1],
        [2, 0, 1],
    ] {
        let mut replica = Twin {
            log: twin.log.clone(),
            phone: twin_phone(),
            recovery: words(1),
        };
        for (now, index) in (1..).zip(order) {
            take(&mut replica.log, entries[index].clone()).unwrap();
            replica.log.observe(now);
        }
        let mut fork = Fork {
            phone: twin_phone(),
            twin: replica,
            ours: ids[1],
            theirs: ids[0],
        };
        assert_eq!(fork.tip(), ids[order[0]]);
        let phone = twin_phone();
        fork.acknowledges(ids[1], &phone).unwrap();
        fork.acknowledges(ids[1], &device(2)).unwrap();
        fork.acknowledges(ids[2], &device(3)).unwrap();
        assert_eq!(fork.stands(), (true, false));
        fork.acknowledges(ids[2], &device(4)).unwrap();
        assert!(fork.twin.log.is_contested());
        let mine = if order.iter().position(|x| *x == 1) < order.iter().position(|x| *x == 2) {
            1
        } else {
            2
        };
        assert_eq!(
            fork.tip(),
            ids[mine],
            "of the two that tie the one seen first"
        );
    }
}

/// Key 0 can make entry 1 once more; no device was in before, so nothing decides but what came first.
#[test]
fn entry_1_made_twice_stays_with_the_first() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    twin.log.observe(1);
    let before = state(&twin.log);
    let genesis = twin.log.genesis().entry_id();
    let rotate = Rotate {
        keeps: Vec::new(),
        devices: vec![device(66).statement(&twin.id(), Role::Admin)],
        ..twin.rotation(0, &words(3))
    };
    let at = place(&twin.log, &[genesis], genesis);
    let entry =
        Entry::by_authority(&twin.id(), at, rotate.clone(), &words(1).authority(0)).unwrap();
    let other = take(&mut twin.log, entry).unwrap();
    twin.log.observe(2);
    assert!(twin.log.is_contested() && twin.has(&device(2)) && !twin.has(&device(66)));
    assert_ne!(state(&twin.log), before);
    // The first was not in before either.
    let phone = twin_phone();
    let mut fork = Fork {
        theirs: other,
        ours: twin.log.rotation().unwrap().id,
        twin,
        phone: twin_phone(),
    };
    assert_eq!(
        fork.acknowledges(fork.ours, &phone),
        Err(LogError::NotAllowed)
    );
    assert_eq!(
        fork.acknowledges(fork.theirs, &device(66)),
        Err(LogError::NotAllowed)
    );
    // The owner goes on under the first.
    let (id, heads) = (fork.twin.id(), fork.twin.log.heads());
    assert_eq!(heads.len(), 2);
    let rotate = fork.twin.rotation(1, &words(2));
    fork.twin.rotates(rotate, &words(1), 1).unwrap();
    assert_eq!((fork.twin.log.rotations(), *fork.twin.log.twin()), (2, id));
    // With the device's keys again: not if the entry knows of them.
    let at = place(&fork.twin.log, &heads, genesis);
    let rotate = Rotate {
        keeps: Vec::new(),
        devices: vec![device(2).statement(&id, Role::Admin)],
        ..fork.twin.rotation(0, &words(3))
    };
    let entry = Entry::by_authority(&id, at, rotate, &words(1).authority(0)).unwrap();
    assert_eq!(take(&mut fork.twin.log, entry), Err(LogError::Rule));
}

/// The attack that was possible: the thief has the old words, makes entry 1 again with a copy of its commitment, and
/// "settles" it with the key that the owner has used long ago.
#[test]
fn old_words_settle_nothing_that_their_owner_has_gone_on_from() {
    for first in [true, false] {
        let mut twin = twin(1);
        let genesis = twin.log.genesis().entry_id();
        let entry_1 = twin.log.heads()[0];
        let again = Rotate {
            keeps: Vec::new(),
            devices: vec![device(66).statement(&twin.id(), Role::Admin)],
            ..twin.rotation(0, &words(1))
        };
        let at = place(&twin.log, &[genesis], genesis);
        let again = Entry::by_authority(&twin.id(), at, again, &words(1).authority(0)).unwrap();
        twin.log.observe(1);
        let ours = twin
            .log
            .rotate(twin.rotation(1, &words(2)), &words(1).authority(1))
            .unwrap();
        let mut thief = Twin {
            log: twin.log.clone(),
            phone: twin_phone(),
            recovery: words(1),
        };
        take(&mut thief.log, again.clone()).unwrap();
        let third = Rotate {
            keeps: vec![twin_identity::body::Kept {
                device: device(66).id(),
                role: Role::Admin,
                suspended: false,
            }],
            ..thief.rotation(1, &words(3))
        };
        let at = place(&thief.log, &[entry_1, again.id], again.id);
        let third = Entry::by_authority(&twin.id(), at, third, &words(1).authority(1)).unwrap();
        let mut entries = vec![ours.clone(), again, third];
        if !first {
            entries.rotate_left(1);
        }
        for (now, entry) in (2..).zip(entries) {
            take(&mut twin.log, entry).unwrap();
            twin.log.observe(now);
        }
        assert_eq!(twin.log.rotation().unwrap().id, ours.id);
        assert!(twin.log.is_contested() && !twin.has(&device(66)));
    }
}
