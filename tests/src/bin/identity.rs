//! Runs the simulation of identity logs for a range of seeds: `identity --seeds A..B [--trace]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Instant;

use twin_tests::identity;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((seeds, traced)) = read(&words) else {
        eprintln!("usage: identity --seeds A..B [--trace]");
        return ExitCode::FAILURE;
    };
    let (start, mut passed, mut failed) = (Instant::now(), 0, 0);
    let (mut entries, mut rotations) = (0, 0);
    let (mut attacked, mut guaranteed, mut contested) = (0, 0, 0);
    for seed in seeds {
        let outcome = identity::run(seed, traced);
        for line in &outcome.story {
            println!("{line}");
        }
        entries += outcome.entries;
        rotations += outcome.rotations;
        attacked += u64::from(outcome.attacked);
        guaranteed += u64::from(outcome.attacked && outcome.guaranteed);
        contested += u64::from(outcome.contested);
        match outcome.fault {
            None => passed += 1,
            Some(fault) => {
                failed += 1;
                println!("seed {seed}: {fault}");
                println!(
                    "  again, with its story: identity --seeds {seed}..{} --trace",
                    seed + 1
                );
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(passed + failed) / seconds;
    println!(
        "{attacked} attacked, {guaranteed} of them freed for certain, {contested} contested in the end; {entries} \
         entries, {rotations} of them rotations; {seconds:.1} s, {rate:.0} seeds/s"
    );
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read(words: &[String]) -> Option<(std::ops::Range<u64>, bool)> {
    let (range, traced) = match words {
        [seeds, range] if seeds == "--seeds" => (range, false),
        [seeds, range, trace] if seeds == "--seeds" && trace == "--trace" => (range, true),
        _ => return None,
    };
    let (from, to) = range.split_once("..")?;
    Some((from.parse().ok()?..to.parse().ok()?, traced))
}
