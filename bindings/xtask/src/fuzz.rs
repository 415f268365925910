//! `cargo xtask soak fuzz`: every parser of twin-identity, twin-ops and twin-sync and every reader of a vault's file and of
//! imports, fed by libFuzzer (`tests/fuzz`). What only comes out of a seal that nobody else can make (manifests of files,
//! sections of grants) is fed by the unit tests beside it.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::companion::FUZZ;
use crate::failure::{Context, Failure, Result};
use crate::process;
use crate::project::Project;
use crate::tool;

/// Its name among the soaks.
pub const NAME: &str = "fuzz";

const FOLDER: &str = "tests/fuzz";
/// How long each parser is fed, in minutes, unless told.
const MINUTES: u64 = 5;

/// Builds the fuzzers with the toolchain of everything else and runs them, as many at a time as there are cores. A fault
/// is written to `tests/fuzz/artifacts`, and the others still run.
pub fn run(project: &Project, minutes: Option<u64>) -> Result {
    tool::CXX.ensure(project)?;
    FUZZ.install(project)?;
    let targets = targets(project)?;
    process::succeed(&mut command(project, "build"))?;
    let minutes = minutes.unwrap_or(MINUTES);
    let left = Mutex::new(targets.iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || -> Result<Vec<&str>> {
        let mut faults = Vec::new();
        while let Some(target) = next() {
            if !feed(project, target, minutes)? {
                faults.push(target.as_str());
            }
            println!("{NAME}: {target} done");
        }
        Ok(faults)
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let faults: Result<Vec<_>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let ended = workers.into_iter().map(|worker| {
            worker
                .join()
                .map_err(|_| Failure::new("a fuzzer's thread ended badly"))?
        });
        ended.collect()
    });
    let faults = faults?.concat();
    if faults.is_empty() {
        println!("{NAME}: {} parsers held", targets.len());
        Ok(())
    } else {
        let faults = faults.join(", ");
        Err(Failure::new(format!(
            "fuzzing found a fault in {faults}; the inputs are in {FOLDER}/artifacts, and go to {FOLDER}/corpus with the fix"
        )))
    }
}

/// Runs one fuzzer on the corpus and on what it finds, which is kept with the build; false if it found a fault.
fn feed(project: &Project, target: &str, minutes: u64) -> Result<bool> {
    let found = project.target.join(NAME).join("found").join(target);
    fs::create_dir_all(&found).could_not(format!("make {}", found.display()))?;
    let mut command = command(project, "run");
    command
        .arg(target)
        .arg(found)
        .arg(project.root.join(FOLDER).join("corpus").join(target))
        .arg("--")
        .arg(format!("-max_total_time={}", minutes * 60))
        // Seconds and MiB for one input.
        .args(["-timeout=5", "-rss_limit_mb=1024"]);
    process::stream(&mut command, |_| {}).map(|status| status.success())
}

/// No sanitizer, since those need a nightly compiler; what they would find is ruled out by the absence of `unsafe`.
fn command(project: &Project, what: &str) -> Command {
    let mut command = project.command(FUZZ.program(project));
    command
        .args(["fuzz", what, "--fuzz-dir", FOLDER, "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(project.target.join(NAME));
    command
}

/// The names of all fuzzers, sorted.
fn targets(project: &Project) -> Result<Vec<String>> {
    let folder = project.root.join(FOLDER).join("fuzz_targets");
    let doing = || format!("list {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).could_not(doing())? {
        let path = entry.could_not(doing())?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::metadata;

    /// A fuzzer that nobody names is never built, and one without a corpus starts from nothing.
    #[test]
    fn every_fuzzer_is_named_and_has_a_corpus() -> Result {
        let project = Project::find()?;
        let folder = project.root.join(FOLDER);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).could_not("read it")?;
        let targets = targets(&project)?;
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        for target in targets {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
                "{target}"
            );
            assert!(folder.join("corpus").join(&target).is_dir(), "{target}");
        }
        Ok(())
    }

    /// A workspace of its own has a lock of its own, which the builds of the other do not bring up to date.
    #[test]
    fn the_lock_of_the_fuzzers_is_up_to_date() -> Result {
        metadata(&Project::find()?.root.join(FOLDER), &["--locked"]).map(drop)
    }
}
