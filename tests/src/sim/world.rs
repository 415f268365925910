//! The event loop: a virtual clock, cables, and everything that is going to happen, in order.

use std::collections::BTreeMap;

use twin_sync::session::{Side as Dialled, Stay};
use twin_sync::transport::TransportKey;

use super::cable::{Cable, Mangling, Packet, Quality, ROOM};
use super::cast::Cast;
use super::device::Instant;
use super::dice::Dice;
use super::fault::{Held, fault, hold};
use super::party::{End, Party, Scene, Syncing};

/// More events than any run needs: whoever talks on and on is a fault.
const MOST_EVENTS: u64 = 200_000;

enum Event {
    Arrive {
        cable: u64,
        to: usize,
        packet: Packet,
    },
    Alarm {
        cable: u64,
        side: usize,
    },
    HangUp {
        cable: u64,
        side: usize,
        why: &'static str,
    },
    Restart {
        device: usize,
    },
}

/// A frame between strangers.
pub struct Overheard {
    /// On which cable.
    pub cable: u64,
    /// The twin of the device that said it.
    pub twin: usize,
    /// The frame.
    pub frame: Vec<u8>,
}

/// A run.
pub struct World {
    /// Milliseconds since the run began.
    pub now: Instant,
    /// All chance.
    pub dice: Dice,
    /// Everybody.
    pub cast: Cast,
    /// What our devices said to strangers.
    pub overheard: Vec<Overheard>,
    queue: BTreeMap<(Instant, u64), Event>,
    cables: BTreeMap<u64, Cable>,
    next: u64,
    events: u64,
    generations: BTreeMap<usize, u64>,
}

impl World {
    /// An empty world.
    pub fn new(dice: Dice, cast: Cast) -> Self {
        Self {
            now: 0,
            dice,
            cast,
            overheard: Vec::new(),
            queue: BTreeMap::new(),
            cables: BTreeMap::new(),
            next: 0,
            events: 0,
            generations: BTreeMap::new(),
        }
    }

    /// The world as a party sees it.
    pub fn scene(&mut self) -> Scene<'_> {
        Scene {
            now: self.now,
            dice: &mut self.dice,
            cast: &mut self.cast,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn at(&mut self, when: Instant, event: Event) {
        let number = self.number();
        self.queue.insert((when.max(self.now), number), event);
    }

    /// Lets two parties talk.
    pub fn connect(&mut self, cable: Cable) -> Held<u64> {
        let id = self.number();
        if let Some(until) = cable.quality.until {
            for side in 0..2 {
                self.at(
                    until,
                    Event::HangUp {
                        cable: id,
                        side,
                        why: "time is up",
                    },
                );
            }
        }
        if let Some(lost) = cable.quality.lost_from.iter().flatten().min() {
            let noticed = lost + cable.quality.patience;
            for side in 0..2 {
                self.at(
                    noticed,
                    Event::HangUp {
                        cable: id,
                        side,
                        why: "the connection is dead",
                    },
                );
            }
        }
        self.cables.insert(id, cable);
        self.pump(id, 0)?;
        self.pump(id, 1)?;
        self.settle()?;
        Ok(id)
    }

    /// The first device of the twin next door, which has something to hide too.
    pub fn neighbour(&mut self) -> Held<usize> {
        if let [first, ..] = self.cast.of_twin(1)[..] {
            return Ok(first);
        }
        let neighbour = self.cast.birth(&mut self.dice)?;
        self.write_something(neighbour)?;
        Ok(neighbour)
    }

    /// Two devices of one twin meet.
    pub fn meet(&mut self, devices: [usize; 2], stay: [Stay; 2], quality: Quality) -> Held<u64> {
        let keys = [0; 2].map(|_| TransportKey::from_bytes(self.dice.bytes()));
        let mut scene = self.scene();
        let first = Syncing::new(
            &mut scene,
            devices[0],
            Dialled::Initiator,
            keys[0],
            keys[1],
            stay[0],
        );
        let second = Syncing::new(
            &mut scene,
            devices[1],
            Dialled::Responder,
            keys[1],
            keys[0],
            stay[1],
        );
        self.cast.trace.say(self.now, || {
            format!(
                "meet: device {} and device {}, {stay:?}, {quality:?}",
                devices[0], devices[1]
            )
        });
        let must_succeed = quality.is_good();
        let mut cable = Cable::new([Box::new(first), Box::new(second)], quality);
        cable.must_succeed = must_succeed;
        self.connect(cable)
    }

    /// Lets everything happen that is due until `end`.
    pub fn run_until(&mut self, end: Instant) -> Held {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end
        {
            let ((when, _), event) = entry.remove_entry();
            self.now = when;
            self.events += 1;
            hold!(self.events < MOST_EVENTS, "there is no end of talking");
            self.handle(event)?;
            self.settle()?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// Lets everything happen until nothing more is going to, which must be before `end`.
    pub fn run_until_quiet(&mut self, end: Instant) -> Held {
        let last = loop {
            self.run_until(
                self.queue
                    .first_key_value()
                    .map_or(self.now, |(key, _)| key.0),
            )?;
            if self.queue.is_empty() {
                break self.now;
            }
            hold!(self.now <= end, "the devices did not come to rest in time");
        };
        self.now = last;
        Ok(())
    }

    /// Whether both ends of a cable hold their replicas for equal.
    pub fn is_in_sync(&self, cable: u64) -> bool {
        self.cables.get(&cable).is_some_and(|cable| {
            let in_sync =
                |party: &Option<Box<dyn Party>>| party.as_ref().is_some_and(|p| p.is_in_sync());
            cable.sides.iter().all(|side| in_sync(&side.party))
        })
    }

    fn handle(&mut self, event: Event) -> Held {
        match event {
            Event::Arrive { cable, to, packet } => self.arrive(cable, to, packet),
            Event::Alarm { cable, side } => self.alarm(cable, side),
            Event::HangUp { cable, side, why } => self.let_go(cable, side, why),
            Event::Restart { device } => self.restart(device),
        }
    }

    fn arrive(&mut self, id: u64, to: usize, packet: Packet) -> Held {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        let from = 1 - to;
        match packet {
            Packet::Frame(frame) => {
                cable.sides[from].under_way = cable.sides[from].under_way.saturating_sub(1);
                self.act(id, to, |party, scene| party.receive(scene, &frame))?;
                self.pump(id, to)?;
                self.pump(id, from)
            }
            Packet::End => {
                let party = cable.sides[to].party.as_ref();
                let early = party.is_some_and(|party| !party.is_finished());
                let why = if early {
                    "the other side has ended early"
                } else {
                    "both are done"
                };
                self.let_go(id, to, why)
            }
        }
    }

    fn alarm(&mut self, id: u64, side: usize) -> Held {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        cable.sides[side].alarm = None;
        self.act(id, side, |party, scene| {
            if party.alarm(scene).is_some_and(|alarm| alarm <= scene.now) {
                party.ring(scene)?;
            }
            Ok(())
        })?;
        self.pump(id, side)
    }

    /// Lets a party do something. What it returns is lost if it has let go.
    fn act<T>(
        &mut self,
        id: u64,
        side: usize,
        action: impl FnOnce(&mut dyn Party, &mut Scene<'_>) -> Result<T, End>,
    ) -> Held<Option<T>> {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(None);
        };
        let Some(mut party) = cable.sides[side].party.take() else {
            return Ok(None);
        };
        let mut scene = Scene {
            now: self.now,
            dice: &mut self.dice,
            cast: &mut self.cast,
        };
        match action(&mut *party, &mut scene) {
            Ok(done) => {
                let alarm = party.alarm(&scene);
                cable.sides[side].party = Some(party);
                if let Some(when) = alarm
                    && cable.sides[side].alarm.is_none_or(|set| when < set)
                {
                    cable.sides[side].alarm = Some(when);
                    self.at(when, Event::Alarm { cable: id, side });
                }
                Ok(Some(done))
            }
            Err(End::Fault(fault)) => Err(fault),
            Err(End::Over(why)) => {
                let device = party.device();
                self.cast
                    .trace
                    .say(self.now, || format!("cable {id}, device {device:?}: {why}"));
                hold!(
                    !cable.must_succeed,
                    "two devices of one twin could not sync: {why}"
                );
                cable.sides[side].party = Some(party);
                self.let_go(id, side, "an error")?;
                Ok(None)
            }
        }
    }

    /// Takes from a party what it has to say, as long as there is room for it.
    fn pump(&mut self, id: u64, side: usize) -> Held {
        loop {
            let Some(cable) = self.cables.get(&id) else {
                return Ok(());
            };
            if cable.sides[side].under_way >= ROOM {
                return Ok(());
            }
            let Some(said) = self.act(id, side, |party, scene| party.next_frame(scene))? else {
                return Ok(());
            };
            match said {
                Some(frame) => self.send(id, side, frame),
                None => break,
            }
        }
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        if cable.sides[side]
            .party
            .as_ref()
            .is_some_and(|party| party.is_finished())
        {
            cable.sides[side].is_done = true;
            self.let_go(id, side, "done")?;
        }
        Ok(())
    }

    fn send(&mut self, id: u64, side: usize, frame: Vec<u8>) {
        let Some(cable) = self.cables.get_mut(&id) else {
            return;
        };
        let here = &mut cable.sides[side];
        let party = here.party.as_ref();
        if let Some(device) = party
            .filter(|p| cable.is_strange && p.is_honest())
            .and_then(|p| p.device())
        {
            let twin = self.cast.devices[device].twin;
            self.overheard.push(Overheard {
                cable: id,
                twin,
                frame: frame.clone(),
            });
        }
        let mangling = cable.quality.mangled[side]
            .filter(|(which, _)| *which == here.sent)
            .map(|(_, mangling)| mangling);
        here.sent += 1;
        let mut frames = vec![frame];
        frames.extend(here.held_back.take());
        match mangling {
            None => {}
            Some(Mangling::Flip) => {
                let bit = self.dice.index(frames[0].len() * 8);
                frames[0][bit / 8] ^= 1 << (bit % 8);
            }
            Some(Mangling::Twice) => frames.push(frames[0].clone()),
            Some(Mangling::Lose) => frames.clear(),
            Some(Mangling::Late) => here.held_back = frames.pop(),
        }
        for frame in frames {
            self.ship(id, side, Packet::Frame(frame));
        }
    }

    fn ship(&mut self, id: u64, side: usize, packet: Packet) {
        let Some(cable) = self.cables.get_mut(&id) else {
            return;
        };
        let here = &mut cable.sides[side];
        let (least, most) = cable.quality.delay;
        here.last = here.last.max(self.now + self.dice.between(least, most));
        if matches!(packet, Packet::Frame(_)) {
            here.under_way += 1;
        }
        let when = here.last;
        if cable.quality.lost_from[side].is_none_or(|lost| when < lost) {
            self.at(
                when,
                Event::Arrive {
                    cable: id,
                    to: 1 - side,
                    packet,
                },
            );
        }
    }

    /// A party lets go of its end, and the other end is told.
    fn let_go(&mut self, id: u64, side: usize, why: &str) -> Held {
        let Some(cable) = self.cables.get_mut(&id) else {
            return Ok(());
        };
        let Some(party) = cable.sides[side].party.take() else {
            return Ok(());
        };
        self.cast.trace.say(self.now, || {
            format!("cable {id}, side {side} lets go: {why}")
        });
        drop(party);
        if cable.sides[1 - side].party.is_some() {
            self.ship(id, side, Packet::End);
        } else {
            self.cables.remove(&id);
        }
        Ok(())
    }

    /// Everybody who shares a vault that has changed is told, until nothing changes any more.
    pub fn settle(&mut self) -> Held {
        for _ in 0..1000 {
            let changed = (0..self.cast.devices.len()).find(|device| {
                let vault = &self.cast.devices[*device];
                vault.is_up()
                    && self.generations.get(device) != Some(&vault.vault_ref().generation())
            });
            let Some(device) = changed else { return Ok(()) };
            let generation = self.cast.devices[device].vault_ref().generation();
            self.generations.insert(device, generation);
            self.cast.inspect(device, self.now)?;
            for (id, side) in self.ends_of(device) {
                self.act(id, side, |party, scene| party.store_changed(scene))?;
                self.pump(id, side)?;
            }
        }
        Err(fault!("a vault keeps changing by itself"))
    }

    fn ends_of(&self, device: usize) -> Vec<(u64, usize)> {
        let of_device = |party: &Option<Box<dyn Party>>| {
            party
                .as_ref()
                .is_some_and(|party| party.device() == Some(device))
        };
        let ends = self
            .cables
            .iter()
            .flat_map(|(id, cable)| [(*id, 0, cable), (*id, 1, cable)]);
        let ends = ends.filter(|(_, side, cable)| of_device(&cable.sides[*side].party));
        ends.map(|(id, side, _)| (id, side)).collect()
    }

    /// Somebody sets a device's clock. A session that waits for its peer may then end early: a device has no other
    /// clock to wait by.
    pub fn set_skew(&mut self, device: usize, skew: i64) {
        self.cast.devices[device].skew = skew;
        for (id, _) in self.ends_of(device) {
            if let Some(cable) = self.cables.get_mut(&id) {
                cable.must_succeed = false;
            }
        }
    }

    /// The process of a device is killed, and begins again after a while.
    pub fn crash(&mut self, device: usize) -> Held {
        self.cast
            .trace
            .say(self.now, || format!("device {device} crashes"));
        for (id, side) in self.ends_of(device) {
            self.let_go(id, side, "killed")?;
        }
        self.cast.devices[device].crash()?;
        self.generations.remove(&device);
        let back = self.now + self.dice.between(100, 20_000);
        self.at(back, Event::Restart { device });
        Ok(())
    }

    fn restart(&mut self, device: usize) -> Held {
        if !self.cast.devices[device].is_up() {
            self.cast
                .trace
                .say(self.now, || format!("device {device} is back"));
            self.cast.devices[device].restart()?;
            self.cast.tell_time(device, self.now)?;
            self.cast.inspect(device, self.now)?;
        }
        Ok(())
    }

    /// Everything that is under way is lost, and every device runs.
    pub fn heal(&mut self) -> Held {
        self.cables.clear();
        self.queue.clear();
        (0..self.cast.devices.len()).try_for_each(|device| self.restart(device))
    }
}
