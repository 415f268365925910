//! A relay's mailbox at work: it answers the streams that come for it, drops what has expired, and tells what it counts.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use twin_sync::machine::Millis;

use super::{Metrics, Relay};
use crate::{
    Event, Events, Protocol,
    mailbox::{Metrics as Counted, Service},
};

/// How often what has expired is dropped, and what was counted is told.
const SWEEP: Duration = Duration::from_secs(60);
/// How soon it goes on if there was more than one sweep takes.
const SWEEP_ON: Duration = Duration::from_millis(100);

impl Relay {
    /// Lets `mailbox` answer what comes for it, until the relay stops; streams for anything else are refused. `clock`
    /// gives milliseconds since the Unix epoch. Dropping the future ends the conversations, and leaves the mailbox whole.
    pub async fn serve(
        &self,
        events: &mut Events,
        mailbox: Arc<Service>,
        clock: impl Fn() -> Millis + Clone + Send + 'static,
    ) {
        let me = self.key();
        let mut conversations = JoinSet::new();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                event = events.recv() => match event {
                    Some(Event::Incoming { peer, protocol: Protocol::Mailbox, frames }) => {
                        let (mailbox, clock) = (Arc::clone(&mailbox), clock.clone());
                        conversations.spawn(async move {
                            if let Err(error) = mailbox.serve(frames, me, peer, clock).await {
                                log::info!("a conversation about a mailbox has ended: {error}");
                            }
                        });
                    }
                    Some(_) => {}
                    None => return,
                },
                Some(_) = conversations.join_next() => {}
                _ = sweep.tick() => {
                    match mailbox.sweep(clock()).await {
                        Ok(swept) if swept.more => sweep.reset_after(SWEEP_ON),
                        Ok(_) => {}
                        Err(error) => log::error!("what has expired could not be dropped: {error}"),
                    }
                    let counted = mailbox.metrics().await;
                    tell(self.metrics(), &counted.unwrap_or_else(|_| mailbox.counters()));
                }
            }
        }
    }
}

/// Adds what the mailbox has counted to what the relay tells.
fn tell(metrics: &Metrics, counted: &Counted) {
    let counters = [
        (
            "twin_relay_mailbox_connections_total",
            counted.connections,
            "Connections to mailboxes.",
        ),
        (
            "twin_relay_mailbox_turned_away_total",
            counted.turned_away,
            "Connections refused because too many were open.",
        ),
        (
            "twin_relay_mailbox_cut_off_total",
            counted.cut_off,
            "Connections ended because the device broke a rule or stalled.",
        ),
        (
            "twin_relay_mailbox_proven_total",
            counted.proven,
            "Mailboxes that devices have proved to be theirs.",
        ),
        (
            "twin_relay_mailbox_kept_total",
            counted.kept,
            "Envelopes kept.",
        ),
        (
            "twin_relay_mailbox_kept_bytes_total",
            counted.kept_bytes,
            "Bytes of envelopes kept.",
        ),
        (
            "twin_relay_mailbox_given_total",
            counted.given,
            "Envelopes given out.",
        ),
        (
            "twin_relay_mailbox_given_bytes_total",
            counted.given_bytes,
            "Bytes of envelopes given out.",
        ),
        (
            "twin_relay_mailbox_presences_total",
            counted.presences,
            "Times that a device said where it is.",
        ),
        (
            "twin_relay_mailbox_withdrawn_total",
            counted.withdrawn,
            "Envelopes taken back.",
        ),
        (
            "twin_relay_mailbox_refused_total",
            counted.refused.iter().sum(),
            "Questions of devices that were refused.",
        ),
        (
            "twin_relay_mailbox_failures_total",
            counted.failures,
            "Failures of the store.",
        ),
        (
            "twin_relay_mailbox_expired_total",
            counted.expired_posts,
            "Envelopes that have expired.",
        ),
    ];
    for (name, count, help) in counters {
        metrics.counter(name, help).set(count);
    }
    let gauges = [
        (
            "twin_relay_mailbox_open",
            counted.open,
            "Connections to mailboxes that are open.",
        ),
        (
            "twin_relay_mailbox_envelopes",
            counted.size.posts,
            "Envelopes in the store.",
        ),
        (
            "twin_relay_mailbox_bytes",
            counted.size.bytes,
            "Bytes in the store.",
        ),
    ];
    for (name, value, help) in gauges {
        metrics.gauge(name, help).set(value);
    }
}
