//! A program of ours that measures itself and prints what it found as JSON, on its last line.

use serde_json::Value;

use super::report::{Goal, Measure, median};
use crate::failure::{Context, Failure, Result};
use crate::process;
use crate::project::{Project, cargo};

/// What a program prints, what it means, its unit, and its goal.
pub type Row = (&'static str, &'static str, &'static str, Option<Goal>);

/// The numbers of a report whose rows are known.
pub fn measures(report: &Value, rows: &[Row]) -> Result<Vec<Measure>> {
    rows.iter()
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

/// How a program is built, found below `release` and called.
pub struct Program<'a> {
    pub build: &'a [&'a str],
    pub file: &'a str,
    pub args: &'a [&'a str],
}

impl Program<'_> {
    /// Builds it, runs it `runs` times and reads each report with `measures`; gives the median of each measure.
    pub fn measure(
        &self,
        project: &Project,
        runs: u16,
        measures: impl Fn(&Value) -> Result<Vec<Measure>>,
    ) -> Result<Vec<Measure>> {
        process::succeed(
            project
                .command(cargo())
                .args(["build", "--locked", "--release"])
                .args(self.build),
        )?;
        let all: Result<Vec<_>> = (0..runs)
            .map(|_| measures(&self.report(project)?))
            .collect();
        all.map(|all| median(&all))
    }

    fn report(&self, project: &Project) -> Result<Value> {
        let mut last = String::new();
        let mut command = project.command(project.target.join("release").join(self.file));
        let status = process::stream(command.args(self.args), |line| line.clone_into(&mut last))?;
        if !status.success() {
            return Err(Failure::new(format!(
                "the measurement ended with {status}; what it said is above"
            )));
        }
        serde_json::from_str(&last).could_not("read the last line of the measurement as JSON")
    }
}
