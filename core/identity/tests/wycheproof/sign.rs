//! Signatures: Ed25519 as `sign::verify` and the authority key check it, ML-DSA-65 as the authority key uses it.

use ed25519_dalek::VerifyingKey;
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa65};

use twin_identity::id::DeviceId;
use twin_identity::sign::Verifier;

use crate::{Case, each};

/// Strict verification refuses more than RFC 8032 asks for; of these vectors nothing that is valid.
#[test]
fn ed25519() {
    let (mut accepted, mut refused) = (0, 0);
    each("ed25519", |case| {
        let key: [u8; 32] = case.of_group("publicKey").try_into().unwrap();
        let dalek = VerifyingKey::from_bytes(&key).unwrap();
        let ours = Verifier::new(&DeviceId::from_bytes(key)).unwrap();
        // Ours takes 64 bytes only: other lengths cannot be expressed.
        let verified = <[u8; 64]>::try_from(case.bytes("sig")).is_ok_and(|signature| {
            let message = case.bytes("msg");
            let verified = ours.verify_message(&message, &signature).is_ok();
            let signature = ed25519_dalek::Signature::from_bytes(&signature);
            assert_eq!(verified, dalek.verify_strict(&message, &signature).is_ok());
            verified
        });
        assert_eq!(verified, case.is_valid(), "case {}", case.id());
        *if verified {
            &mut accepted
        } else {
            &mut refused
        } += 1;
    });
    assert_eq!((accepted, refused), (88, 63));
}

/// As `AuthorityPublic::verify_entry` does it, but with any context string.
fn verifies(key: &[u8], message: &[u8], context: &[u8], signature: &[u8]) -> bool {
    let key = EncodedVerifyingKey::<MlDsa65>::try_from(key)
        .map(|key| ml_dsa::VerifyingKey::<MlDsa65>::decode(&key));
    let signature = EncodedSignature::<MlDsa65>::try_from(signature)
        .ok()
        .and_then(|signature| ml_dsa::Signature::decode(&signature));
    match (key, signature) {
        (Ok(key), Some(signature)) => key.verify_with_context(message, context, &signature),
        _ => false,
    }
}

#[test]
fn ml_dsa_65_verifies() {
    each("mldsa_65_verify", |case| {
        let (key, message) = (case.of_group("publicKey"), case.bytes("msg"));
        let verified = verifies(&key, &message, &case.bytes("ctx"), &case.bytes("sig"));
        assert_eq!(verified, case.is_valid(), "case {}", case.id());
    });
}

#[test]
fn ml_dsa_65_signs() {
    each("mldsa_65_sign_seed", |case| {
        let signature = sign(case).map(|signature| signature.encode().to_vec());
        let expected = case.is_valid().then(|| case.bytes("sig"));
        assert_eq!(signature, expected, "case {}", case.id());
        if let (Some(signature), false) = (signature, case.has_flag("Internal")) {
            let (key, message) = (case.of_group("publicKey"), case.bytes("msg"));
            let verified = verifies(&key, &message, &case.bytes("ctx"), &signature);
            assert!(verified, "case {}", case.id());
        }
    });
}

fn sign(case: &Case<'_>) -> Option<ml_dsa::Signature<MlDsa65>> {
    let seed: [u8; 32] = case.of_group("privateSeed").try_into().ok()?;
    let key = ml_dsa::SigningKey::<MlDsa65>::from_seed(&seed.into());
    let key = key.expanded_key();
    assert_eq!(
        key.verifying_key().encode().to_vec(),
        case.of_group("publicKey")
    );
    let (message, context) = (case.bytes("msg"), case.bytes("ctx"));
    if case.has("rnd") {
        // FIPS 204, algorithm 2: 0, the length of the context, the context, the message.
        let rnd: [u8; 32] = case.bytes("rnd").try_into().unwrap();
        let head = [0, u8::try_from(context.len()).unwrap()];
        return Some(key.sign_internal(&[&head, &context, &message], &rnd.into()));
    }
    if case.has_flag("Internal") {
        let mu: [u8; 64] = case.bytes("mu").try_into().unwrap();
        return Some(key.sign_mu_deterministic(&mu.into()));
    }
    key.sign_deterministic(&message, &context).ok()
}
