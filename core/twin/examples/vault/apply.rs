//! What a peer sends: another device's ops, verified and merged.

use std::path::Path;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::words::RecoverySecret;
use twin_ops::space::SpaceName;
use twin_ops::store::{LogHead, OpStore};
use twin_vault::{Unlock, Vault};

use super::micros;
use super::rows::Row;
use super::sealed::change;
use super::store::Failure;
use super::work::BATCH;

const NOW: u64 = 1_800_000_000_000;
/// How many bytes of ops a peer sends at once.
const RUN: usize = 1 << 20;

/// Writes all records on one device and gives its ops to another; returns the microseconds that this other takes to verify,
/// store and merge them.
pub fn time(dir: &Path, rows: &[Row]) -> Result<f64, Failure> {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let birth = Birth::new(&RecoverySecret::random(rng), rng)?;
    let unlock = || Unlock::Password("only measured");
    let (one, other) = (dir.join("one"), dir.join("other"));
    let mut phone = Vault::create(&one, unlock(), &birth, rng)?;
    let laptop = DeviceKeys::random(rng)?;
    let statement = laptop.statement(phone.twin(), Role::Admin);
    let admission = phone.admit(&statement, rng)?;
    let log = IdentityLog::from_bytes(phone.twin(), &admission.identity)?;
    let mut laptop = Vault::create_linked(&other, unlock(), &laptop, &log, &admission.grants, rng)?;
    let space = SpaceName::any("home")?;
    for batch in rows.chunks(BATCH) {
        phone.commit(NOW, rng, &space, batch.iter().map(change).collect())?;
    }
    for id in phone.grants()? {
        laptop.add_grants(phone.grant(&id)?.as_slice())?;
    }
    let mut taken = 0.0;
    for LogHead { log, head } in phone.heads()? {
        let origin = phone.origin(&log)?.ok_or("a log of nobody")?;
        let mut after = 0;
        while after < head.height {
            let run = phone.read_run(&log, after, RUN)?;
            taken += micros(|| Ok(laptop.append_run(NOW, &origin, &run).map(drop)?))?;
            after += run.len() as u64;
        }
    }
    Ok(taken)
}
