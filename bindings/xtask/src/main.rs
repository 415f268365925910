//! Everything CI does, one command each: `cargo xtask help` lists them.
//!
//! `project` knows the folders, `process` runs programs, `tool` installs what a run needs, `tally` counts tests,
//! `suite` is the table of test suites, `rooms` guards who may depend on whom, `companion` are programs of others, kept in
//! the cache; `test`, `soak` (with `fuzz`), `mutants`, `bench` and `deny` are the commands.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod companion;
mod deny;
mod failure;
mod fuzz;
mod machine;
mod mutants;
mod process;
mod project;
mod rooms;
mod soak;
mod suite;
mod tally;
mod test;
mod tool;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

use failure::Result;
use project::Project;

/// Everything CI does, one command each.
#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test, one suite after the other, and close with `N passed, M failed, K skipped`.
    ///
    /// Installs for itself what a suite needs (Debian packages as root or with passwordless sudo). What cannot be
    /// installed is a skip that is counted and named, or a failure where CI=true.
    Test {
        /// Only these suites.
        #[arg(value_name = "SUITE", value_parser = PossibleValuesParser::new(suite::names()))]
        suites: Vec<String>,
    },
    /// Run for long: many seeds of the simulator, vaults cut off a thousand times, and every parser fuzzed.
    Soak {
        /// Only this one.
        #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(soak::names()))]
        name: Option<String>,
        #[command(flatten)]
        length: soak::Length,
    },
    /// Try every mutant of twin-identity and twin-ops: the code with one thing wrong, which their tests must notice.
    Mutants {
        #[command(flatten)]
        which: mutants::Which,
    },
    /// Measure, print a table and write target/bench/NAME.json.
    Bench {
        /// What to measure.
        #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(bench::names()))]
        name: String,
        /// Measure this many times and report the median.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
        runs: u16,
    },
    /// Check licences, banned crates and sources of what we depend on, and the arrows between our own rooms.
    Deny,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let project = Project::find()?;
    match command {
        // Its closing line stays the last one, also when something failed.
        Command::Test { suites } if !test::run(&project, &suites) => return Ok(ExitCode::FAILURE),
        Command::Test { .. } => {}
        Command::Soak { name, length } => soak::run(&project, name.as_deref(), &length)?,
        Command::Mutants { which } => mutants::run(&project, &which)?,
        Command::Bench { name, runs } => bench::run(&project, &name, runs)?,
        Command::Deny => deny::run(&project)?,
    }
    Ok(ExitCode::SUCCESS)
}
