//! Devices that were removed come back by the words, and only by them.

use twin_identity::body::{Body, Kept};
use twin_identity::device::Role;
use twin_identity::log::{Counts, LogError};

use super::rotations::{four, without};
use crate::common::{device, removal, words};

#[test]
fn the_words_bring_back_whom_a_thief_has_removed() {
    let (mut twin, _) = four();
    let member = |number| Kept {
        device: device(number).id(),
        role: Role::Member,
        suspended: false,
    };
    twin.says(&device(2), &Body::Revoke(removal(&device(3))))
        .unwrap();
    assert!(twin.is_gone(&device(3)));
    let mut rotate = without(&twin.rotation(1, &words(2)), &[&device(2)]);
    rotate.keeps.push(member(3));
    rotate.keeps.sort_by_key(|kept| kept.device);
    // Nobody comes in who never was.
    let mut stranger = rotate.clone();
    stranger.keeps.push(member(77));
    stranger.keeps.sort_by_key(|kept| kept.device);
    assert_eq!(twin.rotates(stranger, &words(1), 1), Err(LogError::Rule));
    twin.rotates(rotate, &words(1), 1).unwrap();
    assert!(twin.has(&device(3)) && !twin.is_gone(&device(3)));
    assert_eq!(twin.log.counts(&device(3).id(), &[1; 32]), Counts::All);
    assert!(twin.is_gone(&device(2)));
}

#[test]
fn who_was_named_by_a_rotation_comes_back_by_the_words_only() {
    let (mut twin, phone) = four();
    let all = twin.rotation(1, &words(1));
    let mine = all.keeps.iter().find(|kept| kept.device == phone.id());
    let mine = mine.cloned().unwrap();
    twin.rotates(without(&all, &[&phone]), &words(1), 1)
        .unwrap();
    assert!(twin.is_gone(&phone));
    let adds = twin.add_device(&phone, Role::Member);
    assert_eq!(twin.says(&device(2), &adds), Err(LogError::Rule));
    let mut again = twin.rotation(2, &words(1));
    again.devices = vec![phone.statement(&twin.id(), Role::Admin)];
    assert_eq!(twin.rotates(again, &words(1), 2), Err(LogError::Rule));
    let mut back = twin.rotation(2, &words(1));
    back.keeps.push(mine);
    back.keeps.sort_by_key(|kept| kept.device);
    twin.rotates(back, &words(1), 2).unwrap();
    assert!(twin.has(&phone) && !twin.is_gone(&phone));
}

/// Who was an admin only because a rotation said so is one when it comes back, whatever its own statement says.
#[test]
fn who_comes_back_is_at_least_what_it_was() {
    let (mut twin, _) = four();
    let laptop = device(3);
    let mut raises = twin.rotation(1, &words(1));
    for kept in &mut raises.keeps {
        if kept.device == laptop.id() {
            kept.role = Role::Admin;
        }
    }
    twin.rotates(raises, &words(1), 1).unwrap();
    let leaves = without(&twin.rotation(2, &words(1)), &[&laptop]);
    twin.rotates(leaves, &words(1), 2).unwrap();
    assert!(twin.is_gone(&laptop));
    let back = |role| {
        let mut rotate = twin.rotation(3, &words(1));
        rotate.keeps.push(Kept {
            device: laptop.id(),
            role,
            suspended: false,
        });
        rotate.keeps.sort_by_key(|kept| kept.device);
        rotate
    };
    let (less, same) = (back(Role::Member), back(Role::Admin));
    assert_eq!(twin.rotates(less, &words(1), 3), Err(LogError::Rule));
    twin.rotates(same, &words(1), 3).unwrap();
    assert!(twin.has(&laptop));
}
