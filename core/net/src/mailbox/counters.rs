//! What a relay tells its operator. Sums over all mailboxes: no address, no device, no twin and no network address is in
//! it, and nothing that would tell one mailbox from another.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use twin_sync::mailbox::{Refusal, ServerEvent};

use super::store::Size;
use super::sweep::Swept;

/// All refusals, with the name by which each is counted.
pub const REFUSALS: [(Refusal, &str); 9] = [
    (Refusal::NotProven, "not_proven"),
    (Refusal::TooManyAddresses, "too_many_addresses"),
    (Refusal::MailboxFull, "mailbox_full"),
    (Refusal::RelayFull, "relay_full"),
    (Refusal::TooFast, "too_fast"),
    (Refusal::Size, "size"),
    (Refusal::Gone, "gone"),
    (Refusal::NotYours, "not_yours"),
    (Refusal::Failed, "failed"),
];

/// Counts while a relay runs; see [`Metrics`] for what each is.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    open: AtomicI64,
    turned_away: AtomicU64,
    cut_off: AtomicU64,
    proven: AtomicU64,
    kept: AtomicU64,
    kept_bytes: AtomicU64,
    given: AtomicU64,
    given_bytes: AtomicU64,
    presences: AtomicU64,
    withdrawn: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    failures: AtomicU64,
    expired_posts: AtomicU64,
    expired_presences: AtomicU64,
}

/// What was counted since the relay has started, and how much there is now. Counters go up only; gauges are marked so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Connections that began.
    pub connections: u64,
    /// Gauge: connections that are open.
    pub open: u64,
    /// Connections that were refused because too many were open.
    pub turned_away: u64,
    /// Connections that were ended because the device broke a rule or stalled.
    pub cut_off: u64,
    /// Mailboxes that were proven, once a connection.
    pub proven: u64,
    /// Posts that were kept.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Posts that were given out.
    pub given: u64,
    /// Their bytes.
    pub given_bytes: u64,
    /// Presences that were put or taken back.
    pub presences: u64,
    /// Posts that were taken back.
    pub withdrawn: u64,
    /// Refusals, in the order of [`REFUSALS`].
    pub refused: [u64; REFUSALS.len()],
    /// Failures of the store.
    pub failures: u64,
    /// Posts that expired.
    pub expired_posts: u64,
    /// Presences that expired.
    pub expired_presences: u64,
    /// Gauges: what is in the store.
    pub size: Size,
}

impl Counters {
    /// Counts what a connection has done.
    pub fn count(&self, event: &ServerEvent) {
        match event {
            ServerEvent::Proven => add(&self.proven, 1),
            ServerEvent::Kept { bytes } => {
                add(&self.kept, 1);
                add(&self.kept_bytes, number(*bytes));
            }
            ServerEvent::Given { bytes } => {
                add(&self.given, 1);
                add(&self.given_bytes, number(*bytes));
            }
            ServerEvent::Presence => add(&self.presences, 1),
            ServerEvent::Withdrawn => add(&self.withdrawn, 1),
            ServerEvent::Refused(why) => {
                let known = REFUSALS.iter().zip(&self.refused);
                let counter = known.into_iter().find(|((one, _), _)| one == why);
                if let Some((_, counter)) = counter {
                    add(counter, 1);
                }
            }
            ServerEvent::Failed(_) => add(&self.failures, 1),
            ServerEvent::Watches(_) | ServerEvent::Changed(_) => {}
        }
    }

    /// A connection begins; it ends when what is returned is dropped.
    pub(super) fn open(&self) -> Open<'_> {
        add(&self.connections, 1);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self)
    }

    pub(super) fn turned_away(&self) {
        add(&self.turned_away, 1);
    }

    pub(super) fn cut_off(&self) {
        add(&self.cut_off, 1);
    }

    pub(super) fn swept(&self, swept: &Swept) {
        add(&self.expired_posts, swept.posts);
        add(&self.expired_presences, swept.presences);
    }

    /// What was counted until now, beside what is in the store.
    pub fn read(&self, size: Size) -> Metrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            connections: get(&self.connections),
            open: u64::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(0),
            turned_away: get(&self.turned_away),
            cut_off: get(&self.cut_off),
            proven: get(&self.proven),
            kept: get(&self.kept),
            kept_bytes: get(&self.kept_bytes),
            given: get(&self.given),
            given_bytes: get(&self.given_bytes),
            presences: get(&self.presences),
            withdrawn: get(&self.withdrawn),
            refused: self.refused.each_ref().map(get),
            failures: get(&self.failures),
            expired_posts: get(&self.expired_posts),
            expired_presences: get(&self.expired_presences),
            size,
        }
    }
}

/// A connection that is open.
pub(super) struct Open<'c>(&'c Counters);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn number(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_counted_by_itself() {
        let counters = Counters::default();
        for (times, (why, _)) in (1..).zip(REFUSALS) {
            (0..times).for_each(|_| counters.count(&ServerEvent::Refused(why)));
        }
        let read = counters.read(Size::default());
        assert_eq!(read.refused, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn connections_are_open_as_long_as_they_are() {
        let counters = Counters::default();
        let (one, two) = (counters.open(), counters.open());
        drop(one);
        let read = counters.read(Size::default());
        assert_eq!((read.connections, read.open), (2, 1));
        drop(two);
        assert_eq!(counters.read(Size::default()).open, 0);
    }
}
