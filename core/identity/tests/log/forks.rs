//! Two rotations that reveal the same key: the devices decide; where they do not, what came first stays.

use twin_identity::body::{Body, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::id::EntryId;
use twin_identity::log::{IdentityLog, LogError};

use crate::common::{Twin, device, place, removal, take, twin, words};

/// What a replica knows: a log, and two rotations that exclude each other.
pub(super) struct Fork {
    pub twin: Twin,
    pub phone: DeviceKeys,
    pub ours: EntryId,
    pub theirs: EntryId,
}

/// A phone, an admin 2 and members 3 and 4. The owner rotates with the words 2; the thief, who has the old words, with
/// the words 3 and a device 66 of its own, based on what `minimal` says; `ours` is seen first or not.
pub(super) fn fork(minimal: bool, first: bool) -> Fork {
    let mut twin = twin(1);
    let entry_1 = twin.log.heads();
    for (number, role) in [(2, Role::Admin), (3, Role::Member), (4, Role::Member)] {
        twin.add(&device(number), role);
    }
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let prevs = if minimal {
        entry_1.clone()
    } else {
        twin.log.heads()
    };
    let base = entry_1[0];
    let rotate = Rotate {
        keeps: Vec::new(),
        devices: vec![device(66).statement(&twin.id(), Role::Admin)],
        ..twin.rotation(1, &words(3))
    };
    let at = place(&twin.log, &prevs, base);
    let theirs = Entry::by_authority(&twin.id(), at, rotate, &words(1).authority(1)).unwrap();
    let rotate = twin.rotation(1, &words(2));
    let ours = twin.log.rotate(rotate, &words(1).authority(1)).unwrap();
    let ids = (ours.id, theirs.id);
    let order = if first {
        [ours, theirs]
    } else {
        [theirs, ours]
    };
    for (now, entry) in (1..).zip(order) {
        take(&mut twin.log, entry).unwrap();
        assert_eq!(twin.log.observe(now).len(), if now == 1 { 2 } else { 1 });
    }
    Fork {
        twin,
        phone,
        ours: ids.0,
        theirs: ids.1,
    }
}

impl Fork {
    pub fn tip(&self) -> EntryId {
        self.twin.log.rotation().unwrap().id
    }

    pub fn acknowledges(
        &mut self,
        rotation: EntryId,
        signer: &DeviceKeys,
    ) -> Result<EntryId, LogError> {
        let at = place(&self.twin.log, &[rotation], rotation);
        let entry = Entry::by_device(&self.twin.id(), at, &Body::Acknowledge, signer).unwrap();
        take(&mut self.twin.log, entry)
    }

    pub fn stands(&self) -> (bool, bool) {
        (self.tip() == self.ours, self.twin.log.is_contested())
    }
}

#[test]
fn with_no_word_from_the_devices_the_first_seen_stays_and_it_is_contested() {
    for minimal in [false, true] {
        for first in [false, true] {
            let fork = fork(minimal, first);
            assert_eq!(fork.stands(), (first, true));
            assert_eq!(fork.twin.log.rotations(), 2);
        }
    }
}

#[test]
fn what_a_trusted_device_stands_on_was_seen_first() {
    let made = fork(false, false);
    for id in [made.ours, made.theirs] {
        let bytes = made.twin.log.to_bytes();
        let mut log = IdentityLog::from_bytes(&made.twin.id(), &bytes).unwrap();
        log.trust(&id);
        assert_eq!(log.rotation().unwrap().id, id);
    }
}

#[test]
fn the_time_is_wanted_until_all_was_seen() {
    let made = fork(false, false);
    let read = || IdentityLog::from_bytes(&made.twin.id(), &made.twin.log.to_bytes()).unwrap();
    let mut log = read();
    assert!(log.wants_time(5));
    assert_eq!(log.observe(5).len(), 3);
    assert!(!log.wants_time(6));
    let all = log.seen().clone();
    let mut again = read();
    again.remember(all.clone().into_iter().skip(1));
    assert!(again.wants_time(6));
    again.remember(all);
    assert!(!again.wants_time(6));
}

#[test]
fn which_was_seen_first_is_remembered() {
    let made = fork(false, false);
    let read = || IdentityLog::from_bytes(&made.twin.id(), &made.twin.log.to_bytes()).unwrap();
    for (ours, theirs) in [(3, 4), (4, 3)] {
        let mut log = read();
        log.remember([(made.ours, ours), (made.theirs, theirs)]);
        assert_eq!(
            log.rotation().unwrap().id,
            if ours < theirs {
                made.ours
            } else {
                made.theirs
            }
        );
        // Entry 1 is all that is new.
        let new = log.observe(9);
        assert_eq!(new.len(), 1);
        assert!(log.observe(10).is_empty());
    }
    // Never seen, or at once: the lower id.
    let mut log = read();
    assert_eq!(log.rotation().unwrap().id, made.ours.min(made.theirs));
    assert_eq!(log.observe(7).len(), 3);
    assert_eq!(log.rotation().unwrap().id, made.ours.min(made.theirs));
    // What has not been seen yet comes after what has.
    let mut log = read();
    log.remember([(made.ours.max(made.theirs), 5)]);
    assert_eq!(log.rotation().unwrap().id, made.ours.max(made.theirs));
}

#[test]
fn one_acknowledgement_decides_wherever_it_comes() {
    for minimal in [false, true] {
        for first in [false, true] {
            let mut fork = fork(minimal, first);
            let phone = DeviceKeys::from_secret(&fork.phone.to_secret()).unwrap();
            // The phone was in by both accounts.
            fork.acknowledges(fork.ours, &phone).unwrap();
            assert_eq!(fork.stands(), (true, false));
            assert!(fork.twin.has(&device(3)) && !fork.twin.has(&device(66)));
        }
    }
}

#[test]
fn votes_are_counted_as_both_rotations_knew_the_devices() {
    // The thief has the old words and the phone's key, and leaves all others out of the past of its rotation.
    for first in [true, false] {
        let mut fork = fork(true, first);
        let phone = DeviceKeys::from_secret(&fork.phone.to_secret()).unwrap();
        fork.acknowledges(fork.ours, &device(2)).unwrap();
        assert_eq!(fork.stands(), (first, true), "unknown to the other");
        fork.acknowledges(fork.theirs, &phone).unwrap();
        assert_eq!(
            fork.stands(),
            (first, true),
            "one as ours knew them, none as theirs did"
        );
        fork.acknowledges(fork.ours, &device(3)).unwrap();
        assert_eq!(fork.stands(), (first, true), "two to one, and none to one");
        // Whoever acknowledges both has said nothing.
        fork.acknowledges(fork.ours, &phone).unwrap();
        assert_eq!(
            fork.stands(),
            (first, true),
            "two to none, and none to none"
        );
    }
    // With all of them in both pasts the numbers decide.
    for first in [true, false] {
        let mut fork = fork(false, first);
        fork.acknowledges(fork.theirs, &device(4)).unwrap();
        assert_eq!(fork.stands(), (false, false));
        fork.acknowledges(fork.ours, &device(2)).unwrap();
        assert_eq!(fork.stands(), (first, true), "one to one");
        fork.acknowledges(fork.ours, &device(3)).unwrap();
        assert_eq!(fork.stands(), (true, false), "two to one");
    }
}

/// The thief has an admin's key too: it brings sixty devices of its own into the past of its rotation.
#[test]
fn devices_that_one_side_brings_do_not_outvote_those_that_both_knew() {
    let mut twin = twin(1);
    for number in [2, 3] {
        twin.add(&device(number), Role::Admin);
    }
    let (phone, heads) = (twin_phone(), twin.log.heads());
    let mut last = heads.clone();
    for number in 100..160 {
        let adds = twin.add_device(&device(number), Role::Member);
        last = vec![twin.after(&last, &device(2), &adds).unwrap()];
    }
    let base = twin.log.rotation().unwrap().id;
    let rotations = [(&heads, 2), (&last, 3)].map(|(prevs, next)| {
        let mut rotate = twin.rotation(1, &words(next));
        rotate.keeps.retain(|kept| kept.device == phone.id());
        let at = place(&twin.log, prevs, base);
        Entry::by_authority(&twin.id(), at, rotate, &words(1).authority(1)).unwrap()
    });
    let [ours, theirs] = [rotations[0].id, rotations[1].id];
    for (now, entry) in (1..).zip(rotations) {
        take(&mut twin.log, entry).unwrap();
        twin.log.observe(now);
    }
    let mut fork = Fork {
        twin,
        phone: twin_phone(),
        ours,
        theirs,
    };
    for number in 100..160 {
        fork.acknowledges(theirs, &device(number)).unwrap();
        assert_eq!(
            fork.acknowledges(ours, &device(number)),
            Err(LogError::NotAllowed)
        );
    }
    assert_eq!(
        fork.stands(),
        (true, true),
        "nobody whom both knew has said anything"
    );
    fork.acknowledges(ours, &phone).unwrap();
    assert_eq!(
        fork.stands(),
        (true, true),
        "sixty to one as theirs knew them"
    );
    // Seen the other way round, theirs would stand, but not unnoticed.
    let mut log = IdentityLog::from_bytes(&fork.twin.id(), &fork.twin.log.to_bytes()).unwrap();
    log.remember([(theirs, 1), (ours, 2)]);
    assert!(log.rotation().unwrap().id == theirs && log.is_contested());
}

pub(super) fn twin_phone() -> DeviceKeys {
    twin(1).phone
}

/// Devices that the thief names in its rotation were not in before: they have no say.
#[test]
fn who_is_named_by_a_rotation_has_no_say_in_it() {
    let mut fork = fork(true, true);
    assert_eq!(
        fork.acknowledges(fork.theirs, &device(66)),
        Err(LogError::NotAllowed)
    );
    assert_eq!(
        fork.acknowledges(fork.theirs, &device(2)),
        Err(LogError::NotAllowed),
        "left out of its past"
    );
    assert_eq!(
        fork.acknowledges(fork.ours, &device(66)),
        Err(LogError::NotAllowed)
    );
    fork.acknowledges(fork.ours, &device(2)).unwrap();
    let twice = Body::Acknowledge;
    assert_eq!(
        fork.twin.says(&device(2), &twice),
        Err(LogError::NotAllowed),
        "once is enough"
    );
    // Said twice without knowing: counted once.
    fork.acknowledges(fork.theirs, &fork_phone()).unwrap();
    assert_eq!(fork.stands(), (true, true));
}

fn fork_phone() -> DeviceKeys {
    twin_phone()
}

#[test]
fn suspended_and_removed_devices_have_no_say() {
    let mut twin = twin(1);
    for number in [2, 3, 4] {
        twin.add(&device(number), Role::Member);
    }
    let phone = twin_phone();
    twin.says(&phone, &Body::Suspend(removal(&device(2))))
        .unwrap();
    twin.says(&phone, &Body::Revoke(removal(&device(3))))
        .unwrap();
    let rotation = twin
        .rotates(twin.rotation(1, &words(2)), &words(1), 1)
        .unwrap();
    let mut fork = Fork {
        twin,
        phone,
        ours: rotation,
        theirs: rotation,
    };
    for number in [2, 3] {
        assert_eq!(
            fork.acknowledges(rotation, &device(number)),
            Err(LogError::NotAllowed)
        );
        assert!(!fork.twin.log.should_acknowledge(&device(number).id()));
    }
    assert!(fork.twin.log.should_acknowledge(&device(4).id()));
    assert!(fork.acknowledges(rotation, &device(4)).is_ok());
}

#[test]
fn each_device_should_acknowledge_once() {
    let twin_1 = twin(1);
    assert!(
        !twin_1.log.should_acknowledge(&twin_1.phone.id()),
        "nobody was in before entry 1"
    );
    assert!(!IdentityLog::new(twin_1.log.genesis().clone()).should_acknowledge(&twin_1.phone.id()));
    let mut made = fork(false, true);
    let phone = twin_phone();
    for keys in [&phone, &device(2), &device(4)] {
        assert!(made.twin.log.should_acknowledge(&keys.id()));
        made.acknowledges(made.ours, keys).unwrap();
        assert!(!made.twin.log.should_acknowledge(&keys.id()));
    }
    assert!(!made.twin.log.should_acknowledge(&device(66).id()));
    // Who has acknowledged the other does not acknowledge this one too.
    let mut made = fork(false, true);
    made.acknowledges(made.theirs, &device(2)).unwrap();
    made.acknowledges(made.ours, &device(3)).unwrap();
    made.acknowledges(made.ours, &device(4)).unwrap();
    assert_eq!(made.stands(), (true, false));
    assert!(!made.twin.log.should_acknowledge(&device(2).id()));
    // Nor who is gone.
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    let mut rotate = twin.rotation(1, &words(2));
    rotate.keeps.retain(|kept| kept.device == phone.id());
    twin.rotates(rotate, &words(1), 1).unwrap();
    assert!(twin.log.should_acknowledge(&phone.id()));
    assert!(!twin.log.should_acknowledge(&device(2).id()));
}
