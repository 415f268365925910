//! Logs of this device that go on differently here and at the peer: it was copied, or set back to an older state, and has
//! written since. It alone can resolve that, so it asks the peer for links of such a log, fewer and closer ones each time,
//! until it knows the last op that both have.

use std::collections::{BTreeSet, VecDeque};

use twin_ops::op::LogId;
use twin_ops::store::{LogHead, OpStore};

use super::error::SyncError;
use super::message::{AskLinks, Links, Message, Place};
use super::short::Told;
use super::{Session, Side, SyncEvent, replica};

/// The most links of an answer.
pub(super) const MAX_LINKS: usize = 64;
/// The most logs that are looked into in a session, and the most questions for one: 64 links divide the longest log that
/// there can be in fewer.
const MAX_SEARCHES: usize = 64;
const MAX_QUESTIONS: usize = 16;

/// What is known of a log that may go on differently.
struct Search {
    log: LogId,
    /// How far both are known to be the same.
    common: u64,
    /// The lowest op that is known to differ; one more than both have if none is.
    differs: u64,
    /// Whether one is known to.
    is_known: bool,
    questions: usize,
}

/// The logs that are looked into, the first of which the peer was asked about; and what it has asked.
#[derive(Default)]
pub(super) struct Branches {
    searches: VecDeque<Search>,
    looked_into: BTreeSet<LogId>,
    asked: Option<AskLinks>,
}

impl Branches {
    /// A log is to be looked into, of which both sides have ops up to `height`, of which that one is known to differ or
    /// not. `false` if it was before.
    fn add(&mut self, log: LogId, height: u64, is_known: bool) -> bool {
        if self.looked_into.len() >= MAX_SEARCHES || !self.looked_into.insert(log) {
            return false;
        }
        self.searches.push_back(Search {
            log,
            common: 0,
            differs: height + u64::from(!is_known),
            is_known,
            questions: 0,
        });
        true
    }
}

impl<S: OpStore + ?Sized> Session<S> {
    /// Looks into the logs of this device of which the peer has something else, or more.
    pub(super) fn look_into(&mut self, rows: &[Told], store: &S) -> Result<(), SyncError> {
        // Of two copies of a device one is enough.
        let is_copy = self.device() == Some(store.device());
        if !self.linked(store) || (is_copy && self.side == Side::Responder) {
            return Ok(());
        }
        #[cfg(twin_break)]
        if twin_identity::broken::is("set_back_not_noticed") {
            return Ok(());
        }
        let idle = self.branches.searches.is_empty();
        let heads = store.heads().map_err(SyncError::store)?;
        for row in rows {
            let Told { log, height, .. } = row;
            let origin = store.origin(log).map_err(SyncError::store)?;
            if origin.is_none_or(|origin| origin.device != store.device()) {
                continue;
            }
            let place = heads.binary_search_by_key(log, |head| head.log);
            let head = place.ok().and_then(|place| heads.get(place));
            let Some(LogHead { head, .. }) = head else {
                continue;
            };
            let ours = replica::link_at(store, log, *height)?;
            let differs = match ours.filter(|_| *height <= head.height) {
                Some(ours) if !row.is_at(&ours) => true,
                None if *height > head.height => false,
                // The same; or it is no longer here, and nothing can be said.
                _ => continue,
            };
            let both = head.height.min(*height);
            if self.branches.add(*log, both, differs) && differs {
                // Until it is known what to do, neither side has any use for the other's.
                self.peer.pass_over(*log)?;
            }
        }
        if idle {
            self.ask_links(store)?;
        }
        Ok(())
    }

    /// Asks about the first log, as soon as there is something to ask.
    fn ask_links(&mut self, store: &S) -> Result<(), SyncError> {
        while let Some(search) = self.branches.searches.front_mut() {
            let Search {
                log,
                common,
                differs,
                is_known,
                ..
            } = *search;
            if common + 1 < differs {
                search.questions += 1;
                if search.questions <= MAX_QUESTIONS {
                    self.push(&Message::AskLinks(AskLinks {
                        log,
                        after: common,
                        before: differs,
                    }));
                    return Ok(());
                }
                self.stays_forked(log)?;
            } else if is_known && self.is_here(&log, common, store)? {
                self.branches.searches.pop_front();
                self.events.push_back(SyncEvent::Branched { log, common });
                // Whoever hears that resolves it, and then there is more to say.
                self.progress = true;
                self.found.push((log, common));
            } else if is_known {
                self.stays_forked(log)?;
            } else {
                // The peer has only more of the same.
                self.branches.searches.pop_front();
            }
        }
        Ok(())
    }

    /// Whether what is here of a log goes back to the op after the last that both have.
    fn is_here(&self, log: &LogId, common: u64, store: &S) -> Result<bool, SyncError> {
        let base = store.base(log).map_err(SyncError::store)?;
        Ok(base.is_none_or(|base| base.height <= common))
    }

    /// The first log cannot be resolved with this peer.
    fn stays_forked(&mut self, log: LogId) -> Result<(), SyncError> {
        self.branches.searches.pop_front();
        self.peer.pass_over(log)?;
        self.events.push_back(SyncEvent::Forked(log));
        Ok(())
    }

    /// The peer asks about a log. One question at a time: the next comes after the answer.
    pub(super) fn on_ask_links(&mut self, ask: AskLinks) -> Result<(), SyncError> {
        if self.branches.asked.replace(ask).is_some() || !self.table_sent {
            return Err(SyncError::Unexpected);
        }
        self.look_again();
        Ok(())
    }

    /// The answer to what the peer has asked: all links there are, or some as far from each other as can be.
    pub(super) fn next_links(&mut self, store: &S) -> Result<Option<Message>, SyncError> {
        let Some(AskLinks { log, after, before }) = self.branches.asked.take() else {
            return Ok(None);
        };
        let heads = store.heads().map_err(SyncError::store)?;
        let place = heads.binary_search_by_key(&log, |head| head.log);
        let head = place.ok().and_then(|place| heads.get(place));
        let base = store.base(&log).map_err(SyncError::store)?;
        let first = after
            .saturating_add(1)
            .max(base.map_or(1, |base| base.height));
        let last = head.map_or(0, |head| head.head.height);
        let last = last.min(before.saturating_sub(1));
        // The peer may have more to say then.
        self.progress = true;
        let mut links = Vec::new();
        for height in spread(first, last) {
            if let Some(link) = replica::link_at(store, &log, height)? {
                links.push(Place { height, link });
            }
        }
        Ok(Some(Message::Links(Links { log, links })))
    }

    /// What the peer answers.
    pub(super) fn on_links(&mut self, answer: &Links, store: &S) -> Result<(), SyncError> {
        let Some(search) = self.branches.searches.front_mut() else {
            return Err(SyncError::Unexpected);
        };
        let Search {
            log,
            common,
            differs,
            ..
        } = *search;
        let places = &answer.links;
        let within = |place: &Place| (common + 1..differs).contains(&place.height);
        if answer.log != log
            || places.len() > MAX_LINKS
            || !places.is_sorted_by(|a, b| a.height < b.height)
            || !places.iter().all(within)
        {
            return Err(SyncError::Unexpected);
        }
        for Place { height, link } in places {
            match replica::link_at(store, &log, *height)? {
                Some(ours) if ours == *link => search.common = *height,
                Some(_) => {
                    search.differs = *height;
                    search.is_known = true;
                    break;
                }
                // Of what is not here any more nothing can be said.
                None => {}
            }
        }
        if (search.common, search.differs) == (common, differs) {
            self.stays_forked(log)?;
        }
        self.ask_links(store)?;
        self.look_again();
        Ok(())
    }

    /// Tells the store of what was found.
    pub(super) fn tell_found(&mut self, store: &mut S) {
        for (log, common) in self.found.drain(..) {
            store.branched(&log, common);
        }
    }
}

/// All numbers from `first` to `last`, or [`MAX_LINKS`] of them, both ends included.
fn spread(first: u64, last: u64) -> Vec<u64> {
    if first > last {
        return Vec::new();
    }
    let steps = MAX_LINKS as u64 - 1;
    let len = last - first;
    if len <= steps {
        return (first..=last).collect();
    }
    let at = |step: u64| {
        let offset = u128::from(len) * u128::from(step) / u128::from(steps);
        first + u64::try_from(offset).unwrap_or(len)
    };
    (0..=steps).map(at).collect()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_asked_about_is_covered_from_end_to_end(first in 1_u64.., len in 0_u64..10_000, far: bool) {
            let last = if far { first.saturating_add(len << 40) } else { first.saturating_add(len) };
            let spread = spread(first, last);
            prop_assert_eq!(spread.first(), Some(&first));
            prop_assert_eq!(spread.last(), Some(&last));
            prop_assert!(spread.len() <= MAX_LINKS);
            prop_assert!(spread.is_sorted_by(|a, b| a < b));
            // The gaps shrink by a factor of at least 60 each time.
            let widest = spread.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(1);
            prop_assert!(widest <= (last - first) / 60 + 1);
        }
    }

    #[test]
    fn of_nothing_there_is_nothing() {
        assert!(spread(2, 1).is_empty());
        assert_eq!(spread(1, 1), [1]);
    }
}
