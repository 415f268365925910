//! The end of a run: the network heals, everybody syncs until there is nothing left to say, and then everything must
//! be true that was promised.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::device::Role;
use twin_ops::op::Origin;
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_sync::session::Stay;

use super::cable::Quality;
use super::fault::{Held, fault, hold};
use super::reference;
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
        self.check_replicas()?;
        for device in self.cast.of_twin(0) {
            self.cast.check_records(device, self.now)?;
        }
        self.wait_for_the_clock()?;
        self.check_all_merged()?;
        self.check_secrets()?;
        self.check_strangers()
    }

    /// Everybody meets the phone, and some each other, until nobody has anything to say.
    fn sync_all(&mut self) -> Held {
        let ours = self.cast.of_twin(0);
        let mut cables = Vec::new();
        for (index, one) in ours.iter().enumerate() {
            for two in &ours[..index] {
                if *two == ours[0] || self.dice.chance(30) {
                    let quality = Quality::good(&mut self.dice);
                    cables.push(self.meet([*one, *two], [Stay::Online; 2], quality)?);
                }
            }
        }
        let end = self.now + REST;
        self.run_until_quiet(end)?;
        let stuck = cables.iter().find(|cable| !self.is_in_sync(**cable));
        hold!(
            stuck.is_none(),
            "devices have nothing more to say and are not in sync"
        );
        self.heal()
    }

    /// Identity log, grants and heads are the same everywhere, but for the admins' space.
    fn check_replicas(&mut self) -> Held {
        let ours = self.cast.of_twin(0);
        let mut first = None;
        for device in ours {
            let device = &self.cast.devices[device];
            let vault = device.vault_ref();
            let keys = SpaceName::keys().id(vault.twin());
            let mut heads = vault.heads()?;
            for head in heads.clone() {
                let origin = vault.origin(&head.log)?;
                let Origin { space, .. } =
                    origin.ok_or_else(|| fault!("a log without an origin"))?;
                hold!(
                    space != keys || device.role == Role::Admin,
                    "a member holds ops of the admins' space"
                );
                if space == keys {
                    heads.retain(|other| other.log != head.log);
                }
            }
            let replica = (vault.identity().digest(), vault.grants()?, heads);
            let same = *first.get_or_insert_with(|| replica.clone()) == replica;
            hold!(same, "replicas differ after everybody has synced");
            hold!(
                !device.view.has_unread(),
                "a device has ops and was not given their keys"
            );
        }
        self.check_nothing_lost()
    }

    /// Every acknowledged op is on every device that may have it.
    fn check_nothing_lost(&mut self) -> Held {
        let mut heights: BTreeMap<_, u64> = BTreeMap::new();
        for write in self
            .cast
            .truth
            .writes()
            .filter(|write| write.record.twin == 0)
        {
            let (_, _, log, seq, _) = write.order;
            let known = heights
                .entry((log, write.record.space.clone()))
                .or_default();
            *known = (*known).max(seq);
        }
        for device in self.cast.of_twin(0) {
            let device = &self.cast.devices[device];
            let held: BTreeMap<_, _> = device
                .vault_ref()
                .heads()?
                .into_iter()
                .map(|head| (head.log, head.head.height))
                .collect();
            for ((log, space), height) in &heights {
                let admins_only = *space == SpaceName::keys().to_string();
                if !admins_only || device.role == Role::Admin {
                    hold!(held.get(log) == Some(height), "an acknowledged op is lost");
                }
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
                !self.cast.devices[device].view.waits(),
                "something waits for a time that has come"
            );
        }
        Ok(())
    }

    /// Every record is on every device what the reference makes of all writes.
    fn check_all_merged(&mut self) -> Held {
        let truth = &self.cast.truth;
        let names: BTreeSet<_> = truth.writes().map(|write| write.record.clone()).collect();
        for name in names.iter().filter(|name| name.twin == 0) {
            let writes = self
                .cast
                .truth
                .writes()
                .filter(|write| write.record == *name);
            let expected = reference::fields(writes);
            let space = SpaceName::any(&name.space).map_err(|error| fault!("{error}"))?;
            let admins_only = space == SpaceName::keys();
            for device in self.cast.of_twin(0) {
                let device = &mut self.cast.devices[device];
                let shown = device.vault().get(&space, &name.collection, &name.id)?;
                let shown = shown.map(|record| record.fields);
                let may_see = !admins_only || device.role == Role::Admin;
                let right = if may_see {
                    shown == expected
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
            if device.role == Role::Member {
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
            vault.grants()?.iter().for_each(|id| add(id.as_bytes()));
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
}
