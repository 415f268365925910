//! Several vaults of one twin that give each other what they have.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use common::*;
use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::chain::ChainError;
use twin_ops::change::Kind;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::op::{Op, OpError, Origin};
use twin_ops::store::{OpStore, Taken};
use twin_vault::{Vault, VaultError};

/// A phone with a record in the space `home`, and a laptop linked to it that has nothing of it yet.
fn pair() -> (TempDir, Vault, TempDir, Vault) {
    let (a, b) = (tempdir().unwrap(), tempdir().unwrap());
    let mut phone = phone(a.path());
    put(&mut phone, NOON, "notes", "a", &[("x", "1"), ("y", "1")]);
    let laptop = linked(b.path(), &mut phone, 10, Role::Member);
    (a, phone, b, laptop)
}

/// The log of `vault` in the space `home`, and its ops.
fn home_log(vault: &Vault) -> (Origin, Vec<Vec<u8>>) {
    let home = space("home").id(vault.twin());
    let logs = vault.heads().unwrap();
    let origins = logs
        .iter()
        .map(|head| vault.origin(&head.log).unwrap().unwrap());
    let own = |origin: &Origin| origin.space == home && origin.device == vault.device();
    let origin = { origins }.find(own).unwrap();
    let log = origin.log_id(vault.twin());
    (origin, vault.read_run(&log, 0, usize::MAX).unwrap())
}

fn taken(new: usize, early: usize) -> Taken {
    Taken {
        new,
        early,
        ..Taken::default()
    }
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn edits_made_apart_meet() {
    let (_a, mut phone, _b, mut laptop) = pair();
    send(&phone, &mut laptop, NOON);
    assert_eq!(records(&mut laptop, "notes"), records(&mut phone, "notes"));
    patch(&mut phone, NOON + 5, "notes", "a", &[("x", "2")]);
    patch(&mut laptop, NOON + 1, "notes", "a", &[("y", "2")]);
    send(&phone, &mut laptop, NOON + 9);
    send(&laptop, &mut phone, NOON + 9);
    assert_eq!(records(&mut laptop, "notes"), records(&mut phone, "notes"));
    let merged = records(&mut laptop, "notes").remove(0).1;
    assert_eq!(merged, fields(&[("x", "2"), ("y", "2")]));
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    assert_eq!(laptop.grants().unwrap(), phone.grants().unwrap());
}

#[test]
fn a_new_record_that_went_on_comes_whole_in_one_run() {
    let (_a, mut phone, _b, mut laptop) = pair();
    patch(&mut phone, NOON, "notes", "a", &[("y", "2")]);
    put(&mut phone, NOON, "notes", "b", &[("x", "1")]);
    delete(&mut phone, NOON, "notes", "b");
    put(&mut phone, NOON, "notes", "c", &[("x", "1")]);
    patch(&mut phone, NOON, "notes", "c", &[("y", "3")]);
    patch(&mut phone, NOON, "notes", "c", &[("x", "4")]);
    send(&phone, &mut laptop, NOON);
    let there = records(&mut laptop, "notes");
    assert_eq!(there, records(&mut phone, "notes"));
    assert_eq!(there.last().unwrap().1, fields(&[("x", "4"), ("y", "3")]));
    // And comes back as it was: what was deleted is known.
    let home = space("home");
    laptop
        .restore(NOON, &mut rng(5), &home, "notes", "b")
        .unwrap();
    assert_eq!(records(&mut laptop, "notes").len(), 3);
}

/// Several threads read an op of so many parts: the order of its changes is the same.
#[test]
fn a_large_op_says_what_its_writer_meant() {
    let (_a, mut phone, b, mut laptop) = pair();
    let ids = || (0..400).map(|number| format!("{number}"));
    let puts = ids().map(|id| change(Kind::Put, "notes", &id, &[("x", "1"), ("y", &id)]));
    let patches = ids().map(|id| change(Kind::Patch, "notes", &id, &[("x", &id)]));
    commit(&mut phone, NOON, puts.chain(patches).collect());
    send(&phone, &mut laptop, NOON);
    let there = records(&mut laptop, "notes");
    assert_eq!(there.len(), 401);
    for (id, found) in &there {
        let same = found == &fields(&[("x", id), ("y", id)]);
        assert!(same || id == "a", "{id}: {found:?}");
    }
    laptop.settle_index().unwrap();
    let settled = index_rows(b.path());
    laptop.rebuild_index().unwrap();
    assert_eq!(index_rows(b.path()), settled);
}

#[test]
fn a_later_patch_elsewhere_brings_a_deleted_record_back() {
    let (_a, mut phone, _b, mut laptop) = pair();
    send(&phone, &mut laptop, NOON);
    delete(&mut phone, NOON + 5, "notes", "a");
    patch(&mut laptop, NOON + 6, "notes", "a", &[("y", "2")]);
    send(&phone, &mut laptop, NOON + 9);
    send(&laptop, &mut phone, NOON + 9);
    let whole = [("a".to_owned(), fields(&[("x", "1"), ("y", "2")]))];
    assert_eq!(records(&mut phone, "notes"), whole);
    assert_eq!(records(&mut laptop, "notes"), whole);
}

#[test]
fn three_devices_agree_whatever_the_order() {
    for seed in 0..8u64 {
        let dirs: Vec<_> = (0..3).map(|_| tempdir().unwrap()).collect();
        let mut first = phone(dirs[0].path());
        let second = linked(dirs[1].path(), &mut first, 10, Role::Member);
        let third = linked(dirs[2].path(), &mut first, 20, Role::Admin);
        let mut vaults = [first, second, third];
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for step in 0..60 {
            let (who, other) = (roll(3) as usize, roll(3) as usize);
            let now = NOON + roll(1000);
            let id = format!("{}", roll(4));
            let value = format!("{step}");
            let field = ["x", "y", "z"][roll(3) as usize];
            let values = [(field, value.as_str())];
            match roll(8) {
                0 | 1 => put(&mut vaults[who], now, "c", &id, &values),
                2..5 => patch(&mut vaults[who], now, "c", &id, &values),
                5 => delete(&mut vaults[who], now, "c", &id),
                _ if who != other => {
                    let (low, high) = vaults.split_at_mut(who.max(other));
                    let (low, high) = (&mut low[who.min(other)], &mut high[0]);
                    let (from, to) = if who < other {
                        (low, high)
                    } else {
                        (high, low)
                    };
                    send(from, to, now);
                }
                _ => {}
            }
        }
        for _ in 0..3 {
            for vault in &mut vaults {
                vault.tend(NOON + 2000, &mut rng(seed)).unwrap();
            }
            let [first, second, third] = &mut vaults;
            send(first, second, NOON + 2000);
            send(second, third, NOON + 2000);
            send(third, first, NOON + 2000);
        }
        let all: Vec<_> = vaults.iter_mut().map(|vault| records(vault, "c")).collect();
        assert!(all[0] == all[1] && all[1] == all[2], "seed {seed}: {all:?}");
        for (vault, dir) in vaults.iter_mut().zip(&dirs) {
            vault.settle_index().unwrap();
            let rows = index_rows(dir.path());
            vault.rebuild_index().unwrap();
            assert_eq!(index_rows(dir.path()), rows, "seed {seed}");
        }
    }
}

#[test]
fn entries_come_in_any_order_and_forged_ones_not_at_all() {
    let (_a, mut phone, _b, mut laptop) = pair();
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    drop(linked(dirs[0].path(), &mut phone, 20, Role::Member));
    drop(linked(dirs[1].path(), &mut phone, 30, Role::Member));
    let mut entries: Vec<_> = phone.identity().entries().values().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.place.seq));
    let entries: Vec<_> = entries.iter().map(|e| e.to_bytes().to_vec()).collect();
    // The last alone hangs in the air.
    let alone = laptop.add_entries(NOON, &entries[..1]).unwrap();
    assert_eq!(alone, taken(0, 1));
    let mut forged = entries[1].clone();
    *forged.last_mut().unwrap() ^= 1;
    let refused = laptop.add_entries(NOON, &[entries[0].clone(), forged]);
    assert!(matches!(refused, Err(VaultError::Identity(_))));
    assert_eq!(laptop.identity().devices().len(), 2);
    let all = laptop.add_entries(NOON, &entries).unwrap();
    assert_eq!(all, taken(2, 0));
    assert_eq!(laptop.identity().digest(), phone.identity().digest());
}

#[test]
fn ops_wait_for_their_key() {
    let (_a, mut phone, b, mut laptop) = pair();
    let garden = space("garden");
    let flower = vec![change(Kind::Put, "beds", "1", &[("flower", "lily")])];
    phone.commit(NOON, &mut rng(5), &garden, flower).unwrap();
    for head in phone.heads().unwrap() {
        let origin = phone.origin(&head.log).unwrap().unwrap();
        let run = phone.read_run(&head.log, 0, usize::MAX).unwrap();
        laptop.append_run(NOON, &origin, &run).unwrap();
    }
    assert_eq!(laptop.get(&garden, "beds", "1").unwrap(), None);
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    drop(laptop);
    let mut laptop = reopen(b.path()).unwrap();
    send(&phone, &mut laptop, NOON);
    assert!(laptop.get(&garden, "beds", "1").unwrap().is_some());
}

#[test]
fn a_grant_waits_for_the_entries_that_its_maker_knew() {
    let (_a, mut phone, _b, mut laptop) = pair();
    let c = tempdir().unwrap();
    drop(linked(c.path(), &mut phone, 20, Role::Member));
    let grants = phone.grants().unwrap();
    let grant = |id| phone.grant(id).unwrap().unwrap();
    let all: Vec<_> = grants.iter().map(grant).collect();
    // All but the one that the tablet was admitted with.
    assert_eq!(laptop.add_grants(&all).unwrap().early, 1);
    let known = laptop.grants().unwrap();
    assert_eq!(known.len() + 1, grants.len());
    send_identity(&phone, &mut laptop, NOON);
    let missing = grants.iter().find(|id| !known.contains(id)).unwrap();
    let mut forged = grant(missing);
    *forged.last_mut().unwrap() ^= 1;
    let refused = laptop.add_grants(&[forged]);
    assert!(matches!(refused, Err(VaultError::Grant(_))));
    assert_eq!(laptop.grants().unwrap(), known);
    assert_eq!(laptop.add_grants(&all).unwrap(), taken(1, 0));
    assert_eq!(laptop.grants().unwrap(), grants);
}

#[test]
fn the_keys_space_is_for_admins() {
    let (_a, mut phone, _b, mut laptop) = pair();
    let keys = space("~keys");
    let secret = || vec![change(Kind::Put, "roots", "1", &[("root", "x")])];
    phone.commit(NOON, &mut rng(5), &keys, secret()).unwrap();
    send(&phone, &mut laptop, NOON);
    assert_eq!(laptop.get(&keys, "roots", "1").unwrap(), None);
    let refused = laptop.commit(NOON, &mut rng(5), &keys, secret());
    assert!(matches!(refused, Err(VaultError::NoKey)));
    // Nor does the phone listen to a member that writes there.
    put(&mut laptop, NOON, "notes", "b", &[("x", "1")]);
    let (mut origin, run) = home_log(&laptop);
    origin.space = keys.id(phone.twin());
    let refused = phone.append_run(NOON, &origin, &run);
    assert!(matches!(refused, Err(VaultError::NotAllowed)));
    // But another admin has it.
    let c = tempdir().unwrap();
    let mut tablet = linked(c.path(), &mut phone, 20, Role::Admin);
    send(&phone, &mut tablet, NOON);
    assert!(tablet.get(&keys, "roots", "1").unwrap().is_some());
}

#[test]
fn a_stamp_too_far_ahead_waits_for_the_clock() {
    let (_a, mut phone, b, mut laptop) = pair();
    send(&phone, &mut laptop, NOON);
    let later = NOON + 60 * MINUTE;
    patch(&mut phone, later, "notes", "a", &[("x", "from the future")]);
    send(&phone, &mut laptop, NOON);
    let x = |vault: &mut Vault| records(vault, "notes")[0].1.0["x"].clone();
    assert_eq!(x(&mut laptop), "1".into());
    // It is kept and forwarded, and this device's clock has not moved.
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    put(&mut laptop, NOON, "notes", "b", &[("x", "1")]);
    let here = laptop.get(&space("home"), "notes", "b").unwrap().unwrap();
    assert!(here.changed.millis() < NOON + MINUTE);
    laptop.settle_index().unwrap();
    let rows = index_rows(b.path());
    laptop.rebuild_index().unwrap();
    assert_eq!(index_rows(b.path()), rows);
    drop(laptop);
    let mut laptop = reopen(b.path()).unwrap();
    assert!(!laptop.merge_due(later - 11 * MINUTE).unwrap());
    assert_eq!(x(&mut laptop), "1".into());
    let generation = laptop.generation();
    assert!(laptop.merge_due(later - 10 * MINUTE).unwrap());
    assert!(laptop.generation() > generation);
    assert_eq!(x(&mut laptop), "from the future".into());
    assert!(!laptop.merge_due(later).unwrap());
    // Whatever is written now outranks it, although the clock here is still behind.
    patch(&mut laptop, NOON, "notes", "a", &[("x", "now")]);
    assert_eq!(x(&mut laptop), "now".into());
}

#[test]
fn only_a_whole_and_genuine_run_is_taken() {
    let (_a, mut phone, _b, mut laptop) = pair();
    for i in 0..5 {
        put(&mut phone, NOON, "notes", &format!("{i}"), &[("x", "1")]);
    }
    let (origin, run) = home_log(&phone);
    // Something may come first by which a log begins later.
    let early = laptop.append_run(NOON, &origin, &run[1..]).unwrap();
    assert_eq!((early.new, early.early), (0, run.len() - 1));
    let mut holed = run.clone();
    holed.remove(2);
    let broken = laptop.append_run(NOON, &origin, &holed);
    assert!(matches!(broken, Err(VaultError::Chain(ChainError::Broken))));
    let mut other = origin;
    other.incarnation[0] ^= 1;
    let broken = laptop.append_run(NOON, &other, &run);
    assert!(matches!(broken, Err(VaultError::Chain(ChainError::Broken))));
    // The signature of the newest op vouches for all.
    let op = Op::from_bytes(&run[5]).unwrap();
    let (header, parts) = (op.header_bytes().to_vec(), op.parts().to_vec());
    let mut signature = *op.signature();
    signature[3] ^= 1;
    let forged = Op::from_stored(header.clone(), signature, *op.salt(), parts.clone());
    let mut forged_run = run.clone();
    forged_run[5] = forged.unwrap().to_bytes();
    let refused = laptop.append_run(NOON, &origin, &forged_run);
    let is_forged = |result| {
        matches!(
            result,
            Err(VaultError::Chain(ChainError::Op(OpError::Signature(_))))
        )
    };
    assert!(is_forged(refused));
    assert!(
        laptop
            .append_run(NOON, &origin, &[b"junk".to_vec()])
            .is_err()
    );
    assert!(laptop.heads().unwrap().is_empty());
    // In pieces that overlap, it is taken once.
    let mut new = |run: &[Vec<u8>]| laptop.append_run(NOON, &origin, run).unwrap().new;
    assert_eq!(new(&run[..3]), 3);
    assert_eq!(new(&run[1..]), 3);
    assert_eq!(new(&run), 0);
    assert_eq!(home_log(&phone).1.len(), 6);
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
}

#[test]
fn ops_of_an_unknown_device_are_too_early() {
    let (_a, mut phone, _b, mut laptop) = pair();
    let c = tempdir().unwrap();
    let mut tablet = linked(c.path(), &mut phone, 20, Role::Member);
    put(&mut tablet, NOON, "notes", "t", &[("x", "1")]);
    let (origin, run) = home_log(&tablet);
    let early = laptop.append_run(NOON, &origin, &run).unwrap();
    assert_eq!(early, taken(0, 1));
    assert!(laptop.heads().unwrap().is_empty());
}

#[test]
fn runs_come_in_pieces_that_fit() {
    let (_a, mut phone, _b, _laptop) = pair();
    for i in 0..20 {
        put(
            &mut phone,
            NOON,
            "notes",
            &format!("{i}"),
            &[("x", &"y".repeat(1000))],
        );
    }
    let (origin, run) = home_log(&phone);
    let log = origin.log_id(phone.twin());
    assert_eq!(phone.read_run(&log, 0, 0).unwrap(), run[..1]);
    let two = run[3].len() + run[4].len();
    assert_eq!(phone.read_run(&log, 3, two).unwrap(), run[3..5]);
    assert_eq!(phone.read_run(&log, 3, two - 1).unwrap(), run[3..4]);
    assert!(phone.read_run(&log, 21, two).unwrap().is_empty());
    assert!(phone.read_run(&log, u64::MAX, two).unwrap().is_empty());
    let third = Op::from_bytes(&run[2]).unwrap();
    assert_eq!(phone.link_at(&log, 3).unwrap(), Some(third.link()));
    assert_eq!(phone.link_at(&log, 22).unwrap(), None);
}

#[test]
fn two_histories_of_one_device_are_told_from_nonsense() {
    let (a, mut phone, _b, mut laptop) = pair();
    send(&phone, &mut laptop, NOON);
    drop(phone);
    let clone_dir = tempdir().unwrap();
    copy(a.path(), clone_dir.path());
    phone = reopen(a.path()).unwrap();
    let mut clone = reopen(clone_dir.path()).unwrap();
    clone.take_for_original().unwrap();
    put(&mut phone, NOON, "notes", "fork", &[("x", "mine")]);
    put(&mut clone, NOON, "notes", "fork", &[("x", "no, mine")]);
    put(&mut clone, NOON, "notes", "more", &[("x", "1")]);
    send(&phone, &mut laptop, NOON);
    let (origin, run) = home_log(&clone);
    for from in 0..3 {
        let refused = laptop.append_run(NOON, &origin, &run[from..]);
        assert!(matches!(refused, Err(VaultError::Fork)), "from {from}");
    }
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
}

#[test]
fn a_space_made_while_another_device_was_linked_reaches_it_later() {
    let (_a, mut phone, _b, mut laptop) = pair();
    let c = tempdir().unwrap();
    let mut tablet = linked(c.path(), &mut phone, 20, Role::Member);
    let garden = space("garden");
    let flower = vec![change(Kind::Put, "beds", "1", &[("flower", "lily")])];
    laptop.commit(NOON, &mut rng(5), &garden, flower).unwrap();
    send(&laptop, &mut tablet, NOON);
    assert_eq!(tablet.get(&garden, "beds", "1").unwrap(), None);
    // The laptop hears of the tablet and grants it what it has given before.
    assert!(!laptop.tend(NOON, &mut rng(6)).unwrap());
    send(&phone, &mut laptop, NOON);
    assert!(laptop.tend(NOON, &mut rng(6)).unwrap());
    assert!(!laptop.tend(NOON, &mut rng(6)).unwrap());
    send(&laptop, &mut tablet, NOON);
    assert!(tablet.get(&garden, "beds", "1").unwrap().is_some());
    // The phone cannot see what the laptop gave to the tablet alone; it makes sure, once.
    send(&laptop, &mut phone, NOON);
    assert!(phone.tend(NOON, &mut rng(6)).unwrap());
    assert!(!phone.tend(NOON, &mut rng(6)).unwrap());
}

#[test]
fn only_admins_admit() {
    let (_a, phone, _b, mut laptop) = pair();
    let device = twin_identity::device::DeviceKeys::random(&mut rng(40)).unwrap();
    let statement = device.statement(phone.twin(), Role::Member);
    let refused = laptop.admit(&statement, &mut rng(41));
    assert!(matches!(refused, Err(VaultError::NotAdmin)));
    assert_eq!(laptop.identity().devices().len(), 2);
}

/// What the grants that `vault` holds give to it.
fn granted(vault: &Vault) -> Vec<GrantedKey> {
    let grants = vault.grants().unwrap();
    let bytes = grants.iter().map(|id| vault.grant(id).unwrap().unwrap());
    let open = |bytes: Vec<u8>| {
        let grant = Grant::from_bytes(&bytes).unwrap();
        grant.open(vault.identity(), vault.device_keys()).unwrap()
    };
    bytes.flat_map(open).collect()
}

fn grant(vault: &Vault, key: GrantedKey) -> Vec<u8> {
    let (log, keys) = (vault.identity(), vault.device_keys());
    let grant = Grant::new(log, NOON, &[key], &Recipients::All, keys, &mut rng(50));
    grant.unwrap().to_bytes().to_vec()
}

#[test]
fn one_key_granted_for_two_spaces_confuses_nobody() {
    let (_a, mut phone, _b, mut laptop) = pair();
    let home = granted(&phone)
        .into_iter()
        .find(|key| key.space == space("home"));
    let lie = GrantedKey {
        space: space("garden"),
        ..home.unwrap()
    };
    let lie = grant(&phone, lie);
    // Before and after the truth.
    let c = tempdir().unwrap();
    let mut tablet = linked(c.path(), &mut phone, 20, Role::Member);
    phone.add_grants(std::slice::from_ref(&lie)).unwrap();
    tablet.add_grants(std::slice::from_ref(&lie)).unwrap();
    send(&phone, &mut tablet, NOON);
    send(&phone, &mut laptop, NOON);
    let truth = records(&mut phone, "notes");
    assert_eq!(truth.len(), 1);
    assert_eq!(records(&mut tablet, "notes"), truth);
    assert_eq!(records(&mut laptop, "notes"), truth);
}

#[test]
fn a_later_epoch_opens_the_one_before_and_is_written_in() {
    let (a, b) = (tempdir().unwrap(), tempdir().unwrap());
    let mut phone = phone(a.path());
    let mut laptop = linked(b.path(), &mut phone, 10, Role::Member);
    put(&mut phone, NOON, "notes", "a", &[("x", "1")]);
    let first = granted(&phone)
        .into_iter()
        .find(|key| key.space == space("home"))
        .unwrap();
    let second = EpochKey::random(&mut rng(60));
    let later = grant(
        &phone,
        GrantedKey {
            space: space("home"),
            predecessor: Some(second.seal_predecessor(&first.key, &mut rng(61)).unwrap()),
            key: EpochKey::random(&mut rng(60)),
            base: first.base,
            heads: first.heads.clone(),
        },
    );
    // The laptop never gets the first epoch's own grant.
    send_identity(&phone, &mut laptop, NOON);
    laptop.add_grants(std::slice::from_ref(&later)).unwrap();
    let (origin, run) = home_log(&phone);
    laptop.append_run(NOON, &origin, &run).unwrap();
    assert_eq!(records(&mut laptop, "notes"), records(&mut phone, "notes"));
    put(&mut laptop, NOON, "notes", "b", &[("x", "1")]);
    phone.add_grants(&[later]).unwrap();
    put(&mut phone, NOON, "notes", "c", &[("x", "1")]);
    for vault in [&laptop, &phone] {
        let newest = home_log(vault).1.pop().unwrap();
        let op = Op::from_bytes(&newest).unwrap();
        assert_eq!(op.header().epoch, second.id());
    }
}
