//! Leaving what other devices lack.

use std::collections::BTreeMap;

use twin_identity::id::DeviceId;
use twin_ops::chain::Head;
use twin_ops::op::LogId;
use twin_ops::relays::Left;
use twin_ops::store::{Known, LogHead, OpStore};

use super::erased::held;
use super::{AT_ONCE, Around, Order, Result, Talk, TalkError};
use crate::bundle;
use crate::machine::Millis;
use crate::mailbox::envelope::MAX_POST;
use crate::mailbox::{Address, DeskError, Held, Refusal};

/// After how long something is left again at the earliest because it expires, in milliseconds, whatever a relay says of how
/// long it keeps things.
const AGAIN: Millis = 60 * 60 * 1000;

impl Talk {
    /// Something that was left is not there: what follows it is of no use to whoever lacks it.
    pub(super) fn begin_anew(&mut self) {
        (self.used.left, self.next) = (None, None);
        self.orders.values_mut().for_each(|order| order.left = None);
    }

    /// A post is not there: what was in it is left again, and what follows that in the same logs; all, if it is not known
    /// what was in it.
    pub(super) fn leave_again<A: Around>(
        &mut self,
        address: &Address,
        number: u64,
        at: &A,
    ) -> Result<(), A> {
        let held = at.desk().memory().held(address, number).cloned();
        let Some(held) = held else {
            self.begin_anew();
            return Ok(());
        };
        if held.is_left_again() {
            return Ok(());
        }
        let store = at.store();
        let orders = { self.orders.values_mut() }.filter_map(|order| order.left.as_mut());
        let lefts = { self.used.left.iter_mut() }
            .chain(&mut self.next)
            .chain(orders);
        for left in lefts {
            set_back(&mut left.known, &held, &*store).map_err(TalkError::Store)?;
        }
        Ok(())
    }

    /// The relay has refused what was to be left. What was kept before stays, and is gone on from when there is room.
    pub(super) fn not_left(&mut self, why: Refusal) {
        if matches!(
            why,
            Refusal::MailboxFull | Refusal::RelayFull | Refusal::SourceFull
        ) {
            self.full = self.shelves.current;
        }
        // Whatever it is, it would be the same again at once.
        self.refused = true;
        #[cfg(twin_break)]
        if twin_identity::broken::is("refused_and_tried_at_once") {
            self.refused = false;
        }
        self.next.clone_from(&self.used.left);
        self.orders.values_mut().for_each(|order| order.left = None);
    }

    /// Whether what lies here is not to be counted on: it expires, perhaps unread, so that it is left again after half of
    /// its life; it was dated by a clock that has been set right since; other devices take part now; or one of them has
    /// said since that it lacks it, and whoever leaves its word here has read what lies here.
    fn is_past<A: Around>(&self, left: &Left, to: &[(DeviceId, u64)], at: &A) -> Result<bool, A> {
        let now = at.now();
        let life = self.terms.map_or(0, |terms| terms.post_life);
        let half = (life / 2).max(AGAIN);
        let others = |to: &[(DeviceId, u64)]| to.iter().map(|(device, _)| *device).collect();
        let (before, after): (Vec<DeviceId>, Vec<DeviceId>) = (others(&left.to), others(to));
        if left.since > now || left.since.saturating_add(half) < now || before != after {
            return Ok(true);
        }
        let store = at.store();
        for ((device, before), (_, said)) in left.to.iter().zip(to) {
            if said <= before {
                continue;
            }
            let heads = store.known(device).map_err(TalkError::Store)?.heads;
            let has: BTreeMap<LogId, u64> =
                heads.iter().map(|row| (row.log, row.head.height)).collect();
            let lacks = |row: &LogHead| has.get(&row.log).is_none_or(|has| *has < row.head.height);
            if left.known.heads.iter().any(lacks) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// When each of these devices has last said what it has.
    fn said<A: Around>(devices: &[DeviceId], at: &A) -> Result<Vec<(DeviceId, u64)>, A> {
        let store = at.store();
        let said = devices.iter().map(|device| {
            let known = store.known(device).map_err(TalkError::Store)?;
            Ok((*device, known.at))
        });
        said.collect()
    }

    /// Leaves what other devices are not known to have, and does not lie here already.
    pub fn leave<A: Around>(&mut self, at: &A) -> Result<(), A> {
        if self.owes_taking_back(at) {
            // It is done, and this after it, once all is read.
            at.stir();
            return Ok(());
        }
        let Some(current) = self.shelves.current else {
            return Ok(());
        };
        if self.full == Some(current) || self.refused {
            return Ok(());
        }
        let others = others(&*at.store());
        while !others.is_empty() && self.orders.len() < AT_ONCE {
            let now = at.now();
            let to = Self::said(&others, at)?;
            if let Some(left) = &self.next
                && self.is_past(left, &to, at)?
            {
                self.begin_anew();
            }
            let beyond = self.next.as_ref().map(|left| left.known.clone());
            let store = at.store();
            let made = bundle::make(&*store, now, &others, beyond, MAX_POST, &mut at.rng())?;
            let held = held::<A>(&store, &made.inside)?;
            drop(store);
            if made.carried.is_empty() && !self.owes_word {
                return Ok(());
            }
            self.owes_word = false;
            let since = self.next.as_ref().map_or(now, |left| left.since);
            let known = made.then;
            let next = Left { since, to, known };
            let mut places = vec![current];
            if made.carried.entries > 0 || made.carried.grants > 0 {
                // Who is to learn of them may know nothing of this epoch yet.
                places.extend(&self.shelves.earlier);
            }
            for place in places {
                let bytes = made.bytes.clone();
                let order = at.desk().post(now, &place, bytes, &mut at.rng());
                match order {
                    Ok(order) => {
                        let left = (place == current).then(|| next.clone());
                        let held = held.clone();
                        self.orders.insert(order, Order { left, held });
                    }
                    Err(DeskError::Full) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            self.next = Some(next);
            at.stir();
            if !made.more {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What is known to whoever reads everything, without what a post held. Who is to take what it had of logs that go on, takes
/// it from there on; entries and grants are few.
fn set_back<S: OpStore>(
    known: &mut Known,
    held: &Held,
    store: &S,
) -> std::result::Result<(), S::Error> {
    known.entries.clear();
    known.grants.clear();
    known.holes.clear();
    let heads = std::mem::take(&mut known.heads).into_iter();
    for LogHead { log, mut head } in heads {
        let spans = held.spans().filter(|(is_log, _)| is_log(&log));
        let first = spans.map(|(_, span)| *span.start()).min();
        let height = first.map_or(head.height, |first| {
            head.height.min(first.saturating_sub(1))
        });
        if height < head.height {
            // Where that is not here any more, all of the log goes.
            let Some(link) = store.link_at(&log, height)? else {
                continue;
            };
            head = Head { height, link };
        }
        known.heads.push(LogHead { log, head });
    }
    Ok(())
}

/// The other devices that take part.
fn others<S: OpStore>(store: &S) -> Vec<DeviceId> {
    let me = store.device();
    let devices = store.identity().devices().keys();
    let others = devices.filter(|device| **device != me && store.admits(device));
    others.copied().collect()
}
