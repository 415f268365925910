//! What nobody has asked for, and grants without end.

use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_sync::session::SyncError;

use crate::common::{NOON, rng};
use crate::frames::{chunks, grants, some};
use crate::scene::{Scene, heap, held};

#[test]
fn chunks_that_nobody_asked_for_end_the_session() {
    let mut scene = Scene::new();
    let before = held(&mut scene.phone);
    let many: Vec<_> = (0..60)
        .map(|n| (some(n), some(n), vec![7; 16 << 10]))
        .collect();
    for pieces in [&many[..1], &many[..]] {
        let mut opened = scene.opened();
        let frame = chunks(pieces);
        let (said, peak, _) = heap(|| opened.say(&mut scene.phone, &frame));
        assert!(matches!(said, Err(SyncError::Content(_))), "{said:?}");
        assert!(peak < 4 << 20, "{peak}");
        assert_eq!(held(&mut scene.phone), before);
    }
    scene.others_sync();
}

#[test]
fn grants_without_end_are_taken_up_to_a_bound() {
    let mut scene = Scene::new();
    let known = scene.phone.grants().unwrap().len();
    let log = scene.tablet.identity();
    let keys = scene.tablet.device_keys();
    let phone = scene.phone.device();
    let granted = |n: u64| GrantedKey {
        space: SpaceName::new(&format!("space {n}")).unwrap(),
        key: EpochKey::new(Secret::new(some(n))),
        predecessor: None,
        base: log.base(),
        heads: log.heads(),
    };
    let made: Vec<Vec<u8>> = (0..2300)
        .map(|n| {
            let to = Recipients::One(&phone);
            let keys_of = [granted(n)];
            let grant = Grant::new(log, NOON, &keys_of, &to, keys, &mut rng(n)).unwrap();
            grant.to_bytes().to_vec()
        })
        .collect();
    let mut opened = scene.opened();
    let ((), _, stays) = heap(|| {
        for some in made.chunks(200) {
            opened.say(&mut scene.phone, &grants(some)).unwrap();
            opened.hear(&mut scene.phone);
        }
    });
    let held = scene.phone.grants().unwrap().len() - known;
    assert!(held <= 2048, "{held} grants by one device");
    assert!(stays < 64 << 20, "{stays}");
    // One that is damaged ends it, and those before it in the frame do not stay.
    let mut opened = scene.opened();
    let mut last = made[2299].clone();
    *last.last_mut().unwrap() ^= 1;
    let said = opened.say(&mut scene.phone, &grants(&[made[2298].clone(), last]));
    assert!(matches!(said, Err(SyncError::Store(_))), "{said:?}");
    assert_eq!(scene.phone.grants().unwrap().len() - known, held);
    // Who has had enough of it removes the device: then nothing of that is told of any more, and others go on.
    let tablet = scene.tablet.device();
    scene.phone.revoke(&tablet, &mut rng(5)).unwrap();
    scene.phone.tend(NOON + 1, &mut rng(6)).unwrap();
    assert!(scene.phone.grants().unwrap().len() < 100);
    scene.others_sync();
}
