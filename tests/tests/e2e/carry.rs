//! Devices that do not meet: what one lacks is carried over in a file, or in pictures.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, settle};

fn id(device: &Device<'_>) -> String {
    let devices = device.run(["device", "list", "--json"]).json();
    let this = { devices.as_array().unwrap().iter() }.find(|device| device["this"] == true);
    this.unwrap()["device"].as_str().unwrap().to_owned()
}

/// Exports what `to` lacks; what was said.
fn export(from: &Device<'_>, to: &str, file: &Path) -> Json {
    from.run(["export", "--since", to, file.to_str().unwrap(), "--json"])
        .json()
}

fn import(to: &Device<'_>, file: &Path) -> Json {
    to.run(["import", file.to_str().unwrap(), "--json"]).json()
}

fn notes(device: &Device<'_>) -> usize {
    device.list("home/notes").as_array().unwrap().len()
}

#[test]
fn a_stick_goes_there_and_back_and_onward() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    tablet.link(&phone, "tablet", "companion");
    let (of_phone, of_laptop, of_tablet) = (id(&phone), id(&laptop), id(&tablet));
    phone.run(["put", "home/notes/three", "word=canary-carried"]);
    let photo = phone.file("photo.jpg");
    let bytes: Vec<u8> = (0..200_000_u32)
        .map(|i| (i.wrapping_mul(i) >> 5) as u8)
        .collect();
    fs::write(&photo, &bytes).unwrap();
    let added = phone.run(["file", "add", "home", photo.to_str().unwrap(), "--json"]);
    let record = added.json()["record"].as_str().unwrap().to_owned();

    let stick = phone.file("stick");
    let said = export(&phone, &of_laptop, &stick);
    assert!(said["operations"].as_u64().unwrap() > 0 && said["chunks"].as_u64().unwrap() >= 4);
    assert!(!phone.file("stick.unfinished").exists());
    let file = fs::read(&stick).unwrap();
    for what in [&b"canary"[..], b"Ada", b"photo", of_phone.as_bytes()] {
        let mut windows = file.windows(what.len());
        assert!(!windows.any(|window| window == what), "{what:?} is in it");
    }
    let path = stick.to_str().unwrap();
    let outside = tablet.run(["check", path, "--json"]).json();
    assert_eq!(
        (&outside["bytes"], &outside["devices"], &outside["by"]),
        (&file.len().into(), &1.into(), &Json::Null)
    );
    let inside = laptop.run(["check", "--open", path, "--json"]).json();
    assert_eq!(inside["by"], *of_phone);
    assert_eq!(notes(&laptop), 2, "nothing is taken in");
    let said = import(&laptop, &stick);
    assert_eq!(
        (&said["by"], &said["early"]),
        (&Json::from(&*of_phone), &0.into())
    );
    assert_eq!(notes(&laptop), 3);
    let copy = laptop.file("copy.jpg");
    laptop.run(["file", "get", &record, "--to", copy.to_str().unwrap()]);
    assert_eq!(fs::read(&copy).unwrap(), bytes);

    // And back, where there is only what is new; then nothing is left to be said.
    laptop.run(["put", "home/notes/four", "word=back"]);
    let back = laptop.file("back");
    assert!(
        export(&laptop, &of_phone, &back)["operations"]
            .as_u64()
            .unwrap()
            > 0
    );
    import(&phone, &back);
    assert_eq!(notes(&phone), 4);
    let nothing = phone.file("nothing");
    let said = export(&phone, &of_laptop, &nothing);
    assert_eq!(
        (&said["operations"], &said["chunks"]),
        (&0.into(), &0.into())
    );
    assert!(fs::metadata(&nothing).unwrap().len() < 8192);

    // A third device gets from the second what the first has written.
    let onward = laptop.file("onward");
    export(&laptop, &of_tablet, &onward);
    import(&tablet, &onward);
    assert_eq!(notes(&tablet), 4);
    let copy = tablet.file("copy.jpg");
    tablet.run(["file", "get", &record, "--to", copy.to_str().unwrap()]);
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    // Twice does no harm.
    assert_eq!(import(&tablet, &onward)["new"], 0);
}

#[test]
fn what_is_foreign_or_cut_is_not_taken_in() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let of_laptop = id(&laptop);
    phone.run(["put", "home/notes/three", "word=carried"]);
    let stick = phone.file("stick");
    export(&phone, &of_laptop, &stick);

    let (stranger, friend) = (Device::new(&lan, "stranger"), Device::new(&lan, "friend"));
    settle(&stranger, "Eve");
    friend.link(&stranger, "friend", "companion");
    let theirs = stranger.file("theirs");
    export(&stranger, &id(&friend), &theirs);
    let try_import = |file: &Path| laptop.try_run(["import", file.to_str().unwrap()]);
    complains(try_import(&theirs), &["not for this device"]);
    complains(
        stranger.try_run(["import", stick.to_str().unwrap()]),
        &["not for this device"],
    );
    let before = notes(&laptop);
    let bytes = fs::read(&stick).unwrap();
    let bad = laptop.file("bad");
    fs::write(&bad, &bytes[..bytes.len() - 1]).unwrap();
    complains(try_import(&bad), &["cut off"]);
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(&bad, &damaged).unwrap();
    complains(try_import(&bad), &["damaged near byte"]);
    assert_eq!(notes(&laptop), before);

    let to = |device: &str| ["export", "--since", device, "/tmp/never"].map(str::to_owned);
    complains(phone.try_run(to("nobody")), &["no device is called"]);
    complains(
        phone.try_run(["export", "--since", &of_laptop, stick.to_str().unwrap()]),
        &["of that name already"],
    );
    // Who was removed reads nothing any more.
    let devices = phone.run(["device", "list", "--json"]).json();
    assert!(devices.as_array().unwrap().len() > 1);
    phone.run(["device", "revoke", &of_laptop, "--yes"]);
    complains(phone.try_run(to(&of_laptop)), &["no device is called"]);
    import(&laptop, &stick);
    assert_eq!(notes(&laptop), 3, "what was made before is for it");
}

#[test]
fn pictures_carry_small_amounts() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    let (of_phone, of_laptop) = (id(&phone), id(&laptop));
    phone.run(["put", "home/notes/three", "word=shown"]);
    let folder = phone.file("pictures");
    let at = folder.to_str().unwrap();
    phone.run(["export", "--since", &of_laptop, "--qr", "--frames", at]);
    let mut pictures: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    pictures.sort();
    assert!(pictures.len() > 8, "{} pictures", pictures.len());
    // Some are missed, one is of something else.
    let few = ["import", "--qr", pictures[0].to_str().unwrap()];
    complains(laptop.try_run(few), &["only 1 of about"]);
    for missed in pictures.iter().step_by(4) {
        fs::remove_file(missed).unwrap();
    }
    fs::copy(laptop.picture(), folder.join("link.png")).unwrap();
    let said = laptop.run(["import", "--qr", at, "--json"]).json();
    assert_eq!(said["by"], Json::from(&*of_phone));
    assert_eq!(notes(&laptop), 3);
    // A lot goes into a file.
    let much = "x".repeat(100_000);
    for number in 0..2 {
        let place = format!("home/notes/long{number}");
        phone.run(["put", &place, &format!("word={much}")]);
    }
    let shown = phone.try_run(["export", "--since", &of_laptop, "--qr"]);
    complains(shown, &["too much for pictures", "in a file"]);
}
