//! What others have published, against the algorithms as they are used here. RFC 5869 (HKDF) is tested beside the
//! pseudonyms, which are all that uses it; project Wycheproof's vectors are in `wycheproof`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "common/given.rs"]
mod given;
#[path = "common/hpke.rs"]
mod hpke;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use given::Given;
use serde_json::Value;
use twin_identity::aead::DataKey;
use twin_identity::device::DeviceKeys;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::seal::SealingKey;
use twin_identity::secret::Secret;
use twin_identity::sign::{self, SignatureError, Use};
use twin_identity::words::RecoverySecret;

fn hex<const N: usize>(value: &Value) -> [u8; N] {
    vec(value).try_into().unwrap()
}

fn vec(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn ed25519_is_rfc_8032() {
    let published = read(include_str!("published/rfc8032.json"));
    for case in published["cases"].as_array().unwrap() {
        let secret: [u8; 32] = hex(&case["secret"]);
        let (message, signature) = (vec(&case["message"]), hex(&case["signature"]));
        let key = SigningKey::from_bytes(&secret);
        assert_eq!(key.sign(&message).to_bytes(), signature);
        let public = VerifyingKey::from_bytes(&hex(&case["public"])).unwrap();
        let strict = |message: &[u8], signature: [u8; 64]| {
            public.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature))
        };
        assert!(strict(&message, signature).is_ok());
        assert!(strict(&[&message, b"x".as_slice()].concat(), signature).is_err());
        for index in [0, 31, 32, 63] {
            let mut altered = signature;
            altered[index] ^= 1;
            assert!(strict(&message, altered).is_err());
        }
        // The first half of a device's secret is such a key.
        let mut device = [0; 64];
        device[..32].copy_from_slice(&secret);
        let device = DeviceKeys::from_secret(&Secret::new(device)).unwrap();
        assert_eq!(*device.id().as_bytes(), hex::<32>(&case["public"]));
    }
}

/// RFC 8032 lets a verifier accept these; a signature that fits every message must not.
#[test]
fn a_key_of_small_order_signs_nothing() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let key = VerifyingKey::from_bytes(&neutral).unwrap();
    let lenient = ed25519_dalek::Signature::from_bytes(&signature);
    assert!(ed25519_dalek::Verifier::verify(&key, b"anything", &lenient).is_ok());
    let twin = TwinId::from_bytes(&[1; 33]).unwrap();
    for what in [Use::Entry, Use::Device, Use::Op, Use::Grant, Use::Session] {
        assert_eq!(
            sign::verify(
                &DeviceId::from_bytes(neutral),
                what,
                &twin,
                &[2; 32],
                &signature
            ),
            Err(SignatureError)
        );
    }
}

#[test]
fn words_are_bip_39() {
    let published = read(include_str!("published/bip39.json"));
    for case in published["cases"].as_array().unwrap() {
        let words = case["words"].as_str().unwrap();
        let secret = RecoverySecret::from_bytes(hex(&case["entropy"]));
        assert_eq!(*secret.to_words(), words);
        assert_eq!(RecoverySecret::from_words(words), Ok(secret));
    }
}

#[test]
fn blake3_derives_keys_as_published() {
    let published = read(include_str!("published/blake3.json"));
    let context = published["context"].as_str().unwrap();
    for case in published["cases"].as_array().unwrap() {
        let len = case["input_len"].as_u64().unwrap();
        let input: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        assert_eq!(
            blake3::derive_key(context, &input),
            hex(&case["derive_key"])
        );
    }
}

#[test]
fn data_is_sealed_with_xchacha20_poly1305() {
    let published = read(include_str!("published/xchacha.json"));
    let key = DataKey::new(Secret::new(hex(&published["key"])));
    let (nonce, aad): ([u8; 24], _) = (hex(&published["nonce"]), vec(&published["aad"]));
    let (plaintext, tag) = (vec(&published["plaintext"]), vec(&published["tag"]));
    let sealed = [vec(&published["ciphertext"]), tag].concat();
    let message = [nonce.as_slice(), &sealed].concat();
    assert_eq!(*key.open(&aad, &message).unwrap(), plaintext);
    let (salt, index) = nonce.split_first_chunk::<16>().unwrap();
    let index = u64::from_be_bytes(index.try_into().unwrap());
    let ours = key.salted(salt).unwrap().seal(index, &aad, plaintext);
    assert_eq!(ours, Ok(sealed));
}

#[test]
fn sealing_is_x_wing_in_hpke() {
    let published = read(include_str!("published/xwing.json"));
    for case in published["cases"].as_array().unwrap() {
        let key = SealingKey::from_seed(Secret::new(hex(&case["sk"])));
        let public = key.public().unwrap();
        assert_eq!(public.as_bytes().to_vec(), vec(&case["pk"]));
        let rng = &mut Given(vec(&case["eseed"]));
        let sealed = public.seal(b"info", b"aad", b"plaintext", rng).unwrap();
        let (encapsulated, ciphertext) = sealed.split_at(1120);
        assert_eq!(encapsulated, vec(&case["ct"]));
        let (aead_key, nonce) = hpke::key_and_nonce(&vec(&case["ss"]), b"info");
        let payload = Payload {
            msg: b"plaintext",
            aad: b"aad",
        };
        let reference = ChaCha20Poly1305::new(&Key::from(aead_key)).encrypt(&nonce.into(), payload);
        assert_eq!(ciphertext, reference.unwrap());
        assert_eq!(*key.open(b"info", b"aad", &sealed).unwrap(), b"plaintext");
    }
}
