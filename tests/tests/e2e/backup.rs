//! One sealed file: made, checked, taken in, and the twin that comes back from it when everything else is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, settle};
use crate::shop::Site;

/// Exports everything; where to.
fn export(device: &Device<'_>, name: &str) -> String {
    let file = device.file(name).display().to_string();
    let said = device.run(["export", &file]);
    assert!(said.output.contains("is whole"), "{}", said.output);
    file
}

#[test]
fn everything_comes_back_from_a_file_and_the_words() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let words = phone.create_with_words("Adalbert");
    phone.run([
        "put",
        "canary-home/canary-notes/canary-one",
        "word=canary-kept",
    ]);
    let mut site = Site::on(&phone);
    let subject = site.log_in("0");
    let port = site.port.clone();
    drop(site);
    laptop.link(&phone, "canary-laptop", "companion");
    laptop.run([
        "put",
        "canary-home/canary-notes/canary-two",
        "word=canary-kept",
    ]);
    laptop.meet(&phone);
    let (id, sites) = (
        phone.status()["twin"].clone(),
        phone.run(["sites", "--json"]).json(),
    );
    let file = export(&phone, "backup");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Whoever finds it learns nothing.
    let bytes = fs::read(&file).unwrap();
    let devices = phone.run(["device", "list", "--json"]).json();
    let ids = devices.as_array().unwrap().iter();
    let ids = ids.map(|device| device["device"].as_str().unwrap().to_owned());
    let text = |id: &str| id.as_bytes().to_vec();
    let raw = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks_exact(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.map(|pair| byte(pair).unwrap()).collect()
    };
    let mut told = vec![
        text("canary"),
        text("Adalbert"),
        text("localhost"),
        text(id.as_str().unwrap()),
    ];
    told.extend(ids.flat_map(|id| [text(&id), raw(&id)]));
    for what in told {
        let mut windows = bytes.windows(what.len());
        assert!(
            !windows.any(|window| window == what),
            "{what:?} is in the file"
        );
    }

    // The phone is gone, and nobody helps.
    let new = Device::new(&lan, "new phone");
    let said = new
        .try_typing(["recover", "--backup", &file], &[&words])
        .well();
    assert!(
        said.output.contains("This device is your phone now"),
        "{}",
        said.output
    );
    assert!(
        said.output.contains("are again: canary-laptop"),
        "{}",
        said.output
    );
    let status = new.status();
    assert_eq!(
        (&status["twin"], &status["name"]),
        (&id, &json!("Adalbert"))
    );
    assert_eq!(
        new.list("canary-home/canary-notes")
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(new.active(), ["canary-laptop", "phone"]);
    let activity = new.run(["activity", "--json"]).json();
    let happened = |what: &str| {
        activity
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["what"] == what)
    };
    for what in ["created", "linked", "logged_in", "recovered"] {
        assert!(happened(what), "{what}");
    }
    assert_eq!(new.run(["sites", "--json"]).json(), sites);
    assert_eq!(Site::at(&new, &port).log_in("0"), subject);

    // Whoever has the old phone is out.
    phone.run(["put", "canary-home/canary-notes/late", "word=thief"]);
    new.run(["put", "canary-home/canary-notes/three", "word=new"]);
    let _ = phone.try_meeting(&new);
    assert!(
        !new.list("canary-home/canary-notes")
            .to_string()
            .contains("thief")
    );

    // The laptop hears of the new phone by a file, and then goes on without being linked again.
    laptop.run(["put", "canary-home/canary-notes/four", "word=laptop"]);
    let news = export(&new, "news");
    let taken = laptop.run(["import", &news, "--json"]).json();
    assert_eq!(
        (&taken["event"], &taken["refused"]),
        (&json!("imported"), &json!(0))
    );
    laptop.meet(&new);
    assert_eq!(laptop.active(), ["canary-laptop", "phone"]);
    assert_eq!(
        laptop.list("canary-home/canary-notes"),
        new.list("canary-home/canary-notes")
    );
    assert_eq!(
        new.fields("canary-home/canary-notes/four")["word"],
        "laptop"
    );
    let _ = phone.try_meeting(&laptop);
    assert!(
        !laptop
            .list("canary-home/canary-notes")
            .to_string()
            .contains("thief")
    );
    complains(
        phone.try_run(["import", &news]),
        &["cannot open the export"],
    );
}

#[test]
fn a_file_is_checked_by_anybody_and_opened_by_who_may() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let file = export(&phone, "backup");
    complains(
        phone.try_run(["export", &file]),
        &["something of that name already"],
    );

    // On a machine without a vault or a password.
    let other = Device::new(&lan, "other");
    let said = other.run(["check", &file, "--json"]).json();
    let len = fs::metadata(&file).unwrap().len();
    assert_eq!(
        (&said["event"], &said["bytes"]),
        (&json!("complete"), &json!(len))
    );
    assert_eq!(said["contained"], Json::Null);
    complains(
        other.try_run(["check", &file, "--open"]),
        &["there is no vault here"],
    );
    let said = phone.run(["check", &file, "--open", "--json"]).json();
    assert_eq!(
        (&said["contained"]["space"], &said["contained"]["unknown"]),
        (&Json::Null, &json!(0))
    );
    assert!(said["contained"]["operations"].as_u64().unwrap() > 2);
    assert!(
        phone
            .run(["check", &file, "--open"])
            .output
            .contains("everything")
    );

    let bytes = fs::read(&file).unwrap();
    let bad = phone.file("bad").display().to_string();
    let mut damaged = bytes.clone();
    damaged[bytes.len() - 1000] ^= 1;
    for (bytes, words) in [
        (&bytes[..bytes.len() / 2], ["cut off", "copy it anew"]),
        (&damaged, ["damaged near byte", "copy it anew"]),
        (&b"shopping list"[..], ["no sealed export", "twin export"]),
        (
            &[&bytes[..9], &[7], &bytes[10..]].concat(),
            ["newer version", "update"],
        ),
    ] {
        fs::write(&bad, bytes).unwrap();
        complains(other.try_run(["check", &bad]), &words);
        // Before anything is asked.
        complains(other.try_run(["recover", "--backup", &bad]), &words);
        assert!(!other.home().join("vault.db").exists());
    }
    complains(
        other.try_run(["check", "/nowhere/at.all"]),
        &["cannot be read"],
    );
}

#[test]
fn only_the_right_words_and_a_whole_twin_bring_it_back() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let old = phone.create_with_words("Ada");
    phone.run(["put", "home/notes/one", "word=kept"]);
    let before = export(&phone, "before");
    let said = phone
        .try_typing(["recovery", "rotate", "--json"], &[&old])
        .well();
    let shown: Json = serde_json::from_str(said.output.lines().next().unwrap()).unwrap();
    let new = shown["words"].as_str().unwrap();
    let after = export(&phone, "after");
    let one = phone.file("one").display().to_string();
    phone.run(["export", &one, "--space", "home"]);
    complains(
        phone.try_run(["export", &format!("{one} more"), "--space", "nowhere"]),
        &["no space of that name"],
    );

    let machine = Device::new(&lan, "machine");
    for (file, words, complaint) in [
        (&before, new, ["do not open", "replaced"]),
        (
            &after,
            old.as_str(),
            ["do not open", "before your twin had them"],
        ),
        (&one, new, ["one space only", "whole twin"]),
    ] {
        complains(
            machine.try_typing(["recover", "--backup", file], &[words]),
            &complaint,
        );
        assert!(!machine.home().join("vault.db").exists());
    }
    machine
        .try_typing(["recover", "--backup", &after], &[new])
        .well();
    assert_eq!(machine.status()["twin"], phone.status()["twin"]);
    assert_eq!(machine.fields("home/notes/one")["word"], "kept");
    complains(
        machine.try_run(["recover", "--backup", &after]),
        &["there is a vault here already"],
    );
    // What was made for the old phone opens with the words of its day.
    complains(
        machine.try_run(["import", &one]),
        &["this device cannot open", "24 words"],
    );
    machine
        .try_typing(["import", &one, "--words"], &[new])
        .well();
    complains(
        machine.try_run(["import", "--words", "/proc/self/stat"]),
        &["no sealed export"],
    );
}

#[test]
fn a_recovery_that_is_broken_off_leaves_nothing_and_is_done_again() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let words = phone.create_with_words("Ada");
    let lines = phone.file("records.jsonl");
    let line = |n: u32| json!({"space": "home", "collection": "notes", "id": n.to_string(), "fields": {"n": n}});
    let text: Vec<String> = (0..5000).map(|n| line(n).to_string()).collect();
    fs::write(&lines, text.join("\n")).unwrap();
    phone.run(["import", lines.to_str().unwrap()]);
    let file = export(&phone, "backup");

    let new = Device::new(&lan, "new");
    let mut recovery = new.start(["recover", "--backup", &file, "--json"]);
    recovery.type_line(&words);
    recovery.expect("\"begun\"");
    recovery.kill();
    assert!(!new.home().join("vault.db").exists());
    complains(new.try_run(["status"]), &["there is no vault here"]);
    new.try_typing(["recover", "--backup", &file], &[&words])
        .well();
    assert_eq!(new.list("home/notes").as_array().unwrap().len(), 5000);
    let whole = new.run(["vault", "check"]);
    assert!(
        whole.output.contains("Nothing is damaged"),
        "{}",
        whole.output
    );
}
