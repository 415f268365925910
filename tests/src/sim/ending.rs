//! The end of a run: the network heals, everybody syncs until there is nothing left to say, and then everything must
//! be true that was promised.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::device::Role;
use twin_ops::epoch::EpochId;
use twin_ops::grant::{Grant, Recipient};
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_sync::session::Stay;

use super::cable::Quality;
use super::cast::recovery;
use super::fault::{Held, fault, hold};
use super::reference::{self, Write};
use super::truth::{CANARY, contains};
use super::world::World;

/// How long devices may take to become equal on good cables, in virtual milliseconds.
const REST: u64 = 120_000;

impl World {
    /// Heals, syncs and checks.
    pub fn end(&mut self) -> Held {
        self.heal()?;
        for device in self.cast.of_twin(0) {
            self.cast.devices[device].skew = self.dice.below(4000).cast_signed() - 2000;
        }
        self.sync_all()?;
        // What is written now is written by devices that know all that they can know.
        for device in self.cast.of_twin(0) {
            self.write_something(device)?;
        }
        self.settle()?;
        self.sync_all()?;
        for device in self.cast.of_twin(0) {
            self.cast.check_records(device, self.now)?;
        }
        self.check_whole()?;
        for group in self.groups() {
            self.check_replicas(&group)?;
            self.check_nothing_lost(&group)?;
            self.check_words(&group)?;
        }
        let truth = &self.cast.truth;
        hold!(
            truth.suspensions || !self.groups().is_empty(),
            "nobody is left"
        );
        self.wait_for_the_clock()?;
        for group in self.groups() {
            self.check_all_merged(&group)?;
        }
        self.check_unreadable()?;
        self.check_secrets()?;
        self.check_strangers()
    }

    /// The devices that take each other for devices of their twin. Mostly there is one group; a device that was
    /// removed and has not heard of it is left behind in another.
    fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let all = self.cast.of_twin(0).into_iter();
        for device in all.filter(|device| self.cast.are_mutual([*device; 2])) {
            let fits = |group: &&mut Vec<usize>| self.cast.are_mutual([group[0], device]);
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(device),
                None => groups.push(vec![device]),
            }
        }
        groups
    }

    /// Everybody meets everybody who takes it for a device of the twin, until nobody has anything to say.
    fn sync_all(&mut self) -> Held {
        for round in 0.. {
            let ours = self.cast.of_twin(0);
            let mut cables = Vec::new();
            for (index, one) in ours.iter().enumerate() {
                for two in &ours[..index] {
                    if self.cast.are_mutual([*one, *two]) {
                        let quality = Quality::good(&mut self.dice);
                        let cable = self.meet([*one, *two], [Stay::Online; 2], quality)?;
                        cables.push((cable, [*one, *two]));
                    }
                }
            }
            let end = self.now + REST;
            self.run_until_quiet(end)?;
            let mutual = |pair: &[usize; 2]| self.cast.are_mutual(*pair);
            let stuck =
                |(cable, pair): &&(u64, [usize; 2])| mutual(pair) && !self.is_in_sync(*cable);
            let stuck = cables.iter().find(stuck).copied();
            self.heal()?;
            match stuck {
                None => return Ok(()),
                // Somebody was resumed only now: those two have to begin anew.
                Some(_) if round < 3 => {}
                Some((_, pair)) => {
                    return Err(fault!(
                        "devices {pair:?} have nothing more to say and are not in sync"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Who is in the twin, by all that anybody knows, meets all others that are; unless somebody was suspended, and those
    /// who know of its resumption are out themselves.
    fn check_whole(&self) -> Held {
        let ours = self.cast.of_twin(0);
        if self.cast.truth.suspensions {
            return Ok(());
        }
        let logs = ours.iter().map(|device| {
            let vault = self.cast.devices[*device].vault_ref();
            vault.identity()
        });
        let all = logs.reduce(|one, two| match one.rotations() < two.rotations() {
            true => two,
            false => one,
        });
        let Some(newest) = all else { return Ok(()) };
        let mut all = newest.clone();
        for device in &ours {
            let log = self.cast.devices[*device].vault_ref().identity();
            let mut entries: Vec<_> = log.entries().values().collect();
            entries.sort_by_key(|entry| entry.place.seq);
            for entry in entries {
                // What one device refuses, all refuse.
                let _ = all.insert((**entry).clone());
            }
        }
        let is_in = |device: &usize| all.device(&self.cast.devices[*device].id).is_some();
        let ours: Vec<usize> = ours.into_iter().filter(is_in).collect();
        let groups = self.groups();
        let whole = |group: &Vec<usize>| ours.iter().all(|device| group.contains(device));
        hold!(
            groups.iter().any(whole),
            "devices that are in the twin do not find each other"
        );
        Ok(())
    }

    /// Identity log, grants and heads are the same everywhere, and all that may be read can be.
    fn check_replicas(&mut self, group: &[usize]) -> Held {
        let mut first = None;
        let keys = SpaceName::keys().to_string();
        for device in group {
            let device = &self.cast.devices[*device];
            let vault = device.vault_ref();
            let replica = (vault.identity().digest(), vault.grants()?, vault.heads()?);
            let same = *first.get_or_insert_with(|| replica.clone()) == replica;
            hold!(same, "replicas differ after everybody has synced");
            for (log, seq, _) in device.view.unread() {
                let Some(op) = self.cast.truth.op(*log, *seq) else {
                    continue;
                };
                let space = op.writes.first().map(|write| &write.record.space);
                // An author that was taken in may have taken its readers for suspended; and a companion that the words
                // made an admin has the admins' keys from nobody, if all other admins are gone.
                let gives = |other: &usize| {
                    let other = &self.cast.devices[*other];
                    other.is_admin() && self.cast.truth.epochs_of(&other.id).contains(&op.epoch)
                };
                let suspensions = self.cast.truth.suspensions;
                let given = group.iter().any(gives) || !(suspensions || space == Some(&keys));
                hold!(
                    !given || (space == Some(&keys) && !device.is_admin()),
                    "a device has ops and was not given their keys"
                );
            }
        }
        Ok(())
    }

    /// Every op that a device of the group has acknowledged is on all of them.
    fn check_nothing_lost(&mut self, group: &[usize]) -> Held {
        let authors: BTreeSet<_> = group
            .iter()
            .map(|device| self.cast.devices[*device].id)
            .collect();
        let logs: BTreeSet<_> = self.cast.truth.ops().map(|(log, ..)| *log).collect();
        for log in logs {
            let height = self.cast.truth.height(&log);
            let by_group = |author| authors.contains(&author);
            if !self.cast.truth.author(&log).is_some_and(by_group) {
                continue;
            }
            for device in group {
                let heads = self.cast.devices[*device].vault_ref().heads()?;
                let held = heads.iter().find(|head| head.log == log);
                hold!(
                    held.map(|head| head.head.height) == Some(height),
                    "an acknowledged op is lost"
                );
            }
        }
        Ok(())
    }

    /// The newest words bring back everything that counts, and old ones nothing that was begun after them.
    fn check_words(&mut self, group: &[usize]) -> Held {
        let device = &self.cast.devices[group[0]];
        let vault = device.vault_ref();
        let rotations = vault.identity().rotations();
        let words = self.cast.words[rotations - 1];
        let opened = self.opened_by(words)?;
        for (log, seq, op) in self.cast.truth.ops() {
            let unkeyed =
                |space: &str| self.cast.truth.unkeyed && space == SpaceName::keys().as_str();
            let passed_over =
                |write: &Write| write.record.twin != 0 || unkeyed(&write.record.space);
            if op.writes.iter().any(passed_over) {
                continue;
            }
            hold!(
                seq > device.view.counted(log) || opened.contains(&op.epoch),
                "the words do not open everything"
            );
        }
        let known = &self.cast.words[..rotations];
        let old: BTreeSet<usize> = known.iter().copied().filter(|old| *old != words).collect();
        for old in old {
            // Words may have come up again: what counts is when they were in use last.
            let last = known.iter().rposition(|words| *words == old);
            let later = last.map_or(0, |last| last + 2);
            let opened = self.opened_by(old)?;
            for (_, _, op) in self.cast.truth.ops() {
                hold!(
                    op.rotations < later || !opened.contains(&op.epoch),
                    "old words open what was written after they were replaced"
                );
            }
        }
        Ok(())
    }

    /// Time goes on until nothing waits any more.
    fn wait_for_the_clock(&mut self) -> Held {
        let ours = self.cast.of_twin(0);
        let latest = ours
            .iter()
            .filter_map(|device| self.cast.devices[*device].view.last_waiting())
            .max();
        let Some(latest) = latest else { return Ok(()) };
        let now = self.cast.devices[ours[0]].clock(self.now);
        let wait = latest.millis().saturating_sub(now) + 10_000;
        self.run_until(self.now + wait)?;
        for device in ours {
            self.cast.check_records(device, self.now)?;
            hold!(
                self.cast.devices[device].view.last_waiting().is_none(),
                "something waits for a time that has come"
            );
        }
        Ok(())
    }

    /// Every record is on every device what the reference makes of all writes that count.
    fn check_all_merged(&mut self, group: &[usize]) -> Held {
        let truth = &self.cast.truth;
        let names: BTreeSet<_> = truth.writes().map(|write| write.record.clone()).collect();
        let first = &self.cast.devices[group[0]].view;
        let mut expected = BTreeMap::new();
        for name in names.into_iter().filter(|name| name.twin == 0) {
            let writes = self.cast.truth.writes();
            let counting = writes.filter(|write| {
                let (_, _, log, seq, _) = write.order;
                write.record == name && seq <= first.counted(&log)
            });
            let fields = reference::fields(counting);
            expected.insert(name, fields);
        }
        for device in group {
            let device = &mut self.cast.devices[*device];
            let admin = device.is_admin();
            for (name, expected) in &expected {
                let space = SpaceName::any(&name.space).map_err(|error| fault!("{error}"))?;
                let shown = device.vault().get(&space, &name.collection, &name.id)?;
                let shown = shown.map(|record| record.fields);
                let right = if space != SpaceName::keys() {
                    shown == *expected
                } else if admin {
                    // What it shows for lack of keys was measured by its view.
                    self.cast.truth.unkeyed || shown == *expected
                } else {
                    shown.is_none()
                };
                hold!(
                    right,
                    "{name:?} is {shown:?} on a device, and not {expected:?}"
                );
            }
        }
        Ok(())
    }

    /// Who is out reads nothing that was written by anybody who knew, whatever it still gets.
    fn check_unreadable(&mut self) -> Held {
        for group in self.groups() {
            let identity = self.cast.devices[group[0]].vault_ref().identity();
            let back = &self.cast.truth.back;
            for device in identity.gone().filter(|gone| !back.contains(gone)) {
                let keys = self.cast.truth.epochs_of(device);
                for (_, _, op) in self.cast.truth.ops() {
                    hold!(
                        !op.out.contains(device) || !keys.contains(&op.epoch),
                        "a removed device can read what was written by one that knew"
                    );
                }
            }
        }
        Ok(())
    }

    /// What people wrote stands nowhere in clear, and members have no key to the admins' space.
    fn check_secrets(&mut self) -> Held {
        let ours = self.cast.of_twin(0);
        let read = |path| std::fs::read(path).map_err(|error| fault!("the disk failed: {error}"));
        let looked_at = *self.dice.pick(&ours);
        let folder = self.cast.devices[looked_at].folder();
        let files =
            std::fs::read_dir(folder).map_err(|error| fault!("the disk failed: {error}"))?;
        for file in files.flatten() {
            let bytes = read(file.path())?;
            hold!(
                !contains(&bytes, CANARY),
                "what a person wrote stands in a file in clear"
            );
        }
        for device in ours {
            let device = &mut self.cast.devices[device];
            let id = device.id;
            let promoted = self.cast.truth.promoted.contains(&id);
            if !promoted && device.vault().identity().role_once(&id) == Some(Role::Member) {
                let spaces = device.vault().spaces()?;
                hold!(
                    !spaces.contains(&SpaceName::keys()),
                    "a member has a key to the admins' space"
                );
            }
        }
        Ok(())
    }

    /// What our devices said to strangers tells them nothing: no id, and nothing that a twin says each time and others
    /// do not.
    fn check_strangers(&mut self) -> Held {
        const LEN: usize = 16;
        let mut ids = BTreeSet::new();
        for device in &self.cast.devices {
            let vault = device.vault_ref();
            let mut add = |id: &[u8]| ids.extend(id.windows(LEN).map(<[u8]>::to_vec));
            add(vault.twin().as_bytes());
            vault
                .identity()
                .devices()
                .keys()
                .for_each(|id| add(id.as_bytes()));
            vault
                .identity()
                .entries()
                .keys()
                .for_each(|id| add(id.as_bytes()));
            vault.held_grants().for_each(|id| add(id.as_bytes()));
            vault
                .heads()?
                .iter()
                .for_each(|head| add(head.log.as_bytes()));
        }
        let by_neighbour = self.overheard.iter().filter(|said| said.twin == 1);
        let comparable: BTreeSet<usize> = by_neighbour.map(|said| said.frame.len()).collect();
        let mut by_window: BTreeMap<&[u8], BTreeSet<(usize, u64)>> = BTreeMap::new();
        for overheard in &self.overheard {
            for window in overheard.frame.windows(LEN) {
                hold!(!ids.contains(window), "a device told a stranger who it is");
            }
            if !comparable.contains(&overheard.frame.len()) {
                continue;
            }
            for window in overheard.frame.windows(LEN) {
                by_window
                    .entry(window)
                    .or_default()
                    .insert((overheard.twin, overheard.cable));
            }
        }
        for said in by_window.values() {
            let twins: BTreeSet<usize> = said.iter().map(|(twin, _)| *twin).collect();
            hold!(
                said.len() == 1 || twins.len() > 1,
                "a twin can be recognised by what its devices say to strangers"
            );
        }
        Ok(())
    }

    /// The epochs that some words open, with the grants on all devices and the epochs before those.
    fn opened_by(&self, words: usize) -> Held<BTreeSet<EpochId>> {
        let key = recovery(words).sealing();
        let (mut seen, mut epochs) = (BTreeSet::new(), BTreeSet::new());
        for device in self.cast.of_twin(0) {
            let vault = self.cast.devices[device].vault_ref();
            for id in vault.held_grants() {
                if !seen.insert(id) {
                    continue;
                }
                let bytes = vault.grant(&id)?;
                let bytes = bytes.ok_or_else(|| fault!("a grant is listed and not there"))?;
                let grant = Grant::from_bytes(&bytes).map_err(|error| fault!("{error}"))?;
                // To other words: an error.
                let keys = grant.open_with(vault.identity(), Recipient::Words, &key);
                for granted in keys.unwrap_or_default() {
                    let before = granted.predecessor.as_ref();
                    let before =
                        before.and_then(|sealed| granted.key.open_predecessor(sealed).ok());
                    epochs.insert(granted.key.id());
                    epochs.extend(before.map(|before| before.id()));
                }
            }
        }
        Ok(epochs)
    }
}
