//! What is printed: JSON for programs, plain lines in a pipe, one line for every error, and a terminal left as it was.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use twin_tests::e2e::{Device, Finished, Lan, Program};

use crate::complaints::{complains, is_whole, settle};
use crate::wire;

/// Every line of output is JSON, and there is one at least.
fn all_json(finished: &Finished) {
    assert!(finished.errors.is_empty(), "{}", finished.errors);
    assert!(!finished.output.is_empty());
    for line in finished.output.lines() {
        let parsed: Result<Json, _> = serde_json::from_str(line);
        assert!(
            parsed.is_ok_and(|json| json.is_object() || json.is_array()),
            "{line}"
        );
    }
}

/// No escape sequence and no line that is written over.
fn plain(finished: &Finished) {
    assert!(
        !finished.output.contains(['\u{1b}', '\r', '\u{7}']),
        "{:?}",
        finished.output
    );
}

#[test]
fn every_command_answers_in_json_and_plainly() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    all_json(&phone.run(["create", "--name", "Ada", "--json"]));
    let both = |words: &[&str]| {
        all_json(&phone.run(words.iter().copied().chain(["--json"])));
        plain(&phone.run(words));
    };
    both(&["put", "home/notes/one", "a=b", "n:=1"]);
    both(&[
        "put",
        "home/notes/one",
        "--patch",
        "\u{1b}[31m=\u{1b}[2J\u{7}\r",
    ]);
    both(&["get", "home/notes/one"]);
    both(&["search", "b"]);
    both(&["query", "home/notes", "n:=1"]);
    for place in [
        &["list"][..],
        &["list", "home"],
        &["list", "home/notes"],
        &["list", "nowhere"],
        &["list", "nowhere/at"],
    ] {
        both(place);
    }
    both(&["status"]);
    both(&["device", "list"]);
    both(&["device", "rename", "phone", "phone"]);
    both(&["recovery", "guardians", "show"]);
    both(&["sites"]);
    both(&["proof"]);
    both(&["activity"]);

    let picture = laptop.picture();
    let mut offer = laptop.start(["link", "offer", "--qr", &picture, "--json"]);
    offer.expect("\"offer\"");
    let mut accept = phone.start(["link", "accept", &picture, "--json"]);
    offer.expect("\"invited\"");
    offer.type_line("y");
    offer.expect("\"code\":\"");
    let code = offer.expect("\"").replace('"', "");
    accept.expect("\"code_needed\"");
    accept.type_line(&code);
    all_json(&accept.finish().well());
    all_json(&offer.finish().well());

    let online = phone.start(["run", "--no-discovery", "--json"]);
    let address = format!("{}:", phone.address());
    online.expect(&address);
    let port = online.expect("\"").replace('"', "");
    let sync = [
        "sync",
        "--once",
        "--no-discovery",
        "--peer",
        &format!("{address}{port}"),
    ];
    laptop.run(["put", "home/notes/two", "a=b"]);
    all_json(&laptop.run(sync.into_iter().chain(["--json"])));
    laptop.run(["put", "home/notes/three", "a=b"]);
    plain(&laptop.run(sync));
    online.expect("in_sync");
    online.terminate();
    all_json(&online.finish().well());
    all_json(&phone.run(["delete", "home/notes/one", "--json"]));
    plain(&phone.run(["delete", "home/notes/two"]));
}

#[test]
fn what_cannot_be_understood_is_said_in_one_line() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    for (words, wanted) in [
        (&["bogus"][..], "unrecognized subcommand 'bogus'"),
        (&["creat"], "create"),
        (&["create"], "--name"),
        (&["put", "home/notes/one"], "field=value"),
        (&["get"], "record"),
        (&["link", "accept", "x", "--role", "king"], "companion"),
        (&["sync", "--wait", "soon"], "--wait"),
        (&["run", "--bogus"], "--bogus"),
    ] {
        let finished = phone.try_run(words);
        assert_eq!(finished.status.code(), Some(2), "{words:?}");
        assert_eq!(finished.errors.lines().count(), 1, "{}", finished.errors);
        let error = finished.errors.to_lowercase();
        assert!(
            error.starts_with("twin: ") && error.contains(wanted),
            "{error}"
        );
        assert!(error.contains("--help"), "{error}");
    }
    for words in [
        &["--help"][..],
        &["link", "offer", "--help"],
        &["--version"],
    ] {
        let finished = phone.run(words);
        plain(&finished);
        assert!(finished.errors.is_empty() && !finished.output.is_empty());
    }
    assert!(!phone.home().exists());
}

#[test]
fn an_output_that_is_gone_or_full_is_no_crash() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let started = |words: &[&str], output: Stdio| {
        let mut command = phone.command(words);
        command
            .env("TWIN_PASSWORD", phone.password())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, errors) = started(&["list", "home/notes"], full().into());
    assert_eq!(code, Some(1));
    assert!(
        errors.starts_with("twin: the output cannot be written") && errors.lines().count() == 1,
        "{errors}"
    );
    // `twin … | head -0`
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let closed = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let (code, errors) = started(&["list", "home/notes"], closed.into());
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    is_whole(&phone);
}

#[test]
fn passwords_are_asked_for_with_care() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "one password");
    let mut create = phone.on_terminal(["create", "--name", "Ada"]);
    create.expect_unseen("Choose a password for this device: ");
    create.type_line("one password");
    create.expect_unseen("Once more: ");
    create.type_line("another");
    create.expect("twin: the two passwords differ");
    assert!(!create.finish_by_itself().status.success());
    let mut create = phone.on_terminal(["create", "--name", "Ada"]);
    for prompt in ["Choose a password for this device: ", "Once more: "] {
        create.expect_unseen(prompt);
        create.type_line("");
    }
    create.expect("the password is empty: choose one");
    let finished = create.finish_by_itself();
    assert!(!finished.status.success());
    assert!(
        !finished.output.contains("24 words"),
        "words for nothing: {}",
        finished.output
    );
    assert!(!phone.home().join("vault.db").exists());
}

#[test]
fn ctrl_c_at_a_prompt_leaves_the_terminal_as_it_was() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let mut status = phone.on_terminal(["status"]);
    status.expect_unseen("Password: ");
    status.interrupt();
    status.wait_for_end();
    assert!(
        status.is_typing_shown(),
        "what is typed next would be unseen"
    );
    assert!(!status.finish_by_itself().status.success());
    // Where the words are asked for, nothing has been made yet.
    let laptop = Device::new(&lan, "laptop");
    let mut create = laptop.on_terminal(["create", "--name", "Bob"]);
    for prompt in ["Choose a password for this device: ", "Once more: "] {
        create.expect_unseen(prompt);
        create.type_line("laptop");
    }
    create.expect("type word number 4:");
    create.interrupt();
    assert!(!create.finish_by_itself().status.success());
    assert!(!laptop.home().join("vault.db").exists());
    let mut create = laptop.on_terminal(["create", "--name", "Bob"]);
    for prompt in ["Choose a password for this device: ", "Once more: "] {
        create.expect_unseen(prompt);
        create.type_line("laptop");
    }
    create.expect("type word number 4:");
    // Ctrl-D: nothing more will be typed.
    create.close_input();
    create.expect("twin: nothing was typed");
    assert!(!create.finish_by_itself().status.success());
    assert!(!laptop.home().join("vault.db").exists());
}

#[test]
fn a_site_says_what_it_lacks() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let site = phone.start(["site", "--json"]);
    site.expect("\"serving\"");
    site.terminate();
    all_json(&site.finish().well());
    let (_taken, port) = wire::mute(phone.namespace());
    let taken = format!("127.0.0.1:{port}");
    complains(phone.try_run(["site", "--listen", &taken]), &[&taken]);
    complains(
        phone.try_run(["site", "--listen", "10.77.0.1:0"]),
        &["https"],
    );
    complains(
        phone.try_run(["site", "--origin", "http://example.org"]),
        &["https"],
    );
}

/// Something that is no terminal and no pipe with a reader.
#[test]
fn questions_without_anybody_to_answer_end() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    let (mut offer, _) = laptop.offer("laptop");
    let mut accept = phone.start(["link", "accept", &laptop.picture()]);
    accept.close_input();
    complains(accept.finish_by_itself(), &["nothing was typed"]);
    offer.close_input();
    offer.finish_by_itself().badly();
    let no_terminal: Program = Program::in_pipes(laptop.command(["create", "--name", "Bob"]));
    complains(no_terminal.finish(), &["password", "terminal"]);
    is_whole(&phone);
}
