//! `tests/vectors/{words,guardian,hash,aead,seal,identity}.json`, made anew and compared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/given.rs"]
mod given;
#[path = "../../../../tests/vectors/golden.rs"]
mod golden;
mod guardian;
#[path = "../common/hpke.rs"]
mod hpke;
mod identity;

use given::Given;
use golden::{Counter, all_refused, bytes, check, drawn, hex, unhex};
use serde_json::{Value, json};
use twin_identity::aead::DataKey;
use twin_identity::authority::AuthorityKey;
use twin_identity::context;
use twin_identity::entry::Genesis;
use twin_identity::seal::SealingKey;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;

fn derived(name: &str, fields: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(&format!("digital-twin v1 {name}"), &fields.concat())
}

#[test]
fn hash() {
    let cases: Vec<Value> = context::ALL
        .iter()
        .map(|context| {
            let name = context.name();
            let inputs = [vec![], (0..100).collect::<Vec<u8>>()];
            let outputs = inputs.map(|input| {
                let (one, rest) = input.split_at(input.len() / 3);
                let output = context.hash([one, rest]);
                assert_eq!(output, blake3::derive_key(name, &input));
                json!({ "input": hex(input), "output": hex(output) })
            });
            json!({ "context": name, "cases": outputs })
        })
        .collect();
    check(
        "hash",
        &json!({ "about": "BLAKE3 derive_key with every context", "contexts": cases }),
    );
}

fn authority(recovery: &RecoverySecret, entropy: &[u8; 32], index: u32) -> Value {
    let seed = |name| derived(name, &[entropy, &index.to_be_bytes()]);
    let (ed25519, ml_dsa) = (seed("authority ed25519"), seed("authority ml-dsa-65"));
    let key = recovery.authority(index);
    assert!(key == AuthorityKey::from_seeds(Secret::new(ed25519), Secret::new(ml_dsa)));
    let public = key.public();
    json!({
        "index": index,
        "ed25519_seed": hex(ed25519),
        "ml_dsa_seed": hex(ml_dsa),
        "ed25519": hex(public.ed25519),
        "ml_dsa": hex(public.ml_dsa),
        "hash": hex(public.hash()),
    })
}

#[test]
fn words() {
    let cases = [
        [0; 32],
        std::array::from_fn(|i| 7 * u8::try_from(i).unwrap()),
    ]
    .map(|entropy| {
        let recovery = RecoverySecret::from_bytes(entropy);
        let words = recovery.to_words();
        assert_eq!(RecoverySecret::from_words(&words).as_ref(), Ok(&recovery));
        let genesis = Genesis::new(recovery.authority(0).public().hash());
        let sealing = derived("recovery sealing", &[&entropy]);
        assert_eq!(recovery.sealing().seed().expose(), &sealing);
        let root = |generation: u32| {
            let root = derived("pseudonym root", &[&entropy, &generation.to_be_bytes()]);
            assert_eq!(recovery.pseudonym_root(generation).expose(), &root);
            hex(root)
        };
        json!({
            "entropy": hex(entropy),
            "words": *words,
            "authority": [authority(&recovery, &entropy, 0), authority(&recovery, &entropy, 1)],
            "recovery_sealing_seed": hex(sealing),
            "recovery_sealing": hex(recovery.sealing().public().unwrap().as_bytes()),
            "pseudonym_roots": [root(0), root(1)],
            "backup_root": hex(recovery.backup_root().expose()),
            "genesis": hex(genesis.to_bytes()),
            "twin_id": hex(genesis.twin_id().as_bytes()),
            "twin_id_text": genesis.twin_id().to_string(),
        })
    });
    let abandon = "abandon ".repeat(23);
    let refused = [
        (format!("{abandon}abandon"), "the checksum is wrong"),
        (format!("{abandon}arx"), "the last word is not in the list"),
        (abandon.clone(), "23 words"),
        (format!("{abandon}art art"), "25 words"),
        (
            "abandon ".repeat(11) + "about",
            "a valid set of 12 words: only 24 are used",
        ),
    ]
    .map(|(words, why)| json!({ "words": words, "why": why }));
    for case in &refused {
        assert!(RecoverySecret::from_words(case["words"].as_str().unwrap()).is_err());
    }
    check(
        "words",
        &json!({
            "about": "the 24 words, and everything that is made of them without randomness",
            "cases": cases,
            "refused": refused,
        }),
    );
}

#[test]
fn aead() {
    let key: [u8; 32] = std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
    let cases = [
        ("", ""),
        ("where", "what"),
        ("", "a message that is longer than one block of sixty-four bytes, which is where mistakes are"),
    ]
    .map(|(aad, plaintext)| {
        let (aad, plaintext) = (aad.as_bytes(), plaintext.as_bytes());
        let data_key = DataKey::new(Secret::new(key));
        let fresh: [u8; 32] = drawn(&mut Counter::default());
        let sealed = data_key.seal(aad, plaintext, &mut Counter::default()).unwrap();
        let synthetic = data_key.seal_synthetic(aad, plaintext).unwrap();
        for sealed in [&sealed, &synthetic] {
            assert_eq!(*data_key.open(aad, sealed).unwrap(), plaintext);
        }
        let nonce_key = derived("nonce", &[&key]);
        let nonce = |fresh: &[u8; 32]| {
            let len = |field: &[u8]| (field.len() as u64).to_be_bytes();
            let input = [fresh, len(aad).as_slice(), aad, &len(plaintext), plaintext].concat();
            let mut nonce = [0; 24];
            blake3::Hasher::new_keyed(&nonce_key)
                .update(&input)
                .finalize_xof()
                .fill(&mut nonce);
            nonce
        };
        assert_eq!(sealed[..24], nonce(&fresh));
        assert_eq!(synthetic[..24], nonce(&[0; 32]));
        let sub_key = chacha20::hchacha::<chacha20::R20>(
            &key.into(),
            &<[u8; 16]>::try_from(&sealed[..16]).unwrap().into(),
        );
        json!({
            "key": hex(key),
            "aad": hex(aad),
            "plaintext": hex(plaintext),
            "random": hex(fresh),
            "nonce_key": hex(nonce_key),
            "nonce": hex(nonce(&fresh)),
            "sub_key": hex(sub_key),
            "sealed": hex(&sealed),
            "synthetic_nonce": hex(nonce(&[0; 32])),
            "sealed_synthetic": hex(&synthetic),
        })
    });
    let good = unhex(cases[1]["sealed"].as_str().unwrap());
    let flip = |index: usize| {
        let mut bytes = good.clone();
        bytes[index] ^= 1;
        bytes
    };
    let refused = [
        (flip(0), "another salt"),
        (flip(23), "another index"),
        (flip(24), "altered ciphertext"),
        (flip(good.len() - 1), "altered tag"),
        (good[..good.len() - 1].to_vec(), "cut"),
        (good[..24].to_vec(), "no tag"),
        (vec![], "empty"),
    ]
    .map(|(bytes, why)| json!({ "aad": hex("where"), "bytes": hex(bytes), "why": why }));
    let made = json!({
        "about": "sealing of data: nonce (24) ‖ ciphertext ‖ tag (16)",
        "cases": cases,
        "refused": refused,
    });
    check("aead", &made);
    all_refused(&made["refused"], |bytes| {
        DataKey::new(Secret::new(key))
            .open(b"where", bytes)
            .map(drop)
    });
    let data_key = DataKey::new(Secret::new(key));
    assert!(data_key.open(b"elsewhere", &good).is_err());
}

#[test]
fn seal() {
    let xwing: Value = serde_json::from_str(include_str!("../published/xwing.json")).unwrap();
    let xwing = &xwing["cases"][0];
    let seed = Secret::from_slice(&bytes(&xwing["sk"])).unwrap();
    let key = SealingKey::from_seed(seed);
    let public = key.public().unwrap();
    let (info, aad, plaintext) = (b"digital-twin v1 grant", [7; 32], b"two keys, or one");
    let draw = bytes(&xwing["eseed"]);
    let sealed = public
        .seal(info, &aad, plaintext, &mut Given(draw.clone()))
        .unwrap();
    assert_eq!(*key.open(info, &aad, &sealed).unwrap(), plaintext);
    let (aead_key, nonce) = hpke::key_and_nonce(&bytes(&xwing["ss"]), info);
    let flip = |index: usize| {
        let mut bytes = sealed.clone();
        bytes[index] ^= 1;
        bytes
    };
    let refused = [
        (flip(0), "altered ML-KEM ciphertext"),
        (flip(1119), "altered X25519 ciphertext"),
        (flip(1120), "altered ciphertext"),
        (flip(sealed.len() - 1), "altered tag"),
        (sealed[..1119].to_vec(), "cut"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }));
    let made = json!({
        "about": "HPKE base mode, X-Wing, HKDF-SHA256, ChaCha20-Poly1305: encapsulated key (1120) ‖ ciphertext ‖ tag. \
            Seed, randomness and shared secret are those of the X-Wing draft's first vector",
        "seed": hex(key.seed().expose()),
        "public": hex(public.as_bytes()),
        "info": hex(info),
        "aad": hex(aad),
        "plaintext": hex(plaintext),
        "random": hex(draw),
        "shared_secret": xwing["ss"],
        "key": hex(aead_key),
        "base_nonce": hex(nonce),
        "sealed": hex(&sealed),
        "refused": refused,
    });
    check("seal", &made);
    all_refused(&made["refused"], |bytes| {
        key.open(info, &aad, bytes).map(drop)
    });
}
