//! The event loop: a virtual clock, and everybody who is at a relay.

use std::collections::BTreeMap;
use std::path::PathBuf;

use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_ops::grant::Grant;
use twin_ops::op::LogId;
use twin_ops::space::SpaceName;
use twin_ops::store::{LogHead, OpStore};
use twin_sync::TransportKey;
use twin_sync::link::new_device::Admitted;
use twin_sync::mailbox::Limits;
use twin_vault::WriteChange;

use super::call::{Call, Hands, Step};
use super::member::Member;
use super::relay::Relay;
use crate::dice::Dice;
use crate::sim::cast::{Trace, born};
use crate::sim::device::{Device, Instant};
use crate::sim::fault::{Held, fault, hold};

/// More steps than any visit needs: whoever talks on and on is a fault.
const MOST_STEPS: u64 = 100_000;
/// The most envelopes that a visit of an hour leaves.
const MOST_LEFT: u64 = 16;
/// A day, in milliseconds.
pub const DAY: u64 = 24 * 60 * 60 * 1000;
/// An hour, in milliseconds.
pub const HOUR: u64 = DAY / 24;

/// A run.
pub struct World {
    /// Milliseconds since the run began.
    pub now: Instant,
    /// All chance.
    pub dice: Dice,
    /// The devices of the twin.
    pub members: Vec<Member>,
    /// Its relays.
    pub relays: Vec<Relay>,
    /// The head of each log after each op that a device has acknowledged.
    pub acknowledged: Vec<LogHead>,
    /// What was erased, by collection and id.
    pub erased: Vec<(String, String)>,
    /// Who is at a relay.
    pub calls: BTreeMap<u64, Call>,
    /// Whether a clock was ever wrong by hours.
    pub clocks_were_wrong: bool,
    /// The most envelopes that were left in one visit.
    pub most_left: u64,
    /// How many visits there were.
    pub visits: u64,
    /// Everything worth telling, if somebody listens.
    pub trace: Trace,
    root: PathBuf,
    next: u64,
}

/// The space that is written to.
pub fn space() -> SpaceName {
    SpaceName::new("notes").expect("a name")
}

impl World {
    /// An empty one.
    pub fn new(dice: Dice, root: PathBuf, traced: bool) -> Self {
        Self {
            now: 40 * DAY,
            dice,
            members: Vec::new(),
            relays: Vec::new(),
            acknowledged: Vec::new(),
            erased: Vec::new(),
            calls: BTreeMap::new(),
            clocks_were_wrong: false,
            most_left: 0,
            visits: 0,
            trace: Trace {
                lines: traced.then(Vec::new),
            },
            root,
            next: 0,
        }
    }

    /// Tells what happens.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        self.trace.say(self.now, line);
    }

    /// A twin is born, and names its relays.
    pub fn begin(&mut self) -> Held {
        let home = self.home();
        let birth = born(self.dice.index(8))?;
        let device = Device::first(home, 0, birth, &mut self.dice)?;
        self.join(device);
        for _ in 0..self.dice.between(1, 4) {
            self.link()?;
        }
        for _ in 0..self.dice.between(1, 3) {
            let key = TransportKey::from_bytes(self.dice.bytes());
            let mut limits = Limits::default();
            if self.dice.chance(20) {
                limits.terms.posts = u32::try_from(self.dice.between(6, 40)).unwrap();
            }
            self.relays.push(Relay::new(key, limits));
        }
        Ok(())
    }

    fn home(&mut self) -> PathBuf {
        let home = self.root.join(self.members.len().to_string());
        std::fs::create_dir(&home).expect("a folder in the simulation's own folder");
        home
    }

    fn join(&mut self, device: Device) {
        self.members.push(Member {
            device,
            changes: 0,
            out: false,
        });
    }

    /// An admin links another device.
    pub fn link(&mut self) -> Held {
        let admins: Vec<usize> = self
            .here()
            .into_iter()
            .filter(|member| self.is_admin(*member))
            .collect();
        let admin = *self.dice.pick(&admins);
        let keys = DeviceKeys::random(self.dice.rng()).map_err(|error| fault!("{error}"))?;
        let role = if self.dice.chance(40) {
            Role::Admin
        } else {
            Role::Member
        };
        let phone = self.members[admin].device.vault();
        let twin = *phone.twin();
        let statement = keys.statement(&twin, role);
        let admission = phone.admit(&statement, self.dice.rng())?;
        let log = IdentityLog::from_bytes(&twin, &admission.identity);
        let log = log.map_err(|error| fault!("{error}"))?;
        let grants = admission
            .grants
            .iter()
            .map(|grant| Grant::from_bytes(grant));
        let grants: Result<Vec<Grant>, _> = grants.collect();
        let grants = grants.map_err(|error| fault!("{error}"))?;
        let admitted = Admitted { keys, log, grants };
        let home = self.home();
        let device = Device::linked(home, 0, 0, &admitted, &mut self.dice)?;
        self.join(device);
        let new = self.members.len() - 1;
        self.say(|| format!("device {admin} links device {new} as {role:?}"));
        self.changed(admin);
        Ok(())
    }

    /// An admin removes another device.
    pub fn revoke(&mut self) -> Held {
        let here = self.here();
        let admins: Vec<usize> = here
            .iter()
            .copied()
            .filter(|member| self.is_admin(*member))
            .collect();
        let admin = *self.dice.pick(&admins);
        let member = *self.dice.pick(&here);
        if member == admin || self.is_admin(member) || here.len() < 3 {
            return Ok(());
        }
        let id = self.members[member].device.id;
        if !self.members[admin].device.admits(&id) {
            return Ok(());
        }
        self.members[admin]
            .device
            .vault()
            .revoke(&id, self.dice.rng())?;
        self.say(|| format!("device {admin} removes device {member}"));
        self.members[member].out = true;
        let gone = |call: &Call| call.member == member;
        self.calls.retain(|_, call| !gone(call));
        self.changed(admin);
        Ok(())
    }

    /// The devices that nobody has removed.
    pub fn here(&self) -> Vec<usize> {
        let all = 0..self.members.len();
        all.filter(|member| !self.members[*member].out).collect()
    }

    fn is_admin(&self, member: usize) -> bool {
        self.members[member].device.is_admin()
    }

    /// Something has changed in a device's vault.
    pub fn changed(&mut self, member: usize) {
        self.members[member].changes += 1;
    }

    /// Tells a device's vault what its clock shows.
    pub fn tell_time(&mut self, member: usize) -> Held<u64> {
        let device = &mut self.members[member].device;
        let now = device.clock(self.now);
        device.vault().merge_due(now)?;
        Ok(now)
    }

    /// A person writes.
    pub fn write(&mut self, member: usize, changes: Vec<WriteChange>) -> Held {
        let now = self.tell_time(member)?;
        self.say(|| format!("device {member} writes {}", changes.len()));
        let vault = self.members[member].device.vault();
        let head = vault.commit(now, self.dice.rng(), &space(), changes);
        match head {
            Ok(head) => self.acknowledged.push(head),
            // It has heard of a removal, and waits for the key that excludes whoever is out.
            Err(twin_vault::VaultError::Waiting | twin_vault::VaultError::NoEpoch) => {}
            Err(error) => return Err(error.into()),
        }
        self.changed(member);
        Ok(())
    }

    /// A person erases a record, or asks for it.
    pub fn erase(&mut self, member: usize, collection: &str, id: &str) -> Held {
        let now = self.tell_time(member)?;
        let vault = self.members[member].device.vault();
        let before = own(vault)?;
        let erasure = vault.erase(now, self.dice.rng(), &space(), collection, id);
        let erasure = match erasure {
            Err(twin_vault::VaultError::Waiting | twin_vault::VaultError::NoEpoch) => return Ok(()),
            erasure => erasure?,
        };
        let after = own(vault)?;
        let new = after.into_iter().filter(|head| !before.contains(head));
        self.acknowledged.extend(new);
        if erasure == twin_vault::Erasure::Done {
            self.erased.push((collection.to_owned(), id.to_owned()));
        }
        self.say(|| format!("device {member} erases {id}: {erasure:?}"));
        self.changed(member);
        Ok(())
    }

    /// A device goes to a relay.
    pub fn visit(&mut self, member: usize, relay: usize, stays: bool) -> Held<u64> {
        self.tell_time(member)?;
        self.visits += 1;
        self.next += 1;
        let id = self.next;
        if self.members[member].device.skew.unsigned_abs() > DAY / 2 {
            self.relays[relay].is_seen_by_wrong_clocks = true;
        }
        let mut hands = Hands {
            at: self.now,
            dice: &mut self.dice,
            member: &mut self.members[member],
            relay: &mut self.relays[relay],
        };
        let call = Call::new(&mut hands, member, relay, stays)?;
        self.say(|| format!("device {member} visits relay {relay} ({id}, stays: {stays})"));
        self.calls.insert(id, call);
        Ok(id)
    }

    /// Lets all go on that are at relays until `end`.
    pub fn run(&mut self, end: Instant) -> Held {
        let mut steps = 0;
        while self.now < end && !self.calls.is_empty() {
            steps += 1;
            hold!(steps < MOST_STEPS, "there is no end of talking");
            self.go_on(end)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// Lets all go on until nobody is at a relay any more but who stays.
    pub fn run_until_done(&mut self) -> Held {
        let (begun, mut steps) = (self.now, 0);
        while self.calls.values().any(|call| !call.stays) {
            steps += 1;
            hold!(steps < MOST_STEPS, "there is no end of talking");
            hold!(self.now < begun + HOUR, "a visit takes an hour");
            self.go_on(self.now + HOUR)?;
        }
        Ok(())
    }

    /// Lets somebody do one thing, or lets time go by until there is something to do, or until `end`.
    fn go_on(&mut self, end: Instant) -> Held {
        let mut order: Vec<u64> = self.calls.keys().copied().collect();
        let mut idle = end;
        while !order.is_empty() {
            let id = order.swap_remove(self.dice.index(order.len()));
            match self.step(id)? {
                Step::Idle(until) => idle = idle.min(until),
                _ => {
                    self.now += self.dice.between(1, 10);
                    return Ok(());
                }
            }
        }
        self.now = idle.max(self.now + 1);
        Ok(())
    }

    fn step(&mut self, id: u64) -> Held<Step> {
        let Some(call) = self.calls.get_mut(&id) else {
            return Ok(Step::Moved);
        };
        let (member, relay) = (call.member, call.relay);
        let step = call.step(Hands {
            at: self.now,
            dice: &mut self.dice,
            member: &mut self.members[member],
            relay: &mut self.relays[relay],
        })?;
        match &step {
            Step::Changed => {
                let others = self.calls.iter_mut();
                for (_, call) in others.filter(|(other, call)| **other != id && call.relay == relay)
                {
                    call.relay_changed(&mut self.relays[relay]);
                }
            }
            Step::Done => {
                self.ended(id)?;
                self.say(|| format!("visit {id} is done"));
            }
            Step::Broken(why) => {
                self.ended(id)?;
                self.trace
                    .say(self.now, || format!("visit {id} ends: {why}"));
            }
            Step::Moved | Step::Idle(_) => {}
        }
        Ok(step)
    }

    /// Nobody leaves more in one visit than there can be to leave.
    fn ended(&mut self, id: u64) -> Held {
        let Some(call) = self.calls.remove(&id) else {
            return Ok(());
        };
        self.most_left = self.most_left.max(call.left());
        hold!(
            call.left() <= MOST_LEFT,
            "a device has left {} envelopes in one visit",
            call.left()
        );
        Ok(())
    }

    /// The process of a device is killed, and begins again.
    pub fn crash(&mut self, member: usize) -> Held {
        self.say(|| format!("device {member} crashes"));
        self.calls.retain(|_, call| call.member != member);
        let device = &mut self.members[member].device;
        device.crash()?;
        device.restart()?;
        self.tell_time(member)?;
        Ok(())
    }
}

/// Where the logs stand that a device writes.
fn own(vault: &twin_vault::Vault) -> Held<Vec<LogHead>> {
    let me = vault.device();
    let mut own = Vec::new();
    for head in vault.heads()? {
        if is_by(vault, &head.log, &me)? {
            own.push(head);
        }
    }
    Ok(own)
}

fn is_by(
    vault: &twin_vault::Vault,
    log: &LogId,
    device: &twin_identity::id::DeviceId,
) -> Held<bool> {
    Ok(vault
        .origin(log)?
        .is_some_and(|origin| origin.device == *device))
}
