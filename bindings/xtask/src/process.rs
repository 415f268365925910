//! Running a program while a person watches.

use std::io::{self, BufRead, BufReader, IsTerminal};
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::{Context, Failure, Result};
use crate::project::cargo;

/// Runs `command`, shows its output as it comes and hands each line of standard output to `each`.
pub fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    announce(command);
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .could_not(format!("start {name}"))?;
    if let Some(output) = child.stdout.take() {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .could_not(format!("read what {name} printed"))?
            > 0
        {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            each(text.trim_end());
            line.clear();
        }
    }
    child.wait().could_not(format!("wait for {name}"))
}

/// Runs `command` and fails unless it succeeds.
pub fn succeed(command: &mut Command) -> Result {
    let status = stream(command, |_| {})?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "`{}` ended with {status}",
            words(command)
        )))
    }
}

/// Runs `command` in silence; true if it succeeds.
pub fn quietly(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The command as a person would type it.
pub fn words(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = if program == cargo() {
        "cargo".into()
    } else {
        program
    };
    let words =
        std::iter::once(program).chain(command.get_args().map(|word| word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

fn announce(command: &Command) {
    eprintln!("\n$ {}", words(command));
}
