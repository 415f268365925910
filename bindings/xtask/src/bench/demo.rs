//! The demonstration: how long each step takes and how many bytes each process sends.

use serde_json::Value;

use super::program::Program;
use super::report::{Goal, Measure};
use crate::failure::{Failure, Result};
use crate::project::Project;

/// What a person would type.
pub const COMMAND: &str = "cargo run --release -- demo --json";

/// From the first process to the closing table.
const GOAL_TOTAL_MS: f64 = 30_000.0;

const DEMO: Program = Program {
    build: &["--package", "twin-cli"],
    file: "twin",
    args: &["demo", "--json"],
};

/// Builds the release and runs the demonstration `runs` times.
pub fn run(project: &Project, runs: u16) -> Result<Vec<Measure>> {
    DEMO.measure(project, runs, measures)
}

/// `{"steps": [{"name", "ms"}], "traffic": [{"process", "sent", "received"}], "total_ms"}` as measures.
fn measures(report: &Value) -> Result<Vec<Measure>> {
    let list = |key: &str| report[key].as_array().ok_or_else(|| lacks(key));
    let text = |of: &Value, key: &str| of[key].as_str().map(String::from).ok_or_else(|| lacks(key));
    let value = |of: &Value, key: &str| of[key].as_f64().ok_or_else(|| lacks(key));
    let mut all = Vec::new();
    for step in list("steps")? {
        all.push(Measure {
            name: text(step, "name")?,
            value: value(step, "ms")?,
            unit: "ms",
            goal: None,
        });
    }
    let total = value(report, "total_ms")?;
    all.push(Measure {
        name: "total".into(),
        value: total,
        unit: "ms",
        goal: Some(Goal::Below(GOAL_TOTAL_MS)),
    });
    for process in list("traffic")? {
        let name = format!("sent by the {}", text(process, "process")?);
        all.push(Measure {
            name,
            value: value(process, "sent")?,
            unit: "bytes",
            goal: None,
        });
    }
    Ok(all)
}

fn lacks(key: &str) -> Failure {
    Failure::new(format!(
        "the demonstration's report lacks \"{key}\"; see bindings/xtask/src/bench/demo.rs for its form"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_report() -> Result {
        let report = serde_json::json!({
            "steps": [{"name": "link", "ms": 812.5}],
            "traffic": [{"process": "phone", "sent": 4096, "received": 12}],
            "total_ms": 9000,
        });
        let names: Vec<_> = measures(&report)?
            .into_iter()
            .map(|measure| (measure.name, measure.value))
            .collect();
        let want = [
            ("link", 812.5),
            ("total", 9000.0),
            ("sent by the phone", 4096.0),
        ];
        assert_eq!(names, want.map(|(name, value)| (name.to_owned(), value)));
        Ok(())
    }

    #[test]
    fn a_report_that_lacks_something_is_refused() {
        let refused = measures(&serde_json::json!({"steps": [], "total_ms": 1}))
            .map_err(|failure| failure.to_string());
        assert!(refused.is_err_and(|sentence| sentence.contains("\"traffic\"")));
    }
}
