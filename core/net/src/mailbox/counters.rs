//! What a mailbox tells the relay's operator. Sums over all mailboxes: no address, no device, no twin and no network address
//! is in it, and nothing that would tell one mailbox from another.

use twin_sync::mailbox::{Refusal, ServerEvent};

use super::store::Size;
use super::sweep::Swept;
use crate::relay::{Counter, Gauge, Metrics};

/// All refusals, with what each is counted by.
const REFUSALS: [(Refusal, &str); 10] = [
    (
        Refusal::NotProven,
        "twin_relay_mailbox_refused_not_proven_total",
    ),
    (
        Refusal::TooManyAddresses,
        "twin_relay_mailbox_refused_too_many_total",
    ),
    (
        Refusal::MailboxFull,
        "twin_relay_mailbox_refused_mailbox_full_total",
    ),
    (
        Refusal::RelayFull,
        "twin_relay_mailbox_refused_relay_full_total",
    ),
    (
        Refusal::TooFast,
        "twin_relay_mailbox_refused_too_fast_total",
    ),
    (Refusal::Size, "twin_relay_mailbox_refused_size_total"),
    (Refusal::Gone, "twin_relay_mailbox_refused_gone_total"),
    (
        Refusal::NotYours,
        "twin_relay_mailbox_refused_not_yours_total",
    ),
    (
        Refusal::SourceFull,
        "twin_relay_mailbox_refused_source_full_total",
    ),
    (Refusal::Failed, "twin_relay_mailbox_refused_failed_total"),
];

/// The counters of one mailbox service.
#[derive(Debug)]
pub(super) struct Counters {
    connections: Counter,
    open: Gauge,
    turned_away: Counter,
    cut_off: Counter,
    proven: Counter,
    kept: Counter,
    kept_bytes: Counter,
    given: Counter,
    given_bytes: Counter,
    presences: Counter,
    withdrawn: Counter,
    refused: [Counter; REFUSALS.len()],
    failures: Counter,
    expired: Counter,
    envelopes: Gauge,
    bytes: Gauge,
}

impl Counters {
    /// Those among what the relay counts.
    pub fn new(metrics: &Metrics) -> Self {
        let (counter, gauge) = (
            |name, help| metrics.counter(name, help),
            |name, help| metrics.gauge(name, help),
        );
        Self {
            connections: counter(
                "twin_relay_mailbox_connections_total",
                "Connections to mailboxes.",
            ),
            open: gauge(
                "twin_relay_mailbox_open",
                "Connections to mailboxes that are open.",
            ),
            turned_away: counter(
                "twin_relay_mailbox_turned_away_total",
                "Connections refused because too many were open.",
            ),
            cut_off: counter(
                "twin_relay_mailbox_cut_off_total",
                "Connections ended because the device broke a rule or stalled.",
            ),
            proven: counter(
                "twin_relay_mailbox_proven_total",
                "Mailboxes that devices have proved to be theirs.",
            ),
            kept: counter("twin_relay_mailbox_kept_total", "Envelopes kept."),
            kept_bytes: counter(
                "twin_relay_mailbox_kept_bytes_total",
                "Bytes of envelopes kept.",
            ),
            given: counter("twin_relay_mailbox_given_total", "Envelopes given out."),
            given_bytes: counter(
                "twin_relay_mailbox_given_bytes_total",
                "Bytes of envelopes given out.",
            ),
            presences: counter(
                "twin_relay_mailbox_presences_total",
                "Times that a device said where it is.",
            ),
            withdrawn: counter(
                "twin_relay_mailbox_withdrawn_total",
                "Envelopes taken back.",
            ),
            refused: REFUSALS.map(|(_, name)| counter(name, "Questions refused for this reason.")),
            failures: counter(
                "twin_relay_mailbox_failures_total",
                "Failures of the store.",
            ),
            expired: counter(
                "twin_relay_mailbox_expired_total",
                "Envelopes that have expired.",
            ),
            envelopes: gauge("twin_relay_mailbox_envelopes", "Envelopes in the store."),
            bytes: gauge("twin_relay_mailbox_bytes", "Bytes in the store."),
        }
    }

    /// Counts what a connection has done.
    pub fn count(&self, event: &ServerEvent) {
        match event {
            ServerEvent::Proven => self.proven.increment(),
            ServerEvent::Kept { bytes } => {
                self.kept.increment();
                self.kept_bytes.add(number(*bytes));
            }
            ServerEvent::Given { bytes } => {
                self.given.increment();
                self.given_bytes.add(number(*bytes));
            }
            ServerEvent::Presence => self.presences.increment(),
            ServerEvent::Withdrawn => self.withdrawn.increment(),
            ServerEvent::Refused(why) => {
                let mut known = REFUSALS.iter().zip(&self.refused);
                if let Some((_, counter)) = known.find(|((one, _), _)| one == why) {
                    counter.increment();
                }
            }
            ServerEvent::Failed(_) => self.failures.increment(),
            ServerEvent::Watches(_) | ServerEvent::Changed(_) => {}
        }
    }

    /// A connection begins; it ends when what is returned is dropped.
    pub fn open(&self) -> Open<'_> {
        self.connections.increment();
        self.open.increment();
        Open(self)
    }

    pub fn turned_away(&self) {
        self.turned_away.increment();
    }

    pub fn cut_off(&self) {
        self.cut_off.increment();
    }

    /// What a sweep has dropped, and how much there is after it.
    pub fn swept(&self, swept: &Swept, size: &Size) {
        self.expired.add(swept.posts);
        self.envelopes.set(size.posts);
        self.bytes.set(size.bytes);
    }
}

/// A connection that is open.
pub(super) struct Open<'c>(&'c Counters);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.decrement();
    }
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
        let counters = Counters::new(&Metrics::default());
        for (times, (why, _)) in (1..).zip(REFUSALS) {
            (0..times).for_each(|_| counters.count(&ServerEvent::Refused(why)));
        }
        let counted = counters.refused.each_ref().map(Counter::get);
        assert_eq!(counted, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn connections_are_open_as_long_as_they_are() {
        let counters = Counters::new(&Metrics::default());
        let (one, two) = (counters.open(), counters.open());
        drop(one);
        assert_eq!((counters.connections.get(), counters.open.get()), (2, 1));
        drop(two);
        assert_eq!(counters.open.get(), 0);
    }
}
