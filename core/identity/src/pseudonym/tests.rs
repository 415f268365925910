#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;

fn root(byte: u8) -> PseudonymRoot {
    PseudonymRoot::from_bytes([byte; 32])
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

/// RFC 5869 A.1 to A.3: the SHA-256 cases (basic, long, and zero-length salt and info).
#[test]
fn hkdf_agrees_with_rfc_5869() {
    let run = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let cases = [
        (
            vec![0x0b; 22],
            run(0x00, 0x0c),
            run(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            run(0x00, 0x4f),
            run(0x60, 0xaf),
            run(0xb0, 0xff),
            concat!(
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71",
                "cc30c58179ec3e87c14c01d5c1f3434f1d87"
            ),
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (ikm, salt, info, okm) in cases {
        let mut out = vec![0; okm.len() / 2];
        Hkdf::<Sha256>::new(Some(&salt), &ikm)
            .expand(&info, &mut out)
            .unwrap();
        assert_eq!(out, bytes(okm));
    }
}

#[test]
fn every_input_changes_the_key() {
    let shop = SiteId::did("did:web:shop.example").unwrap();
    let base = root(1).persona(&shop, 0, 0, Algorithm::Ed25519).public();
    let others = [
        root(2).persona(&shop, 0, 0, Algorithm::Ed25519).public(),
        root(1).persona(&shop, 1, 0, Algorithm::Ed25519).public(),
        root(1).persona(&shop, 0, 1, Algorithm::Ed25519).public(),
        root(1).persona(&shop, 0, 0, Algorithm::P256).public(),
        root(1)
            .persona(
                &SiteId::did("did:web:shop.example2").unwrap(),
                0,
                0,
                Algorithm::Ed25519,
            )
            .public(),
    ];
    for (i, other) in others.iter().enumerate() {
        assert_ne!(*other, base, "input {i} does not matter");
    }
    assert_eq!(
        root(1).persona(&shop, 0, 0, Algorithm::Ed25519).public(),
        base
    );
}

#[test]
fn the_same_name_in_another_class_is_another_site() {
    let ids = [
        SiteId::web("bank.example", 443).unwrap(),
        SiteId::did("did:web:bank.example").unwrap(),
        SiteId::url("https://bank.example").unwrap(),
        SiteId::pin(&[0xab; 32]),
    ];
    let keys: std::collections::HashSet<_> = ids
        .iter()
        .map(|id| root(7).persona(id, 0, 0, Algorithm::P256).public())
        .collect();
    assert_eq!(keys.len(), ids.len());
    assert_eq!(
        ids.map(|id| id.class()),
        [
            SiteClass::Web,
            SiteClass::Did,
            SiteClass::Url,
            SiteClass::Pin
        ]
    );
}

#[test]
fn signatures_verify_and_nothing_else_does() {
    let shop = SiteId::web("shop.example", 8443).unwrap();
    for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
        let key = root(3).persona(&shop, 0, 0, algorithm);
        let signature = key.sign(b"hello");
        assert_eq!(key.public().verify(b"hello", &signature), Ok(()));
        assert_eq!(
            key.public().verify(b"hallo", &signature),
            Err(KeyError::BadSignature)
        );
        assert_eq!(
            key.public().verify(b"hello", &signature[..63]),
            Err(KeyError::BadSignature)
        );
        let stranger = root(4).persona(&shop, 0, 0, algorithm).public();
        assert_eq!(
            stranger.verify(b"hello", &signature),
            Err(KeyError::BadSignature)
        );
    }
    let nowhere = PublicKey::P256 {
        x: [1; 32],
        y: [1; 32],
    };
    assert_eq!(nowhere.verify(b"", &[1; 64]), Err(KeyError::NotAKey));
}

/// The extremes of the reduction: 0 gives 1, n - 2 gives n - 1, n - 1 wraps to 1.
#[test]
fn the_p256_scalar_is_always_valid() {
    let scalar = |hex: &str| {
        let mut okm = Zeroizing::new([0; 48]);
        let tail = bytes(hex);
        okm[48 - tail.len()..].copy_from_slice(&tail);
        PersonaKey::p256(&okm).public()
    };
    let one = scalar("00");
    assert_eq!(
        one,
        scalar("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550")
    );
    let (PublicKey::P256 { x, y }, PublicKey::P256 { x: same, y: minus }) = (
        one,
        scalar("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f"),
    ) else {
        panic!("P-256 keys")
    };
    assert_eq!(
        x.to_vec(),
        bytes("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    );
    // n - 1 is minus one: the same x, the other y.
    assert_eq!(x, same);
    assert_ne!(y, minus);
}

#[test]
fn site_ids_have_one_spelling() {
    for good in [
        "web:shop.example",
        "web:shop.example:8443",
        "web:1-a_b.example",
        "did:web:localhost%3A8080",
        "did:web:shop.example:user:ada",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "url:https://shop.example:444",
    ] {
        let site: SiteId = good.parse().unwrap();
        assert_eq!((site.as_str(), site.to_string().as_str()), (good, good));
    }
    for bad in [
        "",
        "shop.example",
        "ftp:shop.example",
        "web:",
        "web:Shop.example",
        "web:shop.example:443",
        "web:shop.example:0443",
        "web:shop.example:99999",
        "web:shop..example",
        "web:shop.example/",
        "did:",
        "did:web",
        "did:web:",
        "did:web:a%3a1",
        "did:web:a%3",
        "did:web:a b",
        "did:Web:a",
        "url:http://shop.example",
        "url:shop.example",
        "pin:AB",
    ] {
        assert!(bad.parse::<SiteId>().is_err(), "{bad:?} was accepted");
    }
    for digits in ["g", "A", "é"] {
        let pin = format!("pin:{}", digits.repeat(64 / digits.len()));
        assert!(pin.parse::<SiteId>().is_err(), "{pin} was accepted");
    }
    let longest = format!("did:key:{}", "z".repeat(SiteId::MAX_BYTES - 8));
    assert!(longest.parse::<SiteId>().is_ok());
    let long = format!("{longest}z");
    assert_eq!(long.parse::<SiteId>(), Err(SiteIdError::TooLong));
    assert_eq!(
        SiteId::pin(&[0; 32])
            .as_str()
            .parse::<SiteId>()
            .unwrap()
            .class(),
        SiteClass::Pin
    );
}

#[test]
fn secrets_are_not_printed() {
    let shop = SiteId::web("shop.example", 443).unwrap();
    let key = root(9).persona(&shop, 0, 0, Algorithm::Ed25519);
    assert_eq!(
        format!("{:?} {key:?}", root(9)),
        "PseudonymRoot(..) PersonaKey(..)"
    );
}

#[test]
fn roots_are_equal_by_their_bytes() {
    let root = |byte| PseudonymRoot::from_bytes([byte; 32]);
    assert_eq!(root(1), root(1));
    assert_ne!(root(1), root(2));
}

#[test]
fn a_site_signs_with_its_own_key() {
    let key = SiteKey::from_seed(&Zeroizing::new([3; 32]));
    let signature = key.sign(b"hello");
    assert_eq!(key.public().verify(b"hello", &signature), Ok(()));
    assert!(key.public().verify(b"hallo", &signature).is_err());
    let curves = [Algorithm::Ed25519, Algorithm::P256].map(Algorithm::curve);
    assert_eq!(curves, ["Ed25519", "P-256"], "RFC 8037 and RFC 7518");
}
