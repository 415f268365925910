//! A disk that is full: told, nothing half done, and all goes on when there is room again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use twin_tests::e2e::{Device, Finished, Lan, Program};

/// A small disk of a device, at a folder of its own, which only the programs of the device see.
struct SmallDisk<'a> {
    device: &'a Device<'a>,
    folder: PathBuf,
}

impl<'a> SmallDisk<'a> {
    fn new(device: &'a Device<'a>, folder: &Path, size: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let disk = Self {
            device,
            folder: folder.to_owned(),
        };
        let size = format!("size={size},mode=700");
        let mut mount = device.other("mount");
        mount
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder);
        assert!(mount.status().unwrap().success(), "a disk in memory");
        disk
    }

    fn shell(&self, words: &str) -> String {
        let mut shell = self.device.other("sh");
        let shell = shell.args(["-c", words]).current_dir("/").arg("sh");
        let said = shell.arg(&self.folder).stderr(Stdio::null()).output();
        String::from_utf8(said.unwrap().stdout).unwrap()
    }

    /// Fills what is left of it.
    fn fill(&self) {
        self.shell("cat /dev/zero >> \"$1/filler\"");
    }

    /// Makes room again.
    fn empty(&self) {
        self.shell("rm \"$1/filler\"");
    }

    /// What is in it.
    fn names(&self) -> Vec<String> {
        let names = self.shell("ls -A \"$1\"");
        names.lines().map(str::to_owned).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn is_told(finished: Finished) {
    assert!(finished.output.is_empty(), "{}", finished.output);
    let told = finished.badly().errors;
    assert!(told.contains("the disk is full"), "{told}");
    assert!(told.contains("free some space"), "{told}");
}

#[test]
fn a_full_disk_stops_nothing_but_writing() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let disk = SmallDisk::new(&phone, &phone.home(), "8m");
    phone.create("Ada");
    phone.run(["put", "home/notes/one", "text=kept"]);
    let photo = phone.file("photo.jpg");
    fs::write(&photo, vec![7; 100_000]).unwrap();
    disk.fill();
    let before = phone.list("home/notes");
    is_told(phone.try_run([
        "put",
        "home/notes/two",
        &format!("text={}", "x".repeat(100_000)),
    ]));
    let add = ["file", "add", "home", text(&photo)];
    is_told(phone.try_run(add));
    assert_eq!(phone.list("home/notes"), before);
    disk.empty();
    phone.run(["put", "home/notes/two", "text=room"]);
    phone.run(add);
    assert_eq!(phone.list("home/notes").as_array().unwrap().len(), 2);
    phone.run(["vault", "check"]);
}

#[test]
fn nothing_half_made_is_left_on_a_full_disk() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let disk = SmallDisk::new(&phone, &phone.file("disk"), "64k");
    let home = disk.folder.join("home");
    let on_disk = |words: &[&str]| {
        let mut command: Command = phone.command(words);
        command.env("TWIN_PASSWORD", phone.password());
        command.env("TWIN_HOME", &home);
        Program::in_pipes(command).finish()
    };
    is_told(on_disk(&["create", "--name", "Ada"]));
    let left = disk.shell("ls -A \"$1/home\"");
    assert_eq!(left.trim(), "vault.lock");

    phone.create("Ada");
    let photo = phone.file("photo.jpg");
    fs::write(&photo, vec![7; 300_000]).unwrap();
    phone.run(["file", "add", "home", text(&photo)]);
    let target = |name: &str| disk.folder.join(name).display().to_string();
    is_told(phone.try_run(["export", "--plain", &target("plain")]));
    is_told(phone.try_run(["export", &target("sealed.twin")]));
    let out = target("photo.jpg");
    is_told(phone.try_run(["file", "get", "home/files/photo.jpg", "--to", &out]));
    let left = disk.names();
    let kept = ["home", "sealed.twin.unfinished"];
    assert!(
        left.iter().all(|name| kept.contains(&name.as_str())),
        "{left:?}"
    );
}
