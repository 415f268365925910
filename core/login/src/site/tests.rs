#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};
use twin_identity::pseudonym::{Algorithm, PersonaKey};

use super::*;
use crate::http::Fields;
use crate::jwk::{Jwk, thumbprint};
use crate::jws;
use crate::testing::{NOW, Shop, ada, ok, persona, rng};

/// The form of an honest answer whose token has one claim changed and is signed again.
fn answer_with(shop: &mut Shop, key: &PersonaKey, change: impl FnOnce(&mut Value)) -> String {
    let form = shop.approved(key);
    let fields = Fields::parse(form.as_bytes()).unwrap();
    let token = jws::Token::parse(fields.get("id_token").unwrap().as_bytes()).unwrap();
    let mut claims = serde_json::from_slice(&token.payload).unwrap();
    change(&mut claims);
    let token = jws::sign(&key.public(), "JWT", None, &claims, |bytes| key.sign(bytes));
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("id_token", &token.unwrap());
    for name in ["state", "digital_twin_number"] {
        form.append_pair(name, fields.get(name).unwrap());
    }
    form.finish()
}

#[test]
fn an_honest_login_gives_the_thumbprint() {
    for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
        let mut shop = Shop::new();
        assert_eq!(shop.attempt.progress(NOW), Progress::Waiting);
        let key = persona("did:web:shop.example", algorithm);
        let form = shop.approved(&key);
        assert!(matches!(
            shop.attempt.progress(NOW),
            Progress::Fetched(Some(_))
        ));
        let subject = shop
            .attempt
            .answer(&shop.site, form.as_bytes(), NOW)
            .unwrap()
            .clone();
        assert_eq!(subject.as_str(), thumbprint(&key.public()));
        assert_eq!(shop.attempt.progress(NOW), Progress::SignedIn(subject));
    }
}

#[test]
fn two_sites_get_unrelated_subjects() {
    let subject = |origin: &str| {
        let mut shop = Shop::at(origin);
        let consent = shop.consent();
        let key = persona(consent.site_id().as_str(), Algorithm::Ed25519);
        let (request, _) = consent.approve(&key, shop.number(), NOW).unwrap();
        let form = request.form().unwrap();
        shop.attempt
            .answer(&shop.site, form.as_bytes(), NOW)
            .unwrap()
            .clone()
    };
    let ports = [
        "http://localhost:8001",
        "http://localhost:8002",
        "https://shop.example",
    ];
    let subjects = ports.map(subject);
    assert_ne!(subjects[0], subjects[1]);
    assert_ne!(subjects[1], subjects[2]);
    assert_eq!(subjects[0], subject(ports[0]));
}

#[test]
fn a_replay_is_refused() {
    let mut shop = Shop::new();
    let form = shop.approved(&ada());
    assert!(
        shop.attempt
            .answer(&shop.site, form.as_bytes(), NOW)
            .is_ok()
    );
    let again = shop.attempt.answer(&shop.site, form.as_bytes(), NOW);
    assert_eq!(again.unwrap_err(), Refusal::AlreadyAnswered);
    let mut other = Shop::new();
    other.attempt = Attempt::start(NOW, &mut rng(99));
    other.consent();
    let elsewhere = other.attempt.answer(&other.site, form.as_bytes(), NOW);
    assert_eq!(elsewhere.unwrap_err(), Refusal::WrongState);
}

/// Somebody fetches his own login first, to learn its number, and sends code and number to a
/// victim; or fetches again after the victim did, until the page shows what he told them.
#[test]
fn only_the_newest_fetch_and_its_number_count() {
    let mut shop = Shop::new();
    shop.consent();
    let sent_along = shop.number();
    let victims = shop.consent();
    assert_ne!(shop.number(), sent_along);
    let (request, _) = victims.approve(&ada(), shop.number(), NOW).unwrap();
    let by_the_page = request.form().unwrap().to_owned();
    let (request, _) = victims.approve(&ada(), sent_along, NOW).unwrap();
    let as_told = request.form().unwrap().to_owned();

    // An answer to a fetch that is not the newest does not hold, and ends nothing.
    let newest = shop.consent();
    for stale in [&as_told, &by_the_page] {
        let answer = shop.attempt.answer(&shop.site, stale.as_bytes(), NOW);
        assert_eq!(answer.unwrap_err(), Refusal::WrongNonce);
    }
    let (request, _) = newest.approve(&ada(), shop.number(), NOW).unwrap();
    let form = request.form().unwrap();
    assert!(
        shop.attempt
            .answer(&shop.site, form.as_bytes(), NOW)
            .is_ok()
    );
}

#[test]
fn a_number_that_was_sent_along_ends_the_login() {
    let mut shop = Shop::new();
    shop.consent();
    let sent_along = shop.number();
    let (request, _) = shop.consent().approve(&ada(), sent_along, NOW).unwrap();
    let form = request.form().unwrap();
    let answer = shop.attempt.answer(&shop.site, form.as_bytes(), NOW);
    assert_eq!(answer.unwrap_err(), Refusal::WrongNumber);
}

#[test]
fn a_wrong_or_missing_number_ends_the_login() {
    for missing in [true, false] {
        let mut shop = Shop::new();
        let form = shop.approved(&ada());
        let number = shop.number().unwrap().to_string();
        let field = format!("digital_twin_number={number}");
        let wrong = if number == "42" { "43" } else { "42" };
        let changed = match missing {
            true => form.replace(&field, "x=y"),
            false => form.replace(&field, &format!("digital_twin_number={wrong}")),
        };
        let mut answer = |form: &str| {
            shop.attempt
                .answer(&shop.site, form.as_bytes(), NOW)
                .cloned()
        };
        assert_eq!(answer(&changed).unwrap_err(), Refusal::WrongNumber);
        assert_eq!(answer(&form).unwrap_err(), Refusal::AlreadyAnswered);
        assert_eq!(
            shop.attempt.progress(NOW),
            Progress::Ended(Refusal::WrongNumber)
        );
    }
}

#[test]
fn a_wallet_without_number_matching_is_served() {
    let mut shop = Shop::new();
    let forms = [
        "",
        "wallet_metadata=%7B%22vp_formats_supported%22%3A%5B%5D%7D&wallet_nonce=n",
    ];
    for form in forms {
        let fetch = Fetch::Post(form.as_bytes());
        assert!(
            shop.attempt
                .serve(&shop.site, fetch, NOW, &mut rng(0))
                .is_ok()
        );
    }
    let object = shop
        .attempt
        .serve(&shop.site, Fetch::Get, NOW, &mut rng(0))
        .unwrap();
    assert_eq!(shop.attempt.progress(NOW), Progress::Fetched(None));
    let token = jws::Token::parse(object.as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&token.payload).unwrap();
    let token = crate::id_token::issue(
        &ada(),
        claims["client_id"].as_str().unwrap(),
        claims["nonce"].as_str().unwrap(),
        crate::time::NumericDate::from_millis(NOW),
    );
    let form = format!(
        "id_token={}&state={}",
        token.unwrap(),
        claims["state"].as_str().unwrap()
    );
    assert!(
        shop.attempt
            .answer(&shop.site, form.as_bytes(), NOW)
            .is_ok()
    );
}

#[test]
fn once_there_is_a_number_a_wallet_that_cannot_send_it_is_refused() {
    let mut shop = Shop::new();
    shop.consent();
    let fetch = shop.attempt.serve(&shop.site, Fetch::Get, NOW, &mut rng(0));
    assert_eq!(fetch.unwrap_err(), Refusal::NumberUnsupported);
}

#[test]
fn a_code_expires_and_is_not_fetched_for_ever() {
    let mut shop = Shop::new();
    let form = shop.approved(&ada());
    let late = NOW + LIFETIME_MS;
    assert_eq!(
        shop.attempt.progress(late),
        Progress::Ended(Refusal::Expired)
    );
    let answer = shop.attempt.answer(&shop.site, form.as_bytes(), late);
    assert_eq!(answer.unwrap_err(), Refusal::Expired);
    let fetch = shop
        .attempt
        .serve(&shop.site, Fetch::Get, late, &mut rng(0));
    assert_eq!(fetch.unwrap_err(), Refusal::Expired);

    let mut shop = Shop::new();
    let fetches = (0..9).map(|_| shop.attempt.serve(&shop.site, Fetch::Get, NOW, &mut rng(0)));
    assert_eq!(
        fetches.last().unwrap().unwrap_err(),
        Refusal::TooManyFetches
    );
    assert_eq!(
        shop.attempt.progress(NOW),
        Progress::Ended(Refusal::TooManyFetches)
    );
}

#[test]
fn a_no_is_a_no() {
    let mut shop = Shop::new();
    let (request, _) = shop.consent().decline();
    let form = request.form().unwrap().to_owned();
    assert!(!form.contains("id_token"));
    let answer = shop.attempt.answer(&shop.site, form.as_bytes(), NOW);
    assert_eq!(answer.unwrap_err(), Refusal::Declined);
    assert_eq!(
        shop.attempt.progress(NOW),
        Progress::Ended(Refusal::Declined)
    );
}

/// Each claim that must hold, changed and signed again by the person's own key: the right refusal
/// for each, and the honest answer still gets in afterwards.
#[test]
fn each_claim_of_the_token_is_checked() {
    let other = persona("did:web:shop.example", Algorithm::P256).public();
    let cases: Vec<(&str, Value, Refusal)> = vec![
        ("nonce", json!("another"), Refusal::WrongNonce),
        ("aud", json!("did:web:shop.example"), Refusal::WrongAudience),
        (
            "aud",
            json!("decentralized_identifier:did:web:evil.example"),
            Refusal::WrongAudience,
        ),
        (
            "aud",
            json!(["decentralized_identifier:did:web:shop.example", "x"]),
            Refusal::WrongAudience,
        ),
        ("sub", json!(thumbprint(&other)), Refusal::WrongSubject),
        (
            "iss",
            json!("https://self-issued.me/v2"),
            Refusal::WrongSubject,
        ),
        ("sub_jwk", json!(Jwk::new(&other)), Refusal::WrongSignature),
        ("sub_jwk", json!({"kty": "RSA"}), Refusal::Malformed),
        ("exp", json!(NOW / 1000 - 61), Refusal::StaleToken),
        ("exp", json!(NOW / 1000 + 86_400), Refusal::StaleToken),
        ("iat", json!(NOW / 1000 - 61), Refusal::StaleToken),
        ("iat", json!(NOW / 1000 + 61), Refusal::FutureToken),
        ("exp", json!("soon"), Refusal::Malformed),
    ];
    for (claim, value, refusal) in cases {
        let what = format!("{claim} = {value}");
        let mut shop = Shop::new();
        let form = answer_with(&mut shop, &ada(), |claims| claims[claim] = value);
        let answer = shop.attempt.answer(&shop.site, form.as_bytes(), NOW);
        assert_eq!(answer.unwrap_err(), refusal, "{what}");
        let honest = answer_with(&mut shop, &ada(), |_| ());
        assert!(
            shop.attempt
                .answer(&shop.site, honest.as_bytes(), NOW)
                .is_ok(),
            "{what}"
        );
    }
}

#[test]
fn a_token_with_a_broken_signature_is_refused() {
    let mut shop = Shop::new();
    let form = shop.approved(&ada());
    let state = form.split_once("&").unwrap().1.to_owned();
    let token = Fields::parse(form.as_bytes()).unwrap();
    let (head, _) = token.get("id_token").unwrap().rsplit_once('.').unwrap();
    let forged = format!("id_token={head}.{}&{state}", "A".repeat(86));
    let answer = shop.attempt.answer(&shop.site, forged.as_bytes(), NOW);
    assert_eq!(answer.unwrap_err(), Refusal::WrongSignature);
    for bad in [
        "",
        "state=x",
        "id_token=x",
        &state,
        &format!("id_token=x&{state}"),
    ] {
        let refusal = shop
            .attempt
            .answer(&shop.site, bad.as_bytes(), NOW)
            .unwrap_err();
        assert!(
            matches!(refusal, Refusal::Malformed | Refusal::WrongState),
            "{bad}"
        );
    }
}

#[test]
fn the_site_tells_its_name_and_key() {
    let shop = Shop::new();
    let (path, text) = shop.site.did_document();
    assert_eq!(path, "/.well-known/did.json");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["id"], "did:web:shop.example");
    assert_eq!(
        document["authentication"][0],
        document["verificationMethod"][0]["id"]
    );
    assert_eq!(
        shop.site.client_id(),
        "decentralized_identifier:did:web:shop.example"
    );
    let here = Shop::at("http://127.0.0.1:8000");
    assert_eq!(
        here.site.client_id(),
        "decentralized_identifier:did:web:127.0.0.1%3A8000"
    );
    assert!(ok("{}").status == 200);
}

proptest! {
    #[test]
    fn no_form_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,60}") {
        let mut shop = Shop::new();
        let _ = shop.attempt.serve(&shop.site, Fetch::Post(&bytes), NOW, &mut rng(0));
        let _ = shop.attempt.answer(&shop.site, &bytes, NOW);
        let metadata = format!("wallet_metadata={text}&wallet_nonce={text}");
        let _ = shop.attempt.serve(&shop.site, Fetch::Post(metadata.as_bytes()), NOW, &mut rng(0));
        let honest = shop.approved(&ada());
        let state = honest.split_once("&state=").unwrap().1.to_owned();
        let answer = format!("id_token={text}&state={state}");
        prop_assert!(shop.attempt.answer(&shop.site, answer.as_bytes(), NOW).is_err());
    }
}
