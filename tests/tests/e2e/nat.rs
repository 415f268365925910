//! Two devices behind routers of their own, and a relay that both can reach.

use twin_tests::e2e::{Device, Home, Lan, Passing, Ports, Program};

const MEET: &str = env!("CARGO_BIN_EXE_meet");

/// A relay on the open internet, and what people enter in their app.
fn relay(machine: &Device<'_>) -> (Program, String) {
    let place = format!("{}:4001", machine.address());
    let data = machine.file("relay").display().to_string();
    let relay = machine.start(["relay", "--listen", &place, "--data", &data]);
    relay.expect("Enter this in the app:\n  ");
    let address = relay.line();
    assert!(address.ends_with(&format!("@{place}")), "{address}");
    (relay, address)
}

fn meet(home: &Home<'_>, words: &[&str]) -> Program {
    let mut command = home.device().command(MEET);
    command.args(words);
    Program::in_pipes(command)
}

/// How two homes are answered by each other, at first and at last.
fn how_they_meet(ports: Ports, passing: Passing, patience: &str) -> (String, String) {
    let internet = Lan::new();
    let machine = Device::new(&internet, "none");
    let (relay, address) = relay(&machine);
    let one = Home::new(&internet, ports, passing);
    let other = Home::new(&internet, ports, passing);
    let waiting = meet(&one, &["wait", &address]);
    waiting.expect("key ");
    let key = waiting.line();
    let calling = meet(&other, &["call", &address, &key, patience]);
    let (first, last) = (calling.line(), calling.line());
    calling.finish().well();
    relay.terminate();
    let said = relay.finish().well();
    assert!(said.output.ends_with("Stopped.\n"), "{}", said.output);
    (first, last)
}

#[test]
fn two_routers_are_passed_by_quic() {
    let (_, last) = how_they_meet(Ports::Kept, Passing::Udp, "40");
    assert_eq!(last, "direct");
}

#[test]
fn two_routers_are_passed_by_tcp() {
    let (_, last) = how_they_meet(Ports::Kept, Passing::Tcp, "40");
    assert_eq!(last, "direct");
}

#[test]
fn where_no_hole_can_be_punched_the_relay_carries_all() {
    // Long enough for each attempt that is made.
    let (first, last) = how_they_meet(Ports::Random, Passing::Both, "15");
    assert_eq!((first.as_str(), last.as_str()), ("relayed", "relayed"));
}
