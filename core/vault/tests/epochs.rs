//! Who can read what: epochs begin anew when somebody is out, and those who are out never get their keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use std::collections::BTreeSet;

use common::*;
use twin_identity::body::Guardians;
use twin_identity::device::Role;
use twin_identity::guardian::GuardianSecret;
use twin_identity::id::DeviceId;
use twin_identity::words::RecoverySecret;
use twin_ops::change::Kind;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipient, Recipients};
use twin_ops::store::OpStore;
use twin_vault::{Vault, VaultError};
use twins::*;

/// The spaces of the tests: their own, and the twin's.
const SPACES: [&str; 4] = ["home", "garden", "~members", "~keys"];

#[test]
fn a_removal_begins_an_epoch_in_every_space_in_one_grant() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    let before: Vec<_> = SPACES.map(|name| write_in(&mut phone, NOON, name)).to_vec();
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    let known: BTreeSet<_> = phone.grants().unwrap().into_iter().collect();
    phone.revoke(&laptop.device(), &mut rng(1)).unwrap();
    let new: Vec<Grant> = grants(&phone)
        .into_iter()
        .filter(|grant| !known.contains(&grant.id))
        .collect();
    assert_eq!(new.len(), 1);
    let recipients: BTreeSet<Recipient> = new[0].recipients().collect();
    let devices = [phone.device(), tablet.device()].map(Recipient::Device);
    let expected: BTreeSet<_> = devices.into_iter().chain([Recipient::Words]).collect();
    assert_eq!(recipients, expected);
    assert_eq!(new[0].recipients().count(), 3, "one wrap each");
    let keys = new[0].open(phone.identity(), phone.device_keys()).unwrap();
    assert_eq!(keys.len(), SPACES.len());
    let after: Vec<_> = SPACES
        .map(|name| write_in(&mut phone, NOON + 1, name))
        .to_vec();
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after);
    }
    send(&phone, &mut tablet, NOON + 2);
    assert_eq!(write_in(&mut tablet, NOON + 2, "home"), after[0]);
    assert_eq!(records(&mut tablet, "c").len(), 1);
    // The laptop gets all that there is, and knows no key of it.
    let readable = opens(&tablet, laptop.device_keys());
    assert!(readable.contains(&before[0]));
    assert!(after.iter().all(|epoch| !readable.contains(epoch)));
    assert!(
        after
            .iter()
            .all(|epoch| opens(&phone, phone.device_keys()).contains(epoch))
    );
}

#[test]
fn removals_at_the_same_time_end_in_one_epoch_without_both() {
    let roles = [Role::Admin, Role::Member, Role::Member, Role::Member];
    let (_dirs, mut phone, [mut tablet, mut laptop, watch, other]) = family(roles);
    for name in SPACES {
        write_in(&mut phone, NOON, name);
    }
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    phone.revoke(&watch.device(), &mut rng(1)).unwrap();
    tablet.revoke(&other.device(), &mut rng(2)).unwrap();
    let apart = [&mut phone, &mut tablet].map(|vault| write_in(vault, NOON, "home"));
    assert_ne!(apart[0], apart[1]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    for name in SPACES {
        let epochs = [&mut phone, &mut tablet].map(|vault| write_in(vault, NOON + 1, name));
        assert_eq!(epochs[0], epochs[1], "{name}");
        assert!(!apart.contains(&epochs[0]), "{name}");
        for out in [&watch, &other] {
            let readable = opens(&phone, out.device_keys());
            assert!(!readable.is_empty() && !readable.contains(&epochs[0]));
        }
    }
    assert_eq!(
        write_in(&mut laptop, NOON + 1, "home"),
        write_in(&mut phone, NOON + 2, "home")
    );
    assert!(opens(&phone, laptop.device_keys()).is_superset(&apart.into()));
}

#[test]
fn whoever_is_suspended_gets_nothing_new_until_it_is_resumed() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Admin]);
    let before = write_in(&mut phone, NOON, "home");
    phone.suspend(&laptop.device(), &mut rng(1)).unwrap();
    let meanwhile = write_in(&mut phone, NOON, "home");
    assert_ne!(before, meanwhile);
    assert!(!opens(&phone, laptop.device_keys()).contains(&meanwhile));
    phone.resume(&laptop.device(), &mut rng(2)).unwrap();
    // It may have the key now, and nobody is out any more.
    assert_eq!(write_in(&mut phone, NOON, "home"), meanwhile);
    meet(&mut [&mut phone, &mut laptop], NOON);
    assert!(opens(&phone, laptop.device_keys()).contains(&meanwhile));
    assert_eq!(write_in(&mut laptop, NOON, "home"), meanwhile);
}

/// A suspended admin has grants to give, says that it made them before, and that it knew everything.
#[test]
fn a_back_dated_epoch_is_never_written_in() {
    let (_dirs, mut phone, [mut tablet, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    let old = log_copy(&tablet);
    phone.suspend(&tablet.device(), &mut rng(1)).unwrap();
    meet(&mut [&mut phone, &mut laptop], NOON);
    let heads = [old.heads(), phone.identity().heads(), Vec::new()];
    let names = ["home", "~members", "~keys"];
    let right: Vec<_> = names.map(|name| write_in(&mut phone, NOON, name)).to_vec();
    // Ids are compared, and the lowest wins: so many that one of them would.
    for (index, heads) in heads.iter().cycle().take(30).enumerate() {
        let key = |name: &&str| GrantedKey {
            space: space(name),
            key: EpochKey::random(&mut rng(500 + index as u64)),
            predecessor: None,
            base: old.base(),
            heads: heads.clone(),
        };
        let keys: Vec<_> = names.iter().map(key).collect();
        let by = tablet.device_keys();
        let grant = Grant::new(&old, NOON, &keys, &Recipients::All, by, &mut rng(3)).unwrap();
        let bytes = [grant.to_bytes().to_vec()];
        assert_eq!(phone.add_grants(&bytes).unwrap().new, 1);
        laptop.add_grants(&bytes).unwrap();
    }
    let now: Vec<_> = names.map(|name| write_in(&mut phone, NOON, name)).to_vec();
    assert_eq!(now, right);
    assert_eq!(write_in(&mut laptop, NOON, "home"), right[0]);
}

#[test]
fn members_begin_no_epochs_of_the_twins_own_spaces() {
    let (_dirs, mut phone, [mut laptop, tablet]) = family([Role::Member; 2]);
    phone.revoke(&tablet.device(), &mut rng(1)).unwrap();
    send_identity(&phone, &mut laptop, NOON);
    let write = || vec![change(Kind::Put, "c", "r", &[("x", "1")])];
    let members = space("~members");
    let refused = laptop.commit(NOON, &mut rng(2), &members, write());
    assert!(matches!(refused, Err(VaultError::NoEpoch)));
    assert!(!laptop.tend(NOON, &mut rng(3)).unwrap());
    // In spaces of the person's own it does not have to wait.
    let home = write_in(&mut laptop, NOON, "home");
    assert!(!opens(&laptop, tablet.device_keys()).contains(&home));
    meet(&mut [&mut phone, &mut laptop], NOON);
    laptop.commit(NOON, &mut rng(2), &members, write()).unwrap();
    assert_eq!(
        write_in(&mut laptop, NOON, "home"),
        write_in(&mut phone, NOON, "home")
    );
}

#[test]
fn new_words_open_everything_and_old_ones_nothing_new() {
    let (_dirs, mut phone, [mut laptop, tablet]) = family([Role::Member; 2]);
    // Epochs that only the first words have seen, two of them.
    let mut all = vec![write_in(&mut phone, NOON, "home")];
    phone.revoke(&tablet.device(), &mut rng(1)).unwrap();
    all.extend(SPACES.map(|name| write_in(&mut phone, NOON, name)));
    let old = opens_with(&phone, Recipient::Words, &words().sealing());
    assert!(all.iter().all(|epoch| old.contains(epoch)));
    let wrong = phone.rotate(&words().authority(0), rotation(&words(), 2), &mut rng(2));
    assert!(matches!(wrong, Err(VaultError::WrongAuthority)));
    let new = RecoverySecret::random(&mut rng(50));
    phone
        .rotate(&words().authority(1), rotation(&new, 0), &mut rng(3))
        .unwrap();
    let later = SPACES.map(|name| write_in(&mut phone, NOON, name));
    all.extend(later);
    let opened = opens_with(&phone, Recipient::Words, &new.sealing());
    assert!(all.iter().all(|epoch| opened.contains(epoch)));
    let old = opens_with(&phone, Recipient::Words, &words().sealing());
    assert!(later.iter().all(|epoch| !old.contains(epoch)));
    // What a device began that had not heard of it is given to the new words later.
    let apart = write_in(&mut laptop, NOON, "attic");
    meet(&mut [&mut phone, &mut laptop], NOON);
    let opened = opens_with(&phone, Recipient::Words, &new.sealing());
    assert!(opened.contains(&apart));
    assert!(!phone.tend(NOON, &mut rng(4)).unwrap());
}

#[test]
fn what_only_the_old_words_open_is_learned_and_given_to_the_new_ones() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    // The key of a device that is lost: its grant to the words is all that is left of it.
    let key = || EpochKey::random(&mut rng(40));
    let log = phone.identity();
    let lost = GrantedKey {
        space: space("attic"),
        key: key(),
        predecessor: None,
        base: log.base(),
        heads: log.heads(),
    };
    let rng = &mut rng(41);
    let words_only = &Recipients::Words;
    let grant = Grant::new(log, NOON, &[lost], words_only, laptop.device_keys(), rng).unwrap();
    phone.add_grants(&[grant.to_bytes().to_vec()]).unwrap();
    let only = key().id();
    assert!(!opens(&phone, phone.device_keys()).contains(&only));

    let old = words();
    phone.learn_keys(Recipient::Words, &old.sealing()).unwrap();
    let new = RecoverySecret::random(rng);
    let change = rotation(&new, 0);
    phone.rotate(&old.authority(1), change, rng).unwrap();
    assert!(opens_with(&phone, Recipient::Words, &new.sealing()).contains(&only));
    meet(&mut [&mut phone, &mut laptop], NOON);
    assert!(opens(&phone, laptop.device_keys()).contains(&only));
}

#[test]
fn guardians_hold_the_data_only_if_the_person_wants_it() {
    let (_dirs, mut phone, []) = family([]);
    let secret = GuardianSecret::random(&mut rng(60));
    let guardians = |sealing| {
        let authority = secret.authority().public().hash();
        Some(Guardians {
            authority,
            delay_days: 3,
            sealing,
        })
    };
    let has = |vault: &twin_vault::Vault| {
        let grants = grants(vault);
        let mut recipients = grants.iter().flat_map(Grant::recipients);
        recipients.any(|to| to == Recipient::Guardians)
    };
    let mut change = rotation(&words(), 2);
    change.guardians = guardians(None);
    phone
        .rotate(&words().authority(1), change, &mut rng(1))
        .unwrap();
    let before = write_in(&mut phone, NOON, "home");
    assert!(!has(&phone));
    let mut change = rotation(&words(), 3);
    change.guardians = guardians(Some(secret.sealing().public().unwrap()));
    phone
        .rotate(&words().authority(2), change, &mut rng(2))
        .unwrap();
    let after = write_in(&mut phone, NOON, "home");
    let opened = opens_with(&phone, Recipient::Guardians, &secret.sealing());
    assert!(opened.contains(&before) && opened.contains(&after));
    let mut change = rotation(&words(), 4);
    change.guardians = None;
    phone
        .rotate(&words().authority(3), change, &mut rng(3))
        .unwrap();
    let last = write_in(&mut phone, NOON, "home");
    let opened = opens_with(&phone, Recipient::Guardians, &secret.sealing());
    assert!(!opened.contains(&last));
}

#[test]
fn whoever_writes_gives_the_key_to_those_it_meets() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    // The laptop is away while the phone begins a space and links a tablet, which then writes there.
    let attic = write_in(&mut phone, NOON, "attic");
    let dir = tempfile::tempdir().unwrap();
    let mut tablet = linked(dir.path(), &mut phone, 300, Role::Member);
    assert_eq!(write_in(&mut tablet, NOON + 1, "attic"), attic);
    // The two meet, and the phone is never seen again.
    meet(&mut [&mut laptop, &mut tablet], NOON + 2);
    let shown = laptop.get(&space("attic"), "c", "r").unwrap();
    assert_eq!(shown.unwrap().by, tablet.device());
    // That it has written there is remembered when its vault is opened anew.
    let third = tempfile::tempdir().unwrap();
    linked(third.path(), &mut phone, 400, Role::Member);
    drop(tablet);
    let mut tablet = reopen(dir.path()).unwrap();
    send_identity(&phone, &mut tablet, NOON);
    assert!(tablet.tend(NOON + 3, &mut rng(5)).unwrap());
}

#[test]
fn whoever_is_suspended_gives_no_keys() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    write_in(&mut laptop, NOON, "attic");
    phone.suspend(&laptop.device(), &mut rng(1)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut tablet = linked(dir.path(), &mut phone, 300, Role::Member);
    // The laptop hears that it is suspended, and of a tablet that lacks its key. Nobody could ever take a grant that it
    // made now, nor anything else that came with it.
    send_identity(&phone, &mut laptop, NOON);
    assert!(!laptop.tend(NOON, &mut rng(2)).unwrap());
    phone.resume(&laptop.device(), &mut rng(3)).unwrap();
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON + 1);
    assert!(tablet.get(&space("attic"), "c", "r").unwrap().is_some());
}

#[test]
fn a_promoted_device_gets_what_admins_have() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    let keys = write_in(&mut phone, NOON, "~keys");
    meet(&mut [&mut phone, &mut laptop], NOON);
    assert_eq!(laptop.get(&space("~keys"), "c", "r").unwrap(), None);
    let nobody = DeviceId::from_bytes([9; 32]);
    let refused = phone.promote(&nobody, &mut rng(1));
    assert!(matches!(refused, Err(VaultError::NoSuchDevice)));
    let refused = laptop.promote(&laptop.device(), &mut rng(1));
    assert!(matches!(refused, Err(VaultError::NotAdmin)));
    phone.promote(&laptop.device(), &mut rng(1)).unwrap();
    meet(&mut [&mut phone, &mut laptop], NOON);
    assert!(laptop.get(&space("~keys"), "c", "r").unwrap().is_some());
    assert_eq!(write_in(&mut laptop, NOON, "~keys"), keys);
}

#[test]
fn what_a_device_that_is_out_has_granted_is_granted_anew() {
    let (_dirs, mut phone, [mut tablet, mut laptop]) = family([Role::Member, Role::Member]);
    let work = write_in(&mut laptop, NOON, "work");
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    let signers = |vault: &Vault| -> BTreeSet<_> {
        let grants = grants(vault).into_iter();
        grants.map(|grant| grant.signer()).collect()
    };
    assert!(signers(&phone).contains(&laptop.device()));
    // One more of the laptop's grants, which only the phone has.
    let (log, keys) = (laptop.identity(), laptop.device_keys());
    let more = Grant::new(log, NOON, &[], &Recipients::All, keys, &mut rng(5)).unwrap();
    assert_eq!(
        phone.add_grants(&[more.to_bytes().to_vec()]).unwrap().new,
        1
    );
    phone.revoke(&laptop.device(), &mut rng(6)).unwrap();
    meet(&mut [&mut phone, &mut tablet], NOON);
    // Nothing of it is told of any more, or keeps replicas apart, and its keys are there all the same.
    assert_eq!(phone.grants().unwrap(), tablet.grants().unwrap());
    assert_eq!(signers(&phone), BTreeSet::from([phone.device()]));
    assert!(opens(&phone, tablet.device_keys()).contains(&work));
    let words = words().sealing();
    assert!(opens_with(&phone, Recipient::Words, &words).contains(&work));
    // A device that was suspended comes back with all that it granted.
    phone.suspend(&tablet.device(), &mut rng(7)).unwrap();
    phone.resume(&tablet.device(), &mut rng(8)).unwrap();
    meet(&mut [&mut phone, &mut tablet], NOON);
    assert_eq!(phone.grants().unwrap(), tablet.grants().unwrap());
}

#[test]
fn whoever_has_run_out_of_time_reads_nothing_new() {
    let (_dirs, mut phone, [mut tablet]) = family([Role::Admin]);
    meet(&mut [&mut phone, &mut tablet], NOON);
    let dir = tempfile::tempdir().unwrap();
    let end = NOON + 10 * MINUTE;
    let mut guest = linked_until(dir.path(), &mut phone, 400, Role::Member, Some(end));
    send(&phone, &mut guest, NOON);
    let before = write_in(&mut phone, NOON, "home");
    assert!(opens(&phone, guest.device_keys()).contains(&before));
    assert!(!phone.tend(end - 1, &mut rng(1)).unwrap());
    assert!(phone.tend(end, &mut rng(2)).unwrap());
    for name in ["home", "~members"] {
        let epoch = write_in(&mut phone, end, name);
        assert!(!opens(&phone, guest.device_keys()).contains(&epoch));
        assert!(opens(&phone, tablet.device_keys()).contains(&epoch));
    }
    meet(&mut [&mut phone, &mut tablet], end);
    // One clock that is ahead begins each epoch once, whatever the others then do.
    let soon = end + 60 * MINUTE;
    let dir = tempfile::tempdir().unwrap();
    let other = linked_until(dir.path(), &mut phone, 500, Role::Member, Some(soon));
    meet(&mut [&mut phone, &mut tablet], end);
    assert!(tablet.tend(soon, &mut rng(3)).unwrap());
    let mut quiet = false;
    for round in 0..4 {
        send(&tablet, &mut phone, end + round);
        let gave = phone.tend(end + round, &mut rng(10 + round)).unwrap();
        send(&phone, &mut tablet, end + round);
        let began = tablet.tend(soon + round, &mut rng(20 + round)).unwrap();
        quiet = !gave && !began;
    }
    assert!(quiet, "it comes to an end");
    let epoch = write_in(&mut phone, end + 9, "home");
    assert!(opens(&phone, other.device_keys()).contains(&epoch));
}

/// The epoch of a suspension was begun without it, but it has its key since it was resumed.
#[test]
fn whoever_was_suspended_and_resumed_still_runs_out_of_time() {
    let (_dirs, mut phone, [mut tablet]) = family([Role::Admin]);
    let dir = tempfile::tempdir().unwrap();
    let end = NOON + 10 * MINUTE;
    let mut guest = linked_until(dir.path(), &mut phone, 400, Role::Member, Some(end));
    phone.suspend(&guest.device(), &mut rng(1)).unwrap();
    let epoch = write_in(&mut phone, NOON, "home");
    phone.resume(&guest.device(), &mut rng(2)).unwrap();
    meet(&mut [&mut phone, &mut tablet, &mut guest], NOON);
    assert!(opens(&phone, guest.device_keys()).contains(&epoch));
    assert!(phone.tend(end, &mut rng(3)).unwrap());
    let epoch = write_in(&mut phone, end, "home");
    assert!(!opens(&phone, guest.device_keys()).contains(&epoch));
    assert!(opens(&phone, tablet.device_keys()).contains(&epoch));
    assert!(!phone.tend(end + 1, &mut rng(4)).unwrap());
}
