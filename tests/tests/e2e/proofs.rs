//! Proofs of identity: made by a phone, checked by anybody.

use std::fs;

use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, settle};

#[test]
fn a_proof_is_good_for_a_day_and_never_goes_back() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let mut contact = Device::new(&lan, "contact");
    let words = phone.create_with_words("Ada");
    let id = phone.status()["twin"].as_str().unwrap().to_owned();
    let made = |name: &str| {
        let path = phone.file(name).display().to_string();
        phone.run(["proof", "--out", &path]);
        path
    };
    let known = contact.file("ada.json").display().to_string();
    let check = |contact: &Device<'_>, path: &str| {
        contact.try_run(["proof", "check", path, "--known", &known, "--json"])
    };
    let first = made("first");
    assert_eq!(check(&contact, &first).well().json()["twin"], id);
    // The same again is no news.
    check(&contact, &first).well();
    phone.try_typing(["recovery", "rotate"], &[&words]).well();
    let second = made("second");
    check(&contact, &second).well();
    complains(
        check(&contact, &first),
        &["older than one that was seen before"],
    );

    // From standard input, as it is shown.
    let shown = phone.run(["proof"]).output;
    contact
        .try_typing(["proof", "check", "-", "--twin", &id], &[&shown])
        .well();

    let text = fs::read_to_string(&second).unwrap();
    let changed = |name: &str, text: &str| {
        fs::write(phone.file(name), text).unwrap();
        phone.file(name).display().to_string()
    };
    let middle = text.len() / 2;
    let other = if text.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let mut forged = text.clone();
    forged.replace_range(middle..=middle, other);
    complains(check(&contact, &changed("forged", &forged)), &["proof"]);
    complains(
        check(&contact, &changed("empty", "")),
        &["no proof of identity"],
    );
    fs::write(phone.file("binary"), [0x89, b'P', b'N', b'G', 0xff, 0]).unwrap();
    let binary = phone.file("binary").display().to_string();
    complains(check(&contact, &binary), &["no proof of identity"]);
    let seen = contact.try_run(["proof", "check", &second, "--known", &binary]);
    complains(seen, &["does not hold what was seen"]);
    complains(
        check(&contact, &changed("cut", &text[..middle])),
        &["proof"],
    );
    complains(check(&contact, "/none/such"), &["cannot be read"]);
    let bob = Device::new(&lan, "bob");
    settle(&bob, "Bob");
    let his = bob.status()["twin"].as_str().unwrap().to_owned();
    let mixed = text.replacen(&id, &his, 1);
    complains(
        check(&contact, &changed("mixed", &mixed)),
        &["another twin"],
    );
    complains(
        contact.try_run(["proof", "check", &second, "--twin", &his]),
        &["another twin"],
    );

    contact.set_ahead(2);
    complains(check(&contact, &second), &["out of date"]);
    // A companion vouches for nobody.
    let laptop = Device::new(&lan, "laptop");
    laptop.link(&phone, "laptop", "companion");
    complains(laptop.try_run(["proof"]), &["only the phone"]);
}
