//! A vault that is not as it was written: said so, nothing deleted, nothing made up.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

fn vault(device: &Device<'_>) -> PathBuf {
    device.home().join("vault.db")
}

#[test]
fn a_wrong_password_changes_nothing() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "correct horse");
    settle(&phone, "Ada");
    for wrong in ["correct horsE", "correct", " ", "correct horse "] {
        let mut command = phone.command(["get", "home/notes/one"]);
        command.env("TWIN_PASSWORD", wrong);
        let finished = twin_tests::e2e::Program::in_pipes(command).finish();
        assert!(finished.output.is_empty(), "{}", finished.output);
        complains(finished, &["wrong password"]);
    }
    let mut command = phone.command(["status"]);
    command.env("TWIN_PASSWORD", "");
    let finished = twin_tests::e2e::Program::in_pipes(command).finish();
    complains(finished, &["password is empty"]);
    // Nobody can type one here.
    let finished = twin_tests::e2e::Program::in_pipes(phone.command(["status"])).finish();
    complains(finished, &["password", "terminal", "twin_password"]);
    is_whole(&phone);
}

#[test]
fn a_flipped_bit_is_never_believed() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let path = vault(&phone);
    let whole = fs::read(&path).unwrap();
    let notes = phone.list("home/notes");
    let (mut refused, mut read) = (0, 0);
    // The header byte by byte, then places all over the file.
    let header = [
        0, 15, 16, 18, 19, 21, 24, 28, 36, 40, 44, 52, 56, 60, 92, 96,
    ];
    let everywhere = (100..whole.len()).step_by(whole.len() / 40);
    for place in header.into_iter().chain(everywhere) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(&path, &damaged).unwrap();
        let finished = phone.try_run(["list", "home/notes", "--json"]);
        if finished.status.success() {
            // Where the bit meant nothing to what was asked for.
            assert_eq!(finished.json(), notes, "byte {place} was believed");
            read += 1;
        } else {
            // What is damaged is left out, and that is said.
            if !finished.output.is_empty() {
                let (all, rest) = (notes.as_array().unwrap(), finished.json());
                let rest = rest.as_array().unwrap();
                assert!(rest.len() < all.len() && rest.iter().all(|record| all.contains(record)));
                assert!(finished.badly().errors.contains("left out"), "byte {place}");
                refused += 1;
                continue;
            }
            let error = finished.badly().errors;
            assert!(
                [
                    "damaged",
                    "tampered",
                    "wrong password",
                    "newer version",
                    "cannot be read"
                ]
                .iter()
                .any(|word| error.contains(word)),
                "byte {place}: {error}"
            );
            refused += 1;
        }
        assert!(path.exists(), "byte {place}: the vault is gone");
    }
    assert!(refused > 5 && read > 5, "{refused} refused, {read} read");
    fs::write(&path, &whole).unwrap();
    is_whole(&phone);
}

#[test]
fn damage_is_looked_for_and_mended_where_it_can_be() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let harm = |sql: &str| {
        let file = rusqlite::Connection::open(vault(&phone)).unwrap();
        assert_eq!(file.execute(sql, []).unwrap(), 1, "{sql}");
    };
    let whole = || {
        let said = phone.run(["vault", "check"]).output;
        assert!(said.contains("Nothing is damaged."), "{said}");
        phone.run(["vault", "check", "--json"]).json()
    };
    let before = whole();
    assert_eq!(before["damages"], 0);
    assert!(before["operations"].as_u64().unwrap() >= 4, "{before}");

    // An index that was made anew has no row that is late, but the clock has one of its own then.
    phone.run(["vault", "rebuild"]);
    let before = whole();
    harm("DELETE FROM rec WHERE k = (SELECT max(k) FROM rec)");
    let checked = phone.try_run(["vault", "check"]);
    assert!(
        checked.output.contains("damaged: what operation"),
        "{}",
        checked.output
    );
    complains(checked, &["damage was found (1)", "twin vault rebuild"]);
    phone.run(["vault", "rebuild"]);
    assert_eq!(whole(), before);
    is_whole(&phone);

    harm("UPDATE op SET v = zeroblob(length(v)) WHERE n = (SELECT max(n) FROM op)");
    let checked = phone.try_run(["vault", "check", "--json"]);
    assert_eq!(checked.json()["can_be_rebuilt"], false);
    complains(checked, &["twin vault salvage", "nothing here is deleted"]);
    // It may be what was asked for.
    let file = rusqlite::Connection::open(vault(&phone)).unwrap();
    file.execute("UPDATE op SET v = zeroblob(length(v))", [])
        .unwrap();
    drop(file);
    for asked in [
        &["list", "home/notes"][..],
        &["file", "list"],
        &["erase", "home/notes/nothing", "--yes"],
    ] {
        complains(phone.try_run(asked), &["damaged and left out"]);
    }
    let watching = phone.start(["watch", "home/notes"]);
    watching.expect("damaged and left out");
    watching.terminate();
    watching.finish().well();
}

#[test]
fn a_pipe_in_its_place_is_not_waited_for() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let (path, aside) = (vault(&phone), phone.file("aside"));
    fs::rename(&path, &aside).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    for asked in [
        &["list", "home/notes"][..],
        &["vault", "check"],
        &["vault", "salvage", "new"],
    ] {
        complains(phone.try_run(asked), &["no file"]);
    }
    fs::remove_file(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    is_whole(&phone);
}

#[test]
fn a_vault_that_is_something_else_is_left_alone() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let path = vault(&phone);
    let whole = fs::read(&path).unwrap();
    let half = &whole[..whole.len() / 2];
    for other in [b"".as_slice(), b"not a vault at all", half, &[0; 8192]] {
        fs::write(&path, other).unwrap();
        for command in [
            &["status"][..],
            &["put", "home/notes/x", "a=b"],
            &["sync", "--wait", "1"],
        ] {
            complains(phone.try_run(command), &["damaged", "nothing was deleted"]);
        }
        assert!(fs::read(&path).unwrap() == other, "it was written to");
        complains(
            phone.try_run(["create", "--name", "Bob"]),
            &["there is a vault here already"],
        );
    }
    fs::write(&path, &whole).unwrap();
    is_whole(&phone);
}

#[test]
fn without_a_vault_there_is_nothing_to_open() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let commands: [&[&str]; 10] = [
        &["status"],
        &["put", "home/notes/one", "a=b"],
        &["get", "home/notes/one"],
        &["list"],
        &["delete", "home/notes/one"],
        &["device", "list"],
        &["link", "accept", "TWIN:LINK:AAAA"],
        &["sync"],
        &["run"],
        &["login", "openid4vp://?client_id=x"],
    ];
    for command in commands {
        complains(
            phone.try_run(command),
            &["there is no vault here", "create", "link"],
        );
        let mut homeless = phone.command(command);
        homeless.env_remove("TWIN_HOME");
        let finished = twin_tests::e2e::Program::in_pipes(homeless).finish();
        complains(finished, &["no folder", "--home", "twin_home"]);
    }
    assert!(!phone.home().exists(), "nothing was made");
    // A home that can never be one.
    fs::write(phone.home(), "a file").unwrap();
    complains(phone.try_run(["create", "--name", "Ada"]), &["folder"]);
    assert_eq!(fs::read_to_string(phone.home()).unwrap(), "a file");
}

#[test]
fn records_that_cannot_be_written() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let put = |record: &str, field: &str| phone.try_run(["put", record, field]);
    for path in [
        "",
        "home",
        "home/notes",
        "home/notes/",
        "/notes/one",
        "home//one",
        "//",
    ] {
        complains(put(path, "a=b"), &["should be space/collection/id"]);
    }
    for field in ["", "a", "=b", ":=1", "a:=", "a:=yes"] {
        complains(
            put("home/notes/one", field),
            &["should be field=text or field:=json"],
        );
    }
    for field in ["a:=[1]", "a:={}", "a:={\"set\": [null]}"] {
        complains(put("home/notes/one", field), &["no value that a field"]);
    }
    for field in ["a:=1e999", "a:=12345678901234567890123"] {
        complains(put("home/notes/one", field), &["with all its digits"]);
    }
    complains(
        phone.try_run(["put", "home/notes/one", "a=1", "a=2"]),
        &["named twice"],
    );
    complains(put("~keys/roots/pseudonyms", "secret=x"), &["reserved"]);
    let long = "x".repeat(5000);
    complains(put(&format!("{long}/notes/one"), "a=b"), &["space"]);
    complains(
        put(&format!("home/{long}/one"), "a=b"),
        &["collection has 1 to 128 bytes"],
    );
    complains(
        put(&format!("home/notes/{long}"), "a=b"),
        &["1 to", "bytes"],
    );
    complains(
        put("home/notes/one", &format!("{long}=b")),
        &["1 to", "bytes"],
    );
    for missing in [
        &["get", "home/notes/none"][..],
        &["delete", "home/notes/none"],
        &["get", "nowhere/at/all"],
    ] {
        complains(phone.try_run(missing), &["there is no record", missing[1]]);
    }
    for odd in ["home/notes", "x"] {
        complains(
            phone.try_run(["get", odd]),
            &["should be space/collection/id"],
        );
    }
    for (field, value) in [
        ("a=b=c", json!({"a": "b=c"})),
        ("a=", json!({"a": ""})),
        ("a:=\"text\"", json!({"a": "text"})),
        ("a:=-7", json!({"a": -7})),
        ("a:=1.5", json!({"a": 1.5})),
        ("a:=null", json!({})),
        ("ключ=значение 🔑", json!({"ключ": "значение 🔑"})),
    ] {
        phone.run(["put", "home/odd/a/b c", field]);
        assert_eq!(phone.fields("home/odd/a/b c"), value);
    }
    is_whole(&phone);
}
