//! A device that removes itself.

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};

#[test]
fn a_device_that_removes_itself_tells_the_others_and_is_done() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    // What it would take along keeps it until somebody has it.
    tablet.run(["put", "home/notes/last", "a=1"]);
    let revoke = ["device", "revoke", "tablet", "--yes"];
    complains(tablet.try_run(revoke), &["last 1 changes", "sync first"]);
    assert_eq!(tablet.active().len(), 2);
    {
        let (_online, address) = phone.go_online(["--no-discovery"]);
        tablet.run(["sync", "--no-discovery", "--peer", &address]);
    }
    tablet.run(revoke);
    let id = tablet.status()["device"].clone();
    {
        let (_online, address) = phone.go_online(["--no-discovery"]);
        let sync = ["sync", "--no-discovery", "--json", "--peer", &address];
        let told = tablet.run(sync).json();
        assert_eq!(
            (&told["event"], &told["devices"], &told["out"]),
            (&json!("synced"), &json!([]), &json!([id]))
        );
    }
    assert_eq!(phone.active(), ["phone"]);
    assert_eq!(phone.fields("home/notes/last"), json!({"a": "1"}));
    is_whole(&phone);
    // Nobody knows it any more.
    complains(tablet.try_meeting(&phone), &["no other device"]);
}

#[test]
fn it_is_said_calmly_on_both_sides() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    tablet.run(["device", "revoke", "tablet", "--yes"]);
    let (online, address) = tablet.go_online(["--no-discovery"]);
    // This time the one that stays calls.
    let sync = ["sync", "--no-discovery", "--peer", &address];
    let said = phone.run(sync).output;
    assert!(said.contains("is out of your twin now"), "{said}");
    online.expect("phone has heard that this device is out of your twin");
    assert_eq!(phone.active(), ["phone"]);
}
