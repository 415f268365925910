//! `cargo xtask deny`: what we depend on, judged by cargo-deny, and our own rooms, judged by `rooms`.

use crate::companion::DENY;
use crate::failure::{Failure, Result};
use crate::process;
use crate::project::Project;
use crate::rooms;

/// Checks the arrows between the rooms, then licences, bans and sources.
pub fn run(project: &Project) -> Result {
    rooms::check(project)?;
    DENY.install(project)?;
    process::succeed(project.command(DENY.program(project)).args(CHECK))
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

/// Fetches the list of security advisories, for two minutes at most.
pub fn fetch_advisories(project: &Project) -> Result {
    DENY.install(project)?;
    let mut command = project.command("timeout");
    command
        .arg("120")
        .arg(DENY.program(project))
        .args(["fetch", "db"]);
    if process::quietly(&mut command) {
        Ok(())
    } else {
        Err(Failure::new(
            "the list of security advisories cannot be fetched from here; run this with the internet at hand",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_program_that_is_installed() -> Result {
        let project = Project::find()?;
        let program = DENY.program(&project);
        assert_eq!(program.to_string_lossy(), project.fill(PROGRAM));
        Ok(())
    }
}
