//! Each rule of the log, broken.

use twin_identity::cbor::{self, CborError};
use twin_identity::device::Role;
use twin_identity::entry::{Entry, MAX_ENTRY_LEN, MAX_PREVS};
use twin_identity::id::EntryId;
use twin_identity::log::{IdentityLog, LogError};
use twin_identity::sign::SignatureError;

use crate::common::{ADD_DEVICE, RawEntry, device, state, twin};

pub(super) const SIGNATURE: LogError = LogError::Signature(SignatureError);

pub(super) fn insert(log: &mut IdentityLog, bytes: &[u8]) -> Result<bool, LogError> {
    let before = state(log);
    let result = log.insert(Entry::from_bytes(bytes)?);
    if result.is_err() {
        assert_eq!(state(log), before, "what is refused leaves no trace");
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
        // Of another version or suite, the second entry is nothing that could be verified.
        if let Ok(read) = IdentityLog::from_bytes(&twin.id(), &flipped) {
            let (before, after) = bytes.split_at(index);
            assert!(
                before.ends_with(&[0]) || before.ends_with(&[0, 1, 1]),
                "byte {index}"
            );
            assert_eq!(after[0], 1);
            assert!(read.needs_update() && read.devices().len() == 1);
        }
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
    (raw.prevs, raw.seq) = (before.heads(), before.place().seq);
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
        (place(genesis.clone(), 1), LogError::Rule),
        (place(genesis, 2), LogError::Rule),
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
fn an_entry_names_the_rotation_that_it_is_based_on() {
    let mut twin = twin(1);
    let genesis = twin.log.genesis().entry_id();
    let added = twin.add(&device(2), Role::Member);
    let raw = twin.raw(
        ADD_DEVICE,
        cbor::encode(&device(3).statement(&twin.id(), Role::Member)),
    );
    let based = |base| {
        let raw = RawEntry {
            base,
            ..raw.clone()
        };
        raw.signed(&twin.id(), &twin.phone)
    };
    let cases = [
        (based(added), LogError::Rule),
        (based(EntryId::from_bytes([7; 32])), LogError::Rule),
        (based(genesis), LogError::NotAllowed),
    ];
    for (bytes, error) in cases {
        assert_eq!(insert(&mut twin.log.clone(), &bytes), Err(error));
    }
    // A rotation that is here, but not in the entry's past.
    let mut log = twin.log.clone();
    let rotate = twin.rotation(1, &twin.recovery);
    let rotation = log.rotate(rotate, &twin.recovery.authority(1)).unwrap();
    let base = rotation.id;
    assert_eq!(log.insert(rotation), Ok(true));
    assert_eq!(insert(&mut log, &based(base)), Err(LogError::Rule));
}
