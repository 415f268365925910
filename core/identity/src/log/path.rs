//! Which rotations count. Usually there is one after another. Where two reveal the same key, either their owner has
//! rotated twice while apart, or somebody else has the words.
//!
//! - The words override guardians, whose rotation counts only after a delay from when this replica first saw it; a veto
//!   starts the delay once more. Once it counts and more devices have acknowledged it, words that were lost before and
//!   found by somebody override nothing.
//! - Of two rotations the one counts that more devices acknowledge, among those that were in before: counted once as
//!   the one rotation knew them, and once as the other did, because each can leave devices out or bring its own. Both
//!   counts must agree.
//! - If they do not, this replica stays with the one that it saw first, and warns.
//! - Whoever made both, and has revealed the key that both commit to in a third, has settled it, unless that key was
//!   revealed after both.

use std::collections::{BTreeMap, BTreeSet};

use crate::body::{Body, waited};
use crate::id::{DeviceId, EntryId};

use super::IdentityLog;
use super::graph::Graph;

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
    /// When any rotation by guardians comes due, those included that words override: it can be contested then.
    due: Vec<u64>,
}

impl Path {
    /// The last rotation.
    pub fn tip(&self) -> Option<usize> {
        self.rotations.last().copied()
    }

    /// Whether anything comes due until `now`.
    pub fn is_due(&self, now: u64) -> bool {
        self.due.iter().any(|due| *due <= now)
    }

    /// The last rotation by words.
    pub fn last_by_words(&self, graph: &Graph) -> Option<usize> {
        let mut last = self.rotations.iter().rev();
        last.find(|rotation| !graph.is_by_guardians(**rotation))
            .copied()
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

    /// The last rotation by words, and those by guardians with all that follows them, whether their time has come or
    /// not: replicas do not see it come at once.
    pub(super) fn standing(&self) -> BTreeSet<usize> {
        let settled = self.path.last_by_words(&self.graph);
        let mut standing: BTreeSet<usize> = settled.into_iter().collect();
        let mut stack: Vec<usize> = settled.into_iter().collect();
        while let Some(rotation) = stack.pop() {
            for next in self.graph.successors(Some(rotation)) {
                if self.graph.is_by_guardians(next) && standing.insert(next) {
                    stack.push(next);
                }
            }
        }
        standing
    }

    /// The rotation that follows `base`, if one does.
    fn choose(&self, base: Option<usize>, path: &mut Path) -> Option<usize> {
        let (by_guardians, by_words): (Vec<usize>, Vec<usize>) = self
            .graph
            .successors(base)
            .partition(|number| self.graph.is_by_guardians(*number));
        let mut due = Vec::new();
        let mut pending = Vec::new();
        for number in by_guardians {
            match self.wait(base, number) {
                Some(wait) if wait.due > self.now => {
                    path.due.push(wait.due);
                    pending.push(wait);
                }
                Some(_) => due.push(number),
                None => {}
            }
        }
        let by_words = self.prefer(&by_words);
        let by_guardians = self.prefer(&due);
        let chosen = match (by_words, by_guardians) {
            (Some(words), Some(guardians)) => {
                // The words override, but not what the devices have acknowledged since: lost words can be found by
                // anybody.
                let both = [words.0, guardians.0];
                let counts = self.beats(guardians.0, words.0, &self.votes(&both));
                Some(if counts { guardians } else { words })
            }
            (None, guardians) => {
                path.pending.extend(pending);
                guardians
            }
            (words, None) => words,
        };
        let (rotation, contested) = chosen?;
        path.contested |= contested;
        Some(rotation)
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
        let vetoes = vetoes.filter_map(|veto| self.seen.get(&veto));
        // What counts already no objection undoes that comes late.
        let veto = vetoes.filter(|veto| **veto < waited(first, days)).min();
        let from = veto.map_or(first, |veto| first.max(*veto));
        Some(Pending {
            rotation: id,
            due: waited(from, days),
            vetoed: veto.is_some(),
        })
    }

    /// The one that counts of several rotations, and whether that is contested.
    fn prefer(&self, rotations: &[usize]) -> Option<(usize, bool)> {
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
            return Some((best, false));
        }
        let votes = self.votes(&rotations);
        for other in &rotations {
            if self.beats(*other, best, &votes) {
                best = *other;
            }
        }
        let mut others = rotations.iter().filter(|other| **other != best);
        let contested = !others.all(|other| self.beats(best, *other, &votes));
        Some((best, contested))
    }

    /// Who is for which of several rotations that exclude each other: whoever has acknowledged it, or one that came of
    /// it. Of what a device has acknowledged, the last counts; one that is for two at once has no say.
    fn votes(&self, rotations: &[usize]) -> BTreeMap<usize, BTreeSet<DeviceId>> {
        let mut said: BTreeMap<DeviceId, Vec<(usize, usize)>> = BTreeMap::new();
        for rotation in rotations {
            for number in self.graph.acknowledgements_below(*rotation) {
                if let Some(signer) = self.graph.signer(number) {
                    said.entry(signer).or_default().push((number, *rotation));
                }
            }
        }
        let mut votes: BTreeMap<usize, BTreeSet<DeviceId>> = BTreeMap::new();
        for (device, said) in said {
            let is_last = |(number, _): &&(usize, usize)| {
                let mut others = said.iter().filter(|(other, _)| other != number);
                !others.any(|(other, _)| self.graph.precedes(*number, *other))
            };
            let last: BTreeSet<usize> = said.iter().filter(is_last).map(|(_, of)| *of).collect();
            if let (Some(of), 1) = (last.first(), last.len()) {
                votes.entry(*of).or_default().insert(device);
            }
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
                let third = self.graph.node(*third);
                third.and_then(|third| third.revealed) == Some(commitment)
            })
        };
        commitment == self.graph.commitment(Some(other))
            && thirds(one).any(|third| self.graph.precedes(other, third))
            && thirds(other).next().is_none()
    }
}
