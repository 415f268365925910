//! Identity logs that are forged, and real ones that have no end.

use std::time::{Duration, Instant};

use twin_identity::body::{Body, Fork, Line};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::{IdentityLog, MAX_ENTRIES_PER_SIGNER};
use twin_ops::store::OpStore;
use twin_sync::session::SyncError;
use twin_vault::Vault;

use crate::common::rng;
use crate::frames::{entries, some};
use crate::scene::{Scene, heap, held};
use crate::twins::log_copy;

/// What entries of one frame may take, with what is known of them afterwards.
const MOST: usize = 32 << 20;

/// A branch that is given up: all that a member may say as often as it likes.
fn fork(number: u64) -> Body {
    let branch = Line {
        log: some(number),
        height: 1,
        head: some(number),
    };
    Body::Fork(Box::new(Fork {
        branch,
        again: None,
    }))
}

/// So many entries by a device, each after the one before, or all beside each other.
fn said(log: &mut IdentityLog, keys: &DeviceKeys, count: usize, beside: bool) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    for number in 0..count as u64 {
        let Ok(entry) = log.sign(&fork(number), keys) else {
            break;
        };
        said.push(entry.to_bytes().to_vec());
        if !beside && log.insert(entry).is_err() {
            break;
        }
    }
    said
}

fn is_refused(said: &Result<(), SyncError>) -> bool {
    matches!(said, Err(SyncError::Store(_)))
}

#[test]
fn what_nobody_has_signed_is_refused_and_nothing_of_it_stays() {
    let mut scene = Scene::new();
    let before = held(&mut scene.phone);
    let mut log = log_copy(&scene.tablet);
    let real = said(&mut log, scene.tablet.device_keys(), 40, false);
    let stranger = DeviceKeys::random(&mut rng(77)).unwrap();
    let statement = stranger.statement(scene.tablet.twin(), Role::Admin);
    let admits = Body::AddDevice(Box::new(statement));
    let admits = log_copy(&scene.tablet).sign(&admits, scene.tablet.device_keys());
    let mut forged: Vec<Vec<Vec<u8>>> = Vec::new();
    // The last of forty has a bit flipped in its signature: none of them stays.
    let mut flipped = real.clone();
    *flipped.last_mut().unwrap().last_mut().unwrap() ^= 1;
    forged.push(flipped);
    // Signed by nobody who is in; and 4,096 times the same, each with another signature.
    let beside = said(
        &mut log_copy(&scene.tablet),
        scene.tablet.device_keys(),
        1,
        true,
    );
    let many = (0..3000_u32).map(|n| {
        let mut entry = beside[0].clone();
        let end = entry.len() - 8;
        entry[end..end + 4].copy_from_slice(&n.to_be_bytes());
        entry
    });
    forged.push(many.collect());
    forged.push(vec![vec![0xff; 100]]);
    for forged in forged {
        let mut opened = scene.opened();
        let frame = entries(&forged);
        let (said, peak, _) = heap(|| opened.say(&mut scene.phone, &frame));
        assert!(is_refused(&said), "{said:?}");
        assert!(peak < MOST, "{peak}");
        assert_eq!(held(&mut scene.phone), before);
    }
    // What it may not say is passed over, for an honest device may hold it.
    let mut opened = scene.opened();
    let said = opened.say(
        &mut scene.phone,
        &entries(&[admits.unwrap().to_bytes().to_vec()]),
    );
    assert!(said.is_ok(), "{said:?}");
    assert_eq!(held(&mut scene.phone), before);
    scene.others_sync();
}

#[test]
fn entries_after_what_nobody_has_are_not_kept() {
    let mut scene = Scene::new();
    let before = held(&mut scene.phone);
    let mut log = log_copy(&scene.tablet);
    let chain = said(&mut log, scene.tablet.device_keys(), 200, false);
    let mut opened = scene.opened();
    // All but the first: what each builds on is missing.
    let (took, peak, stays) = heap(|| {
        let start = Instant::now();
        for _ in 0..200 {
            opened.say(&mut scene.phone, &entries(&chain[1..])).unwrap();
            opened.hear(&mut scene.phone);
        }
        start.elapsed()
    });
    assert!(peak < MOST && stays < MOST / 8, "{peak}, {stays}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(held(&mut scene.phone), before);
    scene.others_sync();
}

#[test]
fn a_member_says_so_much_and_no_more() {
    for beside in [false, true] {
        let mut scene = Scene::new();
        let mut log = log_copy(&scene.tablet);
        let keys = scene.tablet.device_keys();
        let all = said(&mut log, keys, 3 * MAX_ENTRIES_PER_SIGNER, beside);
        let known = scene.phone.identity().entries().len();
        let mut opened = scene.opened();
        let ((), peak, stays) = heap(|| {
            // The last one first, so that each has to wait for the one before.
            for some in all.rchunks(600) {
                let mut some = some.to_vec();
                some.reverse();
                opened.say(&mut scene.phone, &entries(&some)).unwrap();
                opened.hear(&mut scene.phone);
            }
            opened
                .say(&mut scene.phone, &entries(&all[..600.min(all.len())]))
                .unwrap();
        });
        let new = scene.phone.identity().entries().len() - known;
        assert!(new <= 2 * 1024, "{new} entries by one device");
        assert!(beside || new <= MAX_ENTRIES_PER_SIGNER, "{new}");
        assert!(peak < MOST && stays < MOST, "{peak}, {stays}");
        // The phone can still say something, and the laptop hears it all.
        let tablet = scene.tablet.device();
        suspend(&mut scene.phone, &tablet);
        scene.others_sync();
    }
}

fn suspend(phone: &mut Vault, device: &twin_identity::id::DeviceId) {
    phone.revoke(device, &mut rng(5)).unwrap();
    phone.tend(crate::common::NOON + 1, &mut rng(6)).unwrap();
    assert!(!phone.admits(device));
}
