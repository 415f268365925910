//! The vault, beside plain SQLite and SQLCipher; a large one; and one that was compacted.

use super::program::{Program, Row, measures};
use super::report::{Goal, Measure};
use crate::failure::Result;
use crate::process;
use crate::project::{Project, cargo};
use crate::tool;

/// What a person would type.
pub const COMMAND: &str = "cargo run --release --package twin --example vault -- 5";

/// The fewest rounds that a median is made of.
pub const ROUNDS: u16 = 5;
/// SQLCipher's side, a workspace of its own.
const CIPHER: &str = "tests/sqlcipher/Cargo.toml";

const fn at_least(goal: f64) -> Option<Goal> {
    Some(Goal::AtLeast(goal))
}

const fn at_most(goal: f64) -> Option<Goal> {
    Some(Goal::AtMost(goal))
}

const fn below(goal: f64) -> Option<Goal> {
    Some(Goal::Below(goal))
}

/// Records of 256 bytes: speed as a ratio, above 1 where the vault is the quicker, and size as a ratio.
const COMPARED: &[Row] = &[
    ("batch_us", "a record written, 1,000 a commit", "us", None),
    (
        "batch_plain",
        "  as quick as plain SQLite",
        "x",
        at_least(1.3),
    ),
    ("batch_cipher", "  as quick as SQLCipher", "x", None),
    ("applied_us", "a record of a peer's applied", "us", None),
    (
        "applied_plain",
        "  as quick as plain writes it",
        "x",
        at_least(1.2),
    ),
    ("single_us", "a record written, 1 a commit", "us", None),
    (
        "single_plain",
        "  as quick as plain SQLite",
        "x",
        at_least(0.85),
    ),
    ("single_cipher", "  as quick as SQLCipher", "x", None),
    ("get_us", "a record read by its id", "us", None),
    (
        "get_plain",
        "  as quick as plain SQLite",
        "x",
        at_least(0.75),
    ),
    ("get_cipher", "  as quick as SQLCipher", "x", at_least(2.0)),
    ("list_us", "a list of 50", "us", below(1000.0)),
    (
        "list_plain",
        "  as quick as plain SQLite",
        "x",
        at_least(0.45),
    ),
    ("list_cipher", "  as quick as SQLCipher", "x", None),
    ("patch_us", "a field patched", "us", None),
    (
        "patch_plain",
        "  as quick as plain SQLite",
        "x",
        at_least(0.6),
    ),
    ("patch_cipher", "  as quick as SQLCipher", "x", None),
    (
        "take_up_us",
        "a record made ready for searching",
        "us",
        None,
    ),
    (
        "search_ms",
        "one word searched in 100,000 records",
        "ms",
        below(20.0),
    ),
    ("query_ms", "one value of an indexed field", "ms", None),
    ("bytes", "100,000 records", "bytes", None),
    (
        "bytes_plain",
        "  as large as plain SQLite",
        "x",
        at_most(1.25),
    ),
    ("bytes_cipher", "  as large as SQLCipher", "x", None),
];

/// A vault of 1,000,000 operations.
const MILLION: &[Row] = &[
    (
        "both_ms",
        "1,000,000 operations: opened, first read",
        "ms",
        at_most(10.0),
    ),
    (
        "rss_mb",
        "  memory above that of an empty process",
        "MB",
        at_most(15.0),
    ),
];

/// A million updates of 1,000 records, compacted.
const COMPACTED: &[Row] = &[(
    "live_ratio",
    "1,000,000 updates compacted, to live data",
    "x",
    at_most(2.0),
)];

/// Programs beside the comparison: an example of package twin, and what it prints.
const OTHERS: &[(&str, &[Row])] = &[("million", MILLION), ("compacted", COMPACTED)];

/// Builds both sides and runs them in turns, for so many rounds; then what else there is to be measured.
pub fn run(project: &Project, runs: u16) -> Result<Vec<Measure>> {
    // OpenSSL is built from source: its configuration is a Perl script, and it has a makefile.
    tool::PERL.ensure(project)?;
    tool::MAKE.ensure(project)?;
    process::succeed(
        project
            .command(cargo())
            .args(["build", "--locked", "--release", "--manifest-path", CIPHER])
            .arg("--target-dir")
            .arg(&project.target),
    )?;
    let cipher = project.target.join("release/twin-sqlcipher");
    let rounds = runs.to_string();
    let mut all = Program {
        build: &["--package", "twin", "--example", "vault"],
        file: "examples/vault",
        args: &[&rounds, &cipher.to_string_lossy()],
    }
    .measure(project, 1, |report| measures(report, COMPARED))?;
    for (name, rows) in OTHERS {
        let program = Program {
            build: &["--package", "twin", "--example", name],
            file: &format!("examples/{name}"),
            args: &[],
        };
        all.extend(program.measure(project, 1, |report| measures(report, rows))?);
    }
    Ok(all)
}
