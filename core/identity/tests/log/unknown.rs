//! Entries of later versions: kept and passed on, and nothing is concluded from them.

use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::log::{IdentityLog, LogError, MAX_UNVERIFIED};

use crate::common::{ADD_DEVICE, ROTATE, RawEntry, device, state, take, twin};

#[test]
fn an_unknown_type_is_kept_if_an_admin_has_signed_it() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    assert!(!twin.log.needs_update());
    let devices = twin.log.devices().clone();
    let raw = twin.raw(99, b"of a later version".to_vec());
    for (signer, error) in [
        (device(2), LogError::NotAllowed),
        (device(9), LogError::NotAllowed),
    ] {
        let raw = RawEntry {
            signer: Some(signer.id()),
            ..raw.clone()
        };
        let entry = Entry::from_bytes(&raw.signed(&twin.id(), &signer)).unwrap();
        assert_eq!(take(&mut twin.log, entry), Err(error));
    }
    let forged = Entry::from_bytes(&raw.signed(&twin.id(), &device(2))).unwrap();
    assert!(matches!(
        take(&mut twin.log, forged),
        Err(LogError::Signature(_))
    ));
    let before = twin.log.digest();
    let entry = Entry::from_bytes(&raw.signed(&twin.id(), &twin.phone)).unwrap();
    let id = take(&mut twin.log, entry).unwrap();
    assert!(twin.log.needs_update());
    assert_eq!(*twin.log.devices(), devices, "nothing is concluded from it");
    assert_ne!(twin.log.digest(), before, "but it counts as an entry");
    assert_eq!(twin.log.heads(), [id]);
    twin.add(&device(3), Role::Member);
    let forwarded = IdentityLog::from_bytes(&twin.id(), &twin.log.to_bytes()).unwrap();
    assert!(forwarded.needs_update());
    assert_eq!(state(&forwarded), state(&twin.log));
}

#[test]
fn an_unknown_suite_is_kept_but_neither_counted_nor_built_on() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    let before = (twin.log.digest(), twin.log.place(), twin.log.height());
    let raw = |version, suite, kind, number: u8| {
        let raw = RawEntry {
            version,
            suite,
            // Nobody can say who signed it.
            signer: number.is_multiple_of(2).then(|| device(number).id()),
            ..twin.raw(kind, vec![number])
        };
        Entry::from_bytes(&raw.with_signature(&[number; 3])).unwrap()
    };
    let kinds = [(1, 2, ADD_DEVICE), (2, 1, ROTATE), (2, 2, 99)];
    let junk: Vec<Entry> = (0..=MAX_UNVERIFIED)
        .map(|number| {
            let (version, suite, kind) = kinds[number % 3];
            raw(version, suite, kind, u8::try_from(number).unwrap())
        })
        .collect();
    for entry in &junk[..MAX_UNVERIFIED] {
        assert!(!entry.known_suite && entry.rotation().is_none());
        take(&mut twin.log, entry.clone()).unwrap();
    }
    assert_eq!(
        take(&mut twin.log, junk[MAX_UNVERIFIED].clone()),
        Err(LogError::Limit)
    );
    assert_eq!(twin.log.insert(junk[0].clone()), Ok(false));
    assert!(twin.log.needs_update());
    let after = (twin.log.digest(), twin.log.place(), twin.log.height());
    assert_eq!(after, before);
    let forwarded = IdentityLog::from_bytes(&twin.id(), &twin.log.to_bytes()).unwrap();
    assert_eq!(state(&forwarded), state(&twin.log));
    // The log goes on, but builds on none of them: not every replica has it.
    twin.add(&device(3), Role::Member);
    let phone = crate::common::twin(1).phone;
    let body = twin.add_device(&device(4), Role::Member);
    let refused = twin.after(&[junk[1].id], &phone, &body);
    assert_eq!(refused, Err(LogError::Rule));
    assert!(twin.has(&device(3)) && !twin.has(&device(4)));
    assert_eq!(twin.log.heads().len(), 1);
    // It is still held to its place.
    let mut far = twin.raw(ADD_DEVICE, vec![1]);
    (far.suite, far.seq) = (2, far.seq + 1);
    let mut twin = crate::common::twin(1);
    let far = Entry::from_bytes(&far.with_signature(&[])).unwrap();
    assert_eq!(take(&mut twin.log, far), Err(LogError::MissingPrev));
    let mut far = twin.raw(ADD_DEVICE, vec![1]);
    (far.suite, far.seq) = (2, far.seq + 1);
    let far = Entry::from_bytes(&far.with_signature(&[])).unwrap();
    assert_eq!(take(&mut twin.log, far), Err(LogError::Rule));
}
