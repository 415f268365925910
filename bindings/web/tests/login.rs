//! A browser, a phone and the site, over real connections.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod support;

use support::{Browser, Phone, RunningSite, header, options, text_of};
use twin_login::wallet::LoginError;
use twin_site::{Server, SiteError};

/// Logs in with an open page; gives the pseudonym that the page shows.
async fn log_in(site: &RunningSite, phone: &Phone) -> String {
    let browser = Browser::open(site).await;
    let mut views = browser.watch().await;
    assert!(views.next().await.unwrap().contains("<svg"));
    let consent = phone.scan(&browser.code()).await.unwrap();
    let number = views.next().await.unwrap();
    let number = text_of(&number, "number").unwrap().parse().unwrap();
    phone.approve(&consent, Some(number)).await.unwrap();
    let view = views.next().await.unwrap();
    assert!(view.contains("You are signed in"));
    assert_eq!(views.next().await, None, "a final view ends the stream");
    text_of(&view, "pseudonym").unwrap().to_owned()
}

#[tokio::test]
async fn a_person_logs_in_and_the_page_follows() {
    let site = RunningSite::start().await;
    let mut browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    let phone = Phone::of(1);
    let consent = phone.scan(&browser.code()).await.unwrap();
    assert_eq!(consent.site(), site.url.split('/').nth(2).unwrap());
    assert_eq!(consent.calls_itself(), Some("Example Shop"));
    assert_eq!(consent.purpose(), Some("To keep your basket"));

    let scanned = views.next().await.unwrap();
    let number = text_of(&scanned, "number").unwrap().to_owned();
    assert_eq!(
        text_of(browser.reload().await, "number"),
        Some(number.as_str())
    );
    let number = number.parse().unwrap();
    phone.approve(&consent, Some(number)).await.unwrap();

    let signed_in = views.next().await.unwrap();
    let subject = twin_login::jwk::thumbprint(&phone.persona(&consent).public());
    assert_eq!(text_of(&signed_in, "pseudonym"), Some(subject.as_str()));
    assert_eq!(
        text_of(browser.reload().await, "pseudonym"),
        Some(subject.as_str())
    );

    // The same answer, and a second scan of the same code, are refused.
    let again = phone.approve(&consent, Some(number)).await;
    assert_eq!(again.unwrap_err(), LoginError::AlreadyUsed);

    // Another browser learns nothing; signing out forgets.
    assert!(text_of(&Browser::open(&site).await.page, "pseudonym").is_none());
    assert!(
        header(&browser.press("/sign-out").await, "set-cookie")
            .unwrap()
            .contains("Max-Age=0")
    );
    assert!(text_of(browser.reload().await, "pseudonym").is_none());
    site.stop().await;
}

#[tokio::test]
async fn two_sites_get_unrelated_pseudonyms_and_each_the_same_again() {
    let (one, other) = (RunningSite::start().await, RunningSite::start().await);
    let (ada, bob) = (Phone::of(1), Phone::of(2));
    let ada_here = log_in(&one, &ada).await;
    assert_eq!(log_in(&one, &ada).await, ada_here);
    assert_ne!(log_in(&other, &ada).await, ada_here);
    assert_ne!(log_in(&one, &bob).await, ada_here);
}

#[tokio::test]
async fn a_wrong_number_ends_the_login_and_a_new_code_follows() {
    let site = RunningSite::start().await;
    let mut browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    let (phone, code) = (Phone::of(1), browser.code());
    let consent = phone.scan(&code).await.unwrap();
    let view = views.next().await.unwrap();
    let right = text_of(&view, "number").unwrap().to_owned();
    let wrong = if right == "42" { "43" } else { "42" };
    let result = phone.approve(&consent, wrong.parse().ok()).await;
    assert_eq!(result.unwrap_err(), LoginError::WrongNumber);
    let ended = views.next().await.unwrap();
    assert!(ended.contains("was not the one shown here") && ended.contains("Try again"));
    let result = phone.approve(&consent, right.parse().ok()).await;
    assert_eq!(result.unwrap_err(), LoginError::AlreadyUsed);

    browser.reload().await;
    assert!(browser.page.contains(r#"class="notice""#));
    assert_ne!(browser.code(), code);
    assert_eq!(phone.scan(&code).await.unwrap_err(), LoginError::Gone);
    assert!(phone.scan(&browser.code()).await.is_ok());
}

#[tokio::test]
async fn a_no_on_the_phone_is_shown() {
    let site = RunningSite::start().await;
    let mut browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    let phone = Phone::of(1);
    let consent = phone.scan(&browser.code()).await.unwrap();
    views.next().await.unwrap();
    phone.decline(&consent).await.unwrap();
    assert!(
        views
            .next()
            .await
            .unwrap()
            .contains("You said no on your phone")
    );
    assert_eq!(
        header(&browser.press("/again").await, "location").unwrap(),
        "/"
    );
    assert!(browser.reload().await.contains("<textarea"));
}

#[tokio::test]
async fn starting_over_shows_a_new_code_on_the_open_page() {
    let site = RunningSite::start().await;
    let browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    let first = views.next().await.unwrap();
    browser.press("/again").await;
    let second = views.next().await.unwrap();
    assert!(second.contains("<textarea") && second != first);
}

#[tokio::test]
async fn each_scan_makes_a_new_number_and_the_page_follows() {
    let site = RunningSite::start().await;
    let browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    let phone = Phone::of(1);
    let mut scan = async || {
        let consent = phone.scan(&browser.code()).await.unwrap();
        let view = views.next().await.unwrap();
        (consent, text_of(&view, "number").unwrap().to_owned())
    };
    let (first, old) = scan().await;
    let (second, new) = scan().await;
    assert_ne!(old, new);
    let stale = phone.approve(&first, new.parse().ok()).await;
    assert_eq!(stale.unwrap_err(), LoginError::Refused);
    phone.approve(&second, new.parse().ok()).await.unwrap();
}

#[tokio::test]
async fn a_code_worn_out_by_strangers_is_replaced() {
    let site = RunningSite::start().await;
    let mut browser = Browser::open(&site).await;
    let phone = Phone::of(1);
    let code = browser.code();
    for _ in 0..8 {
        phone.scan(&code).await.unwrap();
    }
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    assert_eq!(phone.scan(&code).await.unwrap_err(), LoginError::Gone);
    let ended = views.next().await.unwrap();
    assert!(ended.contains("scanned too often") && ended.contains("Try again"));
    assert!(browser.reload().await.contains(r#"class="notice""#));
    assert!(phone.scan(&browser.code()).await.is_ok());
}

#[tokio::test]
async fn a_wallet_that_asks_by_get_is_served_without_a_number() {
    let site = RunningSite::start().await;
    let browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    let uri = browser.code();
    let query = uri.split_once('?').unwrap().1;
    let path = query
        .split("request_uri=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let path = path.split("/login").nth(1).unwrap();
    let answer = site.raw(&format!("GET /login{path}"), "").await;
    assert_eq!(
        header(&answer, "content-type").as_deref(),
        Some("application/oauth-authz-req+jwt")
    );
    let view = views.next().await.unwrap();
    assert!(view.contains("Approve on your phone") && text_of(&view, "number").is_none());
    // Our own wallet takes a code that keeps it from announcing the number for a forgery.
    let stripped = uri.replace("&request_uri_method=post", "");
    assert_eq!(
        Phone::of(1).scan(&stripped).await.unwrap_err(),
        LoginError::Tampered
    );
}

#[tokio::test]
async fn the_page_is_guarded() {
    let site = RunningSite::start().await;
    let page = site.raw("GET /", "").await;
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(header(&page, "cache-control").unwrap(), "no-store");
    assert_eq!(header(&page, "x-content-type-options").unwrap(), "nosniff");
    let cookie = header(&page, "set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    assert!(!page.contains("style=") && !page.contains("onclick") && !page.contains("://fonts"));

    let status = async |head: &str, body: &str| {
        let answer = site.raw(head, body).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("GET /\r\nHost: evil.example", "").await, "307");
    assert_eq!(status("GET /events\r\nHost: evil.example", "").await, "421");
    assert_eq!(status("POST /again", "").await, "403");
    assert_eq!(
        status("POST /sign-out\r\nOrigin: https://evil.example", "").await,
        "403"
    );
    assert_eq!(status("GET /events", "").await, "204");
    assert_eq!(status("GET /nowhere", "").await, "404");
    assert_eq!(status("GET /login/request/none", "").await, "404");
    assert_eq!(status("POST /login/answer/none", "").await, "404");
    let large = "x".repeat(64 * 1024 + 1);
    assert_eq!(status("POST /login/answer/none", &large).await, "413");
}

#[tokio::test]
async fn a_site_on_the_web_has_a_bound_and_secure_cookie() {
    let options = twin_site::Options {
        origin: Some("https://shop.example".to_owned()),
        ..options()
    };
    let server = Server::bind(&options).await.unwrap();
    assert_eq!(server.url(), "https://shop.example/");
    let address = server.address();
    tokio::spawn(server.run(std::future::pending()));
    let page = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let page = page.await.unwrap();
    let cookie = header(&page, "set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure"));
    assert!(header(&page, "strict-transport-security").is_some());
}

#[tokio::test]
async fn open_pages_do_not_hold_up_the_end() {
    let site = RunningSite::start().await;
    let browser = Browser::open(&site).await;
    let mut views = browser.watch().await;
    views.next().await.unwrap();
    let ((), view) = tokio::join!(site.stop(), views.next());
    assert_eq!(view, None);
}

#[tokio::test]
async fn a_site_that_cannot_run_says_why() {
    let bind = async |change: fn(&mut twin_site::Options)| {
        let mut options = options();
        change(&mut options);
        Server::bind(&options).await.err()
    };
    let without = bind(|o| o.listen = "0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(without, Some(SiteError::NeedsOrigin)));
    for bad in [
        "http://shop.example",
        "https://shop.example/x",
        "shop",
        "https://10.0.0.1",
    ] {
        let mut options = options();
        options.origin = Some(bad.to_owned());
        let error = Server::bind(&options).await.err();
        assert!(matches!(error, Some(SiteError::Origin(..))), "{bad}");
    }
    let taken = RunningSite::start().await;
    let mut options = options();
    options.listen = taken.address;
    assert!(matches!(
        Server::bind(&options).await.err(),
        Some(SiteError::Listen(..))
    ));
}

#[tokio::test]
async fn a_key_file_keeps_the_sites_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.origin = Some("https://shop.example".to_owned());
    options.key = Some(folder.path().join("key"));
    let document = async |options: &twin_site::Options| {
        let server = Server::bind(options).await.unwrap();
        let site = format!("{}", server.address());
        tokio::spawn(server.run(std::future::pending()));
        let mut stream = tokio::net::TcpStream::connect(site).await.unwrap();
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let head = b"GET /.well-known/did.json HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let first = document(&options).await;
    assert!(first.contains("did:web:shop.example#"));
    assert_eq!(document(&options).await, first);
    options.key = None;
    assert_ne!(document(&options).await, first);
    options.key = Some(folder.path().join("other"));
    std::fs::write(options.key.as_ref().unwrap(), b"\xff\xfe no key").unwrap();
    assert!(matches!(
        Server::bind(&options).await.err(),
        Some(SiteError::NotAKey(_))
    ));
}
