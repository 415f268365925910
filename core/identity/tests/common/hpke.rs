//! The key schedule of HPKE (RFC 9180, section 5.1, mode base) written out, to hold the library to it.

use hkdf::Hkdf;
use sha2::Sha256;

/// `HPKE ‖ KEM X-Wing ‖ KDF HKDF-SHA256 ‖ AEAD ChaCha20-Poly1305`.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// Key and nonce of the first message under a shared secret.
pub fn key_and_nonce(shared_secret: &[u8], info: &[u8]) -> ([u8; 32], [u8; 12]) {
    let (psk_id_hash, _) = extract(&[], b"psk_id_hash", &[]);
    let (info_hash, _) = extract(&[], b"info_hash", info);
    let context = [&[0], psk_id_hash.as_slice(), &info_hash].concat();
    let (_, secret) = extract(shared_secret, b"secret", &[]);
    (
        expand(&secret, b"key", &context),
        expand(&secret, b"base_nonce", &context),
    )
}

fn extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> ([u8; 32], Hkdf<Sha256>) {
    let (prk, hkdf) = Hkdf::extract(Some(salt), &[b"HPKE-v1", SUITE, label, ikm].concat());
    (prk.into(), hkdf)
}

fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &[u8], context: &[u8]) -> [u8; N] {
    let len = u16::try_from(N).unwrap().to_be_bytes();
    let mut out = [0; N];
    secret
        .expand(
            &[&len, b"HPKE-v1".as_slice(), SUITE, label, context].concat(),
            &mut out,
        )
        .unwrap();
    out
}
