//! Runs the simulation for a range of seeds: `sim --seeds A..B [--words | --devices | --erasing] [--trace]`. Each third
//! story has words in it, unless all are to have them, or none, or things are to be erased in all.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Instant;

use twin_tests::sim::{self, Scope};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((seeds, traced, scope)) = read(&words) else {
        eprintln!("usage: sim --seeds A..B [--words | --devices | --erasing] [--trace]");
        return ExitCode::FAILURE;
    };
    let (start, mut passed, mut failed, mut ops, mut devices) = (Instant::now(), 0, 0, 0, 0);
    for seed in seeds {
        let scope = scope.unwrap_or(Scope::of(seed));
        let outcome = sim::run(seed, traced, scope);
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
                    "  again, with its story: sim --seeds {seed}..{} {} --trace",
                    seed + 1,
                    scope.option()
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

fn read(words: &[String]) -> Option<(std::ops::Range<u64>, bool, Option<Scope>)> {
    let [seeds, range, options @ ..] = words else {
        return None;
    };
    let (mut traced, mut scope) = (false, None);
    for option in options {
        match option.as_str() {
            "--trace" => traced = true,
            "--words" => scope = Some(Scope::Words),
            "--devices" => scope = Some(Scope::Devices),
            "--erasing" => scope = Some(Scope::Erasing),
            _ => return None,
        }
    }
    let (from, to) = range.split_once("..").filter(|_| seeds == "--seeds")?;
    Some((from.parse().ok()?..to.parse().ok()?, traced, scope))
}
