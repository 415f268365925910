//! `identity.json`: device keys, signatures, genesis, entries, a log.

use minicbor::Encoder;
use serde_json::{Value, json};
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Fork, Guardians, Kept, Line, Removal, Rotate};
use twin_identity::cbor;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{EntryId, TwinId};
use twin_identity::log::IdentityLog;
use twin_identity::proof;
use twin_identity::sign::{self, Use};
use twin_identity::words::RecoverySecret;

use crate::common::{self, ADD_DEVICE, RawEntry, device, twin};
use crate::derived;
use crate::golden::{Counter, all_refused, check, hex};

fn signatures(twin: &TwinId) -> Vec<Value> {
    let id = [9; 32];
    [
        ("entry", Use::Entry),
        ("device", Use::Device),
        ("op", Use::Op),
        ("grant", Use::Grant),
        ("session", Use::Session),
        ("head", Use::Head),
        ("backup", Use::Backup),
        ("bundle", Use::Bundle),
    ]
    .map(|(name, what)| {
        let message = sign::message(what, twin, &id);
        let label = format!("digital-twin v1 sig {name}\0");
        assert_eq!(message, [label.as_bytes(), twin.as_bytes(), &id].concat());
        json!({
            "use": name,
            "device": hex(device(2).id().as_bytes()),
            "twin_id": hex(twin.as_bytes()),
            "id": hex(id),
            "message": hex(message),
            "signature": hex(device(2).sign(what, twin, &id)),
        })
    })
    .to_vec()
}

fn device_keys(twin: &TwinId, keys: &DeviceKeys) -> Value {
    let public = keys.public();
    let (id, sealing) = (public.id, public.sealing.as_bytes());
    let statement = keys.statement(twin, Role::Member);
    json!({
        "secret": hex(keys.to_secret().expose()),
        "id": hex(id.as_bytes()),
        "sealing": hex(sealing),
        "statement": {
            "twin_id": hex(twin.as_bytes()),
            "role": "member",
            "proof_id": hex(derived("device", &[id.as_bytes(), sealing])),
            "proof": hex(statement.proof),
            "bytes": hex(cbor::encode(&statement)),
        },
    })
}

fn entry(entry: &Entry) -> Value {
    let mut decoder = minicbor::Decoder::new(entry.to_bytes());
    decoder.array().unwrap();
    let unsigned = decoder.bytes().unwrap();
    assert_eq!(*entry.id.as_bytes(), derived("entry", &[unsigned]));
    json!({
        "unsigned": hex(unsigned),
        "id": hex(entry.id.as_bytes()),
        "signature": hex(&entry.signature),
        "bytes": hex(entry.to_bytes()),
    })
}

fn refused_texts(twin: &TwinId) -> Vec<Value> {
    let text = twin.to_string();
    let (body, last) = text.split_at(text.len() - 1);
    let other = if last == "q" { "p" } else { "q" };
    let mut padded = twin.as_bytes().to_vec();
    padded.push(0);
    [
        (format!("{body}{other}"), "the checksum is wrong"),
        (text.replacen("twin1", "twim1", 1), "another prefix"),
        (
            format!("{}{}", text[..9].to_uppercase(), &text[9..]),
            "mixed case",
        ),
        (body.to_owned(), "cut"),
        (
            bech32::encode::<bech32::Bech32m>(bech32::Hrp::parse("twin").unwrap(), &padded)
                .unwrap(),
            "34 bytes",
        ),
        (
            bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("twin").unwrap(), twin.as_bytes())
                .unwrap(),
            "bech32, not bech32m",
        ),
        (
            bech32::encode::<bech32::Bech32m>(bech32::Hrp::parse("twin").unwrap(), &[2; 33])
                .unwrap(),
            "format 2",
        ),
    ]
    .map(|(text, why)| {
        assert!(text.parse::<TwinId>().is_err(), "{why}");
        json!({ "text": text, "why": why })
    })
    .to_vec()
}

/// Bytes that are no entry, made of a good one.
fn refused_entries(good: &RawEntry, twin: &TwinId, phone: &DeviceKeys) -> Vec<Value> {
    let signed = good.signed(twin, phone);
    let with = |alter: &dyn Fn(&mut RawEntry)| {
        let mut raw = good.clone();
        alter(&mut raw);
        raw.signed(twin, phone)
    };
    let id = |byte| EntryId::from_bytes([byte; 32]);
    let mut e = Encoder::new(Vec::new());
    e.array(2).unwrap();
    // The map's length in a longer form than needed.
    let unsigned = good.unsigned();
    e.bytes(&[&[0xb8, 8], &unsigned[1..]].concat()).unwrap();
    e.bytes(&phone.sign(Use::Entry, twin, &good.id())).unwrap();
    [
        (with(&|raw| raw.prevs = vec![]), "no prevs"),
        (
            with(&|raw| raw.prevs = vec![id(2), id(1)]),
            "prevs not sorted",
        ),
        (with(&|raw| raw.prevs = vec![id(1), id(1)]), "a prev twice"),
        (
            with(&|raw| raw.prevs = (0..9).map(id).collect()),
            "nine prevs",
        ),
        (with(&|raw| raw.body.push(0)), "a byte after the body"),
        (e.into_writer(), "a length not in its shortest form"),
        (good.with_signature(&[0; 63]), "a signature of 63 bytes"),
        ([&signed[..], &[0]].concat(), "a byte after the entry"),
        (signed[..signed.len() - 1].to_vec(), "cut"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec()
}

/// Entries that can be read but cannot join the log.
fn refused_in_log(good: &RawEntry, log: &IdentityLog, phone: &DeviceKeys) -> Vec<Value> {
    let twin = log.twin();
    let other = common::twin(2);
    let with = |signer: &DeviceKeys, alter: &dyn Fn(&mut RawEntry)| {
        let mut raw = good.clone();
        alter(&mut raw);
        raw.signer = Some(signer.id());
        raw.signed(twin, signer)
    };
    let statement =
        |keys: &DeviceKeys, twin: &TwinId| cbor::encode(&keys.statement(twin, Role::Member));
    let mut forged = good.signed(twin, phone);
    *forged.last_mut().unwrap() ^= 1;
    [
        (forged, "the signature is wrong"),
        (good.signed(&other.id(), phone), "signed for another twin"),
        (with(&device(2), &|_| ()), "signed by a member"),
        (with(&device(9), &|_| ()), "signed by a stranger"),
        (with(phone, &|raw| raw.seq += 1), "seq too high"),
        (
            with(phone, &|raw| raw.prevs = vec![EntryId::from_bytes([5; 32])]),
            "builds on an entry that is not here",
        ),
        (
            with(phone, &|raw| raw.base = log.genesis().entry_id()),
            "based on the genesis, not on the rotation",
        ),
        (
            with(phone, &|raw| raw.base = log.heads()[0]),
            "based on an entry that is no rotation",
        ),
        (
            with(phone, &|raw| raw.body = statement(&device(3), &other.id())),
            "the new device's proof is for another twin",
        ),
        (
            with(phone, &|raw| raw.body = statement(&device(2), twin)),
            "a device that is in the log already",
        ),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec()
}

/// One entry of each body after the log, and what a contact is shown at the end.
fn history(mut log: IdentityLog, words: &RecoverySecret, phone: &DeviceKeys) -> Value {
    let guardians = RecoverySecret::from_bytes([0x77; 32]).authority(0);
    let twin = *log.twin();
    let laptop = device(2).id();
    let line = |height| Line {
        log: [0x11; 32],
        height,
        head: [0x22; 32],
    };
    let removal = |device, height| {
        Box::new(Removal {
            device,
            lines: vec![line(height)],
        })
    };
    let mut expiring = device(4).statement(&twin, Role::Member);
    expiring.expires = Some(1_800_000_000_000);
    let rotate = |log: &IdentityLog, next: u32| Rotate {
        authority: words.authority(next - 1).public(),
        next: words.authority(next).public().hash(),
        recovery: words.sealing().public().unwrap(),
        generation: 1,
        devices: vec![device(u8::try_from(next).unwrap() + 3).statement(&twin, Role::Member)],
        keeps: log
            .devices()
            .values()
            .map(|device| Kept {
                device: device.public.id,
                role: device.role,
                suspended: device.suspended,
            })
            .collect(),
        guardians: Some(Guardians {
            authority: guardians.public().hash(),
            delay_days: 14,
            sealing: Some(device(7).public().sealing.clone()),
        }),
        removals: vec![*removal(device(3).id(), 6)],
        roots: Some(vec![0x33; 100]),
    };
    let mut entries = Vec::new();
    let mut take = |log: &mut IdentityLog, what: &str, made: Entry| {
        let mut about = entry(&made);
        about["what"] = json!(what);
        assert_eq!(log.insert(made.clone()), Ok(true), "{what}");
        entries.push(about);
        made.id
    };
    let said = |log: &IdentityLog, body: Body| log.sign(&body, phone).unwrap();
    let adds = |keys: &DeviceKeys, role| Body::AddDevice(Box::new(keys.statement(&twin, role)));
    for (what, body) in [
        ("add device: an admin", adds(&device(3), Role::Admin)),
        (
            "add device: a member until 2027-01-15",
            Body::AddDevice(Box::new(expiring)),
        ),
        (
            "add device: the laptop is made an admin",
            adds(&device(2), Role::Admin),
        ),
        ("suspend", Body::Suspend(removal(laptop, 3))),
        ("raise", Body::Raise(removal(laptop, 4))),
        ("resume", Body::Resume(laptop)),
        ("revoke", Body::Revoke(removal(device(4).id(), 5))),
    ] {
        let made = said(&log, body);
        take(&mut log, what, made);
    }
    let left = Body::Revoke(removal(device(3).id(), 5));
    let left = log.sign(&left, &device(3)).unwrap();
    take(&mut log, "revoke: an admin removes itself", left);
    let made = log.rotate(rotate(&log, 2), &words.authority(1)).unwrap();
    take(&mut log, "rotate, with guardians", made);
    let made = said(&log, Body::Acknowledge);
    take(&mut log, "acknowledge", made);
    let by_guardians = Rotate {
        authority: guardians.public(),
        guardians: None,
        roots: None,
        ..rotate(&log, 3)
    };
    let made = log.rotate(by_guardians, &guardians).unwrap();
    let pending = take(&mut log, "rotate, by guardians: it waits", made);
    let made = said(&log, Body::Veto(pending));
    take(&mut log, "veto", made);
    let branch = removal(laptop, 7).lines[0];
    for (what, again) in [
        ("fork: nothing had to be written again", None),
        (
            "fork",
            Some(Line {
                log: [0x44; 32],
                ..branch
            }),
        ),
    ] {
        let fork = Body::Fork(Box::new(Fork { branch, again }));
        let made = log.sign(&fork, &device(2)).unwrap();
        take(&mut log, what, made);
    }
    let proof = proof::prove(&log, &device(2), 1_700_000_000_000).unwrap();
    let checked = proof::check(&twin, &proof, None, 1_700_000_000_000).unwrap();
    json!({
        "entries": entries,
        "bytes": hex(log.to_bytes()),
        "digest": hex(log.digest()),
        "rotation": hex(log.rotation().unwrap().id.as_bytes()),
        "devices": log.devices().keys().map(|id| hex(id.as_bytes())).collect::<Vec<_>>(),
        "gone": log.gone().map(|id| hex(id.as_bytes())).collect::<Vec<_>>(),
        "proof": {
            "by": hex(device(2).id().as_bytes()),
            "issued": 1_700_000_000_000_u64,
            "expires": checked.expires,
            "rotations": checked.known.rotations,
            "height": checked.known.height,
            "bytes": hex(proof),
        },
    })
}

#[test]
fn identity() {
    let recovery = RecoverySecret::from_bytes([0; 32]);
    let rng = &mut Counter::default();
    let birth = Birth::new(&recovery, rng).unwrap();
    let (phone, genesis) = (birth.device, birth.genesis);
    let twin = genesis.twin_id();
    let mut log = IdentityLog::new(genesis.clone());
    log.insert(birth.entry.clone()).unwrap();
    let statement = device(2).statement(&twin, Role::Member);
    let adds = Body::AddDevice(Box::new(statement));
    let second = log.sign(&adds, &phone).unwrap();
    assert_eq!(second.body, adds);
    log.insert(second.clone()).unwrap();
    let good = RawEntry {
        version: 1,
        suite: 1,
        kind: ADD_DEVICE,
        prevs: log.heads(),
        seq: 3,
        body: cbor::encode(&device(3).statement(&twin, Role::Admin)),
        signer: Some(phone.id()),
        base: birth.entry.id,
    };
    let third = Entry::from_bytes(&good.signed(&twin, &phone)).unwrap();
    assert_eq!(log.clone().insert(third.clone()), Ok(true));
    let ids: Vec<&[u8]> = log
        .entries()
        .keys()
        .map(|id| id.as_bytes().as_slice())
        .collect();
    assert_eq!(log.digest(), derived("identity log digest", &ids));
    let made = json!({
        "about": "the twin of the words with entropy 00…00: genesis, entry 1 by the authority key, entry 2 by the \
            phone, which adds a member, and entry 3, which would add an admin; the log holds entries 1 and 2; the history \
            goes on from there, without that entry 3, with each kind of entry, and ends with a proof",
        "phone": device_keys(&twin, &phone),
        "laptop": device_keys(&twin, &device(2)),
        "signatures": signatures(&twin),
        "genesis": hex(genesis.to_bytes()),
        "twin_id": hex(twin.as_bytes()),
        "twin_id_text": twin.to_string(),
        "entry_1": entry(&birth.entry),
        "entry_2": entry(&second),
        "entry_3": entry(&third),
        "log": {
            "bytes": hex(log.to_bytes()),
            "heads": log.heads().iter().map(|id| hex(id.as_bytes())).collect::<Vec<_>>(),
            "digest": hex(log.digest()),
            "devices": log.devices().values().map(|device| json!({
                "id": hex(device.public.id.as_bytes()),
                "role": format!("{:?}", device.role).to_lowercase(),
                "added": hex(device.added.as_bytes()),
            })).collect::<Vec<_>>(),
            "recovery_sealing": hex(log.recovery().unwrap().as_bytes()),
            "next_authority": hex(log.next_authority()),
        },
        "history": history(log.clone(), &recovery, &phone),
        "refused": {
            "twin_id_text": refused_texts(&twin),
            "genesis": refused_genesis(&genesis),
            "entry": refused_entries(&good, &twin, &phone),
            "next_in_log": refused_in_log(&good, &log, &phone),
        },
    });
    check("identity", &made);
    all_refused(&made["refused"]["genesis"], |bytes| {
        Genesis::from_bytes(bytes).map(drop)
    });
    all_refused(&made["refused"]["entry"], |bytes| {
        Entry::from_bytes(bytes).map(drop)
    });
    all_refused(&made["refused"]["next_in_log"], |bytes| {
        let entry = Entry::from_bytes(bytes).unwrap();
        log.clone().insert(entry).map(drop)
    });
}

fn refused_genesis(genesis: &Genesis) -> Vec<Value> {
    let good = genesis.to_bytes();
    let at = |index: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[index] = byte;
        bytes
    };
    [
        (at(2, 2), "version 2"),
        (at(4, 2), "suite 2"),
        (at(6, 1), "not a genesis's type"),
        (
            [&good[..1], &good[3..5], &good[1..3], &good[5..]].concat(),
            "keys out of order",
        ),
        ([&[0xbf], &good[1..], &[0xff]].concat(), "indefinite length"),
        (
            [&good[..7], &[3, 0x59, 0, 32], &good[10..]].concat(),
            "a length not in its shortest form",
        ),
        (good[..good.len() - 1].to_vec(), "cut"),
    ]
    .map(|(bytes, why)| json!({ "bytes": hex(bytes), "why": why }))
    .to_vec()
}

/// The log of the property tests is the library's; this only shows that the shared helper agrees with it.
#[test]
fn the_helper_encodes_as_the_library_does() {
    let twin = twin(1);
    let ours = twin.raw(
        ADD_DEVICE,
        cbor::encode(&device(2).statement(&twin.id(), Role::Member)),
    );
    let theirs = twin.adds(&twin.phone, &device(2), Role::Member);
    assert_eq!(ours.signed(&twin.id(), &twin.phone), theirs.to_bytes());
}
