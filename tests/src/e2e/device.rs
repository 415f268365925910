//! A device: a machine on the network with a folder of its own and the built `twin` command.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Cable, Finished, Lan, Namespace, Program};

/// The library that sets a clock ahead, beside the home.
const CLOCK: &str = "clock.so";

/// A device that `twin` runs on.
pub struct Device<'a> {
    home: TempDir,
    password: String,
    namespace: Namespace,
    /// How far its clock is ahead, in days.
    days_ahead: u32,
    /// What joins it to the others.
    pub cable: Cable<'a>,
}

impl<'a> Device<'a> {
    /// A new machine on `lan` with an empty home.
    pub fn new(lan: &'a Lan, password: &str) -> Self {
        let (namespace, cable) = lan.join();
        let home = TempDir::new().expect("a folder for the device");
        Self {
            home,
            password: password.into(),
            namespace,
            days_ahead: 0,
            cable,
        }
    }

    /// Its address on the network.
    pub fn address(&self) -> Ipv4Addr {
        self.cable.address()
    }

    /// The folder that `twin` keeps its data in.
    pub fn home(&self) -> PathBuf {
        self.home.path().join("twin")
    }

    /// A file of the person's, beside the home (a QR saved as a picture).
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The password that opens it.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// `twin WORDS…` on this device, with no password given.
    pub fn command<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = self.namespace.command(twin());
        command
            .args(words)
            .env("TWIN_HOME", self.home())
            .env_remove("TWIN_PASSWORD")
            .env("NO_COLOR", "1");
        if self.days_ahead > 0 {
            command
                .env("LD_PRELOAD", self.file(CLOCK))
                .env("DAYS_AHEAD", self.days_ahead.to_string());
        }
        command
    }

    /// Sets its clock ahead by so many days: `twin` asks the C library for the time, and gets it from a small library
    /// that is put before that one. The program itself knows nothing of it.
    pub fn set_ahead(&mut self, days: u32) {
        let source = self.file("clock.c");
        std::fs::write(&source, include_str!("clock.c")).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]);
        let status = compiler.arg(self.file(CLOCK)).arg(source).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cc builds the clock, as it builds SQLite"
        );
        self.days_ahead = days;
    }

    /// The machine that it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Any other program on this device.
    pub fn other(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Starts `twin WORDS…` between pipes, the password in TWIN_PASSWORD.
    pub fn start<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Program {
        let mut command = self.command(words);
        command.env("TWIN_PASSWORD", &self.password);
        Program::in_pipes(command)
    }

    /// Runs `twin WORDS…` to its end, whatever that is.
    pub fn try_run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Finished {
        self.start(words).finish()
    }

    /// Runs `twin WORDS…`, which must succeed.
    pub fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Finished {
        self.try_run(words).well()
    }

    /// Starts `twin WORDS…` on a terminal, where a person types the password.
    pub fn on_terminal<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Program {
        Program::on_terminal(&self.command(words))
    }
}

/// The built `twin` command.
pub fn twin() -> PathBuf {
    let path = std::env::var_os("TWIN_BIN").map(PathBuf::from);
    let path = path
        .expect("TWIN_BIN names the built command; `cargo xtask test e2e` builds it and sets this");
    assert!(
        Path::new(&path).is_file(),
        "TWIN_BIN names no file: {}",
        path.display()
    );
    path
}
