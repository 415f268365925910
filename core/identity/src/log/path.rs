//! Which rotations count. Usually there is one after another. Where two reveal the same key, either their owner has
//! rotated twice while apart, or somebody else has the words.
//!
//! - The words override guardians, whose rotation counts only after a delay from when this replica first saw it; a veto
//!   starts the delay once more.
//! - Of two rotations the one counts that more devices acknowledge, among those that were in before: counted once as
//!   the one rotation knew them, and once as the other did, because each can leave devices out or bring its own. Both
//!   counts must agree.
//! - If they do not, this replica stays with the one that it saw first, and warns.
//! - Whoever made both, and has revealed the key that both commit to in a third, has settled it, unless that key was
//!   revealed after both.

use std::collections::{BTreeMap, BTreeSet};

use crate::body::Body;
use crate::id::{DeviceId, EntryId};

use super::IdentityLog;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A rotation by guardians that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The rotation.
    pub rotation: EntryId,
    /// When it counts, in milliseconds since the Unix epoch, if no words override it.
    pub due: u64,
    /// Whether it was vetoed, which is possible once.
    pub vetoed: bool,
}

/// The rotations that count, first to last.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    rotations: Vec<usize>,
    pub contested: bool,
    pub pending: Vec<Pending>,
}

impl Path {
    /// The last rotation.
    pub fn tip(&self) -> Option<usize> {
        self.rotations.last().copied()
    }

    /// All of them.
    pub fn rotations(&self) -> &[usize] {
        &self.rotations
    }
}

impl IdentityLog {
    /// Finds the path anew, and judges its last term if that has to be.
    pub(super) fn settle(&mut self) {
        let mut path = Path::default();
        loop {
            let tip = path.tip();
            let next = self.choose(tip, &mut path);
            match next {
                Some(next) => path.rotations.push(next),
                None => break,
            }
        }
        path.pending
            .sort_by_key(|pending| (pending.due, pending.rotation));
        if let Some(tip) = path.tip() {
            self.ensure_term(tip);
        }
        self.path = path;
    }

    /// The rotation that follows `base`, if one does.
    fn choose(&self, base: Option<usize>, path: &mut Path) -> Option<usize> {
        let commitment = self.graph.commitment(base);
        let (by_words, by_guardians): (Vec<usize>, Vec<usize>) =
            self.graph.successors(base).partition(|number| {
                let rotate = self.graph.entry(*number).and_then(|entry| entry.rotation());
                rotate.is_some_and(|rotate| rotate.authority.hash() == commitment)
            });
        if !by_words.is_empty() {
            return self.prefer(&by_words, path);
        }
        let mut due = Vec::new();
        for number in by_guardians {
            match self.wait(base, number) {
                Some(pending) if pending.due > self.now => path.pending.push(pending),
                Some(_) => due.push(number),
                None => {}
            }
        }
        self.prefer(&due, path)
    }

    /// Until when a rotation by guardians waits; `None` if it was not observed yet.
    fn wait(&self, base: Option<usize>, number: usize) -> Option<Pending> {
        let id = self.graph.entry(number)?.id;
        let first = *self.seen.get(&id)?;
        let base_entry = self.graph.entry(base?)?;
        let days = base_entry.rotation()?.guardians.as_ref()?.delay_days;
        let vetoes = self.graph.term(base?).filter_map(|number| {
            let entry = self.graph.entry(number)?;
            (entry.body == Body::Veto(id)).then_some(entry.id)
        });
        let veto = vetoes.filter_map(|veto| self.seen.get(&veto)).min();
        let from = veto.map_or(first, |veto| first.max(*veto));
        Some(Pending {
            rotation: id,
            due: from.saturating_add(u64::from(days) * DAY),
            vetoed: veto.is_some(),
        })
    }

    fn prefer(&self, rotations: &[usize], path: &mut Path) -> Option<usize> {
        let key = |number: &usize| {
            let id = self.graph.entry(*number).map(|entry| entry.id);
            let seen = id.and_then(|id| self.seen.get(&id));
            (seen.copied().unwrap_or(u64::MAX), id)
        };
        // In the order in which they were seen, so that none gives way to a later one that does not beat it.
        let mut rotations = rotations.to_vec();
        rotations.sort_by_key(key);
        let mut best = *rotations.first()?;
        if rotations.len() == 1 {
            return Some(best);
        }
        let votes = self.votes(&rotations);
        for other in &rotations {
            if self.beats(*other, best, &votes) {
                best = *other;
            }
        }
        let mut others = rotations.iter().filter(|other| **other != best);
        path.contested |= !others.all(|other| self.beats(best, *other, &votes));
        Some(best)
    }

    /// Who has acknowledged which rotation; a device that acknowledges two has no say.
    fn votes(&self, rotations: &[usize]) -> BTreeMap<usize, BTreeSet<DeviceId>> {
        let mut votes: BTreeMap<usize, BTreeSet<DeviceId>> = rotations
            .iter()
            .map(|rotation| (*rotation, self.acknowledged(*rotation)))
            .collect();
        let mut counted: BTreeMap<DeviceId, usize> = BTreeMap::new();
        for device in votes.values().flatten() {
            *counted.entry(*device).or_default() += 1;
        }
        for devices in votes.values_mut() {
            devices.retain(|device| counted.get(device) == Some(&1));
        }
        votes
    }

    /// Whether one of two rotations that reveal the same key counts rather than the other.
    fn beats(&self, one: usize, other: usize, votes: &BTreeMap<usize, BTreeSet<DeviceId>>) -> bool {
        if one == other {
            return false;
        }
        match (self.settles(one, other), self.settles(other, one)) {
            (true, false) => return true,
            (false, true) => return false,
            _ => {}
        }
        let count = |rotation: usize, voters: &BTreeSet<DeviceId>| {
            let votes = votes.get(&rotation);
            votes.map_or(0, |votes| votes.intersection(voters).count())
        };
        [one, other].into_iter().all(|known_to| {
            let start = self.starts.get(&known_to);
            start.is_some_and(|start| count(one, &start.voters) > count(other, &start.voters))
        })
    }

    /// Whether a third rotation follows `one` and knows of `other`, by the key that both commit to. Not if that key was
    /// used after `other` as well: anybody can copy a commitment, and whoever has found old words can use their keys
    /// after the owner did.
    fn settles(&self, one: usize, other: usize) -> bool {
        let commitment = self.graph.commitment(Some(one));
        let thirds = |rotation| {
            self.graph.successors(Some(rotation)).filter(|third| {
                let rotate = self.graph.entry(*third).and_then(|entry| entry.rotation());
                rotate.is_some_and(|rotate| rotate.authority.hash() == commitment)
            })
        };
        commitment == self.graph.commitment(Some(other))
            && thirds(one).any(|third| self.graph.precedes(other, third))
            && thirds(other).next().is_none()
    }
}
