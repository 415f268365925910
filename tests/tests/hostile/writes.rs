//! Ops that are out of order or of others, and more logs than one device may have.

use twin_identity::device::DeviceKeys;
use twin_identity::secret::Secret;
use twin_ops::change::{Change, Kind, RecordChange, Stamp};
use twin_ops::edit::Edits;
use twin_ops::epoch::EpochKey;
use twin_ops::op::{Op, Origin, Place};
use twin_ops::seal::seal_parts;
use twin_ops::store::OpStore;
use twin_ops::value::Fields;
use twin_sync::session::SyncError;
use twin_vault::Vault;

use crate::common::{NOON, put, rng, space};
use crate::frames::{ops, some};
use crate::scene::{Scene, heap, held};
use crate::twins::{ids, log_of};

/// An op by these keys under a key that nobody has.
fn op(vault: &Vault, keys: &DeviceKeys, place: Place) -> Vec<u8> {
    let change = Change::Record(RecordChange {
        kind: Kind::Delete,
        stamp: Stamp::at(NOON),
        collection: "notes".to_owned(),
        id: "1".to_owned(),
        fields: Fields::default(),
        edits: Edits::default(),
    });
    let key = EpochKey::new(Secret::new([9; 32]));
    let plain = vec![change.to_bytes().into()];
    let (salt, parts) = seal_parts(&key.part_key(), &place, plain, &mut rng(1)).unwrap();
    let op = Op::sign(place, salt, parts, vault.twin(), keys).unwrap();
    op.to_bytes()
}

fn first(vault: &Vault, keys: &DeviceKeys, origin: &Origin) -> Vec<u8> {
    let place = Place {
        log: origin.log_id(vault.twin()),
        seq: 1,
        prev: None,
        epoch: EpochKey::new(Secret::new([9; 32])).id(),
    };
    op(vault, keys, place)
}

#[test]
fn ops_out_of_order_are_not_kept_and_those_of_others_end_the_session() {
    let mut scene = Scene::new();
    for id in ["3", "4", "5", "6"] {
        put(&mut scene.tablet, NOON + 1, "notes", id, &[("x", id)]);
    }
    let before = held(&mut scene.phone);
    let (origin, run) = log_of(&scene.tablet, &scene.tablet, "home").unwrap();
    let new = run.len() - 4;
    let mut turned = run[new..].to_vec();
    turned.reverse();
    let mut gap = run[new..].to_vec();
    gap.remove(1);
    let mut damaged = run[new..].to_vec();
    let end = damaged[3].len() - 1;
    damaged[3][end] ^= 1;
    let mut headless = damaged.clone();
    headless[3].truncate(40);
    let twice = [&run[new..], &run[new..]].concat();
    for (run, waits) in [
        // It begins later than what is here.
        (turned, true),
        (gap, false),
        (damaged, false),
        (headless, false),
        (twice, false),
    ] {
        let mut opened = scene.opened();
        let said = opened.say(&mut scene.phone, &ops(&origin, &run));
        match waits {
            true => said.unwrap(),
            false => assert!(matches!(said, Err(SyncError::Store(_))), "{said:?}"),
        }
        assert_eq!(held(&mut scene.phone), before, "nothing is half written");
    }
    // What comes too early waits for nobody.
    let mut opened = scene.opened();
    for skipped in 1..4 {
        let late = ops(&origin, &run[new + skipped..]);
        opened.say(&mut scene.phone, &late).unwrap();
        assert_eq!(held(&mut scene.phone), before);
    }
    // In the name of the laptop; of a device that there is not; in the admins' space.
    let laptop = Origin {
        device: scene.laptop.device(),
        ..origin
    };
    let keys = DeviceKeys::from_secret(&scene.tablet.device_keys().to_secret()).unwrap();
    let stranger = DeviceKeys::random(&mut rng(9)).unwrap();
    let strange = Origin {
        device: stranger.id(),
        ..origin
    };
    let admins = Origin {
        space: space("~keys").id(scene.phone.twin()),
        ..origin
    };
    for (origin, keys, kept_out) in [
        (laptop, &keys, false),
        (strange, &stranger, true),
        (admins, &keys, true),
    ] {
        let forged = first(&scene.phone, keys, &origin);
        let mut opened = scene.opened();
        let said = opened.say(&mut scene.phone, &ops(&origin, &[forged]));
        assert_eq!(said.is_ok(), kept_out, "{said:?}");
        assert_eq!(held(&mut scene.phone), before);
    }
    // And what it has to say in order is welcome.
    let mut opened = scene.opened();
    let said = ops(&origin, &run[new..]);
    opened.say(&mut scene.phone, &said).unwrap();
    assert_eq!(ids(&mut scene.phone), ["1", "2", "3", "4", "5", "6"]);
    scene.others_sync();
}

#[test]
fn one_device_has_so_many_logs_and_no_more() {
    let mut scene = Scene::new();
    let known = scene.phone.heads().unwrap().len();
    let me = scene.tablet.device();
    let made: Vec<(Origin, Vec<u8>)> = (0..700_u64)
        .map(|n| {
            let origin = Origin {
                space: space(&format!("space {n}")).id(scene.tablet.twin()),
                device: me,
                incarnation: some(n)[..16].try_into().unwrap(),
            };
            let op = first(&scene.tablet, scene.tablet.device_keys(), &origin);
            (origin, op)
        })
        .collect();
    let mut opened = scene.opened();
    let (_, _, stays) = heap(|| {
        for (origin, op) in &made {
            let op = std::slice::from_ref(op);
            opened.say(&mut scene.phone, &ops(origin, op)).unwrap();
        }
        opened.hear(&mut scene.phone);
    });
    let held = scene.phone.heads().unwrap().len() - known;
    assert!(held <= 512, "{held} logs of one device");
    assert!(stays < 8 << 20, "{stays}");
    scene.others_sync();
}
