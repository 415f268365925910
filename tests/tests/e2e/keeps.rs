//! A device that does not keep every space.

use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

#[test]
fn a_device_keeps_what_its_person_chooses() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    laptop.run(["put", "archive/letters/1990", "text=old"]);
    laptop.run(["put", "home/notes/three", "text=new"]);
    // The phone has nothing to say about a space that it has never heard of, or that the twin needs.
    let without = |space: &str| phone.try_run(["device", "keeps", "--without", space]);
    complains(without("archive"), &["there is no space of that name"]);
    laptop.meet(&phone);
    complains(
        laptop.try_run(["device", "keeps", "--without", "nowhere"]),
        &["there is no space of that name"],
    );
    let said = phone
        .run(["device", "keeps", "--without", "archive"])
        .output;
    assert!(said.contains("no more"), "{said}");
    complains(
        phone.try_run(["put", "archive/letters/1991", "text=x"]),
        &["does not keep that space"],
    );
    assert_eq!(phone.fields("archive/letters/1990")["text"], "old");

    laptop.run(["put", "archive/letters/1992", "text=older"]);
    laptop.run(["put", "home/notes/four", "text=newer"]);
    laptop.meet(&phone);
    let letters = phone.list("archive/letters").to_string();
    assert!(
        letters.contains("1990") && !letters.contains("1992"),
        "{letters}"
    );
    assert_eq!(phone.fields("home/notes/four")["text"], "newer");
    // In sync, and what with; every device knows who keeps what.
    for device in [&phone, &laptop] {
        let peer = &device.status()["sync"][0];
        assert_eq!(peer["in_sync"], true, "{peer}");
        assert_eq!(peer["apart"][0], "archive", "{peer}");
        let shown = device.run(["status"]).output;
        assert!(shown.contains("but for archive"), "{shown}");
        let keeps = device.run(["device", "keeps", "--json"]).json();
        let keeps = keeps.as_array().unwrap();
        let of = |name: &str| keeps.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(of("phone")["without"][0], "archive");
        assert_eq!(of("laptop")["without"].as_array().unwrap().len(), 0);
    }
    let listed = laptop.run(["device", "keeps"]).output;
    assert!(listed.contains("all spaces but archive"), "{listed}");
    // Nobody keeps it but the laptop.
    complains(
        laptop.try_run(["device", "keeps", "--without", "archive"]),
        &["another device has to keep that space first"],
    );

    phone.run(["device", "keeps", "--with", "archive"]);
    laptop.meet(&phone);
    assert_eq!(phone.fields("archive/letters/1992")["text"], "older");
    phone.run(["put", "archive/letters/1993", "text=again"]);
    laptop.meet(&phone);
    assert_eq!(laptop.fields("archive/letters/1993")["text"], "again");
    for device in [&phone, &laptop] {
        assert_eq!(
            device.status()["sync"][0]["apart"]
                .as_array()
                .unwrap()
                .len(),
            0
        );
        is_whole(device);
    }
}
