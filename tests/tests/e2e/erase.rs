//! What is erased on the phone is gone everywhere, from the files too.

use std::fs;

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

/// The parts of operations in a vault, as they are in its file.
fn parts(device: &Device<'_>) -> Vec<Vec<u8>> {
    let file = rusqlite::Connection::open(device.home().join("vault.db")).unwrap();
    let mut rows = file.prepare("SELECT v FROM op").unwrap();
    let rows = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let mut parts = Vec::new();
    for row in rows.map(Result::unwrap) {
        // After the number of parts, each after its length in three bytes, the head of the operation too.
        let (_, mut row) = row.split_first().unwrap();
        while let [a, b, c, rest @ ..] = row {
            let (part, rest) = rest.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
            parts.push(part.to_vec());
            row = rest;
        }
    }
    parts
}

/// Whether a piece of any of these is in a file of the device's folder.
fn is_left(device: &Device<'_>, gone: &[Vec<u8>]) -> bool {
    fs::read_dir(device.home()).unwrap().any(|file| {
        let path = file.unwrap().path();
        let content = if path.is_file() {
            fs::read(path).unwrap()
        } else {
            Vec::new()
        };
        let mut pieces = gone.iter().flat_map(|part| part.chunks_exact(24));
        pieces.any(|piece| content.windows(24).any(|window| window == piece))
    })
}

#[test]
fn a_record_is_gone_from_every_device() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    phone.run(["put", "home/notes/diary", "word=regret"]);
    laptop.meet(&phone);
    laptop.run(["put", "home/notes/diary", "word=shame", "--patch"]);
    laptop.meet(&phone);
    let before = [parts(&phone), parts(&laptop)];

    // A companion asks, the phone does it.
    complains(
        laptop.try_run(["erase", "home/notes/nothing", "--yes"]),
        &["no record"],
    );
    let said = laptop
        .run(["erase", "home/notes/diary", "--yes", "--json"])
        .json();
    assert_eq!(said, json!({"asked": "home/notes/diary"}));
    assert_eq!(laptop.fields("home/notes/diary")["word"], "shame");
    laptop.meet(&phone);
    let asked = phone.run(["erase", "--json"]).json();
    assert_eq!(
        asked,
        json!([{"record": "home/notes/diary", "asked_by": "laptop"}])
    );
    let said = phone
        .run(["erase", "home/notes/diary", "--yes", "--json"])
        .json();
    assert_eq!(said, json!({"erased": "home/notes/diary"}));
    laptop.meet(&phone);

    for (device, before) in [&phone, &laptop].into_iter().zip(before) {
        assert!(!device.list("home/notes").to_string().contains("diary"));
        assert_eq!(device.run(["erase", "--json"]).json(), json!([]));
        complains(device.try_run(["get", "home/notes/diary"]), &["no record"]);
        let left = parts(device);
        let gone: Vec<_> = before
            .into_iter()
            .filter(|part| !left.contains(part))
            .collect();
        assert_eq!(
            gone.len(),
            2,
            "what the phone wrote and what the laptop did"
        );
        assert!(!is_left(device, &gone));
        is_whole(device);
    }
    // Erased twice is not there.
    complains(
        phone.try_run(["erase", "home/notes/diary", "--yes"]),
        &["no record"],
    );
}
