//! Sync: what it takes two devices to become equal, beside what others need to find out what is lacking.

use super::program::{Program, Row, measures};
use super::report::{Goal, Measure};
use crate::failure::Result;
use crate::process;
use crate::project::{Project, cargo};

/// What a person would type.
pub const COMMAND: &str = "cargo run --release --package twin --example sync";

/// The fewest runs that a median is made of.
pub const RUNS: u16 = 3;
/// The others' side, a workspace of its own.
const OTHERS: &str = "tests/reconcilers/Cargo.toml";
/// What the others compare: as many operations, of which as many are lacking, by as many writers as here.
const WORK: [&[&str]; 2] = [&["1000000", "1000", "2"], &["1000000", "1000", "14"]];

const fn at_most(goal: f64) -> Option<Goal> {
    Some(Goal::AtMost(goal))
}

const fn at_least(goal: f64) -> Option<Goal> {
    Some(Goal::AtLeast(goal))
}

/// Two replicas of 1,000,000 operations.
const OURS: &[Row] = &[
    (
        "few_overhead_bytes",
        "1,000 of 1,000,000 ops lacking, 4 devices: to find out",
        "bytes",
        at_most(1000.0),
    ),
    (
        "few_round_trips",
        "  before ops come",
        "trips",
        at_most(1.0),
    ),
    (
        "many_overhead_bytes",
        "  to find out, 16 devices",
        "bytes",
        None,
    ),
    (
        "many_round_trips",
        "  before ops come, 16 devices",
        "trips",
        at_most(1.0),
    ),
    (
        "few_nothing_bytes",
        "nothing to do at 1,000,000 ops, both ways",
        "bytes",
        at_most(200.0),
    ),
    ("few_nothing_us", "  work of one side", "us", at_most(100.0)),
    (
        "many_nothing_bytes",
        "  both ways, 16 devices",
        "bytes",
        at_most(200.0),
    ),
    (
        "many_nothing_us",
        "  work of one side, 16 devices",
        "us",
        at_most(100.0),
    ),
    (
        "few_handshake_bytes",
        "  the handshake before it, both ways",
        "bytes",
        None,
    ),
    ("few_handshake_us", "  its signatures, one side", "us", None),
    ("written_us", "a record written, 1,000 a commit", "us", None),
    ("first_us", "a record synced for the first time", "us", None),
    ("first_written", "  as quick as written", "x", at_least(0.8)),
    (
        "first_cpu_us",
        "  processor, both devices and network",
        "us",
        None,
    ),
    (
        "first_sending_us",
        "  of it the session that sends",
        "us",
        None,
    ),
    ("first_read_us", "    reading from the vault", "us", None),
    (
        "first_taking_us",
        "  of it the session that takes",
        "us",
        None,
    ),
    (
        "first_applied_us",
        "    verifying, storing and merging",
        "us",
        None,
    ),
    ("first_bytes", "  all records, sent", "bytes", None),
    ("revoke_ms", "1 of 16 devices removed", "ms", at_most(20.0)),
    (
        "revoke_bytes",
        "  told another device, after the handshake",
        "bytes",
        at_most(25_000.0),
    ),
    (
        "revoke_all_bytes",
        "  with the handshake",
        "bytes",
        at_most(25_000.0),
    ),
];

/// What others need to find out the same.
const THEIRS: &[Row] = &[
    (
        "negentropy_by_time_bytes",
        "negentropy, sorted by time",
        "bytes",
        None,
    ),
    ("negentropy_by_time_trips", "  trips", "trips", None),
    (
        "negentropy_by_id_bytes",
        "negentropy, sorted by id",
        "bytes",
        None,
    ),
    ("negentropy_by_id_trips", "  trips", "trips", None),
    (
        "automerge_bytes",
        "Automerge, peers that never met",
        "bytes",
        None,
    ),
    ("automerge_trips", "  trips", "trips", None),
    (
        "automerge_again_bytes",
        "Automerge, peers that were in sync before",
        "bytes",
        None,
    ),
    ("automerge_again_trips", "  trips", "trips", None),
];

/// Builds both sides; ours runs so often, theirs, which counts bytes only, once for few and once for many writers.
pub fn run(project: &Project, runs: u16) -> Result<Vec<Measure>> {
    process::succeed(
        project
            .command(cargo())
            .args(["build", "--locked", "--release", "--manifest-path", OTHERS])
            .arg("--target-dir")
            .arg(&project.target),
    )?;
    let mut all = Program {
        build: &["--package", "twin", "--example", "sync"],
        file: "examples/sync",
        args: &[],
    }
    .measure(project, runs, |report| measures(report, OURS))?;
    for work in WORK {
        let others = Program {
            build: &["--package", "twin", "--example", "sync"],
            file: "twin-reconcilers",
            args: work,
        };
        let writers = work.last().copied().unwrap_or_default();
        let theirs = others.measure(project, 1, |report| measures(report, THEIRS))?;
        all.extend(theirs.into_iter().map(|measure| {
            let name = match measure.name.strip_prefix("  ") {
                Some(name) => format!("  {name}"),
                None => format!("{}, {writers} writers", measure.name),
            };
            Measure { name, ..measure }
        }));
    }
    Ok(all)
}
