//! Who comes and goes: people remove, suspend and resume devices, make them admins, rotate with their words, lose phones.
//! Nobody tells the devices that are out: they go on as before until they hear of it, as those of a thief would.

use std::collections::BTreeSet;

use twin_identity::device::Role;
use twin_identity::id::DeviceId;
use twin_ops::grant::Recipient;
use twin_vault::Rotation;

use super::cast::{authority, recovery};
use super::fault::{Held, fault};
use super::world::World;

/// What a person does to a device.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Revoke,
    Suspend,
    Resume,
    Promote,
}

impl World {
    /// How many devices there are in the identity log of one.
    pub fn in_log(&self, device: usize) -> usize {
        let vault = self.cast.devices[device].vault_ref();
        vault.identity().devices().len()
    }

    /// A person changes who is in the twin, on this device.
    pub fn change_members(&mut self, device: usize) -> Held {
        if self.cast.words_are_used && self.dice.chance(25) {
            return self.rotate(device);
        }
        let identity = self.cast.devices[device].vault_ref().identity();
        let me = self.cast.devices[device].id;
        let Some(here) = identity.device(&me).filter(|here| !here.suspended) else {
            return Ok(());
        };
        if here.role == Role::Member {
            // All that a member can do is leave.
            return match self.dice.below(8) {
                0 => self.deed(device, me, Deed::Revoke),
                _ => Ok(()),
            };
        }
        let others = identity.devices().values();
        let others: Vec<_> = others.filter(|other| other.public.id != me).collect();
        if others.is_empty() {
            return Ok(());
        }
        let other = *self.dice.pick(&others);
        let (other, role, suspended) = (other.public.id, other.role, other.suspended);
        let deed = match (role, suspended) {
            (_, true) if self.dice.chance(70) => Deed::Resume,
            (Role::Admin, true) => return Ok(()),
            (Role::Admin, false) => Deed::Suspend,
            (Role::Member, true) => Deed::Revoke,
            (Role::Member, false) => {
                *self
                    .dice
                    .pick(&[Deed::Revoke, Deed::Revoke, Deed::Suspend, Deed::Promote])
            }
        };
        self.deed(device, other, deed)
    }

    fn deed(&mut self, device: usize, other: DeviceId, deed: Deed) -> Held {
        self.cast.trace.say(self.now, || {
            format!("device {device} does to {other:?}: {deed:?}")
        });
        self.cast.tell_time(device, self.now)?;
        let by = self.cast.devices[device].id;
        let vault = self.cast.devices[device].vault();
        if matches!(deed, Deed::Revoke | Deed::Suspend) {
            self.cast.truth.draw_lines(vault, &other)?;
            self.cast.truth.goes(other, by);
        }
        let rng = self.dice.rng();
        match deed {
            Deed::Revoke => vault.revoke(&other, rng)?,
            Deed::Suspend => vault.suspend(&other, rng)?,
            Deed::Resume => vault.resume(&other, rng)?,
            Deed::Promote => vault.promote(&other, rng)?,
        }
        let rotations = vault.identity().rotations();
        let truth = &mut self.cast.truth;
        match deed {
            Deed::Suspend => truth.suspensions = true,
            Deed::Resume => truth.comes_back(other, rotations),
            Deed::Promote => _ = truth.promoted.insert(other),
            Deed::Revoke => {}
        }
        // Whoever has not heard of the last rotation says it under one before: it counts until they hear of it.
        if matches!(deed, Deed::Revoke | Deed::Suspend)
            && rotations < self.cast.words.len()
            && truth.kept.contains(&other)
        {
            truth.comes_back(other, rotations);
        }
        Ok(())
    }

    /// A person takes the words to a device, mostly because another is lost or stolen; now and then for new words.
    fn rotate(&mut self, device: usize) -> Held {
        let count = self.cast.words.len();
        let vault = self.cast.devices[device].vault_ref();
        let me = self.cast.devices[device].id;
        // People do not do this twice at the same time: with an old log they would, and `identity` has tests for that.
        if vault.identity().rotations() != count || vault.identity().device(&me).is_none() {
            return Ok(());
        }
        let mut others: Vec<DeviceId> = vault.identity().devices().keys().copied().collect();
        others.retain(|other| *other != me);
        let mut gone = BTreeSet::new();
        if !others.is_empty() && self.dice.chance(60) {
            gone.insert(*self.dice.pick(&others));
        }
        let old = self.cast.words[count - 1];
        let new = if self.dice.chance(50) {
            self.dice.index(8)
        } else {
            old
        };
        self.cast.trace.say(self.now, || {
            format!("device {device} rotates from words {old} to {new}, without {gone:?}")
        });
        self.cast.tell_time(device, self.now)?;
        let vault = self.cast.devices[device].vault();
        for device in &gone {
            self.cast.truth.draw_lines(vault, device)?;
        }
        let index = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sealing = recovery(new).sealing().public();
        let rotation = Rotation {
            next: authority(new, index(count + 1)).public().hash(),
            recovery: sealing.map_err(|error| fault!("{error}"))?,
            new_generation: new != old,
            guardians: None,
            roots: None,
            gone,
            new: Vec::new(),
            promoted: BTreeSet::from([me]),
        };
        // What only the words open any more is for the devices that are left, and for new words.
        let words = recovery(old).sealing();
        vault.learn_keys(Recipient::Words, &words)?;
        self.cast.truth.learn(vault, &words)?;
        vault.rotate(authority(old, index(count)), rotation, self.dice.rng())?;
        self.cast.words.push(new);
        let kept = vault.identity().devices().keys().copied();
        let kept: BTreeSet<DeviceId> = kept.collect();
        for device in self.cast.devices.iter().filter(|device| device.is_up()) {
            let log = device.vault_ref().identity();
            let out = kept.iter().filter(|kept| !log.is_active(kept, 0));
            out.for_each(|device| self.cast.truth.comes_back(*device, count));
        }
        self.cast.truth.kept = kept;
        self.cast.truth.promoted.insert(me);
        Ok(())
    }
}
