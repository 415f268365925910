//! A device and a relay, and the line between them.

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_identity::id::DeviceId;
use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_sync::TransportKey;
use twin_sync::machine::{Machine, Millis};
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::{
    Client, ClientEvent, Day, Desk, Distrust, Limits, Mailbox, MailboxError, MailboxStore, Memory,
    RelayKey, Server, ServerEvent, Visit,
};

use crate::store::Shelf;

pub const RELAY: TransportKey = TransportKey::from_bytes([0x55; 32]);
pub const NOW: Millis = 20_000 * DAY + DAY / 2;

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn epoch(number: u8) -> EpochKey {
    EpochKey::new(Secret::new([number; 32]))
}

pub fn mailbox(epoch_number: u8, now: Millis) -> Mailbox {
    Mailbox::new(
        &epoch(epoch_number).discovery(),
        RelayKey::from(RELAY),
        Day::of(now),
    )
}

pub fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 32])
}

pub fn desk() -> Desk {
    Desk::new(RelayKey::from(RELAY), Memory::default())
}

/// One connection.
pub struct Line<S> {
    pub client: Client,
    pub server: Server<S>,
    pub heard: Vec<ClientEvent>,
    pub told: Vec<ServerEvent>,
    /// What the device, and what the relay sent.
    pub frames: [Vec<Vec<u8>>; 2],
}

impl<S: MailboxStore> Line<S> {
    pub fn new(me: u8, limits: &Limits, visit: Visit, now: Millis, seed: u64) -> Self {
        let me = TransportKey::from_bytes([me; 32]);
        Self {
            client: Client::new(me, RELAY, visit, now),
            server: Server::new(RELAY, me, limits, now, [seed as u8; 32]),
            heard: Vec::new(),
            told: Vec::new(),
            frames: [Vec::new(), Vec::new()],
        }
    }

    /// Lets both talk until neither has anything to say.
    pub fn talk(
        &mut self,
        now: Millis,
        desk: &mut Desk,
        store: &mut S,
    ) -> Result<(), MailboxError> {
        self.talk_through(now, desk, store, |frame| vec![frame])
    }

    /// The same; what the relay says goes through `line`, which may drop it, say it twice or say something else.
    pub fn talk_through(
        &mut self,
        now: Millis,
        desk: &mut Desk,
        store: &mut S,
        mut line: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>,
    ) -> Result<(), MailboxError> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 100_000, "there is no end of it");
            let said = self.client.next_frame(now, desk)?;
            let quiet = said.is_none();
            if let Some(frame) = said {
                self.frames[0].push(frame.clone());
                self.server.receive(now, &frame, store)?;
            }
            let answered = self.server.next_frame(now, store)?;
            let silent = answered.is_none();
            if let Some(frame) = answered {
                self.frames[1].push(frame.clone());
                for frame in line(frame) {
                    self.client.receive(now, &frame, desk)?;
                }
            }
            self.heard
                .extend(std::iter::from_fn(|| self.client.next_event()));
            self.told
                .extend(std::iter::from_fn(|| self.server.next_event()));
            if quiet && silent {
                return Ok(());
            }
        }
    }

    pub fn distrust(&self) -> Vec<Distrust> {
        let all = self.heard.iter();
        all.filter_map(|event| match event {
            ClientEvent::Distrust(what) => Some(*what),
            _ => None,
        })
        .collect()
    }

    /// The contents of posts that came, with their numbers.
    pub fn posts(&self) -> Vec<(u64, Vec<u8>)> {
        let all = self.heard.iter();
        all.filter_map(|event| match event {
            ClientEvent::Post { number, letter, .. } => Some((*number, letter.content.clone())),
            _ => None,
        })
        .collect()
    }

    pub fn presences(&self) -> Vec<Vec<u8>> {
        let all = self.heard.iter();
        all.filter_map(|event| match event {
            ClientEvent::Presence { letter, .. } => Some(letter.content.clone()),
            _ => None,
        })
        .collect()
    }
}

/// A whole visit, after which all that came is taken.
pub fn visit<S: MailboxStore>(desk: &mut Desk, store: &mut S, now: Millis, seed: u64) -> Line<S> {
    let mut line = Line::new(seed as u8, &Limits::default(), Visit::Once, now, seed);
    line.talk(now, desk, store).unwrap();
    assert!(line.client.is_finished());
    take(&line.heard, desk);
    line
}

pub fn take(heard: &[ClientEvent], desk: &mut Desk) {
    for event in heard {
        if let ClientEvent::Post {
            address, number, ..
        } = event
        {
            desk.taken(address, *number);
        }
    }
}

/// A store with posts 1 to `count` in today's mailbox, left by a device of its own, whose desk comes too.
pub fn with_posts(count: u8) -> (Shelf, Desk) {
    let (mut store, mut author) = (Shelf::new(Limits::default()), desk());
    let address = author.open(mailbox(1, NOW), false).unwrap();
    for number in 0..count {
        author
            .post(NOW, &address, vec![number; 3], &mut rng(number.into()))
            .unwrap();
        // No more wait than a desk holds.
        if number % 50 == 49 {
            visit(&mut author, &mut store, NOW, 98);
        }
    }
    visit(&mut author, &mut store, NOW, 99);
    (store, author)
}
