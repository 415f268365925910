//! One megabyte of anything, to every parser of twin-identity and twin-ops: how long until it is answered.

use super::report::{Goal, Measure, median};
use crate::failure::{Failure, Result};
use crate::process;
use crate::project::{Project, cargo};

/// What a person would type.
pub const COMMAND: &str =
    "cargo test --release --package twin-identity --package twin-ops --test bounded -- --nocapture";

/// For the worst of all inputs.
const GOAL_MS: f64 = 10.0;

/// Builds the tests and runs them `runs` times.
pub fn run(project: &Project, runs: u16) -> Result<Vec<Measure>> {
    let all: Result<Vec<_>> = (0..runs).map(|_| once(project)).collect();
    all.map(|all| median(&all))
}

fn once(project: &Project) -> Result<Vec<Measure>> {
    let mut all = Vec::new();
    let mut command = project.command(cargo());
    command.args(COMMAND.split(' ').skip(1));
    let status = process::stream(&mut command, |line| all.extend(measure(line)))?;
    if !status.success() || all.is_empty() {
        return Err(Failure::new(format!(
            "the measurement ended with {status}; what it said is above"
        )));
    }
    Ok(all)
}

/// `bounded: words 0.0 times the input, 1.25 ms` as a measure; other lines are none.
fn measure(line: &str) -> Option<Measure> {
    let (name, rest) = line.strip_prefix("bounded: ")?.split_once(' ')?;
    let (_, ms) = rest.split_once(", ")?;
    Some(Measure {
        name: name.to_owned(),
        value: ms.strip_suffix(" ms")?.parse().ok()?,
        unit: "ms",
        goal: Some(Goal::Below(GOAL_MS)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_test_prints() {
        let read = measure("bounded: words 0.0 times the input, 1.25 ms");
        let read = read.map(|read| (read.name, read.value, read.unit));
        assert_eq!(read, Some(("words".to_owned(), 1.25, "ms")));
        assert!(measure("running 1 test").is_none());
    }
}
