//! Sync sessions between two vaults.

use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncEvent};
use twin_vault::Vault;

use crate::common::rng;

/// Lets two vaults talk until neither has anything more to say. Returns what each was told.
pub fn sync(one: &mut Vault, two: &mut Vault, now: u64) -> [Vec<SyncEvent>; 2] {
    sync_counted(one, two, now).0
}

/// The same, and how many bytes they have sent each other.
pub fn sync_counted(one: &mut Vault, two: &mut Vault, now: u64) -> ([Vec<SyncEvent>; 2], usize) {
    let mut bytes = 0;
    let keys = [[1; 32], [2; 32]].map(TransportKey::from_bytes);
    let begin = |side, me: usize| {
        let rng = &mut rng(now + me as u64);
        Session::<Vault>::new(side, keys[me], keys[1 - me], Stay::Online, now, rng)
    };
    let mut sessions = [begin(Side::Initiator, 0), begin(Side::Responder, 1)];
    for vault in [&mut *one, &mut *two] {
        vault.merge_due(now).unwrap();
    }
    let vaults = [one, two];
    loop {
        let mut quiet = true;
        for from in [0, 1] {
            while let Some(frame) = sessions[from].next_frame(now, vaults[from]).unwrap() {
                quiet = false;
                bytes += frame.len();
                sessions[1 - from]
                    .receive(now, &frame, vaults[1 - from])
                    .unwrap();
            }
        }
        if quiet {
            break;
        }
    }
    let said = sessions.map(|mut session| std::iter::from_fn(|| session.next_event()).collect());
    (said, bytes)
}
