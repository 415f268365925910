//! The two halves of X-Wing, as the crate `x-wing` calls them: X25519 and ML-KEM-768.

use ml_kem::kem::{Decapsulate, KeyExport, TryKeyInit};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use twin_identity::seal::SealingPublic;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::each;

/// X-Wing takes any X25519 result, zero too: ML-KEM and the hash over both keys stand beside it. So what is
/// "acceptable" has to come out as the vectors have it.
#[test]
fn x25519() {
    each("x25519", |case| {
        let array = |field| <[u8; 32]>::try_from(case.bytes(field)).unwrap();
        let secret = StaticSecret::from(array("private"));
        let shared = secret.diffie_hellman(&PublicKey::from(array("public")));
        assert_eq!(*shared.as_bytes(), array("shared"), "case {}", case.id());
    });
}

fn key(seed: &[u8]) -> Option<DecapsulationKey> {
    seed.try_into().ok().map(DecapsulationKey::from_seed)
}

#[test]
fn ml_kem_768_makes_keys() {
    each("mlkem_768_keygen_seed", |case| {
        let key = key(&case.bytes("seed")).unwrap();
        let public = key.encapsulation_key().to_bytes().to_vec();
        assert_eq!(public, case.bytes("ek"), "case {}", case.id());
    });
}

#[test]
fn ml_kem_768_decapsulates() {
    each("mlkem_768", |case| {
        let shared = key(&case.bytes("seed")).and_then(|key| {
            let public = key.encapsulation_key().to_bytes().to_vec();
            assert_eq!(public, case.bytes("ek"), "case {}", case.id());
            let ciphertext = Ciphertext::try_from(case.bytes("c").as_slice()).ok()?;
            Some(key.decapsulate(&ciphertext).to_vec())
        });
        let expected = case.is_valid().then(|| case.bytes("K"));
        assert_eq!(shared, expected, "case {}", case.id());
    });
}

#[test]
fn ml_kem_768_encapsulates() {
    each("mlkem_768_encaps", |case| {
        let public = case.bytes("ek");
        let m: [u8; 32] = case.bytes("m").try_into().unwrap();
        let made = EncapsulationKey::new_from_slice(&public)
            .ok()
            .map(|key| key.encapsulate_deterministic(&m.into()))
            .map(|(ciphertext, shared)| (ciphertext.to_vec(), shared.to_vec()));
        let expected = case.is_valid().then(|| (case.bytes("c"), case.bytes("K")));
        assert_eq!(made, expected, "case {}", case.id());
        // A sealing key begins with such a key, and is refused if that is none.
        let sealing = [public, vec![9; 32]].concat();
        let taken = SealingPublic::from_bytes(&sealing).is_ok();
        assert_eq!(taken, case.is_valid(), "case {}", case.id());
    });
}
