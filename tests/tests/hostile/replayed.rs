//! A whole session that somebody has recorded, said again: to the same device and to another.

use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncError};
use twin_vault::Vault;

use crate::common::{NOON, put, rng};
use crate::scene::{KEYS, Scene, held};

fn begin(side: Side, seed: u64) -> Session<Vault> {
    let [dials, dialled] = KEYS;
    let (me, peer) = match side {
        Side::Initiator => (dials, dialled),
        Side::Responder => (dialled, dials),
    };
    Session::<Vault>::new(side, me, peer, Stay::Online, NOON, &mut rng(seed))
}

/// Says recorded frames to a new session of a vault. Returns why it ended, and after how many.
fn replay(vault: &mut Vault, side: Side, seed: u64, frames: &[Vec<u8>]) -> (usize, SyncError) {
    let mut session = begin(side, seed);
    for (number, frame) in frames.iter().enumerate() {
        while session.next_frame(NOON, vault).unwrap().is_some() {}
        if let Err(error) = session.receive(NOON, frame, vault) {
            assert!(session.device().is_none(), "it was taken for a device");
            return (number, error);
        }
    }
    panic!("all of it was taken")
}

#[test]
fn a_recorded_session_is_of_no_use() {
    let mut scene = Scene::new();
    put(&mut scene.tablet, NOON + 1, "notes", "3", &[("x", "3")]);
    let mut sessions = [begin(Side::Initiator, 1), begin(Side::Responder, 2)];
    let mut recorded = [Vec::new(), Vec::new()];
    loop {
        let mut quiet = true;
        for from in [0, 1] {
            let vaults = [&mut scene.tablet, &mut scene.phone];
            if let Some(frame) = sessions[from].next_frame(NOON, vaults[from]).unwrap() {
                quiet = false;
                recorded[from].push(frame.clone());
                sessions[1 - from]
                    .receive(NOON, &frame, vaults[1 - from])
                    .unwrap();
            }
        }
        if quiet {
            break;
        }
    }
    assert!(recorded.iter().all(|said| said.len() > 4));
    let before = [&mut scene.phone, &mut scene.laptop].map(held);
    for seed in 10..30 {
        for vault in [&mut scene.phone, &mut scene.laptop] {
            // Who dialled said the one half, who was dialled the other; the order of sides may be turned round, too.
            for (side, said) in [
                (Side::Responder, &recorded[0]),
                (Side::Initiator, &recorded[1]),
                (Side::Initiator, &recorded[0]),
                (Side::Responder, &recorded[1]),
            ] {
                let (number, error) = replay(vault, side, seed, said);
                assert!(number <= 4, "after {number} frames");
                let known = matches!(
                    error,
                    SyncError::Stranger | SyncError::NotLinked | SyncError::Unexpected
                );
                assert!(known, "{error:?}");
            }
        }
    }
    assert_eq!([&mut scene.phone, &mut scene.laptop].map(held), before);
    scene.others_sync();
}
