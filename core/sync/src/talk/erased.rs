//! Taking back what lies at the relay and may hold what was erased since.
//!
//! Envelopes stay at a relay for weeks, and every device has the keys to them. Which of them hold what was erased cannot be
//! told later, so all go that are known: every device does this that hears of an erasure, since it knows of some that
//! others have not seen yet. What others lack of it is left anew, also by whoever sees that its own was taken back.

use std::collections::BTreeSet;

use twin_ops::relays::RelayStore;

use super::{Around, Result, Talk, TalkError, shelf};
use crate::mailbox::{Address, DeskError, OrderId, Refusal};

/// How far it is.
#[derive(Default)]
pub(super) enum TakingBack {
    /// Nothing is owed, or it was not looked at yet.
    #[default]
    Idle,
    /// Of how many parts the content was erased when it began, and what was asked.
    UnderWay {
        erased: u64,
        asked: BTreeSet<(Address, u64)>,
        orders: BTreeSet<OrderId>,
        refused: bool,
    },
    /// The relay would not, when so many parts were erased: it is asked again at the next visit, or when there are more.
    GivenUp(u64),
}

impl TakingBack {
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay { .. })
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

impl Talk {
    /// Whether something may lie here that holds what was erased since.
    pub(super) fn owes_taking_back<A: Around>(&self, at: &A) -> bool {
        let erased = || at.store().erased_parts();
        match self.taking_back {
            // What lay here before this device came is for those to take back that knew of it.
            TakingBack::Idle if self.is_first => false,
            TakingBack::Idle => self.used.erased != erased(),
            TakingBack::UnderWay { .. } => true,
            TakingBack::GivenUp(before) => before != erased(),
        }
    }

    /// Goes on with it, when all is read; `false` as long as it is not done.
    pub(super) fn take_back<A: Around>(&mut self, at: &A) -> Result<bool, A> {
        let (now, now_erased) = (at.now(), at.store().erased_parts());
        if !self.owes_taking_back(at) {
            if self.is_first {
                self.used.erased = now_erased;
            }
            return Ok(true);
        }
        let TakingBack::UnderWay {
            erased,
            asked,
            orders,
            refused,
        } = &mut self.taking_back
        else {
            self.taking_back = TakingBack::UnderWay {
                erased: now_erased,
                asked: BTreeSet::new(),
                orders: BTreeSet::new(),
                refused: false,
            };
            #[cfg(twin_break)]
            if twin_identity::broken::is("taken_back_before_it_is") {
                self.used.erased = now_erased;
            }
            // Kept first: nobody counts on what is being taken back, whatever happens before it is done.
            self.begin_anew();
            let kept = shelf::keep_use(&mut *at.store(), self.key, &self.used);
            kept.map_err(TalkError::Store)?;
            self.open(at)?;
            return Ok(false);
        };
        let mut desk = at.desk();
        for address in &self.shelves.open {
            for number in desk.memory().posts(address, now) {
                if asked.contains(&(*address, number)) {
                    continue;
                }
                match desk.withdraw(address, number) {
                    Ok(order) => {
                        orders.insert(order);
                        asked.insert((*address, number));
                    }
                    // The rest when these are done.
                    Err(DeskError::Full) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if desk.waiting() > 0 {
            drop(desk);
            at.stir();
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
        let done = !self.owes_taking_back(at);
        if !done {
            at.stir();
        }
        Ok(done)
    }
}
