//! A device that comes into its twin by a rotation of its own, with the help of one that is in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use std::path::Path;

use common::*;
use twin_identity::authority::AuthorityKey;
use twin_identity::body::Guardians;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::guardian::GuardianSecret;
use twin_identity::log::IdentityLog;
use twin_identity::words::RecoverySecret;
use twin_ops::grant::{Grant, Recipient};
use twin_ops::store::OpStore;
use twin_vault::{Comeback, Rotation, Unlock, Vault, VaultError, rotate_body};
use twins::*;

const DAY: u64 = 24 * 60 * 60 * 1000;
const DELAY: u16 = 3;

/// A new device, the log of its helper with the rotation by which it comes in, and that.
struct Newcomer {
    keys: DeviceKeys,
    log: IdentityLog,
    entry: Entry,
}

/// The new device comes in by `authority`, after what the helper has; the phone of before goes.
fn newcomer(helper: &Vault, authority: &AuthorityKey, change: Rotation, phone: &Vault) -> Newcomer {
    let keys = DeviceKeys::random(&mut rng(900)).unwrap();
    let mut log = log_copy(helper);
    log.remember(helper.identity().seen().clone());
    let change = Rotation {
        gone: [phone.device()].into(),
        new: vec![keys.statement(helper.twin(), Role::Admin)],
        ..change
    };
    let known = helper.known_lines().unwrap();
    let (rotate, later) = rotate_body(&log, authority, change, &known);
    assert!(later.is_empty());
    let entry = log.rotate(rotate, authority).unwrap();
    log.insert(entry.clone()).unwrap();
    log.observe(NOON);
    Newcomer { keys, log, entry }
}

fn make(
    dir: &Path,
    new: &Newcomer,
    helper: &Vault,
    words: &RecoverySecret,
) -> Result<Vault, VaultError> {
    let comeback = Comeback {
        device: &new.keys,
        identity: &new.log,
        grants: &helper.all_grants().unwrap(),
        opens: Some((Recipient::Words, &words.sealing())),
        later: Vec::new(),
        now: NOON,
    };
    let unlock = Unlock::Password("new phone");
    Vault::create_recovered(dir, unlock, comeback, &mut rng(901), |_, _| Ok(()))
}

#[test]
fn words_and_a_companion_bring_everything_back() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    put(&mut phone, NOON, "notes", "second", &[("x", "2")]);
    let roots = write_in(&mut phone, NOON, "~keys");
    meet(&mut [&mut phone, &mut laptop], NOON);
    put(&mut laptop, NOON, "notes", "third", &[("x", "3")]);
    let before = records(&mut laptop, "notes");
    assert_eq!(before.len(), 3);

    let new = newcomer(
        &laptop,
        &words().authority(1),
        rotation(&words(), 2),
        &phone,
    );
    // Nothing is taken from whoever has a log and no rotation that counts.
    let dir = tempfile::tempdir().unwrap();
    let stranger = Newcomer {
        keys: DeviceKeys::random(&mut rng(902)).unwrap(),
        log: new.log.clone(),
        entry: new.entry.clone(),
    };
    let refused = make(dir.path(), &stranger, &laptop, &words()).err();
    assert!(
        matches!(refused, Some(VaultError::NotAllowed)),
        "{refused:?}"
    );
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);

    assert!(laptop.come_in(&new.entry).unwrap());
    let mut back = make(dir.path(), &new, &laptop, &words()).unwrap();
    meet(&mut [&mut back, &mut laptop], NOON);
    for vault in [&mut back, &mut laptop] {
        assert_eq!(records(vault, "notes"), before);
        let log = vault.identity();
        assert!(log.is_admin(&new.keys.id()) && log.device(&phone.device()).is_none());
    }
    // What the companion carried sealed is open to the new phone, and to it alone.
    assert!(back.get(&space("~keys"), "c", "r").unwrap().is_some());
    assert!(laptop.get(&space("~keys"), "c", "r").unwrap().is_none());
    // What is written now is closed to the phone that is gone.
    let now = write_in(&mut back, NOON, "~keys");
    assert_ne!(now, roots);
    assert!(!opens(&back, phone.device_keys()).contains(&now));
    put(&mut phone, NOON, "notes", "late", &[("x", "4")]);
    send(&phone, &mut laptop, NOON);
    assert_eq!(records(&mut laptop, "notes"), before);
}

#[test]
fn a_helper_sends_first_what_those_have_granted_who_take_part() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    write_in(&mut laptop, NOON, "attic");
    meet(&mut [&mut phone, &mut laptop], NOON);
    phone.revoke(&laptop.device(), &mut rng(1)).unwrap();
    let all = phone.all_grants().unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|grant| Grant::from_bytes(grant).unwrap())
        .collect();
    let told = phone.grants().unwrap();
    let (first, rest) = all.split_at(told.len());
    assert!(first.iter().all(|grant| told.contains(&grant.id)));
    assert!(!rest.is_empty());
    assert!(rest.iter().all(|grant| grant.signer() == laptop.device()));
}

/// Guardians with a delay of [`DELAY`] days, named by the phone and known to the laptop.
fn guarded(phone: &mut Vault, laptop: &mut Vault) -> GuardianSecret {
    let secret = GuardianSecret::random(&mut rng(60));
    let mut change = rotation(&words(), 2);
    change.guardians = Some(Guardians {
        authority: secret.authority().public().hash(),
        delay_days: DELAY,
        sealing: None,
    });
    phone
        .rotate(&words().authority(1), change, &mut rng(1))
        .unwrap();
    meet(&mut [phone, laptop], NOON);
    secret
}

#[test]
fn guardians_wait_on_every_device_and_can_be_made_to_wait_once_more() {
    let delay = u64::from(DELAY) * DAY;
    for vetoed in [false, true] {
        let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
        let secret = guarded(&mut phone, &mut laptop);
        let new_words = RecoverySecret::random(&mut rng(61));
        let change = Rotation {
            new_generation: true,
            ..rotation(&new_words, 0)
        };
        let new = newcomer(&laptop, &secret.authority(), change, &phone);
        laptop.merge_due(NOON).unwrap();
        assert!(!laptop.come_in(&new.entry).unwrap(), "it has to wait");
        let dir = tempfile::tempdir().unwrap();
        let mut back = make(dir.path(), &new, &laptop, &new_words).unwrap();
        // The phone hears of it a day later, and counts from there.
        send_identity(&laptop, &mut phone, NOON + DAY);
        assert_eq!(phone.identity().pending()[0].due, NOON + DAY + delay);
        assert_eq!(laptop.identity().pending()[0].due, NOON + delay);
        let mut due = NOON + delay;
        if vetoed {
            let heard = NOON + DAY;
            phone.veto(&new.entry.id).unwrap();
            assert!(phone.veto(&new.entry.id).is_err(), "once");
            for vault in [&mut laptop, &mut back] {
                send_identity(&phone, vault, heard);
            }
            due = heard + delay;
            assert!(laptop.identity().pending()[0].vetoed);
        }
        for vault in [&mut laptop, &mut back] {
            vault.merge_due(due - 1).unwrap();
            assert!(vault.identity().device(&phone.device()).is_some());
            assert!(vault.identity().device(&new.keys.id()).is_none());
            vault.merge_due(due).unwrap();
            assert!(vault.identity().device(&phone.device()).is_none());
            assert!(vault.identity().is_admin(&new.keys.id()));
        }
        // The data comes from the device that is left.
        meet(&mut [&mut back, &mut laptop], due);
        assert_eq!(records(&mut back, "notes").len(), 1);
    }
}

#[test]
fn words_end_what_guardians_have_begun() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    let secret = guarded(&mut phone, &mut laptop);
    let new_words = RecoverySecret::random(&mut rng(61));
    let new = newcomer(
        &laptop,
        &secret.authority(),
        rotation(&new_words, 0),
        &phone,
    );
    laptop.merge_due(NOON).unwrap();
    assert!(!laptop.come_in(&new.entry).unwrap());
    send_identity(&laptop, &mut phone, NOON);
    phone
        .rotate(&words().authority(2), rotation(&words(), 3), &mut rng(2))
        .unwrap();
    meet(&mut [&mut phone, &mut laptop], NOON);
    for vault in [&mut phone, &mut laptop] {
        assert!(vault.identity().pending().is_empty());
        vault.merge_due(NOON + 100 * DAY).unwrap();
        assert!(vault.identity().device(&new.keys.id()).is_none());
        assert!(vault.identity().is_admin(&phone_id(vault)));
    }
}

fn phone_id(vault: &Vault) -> twin_identity::id::DeviceId {
    let log = vault.identity();
    let mut admins = log.devices().keys().filter(|id| log.is_admin(id));
    *admins.next().unwrap()
}
