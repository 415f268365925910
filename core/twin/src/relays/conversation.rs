//! One connection to a relay's mailboxes, as it is driven.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use twin_net::{Node, Protocol, SessionError, TransportKey, drive};
use twin_sync::mailbox::{Client, ClientEvent, Desk, MailboxError, Memory, Visit};

use crate::error::{Error, Result};
use crate::platform::SharedClock;

/// How many events may wait.
const EVENTS: usize = 64;

/// See the module. Dropping it ends the conversation.
pub struct Conversation {
    counter: Counter,
    events: mpsc::Receiver<ClientEvent>,
    running: Running,
}

/// Where the relay is told what is wanted of it.
#[derive(Clone)]
pub struct Counter {
    desk: Arc<Mutex<Desk>>,
    /// Tells the machine that there is something new on the desk.
    stir: watch::Sender<u64>,
}

impl Counter {
    /// What is wanted of the relay; [`Counter::stir`] after a change.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing in it is half done between two calls.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk has changed: the machine looks at it again.
    pub fn stir(&self) {
        self.stir
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

type Running =
    Pin<Box<dyn Future<Output = std::result::Result<(), SessionError<MailboxError>>> + Send>>;

impl Conversation {
    /// Begins one with a relay that the node is connected to, with what is remembered of it.
    pub async fn begin(
        node: &Node,
        relay: TransportKey,
        memory: Memory,
        clock: &SharedClock,
    ) -> Result<Self> {
        let frames = node.open(relay, Protocol::Mailbox).await?;
        let desk = Arc::new(Mutex::new(Desk::new(relay.into(), memory)));
        let (stir, stirred) = watch::channel(0);
        let (sender, events) = mpsc::channel(EVENTS);
        let client = Client::new(node.key(), relay, Visit::Stay, clock.now());
        let (store, clock) = (Arc::clone(&desk), Arc::clone(clock));
        let running = drive(frames, client, store, stirred, sender, move || clock.now());
        Ok(Self {
            counter: Counter { desk, stir },
            events,
            running: Box::pin(running),
        })
    }

    /// Where the relay is told what is wanted of it.
    pub fn counter(&self) -> Counter {
        self.counter.clone()
    }

    /// See [`Counter::desk`].
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.counter.desk()
    }

    /// See [`Counter::stir`].
    pub fn stir(&self) {
        self.counter.stir();
    }

    /// The next that the relay says. Nothing goes on while nobody waits for it. Cancel safe.
    ///
    /// # Errors
    /// The conversation has ended.
    pub async fn next(&mut self) -> Result<ClientEvent> {
        tokio::select! {
            // What was said before it ended counts.
            biased;
            Some(event) = self.events.recv() => Ok(event),
            ended = &mut self.running => {
                ended?;
                Err(Error::HungUp)
            }
        }
    }
}
