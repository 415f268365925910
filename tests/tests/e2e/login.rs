//! Logging in to the reference site, to a site gone wrong, and to no site at all.

use twin_tests::e2e::{Device, Lan};

use crate::complaints::{complains, is_whole, settle};
use crate::shop::Site;
use crate::wire;

/// Two digits that are not these.
fn other_number(number: &str) -> String {
    let number: u8 = number.parse().unwrap();
    // Numbers have no leading zero.
    (10 + (number - 9) % 90).to_string()
}

#[test]
fn logged_in_by_hand() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let mut subjects = Vec::new();
    for _ in 0..2 {
        let mut site = Site::on(&phone);
        let code = site.shown("code").unwrap();
        let mut login = phone.on_terminal(["login", &code]);
        login.expect_unseen("Password: ");
        login.type_line(phone.password());
        let asked = login.expect("Log in? [y/N]");
        for word in ["who asks", "how far proven", "what for", "localhost"] {
            assert!(asked.contains(word), "{word}: {asked}");
        }
        login.type_line("y");
        login.expect("Type the two digits that the page shows:");
        login.type_line(&site.shown("number").unwrap());
        login.expect("Logged in at ");
        login.finish().well();
        subjects.push(site.shown("pseudonym").unwrap());
        // The code is used up.
        complains(phone.try_run(["login", &code, "--yes"]), &["login", "code"]);
    }
    // Another port is another site, and sees somebody else.
    assert_ne!(subjects[0], subjects[1]);
    let activity = phone.run(["activity", "--json"]).json();
    let logins = activity.as_array().unwrap().iter();
    assert_eq!(logins.filter(|what| what["what"] == "logged_in").count(), 2);
    is_whole(&phone);
}

#[test]
fn a_login_that_the_person_ends() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let mut site = Site::on(&phone);
    let code = site.shown("code").unwrap();
    let mut login = phone.start(["login", &code]);
    login.expect("Log in?");
    login.type_line("n");
    complains(login.finish(), &["you said no"]);
    assert!(site.shown("pseudonym").is_none());
    // A wrong number: nobody is signed in.
    let code = site.shown("code").unwrap();
    let mut login = phone.start(["login", &code]);
    login.expect("Log in?");
    login.type_line("y");
    login.expect("Type the two digits");
    let wrong = other_number(&site.shown("number").unwrap());
    login.type_line(&wrong);
    complains(login.finish(), &["number"]);
    assert!(site.shown("pseudonym").is_none());
    for odd in ["7", "123", "x7", ""] {
        complains(
            phone.try_run(["login", &code, "--number", odd]),
            &["digits"],
        );
    }
    let activity = phone.run(["activity", "--json"]).json();
    let said_no = |what: &serde_json::Value| what["what"] == "declined";
    assert_eq!(
        activity
            .as_array()
            .unwrap()
            .iter()
            .filter(|what| said_no(what))
            .count(),
        1
    );
    is_whole(&phone);
}

#[test]
fn codes_that_are_no_logins() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let laptop = Device::new(&lan, "laptop");
    let (_offer, link) = laptop.offer("laptop");
    let mut site = Site::on(&phone);
    let code = site.shown("code").unwrap();
    let login = |code: &str| phone.try_run(["login", code, "--yes"]);
    complains(login(&link), &["links a device"]);
    complains(login(&laptop.picture()), &["links a device"]);
    for foreign in ["https://example.org/menu", "hello", ""] {
        complains(login(foreign), &["login"]);
    }
    for length in [13, code.len() / 3, code.len() - 1] {
        complains(login(&code[..length]), &["login code"]);
    }
    let picture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/e2e/pictures/foreign.png"
    );
    complains(login(picture), &["not a login"]);
    is_whole(&phone);
}

#[test]
fn a_site_that_answers_with_garbage() {
    let lan = Lan::new();
    let phone = Device::new(&lan, "phone");
    settle(&phone, "Ada");
    let mut site = Site::on(&phone);
    let code = site.shown("code").unwrap();
    let json = "{\"iss\":\"nobody\"}";
    let big = "x".repeat(200_000);
    // The keys are right, and then comes no request.
    let keys = site.load("/.well-known/did.json");
    let (_, keys) = keys.split_once("\r\n\r\n").unwrap();
    let keys = keys.replace(&site.port, "{port}");
    assert!(keys.contains("did:web:localhost%3A{port}"), "{keys}");
    for (answer, words) in [
        (String::new(), &["site"][..]),
        ("\0\u{1}\u{2}garbage".to_owned(), &["site"]),
        (
            "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["500"],
        ),
        (
            "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["no longer knows"],
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            &["302"],
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}",
                json.len()
            ),
            &["key file"],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na.b.c".to_owned(),
            &["key file"],
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{big}",
                big.len()
            ),
            &["too large"],
        ),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{json}"),
            &["broke off"],
        ),
        (
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{keys}"),
            &["not a login request"],
        ),
    ] {
        let mut say = phone.other(wire::WIRE);
        say.arg("say");
        let (_site, port) = wire::said(say, &answer);
        let code = code.replace(&site.port, &port);
        complains(phone.try_run(["login", &code, "--yes"]), words);
    }
    let code = code.replace(&site.port, "1");
    complains(
        phone.try_run(["login", &code, "--yes"]),
        &["site cannot be reached"],
    );
    // Only the phone logs in.
    let laptop = Device::new(&lan, "laptop");
    laptop.link(&phone, "laptop", "companion");
    complains(laptop.try_run(["login", &code]), &["only the phone"]);
    is_whole(&phone);
}
