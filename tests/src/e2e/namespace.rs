//! A network namespace: a network stack that shares nothing with the machine's.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Takes hold of a namespace, gives it a view of its own network cards in /sys (no harm if that is refused), says so,
/// and stays until standard input closes, which happens even if the test is killed.
const HOLD: &str = "mount -t sysfs sysfs /sys 2>/dev/null; echo held; exec cat";

/// A network namespace, gone when dropped.
pub struct Namespace {
    holder: Child,
    /// Inside a user namespace, where we are not root.
    user: bool,
}

impl Namespace {
    /// A namespace with nothing in it but a loopback card, which is up.
    ///
    /// As a plain user it lies in a user namespace of its own; `beside` makes one that can be joined to it by a cable.
    pub fn new() -> Self {
        let user = !rustix::process::geteuid().is_root();
        let mut unshare = program("unshare");
        if user {
            unshare.args(["--user", "--map-root-user"]);
        }
        Self::hold(unshare, user)
    }

    /// Another namespace, of the same owner as this one.
    pub fn beside(&self) -> Self {
        let mut unshare = if self.user {
            self.enter(&["--user"])
        } else {
            program("env")
        };
        unshare.arg("unshare");
        Self::hold(unshare, self.user)
    }

    fn hold(mut unshare: Command, user: bool) -> Self {
        unshare
            .args(["--net", "--mount", "sh", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = unshare.spawn().expect("unshare is a program of util-linux");
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(
            said, "held\n",
            "no network namespace can be made here: run as root, or allow user namespaces"
        );
        let namespace = Self { holder, user };
        namespace.ip("link set lo up");
        namespace
    }

    /// The process that holds the namespace, as `ip link … netns` wants it.
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    /// A command that runs in this namespace; its process id is the program's own.
    pub fn command(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = self.enter(if self.user {
            &["--user", "--net", "--mount"]
        } else {
            &["--net", "--mount"]
        });
        command.arg(name);
        command
    }

    /// Runs `ip` with `words` in this namespace.
    pub fn ip(&self, words: &str) {
        let output = self
            .command("ip")
            .args(words.split_whitespace())
            .output()
            .expect("ip is a program of iproute2");
        assert!(
            output.status.success(),
            "ip {words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn enter(&self, kinds: &[&str]) -> Command {
        let mut nsenter = program("nsenter");
        nsenter.arg(format!("--target={}", self.id())).args(kinds);
        if self.user {
            // we are root in there already, and may not change groups
            nsenter.arg("--preserve-credentials");
        }
        // The mount namespace would set the folder to its root.
        nsenter.arg(format!(
            "--wd={}",
            std::env::current_dir().unwrap().display()
        ));
        nsenter.arg("--");
        nsenter
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Programs still inside keep the namespace until they are dropped as well.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A command that finds system programs also where a plain user's PATH leaves them out.
fn program(name: &str) -> Command {
    let mut path: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    path.extend(["/usr/sbin".into(), "/sbin".into()]);
    let mut command = Command::new(name);
    command.env("PATH", std::env::join_paths(path).unwrap());
    command
}
