//! Sealing of data.

use twin_identity::aead::DataKey;
use twin_identity::secret::Secret;

use crate::each;

#[test]
fn xchacha20_poly1305() {
    each("xchacha20_poly1305", |case| {
        let key = DataKey::new(Secret::from_slice(&case.bytes("key")).unwrap());
        let (nonce, aad, message) = (case.bytes("iv"), case.bytes("aad"), case.bytes("msg"));
        let ciphertext = [case.bytes("ct"), case.bytes("tag")].concat();
        let opened = key.open(&aad, &[nonce.as_slice(), &ciphertext].concat());
        let expected = case.is_valid().then_some(&message);
        assert_eq!(opened.as_deref().ok(), expected, "case {}", case.id());
        if case.is_valid() {
            let (salt, index) = nonce.split_first_chunk().unwrap();
            let index = u64::from_be_bytes(index.try_into().unwrap());
            let sealed = key.salted(salt).unwrap().seal(index, &aad, message);
            assert_eq!(sealed, Ok(ciphertext), "case {}", case.id());
        }
    });
}
