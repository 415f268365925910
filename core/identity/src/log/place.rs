//! Where a new entry goes.

use std::cmp::Reverse;

use crate::authority::AuthorityKey;
use crate::body::{Body, Kept, Rotate};
use crate::cbor::CborError;
use crate::device::DeviceKeys;
use crate::entry::{Entry, MAX_PREVS, Place};
use crate::id::EntryId;

use super::IdentityLog;

/// How many rotations that contradict each other one more can settle.
const MAX_SETTLED: usize = 4;

impl IdentityLog {
    /// Where a new entry goes: after all that no other builds on. Of more than [`MAX_PREVS`] those that know of the
    /// rotation that counts, and by which most is known of who is in and who is out; then those with the highest seq,
    /// so that no number of branches can lock the log.
    pub fn place(&self) -> Place {
        let term = self.term();
        let added = term
            .into_iter()
            .flat_map(|term| term.devices.values())
            .filter_map(|device| self.graph.number(&device.added));
        let removals = term.into_iter().flat_map(|term| &term.removals).copied();
        self.place_over(added.chain(removals).collect(), false)
    }

    /// Where a new entry goes that should know of what is `needed`; `only`: and of no more than comes with it.
    fn place_over(&self, mut needed: Vec<usize>, only: bool) -> Place {
        let tip = self.path.tip();
        let mut heads: Vec<(u64, EntryId, usize)> = self
            .graph
            .heads()
            .filter_map(|head| {
                let entry = self.graph.entry(head)?;
                Some((u64::MAX - entry.place.seq, entry.id, head))
            })
            .collect();
        heads.sort_unstable();
        let mut chosen = Vec::new();
        while chosen.len() < MAX_PREVS && !heads.is_empty() {
            if only && needed.is_empty() && !chosen.is_empty() {
                break;
            }
            let worth = |head: usize| {
                let knows = tip.is_none_or(|tip| self.graph.precedes(tip, head));
                let known = needed
                    .iter()
                    .filter(|need| self.graph.precedes(**need, head));
                Reverse((knows, known.count()))
            };
            let best =
                (0..heads.len()).min_by_key(|index| heads.get(*index).map(|head| worth(head.2)));
            let head = heads.remove(best.unwrap_or(0));
            needed.retain(|need| !self.graph.precedes(*need, head.2));
            chosen.push(head);
        }
        let highest = chosen.iter().map(|(left, ..)| u64::MAX - left).max();
        let mut prevs: Vec<EntryId> = chosen.into_iter().map(|(_, id, _)| id).collect();
        if prevs.is_empty() {
            prevs.push(self.genesis.entry_id());
        }
        prevs.sort_unstable();
        Place {
            prevs,
            seq: highest.unwrap_or(0) + 1,
            base: self.base(),
        }
    }

    /// The newest entries, as [`Place::prevs`] has them: what somebody who writes now has seen.
    pub fn heads(&self) -> Vec<EntryId> {
        self.place().prevs
    }

    /// A new entry by a device, after all that is here. It still has to be inserted, and can be refused then.
    pub fn sign(&self, body: &Body, signer: &DeviceKeys) -> Result<Entry, CborError> {
        Entry::by_device(&self.twin, self.place(), body, signer)
    }

    /// A rotation after what it has to know of: whom it keeps, who is out, and other rotations that it settles. No more,
    /// because everybody has to be able to take it, and a thief may have flooded others with other things than us. It
    /// still has to be inserted, and can be refused then.
    pub fn rotate(&self, rotate: Rotate, authority: &AuthorityKey) -> Result<Entry, CborError> {
        let named = |kept: &Kept| {
            let waiting = || {
                self.waiting()
                    .find(|device| device.public.id == kept.device)
            };
            let device = self.device(&kept.device).or_else(waiting)?;
            self.graph.number(&device.added)
        };
        let mut needed: Vec<usize> = rotate.keeps.iter().filter_map(named).collect();
        needed.extend(self.term().into_iter().flat_map(|term| &term.removals));
        if let Some(tip) = self.path.tip() {
            let base = self.graph.node(tip).and_then(|node| node.base);
            let same = |other: &usize| {
                self.graph.commitment(Some(*other)) == self.graph.commitment(Some(tip))
            };
            // The rotation that counts is one of them.
            needed.extend(self.graph.successors(base).filter(same).take(MAX_SETTLED));
            needed.push(tip);
        }
        let place = self.place_over(needed, true);
        Entry::by_authority(&self.twin, place, rotate, authority)
    }
}
