//! What a suite needs besides Rust and a C compiler, and how to get it.

use std::env;
use std::path::{Path, PathBuf};

use crate::companion::DENY;
use crate::deny;
use crate::failure::{Failure, Result};
use crate::process;
use crate::project::{Project, search_path};

/// Something that must be on the machine.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// One of these programs, or else the Debian package that brings it.
    Debian {
        programs: &'static [&'static str],
        package: &'static str,
    },
    /// cargo-deny, built once into the cache.
    CargoDeny,
    /// The public list of security advisories, fetched anew.
    AdvisoryDb,
}

/// `ip`: network namespaces joined by virtual cables.
pub const IP: Tool = Tool::Debian {
    programs: &["ip"],
    package: "iproute2",
};
/// `nft`: routers between them.
pub const NFT: Tool = Tool::Debian {
    programs: &["nft"],
    package: "nftables",
};
/// A C++ compiler: libFuzzer is written in it.
pub const CXX: Tool = Tool::Debian {
    programs: &["c++", "g++", "clang++"],
    package: "g++",
};
/// What configures OpenSSL.
pub const PERL: Tool = Tool::Debian {
    programs: &["perl"],
    package: "perl",
};
/// What builds OpenSSL.
pub const MAKE: Tool = Tool::Debian {
    programs: &["make"],
    package: "make",
};
/// `unshare`, `nsenter`, `setsid`: the namespaces themselves and terminals.
pub const UNSHARE: Tool = Tool::Debian {
    programs: &["unshare"],
    package: "util-linux",
};
/// A desktop's session bus.
pub const DBUS: Tool = Tool::Debian {
    programs: &["dbus-run-session"],
    package: "dbus",
};
/// A desktop's keyring.
pub const KEYRING: Tool = Tool::Debian {
    programs: &["gnome-keyring-daemon"],
    package: "gnome-keyring",
};
/// The browser that reads the page as a person would.
pub const CHROMIUM: Tool = Tool::Debian {
    programs: BROWSERS,
    package: "chromium",
};
/// Runs the browser tests.
pub const NODE: Tool = Tool::Debian {
    programs: &["node"],
    package: "nodejs",
};
/// Installs what the browser tests depend on.
pub const NPM: Tool = Tool::Debian {
    programs: &["npm"],
    package: "npm",
};

/// The names under which Chromium is installed.
pub const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

impl Tool {
    /// Makes sure that the tool is there, installing it if need be; fails with what a person can do about it.
    pub fn ensure(self, project: &Project) -> Result {
        match self {
            Tool::Debian { programs, package } if find(programs).is_none() => {
                install(project, package)
            }
            Tool::Debian { .. } => Ok(()),
            Tool::CargoDeny => DENY.install(project),
            Tool::AdvisoryDb => deny::fetch_advisories(project),
        }
    }

    /// Whether a CI machine may do without it: a list on the internet is not a tool that we can install.
    pub fn is_optional(self) -> bool {
        matches!(self, Tool::AdvisoryDb)
    }
}

/// The first of `programs` on the search path.
pub fn find(programs: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&search_path()).collect();
    programs
        .iter()
        .flat_map(|program| folders.iter().map(move |folder| folder.join(program)))
        .find(|path| path.is_file())
}

fn install(project: &Project, package: &str) -> Result {
    let missing = || {
        Failure::new(format!(
            "{package} is missing; install it as root, on Debian by `apt-get install {package}`"
        ))
    };
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(missing());
    }
    let root = process::quietly(project.command("sh").args(["-c", "test \"$(id -u)\" = 0"]));
    if !root && !process::quietly(project.command("sudo").args(["-n", "true"])) {
        return Err(missing());
    }
    let apt = |words: &[&str]| {
        let mut command = project.command(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        process::succeed(
            command
                .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"])
                .args(words),
        )
    };
    let install = ["install", "-y", "--no-install-recommends", package];
    // Package lists that are missing or old make the first try fail at once.
    apt(&install)
        .or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
        .map_err(|_| missing())
}
