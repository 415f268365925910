//! Where things are: the checkout, the build folder, the cache outside the checkout.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Context, Failure, Result};
use crate::tool;

/// The checkout this command was started in, and the folders that belong to it.
pub struct Project {
    /// The folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
    /// Tools kept between runs and checkouts; may be empty or gone at any time.
    pub cache: PathBuf,
    /// True on a CI machine, where a missing tool is a failure.
    pub ci: bool,
}

impl Project {
    /// Asks cargo where the workspace is.
    pub fn find() -> Result<Self> {
        let metadata = metadata(Path::new(env!("CARGO_MANIFEST_DIR")), &["--no-deps"])?;
        let folder = |key: &str| {
            let path = metadata.get(key).and_then(Value::as_str).map(PathBuf::from);
            path.ok_or_else(|| Failure::new(format!("cargo metadata did not say its {key}")))
        };
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
            cache: cache()?,
            ci: env::var("CI").is_ok_and(|value| value == "true"),
        })
    }

    /// A command that runs in the checkout, finds the tools of system administrators (`ip`), and reads no input.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("PATH", search_path())
            .stdin(Stdio::null());
        command
    }

    /// Fills in `{target}`, `{cache}`, `{root}` and `{chromium}` in a word of a table.
    pub fn fill(&self, word: &str) -> String {
        let chromium = || tool::find(tool::BROWSERS).unwrap_or_default();
        let word = if word.contains("{chromium}") {
            word.replace("{chromium}", &chromium().to_string_lossy())
        } else {
            word.to_owned()
        };
        let folders = [
            ("{target}", &self.target),
            ("{cache}", &self.cache),
            ("{root}", &self.root),
        ];
        folders.iter().fold(word, |word, (name, folder)| {
            word.replace(name, &folder.to_string_lossy())
        })
    }
}

/// The cargo that started us, so that every build uses one toolchain.
pub fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// What `cargo metadata` says about the workspace around `folder`.
pub fn metadata(folder: &Path, options: &[&str]) -> Result<Value> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1"])
        .args(options)
        .current_dir(folder)
        .output()
        .could_not("run cargo metadata")?;
    if !output.status.success() {
        return Err(Failure::new(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    serde_json::from_slice(&output.stdout).could_not("read what cargo metadata printed")
}

/// The folders programs are looked for in: PATH and the two that a plain user's PATH leaves out.
pub fn search_path() -> std::ffi::OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&own).chain(["/usr/sbin".into(), "/sbin".into()]);
    env::join_paths(folders).unwrap_or(own)
}

fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir()
            .ok_or_else(|| {
                Failure::new("there is no home folder for the cache; set XDG_CACHE_HOME")
            })?
            .join(".cache"),
    };
    Ok(base.join("digital-twin"))
}
