//! Devices that never meet: what one leaves at a relay the other finds there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use twin_tests::e2e::{Device, Lan, Program};

use crate::complaints::{complains, is_whole, settle};
use crate::wire;

/// Never to be seen in clear.
const CANARY: &str = "Quokka";
/// To find nobody on the network, and not to wait long for that.
const ALONE: [&str; 5] = ["sync", "--no-discovery", "--wait", "2", "--json"];

/// Starts a relay on this machine; what people enter in their app.
pub fn start_relay(machine: &Device<'_>) -> (Program, String) {
    let folder = machine.file("relay").display().to_string();
    let listen = format!("{}:0", machine.address());
    let relay = machine.start(["relay", "--listen", &listen, "--data", &folder]);
    relay.expect("Enter this in the app:\n  ");
    let address = relay.line();
    (relay, address)
}

fn holds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
}

/// The envelopes at a relay that can still be had, in an order of their own.
fn envelopes(folder: &Path) -> BTreeSet<Vec<u8>> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match read_envelopes(folder) {
            Ok(lie) => return lie,
            // It was being written to while it was copied.
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
}

fn read_envelopes(folder: &Path) -> rusqlite::Result<BTreeSet<Vec<u8>>> {
    // Beside the relay, which has its file for itself.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let file = rusqlite::Connection::open(copy.path().join("mailbox.db"))?;
    let mut rows = file.prepare("SELECT sealed FROM post WHERE withdrawn IS NULL")?;
    let rows = rows.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// Whether a piece of one of these is in a file of a folder.
fn is_left(folder: &Path, envelopes: &BTreeSet<Vec<u8>>) -> bool {
    let files = std::fs::read_dir(folder).unwrap();
    let files: Vec<Vec<u8>> = files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    envelopes
        .iter()
        .flat_map(|envelope| envelope.chunks_exact(500))
        .any(|piece| {
            files
                .iter()
                .any(|file| file.windows(24).any(|window| window == &piece[..24]))
        })
}

#[test]
fn what_is_erased_goes_from_the_relay_too() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let (relay, address) = start_relay(&machine);
    let folder = machine.file("relay");
    phone.run(["relays", "add", &address]);
    {
        let (_online, place) = phone.go_online(["--no-discovery"]);
        laptop.run(["sync", "--no-discovery", "--wait", "5", "--peer", &place]);
    }
    // What a visit adds.
    let leaves = |device: &Device<'_>| {
        let before = envelopes(&folder);
        device.run(ALONE);
        let added: BTreeSet<_> = envelopes(&folder).difference(&before).cloned().collect();
        assert!(!added.is_empty());
        added
    };
    phone.run(["put", "home/notes/diary", "word=regret"]);
    phone.run(["put", "home/notes/kept", "word=joy"]);
    let regret = leaves(&phone);
    laptop.run(ALONE);
    laptop.run(["put", "home/notes/diary", "word=shame", "--patch"]);
    laptop.run(["put", "home/notes/other", "word=hope"]);
    let shame = leaves(&laptop);

    // The phone erases before it has read what the laptop has left last.
    phone.run(["erase", "home/notes/diary", "--yes"]);
    phone.run(ALONE);
    let after = envelopes(&folder);
    assert!(
        after.is_disjoint(&regret),
        "what was left before still lies there"
    );
    assert!(
        after.is_superset(&shame),
        "what holds nothing of it stays, and what the laptop lacks is left anew"
    );
    // What the laptop had written without knowing stays, so it is erased again.
    assert_eq!(phone.fields("home/notes/diary"), json!({"word": "shame"}));
    laptop.run(ALONE);
    phone.run(ALONE);
    phone.run(["erase", "home/notes/diary", "--yes"]);
    let between = envelopes(&folder);
    phone.run(ALONE);
    let after = envelopes(&folder);
    assert!(after.is_disjoint(&shame));
    assert!(!after.is_disjoint(&between), "what the phone left stays");
    laptop.run(ALONE);
    phone.run(ALONE);
    for device in [&phone, &laptop] {
        complains(device.try_run(["get", "home/notes/diary"]), &["no record"]);
        assert_eq!(device.fields("home/notes/kept"), json!({"word": "joy"}));
        assert_eq!(device.fields("home/notes/other"), json!({"word": "hope"}));
        is_whole(device);
    }
    // Soon nothing more is to be said.
    let mut lie = envelopes(&folder);
    let quiet = (0..4).any(|_| {
        laptop.run(ALONE);
        phone.run(ALONE);
        let before = std::mem::replace(&mut lie, envelopes(&folder));
        before == lie
    });
    assert!(quiet, "two devices go on answering each other");
    relay.terminate();
    relay.finish().well();
    let gone = regret.into_iter().chain(shame).collect();
    assert!(!is_left(&folder, &gone));
    assert!(is_left(&folder, &lie));
}

/// What compaction let go of is not named any more when its record is erased.
#[test]
fn what_was_superseded_before_it_was_erased_goes_from_the_relay_too() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let (_relay, address) = start_relay(&machine);
    let folder = machine.file("relay");
    let (phone, laptop) = pair(&lan, &address);
    phone.run(ALONE);
    let before = envelopes(&folder);
    phone.run(["put", "home/notes/diary", "word=regret"]);
    phone.run(ALONE);
    let regret: BTreeSet<_> = envelopes(&folder).difference(&before).cloned().collect();
    assert!(!regret.is_empty());
    phone.run(["put", "home/notes/diary", "word=joy"]);
    phone.run(ALONE);
    laptop.run(ALONE);
    phone.run(ALONE);
    let said = phone.run(["vault", "compact", "--json"]).json();
    assert!(said["gone"].as_u64().unwrap() > 0, "{said}");
    phone.run(["erase", "home/notes/diary", "--yes"]);
    phone.run(ALONE);
    assert!(envelopes(&folder).is_disjoint(&regret));
    laptop.run(ALONE);
    complains(laptop.try_run(["get", "home/notes/diary"]), &["no record"]);
    is_whole(&laptop);
}

/// A phone and a laptop that use a relay, and hold the same.
fn pair<'l>(lan: &'l Lan, relay: &str) -> (Device<'l>, Device<'l>) {
    let phone = Device::new(lan, "phone");
    let laptop = Device::new(lan, "laptop");
    settle(&phone, "Ada");
    phone.run(["relays", "add", relay]);
    laptop.link(&phone, "laptop", "companion");
    (phone, laptop)
}

#[test]
fn what_a_relay_has_lost_is_left_again() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let (relay, address) = start_relay(&machine);
    let (mut phone, mut laptop) = pair(&lan, &address);
    phone.run(["put", "home/notes/first", "n=1"]);
    for day in 0..4 {
        phone.set_ahead(day);
        phone.run(ALONE);
    }
    relay.terminate();
    relay.finish().well();
    for file in std::fs::read_dir(machine.file("relay")).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("mailbox.db") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let (_relay, again) = start_relay(&machine);
    for device in [&phone, &laptop] {
        device.run(["relays", "add", &again]);
    }
    // What follows it is of no use without it.
    phone.set_ahead(4);
    phone.run(["put", "home/notes/second", "n=2"]);
    phone.run(ALONE);
    laptop.set_ahead(5);
    laptop.run(ALONE);
    assert_eq!(laptop.fields("home/notes/second"), json!({"n": "2"}));
    assert_eq!(laptop.fields("home/notes/first"), json!({"n": "1"}));
}

#[test]
fn what_a_clock_that_was_ahead_has_left_is_left_again() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let (_relay, address) = start_relay(&machine);
    let (mut phone, laptop) = pair(&lan, &address);
    phone.run(["put", "home/notes/first", "n=1"]);
    phone.set_ahead(40);
    phone.run(ALONE);
    phone.set_ahead(0);
    phone.run(["put", "home/notes/second", "n=2"]);
    phone.run(ALONE);
    laptop.run(ALONE);
    for (record, number) in [("first", "1"), ("second", "2")] {
        let path = format!("home/notes/{record}");
        assert_eq!(laptop.fields(&path), json!({"n": number}));
    }
}

#[test]
fn what_is_erased_while_online_goes_from_the_relay_too() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let (_relay, address) = start_relay(&machine);
    let folder = machine.file("relay");
    let (phone, _laptop) = pair(&lan, &address);
    // Its first visit, which does not end.
    let (_online, _) = phone.go_online(["--no-discovery"]);
    let until = |there: &dyn Fn(&BTreeSet<Vec<u8>>) -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let lie = envelopes(&folder);
            if there(&lie) {
                return lie;
            }
            assert!(Instant::now() < end, "it does not come to that");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    phone.run(["put", "home/notes/diary", "word=regret"]);
    let before = until(&|lie| !lie.is_empty());
    phone.run(["erase", "home/notes/diary", "--yes"]);
    until(&|lie| lie.is_disjoint(&before) && !lie.is_empty());
}

#[test]
fn devices_that_never_meet_become_equal_by_a_relay() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let said = phone.run(["relays"]).output;
    assert!(said.contains("You use no relay"), "{said}");
    let (relay, address) = start_relay(&machine);
    phone.run(["relays", "add", &address]);
    {
        let (_online, place) = phone.go_online(["--no-discovery"]);
        laptop.run(["sync", "--no-discovery", "--wait", "5", "--peer", &place]);
    }
    assert_eq!(laptop.run(["relays", "--json"]).json(), json!([address]));

    // From now on never both at a time.
    phone.run([
        "put",
        "home/notes/a",
        &format!("text={CANARY} on the phone"),
    ]);
    let told = phone.run(ALONE).json();
    assert_eq!(told["relays"], json!([address]));
    laptop.run(ALONE);
    assert_eq!(
        laptop.fields("home/notes/a"),
        json!({"text": format!("{CANARY} on the phone")})
    );
    laptop.run([
        "put",
        "home/notes/b",
        &format!("text={CANARY} on the laptop"),
    ]);
    laptop.run(ALONE);
    phone.run(ALONE);
    assert_eq!(
        phone.fields("home/notes/b"),
        json!({"text": format!("{CANARY} on the laptop")})
    );
    is_whole(&phone);
    is_whole(&laptop);

    // The relay has been stopped and started, and still has what was left there.
    phone.run(["put", "home/notes/c", "text=3"]);
    phone.run(ALONE);
    relay.terminate();
    relay.finish().well();
    assert!(
        !holds(&machine.file("relay"), CANARY),
        "the relay holds in clear what was left there"
    );
    let failed = laptop.try_run(["sync", "--no-discovery", "--wait", "2"]);
    // Nobody answers there; how soon that is known is the network's affair.
    complains(failed, &[]);
    let (_relay, again) = start_relay(&machine);
    // It listens elsewhere now, under the same key.
    assert_eq!(again.split('@').next(), address.split('@').next());
    laptop.run(["relays", "add", &again]);
    laptop.run(ALONE);
    assert_eq!(laptop.fields("home/notes/c"), json!({"text": "3"}));
    phone.run(["relays", "remove", &address]);
    assert_eq!(phone.run(["relays", "--json"]).json(), json!([]));
}

#[test]
fn a_relay_that_says_nothing_is_not_waited_for_longer_than_it_takes_to_know() {
    let lan = Lan::new();
    let machine = Device::new(&lan, "relay");
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let (relay, address) = start_relay(&machine);
    relay.kill();
    let (_mute, port) = wire::mute(machine.namespace());
    let (key, _) = address.split_once('@').unwrap();
    phone.run([
        "relays",
        "add",
        &format!("{key}@{}:{port}", machine.address()),
    ]);
    let begun = Instant::now();
    let sync = ["sync", "--no-discovery", "--wait", "55"];
    complains(phone.try_run(sync), &["no other device", "the relay "]);
    assert!(
        begun.elapsed() < Duration::from_secs(45),
        "{:?}",
        begun.elapsed()
    );
}
