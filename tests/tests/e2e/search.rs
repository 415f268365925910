//! Finding and watching records from the terminal.

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::complains;

fn ids(records: &Json) -> Vec<&str> {
    let records = records.as_array().unwrap().iter();
    records
        .map(|record| record["id"].as_str().unwrap())
        .collect()
}

#[test]
fn records_are_found_by_words_and_by_values() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    for (place, fields) in [
        ("home/people/ada", ["name=Ada Müller", "born:=1815"]),
        ("home/people/grace", ["name=Grace Hopper", "born:=1906"]),
        ("home/people/alan", ["name=Alan Turing", "born:=1912"]),
        ("work/notes/trip", ["text=Grace in 東京都", "done:=true"]),
    ] {
        phone.run([["put", place].as_slice(), &fields].concat());
    }
    let search = |words: &[&str]| {
        let found = phone
            .run([["search", "--json"].as_slice(), words].concat())
            .json();
        let mut ids: Vec<String> = ids(&found).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(search(&["MULLER"]), ["ada"]);
    assert_eq!(search(&["grace"]), ["grace", "trip"]);
    assert_eq!(search(&["grace", "--space", "home"]), ["grace"]);
    assert_eq!(
        search(&["grace", "--space", "work", "--collection", "notes"]),
        ["trip"]
    );
    assert_eq!(search(&["京都", "gra"]), ["trip"]);
    assert_eq!(search(&["grace", "--limit", "1"]).len(), 1);
    assert!(search(&["nobody"]).is_empty());
    let said = phone.run(["search", "grace", "hop"]).output;
    assert_eq!(said, "home/people/grace  born=1906  name=Grace Hopper\n");
    assert_eq!(phone.run(["search", "nobody"]).output, "nothing found\n");
    complains(phone.try_run(["search", &"a".repeat(300)]), &["256 bytes"]);

    let query = |words: &[&str]| {
        phone
            .run([["query", "--json", "home/people"].as_slice(), words].concat())
            .json()
    };
    let late = ["born:>=1900", "born:<2000"];
    let answer = query(&late);
    assert_eq!(ids(&answer["records"]), ["grace", "alan"]);
    assert_eq!(answer["scanned"], 3);
    assert_eq!(
        (&answer["indexed"], &answer["more"]),
        (&json!(false), &json!(false))
    );
    phone.run(["schema", "home/people", "born=int indexed"]);
    let answer = query(&late);
    assert_eq!(ids(&answer["records"]), ["grace", "alan"]);
    assert_eq!(
        (&answer["scanned"], &answer["indexed"]),
        (&json!(2), &json!(true))
    );
    let last = query(&["born:>0", "--order", "down", "--limit", "1"]);
    assert_eq!(ids(&last["records"]), ["alan"]);
    assert_eq!(last["more"], true);
    assert_eq!(ids(&query(&["name=Alan Turing"])["records"]), ["alan"]);
    let said = phone.run(["query", "home/people", "born:=1815"]).output;
    assert!(
        said.ends_with("1 found; 1 records were read by the index\n"),
        "{said}"
    );
    complains(
        phone.try_run(["query", "home/people", "born"]),
        &["“born” should be"],
    );
    complains(
        phone.try_run(["query", "home", "born:=1"]),
        &["space/collection"],
    );
}

#[test]
fn a_watch_shows_what_other_processes_write() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    phone.run(["put", "home/notes/first", "a=1"]);
    let all = phone.start(["watch", "home/notes", "--json"]);
    let mut one = phone.start(["watch", "home/notes/second"]);
    let event = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    assert_eq!(
        event(&all.line())["record"],
        json!({"id": "first", "fields": {"a": "1"}})
    );
    assert_eq!(one.line(), "second is not there");
    phone.run(["put", "home/notes/second", "b=2"]);
    let shown = event(&all.line());
    assert_eq!(
        (&shown["event"], &shown["record"]["id"]),
        (&json!("record"), &json!("second"))
    );
    assert_eq!(one.line(), "second  b=2");
    phone.run(["delete", "home/notes/first"]);
    assert_eq!(event(&all.line()), json!({"event": "gone", "id": "first"}));
    phone.run(["put", "home/notes/second", "--patch", "c=\u{1b}[2J"]);
    assert_eq!(one.line(), "second  b=2  c=\u{fffd}[2J");
    one.interrupt();
    one.finish().well();
    all.terminate();
    all.finish().well();
    complains(phone.try_run(["watch", "home"]), &["space/collection"]);
}

#[test]
fn a_watch_shows_what_a_query_finds_whenever_that_changes() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    let put = |id: &str, n: u32| {
        phone.run(["put", &format!("home/notes/{id}"), &format!("n:={n}")]);
    };
    put("first", 5);
    let watched = ["watch", "home/notes", "n:>=3", "--order", "down", "--json"];
    let mut best = phone.start([
        "watch",
        "home/notes",
        "n:>=3",
        "--order",
        "down",
        "--limit",
        "1",
    ]);
    let all = phone.start(watched);
    let answer = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    let shown = answer(&all.line());
    assert_eq!(
        (&shown["event"], &shown["more"]),
        (&json!("found"), &json!(false))
    );
    assert_eq!(ids(&shown["records"]), ["first"]);
    assert_eq!([best.line(), best.line()], ["1 found", "first  n=5"]);
    // What does not fit is no news.
    put("low", 1);
    put("high", 9);
    assert_eq!(ids(&answer(&all.line())["records"]), ["high", "first"]);
    let more = "1 found, and there are more";
    assert_eq!([best.line(), best.line()], [more, "high  n=9"]);
    phone.run(["delete", "home/notes/first"]);
    assert_eq!(ids(&answer(&all.line())["records"]), ["high"]);
    put("high", 2);
    assert_eq!(answer(&all.line())["records"], json!([]));
    best.expect("0 found\n");
    best.interrupt();
    best.finish().well();
    complains(
        phone.try_run(["watch", "home/notes", "n"]),
        &["“n” should be"],
    );
}
