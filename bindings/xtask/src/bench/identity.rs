//! The identity log: how long it takes to verify.

use serde_json::Value;

use super::report::{Measure, median};
use crate::failure::{Context, Failure, Result};
use crate::process;
use crate::project::{Project, cargo};

/// What a person would type.
pub const COMMAND: &str = "cargo run --release --package twin-identity --example measure";

/// What the program prints, what it means, its unit, and what it must stay below.
const MEASURES: [(&str, &str, &str, Option<f64>); 6] = [
    ("entries", "entries of the log", "", None),
    ("bytes", "its length", "bytes", None),
    ("signatures_ms", "its Ed25519 signatures alone", "ms", None),
    ("chain_ms", "verified, a chain", "ms", Some(60.0)),
    ("branches_ms", "verified, eight branches", "ms", Some(60.0)),
    ("one_more_ms", "one entry more", "ms", Some(1.0)),
];

/// Builds the program and runs it `runs` times; each run is a median of its own.
pub fn run(project: &Project, runs: u16) -> Result<Vec<Measure>> {
    process::succeed(project.command(cargo()).args([
        "build",
        "--locked",
        "--release",
        "--package",
        "twin-identity",
        "--example",
        "measure",
    ]))?;
    let all: Result<Vec<_>> = (0..runs).map(|_| once(project)).collect();
    all.map(|all| median(&all))
}

fn once(project: &Project) -> Result<Vec<Measure>> {
    let mut last = String::new();
    let mut command = project.command(project.target.join("release/examples/measure"));
    let status = process::stream(&mut command, |line| line.clone_into(&mut last))?;
    if !status.success() {
        return Err(Failure::new(format!("the measurement ended with {status}")));
    }
    let report: Value =
        serde_json::from_str(&last).could_not("read the last line of the measurement as JSON")?;
    MEASURES
        .iter()
        .map(|(key, name, unit, below)| {
            let value = report.get(*key).and_then(Value::as_f64);
            Ok(Measure {
                name: (*name).to_owned(),
                value: value
                    .ok_or_else(|| Failure::new(format!("the measurement lacks \"{key}\"")))?,
                unit,
                below: *below,
            })
        })
        .collect()
}
