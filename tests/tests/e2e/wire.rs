//! The other end of a wire: what is no twin and no honest site.

use twin_tests::e2e::{Namespace, Program};

pub const WIRE: &str = env!("CARGO_BIN_EXE_wire");

/// Something on `machine` that says `text` to everybody and hangs up; and its port.
pub fn say(machine: &Namespace, text: &str) -> (Program, String) {
    let mut command = machine.command(WIRE);
    command.arg("say");
    said(command, text)
}

/// The same with any command that leads to `wire say`.
pub fn said(command: std::process::Command, text: &str) -> (Program, String) {
    let mut program = Program::in_pipes(command);
    program.type_text(text);
    program.close_input();
    let port = program.line();
    (program, port)
}

/// Something on `machine` that takes calls and never says a word; and its port.
pub fn mute(machine: &Namespace) -> (Program, String) {
    let mut command = machine.command(WIRE);
    command.arg("mute");
    let program = Program::in_pipes(command);
    let port = program.line();
    (program, port)
}
