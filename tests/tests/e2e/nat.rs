//! Two devices behind routers of their own, and a relay that both can reach.

use std::time::Duration;

use twin_tests::e2e::{Device, Home, Lan, Passing, Ports, Program, eventually, twin};

use crate::complaints::settle;
use crate::wire::WIRE;

const METRICS: &str = "127.0.0.1:9100";
const MEET: &str = env!("CARGO_BIN_EXE_meet");

/// A relay on the open internet, its metrics at port 9100, and what people enter in their app.
fn relay(machine: &Device<'_>) -> (Program, String) {
    let place = format!("{}:4001", machine.address());
    let data = machine.file("relay").display().to_string();
    let relay = machine.start([
        "relay",
        "--listen",
        &place,
        "--data",
        &data,
        "--metrics",
        METRICS,
    ]);
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
fn how_they_meet(ports: Ports, passing: [Passing; 2], patience: &str) -> (String, String) {
    let internet = Lan::new();
    let machine = Device::new(&internet, "none");
    let (relay, address) = relay(&machine);
    let [one, other] = passing.map(|passing| Home::new(&internet, ports, passing));
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
    let (_, last) = how_they_meet(Ports::Kept, [Passing::Udp; 2], "40");
    assert_eq!(last, "direct");
}

#[test]
fn two_routers_are_passed_by_tcp() {
    let (_, last) = how_they_meet(Ports::Kept, [Passing::Tcp; 2], "40");
    assert_eq!(last, "direct");
}

#[test]
fn two_that_reach_the_relay_by_different_transports_find_one_they_share() {
    let (_, last) = how_they_meet(Ports::Kept, [Passing::LateTcp, Passing::LateUdp], "55");
    assert_eq!(last, "direct");
}

#[test]
fn where_no_hole_can_be_punched_the_relay_carries_all() {
    // Long enough for each attempt that is made.
    let (first, last) = how_they_meet(Ports::Random, [Passing::Both; 2], "15");
    assert_eq!((first.as_str(), last.as_str()), ("relayed", "relayed"));
}

#[test]
fn a_way_that_opens_later_is_found() {
    let internet = Lan::new();
    let machine = Device::new(&internet, "none");
    let (_relay, address) = relay(&machine);
    let [one, other] = [(); 2].map(|()| Home::new(&internet, Ports::Kept, Passing::Both));
    one.block(other.address());
    other.block(one.address());
    let waiting = meet(&one, &["wait", &address]);
    waiting.expect("key ");
    let key = waiting.line();
    let mut calling = meet(&other, &["call", &address, &key, "140"]);
    assert_eq!(calling.line(), "relayed");
    // It is tried again when all attempts of the first time are over. Those of the second may have begun before the way is
    // open; the third follows a minute later.
    calling.set_patience(Duration::from_secs(150));
    eventually("another circuit", || {
        (metric(&machine, "twin_relay_circuits_total ") > 1).then_some(())
    });
    one.unblock();
    other.unblock();
    assert_eq!(calling.line(), "direct");
    calling.finish().well();
}

/// One of the relay's numbers.
fn metric(machine: &Device<'_>, name: &str) -> u64 {
    let mut ask = machine.other(WIRE);
    ask.args(["ask", METRICS]);
    let mut ask = Program::in_pipes(ask);
    ask.type_text("GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
    let page = ask.finish().output;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |number| number.trim().parse().unwrap())
}

/// `twin run` of a device, in another place than where it was made.
fn moved(device: &Device<'_>, home: &Home<'_>) -> Program {
    let mut command = home.device().command(twin());
    command.args(["run"]);
    command.env("TWIN_HOME", device.home());
    command.env("TWIN_PASSWORD", device.password());
    Program::in_pipes(command)
}

#[test]
fn a_session_moves_to_the_direct_way_and_the_relay_is_rid_of_it() {
    let internet = Lan::new();
    let machine = Device::new(&internet, "none");
    let (relay, address) = relay(&machine);
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    phone.run(["relays", "add", &address]);
    laptop.meet(&phone);

    let homes = [(); 2].map(|()| Home::new(&internet, Ports::Kept, Passing::Both));
    let first = moved(&phone, &homes[0]);
    let second = moved(&laptop, &homes[1]);
    first.expect("laptop and this device hold the same");
    second.expect("phone and this device hold the same");
    eventually("that nothing goes through the relay any more", || {
        let opened = metric(&machine, "twin_relay_circuits_total ");
        (opened > 0 && metric(&machine, "twin_relay_circuits ") == 0).then_some(())
    });
    // They are together all the same, and when there is no relay.
    relay.kill();
    phone.run(["put", "home/notes/direct", "word=new"]);
    eventually("a record that comes directly", || {
        let found = laptop.try_run(["get", "home/notes/direct"]);
        found.status.success().then_some(())
    });
    first.terminate();
    second.terminate();
    first.finish().well();
    second.finish().well();
}
