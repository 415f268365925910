//! What the tests of who is in and who is out share.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use tempfile::TempDir;
use twin_identity::body::Body;
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::DeviceId;
use twin_identity::log::IdentityLog;
use twin_identity::seal::SealingKey;
use twin_identity::sign::Use;
use twin_identity::words::RecoverySecret;
use twin_ops::change::Kind;
use twin_ops::epoch::EpochId;
use twin_ops::grant::{Grant, GrantedKey, Recipient};
use twin_ops::op::{Op, Origin};
use twin_ops::store::{LogHead, OpStore};
use twin_vault::{Rotation, Vault};

use super::common::*;

/// The words of the twin that [`phone`] makes.
pub fn words() -> RecoverySecret {
    RecoverySecret::random(&mut rng(1))
}

/// A phone and devices of these roles linked to it, all of which know each other.
pub fn family<const N: usize>(roles: [Role; N]) -> (Vec<TempDir>, Vault, [Vault; N]) {
    let mut dirs = vec![tempfile::tempdir().unwrap()];
    let mut phone = phone(dirs[0].path());
    put(&mut phone, NOON, "notes", "first", &[("x", "1")]);
    let mut seed = 100;
    let mut others = roles.map(|role| {
        dirs.push(tempfile::tempdir().unwrap());
        seed += 10;
        linked(dirs.last().unwrap().path(), &mut phone, seed, role)
    });
    for other in &mut others {
        send(&phone, other, NOON);
    }
    (dirs, phone, others)
}

/// Lets vaults give each other all that they have, and do what is theirs to do, until nothing is left.
pub fn meet(vaults: &mut [&mut Vault], now: u64) {
    for round in 0.. {
        assert!(round < 10, "there is no end of it");
        for from in 0..vaults.len() {
            for to in 0..vaults.len() {
                if from != to {
                    let (low, high) = vaults.split_at_mut(from.max(to));
                    let (one, two) = (&mut *low[from.min(to)], &mut *high[0]);
                    if from < to {
                        send(one, two, now);
                    } else {
                        send(two, one, now);
                    }
                }
            }
        }
        let mut busy = false;
        for vault in vaults.iter_mut() {
            busy |= vault.tend(now, &mut rng(7000 + round)).unwrap();
        }
        if !busy {
            return;
        }
    }
}

/// The ids of all notes but the one that [`family`] begins with.
pub fn ids(vault: &mut Vault) -> Vec<String> {
    let records = records(vault, "notes").into_iter();
    records
        .map(|(id, _)| id)
        .filter(|id| id != "first")
        .collect()
}

/// All grants that a vault holds.
pub fn grants(vault: &Vault) -> Vec<Grant> {
    let ids = vault.grants().unwrap().into_iter();
    let bytes = ids.map(|id| vault.grant(&id).unwrap().unwrap());
    bytes
        .map(|bytes| Grant::from_bytes(&bytes).unwrap())
        .collect()
}

fn with_those_before(keys: Vec<GrantedKey>) -> impl Iterator<Item = EpochId> {
    keys.into_iter().flat_map(|granted| {
        let before = granted.predecessor.as_ref();
        let before = before.and_then(|sealed| granted.key.open_predecessor(sealed).ok());
        let before = before.map(|before| before.id());
        [Some(granted.key.id()), before].into_iter().flatten()
    })
}

/// The epochs that a device can open with all that `vault` holds.
pub fn opens(vault: &Vault, device: &DeviceKeys) -> BTreeSet<EpochId> {
    let grants = grants(vault).into_iter();
    let opened = grants.filter_map(|grant| grant.open(vault.identity(), device).ok());
    opened.flat_map(with_those_before).collect()
}

/// The epochs that words or guardians can open with all that `vault` holds.
pub fn opens_with(vault: &Vault, to: Recipient, key: &SealingKey) -> BTreeSet<EpochId> {
    let grants = grants(vault).into_iter();
    let opened = grants.filter_map(|grant| grant.open_with(vault.identity(), to, key).ok());
    opened.flat_map(with_those_before).collect()
}

/// The log of a device in a space, as `vault` has it, and its ops as far as they count.
pub fn log_of(vault: &Vault, device: &Vault, name: &str) -> Option<(Origin, Vec<Vec<u8>>)> {
    let space = space(name).id(vault.twin());
    let logs = vault.heads().unwrap();
    let mut origins = logs
        .iter()
        .map(|head| vault.origin(&head.log).unwrap().unwrap());
    let origin =
        origins.find(|origin| origin.space == space && origin.device == device.device())?;
    let run = vault.read_run(&origin.log_id(vault.twin()), 0, usize::MAX);
    Some((origin, run.unwrap()))
}

/// Writes to a space, and says in which epoch that was.
pub fn write_in(vault: &mut Vault, now: u64, name: &str) -> EpochId {
    let changes = vec![change(Kind::Put, "c", "r", &[("x", "1")])];
    // No two devices draw the same keys.
    let chance = vault.device().as_bytes()[..8].try_into().unwrap();
    let rng = &mut rng(u64::from_be_bytes(chance) ^ now);
    vault.commit(now, rng, &space(name), changes).unwrap();
    let newest = log_of(vault, vault, name).unwrap().1.pop().unwrap();
    Op::from_bytes(&newest).unwrap().header().epoch
}

/// An entry by an admin's vault, given to it as if it came from elsewhere.
pub fn say(vault: &mut Vault, body: &Body) {
    let entry = vault.identity().sign(body, vault.device_keys()).unwrap();
    let taken = vault
        .add_entries(NOON, &[entry.to_bytes().to_vec()])
        .unwrap();
    assert_eq!(taken.new, 1);
}

/// A rotation that leaves everything as it is, but for the next words' first authority key.
pub fn rotation(new: &RecoverySecret, index: u32) -> Rotation {
    Rotation {
        next: new.authority(index).public().hash(),
        recovery: new.sealing().public().unwrap(),
        new_generation: false,
        guardians: None,
        roots: None,
        gone: BTreeSet::new(),
        new: Vec::new(),
        promoted: BTreeSet::new(),
    }
}

/// The identity log of a vault, read anew.
pub fn log_copy(vault: &Vault) -> IdentityLog {
    IdentityLog::from_bytes(vault.twin(), &vault.identity().to_bytes()).unwrap()
}

/// The grant, signed anew by its maker, in which what is sealed to `device` does not open.
fn spoiled(maker: &Vault, grant: &Grant, device: &DeviceId) -> Vec<u8> {
    let mut signed = minicbor::Decoder::new(grant.to_bytes());
    signed.array().unwrap();
    let mut body = signed.bytes().unwrap().to_vec();
    let at = body.windows(32).position(|some| some == device.as_bytes());
    // Behind the id the wrap begins, more than a kilobyte long.
    body[at.unwrap() + 200] ^= 1;
    let id = context::GRANT.hash([body.as_slice()]);
    let signature = maker.device_keys().sign(Use::Grant, maker.twin(), &id);
    let mut bytes = Vec::new();
    let mut to = minicbor::Encoder::new(&mut bytes);
    to.array(2).unwrap().bytes(&body).unwrap();
    to.bytes(&signature).unwrap();
    bytes
}

/// The laptop writes in `work`, and gives the tablet nothing but nonsense for a key; the phone gets what the tablet gets.
pub fn hand_nonsense(phone: &mut Vault, tablet: &mut Vault, laptop: &mut Vault) {
    let before = laptop.grants().unwrap();
    write_in(laptop, NOON, "work");
    let made = grants(laptop).into_iter();
    let good = { made }.find(|grant| !before.contains(&grant.id)).unwrap();
    let bad = spoiled(laptop, &good, &tablet.device());
    for vault in [phone, tablet] {
        assert_eq!(vault.add_grants(std::slice::from_ref(&bad)).unwrap().new, 1);
        send_without(laptop, vault, &good);
    }
}

/// Gives `to` all ops of `from`, and its grants but for this one.
fn send_without(from: &Vault, to: &mut Vault, spoiled: &Grant) {
    let others = grants(from).into_iter();
    let others = others.filter(|grant| grant.id != spoiled.id);
    let others: Vec<_> = others.map(|grant| grant.to_bytes().to_vec()).collect();
    to.add_grants(&others).unwrap();
    for LogHead { log, .. } in from.heads().unwrap() {
        let origin = from.origin(&log).unwrap().unwrap();
        let run = from.read_run(&log, 0, usize::MAX).unwrap();
        to.append_run(NOON, &origin, &run).unwrap();
    }
}
