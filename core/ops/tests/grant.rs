//! Grants: who gets which keys, from whom, in which twin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::OnceLock;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use common::device;
use minicbor::Encoder;
use proptest::prelude::*;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Removal};
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::TwinId;
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::sign::{SignatureError, Use};
use twin_identity::words::RecoverySecret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantError, GrantedKey, MAX_GRANTED_KEYS, Recipient, Recipients};
use twin_ops::space::SpaceName;

/// Some day.
const NOW: u64 = 1_790_000_000_000;

/// A twin with a phone, an admin 2 and members 3 and 4.
struct Twin {
    words: RecoverySecret,
    phone: DeviceKeys,
    log: IdentityLog,
    rng: ChaCha20Rng,
}

fn twin(seed: u8) -> Twin {
    let words = RecoverySecret::from_bytes([seed; 32]);
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let birth = Birth::new(&words, &mut rng).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    let phone = birth.device;
    for (number, role) in [(2, Role::Admin), (3, Role::Member), (4, Role::Member)] {
        let statement = device(number).statement(log.twin(), role);
        let entry = log.sign(&Body::AddDevice(Box::new(statement)), &phone);
        log.insert(entry.unwrap()).unwrap();
    }
    Twin {
        words,
        phone,
        log,
        rng,
    }
}

impl Twin {
    /// Grants a key of `~keys` and one of `notes`, which has had an epoch before.
    fn grant(&mut self, recipients: &Recipients<'_>, signer: &DeviceKeys) -> Grant {
        let (before, now) = (
            EpochKey::random(&mut self.rng),
            EpochKey::random(&mut self.rng),
        );
        let keys = [
            GrantedKey {
                space: SpaceName::keys(),
                key: EpochKey::random(&mut self.rng),
                predecessor: None,
                base: self.log.base(),
                heads: self.log.heads(),
            },
            GrantedKey {
                space: SpaceName::new("notes").unwrap(),
                predecessor: Some(now.seal_predecessor(&before, &mut self.rng).unwrap()),
                key: now,
                base: self.log.base(),
                heads: self.log.heads(),
            },
        ];
        Grant::new(&self.log, NOW, &keys, recipients, signer, &mut self.rng).unwrap()
    }

    fn spaces(&self, grant: &Grant, device: &DeviceKeys) -> Vec<String> {
        names(&grant.open(&self.log, device).unwrap())
    }
}

fn names(keys: &[GrantedKey]) -> Vec<String> {
    keys.iter().map(|key| key.space.to_string()).collect()
}

#[test]
fn members_get_the_members_keys_and_admins_all() {
    let mut twin = twin(1);
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let grant = twin.grant(&Recipients::All, &phone);
    let grant = Grant::from_bytes(grant.to_bytes()).unwrap();
    assert_eq!(grant.verify(&twin.log), Ok(()));
    assert_eq!(twin.spaces(&grant, &phone), ["notes", "~keys"]);
    assert_eq!(twin.spaces(&grant, &device(2)), ["notes", "~keys"]);
    assert_eq!(twin.spaces(&grant, &device(3)), ["notes"]);
    assert_eq!(twin.spaces(&grant, &device(9)), Vec::<String>::new());
    let keys = grant.open(&twin.log, &device(3)).unwrap();
    let before = keys[0].predecessor.as_ref().unwrap();
    assert!(keys[0].key.open_predecessor(before).is_ok());
}

#[test]
fn the_words_open_what_was_granted_to_all() {
    let mut twin = twin(1);
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let grant = twin.grant(&Recipients::All, &phone);
    let keys = grant.open_with(&twin.log, Recipient::Words, &twin.words.sealing());
    assert_eq!(names(&keys.unwrap()), ["notes", "~keys"]);
    let other = RecoverySecret::from_bytes([9; 32]).sealing();
    assert!(
        grant
            .open_with(&twin.log, Recipient::Words, &other)
            .is_err()
    );
    let one = twin.grant(&Recipients::One(&device(3).id()), &phone);
    assert_eq!(
        one.open_with(&twin.log, Recipient::Words, &twin.words.sealing())
            .unwrap(),
        []
    );
    assert_eq!(twin.spaces(&one, &device(4)), Vec::<String>::new());
    assert_eq!(twin.spaces(&one, &device(3)), ["notes"]);
}

#[test]
fn what_a_member_says_about_the_admins_space_counts_for_nothing() {
    let mut twin = twin(1);
    let grant = twin.grant(&Recipients::All, &device(3));
    assert_eq!(grant.verify(&twin.log), Ok(()));
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    assert_eq!(twin.spaces(&grant, &phone), ["notes"]);
    assert_eq!(twin.spaces(&grant, &device(2)), ["notes"]);
}

/// Devices find each other by the key of the members' space: a member could split them by giving another. What it gives
/// opens what is old, but nobody learns from it who has the key, and so nobody writes with it.
#[test]
fn the_key_of_the_members_space_is_used_if_an_admin_gives_it() {
    let mut twin = twin(1);
    let keys = [SpaceName::members(), SpaceName::new("notes").unwrap()].map(|space| GrantedKey {
        space,
        key: EpochKey::random(&mut twin.rng),
        predecessor: None,
        base: twin.log.base(),
        heads: twin.log.heads(),
    });
    for (signer, known) in [(device(2), twin.log.heads()), (device(3), Vec::new())] {
        let rng = &mut twin.rng;
        let grant = Grant::new(&twin.log, NOW, &keys, &Recipients::All, &signer, rng).unwrap();
        for reader in [&device(3), &device(4)] {
            let opened = grant.open(&twin.log, reader).unwrap();
            assert_eq!(names(&opened), ["~members", "notes"]);
            assert_eq!(opened[0].heads, known);
            assert_eq!(opened[1].heads, twin.log.heads());
        }
    }
}

/// A removed device may say that it knew of its removal when it began an epoch; it cannot say so of the grant, because
/// it was not in there any more.
#[test]
fn nobody_begins_an_epoch_knowing_more_than_when_granting_it() {
    let mut twin = twin(1);
    let before = twin.log.clone();
    let removal = Removal {
        device: device(4).id(),
        lines: Vec::new(),
    };
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let entry = twin.log.sign(&Body::Revoke(Box::new(removal)), &phone);
    twin.log.insert(entry.unwrap()).unwrap();
    let granted = |heads| {
        [GrantedKey {
            space: SpaceName::new("notes").unwrap(),
            key: EpochKey::new(Secret::new([7; 32])),
            predecessor: None,
            base: before.base(),
            heads,
        }]
    };
    let rng = &mut twin.rng;
    let keys = granted(twin.log.heads());
    let grant = Grant::new(&before, NOW, &keys, &Recipients::All, &device(4), rng).unwrap();
    // It was a device of the twin once, and may have made the grant then.
    assert_eq!(grant.verify(&twin.log), Ok(()));
    assert!(grant.open(&twin.log, &device(3)).unwrap().is_empty());
    let keys = granted(before.heads());
    let grant = Grant::new(&before, NOW, &keys, &Recipients::All, &device(4), rng).unwrap();
    assert_eq!(grant.open(&twin.log, &device(3)).unwrap().len(), 1);
    assert!(!twin.log.knew_all_removals(&before.base(), &before.heads()));
    // With heads that know of the removal it was no device any more.
    let keys = granted(twin.log.heads());
    let grant = Grant::new(&twin.log, NOW, &keys, &Recipients::All, &device(4), rng).unwrap();
    assert_eq!(grant.verify(&twin.log), Err(GrantError::NotAllowed));
}

#[test]
fn companions_are_not_taken_for_holders_of_the_admins_keys() {
    let mut twin = twin(1);
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let (all, rng) = (Recipients::All, &mut twin.rng);
    let grant = Grant::new(&twin.log, NOW, &[], &all, &phone, rng).unwrap();
    let to = |keys: &DeviceKeys| Recipient::Device(keys.id());
    let (all, some): (Vec<_>, Vec<_>) = (
        grant.recipients().collect(),
        grant.admin_recipients().collect(),
    );
    for admin in [to(&phone), to(&device(2)), Recipient::Words] {
        assert!(all.contains(&admin) && some.contains(&admin));
    }
    for member in [to(&device(3)), to(&device(4))] {
        assert!(all.contains(&member) && !some.contains(&member));
    }
}

#[test]
fn who_is_suspended_or_whose_time_is_over_gets_nothing() {
    let mut twin = twin(1);
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let mut statement = device(5).statement(twin.log.twin(), Role::Member);
    statement.expires = Some(NOW);
    let suspension = Removal {
        device: device(3).id(),
        lines: Vec::new(),
    };
    for body in [
        Body::AddDevice(Box::new(statement)),
        Body::Suspend(Box::new(suspension)),
    ] {
        let entry = twin.log.sign(&body, &phone).unwrap();
        twin.log.insert(entry).unwrap();
    }
    let mut recipients = |now| {
        let rng = &mut twin.rng;
        let grant = Grant::new(&twin.log, now, &[], &Recipients::All, &phone, rng).unwrap();
        grant.recipients().collect::<Vec<_>>()
    };
    let device = |number| Recipient::Device(device(number).id());
    let (before, then) = (recipients(NOW - 1), recipients(NOW));
    assert!(before.contains(&device(5)) && !then.contains(&device(5)));
    for recipients in [before, then] {
        assert!(!recipients.contains(&device(3)));
        assert!(recipients.contains(&device(4)) && recipients.contains(&Recipient::Words));
        assert!(
            !recipients.contains(&Recipient::Guardians),
            "nobody chose them"
        );
    }
}

#[test]
fn a_grant_is_for_somebody() {
    let mut twin = twin(1);
    let rng = &mut twin.rng;
    let nobody = Recipients::One(&device(9).id());
    assert!(Grant::new(&twin.log, NOW, &[], &nobody, &device(2), rng).is_err());
}

#[test]
fn a_grant_comes_from_a_device_of_the_twin_and_is_not_altered() {
    let mut twin = twin(1);
    let grant = twin.grant(&Recipients::All, &device(9));
    assert_eq!(grant.verify(&twin.log), Err(GrantError::NotAllowed));
    let grant = twin.grant(&Recipients::All, &device(3));
    let mut forged = grant.to_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Grant::from_bytes(&forged).unwrap();
    assert_eq!(
        forged.verify(&twin.log),
        Err(GrantError::Signature(SignatureError))
    );
}

#[test]
fn a_grant_means_nothing_in_another_twin() {
    let (mut ours, other) = (twin(1), twin(2));
    // Device 3 is in both twins, as a device that moves from one to the other would be.
    let grant = ours.grant(&Recipients::All, &device(3));
    assert_eq!(grant.verify(&other.log), Err(GrantError::NotAllowed));
    assert!(grant.open(&other.log, &device(3)).is_err());
    // Even if it says to know the other's log; nor does anything come of signing that.
    let moved = moved(&grant, &ours.log, &other.log, ours.log.twin());
    assert_eq!(
        moved.verify(&other.log),
        Err(GrantError::Signature(SignatureError))
    );
    let moved = self::moved(&grant, &ours.log, &other.log, other.log.twin());
    assert_eq!(moved.verify(&other.log), Ok(()));
    assert!(moved.open(&other.log, &device(3)).is_err());
    assert!(moved.open(&other.log, &device(2)).is_err());
}

/// The same unsigned grant, but with the heads of another log, signed by device 3 in a twin.
fn moved(grant: &Grant, from: &IdentityLog, to: &IdentityLog, twin: &TwinId) -> Grant {
    let mut decoder = minicbor::Decoder::new(grant.to_bytes());
    assert_eq!(decoder.array().unwrap(), Some(2));
    let mut unsigned = decoder.bytes().unwrap().to_vec();
    assert_eq!(
        context::GRANT.hash([unsigned.as_slice()]),
        *grant.id.as_bytes()
    );
    assert_eq!((from.heads().len(), to.heads().len()), (1, 1));
    for (from, to) in [(from.heads()[0], to.heads()[0]), (from.base(), to.base())] {
        let found = unsigned
            .windows(32)
            .position(|window| window == from.as_bytes());
        let at = found.unwrap();
        unsigned[at..at + 32].copy_from_slice(to.as_bytes());
    }
    let id = context::GRANT.hash([unsigned.as_slice()]);
    let mut e = Encoder::new(Vec::new());
    e.array(2).unwrap();
    e.bytes(&unsigned).unwrap();
    e.bytes(&device(3).sign(Use::Grant, twin, &id)).unwrap();
    Grant::from_bytes(&e.into_writer()).unwrap()
}

#[test]
fn a_grant_has_its_limits() {
    let mut twin = twin(1);
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let keys = |count: usize, predecessor: usize| -> Vec<GrantedKey> {
        (0..count)
            .map(|number| GrantedKey {
                space: SpaceName::new(&format!("{number:064}")).unwrap(),
                key: EpochKey::random(&mut ChaCha20Rng::seed_from_u64(number as u64)),
                predecessor: Some(vec![0; predecessor]),
                base: twin.log.base(),
                heads: Vec::new(),
            })
            .collect()
    };
    let mut grant = |keys: &[GrantedKey]| {
        Grant::new(
            &twin.log,
            NOW,
            keys,
            &Recipients::All,
            &phone,
            &mut twin.rng,
        )
        .map(|_| ())
    };
    assert_eq!(
        grant(&keys(MAX_GRANTED_KEYS + 1, 0)),
        Err(GrantError::TooLarge)
    );
    assert_eq!(
        grant(&keys(MAX_GRANTED_KEYS, 400)),
        Err(GrantError::TooLarge)
    );
    assert_eq!(grant(&keys(MAX_GRANTED_KEYS, 72)), Ok(()));
}

/// A log, and a grant by its device 3 to itself.
fn sample() -> &'static (IdentityLog, Vec<u8>) {
    static SAMPLE: OnceLock<(IdentityLog, Vec<u8>)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut twin = twin(1);
        let grant = twin.grant(&Recipients::One(&device(3).id()), &device(3));
        (twin.log, grant.to_bytes().to_vec())
    })
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>) {
        if let Ok(grant) = Grant::from_bytes(&bytes) {
            prop_assert_eq!(grant.to_bytes(), bytes);
        }
    }

    #[test]
    fn no_altered_byte_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (log, valid) = sample();
        let mut bytes = valid.clone();
        bytes[at.index(valid.len())] ^= 1 << bit;
        let refused = Grant::from_bytes(&bytes).and_then(|grant| grant.verify(log));
        prop_assert!(refused.is_err());
    }
}
