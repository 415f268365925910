//! Cuts vaults off in the middle, for a range of seeds: `vault --seeds A..B [--kills | --losses]`. Ten times by `kill -9`
//! and ten times by a power loss for each seed.
#![allow(clippy::print_stdout, clippy::print_stderr)]
// A program that does not know where it is has nothing to test.
#![allow(clippy::panic)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use twin_tests::vault::{self, Outcome};

/// A way to cut a vault off.
struct Way {
    name: &'static str,
    option: &'static str,
    run: fn(u64) -> Outcome,
}

const WAYS: [Way; 2] = [
    Way {
        name: "kill -9 points",
        option: "--kills",
        run: |seed| match std::env::current_exe() {
            Ok(program) => vault::kills(&program, seed),
            Err(error) => panic!("{error}"),
        },
    },
    Way {
        name: "power losses",
        option: "--losses",
        run: vault::losses,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(ended) = child(&words) {
        return ended;
    }
    let Some((seeds, option)) = read(&words) else {
        eprintln!("usage: vault --seeds A..B [--kills | --losses]");
        return ExitCode::FAILURE;
    };
    let (mut passed, mut failed) = (0, 0);
    for way in WAYS {
        if option.is_some_and(|option| option != way.option) {
            continue;
        }
        let start = Instant::now();
        let (mut points, mut ahead, mut acknowledged, mut faults) = (0, 0, 0, 0);
        for seed in seeds.clone() {
            let outcome = (way.run)(seed);
            points += outcome.points;
            ahead += outcome.ahead;
            acknowledged += outcome.acknowledged;
            match outcome.fault {
                None => passed += 1,
                Some(fault) => {
                    faults += 1;
                    println!("seed {seed}: {fault}");
                    println!("  again: vault --seeds {seed}..{} {}", seed + 1, way.option);
                }
            }
        }
        failed += faults;
        println!(
            "{points} {}: {acknowledged} steps acknowledged and none lost, {ahead} there before they were, {faults} faults; \
             {:.1} s",
            way.name,
            start.elapsed().as_secs_f64()
        );
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The process that is to be killed.
fn child(words: &[String]) -> Option<ExitCode> {
    let [option, home, seed, taken, calls @ ..] = words else {
        return None;
    };
    if option != "--child" {
        return None;
    }
    let calls = match calls.first() {
        Some(calls) => Some(calls.parse().ok()?),
        None => None,
    };
    let (seed, taken) = (seed.parse().ok()?, taken.parse().ok()?);
    match vault::kill::child(Path::new(home), seed, taken, calls) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("a step failed: {error:?}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn read(words: &[String]) -> Option<(std::ops::Range<u64>, Option<&str>)> {
    let (range, option) = match words {
        [seeds, range] if seeds == "--seeds" => (range, None),
        [seeds, range, option] if seeds == "--seeds" => (range, Some(option.as_str())),
        _ => return None,
    };
    if option.is_some_and(|option| WAYS.iter().all(|way| way.option != option)) {
        return None;
    }
    let (from, to) = range.split_once("..")?;
    Some((from.parse().ok()?..to.parse().ok()?, option))
}
