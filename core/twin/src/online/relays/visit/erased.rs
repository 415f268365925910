//! Taking back what lies at the relay and holds what was erased since.
//!
//! Envelopes stay at a relay for weeks, and every device has the keys to them. Which ops are in one is remembered when it is
//! left or read ([`held`]); where that is not known, or copies may be among them, it is taken back in any case. Every device
//! does this that hears of an erasure, since it knows of some that others have not seen yet; and who reads an envelope by a
//! device that had not heard of it. What others lack of what was in them is left anew, also by whoever sees that its own was
//! taken back.

use std::collections::BTreeSet;

use twin_ops::store::OpStore;
use twin_sync::bundle::Inside;
use twin_sync::mailbox::{Address, DeskError, Held, OrderId, Refusal};
use twin_vault::Vault;

use super::super::shelf;
use super::Talk;
use crate::error::Result;

/// How far it is.
#[derive(Default)]
pub(super) enum TakingBack {
    /// Nothing is owed, or it was not looked at yet.
    #[default]
    Idle,
    UnderWay {
        /// Of how many parts the content was erased when it began.
        erased: u64,
        /// What is still to be asked for.
        posts: BTreeSet<(Address, u64)>,
        orders: BTreeSet<OrderId>,
        refused: bool,
    },
    /// The relay would not, when so many parts were erased: it is asked again at the next visit, or when there are more.
    GivenUp(u64),
}

impl TakingBack {
    /// The mailboxes of which something is still to be taken back.
    pub fn places(&self) -> BTreeSet<Address> {
        match self {
            Self::UnderWay { posts, .. } => posts.iter().map(|(address, _)| *address).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Not everything could be opened: the rest is for the next visit.
    pub fn cut_short(&mut self) {
        if let Self::UnderWay { refused, .. } = self {
            *refused = true;
        }
    }

    /// Whether it was one of these orders that the relay has refused. What has expired is gone, too.
    pub fn is_refused(&mut self, order: OrderId, why: Refusal) -> bool {
        match self {
            Self::UnderWay {
                orders, refused, ..
            } if orders.contains(&order) => {
                *refused |= why != Refusal::Gone;
                why != Refusal::Gone
            }
            _ => false,
        }
    }
}

/// What is remembered of which ops are in an envelope; `None` if that cannot be told: keys are lacking, or copies of other
/// ops are among them.
pub(super) fn held(vault: &Vault, inside: &Inside) -> Result<Option<Held>> {
    let held = Held::of(inside);
    let erased = held.as_ref().and_then(|held| erased_in(vault, held));
    let (Some(held), Some(erased), true) = (held, erased, vault.wants()?.is_empty()) else {
        return Ok(None);
    };
    for (log, seq, part) in &inside.parts {
        if vault.is_gone(log, *seq, *part)? {
            return Ok(Some(held.with_erased(STALE)));
        }
    }
    Ok(Some(held.with_erased(erased)))
}

/// As many parts are never erased: its maker did not know of something that was.
const STALE: u64 = u64::MAX;

/// Of how many parts of the ops in an envelope the content is erased by now; `None` if that cannot be told.
fn erased_in(vault: &Vault, held: &Held) -> Option<u64> {
    let spans = held.spans();
    spans
        .map(|(is_log, seqs)| vault.erased_among(is_log, &seqs))
        .sum()
}

/// Whether an envelope may hold what is erased.
fn is_stale(vault: &Vault, held: &Held) -> bool {
    erased_in(vault, held) != Some(held.erased())
}

impl Talk<'_> {
    /// Takes note of which ops are in an envelope, and of whether its maker did not know what is erased.
    pub(super) fn note_held(&mut self, address: &Address, number: u64, held: Option<Held>) {
        let Some(held) = held else {
            return;
        };
        self.found_stale |= is_stale(&self.visitor.twin.vault(), &held);
        let mut desk = self.conversation.desk();
        desk.memory_mut().note_held(address, number, held);
    }

    /// Whether something may lie here that holds what is erased.
    pub(super) fn owes_taking_back(&self) -> bool {
        let erased = || self.visitor.twin.vault().erased_parts();
        match self.taking_back {
            TakingBack::Idle => self.found_stale || self.used.erased != erased(),
            TakingBack::UnderWay { .. } => true,
            TakingBack::GivenUp(before) => before != erased(),
        }
    }

    /// What is to be taken back.
    fn stale(&self) -> BTreeSet<(Address, u64)> {
        let (desk, vault) = (self.conversation.desk(), self.visitor.twin.vault());
        let (memory, now) = (desk.memory(), self.visitor.twin.now());
        // What lay here before this device came, and of which it cannot tell what it holds, is for those that knew of it.
        let unknown = !self.is_first;
        let of_mailbox = |address: Address| {
            let posts = memory.posts(&address, now).into_iter();
            posts.map(move |number| (address, number))
        };
        let posts = memory.addresses().flat_map(of_mailbox);
        posts
            .filter(|(address, number)| match memory.held(address, *number) {
                Some(held) => is_stale(&vault, held),
                None => unknown && vault.erased_parts() > self.used.erased,
            })
            .collect()
    }

    /// Goes on with it, when all is read; `false` as long as it is not done.
    pub(super) fn take_back(&mut self) -> Result<bool> {
        if !self.owes_taking_back() {
            return Ok(true);
        }
        if !matches!(self.taking_back, TakingBack::UnderWay { .. }) {
            return self.begin_taking_back();
        }
        let TakingBack::UnderWay {
            erased,
            posts,
            orders,
            refused,
        } = &mut self.taking_back
        else {
            return Ok(true);
        };
        let mut desk = self.conversation.desk();
        while let Some((address, number)) = posts.first().copied() {
            match desk.withdraw(&address, number) {
                Ok(order) => _ = orders.insert(order),
                // The rest when these are done.
                Err(DeskError::Full) => break,
                // Taken back by another meanwhile, or in a mailbox whose key is gone.
                Err(DeskError::NoPost | DeskError::Unknown) => {}
                Err(error) => return Err(error.into()),
            }
            posts.pop_first();
        }
        if desk.waiting() > 0 {
            drop(desk);
            self.conversation.stir();
            return Ok(false);
        }
        drop(desk);
        if *refused {
            self.taking_back = TakingBack::GivenUp(*erased);
        } else {
            self.used.erased = *erased;
            self.taking_back = TakingBack::Idle;
        }
        // Something may have been erased meanwhile.
        let done = !self.owes_taking_back();
        if !done {
            self.conversation.stir();
        }
        Ok(done)
    }

    /// Finds what is to be taken back; `true` if nothing is.
    fn begin_taking_back(&mut self) -> Result<bool> {
        let erased = self.visitor.twin.vault().erased_parts();
        let posts = self.stale();
        self.found_stale = false;
        if posts.is_empty() {
            self.used.erased = erased;
            self.taking_back = TakingBack::Idle;
            return Ok(true);
        }
        // Kept first: nobody counts on what is being taken back, whatever happens before it is done.
        for (address, number) in &posts {
            self.leave_again(address, *number)?;
        }
        self.taking_back = TakingBack::UnderWay {
            erased,
            posts,
            orders: BTreeSet::new(),
            refused: false,
        };
        shelf::keep_use(&mut self.visitor.twin.vault(), self.key, &self.used)?;
        self.open()?;
        Ok(false)
    }
}
