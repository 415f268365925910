//! `cargo xtask bench NAME`: numbers held against goals.

mod demo;
mod identity;
mod parsers;
mod program;
mod report;
mod sync;
mod vault;

use crate::failure::{Failure, Result};
use crate::machine;
use crate::project::Project;
use report::Measure;

/// One thing that can be measured: the command a person could run by hand, and the numbers it gives.
struct Bench {
    name: &'static str,
    command: &'static str,
    /// The fewest runs that its median is made of.
    least: u16,
    run: fn(&Project, u16) -> Result<Vec<Measure>>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "demo",
        command: demo::COMMAND,
        least: 1,
        run: demo::run,
    },
    Bench {
        name: "identity",
        command: identity::COMMAND,
        least: 1,
        run: identity::run,
    },
    Bench {
        name: "parsers",
        command: parsers::COMMAND,
        least: 1,
        run: parsers::run,
    },
    Bench {
        name: "sync",
        command: sync::COMMAND,
        least: sync::RUNS,
        run: sync::run,
    },
    Bench {
        name: "vault",
        command: vault::COMMAND,
        least: vault::ROUNDS,
        run: vault::run,
    },
];

/// The names of all benches.
pub fn names() -> Vec<&'static str> {
    BENCHES.iter().map(|bench| bench.name).collect()
}

/// Measures, prints the table and writes it down; fails if a goal was missed.
pub fn run(project: &Project, name: &str, runs: u16) -> Result {
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    let bench = bench.ok_or_else(|| {
        Failure::new(format!(
            "there is no bench {name}; choose one of {}",
            names().join(", ")
        ))
    })?;
    let runs = runs.max(bench.least);
    let measures = (bench.run)(project, runs)?;
    println!("\n{}", report::table(&measures));
    println!(
        "machine: {}\ncommand: {}, median of {runs}",
        machine::describe(),
        bench.command
    );
    let file = report::write(project, name, &measures)?;
    println!("written: {}", file.display());
    match measures
        .iter()
        .filter(|measure| measure.met() == Some(false))
        .count()
    {
        0 => Ok(()),
        missed => Err(Failure::new(format!("{missed} of the goals above not met"))),
    }
}
