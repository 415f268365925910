//! What is counted, and that no number of entries locks the log.

use twin_identity::body::{Body, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, MAX_PREVS};
use twin_identity::id::EntryId;
use twin_identity::log::{
    IdentityLog, LogError, MAX_DEVICES, MAX_ENTRIES, MAX_ENTRIES_PER_SIGNER, MAX_FORKS,
    MAX_LOG_LEN, MAX_ROTATIONS, MAX_TERM,
};

use crate::common::{Twin, device, place, removal, state, take, twin, words};

/// 4,096 entries and 512 rotations of 16 KiB, and what frames them.
#[test]
fn a_whole_log_has_its_most_bytes() {
    assert_eq!(MAX_LOG_LEN, 4608 * 16_400);
}

pub(super) fn numbered(twin: &Twin, prevs: &[EntryId], number: u16, signer: &DeviceKeys) -> Entry {
    let at = place(&twin.log, prevs, twin.log.rotation().unwrap().id);
    let mut raw = twin.raw(99, number.to_be_bytes().to_vec());
    (raw.prevs, raw.seq, raw.base) = (at.prevs, at.seq, at.base);
    raw.signer = Some(signer.id());
    Entry::from_bytes(&raw.signed(&twin.id(), signer)).unwrap()
}

pub(super) fn insert(twin: &mut Twin, entry: Entry) -> Result<bool, LogError> {
    twin.log.insert(entry)
}

#[test]
fn devices_are_counted_as_the_signer_knew_them() {
    let mut full = twin(1);
    for number in 2..MAX_DEVICES {
        full.add(&device(u8::try_from(number).unwrap()), Role::Member);
    }
    // What is counted is what the signer knew, so that the order of arrival decides nothing.
    let last = [201, 202].map(|number| full.adds(&full.phone, &device(number), Role::Member));
    for order in [[0, 1], [1, 0]] {
        let mut log = full.log.clone();
        for index in order {
            assert_eq!(log.insert(last[index].clone()), Ok(true));
        }
        assert_eq!(log.devices().len(), MAX_DEVICES + 1);
    }
    full.add(&device(1), Role::Member);
    assert_eq!(full.log.devices().len(), MAX_DEVICES);
    let one_more = full.adds(&full.phone, &device(200), Role::Member);
    assert_eq!(take(&mut full.log, one_more), Err(LogError::Limit));
    // Who is in can still rise, and who goes makes room.
    full.add(&device(2), Role::Admin);
    let phone = twin(1).phone;
    full.says(&phone, &Body::Revoke(removal(&device(1))))
        .unwrap();
    full.add(&device(200), Role::Member);
}

#[test]
fn entries_of_a_signer_are_counted_in_the_past_of_each() {
    let mut busy = twin(2);
    busy.add(&device(3), Role::Admin);
    let phone = twin(2).phone;
    let mut before_last = busy.log.heads();
    for number in 1..MAX_ENTRIES_PER_SIGNER {
        before_last = busy.log.heads();
        let entry = numbered(&busy, &before_last, u16::try_from(number).unwrap(), &phone);
        assert_eq!(insert(&mut busy, entry), Ok(true));
    }
    let entry = numbered(&busy, &busy.log.heads(), 999, &phone);
    assert_eq!(take(&mut busy.log, entry), Err(LogError::Limit));
    // On another branch it is not one too many; for another signer neither.
    let entry = numbered(&busy, &before_last, 999, &phone);
    assert_eq!(insert(&mut busy, entry), Ok(true));
    let adds = busy.add_device(&device(4), Role::Member);
    busy.says(&device(3), &adds).unwrap();
    // A rotation begins the count anew.
    busy.rotates(busy.rotation(1, &words(2)), &words(2), 1)
        .unwrap();
    let entry = numbered(&busy, &busy.log.heads(), 1000, &phone);
    assert_eq!(insert(&mut busy, entry), Ok(true));
}

/// A thief with an admin's key fills the term; the owner still gets its rotation in, and then there is room again.
#[test]
fn a_full_term_leaves_room_for_a_rotation() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Admin);
    twin.add(&device(3), Role::Member);
    let phone = crate::common::twin(1).phone;
    let heads = twin.log.heads();
    // The thief's entries, on as many branches.
    for number in 2..MAX_TERM {
        let entry = numbered(&twin, &heads, u16::try_from(number).unwrap(), &device(2));
        assert_eq!(insert(&mut twin, entry), Ok(true));
    }
    let entry = numbered(&twin, &heads, 5000, &device(2));
    assert_eq!(take(&mut twin.log, entry), Err(LogError::Limit));
    let adds = twin.add_device(&device(4), Role::Member);
    assert_eq!(
        twin.says(&phone, &adds),
        Err(LogError::Limit),
        "for its owner as well"
    );
    assert!(twin.log.heads().len() <= MAX_PREVS);
    let mut rotate = twin.rotation(1, &words(2));
    rotate.keeps.retain(|kept| kept.device != device(2).id());
    twin.rotates(rotate, &words(1), 1).unwrap();
    assert!(twin.is_gone(&device(2)) && twin.has(&device(3)));
    twin.says(&phone, &adds).unwrap();
    // More of what is cut off does not get in either, and what is there is still read.
    let read = IdentityLog::from_bytes(&twin.id(), &twin.log.to_bytes()).unwrap();
    assert_eq!(state(&read), state(&twin.log));
}

/// However full a log is, what comes under the rotation that counts is taken in, and the log is still read back. Under
/// others there is room up to the limit, in which rotations do not count.
#[test]
fn a_full_log_is_still_written_to_and_read() {
    let mut twin = twin(1);
    let phone = crate::common::twin(1).phone;
    let (first, early) = (twin.log.base(), twin.log.heads());
    for index in 1..=4 {
        let heads = twin.log.heads();
        // There is room for three more under the first rotation.
        let room = if index == 1 { 3 } else { 0 };
        for number in 0..u16::try_from(MAX_TERM).unwrap() - room {
            let entry = numbered(&twin, &heads, number, &phone);
            assert_eq!(insert(&mut twin, entry), Ok(true));
        }
        twin.rotates(twin.rotation(index, &words(1)), &words(1), index)
            .unwrap();
    }
    assert_eq!(twin.log.entries().len(), MAX_ENTRIES - 3 + 5);
    twin.add(&device(2), Role::Member);
    let late = |twin: &Twin, number: u8| {
        let adds = twin.add_device(&device(number), Role::Member);
        Entry::by_device(&twin.id(), place(&twin.log, &early, first), &adds, &phone).unwrap()
    };
    for number in [10, 11] {
        let entry = late(&twin, number);
        assert_eq!(insert(&mut twin, entry), Ok(true));
    }
    let entry = late(&twin, 12);
    assert_eq!(insert(&mut twin, entry), Err(LogError::Limit));
    twin.add(&device(3), Role::Member);
    assert!(twin.has(&device(2)) && twin.has(&device(3)));
    let read = IdentityLog::from_bytes(&twin.id(), &twin.log.to_bytes()).unwrap();
    assert_eq!(state(&read), state(&twin.log));
}

#[test]
fn many_branches_do_not_lock_the_log() {
    let mut twin = twin(1);
    let heads = twin.log.heads();
    let phone = crate::common::twin(1).phone;
    for number in 0..2 * MAX_PREVS as u16 {
        let entry = numbered(&twin, &heads, number, &phone);
        assert_eq!(insert(&mut twin, entry), Ok(true));
    }
    for number in 2..6 {
        assert!(twin.log.heads().len() <= MAX_PREVS);
        twin.add(&device(number), Role::Member);
    }
    assert_eq!(
        twin.log.heads().len(),
        1,
        "and the branches come together again"
    );
}

#[test]
fn height_is_of_what_was_said_under_the_rotation() {
    let mut twin = twin(1);
    assert_eq!(IdentityLog::new(twin.log.genesis().clone()).height(), 0);
    assert_eq!(IdentityLog::new(twin.log.genesis().clone()).place().seq, 1);
    assert_eq!(twin.log.height(), 1);
    twin.add(&device(2), Role::Admin);
    let heads = twin.log.heads();
    twin.add(&device(3), Role::Admin);
    assert_eq!(twin.log.height(), 3);
    let adds = twin.add_device(&device(4), Role::Member);
    twin.after(&heads, &device(2), &adds).unwrap();
    assert_eq!(twin.log.height(), 3);
    twin.rotates(twin.rotation(1, &words(1)), &words(1), 1)
        .unwrap();
    assert_eq!(twin.log.height(), 4);
}

/// Old words that were found can contradict the rotation that replaced them, but not without end.
#[test]
fn rotations_beside_the_one_that_counts_are_counted() {
    let mut twin = twin(1);
    let contradicting = |twin: &Twin, number: usize| {
        let mut rotate = twin.rotation(1, &words(3));
        rotate.roots = Some(vec![u8::try_from(number).unwrap(); 16]);
        twin.log.rotate(rotate, &words(1).authority(1)).unwrap()
    };
    let contradicting: Vec<Entry> = (1..=MAX_FORKS)
        .map(|number| contradicting(&twin, number))
        .collect();
    let replaced = twin
        .rotates(twin.rotation(1, &words(2)), &words(1), 1)
        .unwrap();
    twin.log.trust(&replaced);
    let (last, others) = contradicting.split_last().unwrap();
    for other in others {
        assert_eq!(insert(&mut twin, other.clone()), Ok(true));
    }
    assert_eq!(insert(&mut twin, last.clone()), Err(LogError::Limit));
    assert_eq!(twin.log.base(), replaced);
    let next = Rotate {
        authority: words(2).authority(2).public(),
        ..twin.rotation(2, &words(2))
    };
    twin.rotates(next, &words(2), 2).unwrap();
    assert_eq!(twin.log.rotations(), 3);
}

#[test]
fn a_full_path_still_grows() {
    let mut twin = twin(1);
    let contradicting = |twin: &Twin, index| {
        let rotate = twin.rotation(index, &words(3));
        twin.log.rotate(rotate, &words(1).authority(index)).unwrap()
    };
    let mut others = Vec::new();
    for index in 1.. {
        others.push(contradicting(&twin, index));
        twin.rotates(twin.rotation(index, &words(1)), &words(1), index)
            .unwrap();
        if twin.log.entries().len() == MAX_ROTATIONS - 1 {
            break;
        }
    }
    let refused = others.pop().unwrap();
    let taken = others.pop().unwrap();
    assert_eq!(insert(&mut twin, taken), Ok(true));
    assert_eq!(insert(&mut twin, refused), Err(LogError::Limit));
    let index = u32::try_from(MAX_ROTATIONS).unwrap() - 1;
    twin.rotates(twin.rotation(index, &words(1)), &words(1), index)
        .unwrap();
    assert_eq!(twin.log.entries().len(), MAX_ROTATIONS + 1);
}
