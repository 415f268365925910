//! What the owner does: adds devices and takes them out, changes the words, lets devices meet.

use twin_identity::body::{Body, Fork, Guardians, Kept, Line, Removal, Rotate};
use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, EntryId};

use super::world::{Replica, World};
use super::{Held, cast};

/// The most devices that an owner has at a time.
const WANTED: usize = 5;

impl World {
    /// The owner does something, by chance.
    pub fn owner_acts(&mut self) -> Held {
        let ours = self.ours();
        let replica = *self.dice.pick(&ours);
        match self.dice.below(100) {
            0..32 => {
                let other = *self.dice.pick(&ours);
                let loss = *self.dice.pick(&[0, 0, 30]);
                self.say(|| format!("devices {replica} and {other} meet, losing {loss} %"));
                self.meet(replica, other, loss)?;
            }
            32..48 if ours.len() < WANTED => self.add(replica),
            48..53 => self.promote(replica),
            53..63 => self.suspend(replica),
            63..75 => self.resume(replica),
            75..79 => self.revoke(replica),
            79..82 => self.leave(replica),
            82..88 => drop(self.rotate(replica, false)),
            88..91 => self.guardians_rotate(replica),
            91..94 => self.veto(replica),
            94..97 => {
                let fork = self.some_fork();
                self.speak(replica, &fork);
            }
            _ => self.wait(),
        }
        for replica in self.ours() {
            if self.dice.chance(60) {
                self.acknowledge(replica);
            }
        }
        Ok(())
    }

    /// A device that the log of `replica` knows: one of ours, as a rule.
    fn some_device(
        &mut self,
        replica: usize,
        want: impl Fn(&twin_identity::log::Device) -> bool,
    ) -> Option<DeviceId> {
        let devices = self.replicas[replica].log.devices().values();
        let fitting: Vec<DeviceId> = devices
            .filter(|device| want(device))
            .map(|device| device.public.id)
            .collect();
        (!fitting.is_empty()).then(|| *self.dice.pick(&fitting))
    }

    fn is_ours(&self, id: &DeviceId) -> bool {
        let mut replicas = self.replicas.iter();
        replicas.any(|replica| replica.ours && replica.keys.id() == *id)
    }

    /// The phone of a person who has had it for a while: other devices are linked to it, and know all.
    pub fn settle_in(&mut self) -> Held {
        for _ in 0..self.dice.between(2, 4) {
            self.add(0);
        }
        for replica in 1..self.replicas.len() {
            self.meet(0, replica, 0)?;
        }
        Ok(())
    }

    /// A new device is linked: it gets the log, and when its linker has seen what.
    fn add(&mut self, replica: usize) {
        if self.devices == cast::THIEFS {
            return;
        }
        let keys = cast::device(self.devices);
        let role = if self.dice.chance(55) {
            Role::Admin
        } else {
            Role::Member
        };
        let statement = keys.statement(&self.twin, role);
        if self
            .speak(replica, &Body::AddDevice(Box::new(statement)))
            .is_some()
        {
            self.join(replica);
        }
    }

    /// The next device joins, with all that `linker` knows.
    fn join(&mut self, linker: usize) {
        let keys = cast::device(self.devices);
        let new = Replica {
            keys,
            ours: true,
            ..self.replicas[linker].clone()
        };
        self.devices += 1;
        self.replicas.push(new);
        let number = self.replicas.len() - 1;
        self.say(|| format!("device {number} is {:?}", keys.id()));
    }

    /// A branch of some log: what the log is of nobody asks here.
    pub fn some_fork(&mut self) -> Body {
        let branch = Line {
            log: [7; 32],
            height: self.dice.between(1, 4),
            head: [8; 32],
        };
        let again = self.dice.chance(50).then_some(Line {
            log: [9; 32],
            ..branch
        });
        Body::Fork(Box::new(Fork { branch, again }))
    }

    fn promote(&mut self, replica: usize) {
        let members = self.some_device(replica, |device| device.role == Role::Member);
        let keys = self.replicas.iter().map(|replica| replica.keys);
        let keys = keys.into_iter().find(|keys| Some(keys.id()) == members);
        if let Some(keys) = keys.filter(|keys| self.is_ours(&keys.id())) {
            let statement = keys.statement(&self.twin, Role::Admin);
            self.speak(replica, &Body::AddDevice(Box::new(statement)));
        }
    }

    fn suspend(&mut self, replica: usize) {
        let stolen = self.thief.had();
        let whim = self.dice.chance(50);
        let device = self.some_device(replica, |device| whim || stolen.contains(&device.public.id));
        if let Some(device) = device {
            self.speak(replica, &Body::Suspend(removal(device)));
        }
    }

    fn resume(&mut self, replica: usize) {
        if let Some(device) = self.some_device(replica, |device| device.suspended)
            && self.is_ours(&device)
        {
            self.speak(replica, &Body::Resume(device));
        }
    }

    fn revoke(&mut self, replica: usize) {
        let Some(device) = self.some_device(replica, |device| device.role == Role::Member) else {
            return;
        };
        if self.ours().len() > 1
            && self
                .speak(replica, &Body::Revoke(removal(device)))
                .is_some()
        {
            self.retire(|replica| replica.keys.id() == device);
        }
    }

    fn leave(&mut self, replica: usize) {
        let ours = self.ours();
        let me = self.replicas[replica].keys.id();
        if ours.len() > 1 && self.speak(replica, &Body::Revoke(removal(me))).is_some() {
            // It still tells somebody.
            let other = *self.dice.pick(&ours);
            let told = self.meet(replica, other, 0);
            self.replicas[replica].ours = false;
            if let Err(fault) = told {
                self.say(|| fault);
            }
        }
    }

    fn veto(&mut self, replica: usize) {
        if let Some(pending) = self.replicas[replica].log.pending().first() {
            let rotation = pending.rotation;
            self.speak(replica, &Body::Veto(rotation));
        }
    }

    /// Devices that the owner uses no more.
    fn retire(&mut self, which: impl Fn(&Replica) -> bool) {
        for replica in &mut self.replicas {
            if which(replica) {
                replica.ours = false;
            }
        }
    }

    /// The owner changes the words, or uses them to say who is in.
    pub fn rotate(&mut self, replica: usize, new_words: bool) -> Option<EntryId> {
        let committed = self.replicas[replica].log.next_authority();
        let (words, index) = cast::key_to(&committed, &self.words)?;
        let next = if new_words || self.dice.chance(50) {
            self.new_words()?
        } else {
            words
        };
        self.rotates(replica, (words, index), next)
    }

    fn new_words(&mut self) -> Option<usize> {
        let next = cast::BIRTHS + self.words.len() - 1;
        (next < cast::THIEFS_WORDS).then(|| {
            self.words.push(next);
            next
        })
    }

    fn guardians_rotate(&mut self, replica: usize) {
        let guardians = self.replicas[replica].log.guardians();
        if guardians.is_some()
            && let Some(next) = self.new_words()
        {
            self.rotates(replica, (cast::GUARDIANS, 0), next);
        }
    }

    /// A rotation on `replica` by an authority key, to the next of some words. It keeps what is ours and was never the
    /// thief's, and names a new device if it needs one.
    fn rotates(&mut self, replica: usize, by: (usize, usize), next: usize) -> Option<EntryId> {
        let log = &self.replicas[replica].log;
        let index = log.rotations();
        if index + 1 >= cast::KEYS {
            return None;
        }
        let by_words = by.0 != cast::GUARDIANS;
        let stolen = self.thief.had();
        let good = |id: &DeviceId| self.is_ours(id) && !stolen.contains(id);
        let known = log.devices().values().chain(log.waiting());
        let known = known.map(|device| (device.public.id, device.role, device.suspended));
        let gone = log
            .gone()
            .filter_map(|id| Some((*id, log.role_once(id)?, false)));
        let known: Vec<(DeviceId, Role, bool)> =
            known.chain(gone).filter(|(id, ..)| good(id)).collect();
        let generation = log.generation();
        let mut keeps = Vec::new();
        for (device, role, suspended) in known {
            let role = if self.dice.chance(25) {
                Role::Admin
            } else {
                role
            };
            let suspended = suspended && self.dice.chance(30);
            keeps.push(Kept {
                device,
                role,
                suspended,
            });
        }
        keeps.sort_by_key(|kept| kept.device);
        let admin = keeps
            .iter()
            .any(|kept| kept.role == Role::Admin && !kept.suspended);
        let named = !admin && self.devices < cast::THIEFS;
        let new = named.then(|| cast::device(self.devices).statement(&self.twin, Role::Admin));
        // Guardians that side with a thief are asked no more.
        let asked = self.dice.chance(30) && !self.thief.guardians;
        let guardians = asked.then(|| Guardians {
            authority: cast::authority(cast::GUARDIANS, 0).hash,
            delay_days: u16::try_from(self.dice.between(1, 3)).unwrap(),
            sealing: None,
        });
        let authority = cast::authority(by.0, by.1);
        let rotate = Rotate {
            authority: authority.public.clone(),
            next: cast::authority(next, index + 1).hash,
            recovery: cast::sealing(next),
            generation: generation + u32::from(self.dice.chance(30)),
            devices: new.into_iter().collect(),
            keeps,
            guardians,
            removals: Vec::new(),
            roots: None,
        };
        let kept: Vec<DeviceId> = rotate.keeps.iter().map(|kept| kept.device).collect();
        let entry = self.replicas[replica]
            .log
            .rotate(rotate, &authority.key)
            .unwrap();
        let id = self.takes_own(replica, entry)?;
        self.say(|| {
            let kept: Vec<String> = kept.iter().map(|id| format!("{id:?}")).collect();
            format!(
                "on device {replica} {} rotate to words {next}, keeping {} ({id:?})",
                if by_words { "the words" } else { "guardians" },
                kept.join(" ")
            )
        });
        self.by_owner.insert(id);
        if by_words {
            // What is not kept has to be linked again.
            self.retire(|replica| !kept.contains(&replica.keys.id()));
            if named {
                self.join(replica);
            }
        } else if named {
            // It is of no use before the delay is over; the run goes on with the others.
            self.devices += 1;
        }
        Some(id)
    }

    fn takes_own(&mut self, replica: usize, entry: Entry) -> Option<EntryId> {
        let id = entry.id;
        let rivals = {
            let log = &self.replicas[replica].log;
            let mut entries = log.entries().values();
            entries.any(|other| other.rotation().is_some() && other.place.base == entry.place.base)
        };
        if let Err(error) = self.replicas[replica].log.insert(entry) {
            self.say(|| format!("on device {replica} no rotation: {error}"));
            return None;
        }
        if rivals {
            self.replicas[replica].late.insert(id);
        }
        self.observe(replica);
        Some(id)
    }

    /// The owner knows what was stolen, and rotates to new words without it; mostly all devices hear of it at once.
    pub fn get_rid_of_thief(&mut self) -> Held {
        let ours = self.ours();
        let replica = *self.dice.pick(&ours);
        let Some(id) = self.rotate(replica, true) else {
            return Ok(());
        };
        self.thief.no_longer_steals();
        if self.dice.chance(70) {
            let from = self.ours();
            for other in from.into_iter().filter(|other| *other != replica) {
                let news = Self::missing(&self.replicas[replica].log, &self.replicas[other].log);
                self.hand_all(other, news, 0)?;
            }
        }
        self.freed = Some(id);
        Ok(())
    }
}

pub fn removal(device: DeviceId) -> Box<Removal> {
    Box::new(Removal {
        device,
        lines: Vec::new(),
    })
}
