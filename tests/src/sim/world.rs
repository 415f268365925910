//! The event loop: a virtual clock, cables, and everything that is going to happen, in order.

use std::collections::BTreeMap;

use super::cable::{Cable, Packet};
use super::cast::Cast;
use super::device::Instant;
use super::fault::{Held, fault, hold};
use super::party::Scene;
use crate::dice::Dice;

/// More events than any run needs: whoever talks on and on is a fault.
const MOST_EVENTS: u64 = 200_000;

/// What is going to happen.
pub(super) enum Event {
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
    pub(super) cables: BTreeMap<u64, Cable>,
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

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn at(&mut self, when: Instant, event: Event) {
        let number = self.number();
        self.queue.insert((when.max(self.now), number), event);
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

    fn handle(&mut self, event: Event) -> Held {
        match event {
            Event::Arrive { cable, to, packet } => self.arrive(cable, to, packet),
            Event::Alarm { cable, side } => self.alarm(cable, side),
            Event::HangUp { cable, side, why } => self.let_go(cable, side, why),
            Event::Restart { device } => self.restart(device),
        }
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

    /// Something makes a copy of a device's files.
    pub fn back_up(&mut self, device: usize) -> Held {
        self.cast
            .trace
            .say(self.now, || format!("device {device} is backed up"));
        self.cast.devices[device].back_up(self.cast.compactions)
    }

    /// A person brings a device back from a copy of its files. What it has written since is lost as far as nobody else has
    /// it.
    pub fn bring_back(&mut self, device: usize) -> Held {
        self.cast.trace.say(self.now, || {
            format!("device {device} is brought back from its backup")
        });
        for (id, side) in self.ends_of(device) {
            self.let_go(id, side, "killed")?;
        }
        self.cast.devices[device].bring_back()?;
        self.forget(device, false);
        let back = self.now + self.dice.between(100, 20_000);
        self.at(back, Event::Restart { device });
        Ok(())
    }

    /// A device's disk is as it was when its files were copied, and nothing on it can tell. Its person may write on it
    /// before it meets anybody.
    pub fn set_back(&mut self, device: usize) -> Held {
        self.cast
            .trace
            .say(self.now, || format!("device {device} is set back"));
        for (id, side) in self.ends_of(device) {
            self.let_go(id, side, "killed")?;
        }
        self.cast.devices[device].set_back()?;
        self.forget(device, true);
        if self.dice.chance(40) {
            let back = self.now + self.dice.between(100, 20_000);
            self.at(back, Event::Restart { device });
            return Ok(());
        }
        self.restart(device)?;
        for _ in 0..self.dice.between(1, 3) {
            self.write_something(device)?;
        }
        Ok(())
    }

    /// A device has forgotten what it has done since it was copied, and so has everybody what only it had.
    fn forget(&mut self, device: usize, in_place: bool) {
        let Cast { truth, devices, .. } = &mut self.cast;
        truth.is_set_back(devices[device].id, in_place);
        truth.forget(|link| devices.iter().any(|device| device.view.holds(link)));
        self.generations.remove(&device);
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
