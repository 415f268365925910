//! Lists: page by page, and of what can be listed only.

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::complains;

#[test]
fn a_collection_is_listed_page_by_page() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    for id in ["one", "two", "three", "it's four", "five"] {
        phone.run(["put", &format!("home/notes/{id}"), "a=1"]);
    }
    let page = |more: &[&str]| {
        let words = ["list", "home/notes", "--limit", "2", "--json"];
        phone.run([&words, more].concat()).json()
    };
    let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let more = after.iter().flat_map(|after| ["--after", after]);
        let page = page(&more.collect::<Vec<_>>());
        let records = page["records"].as_array().unwrap();
        assert!((1..=2).contains(&records.len()), "{page}");
        seen.extend(
            records
                .iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["next"], Json::Null);
            break;
        };
        assert_eq!(seen.last().map(String::as_str), Some(next));
        after = Some(next.to_owned());
    }
    assert_eq!(seen.len(), 5, "each once, on three pages: {seen:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);

    let said = phone.run(["list", "home/notes", "--limit", "2"]).output;
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("there are more: --after "), "{said}");
    let said = phone.run(["list", "home/notes", "--limit", "5"]).output;
    assert!(said.ends_with("these are the last ones\n"), "{said}");
    // All of it, as before.
    assert_eq!(phone.list("home/notes").as_array().unwrap().len(), 5);
    assert_eq!(phone.list("home"), json!(["notes"]));
}

#[test]
fn what_is_no_list_is_refused() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    phone.create("Ada");
    phone.run(["put", "home/notes/one", "a=1"]);
    for words in [
        &["list", "home/notes/one"][..],
        &["query", "home/notes/one", "a=1"],
        &["watch", "home/notes/one", "a=1"],
        &["schema", "home/notes/one"],
    ] {
        complains(
            phone.try_run(words),
            &["place of a record", "space/collection"],
        );
    }
    for words in [
        &["list", "home/"][..],
        &["list", "/notes"],
        &["list", "home", "--limit", "2"],
    ] {
        complains(phone.try_run(words), &["should be space/collection"]);
    }
    complains(phone.try_run(["search", " "]), &["no word in this search"]);
    // What is not understood at all ends as any command does that was typed wrongly.
    for (words, says) in [
        (
            &["history", "home/notes/one", "--limit", "0"][..],
            "from 1 on",
        ),
        (&["search", "a", "--limit", "0"], "from 1 on"),
        (&["query", "home/notes", "a=1", "--limit", "0"], "from 1 on"),
        (&["list", "home/notes", "--limit", "none"], "from 1 on"),
        (&["list", "home/notes", "--after", "one"], "--limit"),
        (&["list", "--limit", "2"], "place"),
        (&["watch", "home/notes", "--order", "down"], "field=value"),
    ] {
        let refused = phone.try_run(words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        let error = refused.errors.to_lowercase();
        assert!(error.contains(says), "{words:?}: {error}");
    }
}

#[test]
fn a_long_argument_is_not_repeated_whole() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    // The most that the system lets one argument have is little more.
    let long = "ä".repeat(60_000);
    for words in [["get", &long], ["query", &long], [long.as_str(), "x"]] {
        let error = phone.try_run(words).errors;
        assert!(error.starts_with("twin: ") && error.ends_with('\n'));
        assert!(error.chars().count() < 700, "{}", error.chars().count());
    }
    complains(
        phone.try_run(["get", &long]),
        &[
            "“ää",
            "characters left out",
            "” should be space/collection/id",
        ],
    );
}
