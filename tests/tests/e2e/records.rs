//! Sets, counters, schemas, what was deleted and what was: typed on two devices.

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::complains;

const RECORD: &str = "home/notes/one";

#[test]
fn what_two_devices_do_to_sets_and_counters_comes_together() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    phone.create("Ada");
    laptop.link(&phone, "laptop", "companion");
    let due = json!({"timestamp": "2026-11-23T10:00:00.25Z"});
    let who = json!({"ref": ["people", "ada"]});
    phone.run([
        "put",
        RECORD,
        "title=Grüße",
        &format!("due:={due}"),
        &format!("who:={who}"),
        "tags:={\"set\": [\"b\", \"a\", \"a\", 1]}",
        "count:={\"counter\": 10}",
    ]);
    laptop.meet(&phone);
    phone.run(["put", RECORD, "tags+=c", "tags-=a", "count++=5"]);
    laptop.run(["put", RECORD, "tags+=a", "tags-:=1", "count--=2"]);
    laptop.run(["put", RECORD, "--patch", "title=Greetings", "count++=1"]);
    laptop.meet(&phone);
    for device in [&phone, &laptop] {
        assert_eq!(
            device.fields(RECORD),
            json!({
                "title": "Greetings",
                "due": due,
                "who": who,
                "tags": {"set": ["a", "b", "c"]},
                "count": {"counter": 14},
            })
        );
    }
    let shown = laptop.run(["get", RECORD]).output;
    for text in ["2026-11-23T10:00:00.25Z", "people/ada", "{a, b, c}", "14"] {
        assert!(shown.contains(text), "{shown}");
    }
    complains(
        phone.try_run(["put", RECORD, "title=x", "count++=5"]),
        &["--patch"],
    );
    complains(phone.try_run(["put", RECORD, "title++=5"]), &["no counter"]);
    complains(phone.try_run(["put", RECORD, "count++=x"]), &["--help"]);

    let told = phone.run(["history", RECORD, "--json"]).json();
    let told = told.as_array().unwrap();
    assert_eq!(told.len(), 4);
    let devices: Vec<&Json> = told.iter().map(|change| &change["device"]).collect();
    assert_eq!(devices, ["laptop", "laptop", "phone", "phone"]);
    assert_eq!(told[0]["record"]["count"], json!({"counter": 14}));
    assert_eq!(
        told[1]["edits"]["tags"],
        json!({"add": ["a"], "remove": [1]})
    );
    assert_eq!(told[3]["record"]["title"], "Grüße");
    let page = phone.run(["history", RECORD, "--limit", "2", "--json"]);
    assert_eq!(page.json().as_array().unwrap(), &told[..2]);
    let plain = laptop.run(["history", RECORD]).output;
    for text in [
        "laptop",
        "phone",
        "written",
        "tags+=c -=a",
        "count counted to ",
    ] {
        assert!(plain.contains(text), "{plain}");
    }
    complains(
        phone.try_run(["history", "home/notes/never"]),
        &["no record"],
    );
}

#[test]
fn what_is_deleted_comes_back_as_it_was() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    phone.run(["put", RECORD, "title=kept", "n:=1"]);
    phone.run(["put", RECORD, "--patch", "n:=2"]);
    complains(phone.try_run(["restore", RECORD]), &["not deleted"]);
    phone.run(["delete", RECORD]);
    complains(phone.try_run(["get", RECORD]), &["no record"]);
    phone.run(["restore", RECORD]);
    assert_eq!(phone.fields(RECORD), json!({"title": "kept", "n": 2}));
    let told = phone.run(["history", RECORD]).output;
    let kinds: Vec<usize> = ["restored", "deleted", "changed", "written"]
        .map(|kind| told.find(kind).unwrap_or_else(|| panic!("{kind}: {told}")))
        .to_vec();
    assert!(kinds.is_sorted(), "{told}");
}

#[test]
fn a_schema_is_kept_to_on_every_device_and_taken_along() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    phone.create("Ada");
    laptop.link(&phone, "laptop", "companion");
    assert_eq!(
        phone.run(["schema", "home/notes", "--json"]).json(),
        json!({})
    );
    phone.run([
        "schema",
        "home/notes",
        "title=text required",
        "due=timestamp indexed",
    ]);
    laptop.meet(&phone);
    complains(
        laptop.try_run(["put", RECORD, "due:={\"timestamp\": 5}"]),
        &["title"],
    );
    complains(
        laptop.try_run(["put", RECORD, "title=x", "due=soon"]),
        &["due", "timestamp"],
    );
    complains(
        laptop.try_run(["put", "home/~schema/notes", "title=text"]),
        &["reserved"],
    );
    laptop.run(["put", RECORD, "title=x", "free=y"]);
    assert_eq!(laptop.list("home"), json!(["notes"]));
    laptop.run(["schema", "home/notes", "title=", "tags=set"]);
    phone.meet(&laptop);
    let rules = json!({"due": "timestamp indexed", "tags": "set"});
    assert_eq!(phone.run(["schema", "home/notes", "--json"]).json(), rules);
    for (words, says) in [
        (["home/notes", "title=words"], "text required"),
        (["home/notes", "wanted=int required"], "write no more"),
        (["home/notes", "due=text"], "another name"),
        (["home/notes", "title"], "field=type"),
        (["home", "title=text"], "space/collection"),
    ] {
        complains(phone.try_run(["schema"].into_iter().chain(words)), &[says]);
    }

    // It goes along, and so do records that it would not let in any more.
    phone.run(["schema", "home/notes", "wanted=int"]);
    let folder = phone.home().join("taken along");
    phone.run(["export", folder.to_str().unwrap(), "--plain"]);
    let other = Device::new(&lan, "other");
    other.create("Bob");
    let file = folder.join("records.jsonl");
    other.run(["import", file.to_str().unwrap()]);
    assert_eq!(
        other.run(["schema", "home/notes", "--json"]).json()["wanted"],
        "int"
    );
    assert_eq!(other.fields(RECORD), json!({"title": "x", "free": "y"}));
}
