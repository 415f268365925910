//! Processes that are killed, and power that goes.

use std::path::Path;

use twin_tests::dice::Dice;
use twin_tests::vault::power::Run;
use twin_tests::vault::{Outcome, kills, losses};

/// How many seeds a test runs: ten points each.
const SLICE: u64 = 4;

fn held(option: &str, seeds: std::ops::Range<u64>, run: impl Fn(u64) -> Outcome) {
    let mut acknowledged = 0;
    for seed in seeds {
        let outcome = run(seed);
        if let Some(fault) = outcome.fault {
            panic!(
                "seed {seed}: {fault}; again: vault --seeds {seed}..{} {option}",
                seed + 1
            );
        }
        assert_eq!(outcome.points, 10);
        acknowledged += outcome.acknowledged;
    }
    assert!(acknowledged > 20, "there was something to lose");
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let program = Path::new(env!("CARGO_BIN_EXE_vault"));
    held("--kills", 0..SLICE, |seed| kills(program, seed));
}

#[test]
fn a_power_loss_loses_nothing_acknowledged() {
    held("--losses", 0..SLICE, losses);
}

/// What the disk loses is real: one that says that it has synced, and has not, loses what was acknowledged.
#[test]
fn a_disk_that_lies_loses_what_was_acknowledged() {
    let mut dice = Dice::new(1);
    let mut lost = 0;
    for seed in 0..4 {
        let run = Run::new(seed).unwrap();
        let mut lose = || run.lose(run.len() * 3 / 4, true, &mut dice);
        lost += (0..20).filter(|_| lose().is_err()).count();
    }
    assert!(lost > 20, "{lost}");
}
