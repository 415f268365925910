//! The ways to unlock a device: passwords and the desktop's keyring, added, changed, removed, and wrong.

use std::fs;
use std::process::Command;

use serde_json::{Value as Json, json};
use twin_tests::e2e::{Device, Finished, Lan, Program, eventually};

use crate::complaints::{complains, is_whole, settle};

/// `twin WORDS…` with this password, and another one where one is asked for.
fn with(device: &Device<'_>, password: &str, new: &str, words: &[&str]) -> Finished {
    let mut command = device.command(words);
    command
        .env("TWIN_PASSWORD", password)
        .env("TWIN_NEW_PASSWORD", new);
    Program::in_pipes(command).finish()
}

/// The numbers and kinds of a device's slots.
fn slots(device: &Device<'_>) -> Vec<(u64, String)> {
    let slots = device.run(["slots", "--json"]).json();
    let slot = |slot: &Json| {
        (
            slot["slot"].as_u64().unwrap(),
            slot["kind"].as_str().unwrap().to_owned(),
        )
    };
    slots.as_array().unwrap().iter().map(slot).collect()
}

fn password(number: u64) -> (u64, String) {
    (number, "password".to_owned())
}

#[test]
fn passwords_are_added_and_removed() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "first");
    settle(&phone, "Ada");
    assert_eq!(slots(&phone), [password(1)]);
    complains(
        phone.try_run(["slots", "remove", "1"]),
        &["nothing else opens this vault"],
    );
    let add = [
        "slots",
        "add",
        "--password",
        "--label",
        "in the safe",
        "--json",
    ];
    let added = with(&phone, "first", "second", &add).well();
    assert_eq!(added.json(), json!({"slot": 2}));
    assert_eq!(slots(&phone), [password(1), password(2)]);
    let listed = with(&phone, "second", "", &["slots", "--json"])
        .well()
        .json();
    assert_eq!(listed[1]["label"], "in the safe");
    assert_eq!(listed[1]["this"], true);
    assert_eq!(listed[0]["this"], false);
    assert_eq!(listed[0]["added"], Json::Null);
    assert!(listed[1]["added"].as_u64().unwrap() > 1_700_000_000_000);
    let plain = phone.run(["slots"]).output;
    assert!(
        plain.contains("from the beginning") && plain.contains("in the safe"),
        "{plain}"
    );
    complains(phone.try_run(["slots", "remove", "7"]), &["no slot 7"]);
    let bare = phone.try_run(["slots", "add"]);
    assert_eq!(bare.status.code(), Some(2));
    assert!(bare.errors.contains("--password"), "{}", bare.errors);
    complains(
        with(&phone, "first", "", &["slots", "add", "--password"]),
        &["the password is empty"],
    );

    with(&phone, "second", "", &["slots", "remove", "1"]).well();
    complains(phone.try_run(["status"]), &["wrong password"]);
    with(&phone, "second", "first", &["slots", "add", "--password"]).well();
    assert_eq!(slots(&phone), [password(2), password(3)]);
    is_whole(&phone);
}

#[test]
fn a_password_is_changed_at_a_terminal() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "the old one");
    settle(&phone, "Ada");
    let (online, _) = phone.go_online(["--no-discovery"]);
    let change = |first: &str, second: &str| {
        let mut change = phone.on_terminal(["password"]);
        for (prompt, typed) in [
            ("Password: ", "the old one"),
            ("Choose the new password: ", first),
            ("Once more: ", second),
        ] {
            change.expect_unseen(prompt);
            change.type_line(typed);
        }
        change.finish_by_itself()
    };
    let differ = change("the new one", "the newer one");
    assert!(differ.output.contains("the two passwords differ"));
    phone.run(["status"]);
    let changed = change("the new one", "the new one").well();
    assert!(changed.output.contains("changed"), "{}", changed.output);
    assert!(!changed.output.contains("the new one"));
    complains(phone.try_run(["status"]), &["wrong password"]);
    // Who has it open is told, and ends.
    complains(online.finish_by_itself(), &["unlock it again"]);
    with(&phone, "the new one", "the old one", &["password"]).well();
    is_whole(&phone);
}

#[test]
fn wrong_passwords_have_to_wait() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "right");
    settle(&phone, "Ada");
    for _ in 0..5 {
        complains(with(&phone, "wrong", "", &["status"]), &["wrong password"]);
    }
    // Each more that is tried doubles the wait, until it outlasts what a process takes to start on any machine.
    eventually("a try is refused", || {
        let tried = with(&phone, "wrong", "", &["status"]);
        tried
            .errors
            .contains("too many wrong passwords")
            .then_some(())
    });
    eventually("the right password is taken", || {
        phone.try_run(["status"]).status.success().then_some(())
    });
    complains(with(&phone, "wrong", "", &["status"]), &["wrong password"]);
    is_whole(&phone);
}

/// `twin WORDS…` in a desktop session of its own, whose keyring is kept beside the home and opened with `keyring`. What
/// the session's own programs complain about is not the command's output.
fn on_a_desktop(device: &Device<'_>, keyring: &str, words: &[&str]) -> Command {
    const SESSION: &str = r#"exec 3>&2 2>"$XDG_RUNTIME_DIR/session"
        exec dbus-run-session -- sh -c "$DESKTOP" sh "$@""#;
    const DESKTOP: &str = r#"printf %s "$KEYRING" |
            gnome-keyring-daemon --unlock --components=secrets >"$XDG_RUNTIME_DIR/daemon" 2>&1 3>&-
        exec "$@" 2>&3 3>&-"#;
    let runtime = device.file("run");
    fs::create_dir_all(&runtime).unwrap();
    let mut command = device.other("sh");
    let twin = device.command(words);
    command
        .args(["-c", SESSION, "sh"])
        .arg(std::env::var_os("TWIN_BIN").unwrap())
        .args(words)
        .env("DESKTOP", DESKTOP)
        .env("KEYRING", keyring)
        .env("HOME", device.file(""))
        .env("XDG_DATA_HOME", device.file("data"))
        .env("XDG_RUNTIME_DIR", runtime);
    for (name, value) in twin.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn the_desktops_keyring_unlocks() {
    let lan = Lan::new();
    let laptop = Device::new(&lan, "typed");
    settle(&laptop, "Ada");
    let desktop = |words: &[&str]| {
        let mut command = on_a_desktop(&laptop, "login", words);
        command.env("TWIN_NEW_PASSWORD", "another");
        Program::in_pipes(command).finish()
    };
    let with_password = |words: &[&str]| {
        let mut command = on_a_desktop(&laptop, "login", words);
        command.env("TWIN_PASSWORD", laptop.password());
        Program::in_pipes(command).finish()
    };
    complains(
        desktop(&["--keyring", "status"]),
        &["cannot be unlocked in this way"],
    );
    with_password(&["slots", "add", "--keyring", "--label", "desktop"]).well();
    // From now on no password is asked for.
    let listed = desktop(&["slots", "--keyring", "--json"]).well().json();
    assert_eq!(listed[1]["kind"], "key_store");
    assert_eq!(
        (&listed[1]["this"], &listed[1]["label"]),
        (&json!(true), &json!("desktop"))
    );
    desktop(&["put", "home/notes/three", "by=keyring", "--keyring"]).well();
    assert_eq!(laptop.fields("home/notes/three"), json!({"by": "keyring"}));
    // Another password, added without one.
    desktop(&["slots", "add", "--password", "--keyring"]).well();
    with(&laptop, "another", "", &["status"]).well();
    // The vault key is renewed without the keyring, and the keyring goes on unlocking.
    with(&laptop, "another", "", &["slots", "remove", "1"]).well();
    desktop(&["get", "home/notes/three", "--keyring"]).well();
    // Another keyring knows nothing of it.
    fs::rename(laptop.file("data"), laptop.file("elsewhere")).unwrap();
    complains(
        desktop(&["--keyring", "status"]),
        &["no longer has this vault's key", "another way"],
    );
    fs::remove_dir_all(laptop.file("data")).unwrap();
    fs::rename(laptop.file("elsewhere"), laptop.file("data")).unwrap();
    desktop(&["slots", "remove", "2", "--keyring"]).well();
    complains(
        desktop(&["--keyring", "status"]),
        &["cannot be unlocked in this way"],
    );
    with(&laptop, "another", "typed", &["password"]).well();
    is_whole(&laptop);
}

#[test]
fn where_there_is_no_keyring_it_is_said() {
    let lan = Lan::new();
    let laptop = Device::new(&lan, "typed");
    settle(&laptop, "Ada");
    for words in [&["status", "--keyring"][..], &["slots", "add", "--keyring"]] {
        // No session bus at all, one that is gone, and one without a keyring.
        for bus in [None, Some("unix:path=/nonexistent/bus")] {
            let mut command = laptop.command(words);
            command
                .env("TWIN_PASSWORD", laptop.password())
                .env("XDG_RUNTIME_DIR", laptop.file("nowhere"))
                .env_remove("DBUS_SESSION_BUS_ADDRESS");
            if let Some(bus) = bus {
                command.env("DBUS_SESSION_BUS_ADDRESS", bus);
            }
            complains(
                Program::in_pipes(command).finish(),
                &["no keyring", "password"],
            );
        }
    }
    complains(
        Device::new(&lan, "").try_run(["status", "--keyring"]),
        &["there is no vault here"],
    );
    assert_eq!(slots(&laptop), [password(1)]);
    is_whole(&laptop);
}

/// Linking copies no password: the new device is asked for one of its own, which opens nothing else and goes nowhere.
#[test]
fn each_device_has_a_password_of_its_own() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "the password of the phone");
    let laptop = Device::new(&lan, "the password of the laptop");
    phone.create("Ada");
    let mut offer = laptop.on_terminal(["link", "offer"]);
    for prompt in ["Choose a password for this device: ", "Once more: "] {
        offer.expect_unseen(prompt);
        offer.type_line(laptop.password());
    }
    offer.expect("or as text: ");
    let text = offer.line();
    let mut accept = phone.start(["link", "accept", text.trim()]);
    offer.expect("Join the twin “");
    offer.type_line("y");
    offer.expect("Type this code on the phone:  ");
    let code = offer.line();
    accept.expect("Type the six digits");
    accept.type_line(code.trim());
    accept.finish().well();
    offer.finish().well();
    for (device, own, others) in [
        (&phone, phone.password(), laptop.password()),
        (&laptop, laptop.password(), phone.password()),
    ] {
        with(device, own, "", &["status"]).well();
        complains(with(device, others, "", &["status"]), &["wrong password"]);
        for file in fs::read_dir(device.home()).unwrap() {
            let content = fs::read(file.unwrap().path()).unwrap();
            for password in [own, others] {
                let mut windows = content.windows(password.len());
                assert!(!windows.any(|window| window == password.as_bytes()));
            }
        }
    }
    // Changing one changes nothing elsewhere.
    with(&laptop, laptop.password(), "another", &["password"]).well();
    phone.run(["status"]);
}
