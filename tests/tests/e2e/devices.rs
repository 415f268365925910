//! Devices come and go: removed, suspended, promoted, renamed, and one put in the place of another.

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

fn id_of(at: &Device<'_>, name: &str) -> String {
    let devices = at.run(["device", "list", "--json"]).json();
    let mut devices = devices.as_array().unwrap().iter();
    let device = devices.find(|device| device["name"] == name).unwrap();
    device["device"].as_str().unwrap().to_owned()
}

#[test]
fn a_removed_laptop_learns_nothing_more() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    tablet.link(&phone, "tablet", "companion");
    laptop.run(["put", "home/notes/before", "word=kept"]);
    laptop.meet(&phone);

    phone.run(["device", "revoke", "--yes", "laptop"]);
    phone.run(["put", "home/notes/secret", "word=new"]);
    laptop.run(["put", "home/notes/late", "word=late"]);
    complains(
        laptop.try_meeting(&phone),
        &["no other device", "has removed this one"],
    );
    for notes in [laptop.list("home/notes"), tablet.list("home/notes")] {
        assert!(!notes.to_string().contains("secret"), "{notes}");
    }
    // What it wrote before stays, what it wrote afterwards is nobody's.
    tablet.meet(&phone);
    for device in [&phone, &tablet] {
        let notes = device.list("home/notes").to_string();
        assert!(
            notes.contains("before") && notes.contains("secret"),
            "{notes}"
        );
        assert!(!notes.contains("late"), "{notes}");
        assert_eq!(device.active(), ["phone", "tablet"]);
    }
    // Nor does it get anything from the other companion.
    complains(laptop.try_meeting(&tablet), &["no other device"]);
    assert!(!laptop.list("home/notes").to_string().contains("secret"));
    is_whole(&phone);
}

#[test]
fn what_was_set_aside_can_be_accepted() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    tablet.meet(&laptop);
    phone.run(["device", "revoke", "--yes", "laptop"]);
    // The tablet has not heard of it when it meets the laptop.
    laptop.run(["put", "home/notes/late", "word=late"]);
    tablet.meet(&laptop);
    tablet.meet(&phone);
    for device in [&phone, &tablet] {
        assert!(!device.list("home/notes").to_string().contains("late"));
    }
    complains(
        phone.try_run(["device", "accept", "laptop"]),
        &["nothing is set aside"],
    );
    let status = tablet.run(["status"]).output;
    assert!(status.contains("twin device accept laptop"), "{status}");
    tablet.run(["device", "accept", "laptop"]);
    tablet.meet(&phone);
    for device in [&phone, &tablet] {
        assert!(device.list("home/notes").to_string().contains("late"));
        let activity = device.run(["activity"]).output;
        assert!(activity.contains("accepted what device"), "{activity}");
        assert_eq!(device.active(), ["phone", "tablet"]);
    }
}

#[test]
fn a_suspended_device_waits_and_comes_back() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    phone.run(["device", "suspend", "laptop"]);
    assert!(
        phone
            .known()
            .contains(&("laptop".into(), "suspended".into()))
    );
    phone.run(["put", "home/notes/secret", "word=new"]);
    laptop.run(["put", "home/notes/meanwhile", "word=waits"]);
    let _ = laptop.try_meeting(&phone);
    assert!(!laptop.list("home/notes").to_string().contains("secret"));
    assert!(!phone.list("home/notes").to_string().contains("meanwhile"));

    phone.run(["device", "resume", "laptop"]);
    laptop.meet(&phone);
    for device in [&phone, &laptop] {
        let notes = device.list("home/notes").to_string();
        assert!(
            notes.contains("secret") && notes.contains("meanwhile"),
            "{notes}"
        );
    }
    assert_eq!(laptop.status()["state"], "active");
}

#[test]
fn devices_are_named_and_promoted_and_mistakes_are_explained() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let on_phone = |words: &[&str]| phone.try_run(words.iter().copied());
    let id = id_of(&phone, "laptop");

    complains(
        on_phone(&["device", "revoke", "--yes", "printer"]),
        &["no device is called “printer”"],
    );
    complains(
        on_phone(&["device", "rename", &id[..3], "desk"]),
        &["no device is called"],
    );
    complains(on_phone(&["device", "rename", "laptop", ""]), &["name"]);
    complains(
        on_phone(&["device", "revoke", "--yes", "phone"]),
        &["only device that can add or remove"],
    );
    complains(
        on_phone(&["device", "suspend", "phone"]),
        &["cannot suspend itself"],
    );
    complains(
        on_phone(&["device", "replace", "--yes", "phone"]),
        &["cannot replace itself"],
    );
    on_phone(&["device", "rename", &id[..8], "phone"]).well();
    complains(
        on_phone(&["device", "suspend", "phone"]),
        &["several devices", "digits"],
    );
    on_phone(&["device", "rename", &id[..8], "desk"]).well();
    let on_laptop = |words: &[&str]| laptop.try_run(words.iter().copied());
    laptop.meet(&phone);
    assert_eq!(laptop.status()["device_name"], "desk");
    for words in [
        &["device", "revoke", "--yes", "phone"][..],
        &["device", "suspend", "phone"],
        &["device", "promote", "desk"],
        &["sites"],
    ] {
        complains(on_laptop(words), &["phone"]);
    }

    complains(on_phone(&["device", "resume", "desk"]), &["not suspended"]);
    on_phone(&["device", "promote", "desk"]).well();
    complains(on_phone(&["device", "promote", "desk"]), &["already"]);
    laptop.meet(&phone);
    assert_eq!(laptop.status()["may_replace_phone"], 2);
    // What only phones see.
    let activity = laptop.run(["activity"]).output;
    assert!(
        activity.contains("may replace the phone from here on"),
        "{activity}"
    );
    complains(
        on_phone(&["device", "revoke", "--yes", "desk"]),
        &["only the recovery words", "suspend"],
    );
    complains(
        on_laptop(&["device", "revoke", "--yes", "phone"]),
        &["only the recovery words"],
    );
    // Now it can link others, and the phone can leave by itself.
    let watch = Device::new(&lan, "watch");
    watch.link(&laptop, "watch", "companion");
    on_phone(&["device", "revoke", "--yes", "phone"]).well();
    laptop.meet(&watch);
    is_whole(&watch);
}

#[test]
fn a_tablet_that_may_replace_the_phone_takes_its_place() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let tablet = Device::new(&lan, "tablet");
    let laptop = Device::new(&lan, "laptop");
    let words = phone.create_with_words("Ada");
    phone.run(["put", "home/notes/one", "word=kept"]);
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    laptop.link(&phone, "laptop", "companion");
    tablet.meet(&laptop);

    // At once, without the words; then for good.
    tablet.run(["device", "suspend", "phone"]);
    tablet.run(["put", "home/notes/secret", "word=new"]);
    let _ = phone.try_meeting(&tablet);
    assert!(!phone.list("home/notes").to_string().contains("secret"));
    complains(
        tablet.try_typing(["device", "replace", "--yes", "phone"], &["zzz"]),
        &["word number 1"],
    );
    let id = id_of(&tablet, "phone");
    let said = tablet
        .try_typing(["device", "replace", "--yes", "phone"], &[&words])
        .well();
    let out = format!("phone ({}) is out", &id[..8]);
    assert!(said.output.contains(&out), "{}", said.output);
    laptop.meet(&tablet);
    for device in [&tablet, &laptop] {
        assert_eq!(device.active(), ["laptop", "tablet"]);
        assert_eq!(device.list("home/notes").as_array().unwrap().len(), 2);
    }
    // The old phone finds nobody who would take it back.
    complains(phone.try_meeting(&tablet), &["no other device"]);
}

#[test]
fn a_companion_takes_over_when_two_are_lost_at_once() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let tablet = Device::new(&lan, "tablet");
    let laptop = Device::new(&lan, "laptop");
    let watch = Device::new(&lan, "watch");
    let words = phone.create_with_words("Ada");
    phone.run(["put", "home/notes/one", "word=kept"]);
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    laptop.link(&phone, "laptop", "companion");
    watch.link(&phone, "watch", "companion");
    laptop.meet(&phone);

    complains(laptop.try_run(["activity"]), &["only the phone"]);
    let replace = ["device", "replace", "--yes", "phone", "tablet", "--json"];
    let replaced = laptop.try_typing(replace, &[&words]).well().json();
    assert_eq!(replaced["gone"].as_array().unwrap().len(), 2);
    assert_eq!(laptop.active(), ["laptop", "watch"]);
    // It is the phone now: it sees what only phones see, signs in, links.
    let activity = laptop.run(["activity", "--json"]).json();
    let activity = activity.as_array().unwrap().iter();
    let whats: Vec<_> = activity.map(|one| one["what"].clone()).collect();
    assert!(
        whats.contains(&json!("created")) && whats.contains(&json!("removed")),
        "{whats:?}"
    );
    laptop.run(["put", "home/notes/secret", "word=new"]);
    watch.meet(&laptop);
    assert_eq!(watch.fields("home/notes/secret")["word"], "new");
    let new = Device::new(&lan, "new");
    new.link(&laptop, "new", "companion");
    assert_eq!(new.active(), ["laptop", "new", "watch"]);
    for lost in [&phone, &tablet] {
        let _ = lost.try_meeting(&laptop);
        assert!(!lost.list("home/notes").to_string().contains("secret"));
    }
}

/// A companion for some days, and one that takes itself for more than it is.
#[test]
fn a_companion_comes_in_for_a_while_and_names_itself_only() {
    let lan = Lan::new();
    let mut phone = Device::new(&lan, "phone");
    let mut laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    let mut linking = laptop.begin_linking_with(&phone, "laptop", &["--for", "30"]);
    linking.phone.type_line(&linking.code);
    let said = linking.phone.finish().well().output;
    assert!(said.contains("30 days"), "{said}");
    linking.new.finish().well();
    phone.run(["put", "home/notes/early", "word=seen"]);
    laptop.meet(&phone);

    complains(
        laptop.try_run(["device", "rename", "phone", "laptop"]),
        &["names itself only"],
    );
    laptop.run(["device", "rename", "laptop", "desk"]);
    laptop.meet(&phone);
    assert_eq!(phone.active(), ["desk", "phone"]);

    phone.set_ahead(31);
    laptop.set_ahead(31);
    phone.run(["put", "home/notes/late", "word=new"]);
    assert!(phone.known().contains(&("desk".into(), "expired".into())));
    let _ = laptop.try_meeting(&phone);
    let notes = laptop.list("home/notes").to_string();
    assert!(
        notes.contains("early") && !notes.contains("late"),
        "{notes}"
    );
    assert_eq!(laptop.status()["state"], "expired");
    complains(
        laptop.try_run(["put", "home/notes/own", "word=x"]),
        &["its time in the twin is over"],
    );
    is_whole(&phone);
}
