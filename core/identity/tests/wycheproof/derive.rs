//! HKDF-SHA256, of which pseudonyms are made.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::each;

#[test]
fn hkdf_sha256() {
    each("hkdf_sha256", |case| {
        let (ikm, salt, info) = (case.bytes("ikm"), case.bytes("salt"), case.bytes("info"));
        let size = usize::try_from(case.test["size"].as_u64().unwrap()).unwrap();
        let expand = |salt: Option<&[u8]>| {
            let mut okm = vec![0; size];
            let made = Hkdf::<Sha256>::new(salt, &ikm).expand(&info, &mut okm);
            made.ok().map(|()| okm)
        };
        let expected = case.is_valid().then(|| case.bytes("okm"));
        assert_eq!(expand(Some(&salt)), expected, "case {}", case.id());
        if salt.is_empty() {
            // As pseudonyms have it: no salt at all.
            assert_eq!(expand(None), expected, "case {}", case.id());
        }
    });
}
