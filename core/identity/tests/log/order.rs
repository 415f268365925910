//! Replicas that have the same entries say the same, in whatever order they came.

use std::sync::OnceLock;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use proptest::prelude::*;
use twin_identity::body::{Body, Fork, Guardians, Kept, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::id::EntryId;
use twin_identity::log::{IdentityLog, LogError};

use crate::common::{Twin, device, line, place, state, twin, words};

fn pool() -> &'static [DeviceKeys] {
    static POOL: OnceLock<Vec<DeviceKeys>> = OnceLock::new();
    POOL.get_or_init(|| (100..109).map(device).collect())
}

fn below(rng: &mut ChaCha20Rng, end: usize) -> usize {
    rng.next_u32() as usize % end
}

fn pick<'a, T>(rng: &mut ChaCha20Rng, from: &'a [T]) -> &'a T {
    &from[below(rng, from.len())]
}

/// Some of the entries, each branch cut anywhere: up to three, with all that they build on.
fn some_past(rng: &mut ChaCha20Rng, log: &IdentityLog) -> Vec<EntryId> {
    let ids: Vec<EntryId> = log.entries().keys().copied().collect();
    let mut prevs: Vec<EntryId> = (0..1 + below(rng, 3)).map(|_| *pick(rng, &ids)).collect();
    prevs.sort();
    prevs.dedup();
    prevs
}

fn some_body(rng: &mut ChaCha20Rng, twin: &Twin, rotation: EntryId) -> Body {
    let target = pick(rng, pool());
    let mut removal = crate::common::removal(target);
    if below(rng, 2) == 0 {
        removal.lines = vec![line(
            1,
            1 + u64::from(rng.next_u32() % 5),
            rng.next_u32() as u8,
        )];
    }
    match below(rng, 15) {
        0..4 => twin.add_device(
            target,
            [Role::Member, Role::Admin, Role::Admin][below(rng, 3)],
        ),
        4..6 => Body::Revoke(removal),
        6..9 => Body::Suspend(removal),
        9..12 => Body::Resume(target.id()),
        12 => Body::Raise(removal),
        13 => Body::Fork(Box::new(Fork {
            branch: line(1, 1, rng.next_u32() as u8),
            again: None,
        })),
        _ => [Body::Acknowledge, Body::Veto(rotation)][below(rng, 2)].clone(),
    }
}

fn some_rotation(rng: &mut ChaCha20Rng, log: &IdentityLog, twin: &Twin) -> Option<(Rotate, bool)> {
    let by_guardians = log.guardians().is_some() && below(rng, 3) == 0;
    let index = u32::try_from(log.rotations()).unwrap();
    let mut rotate = Rotate {
        guardians: (below(rng, 2) == 0).then(|| Guardians {
            authority: words(7).authority(0).public().hash(),
            delay_days: 1,
            sealing: None,
        }),
        ..twin.rotation(index, &twin.recovery)
    };
    if by_guardians {
        rotate.authority = words(7).authority(0).public();
    }
    rotate.keeps.clear();
    for device in log.devices().values().chain(log.waiting()) {
        let role = device.role.max([Role::Member, Role::Admin][below(rng, 2)]);
        if device.role == Role::Admin || below(rng, 3) > 0 {
            rotate.keeps.push(Kept {
                device: device.public.id,
                role,
                suspended: device.suspended,
            });
        }
    }
    rotate.keeps.sort_by_key(|kept| kept.device);
    (log.rotations() < 4).then_some((rotate, by_guardians))
}

/// A log made by chance: everybody says anything anywhere, and what may be said is kept. Half of the time the whole is
/// known, so that things get far.
fn schedule(seed: u64) -> (Twin, Vec<(EntryId, u64)>) {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let mut twin = twin(1);
    for (keys, role) in pool().iter().zip([
        Role::Admin,
        Role::Admin,
        Role::Admin,
        Role::Member,
        Role::Member,
    ]) {
        twin.add(keys, role);
    }
    let phone = DeviceKeys::from_secret(&twin.phone.to_secret()).unwrap();
    let mut seen = twin.log.observe(1);
    for now in 0..u64::from(40 + rng.next_u32() % 60) {
        if below(rng, 12) == 0
            && let Some((rotate, by_guardians)) = some_rotation(rng, &twin.log, &twin)
        {
            let key = if by_guardians {
                words(7).authority(0)
            } else {
                words(1).authority(u32::try_from(twin.log.rotations()).unwrap())
            };
            let entry = match below(rng, 2) {
                0 => twin.log.rotate(rotate, &key).unwrap(),
                _ => {
                    let base = twin.log.rotation().unwrap().id;
                    let at = place(&twin.log, &some_past(rng, &twin.log), base);
                    Entry::by_authority(&twin.id(), at, rotate, &key).unwrap()
                }
            };
            let _ = twin.log.insert(entry);
        }
        let rotations: Vec<EntryId> = twin
            .log
            .entries()
            .values()
            .filter(|entry| entry.rotation().is_some())
            .map(|entry| entry.id)
            .collect();
        let (vetoed, base) = (*pick(rng, &rotations), *pick(rng, &rotations));
        let body = some_body(rng, &twin, vetoed);
        let signer = match &body {
            // Who leaves signs for itself.
            Body::Revoke(removal) if below(rng, 3) == 0 => {
                pool().iter().find(|keys| keys.id() == removal.device)
            }
            _ if below(rng, 4) == 0 => Some(&phone),
            _ => Some(pick(rng, pool())),
        };
        let entry = match below(rng, 2) {
            0 => twin.log.sign(&body, signer.unwrap()).unwrap(),
            _ => {
                let at = place(&twin.log, &some_past(rng, &twin.log), base);
                Entry::by_device(&twin.id(), at, &body, signer.unwrap()).unwrap()
            }
        };
        let _ = twin.log.insert(entry);
        seen.extend(twin.log.observe(1 + now * 10_000_000));
    }
    (twin, seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_any_duplication_one_log(seed: u64) {
        let (twin, seen) = schedule(seed);
        let rng = &mut ChaCha20Rng::seed_from_u64(!seed);
        let reference = &twin.log;
        let now = 1_000_000_000;
        for _ in 0..3 {
            let entries: Vec<&Entry> = reference.entries().values().map(|entry| &**entry).collect();
            let mut waiting: Vec<&Entry> = entries.iter().chain(&entries).copied().collect();
            let mut log = IdentityLog::new(reference.genesis().clone());
            log.remember(seen.iter().copied());
            while !waiting.is_empty() {
                let next = waiting.swap_remove(below(rng, waiting.len()));
                match log.insert(next.clone()) {
                    Ok(_) => {}
                    Err(LogError::MissingPrev) => waiting.push(next),
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
            }
            let mut reference = reference.clone();
            reference.observe(now);
            prop_assert!(log.observe(now).is_empty());
            prop_assert_eq!(state(&log), state(&reference));
        }
        let mut read = IdentityLog::from_bytes(reference.twin(), &reference.to_bytes()).unwrap();
        read.remember(seen);
        let mut reference = reference.clone();
        for log in [&mut read, &mut reference] {
            log.observe(now);
        }
        prop_assert_eq!(state(&read), state(&reference));
        // Who is said to be an admin is who may add, and nobody else.
        let mut twin = Twin { log: reference, ..twin };
        let adds = twin.add_device(&device(9), Role::Member);
        for keys in pool() {
            let log = twin.log.clone();
            let allowed = twin.says(keys, &adds);
            prop_assert_eq!(allowed.is_ok(), log.is_admin(&keys.id()));
            twin.log = log;
        }
    }
}
