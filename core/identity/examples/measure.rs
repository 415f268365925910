//! How long it takes to verify an identity log: `cargo xtask bench identity` reads the JSON that this prints.
//!
//! The log has entry 1 and 999 entries by four admins in turn: devices added, suspended, resumed and removed. Once it
//! is a chain, as between devices that are mostly together; once every entry knows only what the one of eight before
//! it knew, as between devices that are mostly apart.

use std::hint::black_box;
use std::time::Instant;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Removal};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Place};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;
use twin_identity::sign::{self, Use};
use twin_identity::words::RecoverySecret;

const ENTRIES: usize = 1000;
const ROUNDS: usize = 11;
const MEMBERS: usize = 40;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let chain = log(1)?;
    let branches = log(8)?;
    let whole = median(|| verify(&chain))?;
    let apart = median(|| verify(&branches))?;
    let signatures = median(|| signatures(&chain))?;
    let (mut before, last) = without_the_last(&chain)?;
    let mut one = Vec::new();
    for _ in 0..ROUNDS {
        let mut log = before.clone();
        let begun = Instant::now();
        log.insert(last.clone())?;
        one.push(begun.elapsed().as_secs_f64() * 1e3);
        black_box(log);
    }
    one.sort_by(f64::total_cmp);
    before.insert(last)?;
    let one = one.get(ROUNDS / 2).ok_or("no rounds")?;
    #[allow(clippy::print_stdout, reason = "what this program is for")]
    {
        println!(
            "{{\"entries\":{},\"bytes\":{},\"chain_ms\":{whole:.3},\"branches_ms\":{apart:.3},\"one_more_ms\":{one:.3},\"signatures_ms\":{signatures:.3}}}",
            chain.entries().len(),
            chain.to_bytes().len(),
        );
    }
    Ok(())
}

/// A log in which `width` branches grow side by side.
fn log(width: usize) -> Result<IdentityLog, Failure> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let birth = Birth::new(&RecoverySecret::random(rng), rng)?;
    let mut log = IdentityLog::new(birth.genesis);
    let base = birth.entry.id;
    log.insert(birth.entry)?;
    let mut admins = vec![birth.device];
    for _ in 0..3 {
        let admin = DeviceKeys::random(rng)?;
        add(&mut log, &admins, &admin, Role::Admin)?;
        admins.push(admin);
    }
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        let member = DeviceKeys::random(rng)?;
        add(&mut log, &admins, &member, Role::Member)?;
        members.push(member.id());
    }
    let mut tips: Vec<(EntryId, u64)> =
        vec![(*log.heads().first().ok_or("no head")?, log.place().seq - 1)];
    tips.resize(width, *tips.first().ok_or("no tip")?);
    let mut turn = 0;
    while log.entries().len() < ENTRIES {
        let signer = admins.get(turn % admins.len()).ok_or("no admin")?;
        // Each branch has members of its own, so that none contradicts another.
        let branch = turn % width;
        let round = turn / width;
        let own: Vec<&DeviceId> = members.iter().skip(branch).step_by(width).collect();
        let member = **own.get(round / 2 % own.len()).ok_or("no member")?;
        let body = match round % 2 {
            0 => Body::Suspend(Box::new(Removal {
                device: member,
                lines: Vec::new(),
            })),
            _ => Body::Resume(member),
        };
        let tip = tips.get_mut(branch).ok_or("no branch")?;
        let place = Place {
            prevs: vec![tip.0],
            seq: tip.1 + 1,
            base,
        };
        let entry = Entry::by_device(log.twin(), place, &body, signer)?;
        *tip = (entry.id, entry.place.seq);
        log.insert(entry)?;
        turn += 1;
    }
    Ok(log)
}

fn add(
    log: &mut IdentityLog,
    admins: &[DeviceKeys],
    new: &DeviceKeys,
    role: Role,
) -> Result<(), Failure> {
    let by = log.entries().len() % admins.len();
    let signer = admins.get(by).ok_or("no admin")?;
    let statement = new.statement(log.twin(), role);
    log.insert(log.sign(&Body::AddDevice(Box::new(statement)), signer)?)?;
    Ok(())
}

fn verify(log: &IdentityLog) -> Result<f64, Failure> {
    let bytes = log.to_bytes();
    let begun = Instant::now();
    let read = IdentityLog::from_bytes(log.twin(), &bytes)?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(read.digest(), log.digest());
    Ok(took)
}

/// The signatures of all entries but the first, and nothing else: what cannot be saved.
fn signatures(log: &IdentityLog) -> Result<f64, Failure> {
    let begun = Instant::now();
    for entry in log.entries().values() {
        if let Some(signer) = entry.signer {
            let signature = entry.signature.as_slice().try_into()?;
            sign::verify(
                &signer,
                Use::Entry,
                log.twin(),
                entry.id.as_bytes(),
                &signature,
            )?;
        }
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn without_the_last(log: &IdentityLog) -> Result<(IdentityLog, Entry), Failure> {
    let mut entries: Vec<_> = log.entries().values().collect();
    entries.sort_by_key(|entry| (entry.place.seq, entry.id));
    let last = entries.pop().ok_or("an empty log")?;
    let mut before = IdentityLog::new(log.genesis().clone());
    for entry in entries {
        before.insert((**entry).clone())?;
    }
    Ok((before, (**last).clone()))
}

fn median(mut measure: impl FnMut() -> Result<f64, Failure>) -> Result<f64, Failure> {
    let mut all = (0..ROUNDS)
        .map(|_| measure())
        .collect::<Result<Vec<f64>, _>>()?;
    all.sort_by(f64::total_cmp);
    Ok(*all.get(ROUNDS / 2).ok_or("no rounds")?)
}
