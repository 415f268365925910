#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use tempfile::{TempDir, tempdir};
use twin_ops::value::{Fields, Value};
use twin_vault::Unlock;

use super::*;

struct Scene {
    dir: TempDir,
    twin: Twin,
}

impl Scene {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let home = dir.path().join("home");
        let words = Twin::new_words();
        let unlock = Unlock::Password("a good one");
        let twin = Twin::create(&home, unlock, words, "Ada", "phone").unwrap();
        Self { dir, twin }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn import(&self, path: &Path, id: Option<&str>) -> Result<Imported> {
        let options = ImportOptions {
            to: Some((SpaceName::new("home").unwrap(), Some("all".to_owned()))),
            id_field: id.map(str::to_owned),
        };
        let watch = &mut |_| ControlFlow::Continue(());
        self.twin.import(path, &options, watch)
    }

    /// Twice: the second time changes nothing.
    fn import_twice(&self, path: &Path, id: Option<&str>, written: u64) {
        let first = self.import(path, id).unwrap();
        assert_eq!((first.written, first.same), (written, 0));
        let again = self.import(path, id).unwrap();
        assert_eq!((again.written, again.same), (0, written));
    }

    fn records(&self) -> Vec<twin_vault::Record> {
        let space = self.twin.space("home").unwrap();
        let mut records = space.collection("all").list_all(100).unwrap();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records
    }

    fn refuses(&self, path: &Path, id: Option<&str>, says: &[&str]) {
        let before = self.records();
        let error = self.import(path, id).unwrap_err().to_string();
        for words in says {
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(self.records(), before);
    }
}

fn fields(fields: &[(&str, Value)]) -> Fields {
    let fields = fields.iter();
    Fields(
        fields
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

#[test]
fn tables_come_as_they_are_cut() {
    let scene = Scene::new();
    let text = "\u{feff}isbn;title;pages\r\n1;\"a; \"\"b\"\"\nc\";5\r\n2;;\r\n";
    let books = scene.write("books.csv", text);
    scene.import_twice(&books, Some("isbn"), 2);
    let records = scene.records();
    assert_eq!((records[0].id.as_str(), records[1].id.as_str()), ("1", "2"));
    let first = fields(&[
        ("isbn", "1".into()),
        ("title", "a; \"b\"\nc".into()),
        ("pages", "5".into()),
    ]);
    assert_eq!(records[0].fields, first);
    assert_eq!(records[1].fields, fields(&[("isbn", "2".into())]));
    // Without a column of ids a row is its own, and the same row twice is two.
    let rows = scene.write("rows.csv", "a,b\n1,2\n1,2\n3,4\n");
    assert_eq!(scene.import(&rows, None).unwrap().written, 3);
    assert_eq!(scene.records().len(), 5);
    assert_eq!(scene.import(&rows, None).unwrap().same, 3);

    // What a spreadsheet says before of what separates them.
    for said in ["sep=|\n", "\u{feff}\"sep=|\"\r\n", "SEP=|\r\n"] {
        let other = Scene::new();
        let said = format!("{said}isbn|title\n1|a,b;c\n2|\n");
        let path = other.write("said.csv", said);
        assert_eq!(other.import(&path, Some("isbn")).unwrap().written, 2);
        let first = fields(&[("isbn", "1".into()), ("title", "a,b;c".into())]);
        assert_eq!(other.records()[0].fields, first);
    }
    // A quote that nothing closes would take all that comes after it.
    for text in ["a,b\n1,\"open\n2,3\n4,5\n", "a,b\n1,2\n3,\"open"] {
        let open = scene.write("open.csv", text);
        let line = if text.ends_with('n') {
            "line 3"
        } else {
            "line 2"
        };
        scene.refuses(&open, None, &[line, "quote", "not closed"]);
    }
    // Also where a later one seems to.
    let open = "id,b\r\n1,\"x1\"\r\n2,\"x2\r\n3,\"x3\"\r\n4,5,6\r\n";
    let hidden = scene.write("hidden.csv", open);
    scene.refuses(&hidden, None, &["line 3", "quote", "not closed"]);
    let uneven = scene.write("uneven.csv", "a,b\r\n1,2\r\n3,4,5\r\n");
    scene.refuses(&uneven, None, &["line 3", "more or fewer"]);
    let header = scene.write("header.csv", "a,\"b\n1,2\n");
    scene.refuses(&header, None, &["line 1", "quote", "not closed"]);

    let after = scene.write("bad.csv", "sep=;\na;b\n1;2\n1\n");
    scene.refuses(&after, None, &["line 4", "more or fewer"]);

    for (bad, id, says) in [
        ("a,b\n1,2\n1\n", None, ["line 3", "more or fewer"]),
        ("a,a\n1,2\n", None, ["line 1", "same name"]),
        ("a,\n1,2\n", None, ["line 1", "name each column"]),
        ("a,b\n1,2\n", Some("c"), ["line 1", "column of ids"]),
        ("a,b\n1,2\n,3\n", Some("a"), ["line 3", "ids is empty"]),
        ("a,b\n1,2\n1,3\n", Some("a"), ["line 3", "same id"]),
    ] {
        let path = scene.write("bad.csv", bad);
        scene.refuses(&path, id, &says);
    }
    let latin = scene.write("latin.csv", b"a,b\n1,2\n1,\xfc\n");
    scene.refuses(&latin, None, &["line 3", "UTF-8"]);
    let endless = format!("a,b\n1,2\n\"{}", "x".repeat(2 << 20));
    let endless = scene.write("endless.csv", endless);
    scene.refuses(&endless, None, &["line 3", "too long"]);
    let large = format!("a,b\n1,2\n{},3\n", "x".repeat(entry::MAX_ENTRY));
    let large = scene.write("large.csv", large);
    scene.refuses(&large, None, &["line 3", "too large"]);
}

#[test]
fn empty_rows_are_passed_over_and_counted() {
    let scene = Scene::new();
    let rows = scene.write("rows.csv", "a,b\n1,2\n,\n\n\"\",\n3,\n,\n");
    for id in [None, Some("a")] {
        let first = scene.import(&rows, id).unwrap();
        assert_eq!((first.written, first.same, first.empty), (2, 0, 3));
        let again = scene.import(&rows, id).unwrap();
        assert_eq!((again.written, again.same, again.empty), (0, 2, 3));
    }
    assert!(
        scene
            .records()
            .iter()
            .all(|record| !record.fields.0.is_empty())
    );
}

#[test]
fn numbers_lose_no_digits() {
    let scene = Scene::new();
    let list = r#"[{"id": 12345678901234567890, "x": 0.1000000000000000055511151231257827,
                    "in": [1e400, 1], "y": 0.1, "z": 9223372036854775807}]"#;
    let list = scene.write("list.json", list);
    let first = scene.import(&list, Some("id")).unwrap();
    assert_eq!((first.written, first.as_text), (1, 3));
    let again = scene.import(&list, Some("id")).unwrap();
    assert_eq!((again.same, again.as_text), (1, 3));
    let records = scene.records();
    assert_eq!(records[0].id, "12345678901234567890");
    assert_eq!(
        records[0].fields,
        fields(&[
            ("id", "12345678901234567890".into()),
            ("x", "0.1000000000000000055511151231257827".into()),
            ("in", r#"["1e400",1]"#.into()),
            ("y", Value::Float(0.1)),
            ("z", Value::Int(i64::MAX)),
        ])
    );
}

/// A line of records with these members after the first.
fn record_line(more: &str) -> String {
    format!("{{\"space\":\"home\",\"collection\":\"all\",\"id\":\"a\",\"fields\":{{{more}}}}}\n")
}

#[test]
fn records_of_an_export_are_refused_for_what_is_wrong_with_them() {
    let scene = Scene::new();
    let good = record_line("\"x\":1");
    let say = |text: &str| {
        let path = scene.write("out/records.jsonl", text);
        scene.twin.import_plain(&path).unwrap_err().to_string()
    };
    for (bad, why) in [
        (record_line("\"x\":1,\"x\":1"), "same name twice"),
        (record_line("\"x\":12345678901234567890"), "more digits"),
        (record_line("\"x\":[]"), "a field in it"),
        (record_line("\"\":1"), "name of a field"),
        (good.replace("home", "~keys"), "its space"),
        (good.replace("\"all\"", "5"), "needs space, collection"),
        (good.replace("\"all\"", "\"~erase\""), "keeps for itself"),
        (good.replace("\"all\"", "\"\""), "collection"),
        (good.replace("{\"x\":1}", "5"), "needs space, collection"),
        (
            good.replace("\"fields\"", "\"files\":5,\"fields\""),
            "its files",
        ),
        (
            good.replace("\"fields\"", "\"files\":{\"f\":\"no\"},\"fields\""),
            "beside it",
        ),
        ("[1]\n".to_owned(), "needs space, collection"),
        ("{\"a\":\n".to_owned(), "not JSON"),
        (good.replace(":1", ":2"), "the same id"),
        ("{\"a\":\"\\ud83d\"}".to_owned(), "half a character"),
        ("x".repeat(9 << 20), "too long"),
    ] {
        let said = say(&format!("{good}\n{bad}"));
        assert!(said.starts_with("line 3: ") && said.contains(why), "{said}");
        assert!(said.ends_with("nothing was imported"), "{said}");
    }
    assert!(scene.records().is_empty());
}

#[test]
fn an_export_of_a_newer_format_is_refused() {
    let scene = Scene::new();
    let about =
        |version: &str| format!("{{\"format\":\"digital-twin-plain\",\"version\":{version}}}\n");
    let good = record_line("\"x\":1");
    let import = |about: &str, lines: &str| {
        scene.write("out/twin.json", about);
        let path = scene.write("out/records.jsonl", lines);
        scene.twin.import_plain(&path)
    };
    for newer in ["2", "1.5", "\"1\"", "null"].map(about) {
        for (about, lines) in [
            (newer.as_str(), good.clone()),
            ("", format!("{good}{newer}")),
        ] {
            let refused = import(about, &lines);
            assert!(matches!(refused, Err(Error::ImportNewer)), "{newer}");
        }
    }
    assert!(scene.records().is_empty());
    // Of another program, and what is no JSON at all.
    let known = format!("\u{feff}{}{good}", about("1"));
    for (about, same) in [(about("1").as_str(), 0), ("{\"version\":2}", 1), ("no", 1)] {
        let imported = import(about, &known).unwrap();
        assert_eq!((imported.written, imported.same), (1 - same, same));
    }
}

#[test]
fn objects_come_from_lists_and_lines() {
    let scene = Scene::new();
    let list = r#"[ {"id": "a", "n": 5, "x": null, "tags": ["one", {"two": 2}], "raw": {"hex": "00ff"}},
                    {"id": 7, "ok": true} ]"#;
    let list = scene.write("list.json", list);
    scene.import_twice(&list, Some("id"), 2);
    let records = scene.records();
    assert_eq!(
        records[0].fields,
        fields(&[("id", Value::Int(7)), ("ok", Value::Bool(true))])
    );
    assert_eq!(
        records[1].fields,
        fields(&[
            ("id", "a".into()),
            ("n", Value::Int(5)),
            ("tags", r#"["one",{"two":2}]"#.into()),
            ("raw", Value::Bytes(vec![0, 255])),
        ])
    );
    let lines = scene.write("more.jsonl", "\u{feff}{\"b\":1}\n\n{\"b\":2}\n");
    scene.import_twice(&lines, None, 2);
    assert_eq!(scene.records().len(), 4);

    let long = format!("[{{\"a\": \"{}\"}}]", "x".repeat(10 << 20));
    for (name, bad, id, says) in [
        (
            "a.json",
            r#"[{"c":1}, {"c":2}"#,
            None,
            ["line 1", "JSON list"],
        ),
        (
            "a.json",
            "[{\"c\":1},\n{\"c\":2}]\nmore",
            None,
            ["line 3", "JSON list"],
        ),
        ("a.json", r#"[{"c":1}, 5]"#, None, ["object 2", "no"]),
        (
            "a.json",
            "[{\"c\":1},\n{\"c\":\n[{\"d\":1,\"d\":1}]}]",
            None,
            ["line 3", "same name twice"],
        ),
        (
            "a.jsonl",
            "{\"c\":1}\n\n{\"c\":1,\"c\":2}",
            None,
            ["line 3", "same name twice"],
        ),
        (
            "a.json",
            r#"[{"c":1}, {"d":1}]"#,
            Some("c"),
            ["object 2", "field of ids"],
        ),
        (
            "a.json",
            r#"[{"c":1}, {"c":1,"d":2}]"#,
            Some("c"),
            ["object 2", "same id"],
        ),
        (
            "a.json",
            r#"[{"c":1}, {"":1}]"#,
            None,
            ["object 2", "name of a field"],
        ),
        (
            "a.jsonl",
            "{\"c\":1}\n\n{\"c\":",
            None,
            ["line 3", "JSON object"],
        ),
        ("a.json", &long, None, ["object 1", "too long"]),
        ("a.txt", "hello", None, ["neither an export", "convert"]),
    ] {
        let path = scene.write(name, bad);
        scene.refuses(&path, id, &says);
    }
    let options = ImportOptions::default();
    let watch = &mut |_| ControlFlow::Continue(());
    let nowhere = scene.twin.import(&list, &options, watch);
    assert!(matches!(nowhere, Err(Error::ImportWhere)));
}

#[test]
fn cards_come_with_their_pictures() {
    let scene = Scene::new();
    let photo = data_encoding::BASE64.encode(&vec![9; 300 << 10]);
    let text = format!(
        "BEGIN:VCARD\nVERSION:4.0\nUID:a\nFN:A\nPHOTO:data:image/png;base64,{photo}\nEND:VCARD\n\
         BEGIN:VCARD\nFN:B\nEND:VCARD\n"
    );
    let cards = scene.write("cards.vcf", &text);
    scene.import_twice(&cards, None, 2);
    let space = scene.twin.space("home").unwrap();
    let record = space.collection("all").get("a").unwrap().unwrap();
    let root = twin_vault::files::Root::of(&record.fields.0["photo"]).unwrap();
    let mut stored = crate::files::StoredFile::new(&scene.twin, space.name(), root).unwrap();
    let mut read = Vec::new();
    stored.read_to_end(&mut read).unwrap();
    assert_eq!(read, vec![9; 300 << 10]);
    let bad = scene.write("bad.vcf", format!("{text}BEGIN:VCARD\nFN:C\n"));
    scene.refuses(&bad, None, &["card 3", "END:VCARD", "nothing was imported"]);
}

#[test]
fn what_is_alike_is_counted_and_the_same_whenever_it_comes() {
    let scene = Scene::new();
    let bank = "date,what\n1,coffee\n1,coffee\n2,tea\n1,coffee\n";
    scene.import_twice(&scene.write("bank.csv", bank), None, 4);
    assert_eq!(scene.records().len(), 4);
    // One more of them is new, wherever it stands.
    let more = scene.write("more.csv", bank.replace("2,tea", "1,coffee\n2,tea"));
    let more = scene.import(&more, None).unwrap();
    assert_eq!((more.written, more.same), (1, 4));
    // What of a card is not of the person makes no other record of it.
    let card = |lines: &str| format!("BEGIN:VCARD\n{lines}\nEND:VCARD\n");
    let a = "FN:A\nPHOTO;ENCODING=b:AAEC";
    scene.import_twice(&scene.write("a.vcf", card(a)), None, 1);
    let again = card(&format!("VERSION:3.0\n{a}\nREV:now"));
    let again = scene
        .import(&scene.write("again.vcf", again), None)
        .unwrap();
    assert_eq!((again.written, again.same), (0, 1));
    let others = ["FN:A\nPHOTO;ENCODING=b:AAED", "FN:B\nPHOTO;ENCODING=b:AAEC"];
    let others = others.map(card).concat();
    scene.import_twice(&scene.write("others.vcf", others), None, 2);
}

#[test]
fn no_schema_keeps_out_what_is_imported_with_files() {
    let scene = Scene::new();
    let rule: twin_vault::Rule = "text required".parse().unwrap();
    let schema = twin_vault::Schema([("caption".to_owned(), rule)].into());
    let all = scene.twin.space("home").unwrap().collection("all");
    all.set_schema(&schema).unwrap();
    scene.write("album/a.txt", "one");
    scene.import_twice(&scene.dir.path().join("album"), None, 1);
    let photo = data_encoding::BASE64.encode(&vec![9; 300 << 10]);
    let card = format!("BEGIN:VCARD\nUID:a\nPHOTO:data:image/png;base64,{photo}\nEND:VCARD\n");
    scene.import_twice(&scene.write("a.vcf", card), None, 1);
    scene.write("files/x", "two");
    let mut line = serde_json::json!({"space": "home", "collection": "all", "id": "x"});
    line["fields"] = serde_json::json!({"none": {"float": "NaN"}});
    line["files"] = serde_json::json!({"content": "files/x"});
    let line = scene.write("records.jsonl", line.to_string());
    for (written, same) in [(1, 0), (0, 1)] {
        let imported = scene.twin.import_plain(&line).unwrap();
        assert_eq!((imported.written, imported.same), (written, same));
    }
    assert_eq!(scene.records().len(), 3);
    let mut photo = Vec::new();
    all.open_file("a").unwrap().read_to_end(&mut photo).unwrap();
    assert_eq!(photo, vec![9; 300 << 10]);
}

#[test]
fn folders_come_without_what_is_hidden_and_without_links() {
    let scene = Scene::new();
    scene.write("album/a.txt", "one");
    scene.write("album/deep/er/a.txt", "two");
    scene.write("album/.hidden/secret", "no");
    scene.write("album/.DS_Store", "no");
    let outside = scene.write("outside.txt", "no");
    let album = scene.dir.path().join("album");
    std::os::unix::fs::symlink(&outside, album.join("link")).unwrap();
    std::os::unix::fs::symlink("..", album.join("up")).unwrap();
    scene.import_twice(&album, None, 2);
    assert_eq!(scene.import(&album, None).unwrap().skipped, 4);
    let ids: Vec<String> = scene
        .records()
        .into_iter()
        .map(|record| record.id)
        .collect();
    assert_eq!(ids, ["a.txt", "deep/er/a.txt"]);
    // What has changed since is replaced.
    scene.write("album/a.txt", "three");
    let again = scene.import(&album, None).unwrap();
    assert_eq!((again.written, again.same), (1, 1));
    let space = scene.twin.space("home").unwrap();
    let mut text = String::new();
    let mut file = space.collection("all").open_file("a.txt").unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "three");
    let options = ImportOptions {
        to: Some((SpaceName::new("home").unwrap(), None)),
        id_field: None,
    };
    let stop = &mut |_| ControlFlow::Break(());
    assert!(matches!(
        scene.twin.import(&album, &options, stop),
        Err(Error::Stopped)
    ));
}
