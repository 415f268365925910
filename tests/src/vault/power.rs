//! Power losses: a vault is written to on a disk that records everything, and opened as the disk may be after a loss at
//! any moment.

use std::path::Path;

use tempfile::tempdir;
use twin_disk::Disk;

use super::Outcome;
use super::check::cut_off;
use super::load::{Load, begin};
use crate::dice::Dice;

/// How often the power goes in the run of one seed.
pub const POINTS: u64 = 10;
/// How many steps there are.
const STEPS: usize = 24;

/// A vault that was written to, and the disk that it is on.
pub struct Run {
    seed: u64,
    disk: Disk,
    /// When each step was acknowledged.
    marks: Vec<usize>,
    _home: tempfile::TempDir,
}

impl Run {
    /// Writes to a vault.
    ///
    /// # Errors
    /// What failed: nothing should.
    pub fn new(seed: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let home = tempdir()?;
        let (phone, laptop) = (home.path().join("phone"), home.path().join("laptop"));
        let (mut vault, laptop) = begin(&phone, &laptop, seed)?;
        let mut load = Load::new(seed);
        if Dice::new(seed).chance(50) {
            // From a file without a WAL.
            drop(vault);
            vault = super::load::open(&phone, 0)?;
        }
        let disk = Disk::under(&phone)?;
        let mut marks = Vec::new();
        for _ in 0..STEPS {
            load.act(&mut vault, &laptop)?;
            load.take();
            marks.push(disk.moment());
        }
        drop(vault);
        Ok(Self {
            seed,
            disk,
            marks,
            _home: home,
        })
    }

    /// How many events there were.
    pub fn len(&self) -> usize {
        self.disk.moment()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loses power at a moment; returns what was acknowledged before, and what was found.
    ///
    /// # Errors
    /// What does not hold.
    pub fn lose(&self, moment: usize, lies: bool, dice: &mut Dice) -> Result<(Load, Load), String> {
        let after = tempdir().map_err(|error| error.to_string())?;
        self.image(moment, lies, dice, after.path())?;
        let taken = self.marks.partition_point(|mark| *mark <= moment);
        let acknowledged = Load::after(self.seed, taken);
        let found = cut_off(after.path(), &acknowledged);
        found.map(|found| (acknowledged, found))
    }

    fn image(&self, moment: usize, lies: bool, dice: &mut Dice, into: &Path) -> Result<(), String> {
        let below = &mut |end| dice.below(end);
        let made = self.disk.after_power_loss(moment, lies, below, into);
        made.map_err(|error| error.to_string())
    }
}

/// Loses power at several moments of one run.
pub fn losses(seed: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut dice = Dice::new(seed);
    let run = match Run::new(seed) {
        Ok(run) => run,
        Err(error) => {
            outcome.fault = Some(error.to_string());
            return outcome;
        }
    };
    for _ in 0..POINTS {
        let moment = dice.index(run.len() + 1);
        match run.lose(moment, false, &mut dice) {
            Ok((acknowledged, found)) => {
                outcome.points += 1;
                outcome.acknowledged += acknowledged.taken as u64;
                outcome.ahead += (found.taken - acknowledged.taken) as u64;
            }
            Err(fault) => {
                outcome.fault = Some(format!("power lost at moment {moment}: {fault}"));
                break;
            }
        }
    }
    outcome
}
