//! What a contact remembers, and how long it makes guardians wait.

use twin_identity::body::Rotate;
use twin_identity::contact::{Contact, MAX_WAITING};
use twin_identity::device::Role;
use twin_identity::proof::{self, ProofError};

use crate::common::{Twin, device, take, twin, words};

const NOW: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// A twin whose third rotation is by guardians, who had to wait three days; and a proof of it by the device that they
/// brought in, made on this day after.
fn by_guardians(new: u8) -> (Twin, impl Fn(u64) -> Vec<u8>) {
    let mut twin = twin(1);
    twin.names_guardians(1);
    let rotate = Rotate {
        authority: words(7).authority(0).public(),
        devices: vec![device(new).statement(&twin.id(), Role::Admin)],
        ..twin.rotation(2, &words(8))
    };
    let entry = twin.log.rotate(rotate, &words(7).authority(0)).unwrap();
    let mut theirs = twin.log.clone();
    let id = take(&mut theirs, entry).unwrap();
    theirs.observe(1);
    theirs.observe(90_000_000_000);
    assert_eq!(theirs.rotation().unwrap().id, id);
    (twin, move |day| {
        proof::prove(&theirs, &device(new), NOW + day * DAY).unwrap()
    })
}

/// Nobody takes the word of guardians at once, whenever their devices did.
#[test]
fn a_contact_counts_the_delay_of_guardians_from_when_it_saw_them() {
    let (twin, made) = by_guardians(9);
    let owners = proof::prove(&twin.log, &twin.phone, NOW).unwrap();
    let waits = |days| {
        Err(ProofError::Waits {
            until: NOW + days * DAY,
        })
    };
    assert_eq!(
        proof::check(&twin.id(), &made(0), None, NOW),
        waits(3),
        "nothing is remembered"
    );
    for knows in [false, true] {
        let mut contact = Contact::default();
        if knows {
            contact.check(&twin.id(), &owners, NOW).unwrap();
        }
        let before = contact.known;
        let mut on = |day| contact.check(&twin.id(), &made(day), NOW + day * DAY);
        assert_eq!(on(0), waits(3));
        // Showing it again changes nothing, nor does a clock that was set back.
        assert_eq!(on(2), waits(3));
        assert_eq!(on(1), waits(3));
        assert_eq!(
            contact.known, before,
            "what was accepted before goes on to hold"
        );
        // Nor does a phone that vouches for itself meanwhile.
        contact.check(&twin.id(), &owners, NOW).unwrap();
        let mut on = |day| contact.check(&twin.id(), &made(day), NOW + day * DAY);
        assert_eq!(on(2), waits(3));
        let checked = on(3).unwrap();
        assert_eq!(checked.known.rotations, 3);
        assert!(contact.waiting.is_empty());
        // Once it has counted it counts.
        let mut on = |day| contact.check(&twin.id(), &made(day), NOW + day * DAY);
        on(6).unwrap();
        let older = contact.check(&twin.id(), &owners, NOW);
        assert_eq!(older, Err(ProofError::Older));
    }
}

/// The person overrides them towards contacts as they do for their devices.
#[test]
fn words_override_guardians_for_a_contact() {
    let (mut twin, theirs) = by_guardians(9);
    let mut contact = Contact::default();
    assert!(contact.check(&twin.id(), &theirs(0), NOW).is_err());
    let phone = crate::common::twin(1).phone;
    let rotate = twin.rotation(2, &words(1));
    twin.rotates(rotate, &words(1), 2).unwrap();
    let mine = proof::prove(&twin.log, &phone, NOW + DAY).unwrap();
    contact.check(&twin.id(), &mine, NOW + DAY).unwrap();
    let late = contact.check(&twin.id(), &theirs(9), NOW + 9 * DAY);
    assert!(matches!(
        late,
        Err(ProofError::Contradicts | ProofError::Older)
    ));
}

/// However many rotations of stolen guardians there are: the first that was seen is not made to wait for longer.
#[test]
fn many_rotations_by_guardians_do_not_put_off_the_first() {
    let (twin, first) = by_guardians(9);
    let mut contact = Contact::default();
    assert!(contact.check(&twin.id(), &first(0), NOW).is_err());
    for new in 20..40 {
        let (_, other) = by_guardians(new);
        assert!(contact.check(&twin.id(), &other(1), NOW + DAY).is_err());
        assert!(contact.waiting.len() <= MAX_WAITING);
    }
    contact.check(&twin.id(), &first(3), NOW + 3 * DAY).unwrap();
}
