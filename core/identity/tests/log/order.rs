//! Replicas that have the same entries say the same, in whatever order they came.

use std::sync::OnceLock;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use proptest::prelude::*;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::log::{IdentityLog, LogError};

use crate::common::{Twin, device, twin};

fn pool() -> &'static [DeviceKeys] {
    static POOL: OnceLock<Vec<DeviceKeys>> = OnceLock::new();
    POOL.get_or_init(|| (100..108).map(device).collect())
}

fn below(rng: &mut ChaCha20Rng, end: usize) -> usize {
    rng.next_u32() as usize % end
}

fn take_all(log: &mut IdentityLog, from: &IdentityLog) {
    let mut entries: Vec<_> = from.entries().values().cloned().collect();
    entries.sort_by_key(|entry| entry.seq);
    for entry in entries {
        log.insert(entry).unwrap();
    }
}

/// Three replicas of a twin whose admins add devices while apart, now and then meeting: the same device may be added
/// twice, with different roles.
fn replicas(twin: &Twin, rng: &mut ChaCha20Rng) -> Vec<IdentityLog> {
    let mut replicas = vec![twin.log.clone(); 3];
    for _ in 0..4 + below(rng, 16) {
        let (at, other) = (below(rng, 3), below(rng, 3));
        if below(rng, 4) == 0 {
            let other = replicas[other].clone();
            take_all(&mut replicas[at], &other);
            continue;
        }
        let log = &mut replicas[at];
        let signers: Vec<_> = std::iter::once(&twin.phone)
            .chain(pool())
            .filter(|keys| log.is_admin(&keys.id()))
            .collect();
        let signer = signers[below(rng, signers.len())];
        let new = &pool()[below(rng, pool().len())];
        if log.device(&new.id()).is_none() {
            let role = [Role::Member, Role::Admin][below(rng, 2)];
            let statement = new.statement(log.twin(), role);
            let (heads, seq) = (log.heads(), log.next_seq());
            let entry = Entry::add_device(log.twin(), &heads, seq, &statement, signer).unwrap();
            assert_eq!(log.insert(entry), Ok(true));
        }
    }
    replicas
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_any_duplication_one_log(seed: u64) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let twin = twin(1);
        let mut reference = twin.log.clone();
        for replica in replicas(&twin, rng) {
            take_all(&mut reference, &replica);
        }
        for _ in 0..3 {
            let entries: Vec<&Entry> = reference.entries().values().collect();
            let mut waiting: Vec<&Entry> = entries.iter().chain(&entries).copied().collect();
            let mut log = IdentityLog::new(reference.genesis().clone());
            while !waiting.is_empty() {
                let next = waiting.swap_remove(below(rng, waiting.len()));
                match log.insert(next.clone()) {
                    Ok(_) => {}
                    Err(LogError::MissingPrev) => waiting.push(next),
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
            }
            prop_assert_eq!(log.devices(), reference.devices());
            prop_assert_eq!(log.heads(), reference.heads());
            prop_assert_eq!(log.next_seq(), reference.next_seq());
            prop_assert_eq!(log.digest(), reference.digest());
            prop_assert_eq!(log.to_bytes(), reference.to_bytes());
            prop_assert_eq!(log.recovery(), reference.recovery());
        }
        let read = IdentityLog::from_bytes(reference.twin(), &reference.to_bytes()).unwrap();
        prop_assert_eq!(read.devices(), reference.devices());
        // Who is said to be an admin is who may add, and nobody else.
        let twin = Twin { log: reference, ..twin };
        for keys in pool() {
            let allowed = twin.log.clone().insert(twin.adds(keys, &device(9), Role::Member));
            prop_assert_eq!(allowed.is_ok(), twin.log.is_admin(&keys.id()));
        }
    }
}
