//! What nobody may be able to read or to tell, in the end: old words, devices that are out, companions, strangers.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::device::Role;
use twin_ops::epoch::EpochId;
use twin_ops::grant::{Grant, Recipient};
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;

use super::cast::{Cast, recovery};
use super::fault::{Held, fault, hold};
use super::truth::{CANARY, contains};
use super::world::World;

impl World {
    /// The newest words bring back everything that counts, and old ones nothing that was begun after them.
    ///
    /// Only admins give to new words what is older. Companions that are left alone do not: they have the keys, and give
    /// them to whoever the words bring in.
    ///
    /// A device that was set back may have lost a key that it had granted to nobody but a device that is out now. Whoever
    /// can give a key gives it to the words.
    pub(super) fn check_words(&mut self, group: &[usize]) -> Held {
        let mut held = BTreeSet::new();
        let Cast { truth, devices, .. } = &mut self.cast;
        for device in group.iter().map(|device| &devices[*device]) {
            if device.is_admin() {
                held.extend(truth.epochs(device.vault_ref())?);
            }
        }
        let may_be_lost = truth.anybody_is_set_back();
        let device = &self.cast.devices[group[0]];
        let vault = device.vault_ref();
        let rotations = vault.identity().rotations();
        let words = self.cast.words[rotations - 1];
        let led = group
            .iter()
            .any(|device| self.cast.devices[*device].is_admin());
        let opened = self.opened_by(words)?;
        for op in self.cast.truth.ops() {
            let is_lost = may_be_lost && !held.contains(&op.epoch);
            if op.writes.iter().any(|write| write.record.twin != 0) {
                continue;
            }
            hold!(
                !led || is_lost || !device.view.counts_op(&op.link) || opened.contains(&op.epoch),
                "words {words} of rotation {rotations} do not open {:?} of {:?}",
                op.epoch,
                op.log
            );
        }
        let known = &self.cast.words[..rotations];
        let old: BTreeSet<usize> = known.iter().copied().filter(|old| *old != words).collect();
        for old in old {
            // Words may have come up again, also where this group has not heard of it: what counts is when they were in
            // use last.
            let last = self.cast.words.iter().rposition(|words| *words == old);
            let later = last.map_or(0, |last| last + 2);
            let opened = self.opened_by(old)?;
            for op in self.cast.truth.ops() {
                hold!(
                    op.rotations < later || !opened.contains(&op.epoch),
                    "old words {old} open {:?} of {:?}, written after they were replaced",
                    op.epoch,
                    op.log
                );
            }
        }
        Ok(())
    }

    /// Who is out reads nothing that was written by anybody who knew, whatever it still gets.
    pub(super) fn check_unreadable(&mut self) -> Held {
        for group in self.groups() {
            let identity = self.cast.devices[group[0]].vault_ref().identity();
            let truth = &self.cast.truth;
            for device in identity.gone() {
                let keys = truth.epochs_of(device);
                for op in truth.ops().filter(|op| op.out.contains(device)) {
                    hold!(
                        truth.is_back(device, op.rotations) || !keys.contains(&op.epoch),
                        "a removed device can read what was written by one that knew"
                    );
                }
            }
        }
        Ok(())
    }

    /// What people wrote stands nowhere in clear, and members have no key to the admins' space.
    pub(super) fn check_secrets(&mut self) -> Held {
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
    pub(super) fn check_strangers(&mut self) -> Held {
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
                hold!(
                    !ids.contains(window),
                    "a device told a stranger on cable {} who it is",
                    overheard.cable
                );
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
