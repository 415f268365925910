//! What is counted, and that no number of entries locks the log.

use twin_identity::body::{Body, Kept, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, MAX_PREVS};
use twin_identity::id::EntryId;
use twin_identity::log::{
    IdentityLog, LogError, MAX_DEVICES, MAX_ENTRIES, MAX_ENTRIES_PER_SIGNER, MAX_LOG_LEN, MAX_TERM,
};

use crate::common::{Twin, device, place, removal, state, take, twin, words};

/// 4,096 entries and 512 rotations of 16 KiB, and what frames them.
#[test]
fn a_whole_log_has_its_most_bytes() {
    assert_eq!(MAX_LOG_LEN, 4608 * 16_400);
}

fn numbered(twin: &Twin, prevs: &[EntryId], number: u16, signer: &DeviceKeys) -> Entry {
    let at = place(&twin.log, prevs, twin.log.rotation().unwrap().id);
    let mut raw = twin.raw(99, number.to_be_bytes().to_vec());
    (raw.prevs, raw.seq, raw.base) = (at.prevs, at.seq, at.base);
    raw.signer = Some(signer.id());
    Entry::from_bytes(&raw.signed(&twin.id(), signer)).unwrap()
}

fn insert(twin: &mut Twin, entry: Entry) -> Result<bool, LogError> {
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

/// However full a log is, what comes under the rotation that counts is taken in, and the log is still read back.
#[test]
fn a_full_log_is_still_written_to_and_read() {
    let mut twin = twin(1);
    let phone = crate::common::twin(1).phone;
    for index in 1.. {
        let heads = twin.log.heads();
        for number in 0..u16::try_from(MAX_TERM).unwrap() {
            let entry = numbered(&twin, &heads, number, &phone);
            assert_eq!(insert(&mut twin, entry), Ok(true));
        }
        twin.rotates(twin.rotation(index, &words(1)), &words(1), index)
            .unwrap();
        if twin.log.entries().len() - twin.log.rotations() >= MAX_ENTRIES {
            break;
        }
    }
    twin.add(&device(2), Role::Member);
    assert!(twin.has(&device(2)));
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
