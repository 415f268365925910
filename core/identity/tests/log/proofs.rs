//! What contacts and sites check of an identity log.

use minicbor::Encoder;
use minicbor::bytes::ByteVec;
use twin_identity::body::{Body, Guardians, Rotate};
use twin_identity::cbor::CborError;
use twin_identity::contact::{Contact, MAX_WAITING};
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::{MAX_DEVICES, MAX_ROTATIONS};
use twin_identity::proof::{self, Checked, Known, LEEWAY, LIFE, ProofError};
use twin_identity::sign::{Signature, SignatureError, Use};

use crate::common::{Twin, device, place, removal, take, twin, words};

const NOW: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// A proof taken apart, to be put together wrongly.
#[derive(Clone)]
struct Parts {
    genesis: Vec<u8>,
    rotations: Vec<Vec<u8>>,
    adds: Vec<Vec<u8>>,
    head: Head,
    signature: Option<Signature>,
}

#[derive(Clone)]
struct Head {
    first: [u8; 3],
    known: Known,
    digest: [u8; 32],
    issued: u64,
    expires: u64,
    signer: DeviceId,
}

impl Head {
    fn bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.map(8).unwrap();
        for (key, value) in (0..).zip(self.first) {
            e.u8(key).unwrap().u8(value).unwrap();
        }
        e.u8(3).unwrap().encode(self.known).unwrap();
        e.u8(4).unwrap().bytes(&self.digest).unwrap();
        e.u8(5).unwrap().u64(self.issued).unwrap();
        e.u8(6).unwrap().u64(self.expires).unwrap();
        e.u8(7).unwrap().bytes(self.signer.as_bytes()).unwrap();
        e.into_writer()
    }
}

impl Parts {
    fn bytes(&self, twin: &Twin, signer: &DeviceKeys) -> Vec<u8> {
        let head = self.head.bytes();
        let id = context::HEAD.hash([head.as_slice()]);
        let signature = self.signature;
        let signature = signature.unwrap_or_else(|| signer.sign(Use::Head, &twin.id(), &id));
        let vecs = |entries: &[Vec<u8>]| -> Vec<ByteVec> {
            entries
                .iter()
                .map(|bytes| ByteVec::from(bytes.clone()))
                .collect()
        };
        let mut e = Encoder::new(Vec::new());
        e.array(5).unwrap().bytes(&self.genesis).unwrap();
        e.encode(vecs(&self.rotations)).unwrap();
        e.encode(vecs(&self.adds)).unwrap();
        e.bytes(&head).unwrap().bytes(&signature).unwrap();
        e.into_writer()
    }
}

/// A twin with two rotations, a laptop 2 that the phone has made an admin, and a tablet 3 that the laptop has.
fn three() -> (Twin, Parts) {
    let mut twin = twin(1);
    twin.rotates(twin.rotation(1, &words(1)), &words(1), 1)
        .unwrap();
    let laptop = twin.add(&device(2), Role::Admin);
    let adds = twin.add_device(&device(3), Role::Admin);
    let tablet = twin.says(&device(2), &adds).unwrap();
    let bytes = |id: EntryId| twin.log.entries()[&id].to_bytes().to_vec();
    let parts = Parts {
        genesis: twin.log.genesis().to_bytes(),
        rotations: twin
            .log
            .path()
            .map(|entry| entry.to_bytes().to_vec())
            .collect(),
        adds: vec![bytes(laptop), bytes(tablet)],
        head: Head {
            first: [1, 1, 1],
            known: Known {
                rotations: 2,
                rotation: twin.log.rotation().unwrap().id,
                height: 4,
            },
            digest: twin.log.digest(),
            issued: NOW,
            expires: NOW + LIFE,
            signer: device(3).id(),
        },
        signature: None,
    };
    (twin, parts)
}

fn check(twin: &Twin, proof: &[u8], known: Option<&Known>) -> Result<Checked, ProofError> {
    proof::check(&twin.id(), proof, known, NOW)
}

#[test]
fn every_admin_proves_where_the_log_stands() {
    let (twin, parts) = three();
    let made = proof::prove(&twin.log, &device(3), NOW).unwrap();
    assert_eq!(made, parts.bytes(&twin, &device(3)));
    let checked = check(&twin, &made, None).unwrap();
    let expected = Checked {
        known: parts.head.known,
        signer: device(3).id(),
        digest: twin.log.digest(),
        expires: NOW + LIFE,
    };
    assert_eq!(checked, expected);
    for signer in [&twin.phone, &device(2)] {
        let made = proof::prove(&twin.log, signer, NOW).unwrap();
        let checked = check(&twin, &made, Some(&expected.known)).unwrap();
        assert_eq!(
            (checked.known, checked.signer),
            (expected.known, signer.id())
        );
    }
}

#[test]
fn only_an_admin_that_is_in_proves() {
    let (mut twin, _) = three();
    let phone = crate::common::twin(1).phone;
    twin.add(&device(4), Role::Member);
    let refused = |twin: &Twin, signer: &DeviceKeys| proof::prove(&twin.log, signer, NOW).err();
    assert_eq!(refused(&twin, &device(4)), Some(ProofError::NotAdmin));
    assert_eq!(refused(&twin, &device(9)), Some(ProofError::NotAdmin));
    twin.says(&phone, &Body::Suspend(removal(&device(3))))
        .unwrap();
    assert_eq!(refused(&twin, &device(3)), Some(ProofError::NotAdmin));
    let empty = twin_identity::log::IdentityLog::new(twin.log.genesis().clone());
    assert_eq!(
        proof::prove(&empty, &phone, NOW).err(),
        Some(ProofError::NotAdmin)
    );
}

#[test]
fn who_made_the_signer_an_admin_may_be_gone() {
    let (mut twin, _) = three();
    let phone = crate::common::twin(1).phone;
    twin.says(&device(2), &Body::Revoke(removal(&device(2))))
        .unwrap();
    let made = proof::prove(&twin.log, &device(3), NOW).unwrap();
    assert_eq!(check(&twin, &made, None).unwrap().signer, device(3).id());
    // Made an admin after it was a member, and named once more for less at the same time.
    twin.add(&device(5), Role::Member);
    let heads = twin.log.heads();
    let promotion = twin.add_device(&device(5), Role::Admin);
    twin.after(&heads, &device(3), &promotion).unwrap();
    let again = twin.add_device(&device(6), Role::Admin);
    let less = twin.add_device(&device(6), Role::Member);
    for (signer, body) in [(&phone, &again), (&device(3), &less), (&device(3), &again)] {
        twin.after(&heads, signer, body).unwrap();
    }
    for number in [5, 6] {
        let made = proof::prove(&twin.log, &device(number), NOW).unwrap();
        assert_eq!(
            check(&twin, &made, None).unwrap().signer,
            device(number).id()
        );
    }
}

#[test]
fn a_proof_holds_for_a_day_and_is_never_older() {
    let (mut twin, parts) = three();
    let made = proof::prove(&twin.log, &twin.phone, NOW).unwrap();
    let at = |now| proof::check(&twin.id(), &made, None, now).err();
    assert_eq!(at(NOW - LEEWAY - 1), Some(ProofError::Expired));
    assert_eq!(at(NOW - LEEWAY), None);
    assert_eq!(at(NOW + LIFE - 1), None);
    assert_eq!(at(NOW + LIFE), Some(ProofError::Expired));
    let lives = |issued, expires| {
        let mut parts = parts.clone();
        (parts.head.issued, parts.head.expires) = (issued, expires);
        check(&twin, &parts.bytes(&twin, &device(3)), None).err()
    };
    assert_eq!(lives(NOW - 5, NOW - 5 + LIFE), None);
    assert_eq!(lives(NOW - 5, NOW - 4 + LIFE), Some(ProofError::Expired));
    assert_eq!(lives(NOW + 6, NOW + 5), Some(ProofError::Expired));
    assert_eq!(lives(NOW - 5, NOW), Some(ProofError::Expired));
    // What was seen before is the least that is accepted.
    let known = parts.head.known;
    let against = |known: Known| check(&twin, &made, Some(&known)).err();
    assert_eq!(against(known), None);
    assert_eq!(against(Known { height: 3, ..known }), None);
    assert_eq!(
        against(Known { height: 5, ..known }),
        Some(ProofError::Older)
    );
    assert_eq!(
        against(Known {
            rotations: 3,
            height: 0,
            ..known
        }),
        Some(ProofError::Older)
    );
    let entry_1 = twin.log.path().next().unwrap().id;
    let before = Known {
        rotations: 1,
        rotation: entry_1,
        height: 99,
    };
    assert_eq!(against(before), None);
    let other = EntryId::from_bytes([1; 32]);
    assert_eq!(
        against(Known {
            rotation: other,
            ..known
        }),
        Some(ProofError::Contradicts)
    );
    assert_eq!(
        against(Known {
            rotation: other,
            ..before
        }),
        Some(ProofError::Contradicts)
    );
    assert_eq!(
        against(Known {
            rotations: 0,
            rotation: other,
            height: 0
        }),
        None
    );
    // As the log grows, so does what is known.
    twin.add(&device(7), Role::Member);
    let phone = crate::common::twin(1).phone;
    let made = proof::prove(&twin.log, &phone, NOW).unwrap();
    let newer = check(&twin, &made, Some(&known)).unwrap().known;
    assert_eq!(newer.height, 5);
    let mut rotate = twin.rotation(2, &words(1));
    rotate.keeps.retain(|kept| kept.device == phone.id());
    twin.rotates(rotate, &words(1), 2).unwrap();
    let made = proof::prove(&twin.log, &phone, NOW).unwrap();
    assert_eq!(
        check(&twin, &made, Some(&newer)).unwrap().known.rotations,
        3
    );
}

#[test]
fn a_proof_holds_together_or_is_refused() {
    let (mut twin, parts) = three();
    let member = {
        let id = twin.add(&device(4), Role::Member);
        twin.log.entries()[&id].to_bytes().to_vec()
    };
    let suspended = {
        let id = twin
            .says(&device(2), &Body::Suspend(removal(&device(4))))
            .unwrap();
        twin.log.entries()[&id].to_bytes().to_vec()
    };
    // An admin named under the rotation before.
    let entry_1 = twin.log.path().next().unwrap().id;
    let at = place(&twin.log, &[entry_1], entry_1);
    let adds = twin.add_device(&device(8), Role::Admin);
    let early = Entry::by_device(&twin.id(), at, &adds, &twin.phone).unwrap();
    let early = early.to_bytes().to_vec();
    let mut forged_add = parts.adds[0].clone();
    *forged_add.last_mut().unwrap() ^= 1;
    let mut forged_rotation = parts.rotations[1].clone();
    *forged_rotation.last_mut().unwrap() ^= 1;
    let other = crate::common::twin(2);
    type Case<'a> = (&'a dyn Fn(&mut Parts), ProofError);
    let cases: &[Case<'_>] = &[
        (&|parts| parts.adds.clear(), ProofError::Broken),
        (&|parts| parts.adds.reverse(), ProofError::Broken),
        (&|parts| drop(parts.adds.remove(0)), ProofError::Broken),
        (&|parts| parts.adds.push(member.clone()), ProofError::Broken),
        (
            &|parts| parts.adds.push(suspended.clone()),
            ProofError::Broken,
        ),
        (&|parts| parts.adds.push(early.clone()), ProofError::Broken),
        (
            &|parts| parts.adds.push(parts.rotations[0].clone()),
            ProofError::Broken,
        ),
        (
            &|parts| parts.adds = vec![parts.adds[0].clone(); MAX_DEVICES + 1],
            ProofError::Broken,
        ),
        (
            &|parts| parts.adds[0] = forged_add.clone(),
            SignatureError.into(),
        ),
        (
            &|parts| parts.adds[0] = vec![0],
            CborError::Malformed.into(),
        ),
        (&|parts| parts.rotations.clear(), ProofError::Broken),
        (&|parts| drop(parts.rotations.remove(0)), ProofError::Broken),
        (&|parts| drop(parts.rotations.pop()), ProofError::Broken),
        (&|parts| parts.rotations.reverse(), ProofError::Broken),
        (
            &|parts| parts.rotations.push(parts.rotations[1].clone()),
            ProofError::Broken,
        ),
        (
            &|parts| parts.rotations.push(parts.adds[0].clone()),
            ProofError::Broken,
        ),
        (
            &|parts| parts.rotations = vec![vec![0]; MAX_ROTATIONS + 1],
            ProofError::Broken,
        ),
        (
            &|parts| parts.rotations[1] = forged_rotation.clone(),
            SignatureError.into(),
        ),
        (&|parts| parts.head.known.rotations = 1, ProofError::Broken),
        (
            &|parts| parts.head.known.rotation = EntryId::from_bytes([1; 32]),
            ProofError::Broken,
        ),
        (
            &|parts| parts.head.signer = device(9).id(),
            ProofError::Broken,
        ),
        (
            &|parts| parts.head.signer = device(2).id(),
            SignatureError.into(),
        ),
        (
            &|parts| parts.signature = Some([0; 64]),
            SignatureError.into(),
        ),
        (
            &|parts| parts.head.first = [2, 1, 1],
            CborError::Malformed.into(),
        ),
        (
            &|parts| parts.head.first = [1, 2, 1],
            CborError::Malformed.into(),
        ),
        (
            &|parts| parts.head.first = [1, 1, 0],
            CborError::Malformed.into(),
        ),
        (
            &|parts| parts.genesis = other.log.genesis().to_bytes(),
            ProofError::OtherTwin,
        ),
    ];
    for (number, (alter, error)) in cases.iter().enumerate() {
        let mut altered = parts.clone();
        alter(&mut altered);
        let proof = altered.bytes(&twin, &device(3));
        assert_eq!(
            check(&twin, &proof, None).err(),
            Some(*error),
            "number {number}"
        );
    }
    let good = parts.bytes(&twin, &device(3));
    assert!(check(&twin, &good, None).is_ok());
    assert_eq!(
        proof::check(&other.id(), &good, None, NOW).err(),
        Some(ProofError::OtherTwin)
    );
    assert!(matches!(
        check(&twin, &good[1..], None),
        Err(ProofError::Format(_))
    ));
    assert!(matches!(
        check(&twin, &[], None),
        Err(ProofError::Format(_))
    ));
    // Somebody else's rotation after ours.
    let stranger = Rotate {
        ..twin.rotation(2, &words(5))
    };
    let stranger = Rotate {
        authority: words(5).authority(2).public(),
        ..stranger
    };
    let entry = twin.log.rotate(stranger, &words(5).authority(2)).unwrap();
    let mut altered = parts.clone();
    altered.rotations.push(entry.to_bytes().to_vec());
    altered.head.known = Known {
        rotations: 3,
        rotation: entry.id,
        height: 9,
    };
    assert_eq!(
        check(&twin, &altered.bytes(&twin, &device(3)), None).err(),
        Some(ProofError::Broken)
    );
    let _ = Genesis::from_bytes(&parts.genesis).unwrap();
}

/// A twin whose third rotation is by guardians, who had to wait three days; and a proof of it by the device that they
/// brought in, made on this day after.
fn by_guardians(new: u8) -> (Twin, impl Fn(u64) -> Vec<u8>) {
    let mut twin = twin(1);
    let rotate = Rotate {
        guardians: Some(Guardians {
            authority: words(7).authority(0).public().hash(),
            delay_days: 3,
            sealing: None,
        }),
        ..twin.rotation(1, &words(1))
    };
    twin.rotates(rotate, &words(1), 1).unwrap();
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
        check(&twin, &made(0), None),
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
