//! A twin that cannot be made.

use std::fs;

use twin_tests::e2e::{Device, Lan, Program, twin};

use crate::complaints::{complains, is_whole, settle};

/// `twin create` where no file can have more than a few blocks, as on a disk that is full.
fn create_without_room(device: &Device<'_>) -> Program {
    let mut shell = device.other("sh");
    // A file that grows beyond its limit ends a program that does not ask to be told instead.
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 8; exec "$@""#, "sh"]);
    shell.arg(twin()).args(["create", "--name", "Ada"]);
    shell
        .env("TWIN_HOME", device.home())
        .env("TWIN_PASSWORD", device.password());
    Program::in_pipes(shell)
}

#[test]
fn without_room_there_is_no_twin_and_its_words_are_worth_nothing() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    complains(
        create_without_room(&phone).finish(),
        &["no twin was made", "words", "worth nothing"],
    );
    assert!(!phone.home().exists(), "the folder is gone, too");
    // One that was there before stays, with what is in it.
    fs::create_dir(phone.home()).unwrap();
    fs::write(phone.home().join("mine"), "kept").unwrap();
    complains(
        create_without_room(&phone).finish(),
        &["no twin was made", "worth nothing"],
    );
    assert_eq!(fs::read(phone.home().join("mine")).unwrap(), b"kept");
    settle(&phone, "Ada");
    is_whole(&phone);
}

#[test]
fn where_no_folder_can_be_made_it_is_said_before_anybody_relies_on_the_words() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let mut command = phone.command(["create", "--name", "Ada"]);
    fs::write(phone.file("file"), "no folder").unwrap();
    command
        .env("TWIN_HOME", phone.file("file").join("home"))
        .env("TWIN_PASSWORD", phone.password());
    complains(
        Program::in_pipes(command).finish(),
        &["no twin was made", "worth nothing"],
    );
}
