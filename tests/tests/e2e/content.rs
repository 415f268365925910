//! Content of files travels: to the device that keeps all of it, to the one where somebody wants to see it, and into a
//! backup.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

/// Bytes of which no two pieces are alike.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Adds a file of its own to a device's twin.
fn add(device: &Device<'_>, name: &str, bytes: &[u8]) {
    let path = device.file(name);
    fs::write(&path, bytes).unwrap();
    device.run(["file", "add", "home", text(&path)]);
}

/// Bytes of content that came, as a device has told line by line.
fn came(output: &str) -> u64 {
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let content = lines.filter(|line| line["event"] == "content");
    content.map(|line| line["bytes"].as_u64().unwrap()).sum()
}

/// `twin file get` of a file of `home` with what else is said; where it goes to.
fn get<'w>(record: &'w str, to: &'w Path, more: &[&'w str]) -> Vec<&'w str> {
    [
        &["file", "get", record, "--to", text(to), "--no-discovery"],
        more,
    ]
    .concat()
}

#[test]
fn a_laptop_has_what_the_phone_has_added_and_a_tablet_what_is_wanted() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    tablet.link(&phone, "tablet", "companion");
    for (device, kept) in [(&phone, "wanted"), (&laptop, "all"), (&tablet, "all")] {
        let said = device.run(["file", "keep", "--json"]).json();
        assert_eq!(said, json!({"keep": kept}));
    }
    tablet.run(["file", "keep", "wanted"]);
    let film = content(1, 5_000_000);
    add(&phone, "film.mp4", &film);
    add(&phone, "letter.txt", b"Dear Grace");
    let (online, address) = phone.go_online(["--no-discovery"]);
    let sync = [
        "sync",
        "--once",
        "--no-discovery",
        "--peer",
        &address,
        "--json",
    ];
    let said = laptop.run(sync).output;
    assert!(came(&said) > 5_000_000, "{said}");
    assert_eq!(came(&laptop.run(sync).output), 0);
    assert_eq!(came(&tablet.run(sync).output), 0);
    let peer = ["--peer", &address];
    let seen = tablet.file("seen");
    tablet.run(get("home/files/letter.txt", &seen, &peer));
    assert_eq!(fs::read(&seen).unwrap(), b"Dear Grace");
    drop(online);

    // The phone is lost. What the laptop holds is there, and comes to the tablet from it.
    let saved = laptop.file("saved");
    laptop.run(get("home/files/film.mp4", &saved, &[]));
    assert_eq!(fs::read(&saved).unwrap(), film);
    let missing = tablet.file("missing");
    let gone = get("home/files/film.mp4", &missing, &["--wait", "2"]);
    complains(tablet.try_run(gone), &["no other device"]);
    let (_online, address) = laptop.go_online(["--no-discovery"]);
    tablet.run(get("home/files/film.mp4", &missing, &["--peer", &address]));
    assert_eq!(fs::read(&missing).unwrap(), film);
    is_whole(&tablet);
}

#[test]
fn nobody_in_reach_has_it_is_said() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    tablet.link(&phone, "tablet", "companion");
    for device in [&laptop, &tablet] {
        device.run(["file", "keep", "wanted"]);
    }
    add(&phone, "film.mp4", &content(2, 200_000));
    laptop.meet(&phone);
    tablet.meet(&phone);
    let (_online, address) = laptop.go_online(["--no-discovery"]);
    let there = tablet.file("film.mp4");
    let wanted = get(
        "home/files/film.mp4",
        &there,
        &["--peer", &address, "--wait", "3"],
    );
    complains(
        tablet.try_run(wanted),
        &["no device in reach has all", "200000 bytes"],
    );
    assert!(!there.exists());
    // Nor is it silently left out of a backup.
    let backup = tablet.file("backup").display().to_string();
    let said = tablet.run(["export", &backup]).output;
    assert!(said.contains("NOT WHOLE in it: 1 files"), "{said}");
    assert!(said.contains("home/files/film.mp4"), "{said}");
}

#[test]
fn a_connection_that_is_cut_goes_on_where_it_stopped() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let film = content(3, 24_000_000);
    add(&phone, "film.mp4", &film);
    let (online, address) = phone.go_online(["--no-discovery"]);
    let receiving = laptop.start(["run", "--no-discovery", "--peer", &address, "--json"]);
    for _ in 0..8 {
        receiving.expect("\"event\":\"content\"");
    }
    // The cable is pulled, and then the laptop dies.
    laptop.cable.pull();
    drop(receiving);
    laptop.cable.plug();
    let there = laptop.file("film.mp4");
    let said = laptop.run([
        "sync",
        "--once",
        "--no-discovery",
        "--peer",
        &address,
        "--json",
    ]);
    let rest = came(&said.output);
    assert!(rest < 23_000_000, "{rest} bytes came again");
    drop(online);
    laptop.run(get("home/files/film.mp4", &there, &[]));
    assert_eq!(fs::read(&there).unwrap(), film);
    is_whole(&laptop);
}

#[test]
fn content_comes_back_from_a_backup_and_from_what_is_left_of_one() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let words = phone.create_with_words("Ada");
    let (film, letter) = (content(4, 3_000_000), content(5, 70_000));
    add(&phone, "film.mp4", &film);
    add(&phone, "letter.txt", &letter);
    let backup = phone.file("backup").display().to_string();
    phone.run(["export", &backup]);
    phone.run(["check", &backup]);
    let bare = phone.file("bare").display().to_string();
    phone.run(["export", &bare, "--without-files"]);
    let len = |path: &str| fs::metadata(path).unwrap().len();
    assert!(len(&backup) > len(&bare) + 3_000_000);

    let new = Device::new(&lan, "new phone");
    new.try_typing(["recover", "--backup", &backup], &[&words])
        .well();
    for (name, bytes) in [("film.mp4", &film), ("letter.txt", &letter)] {
        let there = new.file(name);
        new.run(get(&format!("home/files/{name}"), &there, &[]));
        assert_eq!(&fs::read(&there).unwrap(), bytes);
    }
    // One flipped byte, somewhere in the film.
    let mut bytes = fs::read(&backup).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let torn = phone.file("torn").display().to_string();
    fs::write(&torn, bytes).unwrap();
    complains(phone.try_run(["check", &torn]), &["damaged near byte"]);
    let last = Device::new(&lan, "last phone");
    complains(
        last.try_typing(["recover", "--backup", &torn], &[&words]),
        &["damaged near byte"],
    );
    let said = last
        .try_typing(["recover", "--backup", &torn, "--damaged"], &[&words])
        .well();
    assert!(
        said.output.contains("damaged in 1 places"),
        "{}",
        said.output
    );
    assert_eq!(last.status()["twin"], new.status()["twin"]);
    let there = last.file("letter.txt");
    last.run(get("home/files/letter.txt", &there, &[]));
    assert_eq!(fs::read(&there).unwrap(), letter);
    let there = last.file("film.mp4");
    let film_there = get("home/files/film.mp4", &there, &["--wait", "2"]);
    complains(last.try_run(film_there), &["no other device"]);
    // The other copy has what is lost in this one.
    last.try_typing(["import", &backup, "--words"], &[&words])
        .well();
    last.run(get("home/files/film.mp4", &there, &[]));
    assert_eq!(fs::read(&there).unwrap(), film);
}
