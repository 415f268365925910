//! What a set of entries means, worked out slowly and in other ways than the library does, from what the rules say.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::body::{Body, Fork};
use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;

type Ids = BTreeSet<EntryId>;
type Voids<'a> = &'a dyn Fn(EntryId) -> bool;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// What one replica must show.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Shown {
    pub path: Vec<EntryId>,
    pub contested: bool,
    pub state: State,
}

/// Who is in.
#[derive(Debug, PartialEq, Eq, Default, Clone)]
pub struct State {
    /// Role, and whether suspended.
    pub devices: BTreeMap<DeviceId, (Role, bool)>,
    pub waiting: BTreeSet<DeviceId>,
    pub gone: BTreeSet<DeviceId>,
    /// The branches that devices have given up.
    pub forks: BTreeSet<(DeviceId, Fork)>,
}

impl Shown {
    /// What a log shows.
    pub fn by(log: &IdentityLog) -> Self {
        let devices = log.devices().values();
        Self {
            path: log.path().map(|entry| entry.id).collect(),
            contested: log.is_contested(),
            state: State {
                devices: devices
                    .map(|device| (device.public.id, (device.role, device.suspended)))
                    .collect(),
                waiting: log.waiting().map(|device| device.public.id).collect(),
                gone: log.gone().copied().collect(),
                forks: signers(log)
                    .into_iter()
                    .flat_map(|device| log.given_up(&device).map(move |fork| (device, *fork)))
                    .collect(),
            },
        }
    }
}

/// Everybody who has ever said anything.
fn signers(log: &IdentityLog) -> BTreeSet<DeviceId> {
    let entries = log.entries().values();
    entries.filter_map(|entry| entry.signer).collect()
}

/// A set of entries.
pub struct Reference<'a> {
    entries: BTreeMap<EntryId, &'a Entry>,
    pasts: BTreeMap<EntryId, Ids>,
    genesis: EntryId,
    first: [u8; 32],
}

impl<'a> Reference<'a> {
    pub fn new(log: &'a IdentityLog) -> Self {
        let entries: BTreeMap<EntryId, &Entry> = log
            .entries()
            .iter()
            .map(|(id, entry)| (*id, &**entry))
            .collect();
        let mut sorted: Vec<&&Entry> = entries.values().collect();
        sorted.sort_by_key(|entry| entry.place.seq);
        let mut pasts: BTreeMap<EntryId, Ids> = BTreeMap::new();
        for entry in sorted {
            let mut past = Ids::new();
            for prev in &entry.place.prevs {
                past.extend(pasts.get(prev).into_iter().flatten());
                past.insert(*prev);
            }
            pasts.insert(entry.id, past);
        }
        Self {
            entries,
            pasts,
            genesis: log.genesis().entry_id(),
            first: log.genesis().authority,
        }
    }

    /// Whether `entry` was made knowing `of`.
    pub fn knows(&self, entry: EntryId, of: EntryId) -> bool {
        self.pasts[&entry].contains(&of)
    }

    fn signer(&self, id: EntryId) -> Option<DeviceId> {
        self.entries[&id].signer
    }

    pub fn successors(&self, base: EntryId) -> Vec<EntryId> {
        let entries = self.entries.values();
        let rotations = entries.filter(|entry| entry.rotation().is_some());
        let after = rotations.filter(|entry| entry.place.base == base);
        after.map(|entry| entry.id).collect()
    }

    fn committed(&self, base: EntryId) -> [u8; 32] {
        match self.entries.get(&base) {
            Some(entry) => entry.rotation().unwrap().next,
            None => self.first,
        }
    }

    fn revealed(&self, rotation: EntryId) -> [u8; 32] {
        self.entries[&rotation].rotation().unwrap().authority.hash()
    }

    /// Who had a say when a rotation was made.
    pub fn voters(&self, rotation: EntryId) -> BTreeSet<DeviceId> {
        let base = self.entries[&rotation].place.base;
        let before = self.state(base, &self.pasts[&rotation]);
        let devices = before.devices.into_iter();
        devices
            .filter(|(_, (_, suspended))| !suspended)
            .map(|(id, _)| id)
            .collect()
    }

    /// Which of several rotations each device is for: what it has acknowledged last, that one or one that came of it.
    pub fn votes(&self, among: &[EntryId]) -> BTreeMap<DeviceId, EntryId> {
        let mut said: BTreeMap<DeviceId, Vec<(EntryId, EntryId)>> = BTreeMap::new();
        for entry in self.entries.values() {
            // Of what a rotation came is where one gets by going back.
            let mut base = entry.place.base;
            while !among.contains(&base) && self.entries.contains_key(&base) {
                base = self.entries[&base].place.base;
            }
            if entry.body == Body::Acknowledge && among.contains(&base) {
                let device = entry.signer.unwrap();
                said.entry(device).or_default().push((entry.id, base));
            }
        }
        let mut votes = BTreeMap::new();
        for (device, said) in said {
            let mut last = said.clone();
            last.retain(|(id, _)| !said.iter().any(|(later, _)| self.knows(*later, *id)));
            let of: BTreeSet<EntryId> = last.into_iter().map(|(_, of)| of).collect();
            if let (Some(of), 1) = (of.first(), of.len()) {
                votes.insert(device, *of);
            }
        }
        votes
    }

    /// What a replica must show that has seen rotations and vetoes at these times.
    pub fn shown(&self, seen: &BTreeMap<EntryId, u64>, now: u64) -> Shown {
        let (mut base, mut shown) = (self.genesis, Shown::default());
        loop {
            let by_words = |id: &EntryId| self.revealed(*id) == self.committed(base);
            let (words, mut guardians): (Vec<EntryId>, Vec<EntryId>) =
                self.successors(base).into_iter().partition(by_words);
            guardians.retain(|id| self.due(base, *id, seen) <= now);
            let words = self.preferred(&words, seen);
            let best = match (words, self.preferred(&guardians, seen)) {
                (Some(words), Some(guardians)) => {
                    let both = [words.0, guardians.0];
                    let kept = self.beats(guardians.0, words.0, &both);
                    if kept { guardians } else { words }
                }
                (Some(best), None) | (None, Some(best)) => best,
                (None, None) => break,
            };
            // What does not count contests nothing.
            let (best, contested) = best;
            shown.contested |= contested;
            shown.path.push(best);
            base = best;
        }
        let all: Ids = self.entries.keys().copied().collect();
        if base != self.genesis {
            shown.state = self.state(base, &all);
        }
        shown
    }

    /// Which of several rotations that exclude each other counts, and whether that is contested.
    fn preferred(
        &self,
        next: &[EntryId],
        seen: &BTreeMap<EntryId, u64>,
    ) -> Option<(EntryId, bool)> {
        let mut next = next.to_vec();
        next.sort_by_key(|id| (seen[id], *id));
        let mut best = *next.first()?;
        for other in &next {
            if self.beats(*other, best, &next) {
                best = *other;
            }
        }
        let mut others = next.iter().filter(|other| **other != best);
        Some((best, others.any(|other| !self.beats(best, *other, &next))))
    }

    fn due(&self, base: EntryId, rotation: EntryId, seen: &BTreeMap<EntryId, u64>) -> u64 {
        let guardians = self.entries[&base]
            .rotation()
            .unwrap()
            .guardians
            .as_ref()
            .unwrap();
        let vetoes = self
            .entries
            .values()
            .filter(|entry| entry.body == Body::Veto(rotation) && entry.place.base == base);
        let delay = u64::from(guardians.delay_days) * DAY;
        let first = seen[&rotation];
        let vetoes = vetoes.map(|entry| seen[&entry.id]);
        let first_veto = vetoes.filter(|veto| *veto < first + delay).min();
        first_veto.unwrap_or(0).max(first) + delay
    }

    /// Whether a rotation counts rather than another, among several.
    fn beats(&self, one: EntryId, other: EntryId, among: &[EntryId]) -> bool {
        if one == other {
            return false;
        }
        if self.committed(one) == self.committed(other) {
            let thirds = [one, other].map(|rotation| {
                let mut thirds = self.successors(rotation);
                thirds.retain(|third| self.revealed(*third) == self.committed(one));
                thirds
            });
            match [thirds[0].is_empty(), thirds[1].is_empty()] {
                [false, true] if thirds[0].iter().any(|third| self.knows(*third, other)) => {
                    return true;
                }
                [true, false] if thirds[1].iter().any(|third| self.knows(*third, one)) => {
                    return false;
                }
                _ => {}
            }
        }
        let votes = self.votes(among);
        let count = |rotation, voters: &BTreeSet<DeviceId>| {
            let mut of = votes.iter().filter(|(_, of)| **of == rotation);
            of.by_ref()
                .filter(|(device, _)| voters.contains(*device))
                .count()
        };
        let (as_one, as_other) = (self.voters(one), self.voters(other));
        count(one, &as_one) > count(other, &as_one)
            && count(one, &as_other) > count(other, &as_other)
    }

    /// Who is in where a rotation begins.
    fn start(&self, rotation: EntryId) -> State {
        let entry = self.entries[&rotation];
        let rotate = entry.rotation().unwrap();
        let mut state = State::default();
        if entry.place.base != self.genesis {
            let before = self.state(entry.place.base, &self.pasts[&rotation]);
            let kept = |id: &DeviceId| rotate.keeps.iter().any(|kept| kept.device == *id);
            state.gone = before.gone;
            state.forks = before.forks;
            state
                .gone
                .extend(before.devices.into_keys().filter(|id| !kept(id)));
        }
        for kept in &rotate.keeps {
            state
                .devices
                .insert(kept.device, (kept.role, kept.suspended));
            // The words bring back whom a thief has removed.
            state.gone.remove(&kept.device);
        }
        for named in &rotate.devices {
            state.devices.insert(named.device.id, (named.role, false));
        }
        state
    }

    /// Who is in under a rotation, where these entries are known.
    fn state(&self, base: EntryId, known: &Ids) -> State {
        if base == self.genesis {
            return State::default();
        }
        let start = self.start(base);
        let of_term = |id: &&EntryId| {
            let entry = self.entries.get(*id);
            entry.is_some_and(|entry| entry.place.base == base && entry.rotation().is_none())
        };
        let term: Vec<EntryId> = known.iter().filter(of_term).copied().collect();
        // Whether an entry is by a device that another is about, and the other did not know of it.
        let hit = |id: EntryId, by: &BTreeSet<(DeviceId, EntryId)>| {
            by.iter().any(|(device, removal)| {
                self.signer(id) == Some(*device) && id != *removal && !self.knows(*removal, id)
            })
        };
        let mut left = BTreeSet::new();
        let mut doubts = BTreeSet::new();
        for id in &term {
            if let Body::Revoke(removal) = &self.entries[id].body {
                doubts.insert((removal.device, *id));
                if self.signer(*id) == Some(removal.device) {
                    left.insert((removal.device, *id));
                }
            }
        }
        let void = |id: EntryId| hit(id, &left);
        // Who is in by what is void has no voice.
        let named = self.admins(&start, &term, &void, &|_| false);
        let is_heard = |id: EntryId| {
            !void(id)
                && self
                    .signer(id)
                    .is_some_and(|signer| named.contains(&signer))
        };
        doubts.retain(|(_, id)| is_heard(*id));
        // Who stays suspended is so by the rotation.
        let mut suspensions = BTreeSet::new();
        for (device, (_, suspended)) in &start.devices {
            if *suspended {
                suspensions.insert((*device, base));
            }
        }
        for id in &term {
            if let Body::Suspend(removal) = &self.entries[id].body
                && is_heard(*id)
            {
                suspensions.insert((removal.device, *id));
            }
        }
        // From no resumption at all: whichever stand given those that stood before, until nothing changes.
        let mut stopped = suspensions.clone();
        loop {
            let waits = |id: EntryId| hit(id, &stopped);
            let doubtful = |id: EntryId| void(id) || hit(id, &doubts);
            let admins = self.admins(&start, &term, &doubtful, &waits);
            let stands = |id: &EntryId| {
                !doubtful(*id)
                    && !waits(*id)
                    && self
                        .signer(*id)
                        .is_some_and(|signer| admins.contains(&signer))
            };
            let mut still = suspensions.clone();
            for id in term.iter().filter(|id| stands(id)) {
                if let Body::Resume(device) = &self.entries[id].body {
                    still.retain(|(of, stop)| of != device || !self.knows(*id, *stop));
                }
            }
            if still == stopped {
                break;
            }
            stopped = still;
        }
        let waits = |id: EntryId| hit(id, &stopped);
        let admins = self.admins(&start, &term, &void, &waits);
        let mut out = left.clone();
        for (device, id) in &doubts {
            let signer = self.signer(*id);
            if signer != Some(*device)
                && !waits(*id)
                && signer.is_some_and(|signer| admins.contains(&signer))
            {
                out.insert((*device, *id));
            }
        }
        let void = |id: EntryId| hit(id, &out);
        let mut state = self.added(&start, &term, &void, &waits);
        state.gone = start.gone;
        state.forks = start.forks;
        for id in term.iter().filter(|id| !void(**id) && !waits(**id)) {
            let signer = self
                .signer(*id)
                .filter(|signer| state.devices.contains_key(signer));
            if let (Some(signer), Body::Fork(fork)) = (signer, &self.entries[id].body) {
                state.forks.insert((signer, **fork));
            }
        }
        for (device, _) in &out {
            if state.devices.remove(device).is_some() {
                state.gone.insert(*device);
            }
            state.waiting.remove(device);
        }
        for (device, _) in &stopped {
            if let Some((_, suspended)) = state.devices.get_mut(device) {
                *suspended = true;
            }
        }
        state
    }

    fn admins(
        &self,
        start: &State,
        term: &[EntryId],
        void: Voids<'_>,
        waits: Voids<'_>,
    ) -> BTreeSet<DeviceId> {
        let devices = self.added(start, term, void, waits).devices.into_iter();
        devices
            .filter(|(_, (role, _))| *role == Role::Admin)
            .map(|(id, _)| id)
            .collect()
    }

    /// Everybody whom an admin has added who is in by the same rule: nobody but those of the beginning at first, then
    /// more and more, until nothing changes.
    fn added(&self, start: &State, term: &[EntryId], void: Voids<'_>, waits: Voids<'_>) -> State {
        let mut state = State {
            devices: start.devices.clone(),
            ..State::default()
        };
        for (_, suspended) in state.devices.values_mut() {
            *suspended = false;
        }
        let mut adds = Vec::new();
        for id in term.iter().filter(|id| !void(**id)) {
            if let Body::AddDevice(statement) = &self.entries[id].body {
                adds.push((
                    self.signer(*id).unwrap(),
                    statement.device.id,
                    statement.role,
                    waits(*id),
                ));
            }
        }
        let is_admin = |state: &State, device: &DeviceId| {
            state
                .devices
                .get(device)
                .is_some_and(|(role, _)| *role == Role::Admin)
        };
        loop {
            let before = state.clone();
            for (signer, device, role, waits) in &adds {
                if !waits && is_admin(&state, signer) {
                    let known = state.devices.entry(*device).or_insert((*role, false));
                    known.0 = known.0.max(*role);
                }
            }
            if state == before {
                break;
            }
        }
        for (signer, device, _, waits) in &adds {
            if *waits && is_admin(&state, signer) && !state.devices.contains_key(device) {
                state.waiting.insert(*device);
            }
        }
        state
    }
}
