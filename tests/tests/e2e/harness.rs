//! The ground the other tests stand on: cables, terminals and deadlines do what they say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use twin_tests::e2e::{Lan, Namespace, Program, eventually};

use crate::wire::WIRE;

fn listen(on: &Namespace) -> (Program, String) {
    let mut command = on.command(WIRE);
    command.arg("listen");
    let listener = Program::in_pipes(command);
    let port = listener.line();
    (listener, port)
}

fn dial(from: &Namespace, address: &str) -> bool {
    from.command(WIRE)
        .args(["dial", address])
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn a_pulled_cable_cuts_and_a_plugged_one_joins() {
    let lan = Lan::new();
    let (phone, _) = lan.join();
    let (laptop, cable) = lan.join();
    let (_listener, port) = listen(&laptop);
    let address = format!("{}:{port}", cable.address());

    eventually("a connection over the plugged cable", || {
        dial(&phone, &address).then_some(())
    });
    cable.pull();
    assert!(
        !dial(&phone, &address),
        "a pulled cable carried a connection"
    );
    assert!(
        dial(&laptop, &format!("127.0.0.1:{port}")),
        "the machine itself goes on"
    );
    cable.plug();
    eventually("a connection after plugging in again", || {
        dial(&phone, &address).then_some(())
    });
}

#[test]
fn three_machines_see_each_other_and_nothing_else() {
    let lan = Lan::new();
    let (one, _) = lan.join();
    let (two, second) = lan.join();
    let (three, third) = lan.join();
    let (_listener, port) = listen(&two);
    let (_other, other_port) = listen(&three);
    for address in [
        format!("{}:{port}", second.address()),
        format!("{}:{other_port}", third.address()),
    ] {
        eventually("a connection between neighbours", || {
            dial(&one, &address).then_some(())
        });
    }
    // The machine that runs the tests is another world, and so is another network.
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(!dial(&one, &outside.local_addr().unwrap().to_string()));
    let elsewhere = Lan::new();
    let (stranger, _) = elsewhere.join();
    assert!(!dial(&stranger, &format!("{}:{port}", second.address())));
}

#[test]
fn a_password_is_typed_unseen() {
    let mut command = Command::new("sh");
    let script = r#"stty -echo; printf "Password: "; read -r word < /dev/tty; stty echo; echo; echo "${#word} letters""#;
    command.args(["-c", script]);
    let mut program = Program::on_terminal(&command);
    program.expect("Password: ");
    program.type_line("swordfish");
    program.expect("9 letters");
    let finished = program.finish().well();
    assert!(!finished.output.contains("swordfish"));
}

#[test]
fn a_terminal_inside_a_namespace_is_a_terminal() {
    let namespace = Namespace::new();
    let mut command = namespace.command("sh");
    command
        .args([
            "-c",
            "test -t 0 && test -t 1 && tty && ls /sys/class/net && exit 3",
        ])
        .env("LC_ALL", "C");
    let finished = Program::on_terminal(&command).finish();
    assert_eq!(finished.status.code(), Some(3), "{}", finished.output);
    assert!(finished.output.contains("/dev/pts/"), "{}", finished.output);
}

#[test]
fn between_pipes_output_and_errors_are_apart() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "read -r line; echo \"got $line\"; echo sorry >&2; exit 1",
    ]);
    let mut program = Program::in_pipes(command);
    program.type_line("this");
    program.expect("got this");
    let finished = program.finish().badly();
    assert_eq!(
        (finished.output.as_str(), finished.errors.as_str()),
        ("got this\n", "sorry\n")
    );
}

#[test]
#[should_panic(expected = "waited for \"never\", but saw only:\nready")]
fn waiting_in_vain_ends() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; exec cat"]);
    let mut program = Program::in_pipes(command);
    program.expect("ready");
    program.set_patience(Duration::from_millis(50));
    program.expect("never");
}

#[test]
fn what_is_dropped_is_gone() {
    let namespace = Namespace::new();
    let mut command = namespace.command("cat");
    command.arg("-");
    let program = Program::in_pipes(command);
    let alive = |id: u32| Path::new(&format!("/proc/{id}")).exists();
    let (program_id, namespace_id) = (program.id(), namespace.id());
    assert!(alive(program_id) && alive(namespace_id));
    drop(program);
    drop(namespace);
    assert!(!alive(program_id) && !alive(namespace_id));
}
