//! `guardian.json`: a guardian secret, its keys and its shares.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};
use twin_identity::authority::AuthorityKey;
use twin_identity::guardian::{GuardianSecret, Share, ShareError, combine};
use twin_identity::secret::Secret;

use crate::derived;
use crate::golden::{Counter, all_refused, check, hex};

const NAME: &str = "Family";
const NEEDED: u8 = 2;
const GUARDIANS: u8 = 3;

/// A share's CBOR written by hand.
fn encoded(
    kind: u8,
    name: &str,
    index: u8,
    needed: u8,
    value: &[u8],
    commitments: &[&[u8]],
) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(8)
        .unwrap()
        .u8(0)
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(1)
        .unwrap();
    e.u8(2)
        .unwrap()
        .u8(kind)
        .unwrap()
        .u8(3)
        .unwrap()
        .str(name)
        .unwrap();
    e.u8(4)
        .unwrap()
        .u8(index)
        .unwrap()
        .u8(5)
        .unwrap()
        .u8(needed)
        .unwrap();
    e.u8(6).unwrap().bytes(value).unwrap();
    e.u8(7).unwrap().array(commitments.len() as u64).unwrap();
    for commitment in commitments {
        e.bytes(commitment).unwrap();
    }
    e.into_writer()
}

fn text(bytes: &[u8]) -> String {
    let sum = derived("guardian share checksum", &[bytes]);
    let payload = [bytes, &sum[..4]].concat();
    format!("TWIN:SHARE:{}", BASE32_NOPAD.encode(&payload))
}

/// Multiplication in GF(256) modulo x^8 + x^4 + x^3 + x + 1, the field of AES.
fn times(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |product, bit| {
        let doubled = (product << 1) ^ if product & 0x80 == 0 { 0 } else { 0x1b };
        doubled ^ if b >> bit & 1 == 1 { a } else { 0 }
    })
}

/// The line through two points, at 0: ya xb / (xa + xb) + yb xa / (xa + xb).
fn at_zero(a: (u8, &[u8]), b: (u8, &[u8])) -> Vec<u8> {
    let inverse = (1..=255).find(|i| times(*i, a.0 ^ b.0) == 1).unwrap();
    let weigh = |y: u8, x: u8| times(y, times(x, inverse));
    a.1.iter()
        .zip(b.1)
        .map(|(ya, yb)| weigh(*ya, b.0) ^ weigh(*yb, a.0))
        .collect()
}

#[test]
fn guardian() {
    let bytes: [u8; 32] = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
    let secret = GuardianSecret::from_bytes(bytes);
    let seed = |name| derived(name, &[&bytes]);
    let seeds = [
        "guardian authority ed25519",
        "guardian authority ml-dsa-65",
        "guardian sealing",
    ]
    .map(seed);
    let authority = AuthorityKey::from_seeds(Secret::new(seeds[0]), Secret::new(seeds[1]));
    assert!(secret.authority() == authority);
    assert_eq!(secret.sealing().seed().expose(), &seeds[2]);

    let shares = secret
        .split(NAME, NEEDED, GUARDIANS, &mut Counter::default())
        .unwrap();
    // Where the value is: before the key of the commitments, their head and 17 bytes each.
    let values: Vec<Vec<u8>> = shares
        .iter()
        .map(|share| {
            let bytes = share.to_bytes();
            let end = bytes.len() - 2 - 17 * shares.len();
            bytes[end - 32..end].to_vec()
        })
        .collect();
    let commitments: Vec<[u8; 32]> = (1..)
        .zip(&values)
        .map(|(index, value)| derived("guardian share", &[&[index], value]))
        .collect();
    let commitments: Vec<&[u8]> = commitments.iter().map(|hash| &hash[..16]).collect();
    let set = derived(
        "guardian set",
        &[
            &[NEEDED],
            &[GUARDIANS],
            &commitments.concat(),
            NAME.as_bytes(),
        ],
    );
    for (share, (index, value)) in shares.iter().zip((1..).zip(&values)) {
        let by_hand = encoded(1, NAME, index, NEEDED, value, &commitments);
        assert_eq!(*share.to_bytes(), by_hand);
        assert_eq!(*share.to_text(), text(&by_hand));
        assert_eq!(share.set_id().as_bytes(), &set);
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let point = |at: usize| (shares[at].index(), values[at].as_slice());
        assert_eq!(at_zero(point(a), point(b)), bytes);
        let pair = [a, b].map(|at: usize| Share::parse(&shares[at].to_text()).unwrap());
        assert_eq!(combine(&pair).as_ref(), Ok(&secret));
    }

    let (good, value) = (shares[0].to_bytes().to_vec(), &values[0]);
    let many = [commitments[0]; 17];
    let long = "n".repeat(65);
    let refused = [
        (encoded(1, "", 1, 2, value, &commitments), "no name"),
        (
            encoded(1, &long, 1, 2, value, &commitments),
            "a name of 65 bytes",
        ),
        (
            encoded(1, "a\nb", 1, 2, value, &commitments),
            "a control character in the name",
        ),
        (encoded(1, NAME, 0, 2, value, &commitments), "number 0"),
        (encoded(1, NAME, 4, 2, value, &commitments), "number 4 of 3"),
        (encoded(1, NAME, 1, 1, value, &commitments), "1 needed"),
        (encoded(1, NAME, 1, 4, value, &commitments), "4 of 3 needed"),
        (encoded(1, NAME, 1, 2, value, &many), "17 guardians"),
        (
            encoded(1, NAME, 1, 2, &value[1..], &commitments),
            "a value of 31 bytes",
        ),
        (
            encoded(
                1,
                NAME,
                1,
                2,
                value,
                &[&commitments[0][1..], commitments[1]],
            ),
            "a commitment of 15 bytes",
        ),
        (encoded(2, NAME, 1, 2, value, &commitments), "type 2"),
        (
            [&good[..1], &[0x18], &good[1..]].concat(),
            "an integer not in its shortest form",
        ),
        ([&good, &[0][..]].concat(), "a byte after the end"),
        (good[..good.len() - 1].to_vec(), "cut"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }));
    let good_text = text(&good);
    let other = if &good_text[40..41] == "A" { "B" } else { "A" };
    let refused_texts = [
        (good_text.replacen("SHARE", "LINK", 1), "another prefix"),
        (good_text[..good_text.len() - 1].to_owned(), "cut"),
        (format!("{good_text}A"), "a character after the end"),
        (
            format!("{}{other}{}", &good_text[..40], &good_text[41..]),
            "the checksum is wrong",
        ),
    ]
    .map(|(text, why)| {
        assert!(Share::parse(&text).is_err(), "{why}");
        json!({ "text": text, "why": why })
    });
    let forged = encoded(1, NAME, 1, NEEDED, &values[1], &commitments);
    assert!(!Share::from_bytes(&forged).unwrap().is_as_handed_out());

    let shares: Vec<Value> = shares
        .iter()
        .zip(&values)
        .map(|(share, value)| {
            json!({
                "number": share.index(),
                "value": hex(value),
                "commitment": hex(commitments[usize::from(share.index()) - 1]),
                "bytes": hex(&*share.to_bytes()),
                "text": *share.to_text(),
            })
        })
        .collect();
    let public = authority.public();
    let made = json!({
        "about": "guardians: the keys of their secret, and its shares, any two of which give it back",
        "secret": hex(bytes),
        "ed25519_seed": hex(seeds[0]),
        "ml_dsa_seed": hex(seeds[1]),
        "authority_hash": hex(public.hash()),
        "sealing_seed": hex(seeds[2]),
        "set": { "name": NAME, "needed": NEEDED, "guardians": GUARDIANS, "id": hex(set) },
        "shares": shares,
        "forged": { "bytes": hex(forged), "why": "readable, but its value is not what is committed to" },
        "refused": refused,
        "refused_texts": refused_texts,
    });
    check("guardian", &made);
    all_refused(&made["refused"], |bytes| Share::from_bytes(bytes).map(drop));
    let newer = encoded(2, NAME, 1, 2, value, &commitments);
    assert_eq!(Share::from_bytes(&newer).unwrap_err(), ShareError::Newer);
}
