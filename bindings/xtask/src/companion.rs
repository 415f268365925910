//! Cargo's companions: programs that are built once, at one version, and kept in the cache.

use std::path::PathBuf;

use crate::failure::{Context, Result};
use crate::process;
use crate::project::{Project, cargo};

/// A program on crates.io that adds a command to cargo.
#[derive(Clone, Copy, Debug)]
pub struct Companion {
    /// The crate, and the program that it installs.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// Licences, bans, sources and advisories of what we depend on.
pub const DENY: Companion = Companion {
    name: "cargo-deny",
    version: "0.20.2",
};
/// Fuzzers, built and run.
pub const FUZZ: Companion = Companion {
    name: "cargo-fuzz",
    version: "0.13.2",
};
/// Mutants: the code with one thing wrong at a time.
pub const MUTANTS: Companion = Companion {
    name: "cargo-mutants",
    version: "27.1.0",
};

impl Companion {
    /// Where the program is, once it is installed.
    pub fn program(&self, project: &Project) -> PathBuf {
        self.home(project).join("bin").join(self.name)
    }

    fn home(&self, project: &Project) -> PathBuf {
        project
            .cache
            .join(format!("{}-{}", self.name, self.version))
    }

    /// Builds it into the cache unless it is there.
    pub fn install(&self, project: &Project) -> Result {
        if self.program(project).is_file() {
            return Ok(());
        }
        eprintln!(
            "{} {} is built once and kept in {}",
            self.name,
            self.version,
            project.cache.display()
        );
        let build = project.cache.join(format!("{}-build", self.name));
        let mut command = project.command(cargo());
        command
            .args(["install", "--locked", "--no-track", "--force"])
            .args(["--version", self.version, self.name, "--root"])
            .arg(self.home(project))
            .arg("--target-dir")
            .arg(&build)
            // It runs for seconds, or waits for others: the time goes into building it.
            .args(["--config", "profile.release.lto=false"])
            .args(["--config", "profile.release.opt-level=0"])
            .args(["--config", "profile.release.codegen-units=64"])
            .env_remove("RUSTFLAGS");
        process::succeed(&mut command)?;
        std::fs::remove_dir_all(&build).could_not(format!("remove {}", build.display()))
    }
}
