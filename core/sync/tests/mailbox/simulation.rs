//! Devices, relays and days: what is left at a relay arrives once, whatever breaks on the way; and a relay that lies is
//! noticed, and does no harm as long as there is another.
//!
//! Everything is drawn from a seed, so that a failure comes again.

use std::collections::{BTreeMap, BTreeSet};

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::Rng;
use twin_ops::epoch::EpochKey;
use twin_sync::TransportKey;
use twin_sync::machine::{Machine, Millis};
use twin_sync::mailbox::client::desk::MAX_ORDERS;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::memory::MAX_PAGE;
use twin_sync::mailbox::store::Mark;
use twin_sync::mailbox::{
    Address, Client, ClientEvent, Day, Desk, Distrust, Limits, Mailbox, MailboxError, Memory,
    RelayKey, Server, Terms, Visit,
};

use crate::store::Shelf;
use crate::talk::{NOW, epoch, rng};

const DEVICES: usize = 3;
const RELAYS: usize = 2;
const HOUR: Millis = 60 * 60 * 1000;

/// What a letter says: a number that no other has; or that there is another epoch.
type Content = Vec<u8>;

/// What a device keeps on its disk.
struct Device {
    /// How far its clock is off: two are at most a day apart.
    skew: i64,
    epochs: BTreeSet<u8>,
    at: [Place; RELAYS],
    /// What has been dealt with.
    taken: BTreeSet<Content>,
}

/// What a device keeps for one relay.
#[derive(Default)]
struct Place {
    pages: BTreeMap<Address, Vec<u8>>,
    /// The last visit that went through, by epoch.
    visits: BTreeMap<u8, Millis>,
    /// What is still to be left there, and in which epoch's mailbox.
    unsent: Vec<(u8, Content)>,
    /// What is kept there: the number and what it was.
    receipts: BTreeMap<(Address, u64), (u8, Content)>,
}

struct World {
    rng: ChaCha20Rng,
    now: Millis,
    limits: Limits,
    devices: Vec<Device>,
    relays: [Shelf; RELAYS],
    /// A copy that a relay may be set back to.
    copies: [Shelf; RELAYS],
    /// What each relay was found out about.
    noticed: [Vec<Distrust>; RELAYS],
    /// Whether each has done something that it should not.
    lied: [bool; RELAYS],
    written: BTreeSet<Content>,
    newest: u8,
    ends: BTreeMap<String, u32>,
}

/// What happens to what a relay says.
#[derive(Clone, Copy)]
enum Line {
    /// It arrives.
    Good,
    /// It breaks at some frame.
    Cut,
    /// Frames are lost, come twice, in another order, from before or altered.
    Bad,
}

impl World {
    fn new(seed: u64, life_days: u64) -> Self {
        let mut rng = rng(seed);
        let limits = Limits {
            terms: Terms {
                post_life: life_days * DAY,
                ..Limits::default().terms
            },
            ..Limits::default()
        };
        let devices = (0..DEVICES).map(|_| Device {
            skew: (rng.next_u64() % (24 * 60)) as i64 * 60_000 - 12 * HOUR as i64,
            epochs: BTreeSet::from([1]),
            at: Default::default(),
            taken: BTreeSet::new(),
        });
        let devices = devices.collect();
        let relays = [Shelf::new(limits), Shelf::new(limits)];
        Self {
            rng,
            now: NOW,
            limits,
            devices,
            copies: relays.clone(),
            relays,
            noticed: Default::default(),
            lied: [false; RELAYS],
            written: BTreeSet::new(),
            newest: 1,
            ends: BTreeMap::new(),
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.next_u64() % 100 < percent
    }

    fn pick(&mut self, count: usize) -> usize {
        (self.rng.next_u64() % count as u64) as usize
    }

    /// A device writes something, to be left at both relays.
    fn write(&mut self, device: usize) {
        let number = self.written.len() as u64;
        let mut content = [&[0], number.to_be_bytes().as_slice()].concat();
        content.resize(9 + self.pick(6000), 7);
        self.leave(device, content);
    }

    /// A device begins an epoch, and says so to those who know only the one before.
    fn rotate(&mut self, device: usize) {
        self.newest += 1;
        self.leave(device, vec![1, self.newest]);
        self.devices[device].epochs.insert(self.newest);
    }

    fn leave(&mut self, device: usize, content: Content) {
        self.written.insert(content.clone());
        let device = &mut self.devices[device];
        let writes_in = *device.epochs.last().unwrap();
        for place in &mut device.at {
            place.unsent.push((writes_in, content.clone()));
        }
        device.taken.insert(content);
    }

    /// A relay does what it should not. What it can do without being noticed it is not charged with.
    fn lie(&mut self, relay: usize) {
        let what = self.pick(6);
        let seed = self.rng.next_u64();
        let (shelf, copy) = (&mut self.relays[relay], &self.copies[relay]);
        let count = shelf.boxes.len().max(1) as u64;
        let one = shelf.boxes.values_mut().nth((seed % count) as usize);
        match (what, one) {
            (0, _) => shelf.boxes.clear(),
            (1, _) => *shelf = copy.clone(),
            (2, Some(one)) => {
                let numbers: Vec<u64> = one.posts.keys().copied().collect();
                if let Some(number) = numbers.get(seed as usize % numbers.len().max(1)) {
                    one.posts.remove(number);
                }
            }
            (3, Some(one)) => {
                // The same again under a new number.
                if let Some(post) = one.posts.values().next().cloned() {
                    one.mark = Mark {
                        last: one.mark.last + 1,
                        version: one.mark.version + 1,
                    };
                    one.posts.insert(one.mark.last, post);
                }
            }
            (4, Some(one)) => {
                if let Some(post) = one.posts.values_mut().next() {
                    let at = seed as usize % post.sealed.len().max(1);
                    post.sealed
                        .iter_mut()
                        .skip(at)
                        .take(1)
                        .for_each(|byte| *byte ^= 1);
                }
            }
            (_, Some(one)) => {
                // Swaps what lies under two numbers.
                if let (Some((a, first)), Some((b, last))) =
                    (one.posts.pop_first(), one.posts.pop_last())
                {
                    one.posts.insert(b, first);
                    one.posts.insert(a, last);
                }
            }
            (_, None) => return,
        }
        self.lied[relay] = true;
    }

    /// A device visits a relay.
    fn visit(&mut self, number: usize, relay: usize, line: Line) {
        let now = self.now.saturating_add_signed(self.devices[number].skew);
        let key = relay_key(relay);
        let limits = self.limits;
        let mut rng = rng(self.rng.next_u64());
        let device = &mut self.devices[number];
        let place = &mut device.at[relay];
        let mut memory = Memory::default();
        for (address, page) in &place.pages {
            memory.load(*address, page).unwrap();
        }
        let old = Day(Day::of(now)
            .0
            .saturating_sub(limits.terms.post_life / DAY + 3));
        memory.forget_before(old);
        let mut desk = Desk::new(RelayKey::from(key), memory);
        let mut boxes = BTreeMap::new();
        for number in &device.epochs {
            let discovery = epoch_key(*number).discovery();
            let last = place.visits.get(number).copied();
            for day in Day::to_read(now, last, limits.terms.post_life) {
                let mailbox = Mailbox::new(&discovery, RelayKey::from(key), day);
                let address = desk.open(mailbox, false).unwrap();
                boxes.insert((*number, day), address);
            }
        }
        let mut orders = BTreeMap::new();
        for (number, content) in &place.unsent {
            let address = boxes[&(*number, Day::of(now))];
            let order = desk.post(now, &address, content.clone(), &mut rng);
            orders.insert(order.unwrap(), (address, *number, content.clone()));
            if orders.len() == MAX_ORDERS {
                break;
            }
        }
        let (heard, end) = talk(
            now,
            self.now,
            &mut desk,
            &mut self.relays[relay],
            &limits,
            line,
            &mut rng,
        );

        let mut fetched = BTreeSet::new();
        for event in heard {
            match event {
                ClientEvent::Post {
                    address,
                    number,
                    letter,
                } => {
                    assert!(fetched.insert((address, number)), "twice on one connection");
                    assert!(self.written.contains(&letter.content), "nobody wrote this");
                    if let [1, epoch] = *letter.content {
                        device.epochs.insert(epoch);
                    }
                    device.taken.insert(letter.content);
                    desk.taken(&address, number);
                }
                ClientEvent::Kept {
                    order,
                    address,
                    number,
                    ..
                } => {
                    let (at, epoch, content) = orders.remove(&order).unwrap();
                    assert_eq!(at, address);
                    place.unsent.retain(|one| one.1 != content);
                    place.receipts.insert((address, number), (epoch, content));
                }
                ClientEvent::Distrust(what) => {
                    self.noticed[relay].push(what);
                    if let Distrust::Lost { address, number } = what
                        && let Some(lost) = place.receipts.remove(&(address, number))
                    {
                        // It is left again.
                        place.unsent.push(lost);
                    }
                }
                _ => {}
            }
        }
        match end {
            Ok(()) => {
                let read = device
                    .epochs
                    .iter()
                    .filter(|one| boxes.keys().any(|(epoch, _)| epoch == *one));
                place.visits.extend(read.map(|epoch| (*epoch, now)));
            }
            Err(error) => *self.ends.entry(error.to_string()).or_default() += 1,
        }
        // Now and then what is remembered is lost with the app, before it was kept.
        let kept = !rng.next_u64().is_multiple_of(10);
        if kept {
            place.pages = desk
                .memory()
                .addresses()
                .map(|address| (address, desk.memory().page(&address).unwrap()))
                .collect();
            assert!(place.pages.values().all(|page| page.len() <= MAX_PAGE));
        }
    }

    /// All devices visit a relay until nothing is new.
    fn settle(&mut self, relay: usize) {
        for _ in 0..=self.newest {
            for device in 0..DEVICES {
                self.visit(device, relay, Line::Good);
            }
        }
    }

    fn run(&mut self, steps: usize, liar: Option<usize>) {
        for _ in 0..steps {
            self.now += self.rng.next_u64() % (6 * HOUR);
            let device = self.pick(DEVICES);
            match self.pick(10) {
                0..6 => self.write(device),
                6 if self.newest < 4 => self.rotate(device),
                _ => {}
            }
            let relay = self.pick(RELAYS);
            if liar == Some(relay) && self.chance(30) {
                self.lie(relay);
            }
            if self.chance(10) {
                self.copies[relay] = self.relays[relay].clone();
            }
            let line = match self.pick(4) {
                0 => Line::Cut,
                1 if liar == Some(relay) => Line::Bad,
                _ => Line::Good,
            };
            self.visit(device, relay, line);
            if self.chance(20) {
                let now = self.now;
                self.relays[relay].sweep(now);
            }
        }
    }
}

fn relay_key(relay: usize) -> TransportKey {
    TransportKey::from_bytes([0x50 + relay as u8; 32])
}

fn epoch_key(number: u8) -> EpochKey {
    epoch(number)
}

/// One connection, until nobody has anything to say, it breaks, or the device gives up.
fn talk(
    now: Millis,
    relay_now: Millis,
    desk: &mut Desk,
    store: &mut Shelf,
    limits: &Limits,
    line: Line,
    rng: &mut ChaCha20Rng,
) -> (Vec<ClientEvent>, Result<(), MailboxError>) {
    let me = TransportKey::from_bytes([9; 32]);
    let relay = desk_relay(desk);
    let mut client = Client::new(me, relay, Visit::Once, now);
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let mut server = Server::<Shelf>::new(relay, me, limits, relay_now, nonce);
    let mut heard = Vec::new();
    let mut left = match line {
        Line::Cut => rng.next_u64() % 80,
        Line::Good | Line::Bad => u64::MAX,
    };
    let (mut past, mut held): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    let mut now = now;
    let mut go = || -> Result<(), MailboxError> {
        for _ in 0..100_000 {
            let said = client.next_frame(now, desk)?;
            let mut quiet = said.is_none();
            if let Some(frame) = said {
                // What a device says arrives: it is the relay that is on trial.
                let _ = server.receive(relay_now, &frame, store);
            }
            let mut arrives = Vec::new();
            if let Some(frame) = server.next_frame(relay_now, store).unwrap_or(None) {
                quiet = false;
                arrives.push(frame);
            }
            if matches!(line, Line::Bad) {
                arrives = spoil(arrives, &mut past, &mut held, rng);
            }
            for frame in arrives {
                left = left.saturating_sub(1);
                if left == 0 {
                    return Err(MailboxError::Silent);
                }
                client.receive(now, &frame, desk)?;
            }
            heard.extend(std::iter::from_fn(|| client.next_event()));
            if client.is_finished() {
                return Ok(());
            }
            if quiet {
                // Nothing comes: it waits as long as it wants to, and no longer.
                now = client.deadline().unwrap();
                client.tick(now, desk)?;
            }
        }
        panic!("there is no end of it");
    };
    let end = go();
    heard.extend(std::iter::from_fn(|| client.next_event()));
    (heard, end)
}

/// What becomes of frames on a bad line.
fn spoil(
    frames: Vec<Vec<u8>>,
    past: &mut Vec<Vec<u8>>,
    held: &mut Option<Vec<u8>>,
    rng: &mut ChaCha20Rng,
) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for mut frame in frames {
        past.push(frame.clone());
        match rng.next_u64() % 250 {
            0 => {}
            1 => out.extend([frame.clone(), frame]),
            2 => *held = Some(frame),
            3 => {
                let again = (rng.next_u64() % past.len() as u64) as usize;
                out.extend([frame, past[again].clone()]);
            }
            4 => {
                let at = (rng.next_u64() % frame.len() as u64) as usize;
                frame[at] ^= 1 << (rng.next_u64() % 8);
                out.push(frame);
            }
            _ => {
                out.push(frame);
                out.extend(held.take());
            }
        }
    }
    out
}

fn desk_relay(desk: &Desk) -> TransportKey {
    TransportKey::from_bytes(*desk.relay().as_bytes())
}

/// So many seeds, or as many as `TWIN_MAILBOX_SEEDS` says.
fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> {
    let asked = std::env::var("TWIN_MAILBOX_SEEDS").ok();
    let count = asked.map_or(count, |asked| asked.parse().unwrap());
    first..first + count
}

#[test]
fn whatever_breaks_an_honest_relay_is_never_suspected_and_all_arrives() {
    let mut seen = 0;
    for seed in seeds(0, 24) {
        let mut world = World::new(seed, 8);
        world.run(40, None);
        world.settle(0);
        world.settle(1);
        assert_eq!(world.noticed, [vec![], vec![]], "seed {seed}");
        for device in &world.devices {
            assert_eq!(device.taken, world.written, "seed {seed}");
            assert!(
                device.at.iter().all(|place| place.unsent.is_empty()),
                "seed {seed}"
            );
        }
        seen += world.written.len();
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn what_expires_on_an_honest_relay_raises_no_suspicion_either() {
    for seed in seeds(100_000, 12) {
        let mut world = World::new(seed, 3);
        world.run(60, None);
        world.settle(0);
        assert_eq!(world.noticed, [vec![], vec![]], "seed {seed}");
        let now = world.now + 10 * DAY;
        world.relays.iter_mut().for_each(|relay| relay.sweep(now));
        assert!(
            world.relays.iter().all(|relay| relay.boxes.is_empty()),
            "seed {seed}"
        );
    }
}

#[test]
fn a_relay_that_lies_is_noticed_and_all_arrives_by_the_other() {
    let mut kinds = BTreeSet::new();
    let mut ends = BTreeMap::new();
    for seed in seeds(200_000, 36) {
        let mut world = World::new(seed, 8);
        world.run(50, Some(0));
        world.settle(1);
        for device in &world.devices {
            assert_eq!(device.taken, world.written, "seed {seed}");
        }
        assert_eq!(world.noticed[1], [], "seed {seed}");
        // A day later everybody looks through what the liar had promised.
        world.now += DAY + HOUR;
        let lost = |world: &World| -> Vec<(u8, Content)> {
            let stored: BTreeSet<_> = world.relays[0]
                .boxes
                .iter()
                .flat_map(|(address, one)| one.posts.keys().map(|number| (*address, *number)))
                .collect();
            let places = world.devices.iter().map(|device| &device.at[0]);
            let receipts = places.flat_map(|place| &place.receipts);
            let gone = receipts.filter(|(place, _)| !stored.contains(place));
            gone.map(|(_, what)| what.clone()).collect()
        };
        let missing = lost(&world);
        world.settle(0);
        if !missing.is_empty() {
            assert!(!world.noticed[0].is_empty(), "seed {seed}: {missing:?}");
        }
        if world.noticed[0].is_empty() {
            assert!(missing.is_empty());
        } else {
            assert!(world.lied[0] || !world.ends.is_empty(), "seed {seed}");
        }
        for what in &world.noticed[0] {
            kinds.insert(what.to_string());
        }
        for (end, count) in world.ends {
            *ends.entry(end).or_insert(0) += count;
        }
    }
    // The lies were told, and of all kinds.
    assert!(kinds.len() >= 6, "{kinds:?}");
    assert!(ends.len() >= 3, "{ends:?}");
}
