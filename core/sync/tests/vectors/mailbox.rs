//! A mailbox: its keys, two envelopes, and what a device and a relay say to each other.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::{Value, json};
use twin_identity::id::DeviceId;
use twin_identity::secret::Secret;
use twin_identity::sign::Signature;
use twin_ops::epoch::EpochKey;
use twin_sync::machine::{Machine, Millis};
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::envelope::Letter;
use twin_sync::mailbox::store::{Kept, Listed, Mark, Outcome, Present};
use twin_sync::mailbox::{
    Address, Client, ClientEvent, Day, Desk, EnvelopeId, Limits, Mailbox, MailboxStore, Memory,
    RelayKey, Server, Slot, Visit, is_message,
};

use crate::golden::{Counter, all_refused, check, drawn, hex};
use crate::{LAPTOP, PHONE, derived};

/// The relay is whoever is dialled.
const RELAY: twin_sync::TransportKey = LAPTOP;
const NONCE: [u8; 32] = [0x77; 32];
const DAY_NUMBER: u64 = 20_000;
const NOW: Millis = DAY_NUMBER * DAY + 1000;

/// A relay's store for one mailbox that keeps everything.
#[derive(Default)]
struct Shelf {
    posts: BTreeMap<u64, (Vec<u8>, Option<Signature>)>,
    presences: BTreeMap<Slot, (u64, Option<Vec<u8>>)>,
    version: u64,
}

const KEPT_UNTIL: Millis = NOW + 30 * DAY;

impl MailboxStore for Shelf {
    type Error = Infallible;

    fn put(&mut self, _: Millis, _: &Address, sealed: &[u8]) -> Result<Outcome<Kept>, Infallible> {
        let number = self.posts.len() as u64 + 1;
        self.version += 1;
        self.posts.insert(number, (sealed.to_vec(), None));
        Ok(Ok(Kept {
            number,
            expires: KEPT_UNTIL,
            version: self.version,
        }))
    }

    fn list(&mut self, _: Millis, _: &Address, after: u64) -> Result<Vec<Listed>, Infallible> {
        let rows = self.posts.range(after + 1..);
        Ok(rows
            .map(|(number, (sealed, withdrawn))| Listed {
                number: *number,
                id: EnvelopeId::of(sealed),
                expires: KEPT_UNTIL,
                withdrawn: *withdrawn,
            })
            .collect())
    }

    fn size(
        &mut self,
        now: Millis,
        at: &Address,
        number: u64,
    ) -> Result<Option<usize>, Infallible> {
        Ok(self.get(now, at, number)?.map(|sealed| sealed.len()))
    }

    fn get(&mut self, _: Millis, _: &Address, number: u64) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.posts.get(&number).map(|post| post.0.clone()))
    }

    fn withdraw(
        &mut self,
        _: Millis,
        _: &Address,
        number: u64,
        _: &EnvelopeId,
        signature: &Signature,
    ) -> Result<Outcome<u64>, Infallible> {
        self.posts.get_mut(&number).unwrap().1 = Some(*signature);
        self.version += 1;
        Ok(Ok(self.version))
    }

    fn present(
        &mut self,
        _: Millis,
        _: &Address,
        slot: &Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Outcome<u64>, Infallible> {
        self.version += 1;
        let sealed = sealed.map(<[u8]>::to_vec);
        self.presences.insert(*slot, (self.version, sealed));
        Ok(Ok(self.version))
    }

    fn presences(
        &mut self,
        _: Millis,
        _: &Address,
        after: u64,
    ) -> Result<Vec<Present>, Infallible> {
        let news = self.presences.iter().filter(|(_, one)| one.0 > after);
        Ok(news
            .map(|(slot, (version, sealed))| Present {
                slot: *slot,
                version: *version,
                sealed: sealed.clone(),
            })
            .collect())
    }

    fn mark(&mut self, _: &Address) -> Result<Mark, Infallible> {
        Ok(Mark {
            last: self.posts.len() as u64,
            version: self.version,
        })
    }
}

fn mailbox() -> Mailbox {
    let discovery = EpochKey::new(Secret::new([4; 32])).discovery();
    Mailbox::new(&discovery, RelayKey::from(RELAY), Day(DAY_NUMBER))
}

/// Lets a device and the relay talk until neither has anything to say.
fn talk(
    desk: &mut Desk,
    shelf: &mut Shelf,
    visit: Visit,
    frames: &mut Vec<Value>,
) -> Vec<ClientEvent> {
    let mut client = Client::new(PHONE, RELAY, visit, NOW);
    let mut server = Server::<Shelf>::new(RELAY, PHONE, &Limits::default(), NOW, NONCE);
    loop {
        let before = frames.len();
        if let Some(frame) = server.next_frame(NOW, shelf).unwrap() {
            assert!(is_message(&frame));
            client.receive(NOW, &frame, desk).unwrap();
            frames.push(json!({ "from": "relay", "bytes": hex(frame) }));
        }
        if let Some(frame) = client.next_frame(NOW, desk).unwrap() {
            assert!(is_message(&frame));
            server.receive(NOW, &frame, shelf).unwrap();
            frames.push(json!({ "from": "device", "bytes": hex(frame) }));
        }
        if frames.len() == before {
            return std::iter::from_fn(|| client.next_event()).collect();
        }
    }
}

/// The keys of the mailbox, as the page says that they are derived.
fn keys(device: &DeviceId) -> (Value, [u8; 32]) {
    let discovery = derived("discovery", &[&[4; 32]]);
    let day = DAY_NUMBER.to_be_bytes();
    let secret = derived("mailbox", &[&discovery, RELAY.as_bytes(), &day]);
    let address = *mailbox().address().as_bytes();
    let slot = derived("mailbox slot", &[&secret, device.as_bytes()]);
    assert_eq!(mailbox().slot(device).0, slot[..16]);
    let aad = |kind: u8, slot: &[u8]| {
        hex(derived(
            "mailbox aad",
            &[RELAY.as_bytes(), &day, &address, &[kind], slot],
        ))
    };
    let keys = json!({
        "discovery_key": hex(discovery),
        "relay_key": hex(RELAY.as_bytes()),
        "day": DAY_NUMBER,
        "secret": hex(secret),
        "address_seed": hex(derived("mailbox address", &[&secret])),
        "address": hex(address),
        "key": hex(derived("mailbox key", &[&secret])),
        "device": hex(device.as_bytes()),
        "slot": hex(&slot[..16]),
        "aad_post": aad(0, &[0; 16]),
        "aad_presence": aad(1, &slot[..16]),
    });
    (keys, address)
}

#[test]
fn a_mailbox() {
    let device = DeviceId::from_bytes([0xd1; 32]);
    let (keys, address) = keys(&device);
    let rng = &mut Counter::default();
    let letter = Letter {
        made: NOW,
        seen: 2,
        content: b"what a device leaves".to_vec(),
    };
    let slot = mailbox().slot(&device);
    let random: [u8; 32] = drawn(&mut Counter::default());
    let post = mailbox().seal_post(&letter, rng).unwrap();
    let presence = mailbox().seal_presence(&slot, &letter, rng).unwrap();

    // Leaves a post and a presence, takes the post back; another device comes and watches.
    let (mut shelf, mut frames) = (Shelf::default(), Vec::new());
    let desk = || {
        let mut desk = Desk::new(RelayKey::from(RELAY), Memory::default());
        desk.open(mailbox(), true).unwrap();
        desk
    };
    let mut author = desk();
    let at = mailbox().address();
    for content in [b"first".to_vec(), b"second".to_vec()] {
        author.post(NOW, &at, content, rng).unwrap();
    }
    author
        .present(NOW, &at, &device, b"here".to_vec(), rng)
        .unwrap();
    talk(&mut author, &mut shelf, Visit::Once, &mut frames);
    author.withdraw(&at, 1).unwrap();
    talk(&mut author, &mut shelf, Visit::Once, &mut frames);
    let heard = talk(&mut desk(), &mut shelf, Visit::Stay, &mut frames);
    let told = |what: fn(&ClientEvent) -> bool| heard.iter().filter(|event| what(event)).count();
    assert_eq!(told(|event| matches!(event, ClientEvent::Post { .. })), 1);
    assert_eq!(
        told(|event| matches!(event, ClientEvent::Presence { .. })),
        1
    );
    assert_eq!(told(|event| matches!(event, ClientEvent::Distrust(_))), 0);

    let proof = derived(
        "mailbox proof",
        &[&NONCE, PHONE.as_bytes(), RELAY.as_bytes(), &address],
    );
    let id = EnvelopeId::of(&shelf.posts[&1].0);
    let withdrawal = derived(
        "mailbox withdrawal",
        &[&address, &1u64.to_be_bytes(), id.as_bytes()],
    );
    let signature = shelf.posts[&1].1.unwrap();
    let address = Address::from_bytes(address);
    assert_eq!(address.verify(&withdrawal, &signature), Ok(()));

    let mut altered = post.clone();
    altered[500] ^= 1;
    let refused = json!([
        { "bytes": hex(altered), "why": "a bit is another" },
        { "bytes": hex(&presence), "why": "a presence is no post" },
        { "bytes": hex(&post[..1023]), "why": "of no length that envelopes have" },
    ]);
    let list = [
        vec![0x82, 0x03, 0x81, 0xa3, 0x03, 0x01, 0x04, 0x58, 0x20],
        vec![7; 32],
        vec![0x05, 0x00],
    ]
    .concat();
    let mut long = list.clone();
    long.splice(5..6, [0x18, 0x01]);
    let messages = json!([
        { "bytes": hex(&list[..list.len() - 1]), "why": "cut" },
        { "bytes": hex([&list[..], &[0]].concat()), "why": "a byte after the message" },
        { "bytes": hex(long), "why": "a number not in its shortest form" },
        { "bytes": "820f80", "why": "no such message" },
        { "bytes": "820c81a20301040a", "why": "no such refusal" },
    ]);
    assert!(is_message(&list));
    let made = json!({
        "about": "a mailbox of the epoch of sync.json at a relay whose key is that of the laptop there; a device leaves two \
            posts and a presence, takes the first back on a second connection, and another device reads on a third. The \
            challenge is always the same",
        "keys": keys,
        "letter": { "made": NOW, "seen": 2, "content": hex(&letter.content), "random": hex(random) },
        "post": hex(&post),
        "post_id": hex(EnvelopeId::of(&post).as_bytes()),
        "presence": hex(&presence),
        "proof_id": hex(proof),
        "withdrawal": { "number": 1, "id": hex(id.as_bytes()), "signed": hex(withdrawal), "signature": hex(signature) },
        "frames": frames,
        "refused": { "post": refused, "message": messages },
    });
    check("mailbox", &made);
    all_refused(&made["refused"]["post"], |bytes| {
        mailbox().open_post(bytes).map(drop)
    });
    all_refused(&made["refused"]["message"], |bytes| {
        if is_message(bytes) { Ok(()) } else { Err(()) }
    });
}
