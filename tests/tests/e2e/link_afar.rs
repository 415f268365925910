//! Linking from afar: a passcode read on the phone and typed on a device that is somewhere else.

use serde_json::json;
use twin_tests::e2e::{Device, Lan, Program};

use crate::complaints::{complains, is_whole, settle};
use crate::mailbox::start_relay;

/// A phone that shows a passcode: the passcode, and where it waits.
fn invite(phone: &Device<'_>) -> (Program, String, String) {
    let shown = phone.start(["link", "invite"]);
    shown.expect("never by a message that others can read");
    shown.expect("passcode: ");
    let passcode = shown.line();
    shown.expect(&format!("--peer {}:", phone.address()));
    let rest = shown.line();
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let address = format!("{}:{port}", phone.address());
    (shown, passcode, address)
}

fn join(new: &Device<'_>, address: &str) -> Program {
    new.start([
        "link",
        "join",
        "--peer",
        address,
        "--device",
        "Bob's laptop",
    ])
}

#[test]
fn a_passcode_links_a_device_that_is_somewhere_else() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    let (mut shown, passcode, address) = invite(&phone);

    // What is mistyped costs nothing.
    for wrong in [
        &passcode[..18],
        &passcode.replacen('-', "-0", 1),
        "TWIN:LINK:A",
    ] {
        let mut join = join(&laptop, &address);
        join.expect("Type the passcode");
        join.type_line(wrong);
        complains(join.finish(), &["passcode", "phone"]);
    }
    let mut join = join(&laptop, &address);
    join.expect("Type the passcode");
    join.type_line(&passcode.to_lowercase().replace('-', " "));
    join.expect("Join the twin “Ada” (twin1");
    shown.expect("a device that calls itself “Bob's laptop”");
    shown.expect("Type the six digits");
    join.type_line("y");
    join.expect("Type this code on the phone:  ");
    shown.type_line(&join.line());
    let finished = shown.finish().well();
    assert!(finished.output.contains("Linked."), "{}", finished.output);
    join.finish().well();
    is_whole(&laptop);
    is_whole(&phone);
    let devices = phone.run(["device", "list", "--json"]).json();
    assert_eq!(devices.as_array().unwrap().len(), 2);
}

#[test]
fn the_phone_is_found_at_a_relay() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    let (_relay, address) = start_relay(&machine);
    phone.run(["relays", "add", &address]);
    let mut shown = phone.start(["link", "invite"]);
    shown.expect("passcode: ");
    let passcode = shown.line();
    shown.expect("or, from anywhere: twin link join --relay ");
    let place = shown.line();
    assert!(address.ends_with(&format!("@{place}")), "{place}");

    let mut join = laptop.start(["link", "join", "--relay", &place]);
    join.expect("Type the passcode");
    join.type_line(&passcode);
    join.expect("Join the twin “Ada” (twin1");
    shown.expect("Type the six digits");
    join.type_line("y");
    join.expect("Type this code on the phone:  ");
    shown.type_line(&join.line());
    shown.finish().well();
    join.finish().well();
    is_whole(&laptop);
    is_whole(&phone);
    // The new device knows the relay now.
    assert_eq!(laptop.run(["relays", "--json"]).json(), json!([address]));
}

#[test]
fn a_relay_where_no_phone_waits_is_no_place_to_find_one() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let laptop = Device::new(&lan, "laptop");
    let (_relay, address) = start_relay(&machine);
    let mut join = laptop.start(["link", "join", "--relay", &address]);
    join.expect("Type the passcode");
    join.type_line("0123-4567-89AB-CD5F");
    complains(join.finish(), &["no phone", "relay"]);
    assert!(!laptop.home().join("vault.db").exists());
}

#[test]
fn another_passcode_is_one_attempt() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    let (shown, passcode, address) = invite(&phone);
    // A passcode that is none of this phone's, with check symbols that are right.
    let other = "0123-4567-89AB-CD5F";
    assert_ne!(passcode, other);
    let mut guess = join(&laptop, &address);
    guess.expect("Type the passcode");
    guess.type_line(other);
    complains(
        guess.finish(),
        &["not the one that the phone shows", "used up"],
    );
    complains(
        shown.finish_by_itself(),
        &["not the one that the phone shows"],
    );
    // The right one comes too late.
    let mut late = join(&laptop, &address);
    late.expect("Type the passcode");
    late.type_line(&passcode);
    complains(late.finish(), &["the phone does not answer"]);
    assert!(!laptop.home().join("vault.db").exists());
    is_whole(&phone);
}
