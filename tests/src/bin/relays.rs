//! Runs the simulation of relays for a range of seeds: `relays --seeds A..B [--trace]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Instant;

use twin_tests::relays;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((seeds, traced)) = read(&words) else {
        eprintln!("usage: relays --seeds A..B [--trace]");
        return ExitCode::FAILURE;
    };
    let (start, mut passed, mut failed) = (Instant::now(), 0, 0);
    let (mut ops, mut left, mut bytes, mut visits) = (0, 0, 0, 0);
    for seed in seeds {
        let outcome = relays::run(seed, traced);
        for line in &outcome.story {
            println!("{line}");
        }
        ops += outcome.ops;
        left += outcome.left.0;
        bytes += outcome.left.1;
        visits += outcome.visits;
        match outcome.fault {
            None => passed += 1,
            Some(fault) => {
                failed += 1;
                println!("seed {seed}: {fault}");
                println!(
                    "  again, with its story: relays --seeds {seed}..{} --trace",
                    seed + 1
                );
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(passed + failed) / seconds;
    println!("{ops} ops, {visits} visits, {left} envelopes, {bytes} bytes");
    println!("{seconds:.1} s, {rate:.1} seeds/s");
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read(words: &[String]) -> Option<(std::ops::Range<u64>, bool)> {
    let [seeds, range, options @ ..] = words else {
        return None;
    };
    let traced = match options {
        [] => false,
        [one] if one == "--trace" => true,
        _ => return None,
    };
    let (from, to) = range.split_once("..").filter(|_| seeds == "--seeds")?;
    Some((from.parse().ok()?..to.parse().ok()?, traced))
}
