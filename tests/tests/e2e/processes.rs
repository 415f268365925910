//! Several processes of one device on one vault, and how they end.

use std::thread;

use twin_tests::e2e::{Device, Lan};

#[test]
fn processes_of_one_device_share_the_vault() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    let (online, _) = phone.go_online(["--no-discovery"]);
    // Two hands write at once, twenty times each, while a third reads and a fourth is online.
    let write = |hand: &str| {
        for number in 0..20 {
            let note = format!("home/notes/{hand}{number:02}");
            phone.run(["put", &note, &format!("number:={number}")]);
            phone.run([
                "put",
                "home/notes/shared",
                "--patch",
                &format!("{hand}:={number}"),
            ]);
        }
    };
    thread::scope(|scope| {
        let hands = ["left", "right"].map(|hand| scope.spawn(move || write(hand)));
        while hands.iter().any(|hand| !hand.is_finished()) {
            let seen = phone.run(["list", "home/notes", "--json"]).json();
            for note in seen.as_array().unwrap() {
                assert!(
                    !note["fields"].as_object().unwrap().is_empty(),
                    "half a note: {note}"
                );
            }
        }
    });
    assert_eq!(phone.list("home/notes").as_array().unwrap().len(), 41);
    assert_eq!(
        phone.fields("home/notes/shared"),
        serde_json::json!({"left": 19, "right": 19})
    );
    online.terminate();
    online.finish().well();
}
