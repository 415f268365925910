//! Bundles between real vaults that never meet.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod away;
mod bounded;
mod chance;
// What the tests of the vault share; they cannot have bundles, for the vault knows nothing of sync.
#[path = "../../../core/vault/tests/common/mod.rs"]
mod common;
mod history;
mod refused;
#[path = "../../../core/vault/tests/common/twins.rs"]
mod twins;

use twin_identity::id::DeviceId;
use twin_ops::store::OpStore;
use twin_sync::bundle::{self, BundleError, Carried, Maker, Received, Size};
use twin_vault::Vault;

use crate::common::{records, rng};

/// A bundle of any size, and what is in it.
fn make(from: &Vault, to: &[DeviceId], now: u64) -> (Vec<u8>, Carried) {
    try_make(from, to, now).unwrap()
}

fn try_make(from: &Vault, to: &[DeviceId], now: u64) -> Result<(Vec<u8>, Carried), BundleError> {
    let rng = &mut rng(now ^ u64::from(from.device().as_bytes()[0]));
    let mut maker = Maker::new(from, now, to, None, Size::Any, rng)?;
    let mut bytes = maker.begin();
    while let Some(piece) = maker.next(from, rng)? {
        bytes.extend(piece);
    }
    bytes.extend(maker.finish(false, from, rng)?);
    assert!(!maker.has_more());
    Ok((bytes, *maker.carried()))
}

fn take(to: &mut Vault, now: u64, bytes: &[u8]) -> Received {
    bundle::take(to, now, bytes).unwrap()
}

/// Brings what one has to the other; what was in it.
fn carry(from: &Vault, to: &mut Vault, now: u64) -> (Carried, Received) {
    let (bytes, carried) = make(from, &[to.device()], now);
    (carried, take(to, now, &bytes))
}

fn are_same(one: &mut Vault, two: &mut Vault) {
    assert_eq!(one.heads().unwrap(), two.heads().unwrap());
    assert_eq!(one.grants().unwrap(), two.grants().unwrap());
    assert_eq!(one.identity().digest(), two.identity().digest());
    assert_eq!(records(one, "notes"), records(two, "notes"));
}
