//! A relay's mailbox at work: it answers the streams that come for it, and drops what has expired.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use twin_sync::machine::Millis;

use super::Relay;
use crate::{Event, Events, Protocol, mailbox::Service};

/// How often what has expired is dropped.
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
                }
            }
        }
    }
}
