//! A damaged vault, and the new one that is made of what is whole in it.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::json;
use twin_tests::e2e::{Device, Lan, Program};

use crate::complaints::{complains, settle};

/// All files of a folder, with what is in them.
fn files(folder: PathBuf) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Does this to the vault of a device behind its back.
fn harm(device: &Device<'_>, sql: &str) {
    let file = Connection::open(device.home().join("vault.db")).unwrap();
    // What is only marked as free would be found again.
    file.pragma_update(None, "secure_delete", true).unwrap();
    assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
}

/// Alters a bit of the signature of the operation before so many others; what it says can still be read.
fn alter_signature(device: &Device<'_>, before: i64) {
    let file = Connection::open(device.home().join("vault.db")).unwrap();
    let sql = "SELECT n, v FROM op ORDER BY n DESC LIMIT 1 OFFSET ?1";
    let (n, mut v): (i64, Vec<u8>) = file
        .query_row(sql, [before], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    v[20] ^= 1;
    file.execute("UPDATE op SET v = ?2 WHERE n = ?1", (n, v))
        .unwrap();
}

/// `twin --home FOLDER WORDS…` on a device.
fn in_new<'a>(device: &Device<'_>, words: impl IntoIterator<Item = &'a str>) -> Program {
    let mut command = device.command(words);
    command
        .env("TWIN_HOME", device.file("new"))
        .env("TWIN_PASSWORD", device.password());
    Program::in_pipes(command)
}

#[test]
fn what_is_whole_comes_into_a_new_vault_and_the_rest_into_a_file() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    for number in 0..8 {
        phone.run(["put", &format!("home/more/{number}"), "word=later"]);
    }
    let photo = phone.file("photo.bin");
    fs::write(&photo, vec![7; 200_000]).unwrap();
    phone.run(["file", "add", "home", photo.to_str().unwrap()]);
    // Page 1 leads to all tables; and one operation in the middle of the log.
    alter_signature(&phone, 5);
    let vault = phone.home().join("vault.db");
    let mut bytes = fs::read(&vault).unwrap();
    bytes[..4096].fill(0);
    fs::write(&vault, &bytes).unwrap();
    complains(
        phone.try_run(["list"]),
        &["damaged", "nothing was deleted", "salvage"],
    );

    let before = files(phone.home());
    let (new, rest) = (phone.file("new"), phone.file("rest.jsonl"));
    let salvage = [
        "vault",
        "salvage",
        new.to_str().unwrap(),
        "--rest",
        rest.to_str().unwrap(),
    ];
    let said = phone.run(salvage).output;
    for word in [
        "lost: operations",
        "written here",
        "could not be kept",
        "twin import",
        "--home",
    ] {
        assert!(said.contains(word), "“{word}” is not in: {said}");
    }
    assert!(
        files(phone.home()) == before,
        "the damaged vault was changed"
    );

    let whole = in_new(&phone, ["vault", "check"]).finish().well();
    assert!(whole.output.contains("Nothing is damaged."));
    let list = |place: &str| {
        in_new(&phone, ["list", place, "--json"])
            .finish()
            .well()
            .json()
    };
    let kept = list("home/more").as_array().unwrap().len();
    assert!(kept < 8, "{kept} records before the damage");
    let imported = in_new(&phone, ["import", rest.to_str().unwrap(), "--json"])
        .finish()
        .well();
    assert!(imported.json()["written"].as_u64().unwrap() > 0);
    assert_eq!(list("home/more").as_array().unwrap().len(), 8);
    assert_eq!(list("home/notes").as_array().unwrap().len(), 2);
    let names = list("home/files");
    let id = names[0]["id"].as_str().unwrap().to_owned();
    let back = phone.file("back.bin");
    let record = format!("home/files/{id}");
    let get = ["file", "get", &record, "--to", back.to_str().unwrap()];
    in_new(&phone, get).finish().well();
    assert_eq!(fs::read(&back).unwrap(), fs::read(&photo).unwrap());

    // Nothing is written over.
    complains(phone.try_run(salvage), &["already"]);
    let again = ["vault", "salvage", new.to_str().unwrap()];
    complains(phone.try_run(again), &["there is a vault here already"]);
}

#[test]
fn a_whole_vault_is_salvaged_whole() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let new = phone.file("new");
    let saved = phone
        .run(["vault", "salvage", new.to_str().unwrap(), "--json"])
        .json();
    assert_eq!(
        (&saved["vault"], &saved["rest"], &saved["lost"]),
        (&json!(true), &json!(0), &json!([]))
    );
    for (id, number) in [("one", 1), ("two", 2)] {
        let record = format!("home/notes/{id}");
        let got = in_new(&phone, ["get", &record, "--json"])
            .finish()
            .well()
            .json();
        assert_eq!(got["fields"], json!({"word": "kept", "number": number}));
    }
    in_new(&phone, ["put", "home/notes/three", "word=new"])
        .finish()
        .well();
}

#[test]
fn without_a_way_in_or_its_own_keys_it_says_what_helps() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let new = phone.file("new");
    let salvage = ["vault", "salvage", new.to_str().unwrap()];
    let mut wrong = phone.command(salvage);
    wrong.env("TWIN_PASSWORD", "wrong");
    complains(Program::in_pipes(wrong).finish(), &["wrong password"]);

    harm(&phone, "DELETE FROM item WHERE kind = 1");
    let said = phone.run(salvage).output;
    for word in [
        "lost: this device's own keys",
        "twin link offer",
        "twin recover",
        "export",
    ] {
        assert!(said.contains(word), "“{word}” is not in: {said}");
    }
    let got = in_new(&phone, ["get", "home/notes/one"]).finish().well();
    assert!(got.output.contains("kept"));
    complains(
        in_new(&phone, ["put", "home/notes/x", "a=b"]).finish(),
        &["removed"],
    );
    let plain = phone.file("plain");
    in_new(&phone, ["export", "--plain", plain.to_str().unwrap()])
        .finish()
        .well();

    fs::remove_dir_all(&new).unwrap();
    harm(&phone, "DELETE FROM slot");
    complains(
        phone.try_run(salvage),
        &["every way to unlock", "backup", "words"],
    );
    assert!(!new.join("vault.db").exists());
}

#[test]
fn content_that_is_lost_is_missed_in_the_new_vault_too() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let (photo, new) = (phone.file("photo.bin"), phone.file("new"));
    fs::write(&photo, vec![7; 200_000]).unwrap();
    let add = ["file", "add", "home", photo.to_str().unwrap()];
    phone.run(add);
    harm(&phone, "UPDATE chunk SET v = x'00' WHERE n = 1");
    complains(phone.try_run(["vault", "check"]), &["damage", "salvage"]);
    let plain = phone.file("plain");
    let said = phone.run(["export", "--plain", plain.to_str().unwrap()]);
    let said = [said.output, said.errors].concat();
    assert!(said.contains("left out"), "{said}");
    let said = phone
        .run(["vault", "salvage", new.to_str().unwrap()])
        .output;
    assert!(said.contains("lost: chunks of files: 1"), "{said}");
    let check = || in_new(&phone, ["vault", "check"]).finish().well().output;
    let said = check();
    for word in ["Nothing is damaged.", "Not all content of 1 files"] {
        assert!(said.contains(word), "“{word}” is not in: {said}");
    }
    in_new(&phone, add).finish().well();
    assert!(!check().contains("Not all content"));
}
