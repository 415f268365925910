//! Everything is taken along in the clear, and taken in elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

fn lines(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_exported_is_imported_elsewhere() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let fields = [
        "text=Grüße \"1\"\n2",
        "float:=0.30000000000000004",
        "five:=5.0",
        "big:=-9223372036854775808",
    ];
    phone.run([&["put", "work/a b/c/d"], fields.as_slice()].concat());
    phone.run(["put", "home/notes/gone", "word=forgotten"]);
    phone.run(["delete", "home/notes/gone"]);
    let folder = phone.home().join("taken along");
    let path = folder.to_str().unwrap();

    // Not by accident, and not both ways.
    let both = ["export", path, "--plain", "--space", "home"];
    assert_eq!(phone.try_run(both).status.code(), Some(2));
    assert!(!folder.exists());
    let said = phone.run(["export", path, "--plain", "--json"]).json();
    assert_eq!(
        said,
        json!({"spaces": 2, "collections": 2, "records": 3, "files": 0, "absent": 0, "left_out": 0})
    );
    complains(
        phone.try_run(["export", path, "--plain"]),
        &["something of that name already"],
    );

    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 5);
    assert!(files.into_iter().all(|file| mode(file) == 0o600));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let about: Json = serde_json::from_str(&read("twin.json")).unwrap();
    let status = phone.run(["status", "--json"]).json();
    assert_eq!(
        (&about["twin"], &about["name"]),
        (&status["twin"], &json!("Ada"))
    );
    assert_eq!(about["devices"][0]["may_replace_phone"], true);
    let records = lines(&read("records.jsonl"));
    assert_eq!(records.len(), 3);
    assert!(
        records
            .iter()
            .all(|record| record["by"] == about["devices"][0]["id"])
    );
    assert_eq!(lines(&read("activity.jsonl"))[0]["what"], "created");
    assert_eq!(read("sites.jsonl"), "");

    // Elsewhere, twice.
    let file = folder.join("records.jsonl");
    let other = Device::new(&lan, "other");
    other.create("Bob");
    let import = || {
        other
            .run(["import", file.to_str().unwrap(), "--json"])
            .json()
    };
    let counts = |written: u64, same: u64| json!({"written": written, "replaced": 0, "same": same, "skipped": 0, "empty": 0, "as_text": 0});
    assert_eq!(import(), counts(3, 0));
    assert_eq!(import(), counts(0, 3));
    assert_eq!(other.fields("work/a b/c/d"), phone.fields("work/a b/c/d"));
    is_whole(&other);

    // A bad line at the end: nothing of it.
    let more =
        json!({"space": "home", "collection": "notes", "id": "three", "fields": {}}).to_string();
    let needs = "needs space, collection, id and fields";
    for (bad, says) in [
        ("x", "not json"),
        ("{}", needs),
        ("[]", needs),
        ("\u{0}", "not json"),
        (
            r#"{"space":"~keys","collection":"a","id":"b","fields":{}}"#,
            "its space",
        ),
        (
            r#"{"space":"home","collection":"","id":"b","fields":{}}"#,
            "collection",
        ),
        (
            r#"{"space":"home","collection":"a","id":"b","fields":{"x":[1]}}"#,
            "a field in it",
        ),
        (
            r#"{"space":"home","collection":"a","id":"b","fields":{"x":1,"x":2}}"#,
            "same name twice",
        ),
    ] {
        let text = format!("{more}\n\n{bad}\n");
        fs::write(&file, text).unwrap();
        complains(
            other.try_run(["import", file.to_str().unwrap()]),
            &["line 3", says, "nothing was imported"],
        );
    }
    let newer = json!({"format": "digital-twin-plain", "version": 2});
    fs::write(folder.join("twin.json"), newer.to_string()).unwrap();
    complains(
        other.try_run(["import", folder.to_str().unwrap()]),
        &["newer version", "nothing was imported"],
    );
    complains(
        other.try_run(["import", "/nowhere/at.all"]),
        &["cannot be read"],
    );
    complains(
        other.try_run(["get", "home/notes/three"]),
        &["there is no record"],
    );
    is_whole(&other);
}

#[test]
fn an_export_that_was_killed_is_begun_anew_and_lies_about_no_longer() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let folder = phone.file("all");
    let export = ["export", "--plain", folder.to_str().unwrap()];
    phone.run(export);
    // As if it had been killed a moment before its end.
    let left = phone.file("all.unfinished");
    fs::rename(&folder, &left).unwrap();
    fs::write(left.join("records.jsonl"), "{\"space\": \"ho").unwrap();
    // Another one goes on with it.
    let readme = fs::File::open(left.join("README.txt")).unwrap();
    readme.lock().unwrap();
    complains(phone.try_run(export), &["another program is writing"]);
    drop(readme);
    phone.run(export);
    assert!(!left.exists());
    let records = fs::read_to_string(folder.join("records.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 2);

    // What is something else is left alone.
    let other = phone.file("other.unfinished");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("diary.txt"), "mine").unwrap();
    let export = [
        "export",
        "--plain",
        &phone.file("other").display().to_string(),
    ];
    complains(
        phone.try_run(export),
        &[".unfinished", "choose another name"],
    );
    assert_eq!(fs::read_to_string(other.join("diary.txt")).unwrap(), "mine");
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let none = phone.file("none.csv").display().to_string();
    complains(
        phone.try_run(["import", &none, "--to", "home/x"]),
        &["none.csv cannot be read"],
    );
    complains(
        phone.try_run(["check", &none]),
        &["none.csv cannot be read"],
    );
    // What can be read only once would be looked through, and then be empty.
    let pipe = phone.file("pipe.csv");
    let made = phone.other("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let import = ["import", pipe.to_str().unwrap(), "--to", "home/x"];
    complains(
        phone.try_run(import),
        &["pipe.csv cannot be read", "to a file first"],
    );
    let nowhere = phone.file("no/folder/all").display().to_string();
    complains(phone.try_run(["export", &nowhere]), &["cannot be written"]);
    complains(
        phone.try_run(["export", "--plain", &nowhere]),
        &["cannot be written"],
    );
    is_whole(&phone);
}
