//! Golden vectors for a second implementation: `tests/vectors/pseudonym.json`, `tests/vectors/login.json`.
//!
//! They are compared here, and checked by independent libraries in `tests/browser/vectors.test.mjs`.
//! With `TWIN_WRITE_VECTORS` set the files are written anew, to be looked at before they are committed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng as _;
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::Sha256;
use twin_identity::pseudonym::{Algorithm, PseudonymRoot, SiteKey};
use twin_login::http::HttpReply;
use twin_login::jwk::{Jwk, thumbprint};
use twin_login::origin::Origin;
use twin_login::site::{Attempt, Fetch, Progress, Site};
use twin_login::wallet::Invitation;

const ROOT: [u8; 32] = [0x42; 32];
const NOW: u64 = 1_795_000_000_000;

fn agrees(name: &str, vectors: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(name);
    if std::env::var_os("TWIN_WRITE_VECTORS").is_some() {
        let mut text = serde_json::to_string_pretty(vectors).unwrap();
        text.push('\n');
        std::fs::write(&path, text).unwrap();
    }
    let stored: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(&stored, vectors, "{name} says something else");
}

/// The derivation a second time, straight from the text of `twin_identity::pseudonym`.
fn info_and_okm(
    site: &str,
    generation: u32,
    counter: u32,
    algorithm: Algorithm,
) -> (Vec<u8>, Vec<u8>) {
    let mut info = Vec::new();
    for field in [
        b"digital-twin v1 pseudonym".as_slice(),
        &generation.to_be_bytes(),
        site.as_bytes(),
        &counter.to_be_bytes(),
        algorithm.curve().as_bytes(),
    ] {
        info.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
        info.extend(field);
    }
    let length = match algorithm {
        Algorithm::Ed25519 => 32,
        Algorithm::P256 => 48,
    };
    let mut okm = vec![0; length];
    Hkdf::<Sha256>::new(None, &ROOT)
        .expand(&info, &mut okm)
        .unwrap();
    (info, okm)
}

#[test]
fn pseudonyms() {
    let sites = [
        ("did:web:shop.example", 0, 0),
        ("did:web:shop.example", 1, 0),
        ("did:web:shop.example", 0, 1),
        ("did:web:localhost%3A8080", 0, 0),
        ("web:shop.example", 0, 0),
        ("web:shop.example:8443", 0, 0),
        ("url:https://shop.example", 0, 0),
        (
            "pin:3f0c1d5a7e9b2468ace013579bdf02468ace13579bdf02468ace13579bdf0246",
            0,
            0,
        ),
    ];
    let mut cases = Vec::new();
    for (site, generation, counter) in sites {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let root = PseudonymRoot::from_bytes(ROOT);
            let key = root.persona(&site.parse().unwrap(), generation, counter, algorithm);
            let (info, okm) = info_and_okm(site, generation, counter, algorithm);
            cases.push(json!({
                "site": site,
                "generation": generation,
                "counter": counter,
                "algorithm": algorithm.curve(),
                "info": HEXLOWER.encode(&info),
                "okm": HEXLOWER.encode(&okm),
                "jwk": Jwk::new(&key.public()),
                "thumbprint": thumbprint(&key.public()),
                "signature": HEXLOWER.encode(&key.sign(b"digital twin")),
            }));
        }
    }
    agrees(
        "pseudonym.json",
        &json!({
            "about": "okm = HKDF-SHA256(no salt, root, info), 32 bytes for Ed25519 (the seed), 48 for P-256 (d = okm mod (n - 1) + 1). info = u16 length and bytes of: label, generation (u32), site, counter (u32), algorithm. Numbers are big-endian, bytes in hexadecimal. signature is over the UTF-8 text message; for P-256 it is r || s with the nonce of RFC 6979.",
            "label": "digital-twin v1 pseudonym",
            "root": HEXLOWER.encode(&ROOT),
            "message": "digital twin",
            "cases": cases,
        }),
    );
}

/// One login for each kind of key: everything that crosses the wire.
#[test]
fn logins() {
    let mut logins = Vec::new();
    for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let origin = Origin::parse("https://shop.example").unwrap();
        let key = SiteKey::generate(&mut rng);
        let site = Site::new(&origin, "Example Shop", "To keep your basket", key).unwrap();
        let mut attempt = Attempt::start(NOW, &mut rng);
        let code = attempt.code(&site);

        let (_, document) = site.did_document();
        let ok = |body| HttpReply { status: 200, body };
        let (_, fetch) = Invitation::parse(&code).unwrap().ask_key();
        let (fetch_form, fetch) = fetch.received(&ok(document.as_bytes()), &mut rng).unwrap();
        let form = fetch_form.form().unwrap();
        let object = attempt
            .serve(&site, Fetch::Post(form.as_bytes()), NOW, &mut rng)
            .unwrap();
        let consent = fetch.received(&ok(object.as_bytes()), NOW).unwrap();
        let persona = PseudonymRoot::from_bytes(ROOT).persona(consent.site_id(), 0, 0, algorithm);
        let number = match attempt.progress(NOW) {
            Progress::Fetched(number) => number,
            _ => None,
        };
        let (answer, _) = consent.approve(&persona, number, NOW).unwrap();
        let answer = answer.form().unwrap();
        let subject = attempt.answer(&site, answer.as_bytes(), NOW).unwrap();
        logins.push(json!({
            "algorithm": algorithm.curve(),
            "code": code,
            "request_form": form,
            "request_object": object,
            "did_document": serde_json::from_str::<Value>(&document).unwrap(),
            "number": number.unwrap().to_string(),
            "answer_form": answer,
            "subject": subject.as_str(),
        }));
    }
    agrees(
        "login.json",
        &json!({
            "about": "Two logins as they cross the wire: the QR code, the form that fetches the request, the signed request object, the site's DID document, the number its page shows and the form with the answer. The persona is generation 0, counter 0 of the root of pseudonym.json.",
            "now_ms": NOW,
            "logins": logins,
        }),
    );
}
