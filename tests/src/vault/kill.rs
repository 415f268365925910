//! Processes that write to a vault and are killed.
//!
//! Half of them kill themselves at a call to the file system that the seed says, a write done in part: such a point
//! comes again. The others are killed from outside, a seeded number of acknowledgements after they began and at whatever
//! they do just then.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::tempdir;
use twin_disk::{Disk, Fault, Trouble};

use super::Outcome;
use super::check::cut_off;
use super::load::{Laptop, Load, begin, open};
use crate::dice::Dice;

/// How often the vault of one seed is cut off.
pub const POINTS: u64 = 10;
/// The folders of the vaults.
const PHONE: &str = "phone";
const LAPTOP: &str = "laptop";
/// A step takes about ten calls.
const MOST_CALLS: u64 = 120;
const MOST_STEPS: usize = 12;

/// Kills processes that write to one vault, one after the other. `program`: the binary `vault` of this crate, which is
/// [`child`].
pub fn kills(program: &Path, seed: u64) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.fault = life(program, seed, &mut outcome).err();
    outcome
}

fn life(program: &Path, seed: u64, outcome: &mut Outcome) -> Result<(), String> {
    let home = tempdir().map_err(|error| error.to_string())?;
    let (phone, laptop) = (home.path().join(PHONE), home.path().join(LAPTOP));
    begin(&phone, &laptop, seed).map_err(|error| error.to_string())?;
    let mut dice = Dice::new(seed);
    let mut load = Load::new(seed);
    for point in 0..POINTS {
        let by_itself = dice.chance(50);
        let calls = dice.below(MOST_CALLS);
        let steps = dice.index(MOST_STEPS);
        let mut child = Command::new(program)
            .arg("--child")
            .arg(home.path())
            .args([seed.to_string(), load.taken.to_string()])
            .args(by_itself.then(|| calls.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut said = out.lines().map(Result::unwrap);
        let mut last = None;
        if !by_itself {
            last = { &mut said }.take(steps).last();
            child.kill().map_err(|error| error.to_string())?;
        }
        // What it said before it died counts too.
        last = said.last().or(last);
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.code().is_some() {
            return Err(format!("point {point}: it ended by itself, {status}"));
        }
        let acknowledged = match &last {
            Some(last) => last.parse().map_err(|_| format!("it said {last}"))?,
            None => load.taken,
        };
        outcome.acknowledged += (acknowledged - load.taken) as u64;
        let acknowledged = Load::after(seed, acknowledged);
        load = cut_off(&phone, &acknowledged)
            .map_err(|fault| format!("point {point}, by itself: {by_itself}: {fault}"))?;
        outcome.points += 1;
        outcome.ahead += (load.taken - acknowledged.taken) as u64;
    }
    Ok(())
}

/// What a child process does: steps after `taken`, each acknowledged by a line with how many were taken, until it is
/// killed; if `calls` says so, by itself after so many calls.
///
/// # Errors
/// If a step fails: none should.
pub fn child(
    home: &Path,
    seed: u64,
    taken: usize,
    calls: Option<u64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let phone: PathBuf = home.join(PHONE);
    let laptop = Laptop::open(&home.join(LAPTOP))?;
    let mut load = Load::after(seed, taken);
    let (_, chip) = load.truth.slots.first_key_value().ok_or("no slot")?;
    let mut vault = open(&phone, *chip)?;
    let disk = Disk::under(&phone)?;
    if let Some(after) = calls {
        disk.fail(Fault {
            trouble: Trouble::Kill,
            after,
            lasts: true,
        });
    }
    loop {
        load.act(&mut vault, &laptop)?;
        load.take();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", load.taken)?;
        out.flush()?;
    }
}
