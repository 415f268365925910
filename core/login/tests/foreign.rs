//! A request made by other software, `tests/vectors/foreign-request.json`: path in the DID, ES256,
//! a key list with a kind of key unknown here, claims and metadata unknown here, fetched by GET.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng as _;
use serde_json::Value;
use twin_identity::pseudonym::{Algorithm, PseudonymRoot};
use twin_login::http::HttpReply;
use twin_login::wallet::{Invitation, LoginError};

#[test]
fn a_request_of_other_making_is_understood() {
    let vector: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/foreign-request.json")).unwrap();
    let text = |name: &str| vector[name].as_str().unwrap();
    let (now, expected) = (vector["now_ms"].as_u64().unwrap(), &vector["expected"]);
    let document = vector["did_document"].to_string();
    let ok = |body: &'static str| HttpReply {
        status: 200,
        body: body.as_bytes(),
    };
    let object: &'static str = text("request_object").to_owned().leak();
    let document: &'static str = document.leak();

    let scan = || {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (request, fetch) = Invitation::parse(text("code")).unwrap().ask_key();
        assert_eq!(
            request.url(),
            "https://verifier.example:8443/tenants/blue/did.json"
        );
        let (request, fetch) = fetch.received(&ok(document), &mut rng).unwrap();
        assert!(request.form().is_none(), "fetched by GET");
        fetch
    };
    let consent = scan().received(&ok(object), now).unwrap();
    assert_eq!(consent.site_id().as_str(), expected["site_id"]);
    assert_eq!(consent.site(), expected["site"]);
    assert_eq!(consent.calls_itself(), expected["calls_itself"].as_str());
    assert_eq!(consent.algorithms(), [Algorithm::P256]);
    assert!(!consent.needs_number());
    let persona =
        PseudonymRoot::from_bytes([1; 32]).persona(consent.site_id(), 0, 0, Algorithm::P256);
    let (answer, _) = consent.approve(&persona, None, now).unwrap();
    assert_eq!(answer.url(), expected["response_uri"]);
    assert!(answer.form().unwrap().ends_with("&state=af0ifjsldkj"));

    let late = scan().received(&ok(object), now + 661_000);
    assert_eq!(late.unwrap_err(), LoginError::Expired);
}
