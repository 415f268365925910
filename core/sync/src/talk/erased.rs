//! Taking back what lies at the relay and holds what was erased since.
//!
//! Envelopes stay at a relay for weeks, and every device has the keys to them. Which ops are in one is remembered when it is
//! left or read ([`held`]); where that is not known, or copies may be among them, it is taken back in any case. Every device
//! does this that hears of an erasure, since it knows of some that others have not seen yet; and who reads an envelope by a
//! device that had not heard of it. What others lack of what was in them is left anew, also by whoever sees that its own was
//! taken back.

use std::collections::BTreeSet;

use twin_ops::relays::RelayStore;
use twin_ops::store::OpStore;

use super::{Around, Result, Talk, TalkError, shelf};
use crate::bundle::Inside;
use crate::mailbox::{Address, DeskError, Held, OrderId, Refusal};

/// How far it is.
#[derive(Default)]
pub(super) enum TakingBack {
    /// Nothing is owed, or it was not looked at yet.
    #[default]
    Idle,
    UnderWay {
        /// Of how many parts the content was erased when it began.
        erased: u64,
        /// Where something is taken back.
        places: BTreeSet<Address>,
        /// What is still to be asked for.
        posts: BTreeSet<(Address, u64)>,
        orders: BTreeSet<OrderId>,
        refused: bool,
    },
    /// The relay would not, when so many parts were erased: it is asked again at the next visit, or when there are more.
    GivenUp(u64),
}

impl TakingBack {
    /// The mailboxes of which something is being taken back.
    pub fn places(&self) -> BTreeSet<Address> {
        match self {
            Self::UnderWay { places, .. } => places.clone(),
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
pub(super) fn held<A: Around>(store: &A::Store, inside: &Inside) -> Result<Option<Held>, A> {
    let held = Held::of(inside);
    let erased = held.as_ref().and_then(|held| erased_in(store, held));
    let lacks = store.wants().map_err(TalkError::Store)?;
    let (Some(held), Some(erased), true) = (held, erased, lacks.is_empty()) else {
        return Ok(None);
    };
    for (log, seq, part) in &inside.parts {
        if store.is_gone(log, *seq, *part).map_err(TalkError::Store)? {
            return Ok(Some(held.stale()));
        }
    }
    Ok(Some(held.with_erased(erased)))
}

/// Of how many parts of the ops in an envelope the content is erased by now; `None` if that cannot be told.
fn erased_in<S: RelayStore>(store: &S, held: &Held) -> Option<u64> {
    let spans = held.spans();
    spans
        .map(|(is_log, seqs)| store.erased_among(is_log, &seqs))
        .sum()
}

/// Whether an envelope holds what is erased; `None` if that cannot be told.
fn is_stale<S: RelayStore>(store: &S, held: &Held) -> Option<bool> {
    let stale = || erased_in(store, held).map(|erased| erased != held.erased());
    if held.is_stale() { Some(true) } else { stale() }
}

impl Talk {
    /// Takes note of which ops are in an envelope, and of whether its maker did not know what is erased.
    pub(super) fn note_held<A: Around>(
        &mut self,
        address: &Address,
        number: u64,
        held: Option<Held>,
        at: &A,
    ) {
        let Some(held) = held else {
            return;
        };
        self.found_stale |= is_stale(&*at.store(), &held).unwrap_or(false);
        at.desk().memory_mut().note_held(address, number, held);
    }

    /// Whether something may lie here that holds what is erased.
    pub(super) fn owes_taking_back<A: Around>(&self, at: &A) -> bool {
        let erased = || at.store().erased_parts();
        match self.taking_back {
            TakingBack::Idle => self.found_stale || self.used.erased != erased(),
            TakingBack::UnderWay { .. } => true,
            TakingBack::GivenUp(before) => before != erased(),
        }
    }

    /// What is to be taken back.
    fn stale<A: Around>(&self, at: &A) -> BTreeSet<(Address, u64)> {
        let (desk, store) = (at.desk(), at.store());
        let (memory, now) = (desk.memory(), at.now());
        // What lay here before this device came, and of which it cannot tell what it holds, is for those that knew of it.
        let unknown = !self.is_first && store.erased_parts() != self.used.erased;
        let of_mailbox = |address: Address| {
            let posts = memory.posts(&address, now).into_iter();
            posts.map(move |number| (address, number))
        };
        let posts = memory.addresses().flat_map(of_mailbox);
        let is_stale = |(address, number): &(Address, u64)| {
            let held = memory.held(address, *number);
            let is_stale = held.and_then(|held| is_stale(&*store, held));
            is_stale.unwrap_or(unknown)
        };
        posts.filter(is_stale).collect()
    }

    /// Goes on with it, when all is read; `false` as long as it is not done.
    pub(super) fn take_back<A: Around>(&mut self, at: &A) -> Result<bool, A> {
        if !self.owes_taking_back(at) {
            return Ok(true);
        }
        let TakingBack::UnderWay {
            erased,
            posts,
            orders,
            refused,
            ..
        } = &mut self.taking_back
        else {
            return self.begin_taking_back(at);
        };
        let mut desk = at.desk();
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
        let is_waiting = desk.waiting() > 0;
        drop(desk);
        if is_waiting {
            at.stir();
            return Ok(false);
        }
        if *refused {
            self.taking_back = TakingBack::GivenUp(*erased);
        } else {
            self.used.erased = *erased;
            self.taking_back = TakingBack::Idle;
        }
        // Something may have been erased meanwhile.
        let done = !self.owes_taking_back(at);
        if !done {
            at.stir();
        }
        Ok(done)
    }

    /// Finds what is to be taken back; `true` if nothing is.
    fn begin_taking_back<A: Around>(&mut self, at: &A) -> Result<bool, A> {
        let erased = at.store().erased_parts();
        let posts = self.stale(at);
        self.found_stale = false;
        if posts.is_empty() {
            self.used.erased = erased;
            self.taking_back = TakingBack::Idle;
            return Ok(true);
        }
        // Kept first: nobody counts on what is being taken back, whatever happens before it is done.
        for (address, number) in &posts {
            self.leave_again(address, *number, at)?;
            // Once, though the relay may refuse.
            at.desk()
                .memory_mut()
                .note_held(address, *number, Held::left_again());
        }
        self.taking_back = TakingBack::UnderWay {
            erased,
            places: posts.iter().map(|(address, _)| *address).collect(),
            posts,
            orders: BTreeSet::new(),
            refused: false,
        };
        let kept = shelf::keep_use(&mut *at.store(), self.key, &self.used);
        kept.map_err(TalkError::Store)?;
        self.open(at)?;
        Ok(false)
    }
}
