//! `cargo xtask soak`: what is too long for every commit.

use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;

use crate::failure::{Failure, Result};
use crate::fuzz;
use crate::process;
use crate::project::{Project, cargo};

/// How long to run: until the seeds are used up or the time is, whichever comes first.
#[derive(Args)]
pub struct Length {
    /// How many seeds to run: unless told 100,000 for `sim`, 5,000 for `relays`, 10,000 for `identity`, and 100 for `vault`, each of which cuts
    /// vaults off twenty times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Stop after this many minutes; each fuzzer runs for so long, 5 unless told.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
}

/// Something that takes a range of seeds: built once, then run chunk by chunk.
struct Soak {
    name: &'static str,
    build: &'static [&'static str],
    program: &'static str,
    /// Seeds run between two looks at the clock.
    chunk: u64,
    /// Seeds run unless told.
    seeds: u64,
}

const SOAKS: &[Soak] = &[
    // Several devices with cut, slow and reordering links, in virtual time; with words in each third story.
    Soak {
        name: "sim",
        build: &[
            "build",
            "--locked",
            "--release",
            "--package",
            "twin-tests",
            "--bin",
            "sim",
        ],
        program: "{target}/release/sim",
        chunk: 200,
        seeds: 100_000,
    },
    // Devices that never meet, and relays that lie, forget and are full; days go by.
    Soak {
        name: "relays",
        build: &[
            "build",
            "--locked",
            "--release",
            "--package",
            "twin-tests",
            "--bin",
            "relays",
        ],
        program: "{target}/release/relays",
        chunk: 50,
        seeds: 5_000,
    },
    // Identity logs alone: an owner, partitions, and a thief with stolen keys and words.
    Soak {
        name: "identity",
        build: &[
            "build",
            "--locked",
            "--release",
            "--package",
            "twin-tests",
            "--bin",
            "identity",
        ],
        program: "{target}/release/identity",
        chunk: 1000,
        seeds: 10_000,
    },
    // Vaults that are cut off under load: 1,000 times by kill -9, 1,000 times by a power loss.
    Soak {
        name: "vault",
        build: &[
            "build",
            "--locked",
            "--release",
            "--package",
            "twin-tests",
            "--bin",
            "vault",
        ],
        program: "{target}/release/vault",
        chunk: 100,
        seeds: 100,
    },
];

/// The names of all soaks.
pub fn names() -> Vec<&'static str> {
    let seeded = SOAKS.iter().map(|soak| soak.name);
    seeded.chain([fuzz::NAME]).collect()
}

/// Runs the named soak, or each of them for the length given.
pub fn run(project: &Project, name: Option<&str>, length: &Length) -> Result {
    let chosen = |soak: &str| name.is_none_or(|name| name == soak);
    SOAKS
        .iter()
        .filter(|soak| chosen(soak.name))
        .try_for_each(|soak| soak.run(project, length))?;
    if chosen(fuzz::NAME) {
        fuzz::run(project, length.minutes)?;
    }
    Ok(())
}

impl Soak {
    fn run(&self, project: &Project, length: &Length) -> Result {
        process::succeed(project.command(cargo()).args(self.build))?;
        let start = Instant::now();
        let limit = length
            .minutes
            .map(|minutes| Duration::from_secs(minutes * 60));
        let seeds = length.seeds.unwrap_or(self.seeds);
        let mut done = 0;
        while done < seeds && limit.is_none_or(|limit| start.elapsed() < limit) {
            let next = (done + self.chunk).min(seeds);
            let mut command = self.seeds(project, length.from + done, length.from + next);
            if !process::stream(&mut command, |_| {})?.success() {
                let words = process::words(&command);
                return Err(Failure::new(format!(
                    "{} found a fault; see above, and run it again by `{words}`",
                    self.name
                )));
            }
            done = next;
            println!(
                "{}: {done} of {seeds} seeds held, {} s",
                self.name,
                start.elapsed().as_secs()
            );
        }
        Ok(())
    }

    fn seeds(&self, project: &Project, from: u64, to: u64) -> Command {
        let mut command = project.command(project.fill(self.program));
        command.arg("--seeds").arg(format!("{from}..{to}"));
        command
    }
}
