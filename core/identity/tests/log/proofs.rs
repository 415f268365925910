//! What contacts and sites check of an identity log.

use minicbor::Encoder;
use minicbor::bytes::ByteVec;
use twin_identity::body::{Body, Rotate};
use twin_identity::cbor::CborError;
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::{MAX_DEVICES, MAX_ROTATIONS};
use twin_identity::proof::{self, Checked, Known, LEEWAY, LIFE, MAX_PROOF_LEN, ProofError};
use twin_identity::sign::{Signature, SignatureError, Use};

use crate::common::{Twin, device, place, removal, twin, words};

const NOW: u64 = 1_000_000_000;

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
            // Not too many, but no rotations either.
            &|parts| parts.rotations = vec![vec![0]; MAX_ROTATIONS],
            CborError::Malformed.into(),
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

#[test]
fn a_rotation_names_the_one_that_it_follows() {
    let (twin, mut parts) = three();
    let path: Vec<_> = twin.log.path().cloned().collect();
    let genesis = twin.log.genesis().entry_id();
    parts.adds.clear();
    parts.head.signer = twin.phone.id();
    for (base, expected) in [(path[0].id, None), (genesis, Some(ProofError::Broken))] {
        let at = place(&twin.log, &[path[0].id], base);
        let rotate = path[1].rotation().unwrap().clone();
        let entry = Entry::by_authority(&twin.id(), at, rotate, &words(1).authority(1)).unwrap();
        parts.rotations[1] = entry.to_bytes().to_vec();
        parts.head.known.rotation = entry.id;
        let proof = parts.bytes(&twin, &twin.phone);
        assert_eq!(check(&twin, &proof, None).err(), expected);
    }
}

#[test]
fn an_admin_stands_as_many_steps_from_a_rotation_as_there_are_devices() {
    let mut twin = twin(1);
    let mut signer = crate::common::twin(1).phone;
    let mut proves = Vec::new();
    // Each brings in the next one and leaves.
    for number in (2u8..).take(MAX_DEVICES + 1) {
        let next = device(number);
        let adds = twin.add_device(&next, Role::Admin);
        twin.says(&signer, &adds).unwrap();
        twin.says(&signer, &Body::Revoke(removal(&signer))).unwrap();
        proves.push(proof::prove(&twin.log, &next, NOW).err());
        signer = next;
    }
    let last = proves.pop();
    assert_eq!(last, Some(Some(ProofError::Broken)));
    assert!(proves.iter().all(Option::is_none));
}

/// That there are guardians lets nobody else in.
#[test]
fn a_rotation_is_by_the_words_or_by_the_guardians() {
    let (mut twin, mut parts) = three();
    let guardians = words(7).authority(0);
    twin.names_guardians(2);
    parts.adds.clear();
    parts.head.signer = device(9).id();
    let waits = |days: u64| ProofError::Waits {
        until: NOW + days * 24 * 60 * 60 * 1000,
    };
    let stranger = words(5).authority(3);
    for (key, error) in [(&guardians, waits(3)), (&stranger, ProofError::Broken)] {
        let rotate = Rotate {
            authority: key.public(),
            devices: vec![device(9).statement(&twin.id(), Role::Admin)],
            ..twin.rotation(3, &words(5))
        };
        let entry = twin.log.rotate(rotate, key).unwrap();
        let path = twin.log.path().map(|entry| entry.to_bytes().to_vec());
        parts.rotations = path.chain([entry.to_bytes().to_vec()]).collect();
        parts.head.known.rotations = 4;
        parts.head.known.rotation = entry.id;
        let proof = parts.bytes(&twin, &device(9));
        assert_eq!(check(&twin, &proof, None).err(), Some(error));
    }
}

#[test]
fn a_proof_has_its_limits() {
    assert_eq!((LIFE, LEEWAY), (86_400_000, 300_000));
    assert_eq!(MAX_PROOF_LEN, 9_446_400);
    let (twin, parts) = three();
    let with = |adds| {
        let mut many = parts.clone();
        many.adds = vec![parts.adds[0].clone(); adds];
        many.adds.push(parts.adds[1].clone());
        check(&twin, &many.bytes(&twin, &device(3)), None).err()
    };
    assert_eq!(with(MAX_DEVICES - 1), None);
    assert_eq!(with(MAX_DEVICES), Some(ProofError::Broken));
}
