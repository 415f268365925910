//! The main job: a twin on a phone, a laptop linked by QR, edits while apart that meet again.

use std::time::Duration;

use serde_json::json;
use twin_tests::e2e::{Device, Lan, Program, eventually};

const PHONE_PASSWORD: &str = "correct horse";
const LAPTOP_PASSWORD: &str = "battery staple";
/// Longer than a link that is dead goes unnoticed: signs of life are rare.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// `twin create` at a terminal: a password typed twice, unseen, and three of the words repeated.
fn create_by_hand(phone: &Device<'_>) {
    let mut create = phone.on_terminal(["create", "--name", "Ada"]);
    for prompt in ["Choose a password for this device: ", "Once more: "] {
        create.expect_unseen(prompt);
        create.type_line(phone.password());
    }
    create.expect("These 24 words are your twin.");
    let shown = create.expect("To be sure, type word number 4:");
    let words = shown_words(&shown);
    assert_eq!(words.len(), 24, "{shown}");
    // A slip of the pen is forgiven.
    create.type_line("zzz");
    create.expect("That is not it.");
    create.expect("type word number 4:");
    create.type_line(&words[3]);
    create.expect("type word number 11:");
    create.type_line(&words[10].to_uppercase());
    create.expect("type word number 22:");
    create.type_line(&words[21]);
    create.expect("Ada is here: twin1");
    assert!(create.is_typing_shown(), "the terminal is left as it was");
    let finished = create.finish().well();
    assert!(!finished.output.contains(phone.password()));
}

/// The words of `twin create`, in their order.
fn shown_words(screen: &str) -> Vec<String> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut number = None;
    for token in screen.split_whitespace() {
        match number.take() {
            Some(number) => words.push((number, token.to_owned())),
            None => {
                let digits = token.strip_suffix('.').filter(|digits| digits.len() <= 2);
                number = digits.and_then(|digits| digits.parse().ok());
            }
        }
    }
    words.sort();
    words.into_iter().map(|(_, word)| word).collect()
}

/// Linking at two terminals: a picture, a code read on one screen and typed at the other.
fn link_by_hand(phone: &Device<'_>, laptop: &Device<'_>) {
    let picture = laptop.picture();
    let mut offer = laptop.on_terminal(["link", "offer", "--qr", &picture]);
    for prompt in ["Choose a password for this device: ", "Once more: "] {
        offer.expect_unseen(prompt);
        offer.type_line(laptop.password());
    }
    let screen = offer.expect("or as text: TWIN:LINK:");
    assert!(
        screen.contains('█') && screen.contains('▀'),
        "a QR code on the screen:\n{screen}"
    );
    let mut accept = phone.on_terminal(["link", "accept", &picture]);
    accept.expect_unseen("Password: ");
    accept.type_line(phone.password());
    accept.expect("it reads and writes your data");
    accept.expect("Type the six digits that the new device shows:");
    offer.expect("Join the twin “Ada” (twin1");
    offer.type_line("y");
    offer.expect("Type this code on the phone:  ");
    accept.type_line(&offer.line());
    accept.expect("Linked. The new device holds everything now.");
    offer.expect("Linked. laptop holds everything of Ada now");
    for (side, password) in [(accept, PHONE_PASSWORD), (offer, LAPTOP_PASSWORD)] {
        let finished = side.finish().well();
        assert!(!finished.output.contains(password));
    }
}

/// Waits until every device lists the same in `place`, and returns that.
fn agreed(devices: &[&Device<'_>], place: &str, wanted: &serde_json::Value) {
    let (first, others) = devices.split_first().unwrap();
    eventually(&format!("that all hold {wanted} in {place}"), || {
        (first.list(place) == *wanted).then_some(())
    });
    for device in others {
        eventually("that the other device holds the same", || {
            (device.list(place) == *wanted).then_some(())
        });
    }
}

/// Sees the first meeting of a device that runs.
fn expect_in_sync(online: &Program, other: &str) {
    online.expect(&format!("{other} is here"));
    online.expect(&format!("{other} and this device hold the same"));
}

#[test]
fn linked_by_hand_edited_apart_and_equal_again() {
    let lan = Lan::new();
    let phone = Device::new(&lan, PHONE_PASSWORD);
    let laptop = Device::new(&lan, LAPTOP_PASSWORD);

    create_by_hand(&phone);
    phone.run(["put", "home/notes/shopping", "title=Shopping", "milk:=1"]);
    phone.run(["put", "home/notes/garden", "title=Garden"]);
    phone.run(["put", "home/notes/attic", "title=Attic"]);
    phone.run(["put", "home/contacts/grace", "name=Grace"]);
    link_by_hand(&phone, &laptop);

    // At once, offline, with its own password: everything.
    for place in ["home/notes", "home/contacts"] {
        assert_eq!(laptop.list(place), phone.list(place));
    }
    assert_eq!(laptop.list("home/notes").as_array().unwrap().len(), 3);

    // Nobody gives an address to anybody.
    let phone_online = phone.start(["run"]);
    let laptop_online = laptop.start(["run"]);
    expect_in_sync(&phone_online, "laptop");
    expect_in_sync(&laptop_online, "phone");
    phone.run(["put", "home/notes/shopping", "--patch", "bread:=2"]);
    laptop_online.expect("hold the same (1 changes received");
    assert_eq!(
        laptop.fields("home/notes/shopping"),
        json!({"title": "Shopping", "milk": 1, "bread": 2})
    );

    laptop.cable.pull();
    // Other fields, the same field, and deletes that meet patches.
    phone.run([
        "put",
        "home/notes/shopping",
        "--patch",
        "milk:=2",
        "eggs:=6",
    ]);
    phone.run(["delete", "home/notes/garden"]);
    laptop.run(["put", "home/notes/attic", "--patch", "state=dusty"]);
    laptop.run([
        "put",
        "home/notes/shopping",
        "--patch",
        "milk:=3",
        "shop=corner",
    ]);
    laptop.run(["put", "home/notes/garden", "--patch", "state=green"]);
    laptop.run(["put", "home/contacts/alan", "name=Alan"]);
    phone.run(["delete", "home/notes/attic"]);
    assert_eq!(phone.fields("home/notes/shopping")["milk"], 2);
    assert_eq!(laptop.fields("home/notes/shopping")["milk"], 3);
    laptop.cable.plug();

    // The later writing counts, field by field: the attic was deleted after it was patched, the garden before.
    let notes = json!([
        {"id": "garden", "fields": {"title": "Garden", "state": "green"}},
        {"id": "shopping", "fields": {
            "title": "Shopping", "milk": 3, "bread": 2, "eggs": 6, "shop": "corner",
        }},
    ]);
    agreed(&[&phone, &laptop], "home/notes", &notes);
    let contacts = json!([
        {"id": "alan", "fields": {"name": "Alan"}},
        {"id": "grace", "fields": {"name": "Grace"}},
    ]);
    agreed(&[&phone, &laptop], "home/contacts", &contacts);
}

#[test]
fn a_cable_pulled_for_long_loses_the_device_and_plugging_in_finds_it() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    phone.create("Ada");
    laptop.link(&phone, "laptop", "companion");
    let mut phone_online = phone.start(["run"]);
    let mut laptop_online = laptop.start(["run"]);
    expect_in_sync(&phone_online, "laptop");
    expect_in_sync(&laptop_online, "phone");

    laptop.cable.pull();
    phone.run(["put", "home/notes/a", "from=phone"]);
    laptop.run(["put", "home/notes/b", "from=laptop"]);
    // Nobody says goodbye; both find out.
    for online in [&mut phone_online, &mut laptop_online] {
        online.set_patience(GIVEN_UP);
    }
    phone_online.expect("laptop is gone");
    laptop_online.expect("phone is gone");
    laptop.cable.plug();
    expect_in_sync(&phone_online, "laptop");
    expect_in_sync(&laptop_online, "phone");
    let notes = json!([
        {"id": "a", "fields": {"from": "phone"}},
        {"id": "b", "fields": {"from": "laptop"}},
    ]);
    agreed(&[&phone, &laptop], "home/notes", &notes);
}

#[test]
fn an_address_given_by_hand_is_enough() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    phone.create("Ada");
    laptop.link(&phone, "laptop", "companion");
    phone.run(["put", "home/notes/a", "from=phone"]);
    laptop.run(["put", "home/notes/b", "from=laptop"]);

    let (_online, address) = phone.go_online(["--no-discovery"]);
    let synced = laptop.run(["sync", "--once", "--no-discovery", "--peer", &address]);
    assert!(
        synced
            .output
            .contains("phone and this device hold the same"),
        "{}",
        synced.output
    );
    assert_eq!(laptop.list("home/notes").as_array().unwrap().len(), 2);
    assert_eq!(phone.list("home/notes"), laptop.list("home/notes"));
}

#[test]
fn a_device_that_may_replace_the_phone_links_another() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let tablet = Device::new(&lan, "tablet");
    let watch = Device::new(&lan, "watch");
    phone.create("Ada");
    phone.run(["put", "home/notes/a", "from=phone"]);
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    tablet.run(["put", "home/notes/b", "from=tablet"]);
    watch.link(&tablet, "watch", "companion");
    assert_eq!(watch.list("home/notes").as_array().unwrap().len(), 2);
    watch.run(["put", "home/notes/c", "from=watch"]);

    // The phone learns of the watch from the watch itself, never having met it.
    let (_online, address) = phone.go_online(["--no-discovery"]);
    watch.run(["sync", "--once", "--no-discovery", "--peer", &address]);
    tablet.run(["sync", "--once", "--no-discovery", "--peer", &address]);
    for device in [&phone, &tablet, &watch] {
        assert_eq!(device.list("home/notes").as_array().unwrap().len(), 3);
        let devices = device.run(["device", "list", "--json"]).json();
        let mut known: Vec<(&str, bool)> = devices
            .as_array()
            .unwrap()
            .iter()
            .map(|device| {
                let replaces = device["may_replace_phone"].as_bool().unwrap();
                (device["name"].as_str().unwrap(), replaces)
            })
            .collect();
        known.sort_unstable();
        assert_eq!(known, [("phone", true), ("tablet", true), ("watch", false)]);
    }
    let activity = tablet.run(["activity", "--json"]).json();
    let links = activity.as_array().unwrap().iter();
    assert_eq!(links.filter(|what| what["what"] == "linked").count(), 2);
}
