//! The identity log: how long it takes to verify.

use serde_json::Value;

use super::program::Program;
use super::report::{Goal, Measure};
use crate::failure::{Failure, Result};
use crate::project::Project;

/// What a person would type.
pub const COMMAND: &str = "cargo run --release --package twin-identity --example measure";

/// What the program prints, what it means, its unit, and its goal.
const MEASURES: [(&str, &str, &str, Option<Goal>); 6] = [
    ("entries", "entries of the log", "", None),
    ("bytes", "its length", "bytes", None),
    ("signatures_ms", "its Ed25519 signatures alone", "ms", None),
    (
        "chain_ms",
        "verified, a chain",
        "ms",
        Some(Goal::Below(60.0)),
    ),
    (
        "branches_ms",
        "verified, eight branches",
        "ms",
        Some(Goal::Below(60.0)),
    ),
    (
        "one_more_ms",
        "one entry more",
        "ms",
        Some(Goal::Below(1.0)),
    ),
];

const EXAMPLE: Program = Program {
    build: &["--package", "twin-identity", "--example", "measure"],
    file: "examples/measure",
    args: &[],
};

/// Builds the program and runs it `runs` times; each run is a median of its own.
pub fn run(project: &Project, runs: u16) -> Result<Vec<Measure>> {
    EXAMPLE.measure(project, runs, measures)
}

fn measures(report: &Value) -> Result<Vec<Measure>> {
    MEASURES
        .iter()
        .map(|(key, name, unit, goal)| {
            let value = report.get(*key).and_then(Value::as_f64);
            Ok(Measure {
                name: (*name).to_owned(),
                value: value
                    .ok_or_else(|| Failure::new(format!("the measurement lacks \"{key}\"")))?,
                unit,
                goal: *goal,
            })
        })
        .collect()
}
