//! The identity log: how long it takes to verify.

use super::program::{Program, Row, measures};
use super::report::{Goal, Measure};
use crate::failure::Result;
use crate::project::Project;

/// What a person would type.
pub const COMMAND: &str = "cargo run --release --package twin-identity --example measure";

const MEASURES: &[Row] = &[
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
    EXAMPLE.measure(project, runs, |report| measures(report, MEASURES))
}
