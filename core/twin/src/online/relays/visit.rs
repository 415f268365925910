//! One connection to a relay's mailboxes: what is done there is in [`twin_sync::talk`].

use std::fmt;
use std::ops::DerefMut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use rand_core::CryptoRng;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use twin_net::{Node, RelayAddress};
use twin_sync::mailbox::{ClientEvent, Desk};
use twin_sync::session::Stay;
use twin_sync::talk::{Around, News, SETTLING, Talk, TalkError};
use twin_vault::{Vault, VaultError};

use super::Found;
use crate::error::{Error, Result};
use crate::online::{OnlineEvent, Visited};
use crate::platform::rng;
use crate::relays::conversation::{Conversation, Counter};
use crate::relays::presence;
use crate::sync;
use crate::twin::Twin;

/// Who visits which relay.
pub(super) struct Visitor {
    pub twin: Twin,
    pub node: Arc<Node>,
    pub relay: RelayAddress,
    pub stay: Stay,
    pub out: mpsc::Sender<OnlineEvent>,
    pub found: mpsc::Sender<Found>,
}

/// What a talk reads and writes: the device's vault, and the relay's counter.
#[derive(Clone)]
struct Place {
    twin: Twin,
    counter: Counter,
}

impl Around for Place {
    type Store = Vault;

    fn now(&self) -> u64 {
        self.twin.now()
    }

    fn store(&self) -> impl DerefMut<Target = Vault> {
        self.twin.vault()
    }

    fn desk(&self) -> impl DerefMut<Target = Desk> {
        let desk: MutexGuard<'_, Desk> = self.counter.desk();
        desk
    }

    fn rng(&self) -> impl CryptoRng {
        rng()
    }

    fn stir(&self) {
        self.counter.stir();
    }

    fn tend(&self) {
        self.twin.notify();
        sync::tend(&self.twin);
    }
}

type Done<T> = std::result::Result<T, TalkError<VaultError>>;

impl Visitor {
    pub async fn tell(&self, event: OnlineEvent) {
        // Nobody may be listening; that is no reason to stop.
        let _ = self.out.send(event).await;
    }

    /// Tells the person what is wrong with this relay.
    pub async fn complain(&self, why: &(dyn fmt::Display + Sync)) {
        let problem = format!("the relay {}: {why}", self.relay);
        self.tell(OnlineEvent::Problem(problem)).await;
    }

    /// Connects and stays until the connection ends, or until all is read and left if it is to end then.
    /// `reached` is set once all was read.
    pub async fn visit(&self, reached: &AtomicBool) -> Result<Visited> {
        let key = self.relay.key();
        let places = self.relay.resolve().await?;
        self.node.connect(&places, Some(key)).await?;
        let (mut talk, memory) = Talk::begin(&*self.twin.vault(), key.into())?;
        let begun = Conversation::begin(&self.node, key, memory, &self.twin.clock);
        let mut conversation = begun.await?;
        let place = Place {
            twin: self.twin.clone(),
            counter: conversation.counter(),
        };
        let mut changes = self.twin.changes();
        let (mut leave_at, mut present_at) = (None, None::<Instant>);
        loop {
            let never = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                event = conversation.next() => {
                    let event = event?;
                    if matches!(event, ClientEvent::Open(_)) {
                        present_at = Some(Instant::now());
                    }
                    let done;
                    (talk, done) = self.act(talk, &place, |talk, at| talk.on(event, at)).await?;
                    if done && self.stay == Stay::UntilInSync {
                        return Ok(Visited {
                            relay: self.relay.clone(),
                            taken: talk.taken(),
                            left: talk.left(),
                        });
                    }
                    reached.fetch_or(talk.has_caught_up(), Ordering::Relaxed);
                }
                Ok(()) = changes.changed() => {
                    leave_at.get_or_insert(Instant::now() + Duration::from_millis(SETTLING));
                }
                () = sleep_until(leave_at.unwrap_or(never)), if leave_at.is_some() && talk.has_caught_up() => {
                    leave_at = None;
                    (talk, ()) = self.act(talk, &place, |talk, at| talk.leave(at)).await?;
                }
                () = sleep_until(present_at.unwrap_or(never)), if present_at.is_some() => {
                    let life = talk.terms().map_or(0, |terms| terms.presence_life);
                    present_at = Some(Instant::now() + Duration::from_millis(life / 2));
                    let here = (self.stay == Stay::Online).then(|| presence::of(&self.node));
                    (talk, ()) = self.act(talk, &place, |talk, at| {
                        talk.open(at)?;
                        here.map_or(Ok(()), |here| talk.present(here, at))
                    }).await?;
                }
            }
        }
    }

    /// Lets a talk go on where it may block, and tells what it has to tell.
    async fn act<T: Send + 'static>(
        &self,
        mut talk: Talk,
        place: &Place,
        act: impl FnOnce(&mut Talk, &Place) -> Done<T> + Send + 'static,
    ) -> Result<(Talk, T)> {
        let place = place.clone();
        let acted = spawn_blocking(move || {
            let done = act(&mut talk, &place);
            (talk, done)
        });
        let (mut talk, done) = acted.await.map_err(|_| Error::Broken)?;
        while let Some(news) = talk.next_news() {
            match news {
                News::Received { by: device, ops } => {
                    let ops = usize::try_from(ops).unwrap_or(usize::MAX);
                    self.tell(OnlineEvent::Received { device, ops }).await;
                }
                News::Complaint(why) => self.complain(&why).await,
                News::Found(content) => self.found(&content),
            }
        }
        Ok((talk, done?))
    }

    fn found(&self, content: &[u8]) {
        if let Some((peer, addresses)) = presence::from_bytes(content)
            && peer != self.node.key()
        {
            let relay = self.relay.clone();
            let found = Found {
                peer,
                addresses,
                relay,
            };
            // Whoever is busy hears of it again within minutes.
            let _ = self.found.try_send(found);
        }
    }
}
