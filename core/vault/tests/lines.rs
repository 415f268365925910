//! What counts of a device that is out: its ops up to the line that was drawn, and nothing beyond.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/twins.rs"]
mod twins;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chacha20_rng::ChaCha20Rng;
use common::*;
use rand_core::{Infallible, Rng, TryCryptoRng, TryRng};
use twin_identity::body::{Body, Line, Removal};
use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::op::{Op, Origin};
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_vault::{Vault, VaultError, WriteChange};
use twins::*;

/// A phone and a tablet that hold two ops of a laptop's in `home`. The laptop has written two more, which only the
/// tablet holds.
struct Scene {
    _dirs: Vec<tempfile::TempDir>,
    phone: Vault,
    tablet: Vault,
    laptop: Vault,
    origin: Origin,
    run: Vec<Vec<u8>>,
}

fn scene() -> Scene {
    let (dirs, mut phone, [mut tablet, mut laptop]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    for id in ["1", "2"] {
        put(&mut laptop, NOON, "notes", id, &[("x", id)]);
    }
    meet(&mut [&mut phone, &mut tablet, &mut laptop], NOON);
    for id in ["3", "4"] {
        put(&mut laptop, NOON, "notes", id, &[("x", id)]);
    }
    send(&laptop, &mut tablet, NOON);
    let (origin, run) = log_of(&laptop, &laptop, "home").unwrap();
    assert_eq!(run.len(), 4);
    Scene {
        _dirs: dirs,
        phone,
        tablet,
        laptop,
        origin,
        run,
    }
}

/// How many ops there are of the laptop's log, whatever counts.
fn held(scene: &Scene, vault: &Vault) -> u64 {
    let log = scene.origin.log_id(vault.twin());
    let here = |seq: &u64| vault.link_at(&log, *seq).unwrap().is_some();
    (1..=10).take_while(here).count() as u64
}

fn line(op: &[u8], log: [u8; 32]) -> Line {
    let op = Op::from_bytes(op).unwrap();
    Line {
        log,
        height: op.header().seq,
        head: *op.link().as_bytes(),
    }
}

/// What holds once the phone has drawn the line at two.
fn check_set_aside(scene: &mut Scene) {
    // The tablet had merged all four before it heard of it.
    assert_eq!(ids(&mut scene.tablet).len(), 4);
    send_identity(&scene.phone, &mut scene.tablet, NOON);
    for vault in [&mut scene.tablet, &mut scene.phone] {
        assert_eq!(ids(vault), ["1", "2"]);
        assert!(vault.get(&space("home"), "notes", "3").unwrap().is_none());
        assert_eq!(
            log_of(vault, &scene.laptop, "home").unwrap().1,
            scene.run[..2]
        );
    }
    assert_eq!(held(scene, &scene.tablet), 4, "set aside, not thrown away");
    // The phone has never had more than two, and takes no more.
    let refused = scene
        .phone
        .append_run(NOON, &scene.origin, &scene.run)
        .unwrap();
    assert_eq!((refused.new, refused.refused), (0, 2));
    assert_eq!(held(scene, &scene.phone), 2);
    meet(&mut [&mut scene.phone, &mut scene.tablet], NOON);
    assert_eq!(scene.phone.heads().unwrap(), scene.tablet.heads().unwrap());
    assert_eq!(
        scene.phone.identity().digest(),
        scene.tablet.identity().digest()
    );
    assert_eq!(
        scene.phone.grants().unwrap(),
        scene.tablet.grants().unwrap()
    );
    // Nor does the index come to them when it is made anew.
    scene.tablet.rebuild_index().unwrap();
    assert_eq!(ids(&mut scene.tablet), ["1", "2"]);
    // Who is linked later gets what counts.
    let dir = tempfile::tempdir().unwrap();
    let mut watch = linked(dir.path(), &mut scene.tablet, 400, Role::Member);
    send(&scene.tablet, &mut watch, NOON);
    assert_eq!(ids(&mut watch), ["1", "2"]);
    assert_eq!(held(scene, &watch), 2);
}

/// The laptop hears that it is out.
fn refusal(scene: &mut Scene) -> VaultError {
    send_identity(&scene.phone, &mut scene.laptop, NOON);
    let changes = vec![change(Kind::Put, "notes", "5", &[("x", "5")])];
    let refused = scene
        .laptop
        .commit(NOON, &mut rng(9), &space("home"), changes);
    refused.err().unwrap()
}

#[test]
fn what_a_removed_device_wrote_counts_up_to_its_line() {
    let mut scene = scene();
    let laptop = scene.laptop.device();
    let refused = scene.laptop.revoke(&scene.tablet.device(), &mut rng(1));
    assert!(matches!(refused, Err(VaultError::NotAdmin)));
    scene.phone.revoke(&laptop, &mut rng(1)).unwrap();
    check_set_aside(&mut scene);
    assert!(matches!(refusal(&mut scene), VaultError::Removed));
    // The line can be raised, to an op that is there and to one that is not.
    let log = *scene.origin.log_id(scene.phone.twin()).as_bytes();
    for height in [3, 4] {
        let raise = Removal {
            device: laptop,
            lines: vec![line(&scene.run[height - 1], log)],
        };
        say(&mut scene.phone, &Body::Raise(Box::new(raise)));
        send_identity(&scene.phone, &mut scene.tablet, NOON);
        assert_eq!(ids(&mut scene.tablet).len(), height);
        send(&scene.tablet, &mut scene.phone, NOON);
        assert_eq!(ids(&mut scene.phone).len(), height);
    }
    // Never lowered.
    let lower = Removal {
        device: laptop,
        lines: vec![line(&scene.run[0], log)],
    };
    say(&mut scene.phone, &Body::Raise(Box::new(lower)));
    assert_eq!(ids(&mut scene.phone).len(), 4);
}

#[test]
fn what_was_set_aside_counts_once_an_admin_says_so() {
    let mut scene = scene();
    let laptop = scene.laptop.device();
    scene.phone.revoke(&laptop, &mut rng(1)).unwrap();
    check_set_aside(&mut scene);
    let aside = |vault: &mut Vault| vault.set_aside().unwrap().remove(&laptop);
    assert_eq!(aside(&mut scene.phone), None, "it never had them");
    assert_eq!(aside(&mut scene.tablet), Some(2));
    assert_eq!(scene.phone.accept_aside(&laptop).unwrap(), 0);
    assert_eq!(ids(&mut scene.phone).len(), 2);
    assert_eq!(scene.tablet.accept_aside(&laptop).unwrap(), 2);
    assert_eq!(aside(&mut scene.tablet), None);
    meet(&mut [&mut scene.phone, &mut scene.tablet], NOON);
    for vault in [&mut scene.phone, &mut scene.tablet] {
        assert_eq!(ids(vault), ["1", "2", "3", "4"]);
    }
    // What it writes from now on does not.
    assert!(matches!(refusal(&mut scene), VaultError::Removed));
    let companion = scene.phone.device();
    assert_eq!(
        scene.tablet.accept_aside(&companion).unwrap(),
        0,
        "nothing to raise"
    );
}

#[test]
fn what_a_suspended_device_wrote_waits_until_it_is_resumed() {
    let mut scene = scene();
    let laptop = scene.laptop.device();
    scene.phone.suspend(&laptop, &mut rng(1)).unwrap();
    check_set_aside(&mut scene);
    assert!(matches!(refusal(&mut scene), VaultError::Suspended));
    scene.phone.resume(&laptop, &mut rng(2)).unwrap();
    let Scene {
        phone,
        tablet,
        laptop,
        ..
    } = &mut scene;
    meet(&mut [phone, tablet, laptop], NOON);
    for vault in [&mut scene.phone, &mut scene.tablet, &mut scene.laptop] {
        assert_eq!(ids(vault), ["1", "2", "3", "4"]);
    }
    put(&mut scene.laptop, NOON, "notes", "5", &[("x", "5")]);
    send(&scene.laptop, &mut scene.phone, NOON);
    assert_eq!(ids(&mut scene.phone).len(), 5);
}

#[test]
fn a_rotation_draws_lines_too() {
    let mut scene = scene();
    let mut change = rotation(&words(), 2);
    change.gone = BTreeSet::from([scene.laptop.device()]);
    let key = words().authority(1);
    scene.phone.rotate(&key, change, &mut rng(1)).unwrap();
    check_set_aside(&mut scene);
    assert!(matches!(refusal(&mut scene), VaultError::Removed));
}

/// Two companions become the phone by the same words, apart from each other; one of them settles it.
#[test]
fn what_the_loser_of_a_contest_wrote_to_the_admins_stays_with_it_until_it_is_one() {
    let (dirs, phone, [mut one, mut two]) = family([Role::Member; 2]);
    let keys = SpaceName::keys();
    for (vault, id) in [(&mut one, "of one"), (&mut two, "of two")] {
        let mut change = rotation(&words(), 2);
        change.gone = BTreeSet::from([phone.device()]);
        change.promoted = BTreeSet::from([vault.device()]);
        vault
            .rotate(&words().authority(1), change, &mut rng(1))
            .unwrap();
        let changes = vec![WriteChange::put("c", id, fields(&[("x", "1")]))];
        vault.commit(NOON, &mut rng(2), &keys, changes).unwrap();
    }
    // Each has seen its own first.
    send_identity(&one, &mut two, NOON + MINUTE);
    send_identity(&two, &mut one, NOON + MINUTE);
    assert!(one.identity().is_contested() && two.identity().is_contested());
    let settled = rotation(&words(), 3);
    one.rotate(&words().authority(2), settled, &mut rng(3))
        .unwrap();
    meet(&mut [&mut one, &mut two], NOON + MINUTE);
    drop(two);
    let mut two = reopen(dirs[2].path()).unwrap();
    assert!(!one.identity().is_contested() && !two.identity().is_contested());
    assert!(one.identity().is_admin(&one.device()) && !two.identity().is_admin(&two.device()));
    assert_eq!(one.heads().unwrap(), two.heads().unwrap(), "they agree");
    assert!(one.get(&keys, "c", "of one").unwrap().is_some());
    assert_eq!(one.get(&keys, "c", "of two").unwrap(), None);
    assert_eq!(two.get(&keys, "c", "of two").unwrap(), None);

    one.promote(&two.device(), &mut rng(4)).unwrap();
    meet(&mut [&mut one, &mut two], NOON + MINUTE);
    assert_eq!(one.heads().unwrap(), two.heads().unwrap());
    for vault in [&mut one, &mut two] {
        assert!(vault.get(&keys, "c", "of one").unwrap().is_some());
        assert!(vault.get(&keys, "c", "of two").unwrap().is_some());
    }
}

#[test]
fn a_device_that_removes_itself_takes_nothing_along() {
    let mut scene = scene();
    scene
        .laptop
        .revoke(&scene.laptop.device(), &mut rng(1))
        .unwrap();
    send(&scene.laptop, &mut scene.phone, NOON);
    assert_eq!(ids(&mut scene.phone), ["1", "2", "3", "4"]);
    let changes = vec![change(Kind::Put, "notes", "5", &[("x", "5")])];
    let refused = scene
        .laptop
        .commit(NOON, &mut rng(9), &space("home"), changes);
    assert!(matches!(refused, Err(VaultError::Removed)));
    // Its key is out of use as soon as an admin has heard of it.
    assert!(scene.phone.tend(NOON, &mut rng(2)).unwrap());
    let epoch = write_in(&mut scene.phone, NOON, "home");
    assert!(!opens(&scene.phone, scene.laptop.device_keys()).contains(&epoch));
    let last = scene.tablet.device();
    scene.phone.suspend(&last, &mut rng(3)).unwrap();
    let refused = scene.phone.revoke(&scene.phone.device(), &mut rng(4));
    assert!(
        matches!(refused, Err(VaultError::NotAdmin)),
        "the last admin"
    );
}

#[test]
fn another_history_than_the_line_names_counts_for_nothing() {
    let mut scene = scene();
    let log = *scene.origin.log_id(scene.phone.twin()).as_bytes();
    let mut other = line(&scene.run[1], log);
    other.head[0] ^= 1;
    let removal = Removal {
        device: scene.laptop.device(),
        lines: vec![other],
    };
    say(&mut scene.phone, &Body::Revoke(Box::new(removal)));
    send_identity(&scene.phone, &mut scene.tablet, NOON);
    for vault in [&mut scene.phone, &mut scene.tablet] {
        assert!(ids(vault).is_empty());
        assert_eq!(log_of(vault, &scene.laptop, "home"), None);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut watch = linked(dir.path(), &mut scene.phone, 400, Role::Member);
    let refused = watch.append_run(NOON, &scene.origin, &scene.run);
    assert!(matches!(refused, Err(VaultError::Fork)));
    assert!(ids(&mut watch).is_empty());
}

/// A device that came in by a suspended one was never in; but somebody who did not know has removed it with a line.
#[test]
fn the_line_of_a_device_that_was_never_in_counts() {
    let (_dirs, mut phone, [mut tablet, mut other]) = family([Role::Admin, Role::Admin]);
    meet(&mut [&mut phone, &mut tablet, &mut other], NOON);
    let dir = tempfile::tempdir().unwrap();
    let mut watch = linked(dir.path(), &mut tablet, 400, Role::Member);
    send(&tablet, &mut watch, NOON);
    put(&mut watch, NOON, "notes", "1", &[("x", "1")]);
    meet(&mut [&mut tablet, &mut other, &mut watch], NOON);
    phone.suspend(&tablet.device(), &mut rng(1)).unwrap();
    other.revoke(&watch.device(), &mut rng(2)).unwrap();
    meet(&mut [&mut phone, &mut other], NOON);
    assert_eq!(phone.identity().role_once(&watch.device()), None);
    assert_eq!(ids(&mut other), ["1"]);
    assert_eq!(ids(&mut phone), ["1"]);
    assert_eq!(phone.heads().unwrap(), other.heads().unwrap());
}

#[test]
fn more_logs_than_one_entry_has_room_for() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    for number in 0..200 {
        write_in(&mut laptop, NOON, &format!("space {number}"));
    }
    meet(&mut [&mut phone, &mut laptop], NOON);
    let heads = phone.heads().unwrap();
    assert!(heads.len() >= 200);
    let entries = phone.identity().entries().len();
    phone.revoke(&laptop.device(), &mut rng(1)).unwrap();
    assert_eq!(phone.identity().entries().len(), entries + 2);
    assert_eq!(phone.heads().unwrap(), heads, "all of it counts");
    let dir = tempfile::tempdir().unwrap();
    let mut watch = linked(dir.path(), &mut phone, 400, Role::Member);
    send(&phone, &mut watch, NOON);
    assert_eq!(watch.heads().unwrap(), heads);
}

/// Chance that ends the process when it was asked often enough.
struct Crash {
    rng: ChaCha20Rng,
    left: u32,
}

impl Crash {
    fn draw(&mut self) -> &mut ChaCha20Rng {
        assert!(self.left > 0, "the process dies");
        self.left -= 1;
        &mut self.rng
    }
}

impl TryRng for Crash {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draw().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.draw().fill_bytes(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Crash {}

/// Wherever the process dies while a device is removed, words are replaced or a device is made an admin: all of it has
/// happened, or nothing.
#[test]
fn a_change_of_who_is_in_happens_whole_or_not_at_all() {
    let deeds: [fn(&mut Vault, &twin_identity::id::DeviceId, &mut Crash) -> _; 3] = [
        |phone, laptop, rng| phone.revoke(laptop, rng),
        |phone, laptop, rng| phone.promote(laptop, rng),
        |phone, laptop, rng| {
            let mut change = rotation(&words(), 2);
            change.gone = BTreeSet::from([*laptop]);
            phone.rotate(&words().authority(1), change, rng)
        },
    ];
    for deed in deeds {
        let (dirs, mut phone, [laptop]) = family([Role::Member]);
        write_in(&mut phone, NOON, "~keys");
        let laptop = laptop.device();
        let state = |vault: &Vault| (vault.identity().digest(), vault.grants().unwrap());
        let before = state(&phone);
        let mut deaths = 0;
        for left in 0.. {
            let mut rng = Crash { rng: rng(5), left };
            let done = catch_unwind(AssertUnwindSafe(|| deed(&mut phone, &laptop, &mut rng)));
            // As at kill -9: nothing of the process is left.
            drop(phone);
            phone = reopen(dirs[0].path()).unwrap();
            let after = state(&phone);
            if let Ok(done) = done {
                done.unwrap();
                assert!(before.0 != after.0 && before.1 != after.1);
                assert!(
                    !phone.tend(NOON, &mut common::rng(6)).unwrap(),
                    "nothing is left to do"
                );
                break;
            }
            assert_eq!(before, after);
            deaths += 1;
        }
        assert!(deaths > 2, "chance is asked while it happens");
    }
}
