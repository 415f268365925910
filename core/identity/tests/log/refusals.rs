//! Each rule of the log, broken.

use twin_identity::cbor::{self, CborError};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, MAX_ENTRY_LEN, MAX_PREVS, Rotate};
use twin_identity::id::EntryId;
use twin_identity::log::{IdentityLog, LogError, MAX_DEVICES, MAX_ENTRIES_PER_SIGNER};
use twin_identity::sign::SignatureError;

use crate::common::{ADD_DEVICE, ROTATE, RawEntry, Twin, device, twin};

const SIGNATURE: LogError = LogError::Signature(SignatureError);

fn insert(log: &mut IdentityLog, bytes: &[u8]) -> Result<bool, LogError> {
    let (digest, devices) = (log.digest(), log.devices().clone());
    let result = log.insert(Entry::from_bytes(bytes)?);
    if result.is_err() {
        assert_eq!((log.digest(), log.devices()), (digest, &devices));
    }
    result
}

#[test]
fn a_log_is_verified_whole_and_every_bit_counts() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    let bytes = twin.log.to_bytes();
    let read = IdentityLog::from_bytes(&twin.id(), &bytes).unwrap();
    assert_eq!(read.digest(), twin.log.digest());
    assert_eq!(read.devices(), twin.log.devices());
    for index in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << (index % 8);
        assert!(
            IdentityLog::from_bytes(&twin.id(), &flipped).is_err(),
            "byte {index}"
        );
    }
    for end in (0..bytes.len()).step_by(97) {
        assert!(IdentityLog::from_bytes(&twin.id(), &bytes[..end]).is_err());
    }
}

#[test]
fn a_log_belongs_to_the_twin_that_is_expected() {
    let (ours, other) = (twin(1), twin(2));
    assert_eq!(
        IdentityLog::from_bytes(&ours.id(), &other.log.to_bytes()).err(),
        Some(LogError::OtherTwin)
    );
    let empty = IdentityLog::new(ours.log.genesis().clone());
    assert_eq!(
        IdentityLog::from_bytes(&ours.id(), &empty.to_bytes()).err(),
        Some(LogError::Rule)
    );
    // An entry of another twin names what is not here; signed over again for it, it does not verify.
    let mut log = ours.log.clone();
    let foreign = other.adds(&other.phone, &device(3), Role::Member);
    assert_eq!(log.insert(foreign), Err(LogError::MissingPrev));
    let mut raw = ours.raw(
        ADD_DEVICE,
        cbor::encode(&device(3).statement(&ours.id(), Role::Member)),
    );
    assert_eq!(
        insert(&mut log, &raw.signed(&other.id(), &ours.phone)),
        Err(SIGNATURE)
    );
    raw.signer = Some(other.phone.id());
    assert_eq!(
        insert(&mut log, &raw.signed(&ours.id(), &other.phone)),
        Err(LogError::NotAllowed)
    );
}

#[test]
fn only_an_admin_adds_a_device() {
    let mut twin = twin(1);
    let (member, admin, new) = (device(2), device(3), device(4));
    let before = twin.log.clone();
    twin.add(&member, Role::Member);
    twin.add(&admin, Role::Admin);
    let refused = |signer| {
        let entry = twin.adds(signer, &new, Role::Member);
        twin.log.clone().insert(entry)
    };
    assert_eq!(refused(&member), Err(LogError::NotAllowed));
    assert_eq!(refused(&new), Err(LogError::NotAllowed));
    assert_eq!(refused(&admin), Ok(true));
    // An admin counts from the entry that made it one, not on branches that do not know of it.
    let mut raw = twin.raw(
        ADD_DEVICE,
        cbor::encode(&new.statement(&twin.id(), Role::Member)),
    );
    (raw.prevs, raw.seq) = (before.heads(), before.next_seq());
    raw.signer = Some(admin.id());
    assert_eq!(
        insert(&mut twin.log.clone(), &raw.signed(&twin.id(), &admin)),
        Err(LogError::NotAllowed)
    );
}

#[test]
fn a_forged_entry_is_refused() {
    let twin = twin(1);
    let entry = twin.adds(&twin.phone, &device(2), Role::Member);
    let bytes = entry.to_bytes();
    let mut forged = bytes.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(insert(&mut twin.log.clone(), &forged), Err(SIGNATURE));
    // Signed by another device than the one it names.
    let raw = twin.raw(
        ADD_DEVICE,
        cbor::encode(&device(2).statement(&twin.id(), Role::Admin)),
    );
    let forged = raw.signed(&twin.id(), &device(2));
    assert_eq!(insert(&mut twin.log.clone(), &forged), Err(SIGNATURE));
}

#[test]
fn a_device_must_agree_to_be_in_this_twin() {
    let (ours, other) = (twin(1), twin(2));
    let proof_for_other = device(3).statement(&other.id(), Role::Member);
    let mut with_keys_of_another = device(3).statement(&ours.id(), Role::Member);
    with_keys_of_another.device.sealing = device(4).public().sealing.clone();
    for statement in [proof_for_other, with_keys_of_another] {
        let raw = ours.raw(ADD_DEVICE, cbor::encode(&statement));
        let bytes = raw.signed(&ours.id(), &ours.phone);
        assert_eq!(insert(&mut ours.log.clone(), &bytes), Err(SIGNATURE));
    }
}

#[test]
fn an_entry_stands_in_its_place_only() {
    let mut twin = twin(1);
    let entry_1 = twin.log.heads();
    let genesis = vec![twin.log.genesis().entry_id()];
    let body = cbor::encode(&device(3).statement(&twin.id(), Role::Member));
    let first = twin.adds(&twin.phone, &device(2), Role::Member);
    let raw = twin.raw(ADD_DEVICE, body.clone());
    let place = |prevs: Vec<EntryId>, seq| {
        let raw = RawEntry {
            prevs,
            seq,
            ..raw.clone()
        };
        raw.signed(&twin.id(), &twin.phone)
    };
    let cases = [
        (place(entry_1.clone(), 1), LogError::Rule),
        (place(entry_1.clone(), 3), LogError::Rule),
        (place(vec![first.id], 3), LogError::MissingPrev),
        (place(genesis.clone(), 1), LogError::NotAllowed),
        (place(genesis, 2), LogError::MissingPrev),
        (place(entry_1.clone(), u64::MAX), LogError::Rule),
    ];
    for (bytes, error) in cases {
        assert_eq!(insert(&mut twin.log.clone(), &bytes), Err(error));
    }
    // What came too early is taken when what it builds on is there.
    let early = place(vec![first.id], 3);
    assert_eq!(twin.log.insert(first), Ok(true));
    assert_eq!(insert(&mut twin.log, &early), Ok(true));
    assert_eq!(insert(&mut twin.log, &early), Ok(false));
    assert_eq!(twin.log.devices().len(), 3);
}

#[test]
fn prevs_are_few_sorted_and_named_once() {
    let twin = twin(1);
    let id = |byte| EntryId::from_bytes([byte; 32]);
    let raw = twin.raw(99, vec![0]);
    let many: Vec<_> = (0..=MAX_PREVS as u8).map(id).collect();
    for prevs in [vec![], vec![id(2), id(1)], vec![id(1), id(1)], many] {
        let raw = RawEntry {
            prevs,
            ..raw.clone()
        };
        let read = Entry::from_bytes(&raw.signed(&twin.id(), &twin.phone));
        assert_eq!(read.err(), Some(CborError::Malformed));
    }
}

#[test]
fn an_entry_is_at_most_16_kib() {
    let twin = twin(1);
    let fits = MAX_ENTRY_LEN
        - twin
            .raw(99, vec![0; 9999])
            .signed(&twin.id(), &twin.phone)
            .len();
    let raw = twin.raw(99, vec![0; 9999 + fits]);
    let bytes = raw.signed(&twin.id(), &twin.phone);
    assert_eq!(bytes.len(), MAX_ENTRY_LEN);
    assert_eq!(insert(&mut twin.log.clone(), &bytes), Ok(true));
    let raw = twin.raw(99, vec![0; 10_000 + fits]);
    assert_eq!(
        Entry::from_bytes(&raw.signed(&twin.id(), &twin.phone)).err(),
        Some(CborError::TooLong {
            len: MAX_ENTRY_LEN + 1,
            max: MAX_ENTRY_LEN
        })
    );
}

#[test]
fn an_unknown_entry_of_an_admin_is_kept_and_forwarded() {
    let mut twin = twin(1);
    twin.add(&device(2), Role::Member);
    assert!(!twin.log.needs_update());
    let devices = twin.log.devices().clone();
    for (suite, kind) in [(1, 99), (2, ADD_DEVICE), (2, ROTATE)] {
        let raw = RawEntry {
            suite,
            ..twin.raw(kind, b"of a later version".to_vec())
        };
        let by_member = RawEntry {
            signer: Some(device(2).id()),
            ..raw.clone()
        };
        let by_nobody = RawEntry {
            signer: None,
            ..raw.clone()
        };
        let signed = by_member.signed(&twin.id(), &device(2));
        assert_eq!(insert(&mut twin.log, &signed), Err(LogError::NotAllowed));
        let signed = by_nobody.signed_by_authority(&twin, 1);
        assert_eq!(insert(&mut twin.log, &signed), Err(LogError::NotAllowed));
        let signed = raw.signed(&twin.id(), &twin.phone);
        assert_eq!(insert(&mut twin.log, &signed), Ok(true));
    }
    assert!(twin.log.needs_update());
    assert_eq!(*twin.log.devices(), devices, "nothing is concluded from it");
    twin.add(&device(3), Role::Member);
    let forwarded = IdentityLog::from_bytes(&twin.id(), &twin.log.to_bytes()).unwrap();
    assert!(forwarded.needs_update());
    assert_eq!(forwarded.digest(), twin.log.digest());
}

fn rotation(twin: &Twin, index: u32, devices: &[&DeviceKeys]) -> RawEntry {
    let body = Rotate {
        authority: twin.recovery.authority(index).public(),
        next: twin.recovery.authority(index + 1).public().hash(),
        recovery: twin.recovery.sealing().public().unwrap(),
        generation: 0,
        devices: devices
            .iter()
            .map(|keys| keys.statement(&twin.id(), Role::Admin))
            .collect(),
    };
    RawEntry {
        signer: None,
        ..twin.raw(ROTATE, cbor::encode(&body))
    }
}

#[test]
fn there_is_one_rotation_and_it_is_entry_1() {
    let twin = twin(1);
    let second = rotation(&twin, 1, &[&device(5)]).signed_by_authority(&twin, 1);
    assert_eq!(insert(&mut twin.log.clone(), &second), Err(LogError::Rule));
    let genesis = twin.log.genesis();
    let first = |index, devices: &[&DeviceKeys]| RawEntry {
        prevs: vec![genesis.entry_id()],
        seq: 1,
        ..rotation(&twin, index, devices)
    };
    let other_first = first(0, &[&device(5)]).signed_by_authority(&twin, 0);
    assert_eq!(
        insert(&mut twin.log.clone(), &other_first),
        Err(LogError::Rule)
    );
    let twice = [&device(5), &device(5)];
    let cases = [
        (
            first(1, &[&device(5)]).signed_by_authority(&twin, 1),
            LogError::Rule,
        ),
        (
            first(0, &[&device(5)]).signed_by_authority(&twin, 1),
            SIGNATURE,
        ),
        (first(0, &[]).signed_by_authority(&twin, 0), LogError::Rule),
        (
            first(0, &twice).signed_by_authority(&twin, 0),
            LogError::Rule,
        ),
    ];
    for (bytes, error) in cases {
        let mut log = IdentityLog::new(genesis.clone());
        assert_eq!(insert(&mut log, &bytes), Err(error));
    }
    let mut log = IdentityLog::new(genesis.clone());
    assert_eq!(insert(&mut log, &other_first), Ok(true));
    assert!(log.is_admin(&device(5).id()));
}

#[test]
fn a_device_is_added_once() {
    let mut twin = twin(1);
    let promotion = twin.adds(&twin.phone, &device(2), Role::Admin);
    twin.add(&device(2), Role::Member);
    let again = twin.adds(&twin.phone, &device(2), Role::Admin);
    assert_eq!(twin.log.insert(again), Err(LogError::Rule));
    let phone = twin.adds(&twin.phone, &twin.phone, Role::Member);
    assert_eq!(twin.log.insert(phone), Err(LogError::Rule));
    // Admins who do not know of each other may; the lower id names it.
    let added = twin.log.device(&device(2).id()).unwrap().added;
    assert_eq!(twin.log.insert(promotion.clone()), Ok(true));
    let expected = if promotion.id < added {
        Role::Admin
    } else {
        Role::Member
    };
    assert_eq!(twin.log.device(&device(2).id()).unwrap().role, expected);
}

#[test]
fn devices_and_entries_are_counted() {
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
    assert_eq!(full.log.insert(one_more), Err(LogError::Limit));

    let mut busy = twin(2);
    busy.add(&device(3), Role::Admin);
    for _ in 1..MAX_ENTRIES_PER_SIGNER {
        let bytes = busy.raw(99, vec![0]).signed(&busy.id(), &busy.phone);
        assert_eq!(insert(&mut busy.log, &bytes), Ok(true));
    }
    let bytes = busy.raw(99, vec![0]).signed(&busy.id(), &busy.phone);
    assert_eq!(insert(&mut busy.log, &bytes), Err(LogError::Limit));
    let by_another = busy.adds(&device(3), &device(4), Role::Member);
    assert_eq!(busy.log.insert(by_another), Ok(true));
}

#[test]
fn many_branches_do_not_lock_the_log() {
    let mut twin = twin(1);
    let branches: Vec<_> = (0..2 * MAX_PREVS as u8)
        .map(|number| twin.raw(99, vec![number]).signed(&twin.id(), &twin.phone))
        .collect();
    for bytes in branches {
        assert_eq!(insert(&mut twin.log, &bytes), Ok(true));
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
