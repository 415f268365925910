//! A device that was handed nonsense instead of keys is given them by somebody else.

use twin_identity::device::Role;
use twin_ops::store::{OpStore, Want};
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::sync;
use crate::twins::*;

#[test]
fn keys_that_do_not_open_are_asked_for_and_given_once() {
    let (_dirs, mut phone, [mut tablet, mut laptop]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    write_in(&mut phone, NOON, "~keys");
    hand_nonsense(&mut phone, &mut tablet, &mut laptop);
    let read = |vault: &mut Vault| vault.get(&space("work"), "c", "r").unwrap().is_some();
    assert!(read(&mut phone) && !read(&mut tablet));
    // It asks for what it may have, and not for the admins' keys, whose ops it carries unread.
    let events = sync(&mut phone, &mut tablet, NOON + 1);
    assert!(events.iter().all(|all| all.contains(&SyncEvent::InSync)));
    let work = space("work").id(tablet.twin());
    let wants = tablet.wants().unwrap();
    assert!(matches!(wants[..], [Want { space, epoch: Some(_) }] if space == work));
    assert!(!read(&mut tablet));
    let held = phone.grants().unwrap().len();
    assert!(phone.tend(NOON + 1, &mut rng(1)).unwrap());
    sync(&mut phone, &mut tablet, NOON + 2);
    assert!(read(&mut tablet));
    assert_eq!(tablet.wants().unwrap(), []);
    // Once.
    phone.asked(&tablet.device(), &wants);
    assert!(!phone.tend(NOON + 3, &mut rng(2)).unwrap());
    assert_eq!(phone.grants().unwrap().len(), held + 1);
    // Nobody is given what it may not have.
    let keys = space("~keys").id(phone.twin());
    let want = Want {
        space: keys,
        epoch: None,
    };
    phone.asked(&tablet.device(), &[want]);
    assert!(!phone.tend(NOON + 4, &mut rng(3)).unwrap());
}

/// Ops name what their writer had seen of the identity log; what needs another key shows by that it cannot be read.
#[test]
fn a_change_of_who_is_in_that_is_withheld_shows() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    let give_ops = |phone: &Vault, laptop: &mut Vault| {
        let (origin, run) = log_of(phone, phone, "home").unwrap();
        laptop.append_run(NOON + 1, &origin, &run).unwrap();
    };
    assert!(laptop.behind().unwrap().is_empty());
    let dir = tempfile::tempdir().unwrap();
    let tablet = linked(dir.path(), &mut phone, 30, Role::Member);
    put(&mut phone, NOON + 1, "notes", "b", &[("x", "1")]);
    give_ops(&phone, &mut laptop);
    assert_eq!(laptop.behind().unwrap(), [phone.device()].into());
    send(&phone, &mut laptop, NOON + 1);
    assert!(laptop.behind().unwrap().is_empty());
    phone.revoke(&tablet.device(), &mut rng(5)).unwrap();
    put(&mut phone, NOON + 2, "notes", "c", &[("x", "1")]);
    give_ops(&phone, &mut laptop);
    assert_eq!(laptop.behind().unwrap(), [phone.device()].into());
    send(&phone, &mut laptop, NOON + 2);
    assert!(laptop.behind().unwrap().is_empty());
}
