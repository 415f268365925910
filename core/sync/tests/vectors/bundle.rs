//! A bundle, read by hand with nothing but the formats page, and what no reader accepts.

use serde_json::{Value, json};
use twin_identity::aead::DataKey;
use twin_identity::secret::Secret;
use twin_identity::sign::{self, Use};
use twin_ops::store::OpStore;
use twin_sync::bundle::{self, Carried, Maker, Size};

use crate::derived;
use crate::golden::{Counter, all_refused, check, hex};
use crate::replica::Replica;
use crate::sync::replicas;

const MADE: u64 = 1_700_000_000_000;

fn made(phone: &Replica, laptop: &Replica) -> Vec<u8> {
    let (rng, to) = (&mut Counter::default(), [laptop.device()]);
    let mut maker = Maker::new(phone, MADE, &to, None, Size::Any, rng).unwrap();
    let mut bytes = maker.begin();
    while let Some(piece) = maker.next(phone, rng).unwrap() {
        bytes.extend(piece);
    }
    bytes.extend(maker.finish(false, phone, rng).unwrap());
    let carried = *maker.carried();
    let all = Carried {
        entries: 2,
        grants: 1,
        ops: 1,
        chunks: 0,
    };
    assert_eq!((carried, maker.has_more()), (all, false));
    bytes
}

fn open(key: [u8; 32], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    let key = DataKey::new(Secret::new(key));
    key.open(aad, sealed).unwrap().to_vec()
}

/// The one piece of a bundle, as the formats page says: its maker's signature and its content.
fn by_hand(bytes: &[u8], discovery: &[u8; 32]) -> (Value, Vec<u8>) {
    let len = u32::from_be_bytes(bytes[10..14].try_into().unwrap()) as usize;
    let (beginning, piece) = bytes.split_at(14 + len);
    let mut header = minicbor::Decoder::new(&beginning[14..]);
    assert_eq!(header.map().unwrap(), Some(6));
    for (key, value) in [(0, 1), (1, 1), (2, 1)] {
        assert_eq!((header.u8().unwrap(), header.u8().unwrap()), (key, value));
    }
    assert_eq!(header.u8().unwrap(), 3);
    let id: [u8; 32] = header.bytes().unwrap().try_into().unwrap();
    assert_eq!(header.u8().unwrap(), 4);
    let for_epoch = header.bytes().unwrap();
    let key = open(derived("bundle epoch", &[discovery]), &id, for_epoch);
    assert_eq!(derived("bundle", &[&key]), id);
    assert_eq!(header.u8().unwrap(), 5);
    assert_eq!(header.array().unwrap(), Some(1));
    assert_eq!(header.bytes().unwrap().len(), 1168);

    assert_eq!(piece[0], 1, "one piece, so it is the last");
    let sealed = &piece[5..];
    assert_eq!(
        piece[1..5],
        u32::try_from(sealed.len()).unwrap().to_be_bytes()
    );
    let check = derived("bundle header", &[beginning]);
    let place = [check.as_slice(), &[0; 8], &[1]].concat();
    let aad = derived("bundle aad", &[&place]);
    let mut plaintext = open(derived("bundle key", &[&key]), &aad, sealed);
    while plaintext.pop() == Some(0) {}
    let (signature, content) = plaintext.split_first_chunk::<64>().unwrap();
    let said = json!({
        "bundle_key": hex(&key),
        "check": hex(check),
        "signed": hex(derived("bundle piece", &[&place, content])),
        "signature": hex(signature),
        "content": hex(content),
    });
    (said, content.to_vec())
}

#[test]
fn bundle() {
    let (phone, mut laptop) = replicas();
    let bytes = made(&phone, &laptop);
    let discovery = derived("discovery", &[&[4; 32]]);
    let (piece, content) = by_hand(&bytes, &discovery);
    assert!(bundle::is_content(&content));
    let unhex = |field: &str| {
        let digits = piece[field].as_str().unwrap().as_bytes();
        data_encoding::HEXLOWER.decode(digits).unwrap()
    };
    let (signed, signature) = (unhex("signed"), unhex("signature"));
    let (signed, signature) = (signed.try_into().unwrap(), signature.try_into().unwrap());
    let twin = phone.log.twin();
    sign::verify(&phone.device(), Use::Bundle, twin, &signed, &signature).unwrap();

    let changed = |at: usize, to: u8, why: &str| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        json!({ "bytes": hex(bytes), "why": why })
    };
    let whole = bytes.len();
    let vectors = json!({
        "about": "the phone of sync.json makes a bundle for the laptop, of which it knows nothing; the laptop reads it by the \
            discovery key",
        "discovery_key": hex(discovery),
        "made": MADE,
        "bundle": hex(&bytes),
        "piece": piece,
        "refused": [
            changed(0, 0x88, "another kind of file"),
            changed(9, 2, "version 2"),
            changed(13, bytes[13] ^ 1, "another length of the header"),
            changed(40, bytes[40] ^ 1, "another id"),
            changed(whole - 100, bytes[whole - 100] ^ 1, "a piece that was changed"),
            { "bytes": hex(&bytes[..whole - 1]), "why": "cut" },
            { "bytes": hex([&bytes[..], &[0]].concat()), "why": "a byte after the end" },
        ],
    });
    check("bundle", &vectors);
    all_refused(&vectors["refused"], |bytes| bundle::check(&laptop, bytes));
    let received = bundle::take(&mut laptop, MADE, &bytes).unwrap();
    assert_eq!(
        (received.by, received.made, received.new),
        (phone.device(), MADE, 1)
    );
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
    assert_eq!(laptop.grants().unwrap(), phone.grants().unwrap());
}
