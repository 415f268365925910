//! `cargo xtask deny`: what we depend on, judged by cargo-deny, and our own rooms, judged by `rooms`.

use std::path::PathBuf;

use crate::failure::{Context, Failure, Result};
use crate::process;
use crate::project::{Project, cargo};
use crate::rooms;

const VERSION: &str = "0.20.2";

/// Checks the arrows between the rooms, then licences, bans and sources.
pub fn run(project: &Project) -> Result {
    rooms::check(project)?;
    install(project)?;
    process::succeed(project.command(program(project)).args(CHECK))
}

/// The checks that need nothing from outside. A room may be named as the only one for a crate before it uses it.
pub const CHECK: &[&str] = &[
    "--locked",
    "check",
    "--hide-inclusion-graph",
    "--allow=unused-wrapper",
    "bans",
    "licenses",
    "sources",
];

/// The place of the program, as written in the table of suites.
pub const PROGRAM: &str = "{cache}/cargo-deny-0.20.2/bin/cargo-deny";

/// Builds cargo-deny into the cache unless it is there.
pub fn install(project: &Project) -> Result {
    let program = program(project);
    if process::quietly(project.command(&program).arg("--version")) {
        return Ok(());
    }
    eprintln!(
        "cargo-deny {VERSION} is built once and kept in {}",
        project.cache.display()
    );
    let home = project.cache.join(format!("cargo-deny-{VERSION}"));
    let build = project.cache.join("cargo-deny-build");
    let mut command = project.command(cargo());
    command
        .args([
            "install",
            "--locked",
            "--no-track",
            "--force",
            "--version",
            VERSION,
            "cargo-deny",
            "--root",
        ])
        .arg(&home)
        .arg("--target-dir")
        .arg(&build)
        // Built for one run of a second: the time goes into building it, not into running it.
        .args([
            "--config",
            "profile.release.lto=false",
            "--config",
            "profile.release.opt-level=0",
        ])
        .args(["--config", "profile.release.codegen-units=64"])
        .env_remove("RUSTFLAGS");
    process::succeed(&mut command)?;
    std::fs::remove_dir_all(&build).could_not(format!("remove {}", build.display()))
}

/// Fetches the list of security advisories, for two minutes at most.
pub fn fetch_advisories(project: &Project) -> Result {
    install(project)?;
    let mut command = project.command("timeout");
    command
        .arg("120")
        .arg(program(project))
        .args(["fetch", "db"]);
    if process::quietly(&mut command) {
        Ok(())
    } else {
        Err(Failure::new(
            "the list of security advisories cannot be fetched from here; run this with the internet at hand",
        ))
    }
}

fn program(project: &Project) -> PathBuf {
    project.fill(PROGRAM).into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_names_the_version_that_is_installed() {
        assert!(super::PROGRAM.contains(&format!("cargo-deny-{}/", super::VERSION)));
    }
}
