//! Files go in and come out as they were, and what people have already comes along.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

/// Bytes of which no two pieces are alike.
fn content(len: usize) -> Vec<u8> {
    let mut state = 1u64;
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

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn listed(device: &Device<'_>) -> Vec<(String, u64)> {
    let list = device.run(["file", "list", "--json"]).json();
    let files = list.as_array().unwrap().iter();
    files
        .map(|file| {
            let record = file["record"].as_str().unwrap().to_owned();
            (record, file["size"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn files_come_back_and_are_stored_once() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let photo = phone.file("Zaunkönig.jpg");
    let bytes = content(300_000);
    fs::write(&photo, &bytes).unwrap();
    let add = |path: &Path| {
        let said = phone
            .run(["file", "add", "home", text(path), "--json"])
            .json();
        (
            said["record"].as_str().unwrap().to_owned(),
            said["added"].clone(),
            said["stored_chunks"].as_u64().unwrap(),
        )
    };
    let record = "home/files/Zaunkönig.jpg".to_owned();
    assert_eq!(add(&photo), (record.clone(), json!(true), 6));
    assert_eq!(add(&photo), (record.clone(), json!(false), 0));
    let fields = phone.fields(&record);
    assert_eq!(
        (&fields["type"], &fields["size"]),
        (&json!("image/jpeg"), &json!(300_000))
    );
    assert!(fields["modified"].as_u64().unwrap() > 1_600_000_000_000);

    // The same under another name takes no room, another one under the same name replaces nothing.
    let copy = phone.file("copy.jpg");
    fs::write(&copy, &bytes).unwrap();
    assert_eq!(
        add(&copy),
        ("home/files/copy.jpg".to_owned(), json!(true), 0)
    );
    fs::write(&photo, b"another").unwrap();
    assert_eq!(
        add(&photo),
        ("home/files/Zaunkönig (2).jpg".to_owned(), json!(true), 1)
    );
    let all = [
        ("home/files/Zaunkönig (2).jpg".to_owned(), 7),
        (record.clone(), 300_000),
        ("home/files/copy.jpg".to_owned(), 300_000),
    ];
    assert_eq!(listed(&phone), all);

    let out = phone.file("out.jpg");
    phone.run(["file", "get", &record, "--to", text(&out)]);
    assert_eq!(
        (fs::read(&out).unwrap(), mode(&out)),
        (bytes.clone(), 0o600)
    );
    complains(
        phone.try_run(["file", "get", &record, "--to", text(&out)]),
        &["of that name already"],
    );

    // What was broken off goes on, and what is somebody else's stays.
    let unfinished = phone.file("again.jpg.unfinished");
    let again = phone.file("again.jpg");
    fs::write(&unfinished, [&bytes[..100_000], b"torn"].concat()).unwrap();
    phone.run(["file", "get", &record, "--to", text(&again)]);
    assert_eq!(fs::read(&again).unwrap(), bytes);
    assert_eq!(mode(&again), 0o600);
    assert!(!unfinished.exists());
    fs::remove_file(&again).unwrap();
    for prepare in [
        (|path| fs::write(path, "mine").unwrap()) as fn(&Path),
        |path| symlink("out.jpg", path).unwrap(),
    ] {
        prepare(&unfinished);
        complains(
            phone.try_run(["file", "get", &record, "--to", text(&again)]),
            &["of that name already"],
        );
        assert!(!again.exists());
        assert_eq!(fs::read(&out).unwrap(), bytes);
        fs::remove_file(&unfinished).unwrap();
    }
    complains(
        phone.try_run(["file", "get", "home/notes/one"]),
        &["no file in that record"],
    );
    complains(
        phone.try_run(["file", "get", "home/notes/none"]),
        &["no record"],
    );
    complains(
        phone.try_run(["file", "add", "home", "/nowhere/at.all"]),
        &["cannot be read"],
    );
    complains(
        phone.try_run(["file", "add", "home", text(&phone.home())]),
        &["twin import"],
    );
    assert_eq!(phone.run(["vault", "check", "--json"]).json()["damages"], 0);
    assert_eq!(
        phone.run(["vault", "clean", "--json"]).json(),
        json!({"chunks": 0, "bytes": 0})
    );

    // A linked device has the records, and knows that it has not the content.
    let laptop = Device::new(&lan, "laptop");
    laptop.link(&phone, "laptop", "companion");
    laptop.run(["file", "keep", "wanted"]);
    let (online, address) = phone.go_online([]);
    laptop.run(["sync", "--once", "--peer", &address]);
    drop(online);
    assert_eq!(listed(&laptop), all);
    let there = laptop.file("there.jpg");
    complains(
        laptop.try_run([
            "file",
            "get",
            &record,
            "--to",
            text(&there),
            "--no-discovery",
            "--wait",
            "2",
        ]),
        &["no other device"],
    );
    assert_eq!(
        fs::read_dir(there.parent().unwrap())
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with("there")
            })
            .count(),
        0
    );
    is_whole(&phone);
}

#[test]
fn an_export_takes_files_along() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let file = phone.file("a.txt");
    for (content, place) in [("one", "home"), ("two", "home"), ("three", "work/scans")] {
        fs::write(&file, content).unwrap();
        phone.run(["file", "add", place, text(&file)]);
    }
    // A name that another device, or a program, chose.
    let hostile = ["name=../../../\u{1b}[2Jescaped\n", "--patch"];
    phone.run([&["put", "home/files/a.txt"], hostile.as_slice()].concat());
    let folder = phone.file("taken");
    let said = phone
        .run(["export", text(&folder), "--plain", "--json"])
        .json();
    assert_eq!((&said["files"], &said["absent"]), (&json!(3), &json!(0)));
    let records = fs::read_to_string(folder.join("records.jsonl")).unwrap();
    let records: Vec<Json> = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut paths = Vec::new();
    for record in &records {
        if let Some(path) = record["files"]["content"].as_str() {
            assert_eq!(record["fields"]["content"], Json::Null);
            let here = folder.join(path);
            assert_eq!(mode(&here), 0o600);
            paths.push((path.to_owned(), fs::read_to_string(here).unwrap()));
        }
    }
    paths.sort();
    let path = |path: &str, content: &str| (path.to_owned(), content.to_owned());
    assert_eq!(
        paths,
        [
            path("files/home/_.._.._\u{5f}[2Jescaped_", "one"),
            path("files/home/a.txt", "two"),
            path("files/work/a.txt", "three"),
        ]
    );
    assert_eq!(mode(&folder.join("files/home")), 0o700);

    let other = Device::new(&lan, "other");
    other.create("Bob");
    let import = |path: &Path| other.run(["import", text(path), "--json"]).json();
    assert_eq!(import(&folder)["written"], 5);
    assert_eq!(import(&folder.join("records.jsonl"))["same"], 5);
    let out = other.file("out");
    other.run(["file", "get", "work/scans/a.txt", "--to", text(&out)]);
    assert_eq!(fs::read_to_string(&out).unwrap(), "three");
    // And back where it came from.
    assert_eq!(
        phone.run(["import", text(&folder), "--json"]).json()["same"],
        5
    );

    // Nothing outside the folder is read.
    let secret = phone.file("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, folder.join("files/link")).unwrap();
    symlink(folder.parent().unwrap(), folder.join("up")).unwrap();
    for path in [
        "../secret",
        "files/link",
        "up/secret",
        "/etc/passwd",
        "files",
        "",
    ] {
        let line = json!({"space": "home", "collection": "c", "id": "i", "fields": {}, "files": {"content": path}});
        fs::write(folder.join("records.jsonl"), format!("{line}\n")).unwrap();
        complains(
            other.try_run(["import", text(&folder)]),
            &["line 1", "nothing was imported"],
        );
    }
    is_whole(&phone);
}

#[test]
fn what_people_have_comes_along() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let write = |name: &str, text: &str| {
        let path = phone.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    // 300,000 zeros: too much for a record.
    let photo = format!("PHOTO;ENCODING=b:{}", "A".repeat(400_000));
    let cards = write(
        "all.vcf",
        &format!(
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:g\r\nFN:Grace\r\nTEL;TYPE=CELL:+1 2\r\nEND:VCARD\r\n\
             BEGIN:VCARD\r\nVERSION:3.0\r\nUID:p\r\n{photo}\r\nEND:VCARD\r\n"
        ),
    );
    let table = write("books.csv", "isbn,title\n1,One\n,\n2,Two\n");
    let list = write("list.json", r#"[{"a": 1}, {"a": 2}]"#);
    let lines = write("lines.jsonl", "{\"a\": 12345678901234567890}\n");
    let album = write("album/deep/a.txt", "one")
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    write("album/.hidden", "no");
    for (path, more, written, [skipped, empty, as_text]) in [
        (&cards, ["--to", "home"].as_slice(), 2, [0, 0, 0]),
        (
            &table,
            &["--to", "home/books", "--id-column", "isbn"],
            2,
            [0, 1, 0],
        ),
        (&list, &["--to", "home/list"], 2, [0, 0, 0]),
        (&lines, &["--to", "home/list"], 1, [0, 0, 1]),
        (&album, &["--to", "home"], 1, [1, 0, 0]),
    ] {
        let import = || {
            phone
                .run([&["import", text(path), "--json"], more].concat())
                .json()
        };
        let counts = |written: u64, same: u64| {
            json!({
                "written": written,
                "replaced": 0,
                "same": same,
                "skipped": skipped,
                "empty": empty,
                "as_text": as_text,
            })
        };
        assert_eq!(import(), counts(written, 0), "{path:?}");
        assert_eq!(import(), counts(0, written), "{path:?}");
    }
    assert_eq!(
        phone.fields("home/contacts/g"),
        json!({"name": "Grace", "phone (cell)": "+1 2"})
    );
    assert_eq!(
        phone.fields("home/books/2"),
        json!({"isbn": "2", "title": "Two"})
    );
    let files = [("home/contacts/p", 300_000), ("home/files/deep/a.txt", 3)];
    let files = files.map(|(record, size)| (record.to_owned(), size));
    assert_eq!(listed(&phone), files);
    let out = phone.file("photo");
    phone.run(["file", "get", "home/contacts/p", "--to", text(&out)]);
    assert_eq!(fs::read(&out).unwrap(), vec![0; 300_000]);

    let bad = write("bad.csv", "isbn,title\n3,Three\n4\n");
    complains(
        phone.try_run([
            "import",
            text(&bad),
            "--to",
            "home/books",
            "--id-column",
            "isbn",
        ]),
        &["line 3", "nothing was imported"],
    );
    complains(
        phone.try_run(["get", "home/books/3"]),
        &["there is no record"],
    );
    complains(phone.try_run(["import", text(&table)]), &["say where"]);
    complains(
        phone.try_run(["import", text(&table), "--to", "~keys/x"]),
        &["reserved"],
    );
    is_whole(&phone);
}

/// Puts the device's home on a disk of so many MiB, of its own. Only programs of the device see what is there.
fn on_a_disk(device: &Device<'_>, size: u32) {
    fs::create_dir(device.home()).unwrap();
    let size = format!("size={size}m");
    mount(device, &["-t", "tmpfs", "-o", &size, "tmpfs"]);
}

fn mount(device: &Device<'_>, words: &[&str]) {
    let mut mount = device.other("mount");
    let mounted = mount.args(words).arg(device.home()).status().unwrap();
    assert!(mounted.success(), "mount {words:?}");
}

/// How many KiB of that disk are used.
fn used(device: &Device<'_>) -> u64 {
    let mut df = device.other("df");
    let said = df.args(["--output=used"]).arg(device.home());
    let said = String::from_utf8(said.output().unwrap().stdout).unwrap();
    said.lines().last().unwrap().trim().parse().unwrap()
}

#[test]
fn a_file_that_the_disk_has_no_room_for_leaves_room_for_the_rest() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    on_a_disk(&phone, 24);
    settle(&phone, "Ada");
    let add = |name: &str, len: usize| {
        let path = phone.file(name);
        fs::write(&path, content(len)).unwrap();
        phone.try_run(["file", "add", "home", text(&path)])
    };
    add("small", 1 << 20).well();
    let before = used(&phone);
    for _ in 0..2 {
        complains(add("large", 30 << 20), &["disk", "full", "free", " mb"]);
        let after = used(&phone);
        assert!(after < before + 512, "{before} KiB, then {after}");
        is_whole(&phone);
    }
    add("other", 1_000_000).well();
    // Not a byte is left: all is there to be seen, and to be taken along.
    let rest = phone.home().join("rest");
    let mut fill = phone.other("dd");
    let from = ["if=/dev/zero", "bs=4k", "status=none"];
    let to = format!("of={}", text(&rest));
    assert!(!fill.args(from).arg(to).status().unwrap().success());
    assert_eq!(phone.fields("home/notes/one")["word"], "kept");
    assert_eq!(listed(&phone).len(), 2);
    assert!(phone.run(["search", "kept"]).output.contains("kept"));
    phone.run(["export", text(&phone.file("taken.twin"))]);
    phone.run(["export", "--plain", text(&phone.file("taken"))]);
    complains(
        phone.try_run(["put", "home/notes/one", "word=more"]),
        &["disk", "full"],
    );
    let mut remove = phone.other("rm");
    assert!(remove.arg(&rest).status().unwrap().success());

    phone.run(["erase", "home/files/small", "--yes"]);
    assert_eq!(listed(&phone).len(), 1);
    assert!(used(&phone) < before + 512);
    mount(&phone, &["-o", "remount,size=96m"]);
    add("large", 30 << 20).well();
    assert_eq!(listed(&phone).len(), 2);
    is_whole(&phone);
}

#[test]
fn what_others_have_comes_once_the_disk_has_room() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    on_a_disk(&laptop, 24);
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let film = phone.file("film");
    fs::write(&film, content(30 << 20)).unwrap();
    phone.run(["file", "add", "home", text(&film)]);
    phone.run(["put", "home/notes/three", "word=late"]);
    let (_online, address) = phone.go_online(["--no-discovery"]);
    let reach = ["--no-discovery", "--peer", &address];
    let sync = [&["sync", "--once"], &reach[..]].concat();
    // A laptop keeps all. Records come.
    let said = laptop.run(sync.clone());
    let said = [said.output, said.errors].concat();
    assert!(said.contains("the disk is too full"), "{said}");
    assert_eq!(laptop.fields("home/notes/three")["word"], "late");
    is_whole(&laptop);
    let to = laptop.file("film");
    let get = ["file", "get", "home/files/film", "--to", text(&to)];
    let get = [&get[..], &reach].concat();
    complains(
        laptop.try_run(get.clone()),
        &["disk", "full", "free", " mb"],
    );
    assert!(used(&laptop) < 20 << 10);

    mount(&laptop, &["-o", "remount,size=96m"]);
    laptop.run(sync);
    laptop.run(get);
    assert_eq!(fs::read(&to).unwrap(), content(30 << 20));
    is_whole(&laptop);
}
