//! The devices, what they hand to each other, and the time.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::body::Body;
use twin_identity::device::DeviceKeys;
use twin_identity::entry::Entry;
use twin_identity::id::{EntryId, TwinId};
use twin_identity::log::{IdentityLog, LogError};

use super::thief::Thief;
use super::{Held, Outcome, cast};
use crate::dice::Dice;

/// A device in its owner's hands, or that was.
#[derive(Clone)]
pub struct Replica {
    pub keys: &'static DeviceKeys,
    pub log: IdentityLog,
    /// In the owner's hands, and of use.
    pub ours: bool,
    /// When it first saw each rotation and veto.
    pub seen: BTreeMap<EntryId, u64>,
    /// Rotations that came when another that reveals the same key was there.
    pub late: BTreeSet<EntryId>,
}

/// All of a run.
pub struct World {
    pub dice: Dice,
    pub now: u64,
    pub twin: TwinId,
    pub replicas: Vec<Replica>,
    pub thief: Thief,
    /// All words that the owner has written down, newest last.
    pub words: Vec<usize>,
    /// Rotations that the owner made.
    pub by_owner: BTreeSet<EntryId>,
    /// How many devices the owner has had.
    pub devices: usize,
    /// The rotation by which the owner got rid of the thief.
    pub freed: Option<EntryId>,
    pub outcome: Outcome,
    /// The story, if somebody listens.
    pub trace: Option<Vec<String>>,
}

const HOUR: u64 = 60 * 60 * 1000;

impl World {
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let birth = dice.index(cast::BIRTHS);
        let (genesis, entry) = cast::birth(birth);
        let mut log = IdentityLog::new(genesis.clone());
        log.insert(entry.clone()).unwrap();
        let seen = log.observe(1).into_iter().collect();
        let phone = Replica {
            keys: cast::device(0),
            log: log.clone(),
            ours: true,
            seen,
            late: BTreeSet::new(),
        };
        Self {
            dice,
            now: 1,
            twin: genesis.twin_id(),
            replicas: vec![phone],
            thief: Thief::new(log),
            words: vec![birth],
            by_owner: BTreeSet::from([entry.id]),
            devices: 1,
            freed: None,
            outcome: Outcome::default(),
            trace: traced.then(Vec::new),
        }
    }

    /// Adds a line to the story.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace {
            lines.push(format!("{:>12} {}", self.now, line()));
        }
    }

    /// A whole life: everything goes well, then maybe not.
    pub fn live(&mut self) -> Held {
        let attacked = self.dice.chance(75);
        if self.dice.chance(60) {
            self.settle_in()?;
        }
        for _ in 0..self.dice.between(4, 16) {
            self.owner_acts()?;
            if attacked && self.dice.chance(45) {
                self.thief_acts()?;
            }
        }
        if self.dice.chance(75) {
            self.get_rid_of_thief()?;
            for _ in 0..self.dice.between(2, 8) {
                if self.dice.chance(50) {
                    self.owner_acts()?;
                }
                if attacked {
                    self.thief_acts()?;
                }
            }
        }
        Ok(())
    }

    /// The devices in the owner's hands.
    pub fn ours(&self) -> Vec<usize> {
        let all = 0..self.replicas.len();
        all.filter(|replica| self.replicas[*replica].ours).collect()
    }

    /// Time goes by.
    pub fn wait(&mut self) {
        let hours = *self.dice.pick(&[1, 1, 5, 20, 30, 80]);
        self.now += self.dice.between(1, hours * HOUR);
        for replica in self.ours() {
            self.observe(replica);
        }
    }

    pub fn observe(&mut self, replica: usize) {
        self.now += 1;
        let replica = &mut self.replicas[replica];
        let seen = replica.log.observe(self.now);
        replica.seen.extend(seen);
    }

    /// Hands an entry to a device; `Ok(false)` if it cannot take it yet. What one honest device has taken, every other
    /// takes as soon as it has what comes before.
    pub fn hand(&mut self, to: usize, entry: &Entry) -> Held<bool> {
        let replica = &mut self.replicas[to];
        let rivals = entry.rotation().is_some()
            && replica.log.entries().values().any(|other| {
                other.rotation().is_some()
                    && other.place.base == entry.place.base
                    && other.id != entry.id
            });
        match replica.log.insert(entry.clone()) {
            Ok(new) => {
                if new && rivals {
                    replica.late.insert(entry.id);
                }
                self.observe(to);
                Ok(true)
            }
            Err(LogError::MissingPrev) => Ok(false),
            Err(error) => Err(format!(
                "device {to} refuses {:?} {:?} by {:?}, which was taken elsewhere: {error}",
                entry.id, entry.body, entry.signer
            )),
        }
    }

    /// Hands over entries in any order, some of them lost on the way.
    pub fn hand_all(&mut self, to: usize, mut entries: Vec<Entry>, loss: u64) -> Held<bool> {
        entries.retain(|_| !self.dice.chance(loss));
        if self.dice.chance(50) {
            for left in (1..entries.len()).rev() {
                entries.swap(left, self.dice.index(left + 1));
            }
        } else {
            entries.sort_by_key(|entry| entry.place.seq);
        }
        let mut any = false;
        loop {
            let before = entries.len();
            let mut left = Vec::new();
            for entry in entries {
                if !self.hand(to, &entry)? {
                    left.push(entry);
                }
            }
            any |= left.len() < before;
            if left.is_empty() || left.len() == before {
                return Ok(any);
            }
            entries = left;
        }
    }

    /// What one log has and another does not.
    pub fn missing(from: &IdentityLog, at: &IdentityLog) -> Vec<Entry> {
        let entries = from.entries().values();
        entries
            .filter(|entry| !at.entries().contains_key(&entry.id))
            .map(|entry| Entry::clone(entry))
            .collect()
    }

    /// Two devices meet: true if anything was new to any.
    pub fn meet(&mut self, one: usize, two: usize, loss: u64) -> Held<bool> {
        let mut any = false;
        for (from, to) in [(one, two), (two, one)] {
            let news = Self::missing(&self.replicas[from].log, &self.replicas[to].log);
            any |= self.hand_all(to, news, loss)?;
        }
        Ok(any)
    }

    /// A device says something, if its log lets it.
    pub fn speak(&mut self, replica: usize, body: &Body) -> Option<EntryId> {
        let device = &self.replicas[replica];
        let entry = device.log.sign(body, device.keys).unwrap();
        let id = entry.id;
        if let Err(error) = self.replicas[replica].log.insert(entry) {
            self.say(|| format!("device {replica} may not say {}: {error}", short(body)));
            return None;
        }
        self.observe(replica);
        self.say(|| format!("device {replica} says {} ({id:?})", short(body)));
        Some(id)
    }

    /// A device acknowledges, if it should.
    pub fn acknowledge(&mut self, replica: usize) -> bool {
        let device = &self.replicas[replica];
        device.log.should_acknowledge(&device.keys.id())
            && self.speak(replica, &Body::Acknowledge).is_some()
    }
}

/// A body in a few words.
pub fn short(body: &Body) -> String {
    match body {
        Body::Rotate(_) => "rotate".to_owned(),
        Body::AddDevice(statement) => format!("add {:?} {:?}", statement.device.id, statement.role),
        Body::Revoke(removal) => format!("revoke {:?}", removal.device),
        Body::Suspend(removal) => format!("suspend {:?}", removal.device),
        Body::Raise(removal) => format!("raise {:?}", removal.device),
        body => format!("{body:?}"),
    }
}
