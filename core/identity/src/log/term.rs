//! The time between two rotations: who is in the twin, given what was said under one rotation.
//!
//! A pure function of a set of entries. Entries do not simply follow each other, because nobody can prove when they
//! were made: a thief can back-date. So what takes power away is judged first, and counts against everything that it
//! did not know of:
//!
//! 1. A device that removes itself voids all its other entries outside that removal's past.
//! 2. Suspensions stand even if their signer is suspended at the same time; a stolen phone cannot outrun one. But they
//!    are by an admin by rule 4, were nothing to wait: who is in by what is void takes no power away. What
//!    else a suspended device says outside their past waits. A resumption takes back the suspensions in its past, if it
//!    does not wait, its signer is an admin by rule 4, and no revocation of that signer, by such an admin, is outside its past.
//! 3. An admin's revocation of a member voids what that member says outside the revocation's past.
//! 4. A device is in if an entry adds it that is neither void nor waiting, by an admin who is in by the same rule.
//!
//! What a device says of its own logs ([`Body::Fork`]) counts if it is neither void nor waiting, and by who is in by rule 4.

use std::collections::{BTreeMap, BTreeSet};

use crate::body::{Body, Line, Removal};
use crate::device::{DevicePublic, DeviceStatement, Role};
use crate::id::{DeviceId, EntryId};

use super::graph::Graph;

/// A device of the twin, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its public keys.
    pub public: DevicePublic,
    /// What it may do.
    pub role: Role,
    /// The entry that gave it its role.
    pub added: EntryId,
    /// Until when it may take part, in milliseconds since the Unix epoch.
    pub expires: Option<u64>,
    /// Whether an admin has suspended it.
    pub suspended: bool,
}

impl Device {
    pub(super) fn new(statement: &DeviceStatement, added: EntryId) -> Self {
        Self {
            public: statement.device.clone(),
            role: statement.role,
            added,
            expires: statement.expires,
            suspended: false,
        }
    }

    /// Whether it may change the log.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin && !self.suspended
    }

    /// Whether it may take part at `now`, in milliseconds since the Unix epoch.
    pub fn is_active(&self, now: u64) -> bool {
        !self.suspended && self.expires.is_none_or(|expires| now < expires)
    }
}

/// What counts of the logs of devices that are gone or suspended.
pub(super) type Lines = BTreeMap<DeviceId, BTreeMap<[u8; 32], Line>>;

/// Lines only ever rise.
pub(super) fn raise(lines: &mut Lines, removal: &Removal) {
    let of_device = lines.entry(removal.device).or_default();
    for line in &removal.lines {
        let known = of_device.entry(line.log).or_insert(*line);
        if (line.height, line.head) > (known.height, known.head) {
            *known = *line;
        }
    }
}

/// How things stand where a rotation begins: what is known in its own past.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    pub devices: BTreeMap<DeviceId, Device>,
    /// Devices that never come back, with the role that they had.
    pub gone: BTreeMap<DeviceId, Role>,
    pub lines: Lines,
    /// The entries by which devices have given up branches of their logs.
    pub forks: By,
    /// The devices that may take part in choosing between this rotation and another.
    pub voters: BTreeSet<DeviceId>,
    /// The rotation, which keeps suspended who is.
    pub number: usize,
}

impl Start {
    /// The suspensions that go on: the rotation stands for them.
    fn stops(&self) -> By {
        let suspended = self.devices.values().filter(|device| device.suspended);
        let stops = suspended.map(|device| (device.public.id, vec![self.number]));
        stops.collect()
    }
}

/// How things stand under a rotation, given some of the entries based on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Term {
    /// The devices that are in, suspended ones too.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Devices that a suspended one has added outside the suspension's past: in as soon as it is resumed.
    pub waiting: BTreeMap<DeviceId, Device>,
    /// Devices that never come back, with the role that they had.
    pub gone: BTreeMap<DeviceId, Role>,
    /// Of devices that are suspended, what their suspension lets count comes on top: see [`Term::line`].
    pub lines: Lines,
    /// The entries by which devices have given up branches of their logs, by who has.
    pub forks: By,
    /// The entries by which devices are suspended.
    pub stops: By,
    /// The entries by which somebody is out, those included.
    pub removals: BTreeSet<usize>,
    /// Whether any entry is void or waits: then a new one can change what others mean.
    pub tangled: bool,
}

/// Entries by the device that they are about.
pub(super) type By = BTreeMap<DeviceId, Vec<usize>>;

impl Term {
    /// Before anything was said.
    pub fn new(start: &Start) -> Self {
        let stops = start.stops();
        Self {
            devices: start.devices.clone(),
            gone: start.gone.clone(),
            lines: start.lines.clone(),
            forks: start.forks.clone(),
            removals: stops.values().flatten().copied().collect(),
            stops,
            ..Self::default()
        }
    }

    /// Takes in an entry that has all others of the term in its past, none of which is void or waits: so it mostly goes.
    /// The same as judging all of them anew.
    pub fn follow(&mut self, graph: &Graph, number: usize) {
        let Some(entry) = graph.entry(number) else {
            return;
        };
        match &entry.body {
            Body::AddDevice(statement) => add(&mut self.devices, statement, entry.id),
            Body::Revoke(removal) => {
                self.take_stops(&removal.device);
                self.remove(&removal.device);
                raise(&mut self.lines, removal);
                self.removals.insert(number);
            }
            Body::Suspend(removal) => {
                if let Some(device) = self.devices.get_mut(&removal.device) {
                    device.suspended = true;
                    self.stops.entry(removal.device).or_default().push(number);
                    self.removals.insert(number);
                }
            }
            Body::Resume(device) => {
                self.take_stops(device);
                if let Some(device) = self.devices.get_mut(device) {
                    device.suspended = false;
                }
            }
            Body::Raise(removal) => raise(&mut self.lines, removal),
            Body::Fork(_) => self.add_fork(entry.signer, number),
            Body::Rotate(_) | Body::Acknowledge | Body::Veto(_) | Body::Unknown { .. } => {}
        }
    }

    fn add_fork(&mut self, signer: Option<DeviceId>, number: usize) {
        if let Some(signer) = signer.filter(|signer| self.devices.contains_key(signer)) {
            self.forks.entry(signer).or_default().push(number);
        }
    }

    fn take_stops(&mut self, device: &DeviceId) {
        for stop in self.stops.remove(device).unwrap_or_default() {
            self.removals.remove(&stop);
        }
    }

    /// What counts of the logs of a device that is gone or suspended.
    pub fn lines_of(&self, graph: &Graph, device: &DeviceId) -> BTreeMap<[u8; 32], Line> {
        let mut lines = Lines::new();
        if let Some(known) = self.lines.get(device) {
            lines.insert(*device, known.clone());
        }
        for stop in self.stops.get(device).into_iter().flatten() {
            if let Some(Body::Suspend(removal)) = graph.entry(*stop).map(|entry| &entry.body) {
                raise(&mut lines, removal);
            }
        }
        lines.remove(device).unwrap_or_default()
    }

    fn remove(&mut self, device: &DeviceId) {
        if let Some(device) = self.devices.remove(device) {
            self.gone.insert(device.public.id, device.role);
        }
    }

    /// Judges `entries`, all of one term, in the order in which they are read.
    pub fn judge(graph: &Graph, start: &Start, entries: &[usize]) -> Self {
        let body = |number: usize| graph.entry(number).map(|entry| &entry.body);
        let outside = |removals: &By, number: usize| {
            let signer = graph.signer(number);
            let removals = signer.and_then(|signer| removals.get(&signer));
            removals
                .into_iter()
                .flatten()
                .any(|removal| *removal != number && !graph.precedes(number, *removal))
        };

        let mut left = By::new();
        for number in entries {
            if let Some(Body::Revoke(removal)) = body(*number)
                && graph.signer(*number) == Some(removal.device)
            {
                left.entry(removal.device).or_default().push(*number);
            }
        }
        let void = |number: usize| outside(&left, number);

        // Those who are in by what is void have no voice.
        let named = Self::admit(graph, start, entries, void, |_| false).0;
        let is_heard = |number: usize| !void(number) && is_admin(&named, graph.signer(number));
        let mut stopped = start.stops();
        let mut doubted = By::new();
        let mut resumptions = Vec::new();
        for number in entries {
            match body(*number) {
                Some(Body::Suspend(removal)) if is_heard(*number) => {
                    stopped.entry(removal.device).or_default().push(*number);
                }
                Some(Body::Revoke(removal)) if is_heard(*number) => {
                    doubted.entry(removal.device).or_default().push(*number);
                }
                Some(Body::Resume(device)) => resumptions.push((*number, *device)),
                _ => {}
            }
        }
        // The more is resumed, the less waits, and the more may resume: the smallest set of resumptions that stand is
        // the same in any order.
        let doubtful = |number: usize| void(number) || outside(&doubted, number);
        resumptions.retain(|(number, _)| !doubtful(*number));
        while !resumptions.is_empty() {
            let waits = |number: usize| outside(&stopped, number);
            let (admins, _) = Self::admit(graph, start, entries, doubtful, waits);
            let (standing, rest): (Vec<_>, Vec<_>) =
                resumptions.into_iter().partition(|(number, _)| {
                    !waits(*number) && is_admin(&admins, graph.signer(*number))
                });
            if standing.is_empty() {
                break;
            }
            for (number, device) in standing {
                if let Some(stops) = stopped.get_mut(&device) {
                    stops.retain(|stop| !graph.precedes(*stop, number));
                }
            }
            resumptions = rest;
        }
        let waits = |number: usize| outside(&stopped, number);

        let before = Self::admit(graph, start, entries, void, waits).0;
        let mut revoked = By::new();
        for number in entries {
            if let Some(Body::Revoke(removal)) = body(*number)
                && graph.signer(*number) != Some(removal.device)
                && !void(*number)
                && !waits(*number)
                && is_admin(&before, graph.signer(*number))
            {
                revoked.entry(removal.device).or_default().push(*number);
            }
        }

        let void = |number: usize| void(number) || outside(&revoked, number);
        let (devices, waiting) = Self::admit(graph, start, entries, void, waits);
        let mut term = Self {
            devices,
            waiting,
            tangled: entries.iter().any(|number| void(*number) || waits(*number)),
            stops: By::new(),
            removals: BTreeSet::new(),
            ..Self::new(start)
        };
        for device in term.devices.values_mut() {
            device.suspended = false;
        }
        for number in entries.iter().filter(|of| !void(**of) && !waits(**of)) {
            match body(*number) {
                Some(Body::Raise(removal)) if is_admin(&term.devices, graph.signer(*number)) => {
                    raise(&mut term.lines, removal);
                }
                Some(Body::Fork(_)) => term.add_fork(graph.signer(*number), *number),
                _ => {}
            }
        }
        for (device, removals) in left.iter().chain(&revoked) {
            term.remove(device);
            term.waiting.remove(device);
            for number in removals {
                if let Some(Body::Revoke(removal)) = body(*number) {
                    raise(&mut term.lines, removal);
                }
            }
            term.removals.extend(removals);
        }
        for (device, stops) in stopped {
            let known = term.devices.get_mut(&device);
            // A device that is gone is suspended no more.
            if let Some(known) = known.filter(|_| !stops.is_empty()) {
                known.suspended = true;
                term.removals.extend(&stops);
                term.stops.insert(device, stops);
            }
        }
        term
    }

    /// The devices that are in, and those whose adding waits.
    fn admit(
        graph: &Graph,
        start: &Start,
        entries: &[usize],
        void: impl Fn(usize) -> bool,
        waits: impl Fn(usize) -> bool,
    ) -> (BTreeMap<DeviceId, Device>, BTreeMap<DeviceId, Device>) {
        let mut devices = start.devices.clone();
        let mut waiting = BTreeMap::new();
        for number in entries {
            let Some(entry) = graph.entry(*number) else {
                continue;
            };
            let Body::AddDevice(statement) = &entry.body else {
                continue;
            };
            if void(*number) || !is_admin(&devices, entry.signer) {
                continue;
            }
            let known = devices.contains_key(&statement.device.id);
            if !waits(*number) {
                add(&mut devices, statement, entry.id);
                waiting.remove(&statement.device.id);
            } else if !known {
                add(&mut waiting, statement, entry.id);
            }
        }
        (devices, waiting)
    }
}

/// Names a device, or lets it rise: who is in already is not named again for less.
fn add(devices: &mut BTreeMap<DeviceId, Device>, statement: &DeviceStatement, added: EntryId) {
    let mut device = Device::new(statement, added);
    if let Some(known) = devices.get(&device.public.id) {
        if known.role >= device.role {
            return;
        }
        device.suspended = known.suspended;
    }
    devices.insert(device.public.id, device);
}

fn is_admin(devices: &BTreeMap<DeviceId, Device>, device: Option<DeviceId>) -> bool {
    let device = device.and_then(|device| devices.get(&device));
    device.is_some_and(|device| device.role == Role::Admin)
}
