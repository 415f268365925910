//! History goes when every device has it, and nothing else does.

use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

fn gone(device: &Device<'_>) -> u64 {
    let said = device.run(["vault", "compact", "--json"]).json();
    said["gone"].as_u64().unwrap()
}

#[test]
fn a_new_device_has_all_records_and_no_history_of_what_went() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let laptop = Device::new(&lan, "laptop");
    settle(&phone, "Ada");
    laptop.link(&phone, "laptop", "companion");
    for number in 0..8 {
        let word = format!("word={number}");
        phone.run(["put", "home/notes/diary", &word]);
    }
    phone.run(["put", "home/notes/gone", "word=gone"]);
    phone.run(["delete", "home/notes/gone"]);
    // The laptop has none of it yet, and is waited for by name.
    let said = phone.run(["vault", "compact", "--json"]).json();
    assert_eq!(said["gone"], 0);
    assert_eq!(said["waiting"][0]["device"], "laptop");
    laptop.meet(&phone);
    complains(laptop.try_run(["vault", "compact"]), &["phone"]);
    assert!(gone(&phone) >= 8);
    assert_eq!(gone(&phone), 0, "once is enough");
    is_whole(&phone);
    laptop.meet(&phone);
    is_whole(&laptop);
    let tablet = Device::new(&lan, "tablet");
    tablet.link(&phone, "tablet", "companion");
    tablet.meet(&phone);
    for device in [&phone, &laptop, &tablet] {
        assert_eq!(device.fields("home/notes/diary")["word"], "7");
        let history = device.run(["history", "home/notes/diary", "--json"]).json();
        assert_eq!(history.as_array().unwrap().len(), 1);
        is_whole(device);
    }
    // A delete can be undone still, and all go on together.
    tablet.run(["restore", "home/notes/gone"]);
    laptop.run(["put", "home/notes/diary", "word=last"]);
    tablet.meet(&phone);
    laptop.meet(&phone);
    tablet.meet(&phone);
    for device in [&phone, &laptop, &tablet] {
        assert_eq!(device.fields("home/notes/gone")["word"], "gone");
        assert_eq!(device.fields("home/notes/diary")["word"], "last");
    }
}
