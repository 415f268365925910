//! Several processes of one device on one vault, and how they end.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

#[test]
fn processes_of_one_device_share_the_vault() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    let (online, _) = phone.go_online(["--no-discovery"]);
    // Two hands write at once, twenty times each, while a third reads and a fourth is online.
    let write = |hand: &str| {
        for number in 0..10 {
            let note = format!("home/notes/{hand}{number}");
            phone.run(["put", &note, &format!("number:={number}")]);
            let field = format!("{hand}:={number}");
            phone.run(["put", "home/notes/shared", "--patch", &field]);
        }
    };
    thread::scope(|scope| {
        let hands = ["left", "right"].map(|hand| scope.spawn(move || write(hand)));
        while hands.iter().any(|hand| !hand.is_finished()) {
            for note in phone.list("home/notes").as_array().unwrap() {
                let fields = note["fields"].as_object().unwrap();
                assert!(!fields.is_empty(), "half a note: {note}");
            }
        }
    });
    assert_eq!(phone.list("home/notes").as_array().unwrap().len(), 21);
    assert_eq!(
        phone.fields("home/notes/shared"),
        json!({"left": 9, "right": 9})
    );
    online.terminate();
    online.finish().well();
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    const TRIES: u32 = 24;
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    let begun = Instant::now();
    phone.run(["put", "home/notes/first", "word=kept"]);
    let whole = begun.elapsed();
    let mut acknowledged = Vec::new();
    for number in 0..TRIES {
        let id = format!("note{number:02}");
        let note = format!("home/notes/{id}");
        let mut put = phone.start(["put", &note, "word=kept", "other=kept"]);
        // From the first moment of its life to beyond the last; the last try is left to finish.
        if number + 1 < TRIES {
            put.set_patience(whole * number * 3 / (TRIES * 2));
        }
        if put.saw(&format!("written: {note}\n")) {
            acknowledged.push(id);
        }
        put.kill();
    }
    assert!(
        !acknowledged.is_empty(),
        "no write was fast enough to be acknowledged"
    );
    let notes = phone.list("home/notes");
    let notes = notes.as_array().unwrap();
    for id in &acknowledged {
        assert!(
            notes.iter().any(|note| note["id"] == id.as_str()),
            "{id} is lost"
        );
    }
    for note in notes.iter().filter(|note| note["id"] != "first") {
        assert_eq!(
            note["fields"],
            json!({"word": "kept", "other": "kept"}),
            "half a note"
        );
    }
    phone.run(["put", "home/notes/last", "word=kept"]);
}

#[test]
fn kill_9_while_receiving_is_made_up_for() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    phone.create("Ada");
    laptop.link(&phone, "laptop", "companion");
    let long = format!("text={}", "long ".repeat(20_000));
    for number in 0..12 {
        phone.run(["put", &format!("home/letters/{number}"), &long]);
    }
    let (_online, address) = phone.go_online(["--no-discovery"]);
    let sync = ["sync", "--once", "--no-discovery", "--peer", &address];
    for wanted in ["\"met\"", "\"received\""] {
        let receiving = laptop.start(sync.into_iter().chain(["--json"]));
        receiving.expect(wanted);
        receiving.kill();
        laptop.run(["list", "home/letters"]);
    }
    laptop.run(sync);
    assert_eq!(laptop.list("home/letters"), phone.list("home/letters"));
}

#[test]
fn online_ends_when_asked_and_says_goodbye() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    phone.create("Ada");
    laptop.link(&phone, "laptop", "companion");
    let (phone_online, address) = phone.go_online(["--no-discovery"]);
    for ends in 0..4 {
        let words = ["run", "--no-discovery", "--peer", &address];
        let mut online = match ends {
            0 | 1 => laptop.start(words),
            _ => {
                let mut online = laptop.on_terminal(words);
                online.expect_unseen("Password: ");
                online.type_line(laptop.password());
                online
            }
        };
        online.expect("phone and this device hold the same");
        phone_online.expect("laptop is here");
        let asked = Instant::now();
        if ends % 2 == 0 {
            online.interrupt();
        } else {
            online.terminate();
        }
        let finished = online.finish().well();
        assert!(
            finished.output.ends_with("Offline.\n") || finished.output.ends_with("Offline.\r\n"),
            "{}",
            finished.output
        );
        // Nobody waits for a silence to be noticed.
        phone_online.expect("laptop is gone");
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
    }
    let sync = ["sync", "--once", "--no-discovery", "--peer", &address];
    laptop.run(sync);
    phone_online.expect("laptop is gone");
    let killed = laptop.start(["run", "--no-discovery", "--peer", &address]);
    killed.expect("phone and this device hold the same");
    killed.kill();
    phone_online.expect("laptop is gone");
    // That devices come and go is nothing to worry about.
    phone_online.terminate();
    for line in phone_online.finish().well().output.lines() {
        let expected = ["Online.", "listening on ", "laptop ", "Offline."];
        assert!(
            expected.iter().any(|start| line.starts_with(start)),
            "{line}"
        );
    }
}
