//! Attacks from the network: a linking code that was carried far away, and floods at the door.

use std::fs;

use twin_tests::e2e::{Device, Kind, Lan, Namespace, Program, Tap, eventually, kinds};

use crate::complaints::{is_whole, settle};
use crate::idle::TAP;

const LURE: &str = env!("CARGO_BIN_EXE_lure");
const FLOOD: &str = env!("CARGO_BIN_EXE_flood");
/// As many as the issue asks for.
const ATTEMPTS: &str = "1000";

/// The port that the program of linking listens on.
fn listening(device: &Device<'_>) -> String {
    eventually("a port", || {
        let output = device.other("cat").arg("/proc/net/tcp").output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        // 0A: it listens.
        let line = table
            .lines()
            .find(|line| line.contains(" 00000000:0000 0A "))?;
        let (_, port) = line.split_whitespace().nth(1)?.split_once(':')?;
        Some(u16::from_str_radix(port, 16).unwrap().to_string())
    })
}

/// How many of `ATTEMPTS` ended with a connection.
fn lure(machine: &Namespace, how: &str, addresses: &[String]) -> String {
    let mut command = machine.command(LURE);
    command.args([how, ATTEMPTS]).args(addresses);
    Program::in_pipes(command).finish().well().output
}

/// A network at home, a router that forwards whatever it is given, and an attacker beyond; between him and both devices
/// at home there is a tunnel as well.
fn attacker_beyond_a_router(home: &Lan, phone: &Device<'_>, laptop: &Device<'_>) -> Namespace {
    let (router, cable) = home.join();
    let attacker = router.beside();
    router.ip(&format!(
        "link add out type veth peer name eth0 netns {}",
        attacker.id()
    ));
    router.ip("address add 10.66.0.1/24 dev out");
    router.ip("address add 2001:db8:66::1/64 dev out nodad");
    router.ip("address add 2001:db8:77::ff/64 dev eth0 nodad");
    router.ip("link set out up");
    attacker.ip("address add 10.66.0.2/24 dev eth0");
    attacker.ip("address add 2001:db8:66::2/64 dev eth0 nodad");
    attacker.ip("link set eth0 up");
    attacker.ip("route add default via 10.66.0.1");
    attacker.ip("route add default via 2001:db8:66::1");
    for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let mut command = router.command("sh");
        command.args(["-c", &format!("echo 1 >/proc/sys/net/{switch}")]);
        assert!(command.status().unwrap().success());
    }
    for (number, device) in [(1, phone), (2, laptop)] {
        let machine = device.namespace();
        machine.ip(&format!(
            "address add 2001:db8:77::{number}/64 dev eth0 nodad"
        ));
        machine.ip(&format!("route add default via {}", cable.address()));
        machine.ip("route add default via 2001:db8:77::ff");
        machine.ip(&format!(
            "link add wg0 type veth peer name tunnel{number} netns {}",
            attacker.id()
        ));
        machine.ip(&format!("address add 10.99.{number}.1/24 dev wg0"));
        machine.ip("link set wg0 up");
        attacker.ip(&format!(
            "address add 10.99.{number}.2/24 dev tunnel{number}"
        ));
        attacker.ip(&format!("link set tunnel{number} up"));
    }
    eventually("a way through the router, of both kinds", || {
        let reaches = |place: &str| {
            let mut ping = attacker.command(crate::wire::WIRE);
            // Nothing listens there: whoever says so is reached.
            let said = ping.args(["dial", place]).output().unwrap().stderr;
            String::from_utf8_lossy(&said).contains("refused")
        };
        let laptop = laptop.address();
        let reached = reaches(&format!("{laptop}:9")) && reaches("[2001:db8:77::2]:9");
        (reached && reaches("10.99.2.1:9")).then_some(())
    });
    attacker
}

#[test]
fn a_linking_code_that_was_carried_far_away_is_of_no_use() {
    let home = Lan::new();
    let phone = Device::new(&home, "phone");
    let laptop = Device::new(&home, "laptop");
    settle(&phone, "Ada");
    let attacker = attacker_beyond_a_router(&home, &phone, &laptop);

    // A new device shows its code, and the attacker has it as soon as the person.
    let (mut offer, text) = laptop.offer("laptop");
    let port = listening(&laptop);
    let places = [
        laptop.address().to_string(),
        "10.99.2.1".into(),
        "[2001:db8:77::2]".into(),
    ];
    for place in places {
        let address = format!("{place}:{port}");
        assert_eq!(
            lure(&attacker, "knock", std::slice::from_ref(&address)),
            "0 of 1000\n",
            "{address}"
        );
    }
    // Neither does it keep the person's own phone from it.
    let mut accept = phone.start(["link", "accept", &text, "--role", "companion"]);
    accept.expect("Type the six digits");
    offer.expect("Join the twin “");
    offer.type_line("y");
    offer.expect("Type this code on the phone:  ");
    let code = offer.line();
    // A second time it does not work, whoever has the digits as well.
    let near = format!("{}:{port}", laptop.address());
    assert_eq!(lure(&attacker, "knock", &[near]), "0 of 1000\n");
    accept.type_line(&code);
    accept.finish().well();
    offer.finish().well();
    is_whole(&laptop);

    // The other way about: the person is shown a code of the attacker's, with any address that he can be reached at.
    let tap = Tap::on(&attacker, TAP);
    let addresses: Vec<String> = ["10.66.0.2:4001", "10.99.1.2:4001", "[2001:db8:66::2]:4001"]
        .map(Into::into)
        .into();
    assert_eq!(lure(phone.namespace(), "dial", &addresses), "0 of 1000\n");
    let reached = kinds(&tap.packets());
    assert!(!reached.contains_key(&Kind::Tcp), "{reached:?}");
    assert!(!reached.contains_key(&Kind::Udp), "{reached:?}");
}

/// How much memory a program has now, in KiB. (What it had at most was when its password was made a key.)
fn memory(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

/// What strangers may cost a device in all, in KiB: 48 connections with the buffers of TLS, yamux and streams.
const BOUND: u64 = 64 << 10;

#[test]
fn floods_at_the_door_cost_a_bound_and_keep_nobody_out() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let mut command = phone.other(crate::idle::DOZE);
    command.env("TWIN_HOME", phone.home());
    command.env("TWIN_PASSWORD", phone.password());
    let app = Program::in_pipes(command);
    let (online, _) = laptop.go_online([]);
    app.expect("held\n");
    online.expect("and this device hold the same");
    let port = listening(&phone);
    let address = format!("{}:{port}", phone.address());
    let before = memory(&app);
    let (elsewhere, _cable) = lan.join();
    for how in ["silent", "half", "streams"] {
        let mut command = elsewhere.command(FLOOD);
        command.args([how, "200", &address]);
        let flood = Program::in_pipes(command);
        flood.expect("there\n");
        let record = format!("home/notes/{how}");
        laptop.run(["put", &record, "word=passed on"]);
        eventually("a record gets through", || {
            let found = phone.try_run(["get", &record]).status.success();
            found.then_some(())
        });
        let cost = memory(&app).saturating_sub(before);
        assert!(cost < BOUND, "{how}: {cost} KiB");
        println!("{how}: {cost} KiB");
    }
    // Whoever says nothing, or half of it, is hung up on, and the log says why.
    app.expect_error("somebody who called was turned away: ");
}
