//! A device that has written two histories and is out: every replica ends with the one that its line names.

use std::fs;

use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::op::Origin;
use twin_ops::store::OpStore;
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::sync;
use crate::twins::*;

/// A laptop of which there was a copy. The phone has what the one wrote, `a`; the tablet and the watch have what the other
/// wrote, `b`, and the watch only the beginning of it.
struct Scene {
    _dirs: Vec<TempDir>,
    phone: Vault,
    tablet: Vault,
    watch: Vault,
    origin: Origin,
    a: Vec<Vec<u8>>,
    b: Vec<Vec<u8>>,
}

fn scene() -> Scene {
    let (mut dirs, mut phone, [mut tablet, mut watch, mut laptop]) = family([Role::Member; 3]);
    put(&mut laptop, NOON, "notes", "1", &[("x", "1")]);
    meet(
        &mut [&mut phone, &mut tablet, &mut watch, &mut laptop],
        NOON,
    );
    let copy = tempdir().unwrap();
    for file in fs::read_dir(dirs[3].path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let mut other = reopen(copy.path()).unwrap();
    other.take_for_original().unwrap();
    dirs.push(copy);
    for id in ["2a", "3a", "4a"] {
        put(&mut laptop, NOON + 1, "notes", id, &[("x", id)]);
    }
    put(&mut other, NOON + 1, "notes", "2b", &[("x", "2b")]);
    send(&other, &mut watch, NOON + 1);
    for id in ["3b", "4b", "5b"] {
        put(&mut other, NOON + 1, "notes", id, &[("x", id)]);
    }
    send(&other, &mut tablet, NOON + 1);
    send(&laptop, &mut phone, NOON + 1);
    let (origin, a) = log_of(&laptop, &laptop, "home").unwrap();
    let (_, b) = log_of(&other, &laptop, "home").unwrap();
    assert_eq!(ids(&mut phone), ["1", "2a", "3a", "4a"]);
    assert_eq!(ids(&mut tablet), ["1", "2b", "3b", "4b", "5b"]);
    assert_eq!(ids(&mut watch), ["1", "2b"]);
    phone.revoke(&laptop.device(), &mut rng(1)).unwrap();
    Scene {
        _dirs: dirs,
        phone,
        tablet,
        watch,
        origin,
        a,
        b,
    }
}

#[test]
fn the_history_that_the_line_names_replaces_another() {
    let mut scene = scene();
    for vault in [&mut scene.tablet, &mut scene.watch] {
        let events = sync(&mut scene.phone, vault, NOON + 2);
        assert!(events[1].contains(&SyncEvent::InSync), "{events:?}");
        assert_eq!(ids(vault), ["1", "2a", "3a", "4a"]);
        assert_eq!(vault.heads().unwrap(), scene.phone.heads().unwrap());
        vault.rebuild_index().unwrap();
        assert_eq!(ids(vault), ["1", "2a", "3a", "4a"]);
    }
    // And stays.
    assert!(
        scene
            .phone
            .append_run(NOON + 2, &scene.origin, &scene.b)
            .is_err()
    );
    assert_eq!(ids(&mut scene.phone), ["1", "2a", "3a", "4a"]);
}

#[test]
fn it_comes_in_pieces_and_a_piece_that_does_not_fit_replaces_nothing() {
    let Scene {
        phone,
        mut tablet,
        mut watch,
        origin,
        a,
        b,
        ..
    } = scene();
    for vault in [&mut tablet, &mut watch] {
        send_identity(&phone, vault, NOON);
        let held = vault.heads().unwrap();
        // Not from where the two depart: it continues nothing that is here.
        assert!(vault.append_run(NOON + 2, &origin, &a[2..]).is_err());
        // Nor is anything given up for what the laptop has not signed.
        let mut forged = b[1].clone();
        let end = forged.len() - 1;
        forged[end] ^= 1;
        assert!(vault.append_run(NOON + 2, &origin, &[forged]).is_err());
        assert_eq!(vault.heads().unwrap(), held);
        for (n, piece) in a.chunks(1).enumerate() {
            vault.append_run(NOON + 2, &origin, piece).unwrap();
            assert!(n == 0 || ids(vault).len() == n + 1, "as far as it has come");
        }
        assert_eq!(ids(vault), ["1", "2a", "3a", "4a"]);
        assert!(vault.set_aside().unwrap().is_empty());
    }
}
