//! What a running `twin` has in its memory stays there: it writes no core dump, and no other program of the same person
//! can look into it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;
use twin_tests::e2e::{eventually, twin};

/// Whoever is root may read everything; then the programs are those of nobody.
const NOBODY: &str = "65534";

/// A program of a person that is not root.
fn of_person(program: impl AsRef<OsStr>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let options = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    command.args(options).arg(program);
    command
}

/// Whether another program of the same person can read how a process was started: that takes the same right as reading
/// its memory.
fn is_readable(id: u32) -> bool {
    let mut reader = of_person("cat");
    let read = reader
        .arg(format!("/proc/{id}/environ"))
        .stderr(Stdio::null());
    let read = read.output().unwrap();
    read.status.success() && !read.stdout.is_empty()
}

/// Whether it may write a core dump, by its limits.
fn may_dump(id: u32) -> bool {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    line.unwrap()
        .split_whitespace()
        .take(2)
        .any(|max| max != "0")
}

/// A program that waits, where a core dump may be as large as our own.
fn waiting(mut command: Command, folder: &Path) -> Child {
    let words: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
    let mut shell = of_person("sh");
    shell
        .args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(words)
        .current_dir(folder)
        .env("TWIN_HOME", folder.join("home"))
        .env("TWIN_PASSWORD", "password")
        .stdout(Stdio::null());
    command = shell;
    command.spawn().unwrap()
}

#[test]
fn memory_is_closed_to_others() {
    let dir = tempdir().unwrap();
    let folder = dir.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    // Where it was built the person may have no right to go.
    let program = folder.join("twin");
    fs::copy(twin(), &program).unwrap();
    let made = of_person(&program)
        .args(["create", "--name", "Ada"])
        .env("TWIN_HOME", folder.join("home"))
        .env("TWIN_PASSWORD", "password")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let mut open = Command::new("sleep");
    open.arg("600");
    let mut open = waiting(open, folder);
    eventually("a program that anybody may look into", || {
        is_readable(open.id()).then_some(())
    });

    let mut watching = Command::new(&program);
    watching.args(["watch", "home/notes"]);
    let mut watching = waiting(watching, folder);
    let id = watching.id();
    let named = || fs::read(format!("/proc/{id}/comm")).is_ok_and(|name| name == b"twin\n");
    eventually("a program that has closed its memory", || {
        (named() && !may_dump(id) && !is_readable(id)).then_some(())
    });
    let count = || fs::read_dir(folder).unwrap().count();
    let before = count();
    kill_process(Pid::from_child(&watching), Signal::ABORT).unwrap();
    let status = watching.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!status.core_dumped());
    assert_eq!(count(), before);
    open.kill().unwrap();
    open.wait().unwrap();
}
