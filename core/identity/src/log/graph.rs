//! The entries as a graph: what builds on what, and who stands under which rotation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::authority::AuthorityHash;
use crate::body::Body;
use crate::device::DeviceStatement;
use crate::entry::{Entry, Genesis};
use crate::id::{DeviceId, EntryId};

/// A set of nodes, one bit each.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub fn insert(&mut self, number: usize) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (number % 64);
        }
    }

    pub fn contains(&self, number: usize) -> bool {
        let word = self.0.get(number / 64).copied().unwrap_or(0);
        word & (1 << (number % 64)) != 0
    }

    pub fn contains_all(&self, other: &Self) -> bool {
        let mine = self.0.iter().chain(std::iter::repeat(&0));
        other
            .0
            .iter()
            .zip(mine)
            .all(|(theirs, mine)| theirs & !mine == 0)
    }

    pub fn extend(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }
}

/// An entry in its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub entry: Arc<Entry>,
    /// All that it builds on, and itself.
    pub past: Bits,
    /// The rotation that it is based on; `None` for the genesis.
    pub base: Option<usize>,
    /// The hash of the authority key that it reveals, if it is a rotation.
    pub revealed: Option<AuthorityHash>,
}

/// What is based on a rotation and is none itself.
#[derive(Debug, Clone, Default)]
struct Members {
    /// In the order in which it is read: no entry comes before one that it builds on, and the order of arrival does
    /// not matter.
    order: BTreeSet<(u64, EntryId, usize)>,
    all: Bits,
    by_signer: BTreeMap<DeviceId, Vec<usize>>,
}

/// All entries, each after what it builds on.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    numbers: BTreeMap<EntryId, usize>,
    terms: BTreeMap<usize, Members>,
    /// The entries that name each device.
    named: BTreeMap<DeviceId, Vec<usize>>,
    /// The rotations that follow each rotation, or the genesis.
    successors: BTreeMap<Option<usize>, BTreeSet<(EntryId, usize)>>,
    heads: BTreeSet<usize>,
    /// What the first rotation reveals.
    first: AuthorityHash,
    genesis: EntryId,
}

impl Graph {
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            nodes: Vec::new(),
            numbers: BTreeMap::new(),
            terms: BTreeMap::new(),
            named: BTreeMap::new(),
            successors: BTreeMap::new(),
            heads: BTreeSet::new(),
            first: genesis.authority,
            genesis: genesis.entry_id(),
        }
    }

    pub fn number(&self, id: &EntryId) -> Option<usize> {
        self.numbers.get(id).copied()
    }

    pub fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    pub fn entry(&self, number: usize) -> Option<&Arc<Entry>> {
        self.node(number).map(|node| &node.entry)
    }

    /// Whether `what` is in the past of `of`, or is it.
    pub fn precedes(&self, what: usize, of: usize) -> bool {
        self.node(of).is_some_and(|node| node.past.contains(what))
    }

    /// The signer of a node; `None` for the authority key.
    pub fn signer(&self, number: usize) -> Option<DeviceId> {
        self.entry(number)?.signer
    }

    /// What an entry builds on, itself not included; `None` if something of it is not here.
    pub fn past_of(&self, prevs: &[EntryId]) -> Option<Bits> {
        let mut past = Bits::default();
        for prev in prevs {
            match self.number(prev) {
                Some(number) => past.extend(&self.node(number)?.past),
                None if *prev == self.genesis => {}
                None => return None,
            }
        }
        Some(past)
    }

    /// Adds an entry that was judged.
    pub fn add(&mut self, entry: Arc<Entry>, mut past: Bits) -> usize {
        let number = self.nodes.len();
        past.insert(number);
        let place = &entry.place;
        let base = self.number(&place.base);
        if entry.known_suite {
            // What cannot be verified is built on by those who can, not by us, and hides nothing from us.
            self.heads.retain(|head| !past.contains(*head));
            self.heads.insert(number);
            if entry.rotation().is_some() {
                let successors = self.successors.entry(base).or_default();
                successors.insert((entry.id, number));
            } else if let Some(base) = base {
                let term = self.terms.entry(base).or_default();
                term.order.insert((place.seq, entry.id, number));
                term.all.insert(number);
                if let Some(signer) = entry.signer {
                    term.by_signer.entry(signer).or_default().push(number);
                }
            }
            for statement in entry.body.names() {
                let named = self.named.entry(statement.device.id).or_default();
                named.push(number);
            }
        }
        self.numbers.insert(entry.id, number);
        let revealed = entry.rotation().map(|rotate| rotate.authority.hash());
        self.nodes.push(Node {
            entry,
            past,
            base,
            revealed,
        });
        number
    }

    /// What is based on a rotation and is none itself, in the order in which it is read.
    pub fn term(&self, rotation: usize) -> impl Iterator<Item = usize> {
        let term = self.terms.get(&rotation);
        let order = term.into_iter().flat_map(|term| &term.order);
        order.map(|(_, _, number)| *number)
    }

    /// The highest seq under a rotation, its own included.
    pub fn height(&self, rotation: usize) -> u64 {
        let term = self.terms.get(&rotation);
        let last = term.and_then(|term| term.order.last());
        let own = self.entry(rotation).map(|entry| entry.place.seq);
        last.map(|(seq, ..)| *seq).max(own).unwrap_or(0)
    }

    pub fn term_len(&self, rotation: usize) -> usize {
        self.terms.get(&rotation).map_or(0, |term| term.order.len())
    }

    /// Whether all of a term is in `past`.
    pub fn term_is_in(&self, rotation: usize, past: &Bits) -> bool {
        let term = self.terms.get(&rotation);
        term.is_none_or(|term| past.contains_all(&term.all))
    }

    /// What a device has signed in a term and is in `past`.
    pub fn said(
        &self,
        rotation: usize,
        signer: &DeviceId,
        past: &Bits,
    ) -> impl Iterator<Item = &Arc<Entry>> {
        let term = self.terms.get(&rotation);
        let said = term.and_then(|term| term.by_signer.get(signer));
        said.into_iter()
            .flatten()
            .filter(|number| past.contains(**number))
            .filter_map(|number| self.entry(*number))
    }

    /// Whether any entry in `past` names a device.
    pub fn is_named(&self, device: &DeviceId, past: &Bits) -> bool {
        let named = self.named.get(device).into_iter().flatten();
        named.into_iter().any(|number| past.contains(*number))
    }

    /// The statement by which a device was named last, as far as `past` knows, and the entry that has it.
    pub fn statement(&self, device: &DeviceId, past: &Bits) -> Option<(&DeviceStatement, EntryId)> {
        let named = self.named.get(device)?.iter();
        let entries = named.filter(|number| past.contains(**number));
        let entry = entries
            .filter_map(|number| self.entry(*number))
            .max_by_key(|entry| (entry.place.seq, entry.id))?;
        let mut statements = entry.body.names().iter();
        let statement = statements.find(|statement| statement.device.id == *device)?;
        Some((statement, entry.id))
    }

    /// The rotations that follow `rotation`, or the genesis, by id.
    pub fn successors(&self, rotation: Option<usize>) -> impl Iterator<Item = usize> {
        let successors = self.successors.get(&rotation).into_iter().flatten();
        successors.map(|(_, number)| *number)
    }

    /// How many rotations there are.
    pub fn rotations(&self) -> usize {
        self.successors.values().map(BTreeSet::len).sum()
    }

    /// The commitment that a words' rotation after `rotation` reveals.
    pub fn commitment(&self, rotation: Option<usize>) -> AuthorityHash {
        let body = rotation
            .and_then(|number| self.entry(number))
            .and_then(|entry| entry.rotation());
        body.map_or(self.first, |body| body.next)
    }

    /// The acknowledgements of a rotation.
    pub fn acknowledgements(&self, rotation: usize) -> impl Iterator<Item = usize> {
        self.term(rotation).filter(|number| {
            let entry = self.entry(*number);
            entry.is_some_and(|entry| entry.body == Body::Acknowledge)
        })
    }

    /// The acknowledgements of a rotation and of all that came of it.
    pub fn acknowledgements_below(&self, rotation: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut stack = vec![rotation];
        while let Some(rotation) = stack.pop() {
            found.extend(self.acknowledgements(rotation));
            stack.extend(self.successors(Some(rotation)));
        }
        found
    }

    /// Whether a node is a rotation that guardians have made.
    pub fn is_by_guardians(&self, number: usize) -> bool {
        let Some(node) = self.node(number) else {
            return false;
        };
        let commitment = self.commitment(node.base);
        node.revealed.is_some_and(|revealed| revealed != commitment)
    }

    /// Nodes that no other builds on.
    pub fn heads(&self) -> impl Iterator<Item = usize> {
        self.heads.iter().copied()
    }
}
