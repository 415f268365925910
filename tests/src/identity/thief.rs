//! What a thief does with stolen keys and stolen words: everything that the format lets it say, anywhere.

use std::collections::BTreeSet;

use twin_identity::body::{Body, Kept, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Place};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;

use super::owner::removal;
use super::world::{World, short};
use super::{Held, cast};

/// The thief, with a log of its own.
pub struct Thief {
    pub log: IdentityLog,
    /// Stolen keys of devices.
    pub stolen: Vec<&'static DeviceKeys>,
    /// The first of its own devices that it has not made yet.
    pub devices: usize,
    /// Stolen words, and its own.
    words: Vec<usize>,
    /// Whether it has the words, or did once.
    pub has_words: bool,
    /// Whether the guardians are with it.
    pub guardians: bool,
    /// Rotations that it made.
    rotations: Vec<EntryId>,
    steals: bool,
}

impl Thief {
    pub fn new(log: IdentityLog) -> Self {
        Self {
            log,
            stolen: Vec::new(),
            devices: cast::THIEFS,
            words: (cast::THIEFS_WORDS..cast::GUARDIANS).collect(),
            has_words: false,
            guardians: false,
            rotations: Vec::new(),
            steals: true,
        }
    }

    /// All keys that are or were in its hands.
    pub fn had(&self) -> BTreeSet<DeviceId> {
        let own = (cast::THIEFS..self.devices).map(cast::device);
        let all = self.stolen.iter().copied().chain(own);
        all.map(DeviceKeys::id).collect()
    }

    pub fn no_longer_steals(&mut self) {
        self.steals = false;
    }

    fn made(&self) -> impl Iterator<Item = &'static DeviceKeys> {
        (cast::THIEFS..self.devices).map(cast::device)
    }

    /// Signs something without knowing of more than these.
    fn place(&self, mut prevs: Vec<EntryId>, base: EntryId) -> Place {
        prevs.sort();
        prevs.dedup();
        let known = prevs.iter().filter_map(|prev| self.log.entries().get(prev));
        let seq = known.map(|entry| entry.place.seq).max().unwrap_or(0) + 1;
        Place { prevs, seq, base }
    }
}

impl World {
    /// The thief does something, by chance.
    pub fn thief_acts(&mut self) -> Held {
        self.now += 1;
        if self.thief.steals
            && (self.thief.stolen.is_empty() && !self.thief.has_words || self.dice.chance(12))
        {
            self.steal();
            return Ok(());
        }
        match self.dice.below(100) {
            0..10 => self.listen(),
            10..50 => {
                for _ in 0..self.dice.between(1, 4) {
                    self.thief_says();
                }
            }
            50..66 => self.thief_rotates(),
            66..74 => self.thief_goes_on(),
            74..84 => self.thief_votes(),
            84..86 => self.flood(),
            _ => {}
        }
        if self.dice.chance(60) {
            self.show()?;
        }
        Ok(())
    }

    fn steal(&mut self) {
        let ours = self.ours();
        let victim = *self.dice.pick(&ours);
        self.outcome.attacked = true;
        match self.dice.below(10) {
            0..4 => {
                self.thief.has_words = true;
                let words = *self.dice.pick(&self.words);
                self.thief.words.push(words);
                self.say(|| format!("the thief finds the words {words}"));
            }
            4 => {
                self.thief.guardians = true;
                self.say(|| "the guardians side with the thief".to_owned());
            }
            _ => {
                let replica = &mut self.replicas[victim];
                self.thief.stolen.push(replica.keys);
                // Some thieves only copy the keys.
                let copied = ours.len() == 1 || self.dice.chance(30);
                replica.ours &= copied;
                let news = Self::missing(&replica.log, &self.thief.log);
                self.thief.learn(news);
                self.say(|| {
                    format!(
                        "the thief {} device {victim}",
                        if copied { "copies" } else { "steals" }
                    )
                });
            }
        }
    }

    fn listen(&mut self) {
        let ours = self.ours();
        let from = *self.dice.pick(&ours);
        let news = Self::missing(&self.replicas[from].log, &self.thief.log);
        self.say(|| format!("the thief hears {} entries", news.len()));
        self.thief.learn(news);
    }

    /// Hands what it has made to somebody, or to all.
    fn show(&mut self) -> Held {
        let all = self.dice.chance(50);
        let ours = self.ours();
        let one = *self.dice.pick(&ours);
        for to in ours {
            if all || to == one {
                let news = Self::missing(&self.thief.log, &self.replicas[to].log);
                self.say(|| format!("the thief shows device {to} {} entries", news.len()));
                self.hand_all(to, news, 0)?;
            }
        }
        Ok(())
    }

    /// Where it claims to stand: after all, or anywhere before.
    fn some_place(&mut self) -> Place {
        let log = &self.thief.log;
        let place = log.place();
        if self.dice.chance(35) {
            return place;
        }
        let ids: Vec<EntryId> = log.entries().keys().copied().collect();
        let mut prevs = Vec::new();
        for _ in 0..self.dice.between(1, 3) {
            prevs.push(*self.dice.pick(&ids));
        }
        self.thief.place(prevs, place.base)
    }

    fn some_keys(&mut self) -> Option<&'static DeviceKeys> {
        let keys: Vec<_> = self
            .thief
            .stolen
            .iter()
            .copied()
            .chain(self.thief.made())
            .collect();
        (!keys.is_empty()).then(|| *self.dice.pick(&keys))
    }

    fn new_device(&mut self) -> &'static DeviceKeys {
        if self.thief.devices + 1 < cast::DEVICES {
            self.thief.devices += 1;
        }
        cast::device(self.thief.devices - 1)
    }

    fn thief_says(&mut self) {
        let Some(signer) = self.some_keys() else {
            return;
        };
        let known: Vec<DeviceId> = self.thief.log.devices().keys().copied().collect();
        if known.is_empty() {
            // All have left, or never came.
            return;
        }
        let target = *self.dice.pick(&known);
        let mut stopped = known.clone();
        stopped.retain(|id| {
            let device = self.thief.log.device(id);
            device.is_some_and(|device| device.suspended)
        });
        let body = match self.dice.below(21) {
            0..6 => {
                let role = *self.dice.pick(&[Role::Member, Role::Admin, Role::Admin]);
                let statement = self.new_device().statement(&self.twin, role);
                Body::AddDevice(Box::new(statement))
            }
            6..9 => match self.some_keys() {
                Some(keys) => Body::AddDevice(Box::new(keys.statement(&self.twin, Role::Admin))),
                None => return,
            },
            9..12 => Body::Suspend(removal(target)),
            12..16 if !stopped.is_empty() => Body::Resume(*self.dice.pick(&stopped)),
            16..18 => Body::Revoke(removal(target)),
            18 => Body::Revoke(removal(signer.id())),
            19 => Body::Raise(removal(target)),
            _ => self.some_fork(),
        };
        let place = self.some_place();
        self.thief_signs(place, &body, signer);
    }

    fn thief_signs(&mut self, place: Place, body: &Body, signer: &DeviceKeys) -> bool {
        let entry = Entry::by_device(&self.twin, place, body, signer).unwrap();
        let id = entry.id;
        let taken = self.thief.log.insert(entry);
        self.say(|| {
            let result = taken.map_or_else(|error| error.to_string(), |_| format!("{id:?}"));
            format!(
                "the thief as {:?} says {}: {result}",
                signer.id(),
                short(body)
            )
        });
        taken.is_ok()
    }

    /// A rotation that excludes another, if the thief has a key for that.
    fn thief_rotates(&mut self) {
        let path: Vec<Entry> = self.thief.log.path().cloned().collect();
        // A rotation as it stands in the log reveals what comes after the one before it.
        let genesis = self.thief.log.genesis().entry_id();
        let fork = self.dice.index(path.len() + 1);
        let (base, committed) = match fork {
            0 => (genesis, self.thief.log.genesis().authority),
            _ => {
                let base = &path[fork - 1];
                (base.id, base.rotation().unwrap().next)
            }
        };
        let guardians = self.thief.guardians && self.dice.chance(50);
        let by = if guardians {
            Some((cast::GUARDIANS, 0))
        } else {
            cast::key_to(&committed, &self.thief.words)
        };
        let Some(by) = by else {
            return;
        };
        let prevs = if base == genesis {
            vec![genesis]
        } else if self.dice.chance(40) {
            vec![base]
        } else {
            let mut prevs = self.some_place().prevs;
            prevs.push(base);
            prevs
        };
        let rival = path
            .get(fork)
            .and_then(Entry::rotation)
            .map(|rotate| rotate.next);
        let own = cast::authority(cast::THIEFS_WORDS, (fork + 1).min(cast::KEYS - 1)).hash;
        let next = rival.filter(|_| self.dice.chance(50)).unwrap_or(own);
        let place = self.thief.place(prevs, base);
        self.thief_rotates_by(place, by, next);
    }

    fn thief_rotates_by(&mut self, place: Place, by: (usize, usize), next: [u8; 32]) {
        let mut keeps = Vec::new();
        if self.dice.chance(40) {
            let had = self.thief.had();
            for device in self.thief.log.devices().values() {
                let all = self.dice.chance(30);
                if all || had.contains(&device.public.id) {
                    keeps.push(Kept {
                        device: device.public.id,
                        role: Role::Admin,
                        suspended: device.suspended,
                    });
                }
            }
        }
        let new = self.new_device().statement(&self.twin, Role::Admin);
        let authority = cast::authority(by.0, by.1);
        let rotate = Rotate {
            authority: authority.public.clone(),
            next,
            recovery: cast::sealing(cast::THIEFS_WORDS),
            generation: self.thief.log.generation(),
            devices: vec![new],
            keeps,
            guardians: None,
            removals: Vec::new(),
            roots: None,
        };
        // Too many prevs, or the same twice: nobody would read it.
        let Ok(entry) = Entry::by_authority(&self.twin, place, rotate, &authority.key) else {
            return;
        };
        let (id, base) = (entry.id, entry.place.base);
        let taken = self.thief.log.insert(entry);
        if taken.is_ok() {
            self.thief.rotations.push(id);
            let now = self.now;
            self.thief.log.observe(now);
        }
        self.say(|| {
            let result = taken.map_or_else(|error| error.to_string(), |_| format!("{id:?}"));
            format!("the thief rotates with key {by:?} after {base:?}: {result}")
        });
    }

    /// Goes on from a rotation of its own, knowing those that it excludes.
    fn thief_goes_on(&mut self) {
        if self.thief.rotations.is_empty() {
            return;
        }
        let base = *self.dice.pick(&self.thief.rotations);
        let entries = self.thief.log.entries();
        let mine = &entries[&base];
        let rivals = entries.values().filter(|other| {
            other.rotation().is_some() && other.place.base == mine.place.base && other.id != base
        });
        let mut prevs: Vec<EntryId> = rivals.map(|rival| rival.id).take(3).collect();
        prevs.push(base);
        let committed = mine.rotation().unwrap().next;
        let Some(by) = cast::key_to(&committed, &self.thief.words) else {
            return;
        };
        let next = cast::authority(cast::THIEFS_WORDS, (by.1 + 1).min(cast::KEYS - 1)).hash;
        let place = self.thief.place(prevs, base);
        self.thief_rotates_by(place, by, next);
    }

    /// Acknowledges one of the rotations, or several, with every key that it has.
    fn thief_votes(&mut self) {
        let rotations: Vec<EntryId> = {
            let entries = self.thief.log.entries().values();
            let rotations = entries.filter(|entry| entry.rotation().is_some());
            rotations.map(|entry| entry.id).collect()
        };
        let mine = self.thief.rotations.clone();
        let choice = if mine.is_empty() { rotations } else { mine };
        let rotation = *self.dice.pick(&choice);
        let keys: Vec<_> = self
            .thief
            .stolen
            .iter()
            .copied()
            .chain(self.thief.made())
            .collect();
        for keys in keys {
            let place = self.thief.place(vec![rotation], rotation);
            self.thief_signs(place, &Body::Acknowledge, keys);
        }
    }

    /// Many entries that say nothing, on as many branches.
    fn flood(&mut self) {
        let Some(signer) = self.some_keys() else {
            return;
        };
        let place = self.some_place();
        for kind in 0..20 {
            let body = Body::Unknown {
                suite: 1,
                kind: 100 + kind,
            };
            let place = if self.dice.chance(30) {
                self.some_place()
            } else {
                place.clone()
            };
            if !self.thief_signs(place, &body, signer) {
                return;
            }
        }
    }
}

impl Thief {
    fn learn(&mut self, mut news: Vec<Entry>) {
        news.sort_by_key(|entry| entry.place.seq);
        for entry in news {
            // It may have come to another conclusion about limits; nobody minds.
            let _ = self.log.insert(entry);
        }
    }
}
