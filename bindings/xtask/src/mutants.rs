//! `cargo xtask mutants`: twin-identity and twin-ops with one thing wrong at a time. Their own tests must notice.
//!
//! `.cargo/mutants.toml` says what is left out, and why.

use std::fs;

use clap::Args;
use serde_json::Value;

use crate::companion::MUTANTS;
use crate::failure::{Context, Failure, Result};
use crate::process;
use crate::project::Project;

/// How many of a hundred viable mutants must be killed.
const GOAL: f64 = 95.0;

/// Which mutants.
#[derive(Args)]
pub struct Which {
    /// Only those in these files, as paths from the root; `*` stands for anything.
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Only every Nth of them, beginning with number K, from 0: to share the work, which is hours.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// How many to try at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
}

/// Tries them all, lists those that live, and fails if they are too many.
pub fn run(project: &Project, which: &Which) -> Result {
    MUTANTS.install(project)?;
    let mut command = project.command(MUTANTS.program(project));
    command
        .args([
            "mutants",
            "--package",
            "twin-identity",
            "--package",
            "twin-ops",
        ])
        .args(["--jobs", &which.jobs.to_string()])
        .arg("--output")
        .arg(&project.target)
        // Each copy of the tree builds into a folder of its own.
        .env_remove("CARGO_TARGET_DIR")
        // A mutant is built for one run of tests that take seconds: what they depend on stays optimised.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "none");
    if let Some(shard) = &which.shard {
        command.args(["--sharding", "round-robin", "--shard", shard]);
    }
    for file in &which.files {
        command.args(["--file", file]);
    }
    let status = process::stream(&mut command, |_| {})?;
    let out = project.target.join("mutants.out");
    // 0: all killed; 2 and 3: some live or run for ever; else nothing was tried.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        let out = out.display();
        return Err(Failure::new(format!(
            "no mutants were tried, see {out}/log: {status}"
        )));
    }
    let file = out.join("outcomes.json");
    let text = fs::read_to_string(&file).could_not(format!("read {}", file.display()))?;
    let score = Score::read(&serde_json::from_str(&text).could_not("read the outcomes as JSON")?)?;
    println!("{}", score.sentence());
    if score.percent() < GOAL {
        let missed = out.join("missed.txt");
        let missed = missed.display();
        return Err(Failure::new(format!(
            "fewer than {GOAL} % were killed; those that live are in {missed}"
        )));
    }
    Ok(())
}

/// What became of the mutants that could be built.
#[derive(Debug, PartialEq, Eq)]
struct Score {
    killed: u64,
    lived: u64,
}

impl Score {
    fn read(outcomes: &Value) -> Result<Self> {
        let count = |key: &str| {
            let lacks = || Failure::new(format!("the outcomes lack \"{key}\""));
            outcomes[key].as_u64().ok_or_else(lacks)
        };
        Ok(Self {
            // Who never comes to an end is noticed too.
            killed: count("caught")? + count("timeout")?,
            lived: count("missed")?,
        })
    }

    fn percent(&self) -> f64 {
        let all = self.killed + self.lived;
        if all == 0 {
            100.0
        } else {
            100.0 * self.killed as f64 / all as f64
        }
    }

    fn sentence(&self) -> String {
        let all = self.killed + self.lived;
        format!(
            "{} of {all} viable mutants killed, {:.1} %",
            self.killed,
            self.percent()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_counts_what_could_be_built() -> Result {
        let outcomes = serde_json::json!({ "total_mutants": 25, "caught": 17, "timeout": 2, "missed": 1, "unviable": 5 });
        let score = Score::read(&outcomes)?;
        assert_eq!(
            score,
            Score {
                killed: 19,
                lived: 1
            }
        );
        assert_eq!(score.sentence(), "19 of 20 viable mutants killed, 95.0 %");
        assert!(Score::read(&serde_json::json!({})).is_err());
        Ok(())
    }
}
