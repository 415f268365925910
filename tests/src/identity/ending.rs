//! Healing: everybody hears everything. And what must then be true.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::device::DeviceKeys;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;

use super::reference::{Reference, Shown};
use super::world::{Replica, World};
use super::{Held, cast};

/// Longer than any guardians wait, a veto included.
const LONG: u64 = 10 * 24 * 60 * 60 * 1000;

/// Fails unless the rule holds.
macro_rules! hold {
    ($rule:expr, $($text:tt)*) => {
        if !$rule {
            return Err(format!($($text)*));
        }
    };
}

impl World {
    /// Lets everybody hear everything, and checks all that must hold.
    pub fn end(&mut self) -> Held {
        self.heal()?;
        self.check_each()?;
        // Guardians who have waited long enough count everywhere, and are acknowledged.
        self.now += LONG;
        self.ours()
            .into_iter()
            .for_each(|replica| self.observe(replica));
        self.heal()?;
        self.check_each()?;
        self.check_all()?;
        self.check_ownership()
    }

    fn heal(&mut self) -> Held {
        let ours = self.ours();
        self.say(|| format!("healing: {ours:?}"));
        loop {
            let mut any = false;
            for one in &ours {
                for two in &ours {
                    any |= one != two && self.meet(*one, *two, 0)?;
                }
            }
            for replica in &ours {
                any |= self.acknowledge(*replica);
            }
            if !any {
                return Ok(());
            }
        }
    }

    /// Each device shows what the reference says, also read again from its bytes.
    fn check_each(&mut self) -> Held {
        let ours = self.ours();
        let first = &self.replicas[ours[0]].log;
        let reference = Reference::new(first);
        for replica in ours {
            let Replica { log, seen, .. } = &self.replicas[replica];
            hold!(
                log.entries().keys().eq(first.entries().keys()),
                "device {replica} has other entries"
            );
            // Its own clock has not moved since it last looked.
            let (shown, expected) = (Shown::by(log), reference.shown(seen, self.now));
            hold!(
                shown == expected,
                "device {replica} shows {shown:#?}, not {expected:#?}"
            );
        }
        let Replica { log, seen, .. } = &self.replicas[self.ours()[0]];
        if self.dice.chance(20) {
            let mut read = IdentityLog::from_bytes(&self.twin, &log.to_bytes())
                .map_err(|error| error.to_string())?;
            read.remember(seen.clone());
            let new = read.observe(self.now);
            hold!(new.is_empty(), "something was never seen: {new:?}");
            hold!(
                Shown::by(&read) == Shown::by(log) && same(&read, log),
                "read again, a log says something else"
            );
        }
        Ok(())
    }

    /// All show the same, unless they know that it is contested.
    fn check_all(&mut self) -> Held {
        let ours = self.ours();
        let logs: Vec<&IdentityLog> = ours
            .iter()
            .map(|replica| &self.replicas[*replica].log)
            .collect();
        let first = logs[0];
        self.outcome.entries = first.entries().len();
        self.outcome.rotations = first
            .entries()
            .values()
            .filter(|entry| entry.rotation().is_some())
            .count();
        self.outcome.contested = logs.iter().any(|log| log.is_contested());
        for log in &logs {
            let same = Shown::by(log) == Shown::by(first) && same(log, first);
            hold!(
                same || log.is_contested() && first.is_contested(),
                "devices disagree, and do not know it"
            );
            hold!(log.pending().is_empty(), "guardians wait for ever");
            for id in log.gone() {
                hold!(
                    log.device(id).is_none() && log.role_once(id).is_some(),
                    "gone and in"
                );
            }
        }
        Ok(())
    }

    /// Once the owner has rotated with new words, and the owner's devices heard of that first, nothing is the thief's.
    fn check_ownership(&mut self) -> Held {
        let Some(freed) = self.freed else {
            return Ok(());
        };
        let ours: Vec<&Replica> = self
            .ours()
            .into_iter()
            .map(|replica| &self.replicas[replica])
            .collect();
        let reference = Reference::new(&ours[0].log);
        let had = self.thief.had();
        // The way to that rotation, the owner's all along.
        let mut way = vec![freed];
        while let Some(base) = way.last().and_then(|last| ours[0].log.entries().get(last)) {
            way.push(base.place.base);
        }
        way.pop();
        if way.is_empty() {
            // It was made on a device that went before it had told anybody.
            return Ok(());
        }
        for rotation in &way {
            let first_everywhere = ours.iter().all(|replica| !replica.late.contains(rotation));
            let base = ours[0].log.entries()[rotation].place.base;
            let all = reference.successors(base);
            let votes = reference.votes(&all);
            // Keys that may say something else: the thief's, and those of devices that heard of another first.
            let mut against = had.clone();
            against.extend(
                votes
                    .iter()
                    .filter(|(_, of)| *of != rotation)
                    .map(|(device, _)| *device),
            );
            let voters = reference.voters(*rotation);
            let honest = votes.keys().filter(|device| !against.contains(device));
            let honest = honest.filter(|device| voters.contains(device)).count();
            // With more keys than the owner has devices a thief can win.
            let outvoted = voters.intersection(&against).count() > honest;
            let rivals = all.len() > 1;
            if !self.by_owner.contains(rotation) || rivals && (!first_everywhere || outvoted) {
                return Ok(());
            }
        }
        self.outcome.guaranteed = true;
        let thiefs: BTreeSet<DeviceId> = (cast::THIEFS..self.thief.devices)
            .map(cast::device)
            .map(DeviceKeys::id)
            .collect();
        for replica in &ours {
            let log = &replica.log;
            let path: Vec<EntryId> = log.path().map(|entry| entry.id).collect();
            hold!(
                path.contains(&freed),
                "the owner's rotation does not count: {path:?}"
            );
            let theirs = path
                .iter()
                .find(|rotation| !self.by_owner.contains(rotation));
            hold!(
                theirs.is_none(),
                "a rotation that is not the owner's counts: {theirs:?}"
            );
            let known: BTreeMap<_, _> = log.devices().iter().collect();
            let stolen = known
                .keys()
                .find(|id| had.contains(id) || thiefs.contains(id));
            hold!(stolen.is_none(), "the thief is in: {stolen:?}");
            let admin = known.values().any(|device| log.is_admin(&device.public.id));
            hold!(admin, "nobody is left who could change anything");
        }
        Ok(())
    }
}

/// Whether two logs say the same of what the reference leaves out.
fn same(one: &IdentityLog, other: &IdentityLog) -> bool {
    one.devices() == other.devices()
        && one.digest() == other.digest()
        && one.place() == other.place()
        && one.to_bytes() == other.to_bytes()
        && one.height() == other.height()
}
