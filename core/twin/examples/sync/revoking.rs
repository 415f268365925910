//! One of 16 devices is removed, and another hears of it.

use super::talk::{HANDSHAKE, talk};
use super::twins::{NOW, Twins};
use super::{Failure, Numbers, middle, named, timed};

/// How many devices there are beside phone and laptop.
const OTHERS: usize = 14;
/// How often one is removed, and another added in its place; the middle counts.
const ROUNDS: u64 = 9;

pub fn measure() -> Result<Numbers, Failure> {
    let folder = tempfile::tempdir()?;
    let mut twins = Twins::new(folder.path(), OTHERS)?;
    talk(&mut twins, NOW)?;
    let (mut took, mut told, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let mut device = twins.others[0].id();
    for round in 1..=ROUNDS {
        let ((), micros) = timed(|| Ok(twins.phone.revoke(&device, &mut twins.rng)?))?;
        took.push(micros / 1e3);
        let heard = talk(&mut twins, NOW + round)?;
        told.push(heard.bytes(|kind| !HANDSHAKE.contains(&kind)) as f64);
        all.push(heard.bytes(|_| true) as f64);
        device = twins.admit_one()?;
        talk(&mut twins, NOW + round)?;
    }
    Ok(named([
        ("revoke_ms", middle(took)),
        ("revoke_bytes", middle(told)),
        ("revoke_all_bytes", middle(all)),
    ]))
}
