//! Linking that must not succeed: each failure its own sentence, and nothing lost.

use std::fs;
use std::time::{Duration, Instant};

use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/pictures");

/// How soon a person should learn that a code is no good any more.
const SOON: Duration = Duration::from_secs(25);

fn devices_of(device: &Device<'_>) -> usize {
    let devices = device.run(["device", "list", "--json"]).json();
    devices.as_array().unwrap().len()
}

#[test]
fn codes_that_are_none() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    let (_offer, text) = laptop.offer("laptop");
    let accept = |code: &str| phone.try_run(["link", "accept", code]);

    for foreign in [
        "https://example.org/menu",
        "hello",
        "",
        "TWIN:",
        "twin1qqqq",
    ] {
        complains(accept(foreign), &["not a linking code"]);
    }
    for length in [11, 20, text.len() / 2, text.len() - 1] {
        complains(accept(&text[..length]), &["incomplete"]);
    }
    let mut misread = text.clone().into_bytes();
    let middle = misread.len() / 2;
    misread[middle] = if misread[middle] == b'A' { b'B' } else { b'A' };
    complains(accept(std::str::from_utf8(&misread).unwrap()), &["misread"]);
    let login =
        "openid4vp://?client_id=decentralized_identifier%3Adid%3Aweb%3Alocalhost&request_uri=x";
    complains(accept(login), &["login code", "twin login"]);

    let whole = fs::read(laptop.picture()).unwrap();
    let written = |name: &str, bytes: &[u8]| {
        fs::write(phone.file(name), bytes).unwrap();
        phone.file(name).display().to_string()
    };
    for (picture, words) in [
        (
            format!("{PICTURES}/foreign.png"),
            &["not a linking code"][..],
        ),
        (
            format!("{PICTURES}/no-code.png"),
            &["there is no qr code in"],
        ),
        (
            written("cut.png", &whole[..whole.len() / 2]),
            &["cut.png", "cannot be read"],
        ),
        (
            written("text.png", text.as_bytes()),
            &["text.png", "cannot be read"],
        ),
        (written("empty.png", b""), &["empty.png", "cannot be read"]),
        (
            phone.file("none.png").display().to_string(),
            &["none.png", "cannot be read"],
        ),
    ] {
        complains(accept(&picture), words);
    }
    assert_eq!(devices_of(&phone), 1);
    is_whole(&phone);
}

#[test]
fn a_wrong_code_ends_it_on_both() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    for wrong in ["000 000", "12", ""] {
        let mut linking = laptop.begin_linking(&phone, "laptop", "companion");
        if linking.code == wrong {
            // One in a million: then another is wrong.
            linking.phone.type_line("111 111");
        } else {
            linking.phone.type_line(wrong);
        }
        complains(linking.phone.finish(), &["wrong code", "on both"]);
        complains(
            linking.new.finish(),
            &["code typed on the phone", "new code"],
        );
        assert_eq!(devices_of(&phone), 1);
        assert!(!laptop.home().join("vault.db").exists());
    }
    is_whole(&phone);
    // And then it works.
    laptop.link(&phone, "laptop", "companion");
    is_whole(&laptop);
}

#[test]
fn the_person_at_the_new_device_says_no() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    for answer in ["n", "", "what?"] {
        let (mut offer, _) = laptop.offer("laptop");
        let accept = phone.start(["link", "accept", &laptop.picture()]);
        accept.expect("Type the six digits");
        offer.expect("Join the twin “Ada”");
        offer.type_line(answer);
        complains(offer.finish(), &["you said no"]);
        // There will never be a code to type.
        complains(accept.finish_by_itself(), &["other device said no"]);
        assert_eq!(devices_of(&phone), 1);
        assert!(!laptop.home().exists() || !laptop.home().join("vault.db").exists());
    }
    is_whole(&phone);
}

#[test]
fn an_offer_works_once_and_only_while_it_is_shown() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");

    // Closed before anybody scanned it.
    let (offer, text) = laptop.offer("laptop");
    offer.kill();
    let begun = Instant::now();
    complains(
        phone.try_run(["link", "accept", &text]),
        &["new device", "code"],
    );
    assert!(begun.elapsed() < SOON);

    // Scanned twice at once: the first goes on as if nothing had been.
    let mut linking = laptop.begin_linking(&phone, "laptop", "companion");
    let begun = Instant::now();
    let again = phone.try_run(["link", "accept", &laptop.picture()]);
    complains(again, &["new device", "code"]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    linking.phone.type_line(&linking.code);
    linking.phone.finish().well();
    linking.new.finish().well();
    is_whole(&laptop);

    // Used before.
    let begun = Instant::now();
    let used = phone.try_run(["link", "accept", &laptop.picture()]);
    complains(used, &["new device", "code"]);
    assert!(begun.elapsed() < SOON);
    assert_eq!(devices_of(&phone), 2);
    is_whole(&phone);
}

#[test]
fn a_device_that_goes_away_while_linking_is_noticed() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    // The phone goes while the code is shown.
    let linking = laptop.begin_linking(&phone, "laptop", "companion");
    linking.phone.kill();
    complains(linking.new.finish(), &["other device", "again"]);
    assert!(!laptop.home().join("vault.db").exists());
    // The new device goes while the code is typed.
    let linking = laptop.begin_linking(&phone, "laptop", "companion");
    linking.new.kill();
    complains(linking.phone.finish_by_itself(), &["other device", "again"]);
    assert_eq!(devices_of(&phone), 1);
    is_whole(&phone);
}

#[test]
fn who_may_link_what() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let (_offer, text) = tablet.offer("tablet");
    complains(
        laptop.try_run(["link", "accept", &text]),
        &["only the phone"],
    );
    complains(laptop.try_run(["activity"]), &["only the phone"]);
    // A device that has a twin takes no other.
    complains(
        laptop.try_run(["link", "offer"]),
        &["there is a vault here already"],
    );
    complains(
        laptop.try_run(["create", "--name", "Bob"]),
        &["there is a vault here already"],
    );
    is_whole(&laptop);
    // Names that a screen could not show.
    complains(tablet.try_run(["create", "--name", ""]), &["name"]);
    complains(tablet.try_run(["create", "--name", "\u{1b}[2J"]), &["name"]);
    complains(tablet.try_run(["link", "offer", "--device", ""]), &["name"]);
    complains(
        tablet.try_run(["link", "offer", "--qr", "/none/such.png"]),
        &["/none/such.png", "cannot be written"],
    );
    assert!(!tablet.home().join("vault.db").exists());
}
