//! Runs the simulation for a range of seeds: `sim --seeds A..B [--trace]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Instant;

use twin_tests::sim;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((seeds, traced)) = read(&words) else {
        eprintln!("usage: sim --seeds A..B [--trace]");
        return ExitCode::FAILURE;
    };
    let (start, mut passed, mut failed, mut ops, mut devices) = (Instant::now(), 0, 0, 0, 0);
    for seed in seeds {
        let outcome = sim::run(seed, traced);
        for line in &outcome.story {
            println!("{line}");
        }
        ops += outcome.ops;
        devices += outcome.devices;
        match outcome.fault {
            None => passed += 1,
            Some(fault) => {
                failed += 1;
                println!("seed {seed}: {fault}");
                println!(
                    "  again, with its story: sim --seeds {seed}..{} --trace",
                    seed + 1
                );
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(passed + failed) / seconds;
    println!("{devices} devices, {ops} ops, {seconds:.1} s, {rate:.0} seeds/s");
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
