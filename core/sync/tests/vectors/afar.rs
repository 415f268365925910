//! A link from afar, from the passcode to where it goes on as any link does.

use minicbor::Encoder;
use serde_json::{Value, json};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use twin_sync::link::afar::phone::{Showing, other_passcode};
use twin_sync::link::afar::{Passcode, new_device};
use twin_sync::link::phone::Inviter;

use crate::golden::{Counter, bytes, check, hex};
use crate::link::{NAME, NOW, context, hello_frame, proof};
use crate::{LAPTOP, PHONE, derived, laptop, twin};

const DEVICE: &str = "laptop";
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// An array of a message's number and the one map that is in it, which the caller fills.
fn message(number: u8, fields: u64) -> Encoder<Vec<u8>> {
    let mut e = Encoder::new(Vec::new());
    e.array(2).unwrap().u8(number).unwrap();
    e.array(1).unwrap().map(fields).unwrap();
    e
}

fn start(version: u8, element: &[u8]) -> Vec<u8> {
    let mut e = message(13, 2);
    e.u8(0).unwrap().u8(version).unwrap();
    e.u8(3).unwrap().bytes(element).unwrap();
    e.into_writer()
}

fn answer(element: &[u8], proof: &[u8]) -> Vec<u8> {
    let mut e = message(14, 2);
    e.u8(3).unwrap().bytes(element).unwrap();
    e.u8(4).unwrap().bytes(proof).unwrap();
    e.into_writer()
}

fn agree(name: &str, proof: &[u8]) -> Vec<u8> {
    let mut e = message(15, 2);
    e.u8(3).unwrap().str(name).unwrap();
    e.u8(4).unwrap().bytes(proof).unwrap();
    e.into_writer()
}

/// The symbols of a counting generator, with their two check symbols.
fn passcode() -> String {
    let symbols: Vec<u128> = (0..14).collect();
    let number = symbols.iter().fold(0, |all, symbol| all * 32 + symbol) % 1021;
    let all = symbols.iter().copied().chain([number / 32, number % 32]);
    let all: Vec<char> = all
        .map(|symbol| char::from(SYMBOLS[usize::try_from(symbol).unwrap()]))
        .collect();
    let groups: Vec<String> = all.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

fn refused(right: &str) -> Vec<Value> {
    let cases = [
        (right.replace('D', "E"), "a wrong symbol"),
        (right.replace("1-", "-1"), "nothing is wrong with that"),
        (right.replacen("01", "10", 1), "two have changed places"),
        (right[1..].to_owned(), "one is missing"),
        (format!("{right}0"), "one too many"),
        (right.replacen('0', "U", 1), "no symbol"),
    ];
    let wrong = cases
        .into_iter()
        .filter(|(text, _)| Passcode::parse(text).is_err());
    let wrong: Vec<Value> = wrong
        .map(|(text, why)| json!({ "text": text, "why": why }))
        .collect();
    assert_eq!(wrong.len(), 5);
    wrong
}

#[test]
fn link_afar() {
    let (log, phone_keys) = twin();
    let twin = *log.twin();
    let shown = passcode();
    let showing = Showing::with(Passcode::random(&mut Counter::default()), NOW);
    assert_eq!(showing.passcode().to_string(), shown);
    let password = shown.replace('-', "")[..14].to_owned();

    // Both sides by the crate alone: each draws 64 bytes for its scalar, the new device first.
    let drawn = &mut Counter::default();
    let ids = [PHONE, LAPTOP].map(|key| Identity::new(key.as_bytes()));
    let secret = Password::new(password.as_bytes());
    let (_, by_new) =
        Spake2::<Ed25519Group>::start_b_with_rng(&secret, &ids[0], &ids[1], &mut *drawn);
    let (spake, by_phone) =
        Spake2::<Ed25519Group>::start_a_with_rng(&secret, &ids[0], &ids[1], &mut *drawn);
    let key = spake.finish(&by_new).unwrap();
    let (by_new, by_phone) = (&by_new[1..], &by_phone[1..]);

    let rng = &mut Counter::default();
    let typed = Passcode::parse(&shown).unwrap();
    let (started, new) = new_device::start(typed, laptop(), LAPTOP, PHONE, rng).unwrap();
    assert_eq!(started, start(1, by_new));
    let said = [by_phone, &started].concat();
    let fields = [&key[..], PHONE.as_bytes(), LAPTOP.as_bytes(), &said];
    let secret = derived("link afar", &fields);

    let refused_starts: Vec<Value> = [
        (start(2, by_new), "version 2"),
        (start(1, &by_new[1..]), "an element of 31 bytes"),
        ([&started[..], &[0]].concat(), "a byte after the message"),
        (answer(by_new, &[0; 32]), "another message"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec();
    let mut showing = showing;
    for case in &refused_starts {
        let result = showing.receive_start(NOW, PHONE, LAPTOP, &bytes(&case["bytes"]), rng);
        showing = result.err().unwrap().showing;
    }
    let (answered, phone) = showing
        .receive_start(NOW, PHONE, LAPTOP, &started, rng)
        .ok()
        .unwrap();
    let phone_proof = proof(&secret, 2, &[&said]);
    assert_eq!(answered, answer(by_phone, &phone_proof));
    let (agreed, new) = new.receive_answer(&answered, DEVICE).unwrap();
    let new_proof = proof(&secret, 3, &[&said, DEVICE.as_bytes()]);
    assert_eq!(agreed, agree(DEVICE, &new_proof));
    let met = phone.receive_agree(&agreed).unwrap();
    let (hello, _) = met.greet(Inviter {
        twin,
        name: NAME.to_owned(),
        device: phone_keys.id(),
    });
    let hello_proof = proof(&secret, 0, &[&said, &context(&twin, &phone_keys)]);
    assert_eq!(
        hello,
        hello_frame(1, &twin, NAME, &phone_keys, &hello_proof)
    );
    assert!(new.receive_hello(&hello, rng).is_ok());

    let made = json!({
        "about": "the phone of identity.json links the laptop from afar; the passcode's symbols are 0, 1, 2 …, the \
            laptop's scalar is made of 00 … 3f, the phone's of 40 … 7f, both as 64 bytes, least first, modulo the order",
        "now": NOW,
        "phone_transport_key": hex(PHONE.as_bytes()),
        "laptop_transport_key": hex(LAPTOP.as_bytes()),
        "passcode": shown,
        "nameplate": Passcode::parse(&shown).unwrap().nameplate().number(),
        "password": password,
        "start": hex(&started),
        "spake2_key": hex(&key),
        "secret": hex(secret),
        "mac_key": hex(derived("link mac", &[&secret])),
        "phone_proof": hex(phone_proof),
        "answer": hex(&answered),
        "laptop_proof": hex(new_proof),
        "agree": hex(&agreed),
        "hello_proof": hex(hello_proof),
        "hello": hex(&hello),
        "other_passcode": hex(other_passcode()),
        "refused": { "passcode": refused(&shown), "start": refused_starts },
    });
    check("link-afar", &made);
}
