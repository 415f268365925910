//! What happens in a run: people write, devices meet, are linked, crash and have wrong clocks, all by chance.

use twin_ops::set::Set;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_sync::session::Stay;
use twin_sync::transport::TransportKey;
use twin_vault::{FieldEdit, WriteChange};

use super::cable::{Cable, Quality};
use super::device::Instant;
use super::fault::Held;
use super::intruders;
use super::linking::{NewDevice, Newcomer, Phone, Typing};
use super::party::Party;
use super::truth::CANARY;
use super::world::World;
use crate::dice::Dice;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The most devices of a run, with those that are out.
const MOST_DEVICES: usize = 8;

/// What kind of run this is.
pub struct Story {
    /// How many devices the person wants.
    devices: usize,
    /// How many things happen.
    length: u64,
    /// How many times in a hundred something goes wrong with a cable.
    trouble: u64,
    /// Whether clocks go wrong by more than a little.
    wild_clocks: bool,
    /// How many times in a hundred what happens is an attack.
    attacks: u64,
}

impl Story {
    /// A story by chance.
    pub fn by_chance(dice: &mut Dice) -> Self {
        Self {
            // Linking costs most of the time that a run takes, and most of what can go wrong takes two or three.
            devices: *dice.pick(&[2, 2, 2, 3, 3, 3, 4, 5]),
            length: dice.between(20, 60),
            trouble: *dice.pick(&[0, 10, 50]),
            wild_clocks: dice.chance(40),
            attacks: *dice.pick(&[0, 8, 20]),
        }
    }
}

impl World {
    /// Lets a story happen.
    pub fn live(&mut self, story: &Story) -> Held {
        self.cast.birth(&mut self.dice)?;
        for _ in 0..story.length {
            let pause = match self.dice.below(10) {
                0 => MINUTE,
                1..4 => 10 * SECOND,
                _ => SECOND,
            };
            let then = self.now + self.dice.below(pause);
            self.run_until(then)?;
            self.step(story)?;
            self.settle()?;
        }
        self.run_until(self.now + 20 * SECOND)
    }

    fn step(&mut self, story: &Story) -> Held {
        let ours = self.running();
        let Some(device) = (!ours.is_empty()).then(|| *self.dice.pick(&ours)) else {
            return Ok(());
        };
        if self.dice.chance(story.attacks) {
            return intruders::attack(self);
        }
        let wanted =
            self.cast.of_twin(0).len() < MOST_DEVICES && self.in_log(device) < story.devices;
        if self.cast.things_are_erased && self.dice.chance(10) {
            return self.erase_something(device);
        }
        match self.dice.below(122) {
            0..20 if wanted => self.link(),
            0..48 => self.write_something(device),
            48..60 => self.change_members(device),
            60..82 => self.some_meet(&ours, story),
            82..86 => self.crash(device),
            86..92 => {
                self.set_clock(device, story);
                Ok(())
            }
            92..96 => self.compact(&ours),
            100..106 => self.back_up(device),
            106..108 if self.cast.devices[device].has_backup() => self.bring_back(device),
            108..116 => {
                let compactions = self.cast.compactions;
                let may = |device: &usize| self.cast.devices[*device].may_be_set_back(compactions);
                match ours.iter().copied().find(may) {
                    Some(device) => self.set_back(device),
                    None => self.back_up(device),
                }
            }
            116..122 => self.choose(device),
            96..98 => {
                self.cast.devices[device].vault().rebuild_index()?;
                self.cast.check_records(device, self.now)
            }
            _ => self.cast.check_records(device, self.now),
        }
    }

    /// Our devices that run.
    pub fn running(&self) -> Vec<usize> {
        let ours = self.cast.of_twin(0).into_iter();
        ours.filter(|device| self.cast.devices[*device].is_up())
            .collect()
    }

    /// A person writes something on a device.
    pub fn write_something(&mut self, device: usize) -> Held {
        let space = some_space(&mut self.dice, self.cast.devices[device].is_admin());
        let changes: Vec<WriteChange> = (0..self.dice.between(1, 3))
            .map(|_| some_change(&mut self.dice))
            .collect();
        self.cast.trace.say(self.now, || {
            format!("device {device} writes to {space}: {changes:?}")
        });
        self.cast
            .write(device, self.now, &mut self.dice, &space, &changes)
    }

    /// A person chooses what a device keeps.
    fn choose(&mut self, device: usize) -> Held {
        let mut spaces = self.cast.devices[device].vault().spaces()?;
        spaces.retain(|space| !space.as_str().starts_with('~'));
        if spaces.is_empty() {
            return Ok(());
        }
        let space = self.dice.pick(&spaces).clone();
        let keep = self.dice.chance(40);
        self.cast
            .select(device, self.now, &mut self.dice, &space, keep)
    }

    /// Every device keeps everything again.
    pub fn choose_all(&mut self) -> Held {
        for device in self.cast.of_twin(0) {
            let vault = self.cast.devices[device].vault();
            let me = vault.device_keys().id();
            for space in vault.unselected_by(&me)? {
                self.cast
                    .select(device, self.now, &mut self.dice, &space, true)?;
            }
        }
        Ok(())
    }

    /// A person lets go of what was overwritten, on a device that may; mostly after it has met the others.
    fn compact(&mut self, ours: &[usize]) -> Held {
        let is_admin = |device: &&usize| self.cast.devices[**device].is_admin();
        let admins: Vec<usize> = ours.iter().filter(is_admin).copied().collect();
        // What a checkpoint has made of one of two histories, nobody gives up any more: both stay, and no person is asked to
        // let go of anything where that is so.
        if admins.is_empty() || self.cast.has_branches() {
            return Ok(());
        }
        let device = *self.dice.pick(&admins);
        if self.dice.chance(80) {
            for other in ours.iter().filter(|other| **other != device) {
                let quality = Quality::good(&mut self.dice);
                self.meet([device, *other], [Stay::UntilInSync; 2], quality)?;
                self.run_until(self.now + 10 * SECOND)?;
            }
        }
        if !self.cast.devices[device].is_up() || self.cast.has_branches() {
            return Ok(());
        }
        let now = self.now;
        let spaces = self.cast.devices[device].vault().spaces()?;
        for space in spaces {
            self.cast.compact(device, now, &mut self.dice, &space)?;
        }
        self.cast.check_records(device, now)
    }

    fn some_meet(&mut self, ours: &[usize], story: &Story) -> Held {
        let others: Vec<usize> = ours.to_vec();
        let (one, two) = (*self.dice.pick(&others), *self.dice.pick(&others));
        if one == two {
            return Ok(());
        }
        let mut quality = Quality::good(&mut self.dice);
        if self.dice.chance(story.trouble) {
            quality = Quality::usual(&mut self.dice, self.now);
        } else if story.trouble > 0 && self.dice.chance(8) {
            quality = Quality::broken(&mut self.dice, self.now);
        }
        let stay = [(); 2].map(|()| match self.dice.below(2) {
            0 => Stay::UntilInSync,
            _ => Stay::Online,
        });
        if stay.contains(&Stay::Online) && quality.until.is_none() {
            quality.until = Some(self.now + self.dice.between(SECOND, 2 * MINUTE));
        }
        self.meet([one, two], stay, quality)?;
        Ok(())
    }

    fn set_clock(&mut self, device: usize, story: &Story) {
        let wrong = match self.dice.below(6) {
            0 if story.wild_clocks => self.dice.between(11 * MINUTE, 72 * HOUR).cast_signed(),
            1 if story.wild_clocks => -self.dice.between(11 * MINUTE, 72 * HOUR).cast_signed(),
            2 => self.dice.below(9 * MINUTE).cast_signed(),
            3 => -self.dice.below(9 * MINUTE).cast_signed(),
            _ => 0,
        };
        self.cast.trace.say(self.now, || {
            format!("device {device}'s clock is wrong by {wrong} ms")
        });
        self.set_skew(device, wrong);
    }

    /// A person links a new device.
    fn link(&mut self) -> Held {
        let admins: Vec<usize> = self.running();
        let is_admin = |device: &usize| self.cast.devices[*device].is_admin();
        let admins: Vec<usize> = admins.into_iter().filter(is_admin).collect();
        if admins.is_empty() {
            return Ok(());
        }
        let phone = *self.dice.pick(&admins);
        let (age, typing) = match self.dice.below(12) {
            0 => (self.dice.between(100 * SECOND, 3 * MINUTE), Typing::Right),
            1 => (0, Typing::Wrong),
            _ => (0, Typing::Right),
        };
        let quality = if self.dice.chance(10) {
            Quality::usual(&mut self.dice, self.now)
        } else {
            Quality::good(&mut self.dice)
        };
        let newcomer = self.arrive_newcomer(age)?;
        self.cast.trace.say(self.now, || {
            format!(
                "link: device {phone} scans newcomer {newcomer}, {age} ms old, types {typing:?}"
            )
        });
        self.scan(phone, newcomer, typing, quality.clone())?;
        if self.dice.chance(10) {
            // The same code is scanned once more, while it is used or after.
            let again = self.now + self.dice.below(40 * SECOND);
            self.run_until(again)?;
            if self.cast.devices[phone].is_up() {
                self.scan(phone, newcomer, typing, quality)?;
            }
        }
        Ok(())
    }

    /// Somebody unpacks a new device, and makes it show its offer.
    pub fn arrive_newcomer(&mut self, age: Instant) -> Held<usize> {
        let newcomer = Newcomer::new(&mut self.cast, &mut self.dice, self.now, 0, age)?;
        self.cast.newcomers.push(newcomer);
        Ok(self.cast.newcomers.len() - 1)
    }

    /// A phone scans the newcomer's code and dials it.
    pub fn scan(
        &mut self,
        phone: usize,
        newcomer: usize,
        typing: Typing,
        quality: Quality,
    ) -> Held {
        let me = TransportKey::from_bytes(self.dice.bytes());
        let shown = &mut self.cast.newcomers[newcomer];
        shown.seen_by.insert(me);
        let (text, peer) = (shown.offer.clone(), shown.transport);
        let party = Phone::new(
            &mut self.scene(),
            phone,
            newcomer,
            &text,
            [me, peer],
            typing,
        )?;
        let parties: [Box<dyn Party>; 2] =
            [Box::new(party), Box::new(NewDevice::new(newcomer, me))];
        self.connect(Cable::new(parties, quality))?;
        Ok(())
    }
}

pub fn some_space(dice: &mut Dice, admin: bool) -> SpaceName {
    match dice.below(10) {
        0 if admin => SpaceName::keys(),
        1 => SpaceName::members(),
        number => {
            let name = ["notes", "work", "home"][usize::try_from(number).unwrap() % 3];
            SpaceName::new(&format!("{CANARY} {name}")).expect("a good name")
        }
    }
}

/// A change to one of few records, so that people often change the same.
pub fn some_change(dice: &mut Dice) -> WriteChange {
    let collection = format!("{CANARY} {}", dice.pick(&["letters", "lists"]));
    let id = format!("{CANARY} {}", dice.below(3));
    match dice.below(10) {
        0..3 => WriteChange::put(&collection, &id, some_fields(dice)),
        3..8 => {
            let patch = WriteChange::patch(&collection, &id, some_fields(dice));
            some_edit(dice, patch)
        }
        _ => WriteChange::delete(&collection, &id),
    }
}

/// Now and then adds to a set, removes from it or counts, too.
fn some_edit(dice: &mut Dice, change: WriteChange) -> WriteChange {
    let edit = match dice.below(4) {
        0 => FieldEdit::Elements {
            add: some_set(dice),
            remove: some_set(dice),
        },
        1 => FieldEdit::Count(dice.below(20).cast_signed() - 5),
        _ => return change,
    };
    let name = match edit {
        FieldEdit::Elements { .. } => format!("{CANARY} set"),
        FieldEdit::Count(_) => format!("{CANARY} counter"),
    };
    if change.fields.0.contains_key(&name) {
        return change;
    }
    change.with(&name, edit)
}

fn some_set(dice: &mut Dice) -> Set {
    let elements = (0..dice.below(3)).map(|_| Value::Text(format!("{CANARY} {}", dice.below(3))));
    Set::of(elements).expect("elements")
}

fn some_fields(dice: &mut Dice) -> Fields {
    let mut fields = Fields::default();
    match dice.below(12) {
        0 => {
            let set = Value::Set(some_set(dice));
            fields.0.insert(format!("{CANARY} set"), set);
        }
        1 => {
            let number = Value::Counter(dice.below(100).cast_signed());
            fields.0.insert(format!("{CANARY} counter"), number);
        }
        _ => {}
    }
    for _ in 0..dice.below(4) {
        let value = match dice.below(6) {
            0 => Value::Null,
            1 => Value::Bool(dice.chance(50)),
            2 => Value::Int(dice.below(1000).cast_signed()),
            3 => Value::Float(0.5),
            4 => Value::Bytes(format!("{CANARY} {}", dice.below(1000)).into_bytes()),
            _ => Value::Text(format!("{CANARY} {}", dice.below(1000))),
        };
        fields
            .0
            .insert(format!("{CANARY} {}", dice.below(4)), value);
    }
    fields
}
