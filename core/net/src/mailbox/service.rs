//! A relay's mailbox as one thing.
//!
//! [`Service::serve`] runs one connection, [`Service::sweep`] is to be called every minute or so. All connections share one
//! file; a turn of one holds it for a few statements only.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use tokio::select;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use twin_sync::TransportKey;
use twin_sync::machine::Millis;
use twin_sync::mailbox::{Limits, MAX_MESSAGE, MailboxError, Server, ServerEvent};

use super::counters::Counters;
use super::error::StoreError;
use super::sources::{Metered, Share, Sources};
use super::store::{Size, SqliteStore};
use super::sweep::Swept;
use super::watchers::{Watcher, Watchers};
use crate::relay::Metrics;
use crate::{Frames, SessionError, drive};

/// How many connections are served at once. One holds ten frames of 257 KiB at most, five each way, and 64 presences:
/// all together 1.4 GiB if each device sends and asks for the longest at once, 130 MiB if none ends what it begins.
pub const MAX_CONNECTIONS: usize = 512;
/// How many events may wait between a connection and its counters.
const EVENTS: usize = 64;

/// Why a connection was not served to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Too many are open.
    #[error("The relay has too many connections; try again later.")]
    TooMany,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(crate::Error),
    /// The conversation failed.
    #[error(transparent)]
    Session(#[from] SessionError<MailboxError>),
}

/// See the module.
#[derive(Debug)]
pub struct Service {
    store: Arc<Mutex<SqliteStore>>,
    sources: Arc<Sources>,
    limits: Limits,
    counters: Counters,
    watchers: Watchers,
    room: Semaphore,
}

impl Service {
    /// Opens the store at `path`, or makes it, and counts among `metrics`. Blocks.
    pub fn open(path: &Path, limits: Limits, metrics: &Metrics) -> Result<Self, StoreError> {
        Ok(Self {
            store: Arc::new(Mutex::new(SqliteStore::open(path, limits)?)),
            sources: Arc::new(Sources::new(Share::default())),
            limits,
            counters: Counters::new(metrics),
            watchers: Watchers::default(),
            room: Semaphore::new(MAX_CONNECTIONS),
        })
    }

    /// The same, where one network address may leave so much in a day.
    #[must_use]
    pub fn sharing(mut self, share: Share) -> Self {
        self.sources = Arc::new(Sources::new(share));
        self
    }

    /// Serves one device over a stream that it has opened, until it goes: `me` and `peer` are the transport keys of the
    /// relay and the device, as the connection has proven them. `clock` gives milliseconds since the Unix epoch. Dropping
    /// the future ends the connection, and leaves the store whole.
    pub async fn serve(
        &self,
        frames: Frames,
        me: TransportKey,
        peer: TransportKey,
        clock: impl Fn() -> Millis + Clone + Send + 'static,
    ) -> Result<(), ServiceError> {
        let Ok(_place) = self.room.try_acquire() else {
            self.counters.turned_away();
            return Err(ServiceError::TooMany);
        };
        let _open = self.counters.open();
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|_| ServiceError::Random(crate::Error::Random))?;
        let machine = Server::<Metered>::new(me, peer, &self.limits, clock(), nonce);
        let (mut watcher, changed) = self.watchers.join();
        let (events, mut told) = mpsc::channel(EVENTS);
        let store = Arc::new(Mutex::new(Metered {
            store: Arc::clone(&self.store),
            sources: Arc::clone(&self.sources),
            source: frames.came_from(),
        }));
        let frames = frames.taking_at_most(MAX_MESSAGE);
        let mut running = pin!(drive(frames, machine, store, changed, events, clock));
        let end = loop {
            select! {
                end = &mut running => break end,
                Some(event) = told.recv() => self.note(event, &mut watcher),
            }
        };
        // What was told before it ended has happened, too.
        while let Ok(event) = told.try_recv() {
            self.note(event, &mut watcher);
        }
        match end {
            // A device that is done hangs up: there is nothing else that ends a mailbox's conversation.
            Ok(()) | Err(SessionError::Ended) => Ok(()),
            Err(error) => {
                if matches!(error, SessionError::Machine(_)) {
                    self.counters.cut_off();
                }
                Err(error.into())
            }
        }
    }

    /// Drops what has expired, so much that it takes moments only; whether to call again soon is in the answer.
    pub async fn sweep(&self, now: Millis) -> Result<Swept, StoreError> {
        let swept =
            self.with_store(move |store| Ok((store.sweep(now)?, SqliteStore::size(store)?)));
        let (swept, size) = swept.await?;
        self.counters.swept(&swept, &size);
        Ok(swept)
    }

    /// How much there is.
    pub async fn size(&self) -> Result<Size, StoreError> {
        self.with_store(|store| SqliteStore::size(store)).await
    }

    /// What this relay allows.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        let done = spawn_blocking(move || {
            // Poisoned only by a panic, after which SQLite has rolled back; still, nothing is built upon it.
            let mut store = store.lock().map_err(|_| StoreError::Broken)?;
            work(&mut store)
        });
        done.await.map_err(|_| StoreError::Broken)?
    }

    fn note(&self, event: ServerEvent, watcher: &mut Watcher<'_>) {
        self.counters.count(&event);
        match event {
            ServerEvent::Watches(address) => watcher.watch(address),
            ServerEvent::Changed(address) => watcher.changed(&address),
            ServerEvent::Failed(why) => log::error!("{why}"),
            _ => {}
        }
    }
}
