//! `cargo xtask test`: the suites in sequence, and one closing line.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process;
use crate::project::{Project, cargo};
use crate::suite::{SUITES, Step, Suite};
use crate::tally::{Count, Tally};

/// What became of one suite.
struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
    /// Why it did not run, or what went wrong besides the tests it counted.
    note: Option<String>,
}

/// Runs the named suites, or all of them, and says whether all is good; the last line printed is the sum.
pub fn run(project: &Project, names: &[String]) -> bool {
    let chosen = SUITES
        .iter()
        .filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name));
    let outcomes: Vec<Outcome> = chosen.map(|suite| run_suite(project, suite)).collect();
    let mut sum = Tally::default();
    println!(
        "\n{:<12}{:>8}{:>8}{:>9}{:>9}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for outcome in &outcomes {
        let Tally {
            passed,
            failed,
            skipped,
        } = outcome.tally;
        println!(
            "{:<12}{passed:>8}{failed:>8}{skipped:>9}{:>9.1}",
            outcome.name,
            outcome.took.as_secs_f64()
        );
        sum += outcome.tally;
    }
    for outcome in &outcomes {
        if let Some(note) = &outcome.note {
            println!("{}: {note}", outcome.name);
        }
    }
    println!("{sum}");
    is_good(sum)
}

/// Nothing failed, and something ran.
fn is_good(sum: Tally) -> bool {
    sum.failed == 0 && sum.ran() > 0
}

fn run_suite(project: &Project, suite: &'static Suite) -> Outcome {
    println!("\n== {} ==", suite.name);
    let start = Instant::now();
    let (tally, note) = match missing(project, suite) {
        Some((tally, note)) => (tally, Some(note)),
        None => run_steps(project, suite.steps),
    };
    Outcome {
        name: suite.name,
        tally,
        took: start.elapsed(),
        note,
    }
}

/// What the suite needs and cannot have: a skip, or a failure on a CI machine.
fn missing(project: &Project, suite: &Suite) -> Option<(Tally, String)> {
    suite.needs.iter().find_map(|need| {
        let failure = need.ensure(project).err()?;
        let tally = if project.ci && !need.is_optional() {
            Tally::ONE_FAILED
        } else {
            Tally::ONE_SKIPPED
        };
        Some((tally, format!("not run: {failure}")))
    })
}

fn run_steps(project: &Project, steps: &[Step]) -> (Tally, Option<String>) {
    let mut sum = Tally::default();
    for step in steps {
        let mut command = command(project, step);
        let mut tally = Tally::default();
        let ended = process::stream(&mut command, |line| tally += step.count.read(line));
        sum += tally;
        let problem = match ended {
            Err(failure) => Some(failure.to_string()),
            Ok(status) if !status.success() => Some(format!(
                "`{}` ended with {status}",
                process::words(&command)
            )),
            Ok(_) if !matches!(step.count, Count::Nothing) && tally.ran() == 0 => {
                Some(format!("`{}` ran no test", process::words(&command)))
            }
            Ok(_) => None,
        };
        if problem.is_some() {
            // What broke before any test could say so (a build, a crash) is a failure of its own.
            if tally.failed == 0 {
                sum += Tally::ONE_FAILED;
            }
            return (sum, problem);
        }
    }
    (sum, None)
}

fn command(project: &Project, step: &Step) -> Command {
    let program = if step.program == "cargo" {
        cargo()
    } else {
        project.fill(step.program)
    };
    let mut command = project.command(program);
    command
        .current_dir(project.root.join(step.folder))
        .args(step.args.iter().map(|word| project.fill(word)))
        .envs(
            step.env
                .iter()
                .map(|(name, value)| (name, project.fill(value))),
        );
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Result;

    const PASSES: &str = "echo 'test result: ok. 2 passed; 0 failed; 1 ignored'";

    /// What becomes of a suite whose steps are the shell's.
    fn ran(steps: &[(&'static str, Count)]) -> Result<(Tally, Option<String>)> {
        let step = |&(script, count): &(&'static str, Count)| Step {
            program: "sh",
            args: Vec::leak(vec!["-c", script]),
            folder: "",
            env: &[],
            count,
        };
        let steps: Vec<Step> = steps.iter().map(step).collect();
        Ok(run_steps(&Project::find()?, &steps))
    }

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn steps_are_added_up() -> Result {
        let steps = [
            ("true", Count::Nothing),
            (PASSES, Count::Cargo),
            (PASSES, Count::Cargo),
        ];
        assert_eq!(ran(&steps)?, (tally(4, 0, 2), None));
        Ok(())
    }

    #[test]
    fn a_failed_test_is_counted_once() -> Result {
        let fails = "echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; exit 101";
        let (sum, problem) = ran(&[(fails, Count::Cargo), (PASSES, Count::Cargo)])?;
        assert_eq!((sum, problem.is_some()), (tally(1, 1, 0), true));
        Ok(())
    }

    #[test]
    fn what_breaks_before_it_tests_is_a_failure() -> Result {
        for steps in [
            [("exit 1", Count::Nothing), (PASSES, Count::Cargo)],
            [("kill -9 $$", Count::Cargo), (PASSES, Count::Cargo)],
            [("echo hello", Count::Cargo), (PASSES, Count::Cargo)],
        ] {
            assert_eq!(ran(&steps)?.0, Tally::ONE_FAILED);
        }
        Ok(())
    }

    #[test]
    fn only_a_run_that_tested_something_and_failed_nothing_is_good() {
        assert!(is_good(tally(1, 0, 5)));
        assert!(!is_good(tally(9, 1, 0)));
        assert!(!is_good(tally(0, 0, 5)));
    }
}
