//! Several persons at one site.

use serde_json::json;
use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, settle};
use crate::shop::Site;

#[test]
fn personas_at_a_site_are_strangers_to_each_other() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    let tablet = Device::new(&lan, "tablet");
    settle(&phone, "Ada");
    assert_eq!(phone.run(["sites", "--json"]).json(), json!([]));
    let mut site = Site::on(&phone);
    let (ada, work) = (site.log_in("0"), site.log_in("7"));
    assert_ne!(ada, work);
    assert_eq!((site.log_in("0"), site.log_in("7")), (ada.clone(), work));

    let place = format!("did:web:localhost%3A{}", site.port);
    let persona =
        |number: u32| json!({"site": place, "persona": number, "generation": 0, "to_move": false});
    assert_eq!(
        phone.run(["sites", "--json"]).json(),
        json!([persona(0), persona(7)])
    );
    complains(
        phone.try_run(["sites", "move", &place, "--persona", "3"]),
        &["not signed in", "persona"],
    );
    complains(
        phone.try_run(["sites", "move", &place]),
        &["nothing to move"],
    );
    complains(
        phone.try_run(["sites", "move", "web:nowhere"]),
        &["list of sites"],
    );

    // Another phone of the same twin is the same person.
    tablet.link(&phone, "tablet", "may-replace-my-phone");
    let port = site.port.clone();
    assert_eq!(Site::at(&tablet, &port).log_in("0"), ada);
}
