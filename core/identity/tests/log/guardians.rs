//! Guardians rotate after a delay that each replica counts from when it first saw their rotation.

use twin_identity::body::{Body, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::id::EntryId;
use twin_identity::log::{IdentityLog, LogError, Pending};

use crate::common::{Twin, device, place, state, take, twin, words};

const DAY: u64 = 86_400_000;
const DELAY: u64 = 3 * DAY;

/// A twin whose second rotation names guardians (the words 7 stand for their key), with a member 2; and their
/// rotation, which names the new phone 9.
fn guarded() -> (Twin, DeviceKeys, Entry) {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    twin.names_guardians(1);
    twin.log.observe(1);
    let rotation = guardians_rotate(&twin, 9);
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    (twin, phone, rotation)
}

fn guardians_rotate(twin: &Twin, new: u8) -> Entry {
    let mut rotate = Rotate {
        authority: words(7).authority(0).public(),
        devices: vec![device(new).statement(&twin.id(), Role::Admin)],
        ..twin.rotation(2, &words(8))
    };
    rotate.keeps.retain(|kept| kept.device == device(2).id());
    twin.log.rotate(rotate, &words(7).authority(0)).unwrap()
}

fn tip(log: &IdentityLog) -> EntryId {
    log.rotation().unwrap().id
}

#[test]
fn their_rotation_counts_after_the_delay_from_first_sight() {
    let (mut twin, phone, rotation) = guarded();
    assert_eq!(twin.log.guardians().unwrap().delay_days, 3);
    let before = tip(&twin.log);
    let id = take(&mut twin.log, rotation).unwrap();
    assert!(
        twin.log.pending().is_empty(),
        "not seen before the time is told"
    );
    assert_eq!(twin.log.observe(1000), [(id, 1000)]);
    let pending = Pending {
        rotation: id,
        due: 1000 + DELAY,
        vetoed: false,
    };
    assert_eq!(twin.log.pending(), [pending]);
    for now in [2000, 1000 + DELAY - 1] {
        assert!(!twin.log.wants_time(now) && twin.log.observe(now).is_empty());
        assert_eq!(tip(&twin.log), before);
        assert!(twin.has(&phone) && !twin.has(&device(9)));
    }
    assert!(twin.log.wants_time(1000 + DELAY));
    twin.log.observe(1000 + DELAY);
    assert_eq!(tip(&twin.log), id);
    assert!(twin.log.pending().is_empty() && !twin.log.is_contested());
    assert!(twin.has(&device(9)) && twin.has(&device(2)) && twin.is_gone(&phone));
    // A clock that goes back changes nothing.
    twin.log.observe(5);
    assert_eq!(tip(&twin.log), id);
    // Another replica counts for itself; what it has remembered, it need not count again.
    let mut log = IdentityLog::from_bytes(&twin.id(), &twin.log.to_bytes()).unwrap();
    assert_eq!((tip(&log), log.pending()), (before, &[][..]));
    log.observe(2 * DELAY);
    assert_eq!(
        log.pending(),
        [Pending {
            due: 3 * DELAY,
            ..pending
        }]
    );
    log.remember([(id, DELAY)]);
    assert_eq!(tip(&log), id);
}

#[test]
fn a_veto_begins_the_delay_again_once() {
    let (mut twin, phone, rotation) = guarded();
    let before = tip(&twin.log);
    let id = take(&mut twin.log, rotation).unwrap();
    twin.log.observe(1000);
    twin.log.observe(1000 + DAY);
    // Vetoes are for what guardians have made and is here.
    for (signer, veto, error) in [
        (&phone, before, LogError::NotAllowed),
        (&phone, EntryId::from_bytes([1; 32]), LogError::NotAllowed),
        (&device(9), id, LogError::NotAllowed),
        (&device(66), id, LogError::NotAllowed),
    ] {
        assert_eq!(twin.says(signer, &Body::Veto(veto)), Err(error));
    }
    let ignorant = twin.log.entries()[&id].place.prevs.clone();
    assert_eq!(
        twin.after(&ignorant, &phone, &Body::Veto(id)),
        Err(LogError::NotAllowed),
        "not knowing it"
    );
    let veto = twin.after(&[id], &device(2), &Body::Veto(id)).unwrap();
    assert_eq!(twin.log.pending()[0].due, 1000 + DELAY, "not seen yet");
    assert_eq!(twin.log.observe(1000 + 2 * DAY), [(veto, 1000 + 2 * DAY)]);
    let pending = Pending {
        rotation: id,
        due: 1000 + 2 * DAY + DELAY,
        vetoed: true,
    };
    assert_eq!(twin.log.pending(), [pending]);
    // The second changes nothing, nor does one by the same device, which is refused.
    assert_eq!(
        twin.says(&device(2), &Body::Veto(id)),
        Err(LogError::NotAllowed)
    );
    twin.says(&phone, &Body::Veto(id)).unwrap();
    twin.log.observe(1000 + 2 * DAY + 5);
    assert_eq!(twin.log.pending(), [pending]);
    twin.log.observe(pending.due - 1);
    assert_eq!(tip(&twin.log), before);
    twin.log.observe(pending.due);
    assert_eq!(tip(&twin.log), id);
}

#[test]
fn a_veto_that_comes_too_late_undoes_nothing() {
    let (mut twin, phone, rotation) = guarded();
    let id = take(&mut twin.log, rotation).unwrap();
    twin.log.observe(1000);
    let mut late = twin.log.clone();
    // It was made in time, and heard of when the rotation counted already.
    let veto = twin.says(&phone, &Body::Veto(id)).unwrap();
    let veto = twin.log.entries()[&veto].as_ref().clone();
    late.observe(1000 + DELAY);
    assert_eq!(tip(&late), id);
    take(&mut late, veto).unwrap();
    late.observe(1000 + DELAY);
    assert_eq!((tip(&late), late.pending()), (id, &[][..]));
    // One moment earlier it is heard.
    twin.log.observe(1000 + DELAY - 1);
    let due = 1000 + 2 * DELAY - 1;
    assert_eq!(
        twin.log.pending(),
        [Pending {
            rotation: id,
            due,
            vetoed: true
        }]
    );
    twin.log.observe(due);
    assert_eq!(tip(&twin.log), id);
}

#[test]
fn a_veto_seen_before_the_rotation_was_is_no_head_start() {
    let (mut twin, phone, rotation) = guarded();
    let id = take(&mut twin.log, rotation).unwrap();
    let veto = twin.says(&phone, &Body::Veto(id)).unwrap();
    twin.log.remember([(id, 10 * DAY), (veto, DAY)]);
    twin.log.observe(10 * DAY);
    assert_eq!(
        twin.log.pending(),
        [Pending {
            rotation: id,
            due: 13 * DAY,
            vetoed: true
        }]
    );
}

#[test]
fn the_words_override_them_before_and_after_it_is_due() {
    for due in [false, true] {
        let (mut twin, ..) = guarded();
        // Made without knowing of the guardians, and after the fact as well.
        let words_rotate = twin
            .log
            .rotate(twin.rotation(2, &words(4)), &words(1).authority(2))
            .unwrap();
        let rotation = guardians_rotate(&twin, 9);
        let id = take(&mut twin.log, rotation).unwrap();
        twin.log.observe(1000);
        twin.log.observe(1000 + if due { DELAY } else { DAY });
        assert_eq!(tip(&twin.log) == id, due);
        let ours = take(&mut twin.log, words_rotate).unwrap();
        assert_eq!(tip(&twin.log), ours);
        assert!(twin.log.pending().is_empty() && !twin.log.is_contested() && !twin.has(&device(9)));
        twin.log.observe(90 * DELAY);
        assert_eq!(tip(&twin.log), ours);
    }
}

#[test]
fn two_of_theirs_wait_in_order_and_are_a_fork() {
    let (mut twin, phone, one) = guarded();
    let two = guardians_rotate(&twin, 10);
    let (one, two) = (take(&mut twin.log, one).unwrap(), two);
    twin.log.observe(1000);
    let two = take(&mut twin.log, two).unwrap();
    twin.log.observe(2000);
    let waits = |rotation, due| Pending {
        rotation,
        due,
        vetoed: false,
    };
    assert_eq!(
        twin.log.pending(),
        [waits(one, 1000 + DELAY), waits(two, 2000 + DELAY)]
    );
    twin.log.observe(1000 + DELAY);
    assert_eq!((tip(&twin.log), twin.log.is_contested()), (one, false));
    assert_eq!(twin.log.pending(), [waits(two, 2000 + DELAY)]);
    twin.log.observe(2000 + DELAY);
    assert_eq!((tip(&twin.log), twin.log.is_contested()), (one, true));
    let at = place(&twin.log, &[two], two);
    let entry = Entry::by_device(&twin.id(), at, &Body::Acknowledge, &phone).unwrap();
    take(&mut twin.log, entry).unwrap();
    assert_eq!((tip(&twin.log), twin.log.is_contested()), (two, false));
    // The same delay for both: the one that comes first first, by id if at once.
    let (mut twin, _, one) = guarded();
    let two = guardians_rotate(&twin, 10);
    let mut ids = [one.id, two.id];
    for entry in [one, two] {
        take(&mut twin.log, entry).unwrap();
    }
    twin.log.observe(1000);
    ids.sort();
    assert_eq!(twin.log.pending(), ids.map(|id| waits(id, 1000 + DELAY)));
}

#[test]
fn guardians_are_those_of_the_rotation_that_is_in_force() {
    let (mut twin, _, rotation) = guarded();
    // Not those of nobody, and not once replaced.
    let mut other = crate::common::twin(1);
    other.add(&device(2), Role::Member);
    let theirs = guardians_rotate(&other, 9);
    assert_eq!(take(&mut other.log, theirs), Err(LogError::Rule));
    let heads = twin.log.heads();
    let base = tip(&twin.log);
    twin.rotates(twin.rotation(2, &words(1)), &words(1), 2)
        .unwrap();
    assert!(twin.log.guardians().is_none());
    let late = guardians_rotate(&twin, 9);
    assert_eq!(take(&mut twin.log, late), Err(LogError::Rule));
    // Based on the one before it is a rotation like any, but the words have overridden it.
    assert_eq!((&rotation.place.prevs, rotation.place.base), (&heads, base));
    take(&mut twin.log, rotation).unwrap();
    twin.log.observe(90 * DELAY);
    assert!(!twin.has(&device(9)) && twin.log.pending().is_empty());
    // They have no way to guess a key: the words' key is not theirs to reveal under the guardians' hash.
    let (mut twin, ..) = guarded();
    let rotate = Rotate {
        authority: words(7).authority(1).public(),
        ..twin.rotation(2, &words(8))
    };
    assert_eq!(twin.rotates(rotate, &words(7), 1), Err(LogError::Rule));
    let before = state(&twin.log);
    twin.log.observe(90 * DELAY);
    assert_eq!(state(&twin.log), before);
}
