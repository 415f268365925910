//! A device of the twin's own that is always on: the others meet it where a person has said that it is, and so each other.

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{is_whole, settle};

/// Nobody is found on the network.
const UNAIDED: [&str; 4] = ["sync", "--no-discovery", "--wait", "10"];

#[test]
fn devices_that_never_meet_become_equal_by_one_that_is_always_on() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let home = Device::new(&lan, "home");
    settle(&phone, "Ada");
    home.link(&phone, "home", "companion");
    let (_online, place) = home.go_online(["--no-discovery"]);
    phone.run(["device", "at", "home", &place]);
    let listed = phone.run(["device", "list", "--json"]).json();
    let at = |name: &str| {
        let mut devices = listed.as_array().unwrap().iter();
        devices.find(|device| device["name"] == name).unwrap()["at"].clone()
    };
    assert_eq!(at("home"), json!(place));
    assert_eq!(at("phone"), json!(null));
    laptop.link(&phone, "laptop", "companion");

    phone.run(["put", "home/notes/a", "text=from the phone"]);
    phone.run(UNAIDED);
    laptop.run(UNAIDED);
    assert_eq!(
        laptop.fields("home/notes/a"),
        json!({"text": "from the phone"})
    );
    laptop.run(["put", "home/notes/b", "text=from the laptop"]);
    laptop.run(UNAIDED);
    phone.run(UNAIDED);
    assert_eq!(
        phone.fields("home/notes/b"),
        json!({"text": "from the laptop"})
    );
    is_whole(&phone);
    is_whole(&laptop);

    phone.run(["device", "at", "home"]);
    let listed = phone.run(["device", "list"]).output;
    assert!(!listed.contains(&place), "{listed}");
}
