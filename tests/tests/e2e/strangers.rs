//! Bad company on the network: another twin, things that are no twins, and nobody at all.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use twin_tests::e2e::{Device, Lan, Namespace, Program};

use crate::complaints::{complains, is_whole, settle};
use crate::wire;

#[test]
fn another_twin_learns_nothing_and_disturbs_nobody() {
    let lan = Lan::new();
    let ada = Device::new(&lan, "ada");
    let bob = Device::new(&lan, "bob");
    settle(&ada, "Ada");
    settle(&bob, "Bob");
    // Both look around and find each other's machine.
    let (ada_online, _) = ada.go_online([]);
    let (bob_online, address) = bob.go_online([]);
    let laptop = Device::new(&lan, "laptop");
    laptop.link(&ada, "laptop", "companion");
    let begun = Instant::now();
    let sync = [
        "sync",
        "--once",
        "--no-discovery",
        "--wait",
        "3",
        "--peer",
        &address,
    ];
    complains(
        laptop.try_run(sync),
        &[
            "no other device of this twin",
            "the other side is not a device of this twin",
        ],
    );
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    // Ada's devices still find each other among strangers.
    laptop.run(["put", "home/notes/three", "word=new"]);
    laptop.run(["sync", "--once"]);
    assert_eq!(ada.fields("home/notes/three")["word"], "new");
    is_whole(&ada);
    is_whole(&bob);
    let heard = bob_online.text();
    assert!(
        heard
            .lines()
            .all(|line| line.starts_with("listening on") || line.starts_with("Online")),
        "{heard}"
    );
    ada_online.terminate();
    bob_online.terminate();
    let said = ada_online.finish().well().output;
    for line in said.lines() {
        let expected = ["Online", "listening on", "laptop ", "Offline"];
        assert!(
            expected.iter().any(|start| line.starts_with(start)),
            "{line}"
        );
    }
    bob_online.finish().well();
}

#[test]
fn what_is_no_twin_is_named_as_such() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let laptop = Device::new(&lan, "laptop");
    laptop.link(&phone, "laptop", "companion");
    let (elsewhere, cable) = lan.join();
    let sync = |port: &str| {
        let address = format!("{}:{port}", cable.address());
        let begun = Instant::now();
        let words = [
            "sync",
            "--once",
            "--no-discovery",
            "--wait",
            "5",
            "--peer",
            &address,
        ];
        let finished = laptop.try_run(words);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        finished
    };
    let (_web, port) = wire::say(
        &elsewhere,
        &format!("HTTP/1.1 400 Bad Request\r\n\r\n{}", "x".repeat(2000)),
    );
    complains(sync(&port), &["not a twin"]);
    let (_rude, port) = wire::say(&elsewhere, "");
    complains(sync(&port), &["no other device"]);
    let (_mute, port) = wire::mute(&elsewhere);
    complains(sync(&port), &["no other device"]);
    complains(sync("1"), &["no other device", "nothing answers at"]);
    cable.pull();
    complains(sync(&port), &["no other device"]);
    cable.plug();
    for nonsense in ["nobody", "10.77.0.1", "10.77.0.1:99999", "10.77.0.1:", ":7"] {
        let words = ["sync", "--once", "--peer", nonsense];
        complains(laptop.try_run(words), &["is not an address"]);
    }
    is_whole(&laptop);
}

#[test]
fn noise_at_the_door_disturbs_nobody() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let (online, address) = phone.go_online(["--no-discovery"]);
    for noise in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\0".repeat(100_000),
        "\u{16}\u{3}\u{1}".repeat(2000),
    ] {
        fs::write(laptop.file("noise"), &noise).unwrap();
        let mut call = laptop.other(wire::WIRE);
        call.args(["ask", &address]);
        call.stdin(File::open(laptop.file("noise")).unwrap());
        // It may be hung up on: how it ends is its own affair.
        call.output().unwrap();
    }
    laptop.run(["sync", "--once", "--no-discovery", "--peer", &address]);
    online.terminate();
    let said = online.finish().well();
    assert!(said.errors.is_empty(), "{}", said.errors);
    is_whole(&phone);
}

#[test]
fn nobody_is_there() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    complains(phone.try_run(["sync", "--wait", "1"]), &["no other device"]);
    let nowhere = ["run", "--listen", "10.99.0.1:0"];
    complains(
        phone.try_run(nowhere),
        &["cannot listen on 10.99.0.1", "choose another"],
    );
    is_whole(&phone);
}

#[test]
fn a_machine_without_a_network_still_works() {
    let alone = Namespace::new();
    let home = tempfile::TempDir::new().unwrap();
    let twin = |words: &[&str]| {
        let mut command = alone.command(std::env::var_os("TWIN_BIN").unwrap());
        command
            .args(words)
            .env("TWIN_HOME", home.path())
            .env("TWIN_PASSWORD", "alone");
        Program::in_pipes(command)
    };
    twin(&["create", "--name", "Ada"]).finish().well();
    twin(&["put", "home/notes/one", "word=kept"])
        .finish()
        .well();
    complains(
        twin(&["sync", "--wait", "1"]).finish(),
        &["no other device"],
    );
}
