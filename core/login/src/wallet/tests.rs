#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};
use twin_identity::pseudonym::Algorithm;

use super::*;
use crate::http::{HttpReply, MAX_BODY_BYTES};
use crate::number::Number;
use crate::site::Refusal;
use crate::testing::{NOW, Shop, ada, ok, persona, rng};

fn failed(status: u16) -> HttpReply<'static> {
    HttpReply { status, body: b"" }
}

fn parse(text: &str) -> LoginError {
    Invitation::parse(text).unwrap_err()
}

#[test]
fn a_person_sees_who_asks_and_what_for() {
    let consent = Shop::new().consent();
    assert_eq!(consent.site_id().as_str(), "did:web:shop.example");
    assert_eq!(consent.site(), "shop.example");
    assert_eq!(consent.proof(), Proof::WebCertificate);
    assert_eq!(consent.calls_itself(), Some("Example Shop"));
    assert_eq!(consent.purpose(), Some("To keep your basket"));
    assert_eq!(consent.asks(), [Ask::Pseudonym]);
    assert_eq!(consent.answer_goes_to(), "https://shop.example");
    assert_eq!(consent.algorithms(), [Algorithm::Ed25519, Algorithm::P256]);
    assert_eq!(consent.expires_at(), Some(NOW + 300_000));
    assert!(consent.needs_number());

    let here = Shop::at("http://localhost:8080").consent();
    assert_eq!(here.proof(), Proof::ThisDevice);
    assert_eq!(here.site_id().as_str(), "did:web:localhost%3A8080");
}

#[test]
fn codes_that_are_no_login_are_told_apart() {
    let code = Shop::new().attempt.code(&Shop::new().site);
    for foreign in [
        "",
        "https://shop.example/",
        "WIFI:S:home;;",
        "hello",
        "openid4vq://?x",
    ] {
        assert_eq!(parse(foreign), LoginError::NotALogin, "{foreign}");
    }
    assert_eq!(parse("TWIN:LINK:ABC"), LoginError::LinkCode);
    assert_eq!(parse(&format!("{code}&client_id=x")), LoginError::Malformed);
    assert_eq!(
        parse(&format!("{code}&x={}", "y".repeat(2048))),
        LoginError::Malformed
    );
    assert_eq!(
        parse(&code.replace("decentralized_identifier:", "x509_san_dns:")),
        LoginError::UnknownIdentifier
    );
    assert_eq!(
        parse(&code.replace("request_uri=https://shop", "request_uri=https://evil")),
        LoginError::LeadsElsewhere
    );
    assert_eq!(
        parse(&code.replace("request_uri=https", "request_uri=http")),
        LoginError::Insecure
    );
}

/// Wherever it is cut, a code is refused, or leads to an address that the site does not know.
#[test]
fn a_cut_code_is_recognised() {
    let whole = Shop::new().attempt.code(&Shop::new().site);
    let end_of_uri = whole.find("&request_uri_method").unwrap();
    for end in 0..whole.len() {
        match Invitation::parse(&whole[..end]) {
            Err(LoginError::NotALogin) => assert!(end <= "openid4vp".len()),
            Err(LoginError::CutShort | LoginError::UnknownIdentifier) => {}
            Err(LoginError::LeadsElsewhere) => assert!(end < end_of_uri),
            Err(other) => panic!("cut at {end}: {other}"),
            Ok(cut) => {
                let document = Shop::new().site.did_document().1;
                let (_, fetch) = cut.ask_key();
                let (request, _) = fetch.received(&ok(&document), &mut rng(0)).unwrap();
                assert!(request.form().is_none(), "cut at {end} announces nothing");
                assert!(end <= end_of_uri + "&request_uri_method".len());
            }
        }
    }
}

#[test]
fn a_site_that_fails_or_babbles_is_reported() {
    let request = |reply: &HttpReply<'_>| Shop::new().scan().1.received(reply, NOW).unwrap_err();
    assert_eq!(request(&failed(404)), LoginError::Gone);
    assert_eq!(request(&failed(410)), LoginError::Gone);
    assert_eq!(request(&failed(500)), LoginError::SiteFailed(500));
    assert_eq!(request(&failed(302)), LoginError::SiteFailed(302));
    assert_eq!(request(&ok("<html>")), LoginError::NotARequest);
    assert_eq!(
        request(&ok(&"x".repeat(MAX_BODY_BYTES + 1))),
        LoginError::TooLarge
    );

    let key = |reply: &HttpReply<'_>| {
        let fetch = Shop::new().key_fetch();
        fetch.received(reply, &mut rng(0)).unwrap_err()
    };
    assert_eq!(key(&ok("{}")), LoginError::NotAKeyFile);
    assert_eq!(
        key(&ok(r#"{"id":"did:web:evil.example"}"#)),
        LoginError::ForeignKeyFile
    );
    assert_eq!(
        key(&ok(r#"{"id":"did:web:shop.example"}"#)),
        LoginError::NoKey
    );
    assert_eq!(key(&failed(503)), LoginError::SiteFailed(503));
}

/// A code can name a service on this very device that is no site at all, and any path of it. All
/// that the wallet ever asks of it is the key file, by GET.
#[test]
fn a_code_cannot_aim_the_wallet_at_a_path_of_its_choice() {
    let code = "openid4vp://?client_id=decentralized_identifier:did:web:localhost%253A9000&request_uri=http://localhost:9000/admin/x?y&request_uri_method=post";
    let fetch = || Invitation::parse(code).unwrap().ask_key();
    let (request, _) = fetch();
    assert_eq!(request.url(), "http://localhost:9000/.well-known/did.json");
    assert!(request.form().is_none());
    for (status, body) in [(404, ""), (200, "<html>"), (200, r#"{"id":"x"}"#)] {
        let reply = HttpReply {
            status,
            body: body.as_bytes(),
        };
        assert!(fetch().1.received(&reply, &mut rng(0)).is_err(), "{body}");
    }
}

#[test]
fn a_request_signed_by_somebody_else_is_refused() {
    let mut shop = Shop::new();
    let (request, fetch) = shop.scan();
    let object = shop.serve(&request);
    let (head, _) = object.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", "A".repeat(86));
    assert_eq!(
        fetch.received(&ok(&forged), NOW).unwrap_err(),
        LoginError::WrongSignature
    );
}

#[test]
fn an_id_token_cannot_pass_as_a_request() {
    let form = Shop::new().approved(&ada());
    let token = crate::http::Fields::parse(form.as_bytes()).unwrap();
    let fetch = Shop::new().scan().1;
    let token = token.get("id_token").unwrap();
    assert_eq!(
        fetch.received(&ok(token), NOW).unwrap_err(),
        LoginError::NotARequest
    );
}

/// Each claim that must hold, changed by the site itself: the right refusal for each.
#[test]
fn each_claim_of_the_request_is_checked() {
    let cases: Vec<(&str, Value, LoginError)> = vec![
        (
            "client_id",
            json!("decentralized_identifier:did:web:evil.example"),
            LoginError::OtherSite,
        ),
        ("wallet_nonce", json!("another"), LoginError::Tampered),
        ("wallet_nonce", Value::Null, LoginError::Tampered),
        (
            "digital_twin_number_match",
            json!("offered"),
            LoginError::Tampered,
        ),
        ("exp", json!(NOW / 1000 - 61), LoginError::Expired),
        ("iat", json!(NOW / 1000 + 61), LoginError::FromTheFuture),
        (
            "response_uri",
            json!("https://evil.example/login"),
            LoginError::AnswerGoesElsewhere,
        ),
        (
            "response_uri",
            json!("https://shop.example:444/"),
            LoginError::AnswerGoesElsewhere,
        ),
        (
            "response_uri",
            json!("https://shop.example@evil.example/"),
            LoginError::AnswerGoesElsewhere,
        ),
        (
            "response_uri",
            json!("http://shop.example/login"),
            LoginError::Insecure,
        ),
        ("response_uri", json!("x"), LoginError::NotARequest),
        (
            "aud",
            json!("https://wallet.example"),
            LoginError::Unsupported,
        ),
        ("response_type", json!("vp_token"), LoginError::Unsupported),
        ("response_mode", json!("fragment"), LoginError::Unsupported),
        ("scope", json!("profile"), LoginError::Unsupported),
        (
            "redirect_uri",
            json!("https://shop.example/"),
            LoginError::Unsupported,
        ),
        ("transaction_data", json!(["e30"]), LoginError::Unsupported),
        (
            "dcql_query",
            json!({"credentials": []}),
            LoginError::Unsupported,
        ),
        ("client_metadata", json!({}), LoginError::Unsupported),
        ("nonce", json!(""), LoginError::NotARequest),
        ("nonce", json!("a b"), LoginError::NotARequest),
        ("state", json!("ä"), LoginError::NotARequest),
        ("nonce", json!(7), LoginError::NotARequest),
    ];
    for (claim, value, error) in cases {
        let what = format!("{claim} = {value}");
        let result = Shop::new().consent_to(|claims| claims[claim] = value);
        assert_eq!(result.unwrap_err(), error, "{what}");
    }
    assert!(Shop::new().consent_to(|_| ()).is_ok());
    assert!(
        Shop::new()
            .consent_to(|claims| claims["exp"] = json!(NOW as f64 / 1000.0 + 0.5))
            .is_ok()
    );
}

#[test]
fn key_kinds_are_the_sites_choice() {
    let with = |listed: Value| {
        Shop::new().consent_to(|claims| {
            claims["client_metadata"]["id_token_signing_alg_values_supported"] = listed;
        })
    };
    assert_eq!(
        with(json!(["ES256"])).unwrap().algorithms(),
        [Algorithm::P256]
    );
    assert_eq!(with(json!([])).unwrap().algorithms(), [Algorithm::P256]);
    assert_eq!(
        with(json!(["Ed25519"])).unwrap().algorithms(),
        [Algorithm::Ed25519]
    );
    assert_eq!(with(json!(["RS256"])).unwrap_err(), LoginError::Unsupported);
    let consent = with(json!(["ES256"])).unwrap();
    assert_eq!(
        consent.approve(&ada(), None, NOW).unwrap_err(),
        LoginError::KeyNotAccepted
    );
}

#[test]
fn an_approval_needs_the_number_and_is_in_time() {
    let consent = Shop::new().consent();
    let number: Number = "42".parse().unwrap();
    assert_eq!(
        consent.approve(&ada(), None, NOW).unwrap_err(),
        LoginError::NumberNeeded
    );
    let late = NOW + 300_000 + 61_000;
    assert_eq!(
        consent.approve(&ada(), Some(number), late).unwrap_err(),
        LoginError::Expired
    );
    let (request, _) = consent.approve(&ada(), Some(number), NOW).unwrap();
    assert!(
        request
            .url()
            .starts_with("https://shop.example/login/answer/")
    );
    assert!(request.form().unwrap().contains("digital_twin_number=42"));
    for typed in ["", "4", "421", "4x", "-4", "+4", "07"] {
        assert!(typed.parse::<Number>().is_err(), "{typed}");
    }
    assert_eq!(" 4 2 ".parse(), Ok(number));
}

/// A code whose `request_uri_method` was stripped makes the wallet use GET; the site's signed
/// answer to that gives the tampering away.
#[test]
fn a_code_stripped_of_the_number_match_is_noticed() {
    let mut shop = Shop::new();
    let code = shop
        .attempt
        .code(&shop.site)
        .replace("&request_uri_method=post", "");
    let (_, fetch) = Invitation::parse(&code).unwrap().ask_key();
    let document = shop.site.did_document().1;
    let (request, fetch) = fetch.received(&ok(&document), &mut rng(3)).unwrap();
    assert!(request.form().is_none());
    let object = shop.serve(&request);
    assert_eq!(
        fetch.received(&ok(&object), NOW).unwrap_err(),
        LoginError::Tampered
    );
}

#[test]
fn the_sites_reply_is_understood() {
    let reply = |status, body: &str| {
        Sent.received(&HttpReply {
            status,
            body: body.as_bytes(),
        })
    };
    assert_eq!(reply(200, "{}").unwrap().redirect_uri(), None);
    let redirect = reply(200, r#"{"redirect_uri":"https://shop.example/done"}"#).unwrap();
    assert_eq!(redirect.redirect_uri(), Some("https://shop.example/done"));
    for (status, body, error) in [
        (200, "", LoginError::NotAReply),
        (
            200,
            r#"{"redirect_uri":"javascript:alert(1)"}"#,
            LoginError::NotAReply,
        ),
        (400, r#"{"error":"invalid_request"}"#, LoginError::Refused),
        (400, "<html>", LoginError::SiteFailed(400)),
        (404, "", LoginError::Gone),
        (502, "", LoginError::SiteFailed(502)),
        (302, "", LoginError::SiteFailed(302)),
    ] {
        assert_eq!(reply(status, body).unwrap_err(), error, "{status} {body}");
    }
    for (refusal, error) in [
        (Refusal::WrongNumber, LoginError::WrongNumber),
        (Refusal::AlreadyAnswered, LoginError::AlreadyUsed),
        (Refusal::Expired, LoginError::Expired),
        (Refusal::Unknown, LoginError::Gone),
        (Refusal::WrongNonce, LoginError::Refused),
    ] {
        assert_eq!(reply(refusal.status(), &refusal.body()).unwrap_err(), error);
    }
}

#[test]
fn nothing_personal_is_printed() {
    let consent = Shop::new().consent();
    assert_eq!(format!("{consent:?}"), "Consent(did:web:shop.example)");
    let key = persona("did:web:shop.example", Algorithm::P256);
    let (request, _) = consent.approve(&key, "42".parse().ok(), NOW).unwrap();
    assert!(!format!("{request:?}").contains("id_token"));
}

proptest! {
    #[test]
    fn no_code_makes_it_panic(text in ".{0,200}") {
        let _ = Invitation::parse(&text);
        let _ = Invitation::parse(&format!("openid4vp://?{text}"));
        let _ = Invitation::parse(&format!(
            "openid4vp://?client_id=decentralized_identifier:did:web:{text}&request_uri={text}"
        ));
    }

    #[test]
    fn no_bytes_from_a_site_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300), status in 0u16..600) {
        let reply = HttpReply { status, body: &body };
        let mut shop = Shop::new();
        let _ = shop.scan().1.received(&reply, NOW);
        let _ = shop.key_fetch().received(&reply, &mut rng(0));
        let _ = Sent.received(&reply);
    }

    #[test]
    fn no_claims_make_it_panic(name in "[a-z_]{1,12}", text in ".{0,40}", number in any::<f64>()) {
        let _ = Shop::new().consent_to(|claims| claims[&name] = json!(text));
        let _ = Shop::new().consent_to(|claims| claims["exp"] = json!(number));
        let _ = Shop::new().consent_to(|claims| *claims = json!([text]));
    }
}
