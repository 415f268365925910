//! A link from the QR code to its end.

use minicbor::Encoder;
use serde_json::{Value, json};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::TwinId;
use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_ops::grant::{Grant, GrantedKey, Recipients};
use twin_ops::space::SpaceName;
use twin_sync::link::new_device::{Progress, Waiting};
use twin_sync::link::offer::Offer;
use twin_sync::link::phone::{self, Inviter};
use twin_sync::link::{Abort, abort};

use crate::golden::{Counter, bytes, check, drawn, hex};
use crate::{LAPTOP, PHONE, add_laptop, derived, laptop, twin};

pub const NAME: &str = "Ada";
pub const NOW: u64 = 1_790_000_000_000;

pub fn len(field: &[u8]) -> [u8; 8] {
    (field.len() as u64).to_be_bytes()
}

/// The QR code's bytes, encoded by hand.
fn offer_bytes(secret: &[u8; 32], addresses: &[Vec<u8>]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.map(5).unwrap();
    e.u8(0).unwrap().u8(1).unwrap();
    let transport = derived("transport key", &[LAPTOP.as_bytes()]);
    e.u8(3).unwrap().bytes(&transport).unwrap();
    e.u8(4).unwrap().bytes(secret).unwrap();
    e.u8(5).unwrap().array(addresses.len() as u64).unwrap();
    for address in addresses {
        e.bytes(address).unwrap();
    }
    e.u8(6).unwrap().u64((NOW + 120_000) / 1000).unwrap();
    e.into_writer()
}

fn text(bytes: &[u8]) -> String {
    let sum = derived("link checksum", &[bytes]);
    let payload = [bytes, &sum[..4]].concat();
    format!("TWIN:LINK:{}", data_encoding::BASE32_NOPAD.encode(&payload))
}

/// What both proofs cover besides the offer.
pub fn context(twin: &TwinId, phone: &DeviceKeys) -> Vec<u8> {
    [
        PHONE.as_bytes().as_slice(),
        LAPTOP.as_bytes(),
        twin.as_bytes(),
        phone.id().as_bytes(),
        NAME.as_bytes(),
    ]
    .concat()
}

pub fn proof(secret: &[u8; 32], side: u8, fields: &[&[u8]]) -> [u8; 32] {
    let mut message = vec![side];
    for field in fields {
        message.extend(len(field));
        message.extend_from_slice(field);
    }
    *blake3::keyed_hash(&derived("link mac", &[secret]), &message).as_bytes()
}

pub fn hello_frame(
    version: u8,
    twin: &TwinId,
    name: &str,
    phone: &DeviceKeys,
    proof: &[u8; 32],
) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(2)
        .unwrap()
        .u8(0)
        .unwrap()
        .array(1)
        .unwrap()
        .map(5)
        .unwrap();
    e.u8(0).unwrap().u8(version).unwrap();
    e.u8(3).unwrap().bytes(twin.as_bytes()).unwrap();
    e.u8(4).unwrap().str(name).unwrap();
    e.u8(5).unwrap().bytes(phone.id().as_bytes()).unwrap();
    e.u8(6).unwrap().bytes(proof).unwrap();
    e.into_writer()
}

fn code(frames: &[&[u8]]) -> ([u8; 32], String) {
    let transcript: Vec<u8> = frames
        .iter()
        .flat_map(|frame| [len(frame).as_slice(), frame].concat())
        .collect();
    let hash = derived("link transcript", &[&transcript]);
    let number = u64::from_be_bytes(hash[..8].try_into().unwrap()) % 1_000_000;
    (hash, format!("{:03} {:03}", number / 1000, number % 1000))
}

fn refused_offers(good: &[u8], text_of_good: &str) -> Vec<Value> {
    let mut version = good.to_vec();
    version[2] = 2;
    let secret: [u8; 32] = drawn(&mut Counter::default());
    let cases = [
        ("https://example.com".to_owned(), "something else"),
        (text_of_good[..text_of_good.len() - 3].to_owned(), "cut"),
        (
            text_of_good.replacen("TWIN:LINK:U", "TWIN:LINK:V", 1),
            "misread",
        ),
        (text(&version), "version 2"),
        (
            text(&offer_bytes(&secret, &vec![vec![1; 6]; 9])),
            "nine addresses",
        ),
        (
            text(&offer_bytes(&secret, &[vec![1; 25]])),
            "an address of 25 bytes",
        ),
        (text(&[good, &[0]].concat()), "a byte after the offer"),
    ];
    cases
        .into_iter()
        .map(|(text, why)| {
            assert!(Offer::parse(&text).is_err(), "{why}");
            json!({ "text": text, "why": why })
        })
        .collect()
}

#[test]
fn link() {
    let (mut log, phone_keys) = twin();
    let twin = *log.twin();
    let rng = &mut Counter::default();
    let secret: [u8; 32] = drawn(&mut Counter::default());
    let addresses = [
        vec![192, 168, 1, 2, 0x1f, 0x90],
        (0..18).collect::<Vec<u8>>(),
    ];
    let offer = Offer::new(&LAPTOP, addresses.clone(), NOW, rng);
    let offer_bytes = offer_bytes(&secret, &addresses);
    let offer_text = offer.to_text();
    assert_eq!(offer_text, text(&offer_bytes));

    let context = context(&twin, &phone_keys);
    let phone_proof = proof(&secret, 0, &[&offer_bytes, &context]);
    let inviter = Inviter {
        twin,
        name: NAME.to_owned(),
        device: phone_keys.id(),
    };
    let seen = Offer::parse(&offer_text).unwrap();
    let (hello, greeted) = phone::invite(seen, &PHONE, &LAPTOP, inviter).unwrap();
    assert_eq!(
        hello,
        hello_frame(1, &twin, NAME, &phone_keys, &phone_proof)
    );

    let refused: Vec<Value> = [
        (
            hello_frame(2, &twin, NAME, &phone_keys, &phone_proof),
            "version 2",
        ),
        (
            hello_frame(1, &twin, "Eve", &phone_keys, &phone_proof),
            "another name than proven",
        ),
        (
            hello_frame(1, &twin, NAME, &laptop(), &phone_proof),
            "another device than proven",
        ),
        (
            hello_frame(1, &twin, NAME, &phone_keys, &[0; 32]),
            "a wrong proof",
        ),
        ([&hello[..], &[0]].concat(), "a byte after the message"),
        (vec![0x82, 0x07, 0x80], "another message"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec();
    let mut waiting = Waiting::new(offer, laptop(), LAPTOP);
    for case in &refused {
        let result = waiting.receive_hello(NOW, &PHONE, &bytes(&case["bytes"]), rng);
        waiting = result.err().unwrap().waiting;
    }
    let (keys, committed) = waiting
        .receive_hello(NOW, &PHONE, &hello, rng)
        .ok()
        .unwrap();
    let nonce: [u8; 32] = std::array::from_fn(|i| 0x20 + u8::try_from(i).unwrap());
    let commitment = derived("link commitment", &[&nonce]);
    let keys_context = [
        laptop().id().as_bytes().as_slice(),
        laptop().public().sealing.as_bytes(),
        &commitment,
    ]
    .concat();
    let new_proof = proof(&secret, 1, &[&offer_bytes, &context, &keys_context]);
    assert!(keys.ends_with(&new_proof));

    let (phone_nonce, phone) = greeted.receive_keys(&keys, rng).unwrap();
    let (new_nonce, mut joining) = committed.receive_nonce(&phone_nonce).unwrap();
    let unconfirmed = phone.receive_nonce(&new_nonce).unwrap();
    let (hash, code) = code(&[&context, &hello, &keys, &phone_nonce, &new_nonce]);
    assert_eq!(joining.code().to_string(), code);
    let confirmed = unconfirmed.confirm(&code).ok().unwrap();
    assert_eq!(
        confirmed.statement(Role::Member, None),
        laptop().statement(&twin, Role::Member)
    );
    add_laptop(&mut log, &phone_keys);
    let granted = [GrantedKey {
        space: SpaceName::members(),
        key: EpochKey::new(Secret::new([4; 32])),
        predecessor: None,
        base: log.base(),
        heads: log.heads(),
    }];
    let to = Recipients::One(&laptop().id());
    let grant = Grant::new(&log, NOW, &granted, &to, &phone_keys, rng).unwrap();
    let frames = confirmed.admit(&log, &[grant.to_bytes().to_vec()]);
    for (index, frame) in frames.iter().enumerate() {
        match joining.receive(frame).unwrap() {
            Progress::More(next) => joining = *next,
            Progress::Admitted(admitted) => {
                assert_eq!(index, frames.len() - 1);
                assert_eq!(admitted.log.digest(), log.digest());
                confirmed.receive_done(&admitted.done()).unwrap();
                break;
            }
            Progress::Material(_) => panic!("the laptop was admitted"),
        }
    }
    let made = json!({
        "about": "the phone of identity.json links the laptop; the secret is 00 … 1f, the laptop's nonce 20 … 3f, \
            the phone's 40 … 5f",
        "now": NOW,
        "phone_transport_key": hex(PHONE.as_bytes()),
        "laptop_transport_key": hex(LAPTOP.as_bytes()),
        "secret": hex(secret),
        "addresses": addresses.map(hex),
        "offer": hex(&offer_bytes),
        "checksum": hex(&derived("link checksum", &[&offer_bytes])[..4]),
        "text": offer_text,
        "mac_key": hex(derived("link mac", &[&secret])),
        "context": hex(&context),
        "phone_proof": hex(phone_proof),
        "hello": hex(&hello),
        "laptop_nonce": hex(nonce),
        "commitment": hex(commitment),
        "keys_context": hex(keys_context),
        "laptop_proof": hex(new_proof),
        "keys": hex(&keys),
        "phone_nonce": hex(phone_nonce),
        "new_nonce": hex(new_nonce),
        "transcript_hash": hex(hash),
        "code": code,
        "admission": frames.iter().map(hex).collect::<Vec<_>>(),
        "done": "820780",
        "aborts": {
            "wrong_code": hex(abort(Abort::WrongCode)),
            "declined": hex(abort(Abort::Declined)),
            "failed": hex(abort(Abort::Failed)),
        },
        "refused": { "offer": refused_offers(&offer_bytes, &text(&offer_bytes)), "hello": refused },
    });
    check("link", &made);
}
