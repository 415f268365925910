//! One connection to a relay's mailboxes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use twin_identity::id::DeviceId;
use twin_net::{Node, Protocol, RelayAddress, drive};
use twin_ops::store::OpStore;
use twin_sync::bundle::{self, BundleError, Received};
use twin_sync::mailbox::envelope::MAX_POST;
use twin_sync::mailbox::{
    Address, Client, ClientEvent, Day, Desk, DeskError, Distrust, OrderId, RelayKey, Terms, Visit,
};
use twin_sync::session::Stay;
use twin_vault::relays::{Left, RelayUse};

use super::shelf::{self, Shelves};
use super::{Found, presence};
use crate::error::{Error, Result};
use crate::online::{OnlineEvent, Visited};
use crate::platform::rng;
use crate::sync;
use crate::twin::Twin;

/// How long after a change it is left at relays: devices that are connected have got it by then.
const SETTLING: Duration = Duration::from_secs(3);
/// How many envelopes are left at once; the next follow when these have been kept.
const AT_ONCE: usize = 4;
/// How many envelopes that came too early wait for what has to come before.
const MAX_EARLY: usize = 16;
/// How many events may wait.
const EVENTS: usize = 64;

/// Who visits which relay.
pub(super) struct Visitor {
    pub twin: Twin,
    pub node: Arc<Node>,
    pub relay: RelayAddress,
    pub stay: Stay,
    pub out: mpsc::Sender<OnlineEvent>,
    pub found: mpsc::Sender<Found>,
}

/// An envelope by another device.
struct Post {
    address: Address,
    number: u64,
    content: Vec<u8>,
}

/// What there is to do at one connection.
struct Talk<'v> {
    visitor: &'v Visitor,
    key: RelayKey,
    desk: Arc<Mutex<Desk>>,
    /// Tells the machine that there is something new on the desk.
    stir: watch::Sender<u64>,
    terms: Option<Terms>,
    shelves: Shelves,
    /// Whether mailboxes were opened that the machine may not have looked at when it last said that all is read.
    fresh: bool,
    used: RelayUse,
    /// When this device was here before.
    since: Option<u64>,
    early: VecDeque<Post>,
    /// What lies there once all that was left is kept.
    next: Option<Left>,
    /// What was left and is not acknowledged yet, with what lies there once it is; `None` if that is not to be counted on.
    orders: BTreeMap<OrderId, Option<Left>>,
    /// Whether all was read once.
    caught_up: bool,
    /// Whether the others should hear what has come here.
    owes_word: bool,
    visited: Visited,
}

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
    pub async fn visit(&self) -> Result<Visited> {
        let key = self.relay.key();
        let places = self.relay.resolve().await?;
        self.node.connect(&places, Some(key)).await?;
        let frames = self.node.open(key, Protocol::Mailbox).await?;
        let (used, memory) = shelf::load(&self.twin.vault(), key.into())?;
        let desk = Arc::new(Mutex::new(Desk::new(key.into(), memory)));
        let (stir, stirred) = watch::channel(0);
        let (sender, mut events) = mpsc::channel(EVENTS);
        let client = Client::new(self.node.key(), key, Visit::Stay, self.twin.now());
        let clock = Arc::clone(&self.twin.clock);
        let store = Arc::clone(&desk);
        let mut running = pin!(drive(frames, client, store, stirred, sender, move || clock.now()));
        let mut talk = Talk {
            visitor: self,
            key: key.into(),
            desk,
            stir,
            terms: None,
            shelves: Shelves::default(),
            fresh: true,
            since: used.visited,
            next: used.left.clone(),
            used,
            early: VecDeque::new(),
            orders: BTreeMap::new(),
            caught_up: false,
            owes_word: false,
            visited: Visited {
                relay: self.relay.clone(),
                taken: 0,
                left: 0,
            },
        };
        let mut changes = self.twin.changes();
        let (mut leave_at, mut present_at) = (None, None::<Instant>);
        loop {
            let never = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                ended = &mut running => {
                    ended?;
                    return Err(Error::HungUp);
                }
                Some(event) = events.recv() => {
                    if let ClientEvent::Open(terms) = &event {
                        present_at = Some(Instant::now());
                        talk.terms = Some(*terms);
                        talk.open()?;
                    } else if talk.on(event).await? && self.stay == Stay::UntilInSync {
                        return Ok(talk.visited);
                    }
                }
                Ok(()) = changes.changed() => {
                    leave_at.get_or_insert(Instant::now() + SETTLING);
                }
                () = sleep_until(leave_at.unwrap_or(never)), if leave_at.is_some() && talk.caught_up => {
                    leave_at = None;
                    talk.leave().await?;
                }
                () = sleep_until(present_at.unwrap_or(never)), if present_at.is_some() => {
                    let life = talk.terms.map_or(0, |terms| terms.presence_life);
                    present_at = Some(Instant::now() + Duration::from_millis(life / 2));
                    talk.open()?;
                    if self.stay == Stay::Online {
                        talk.present()?;
                    }
                }
            }
        }
    }
}

impl Talk<'_> {
    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        // Nothing in it is half done between two calls.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stir(&self) {
        self.stir
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Opens today's mailboxes and those before: days pass, and epochs begin.
    fn open(&mut self) -> Result<()> {
        let Some(terms) = self.terms else {
            return Ok(());
        };
        let twin = &self.visitor.twin;
        let (now, visited) = (twin.now(), self.since);
        let mut shelves = std::mem::take(&mut self.shelves);
        let opened = shelves.open(
            &mut self.desk(),
            &twin.vault(),
            self.key,
            now,
            visited,
            &terms,
        );
        self.shelves = shelves;
        self.fresh = true;
        self.stir();
        match opened {
            // More mailboxes than one visit can read: the rest the next time.
            Ok(()) | Err(DeskError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// `true` once there is nothing more to do for now.
    async fn on(&mut self, event: ClientEvent) -> Result<bool> {
        match event {
            ClientEvent::Post {
                address,
                number,
                letter,
            } => {
                let content = letter.content;
                self.take(Post {
                    address,
                    number,
                    content,
                })
                .await?;
            }
            ClientEvent::Presence { letter, .. } => self.found(&letter.content).await,
            ClientEvent::Kept { order, address, .. } => {
                if let Some(Some(left)) = self.orders.remove(&order) {
                    self.used.left = Some(left);
                }
                self.visited.left += 1;
                self.keep(&address)?;
            }
            ClientEvent::Refused {
                order: Some(order),
                why,
                ..
            } if self.orders.remove(&order).is_some() => {
                // It is not there, so nobody can count on it.
                self.begin_anew();
                self.visitor.complain(&why).await;
            }
            ClientEvent::Distrust(what) => {
                if matches!(what, Distrust::Lost { .. }) {
                    self.begin_anew();
                }
                self.visitor.complain(&what).await;
            }
            ClientEvent::CaughtUp => return self.caught_up().await,
            _ => {}
        }
        Ok(false)
    }

    /// Something that was left is not there: what follows it is of no use to whoever lacks it.
    fn begin_anew(&mut self) {
        (self.used.left, self.next) = (None, None);
        self.orders.values_mut().for_each(|left| *left = None);
    }

    async fn caught_up(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.fresh) {
            // It says so again.
            self.stir();
            return Ok(false);
        }
        // What has come since may be what these had waited for.
        for post in std::mem::take(&mut self.early) {
            self.take(post).await?;
        }
        self.caught_up = true;
        let now = self.visitor.twin.now();
        if self.early.is_empty() {
            self.used.visited = Some(now);
        }
        let life = self.terms.map_or(0, |terms| terms.post_life);
        if let Some(oldest) = Day::to_read(now, None, life).next() {
            let (mut desk, mut vault) = (self.desk(), self.visitor.twin.vault());
            shelf::keep_all(&mut vault, self.key, &self.used, &mut desk, oldest)?;
        }
        self.leave().await?;
        Ok(self.orders.is_empty())
    }

    /// Takes in what another device has left. What cannot be taken is not asked for again, unless it has only come too
    /// early.
    async fn take(&mut self, post: Post) -> Result<()> {
        let twin = self.visitor.twin.clone();
        let content = post.content.clone();
        let taken = spawn_blocking(move || {
            let now = twin.now();
            bundle::take(&mut *twin.vault(), now, &content)
        });
        match taken.await.map_err(|_| Error::Broken)? {
            Ok(received) => {
                self.took(&received).await;
                if received.changes > 0 {
                    // With new keys there may be new mailboxes.
                    self.open()?;
                }
                if received.early > 0 && self.early.len() < MAX_EARLY {
                    self.early.push_back(post);
                    return Ok(());
                }
            }
            Err(BundleError::Store(error)) => return Err(BundleError::Store(error).into()),
            Err(error) => log::info!("something that lies at a relay is passed over: {error}"),
        }
        self.desk().taken(&post.address, post.number);
        self.keep(&post.address)
    }

    async fn took(&mut self, received: &Received) {
        if received.new == 0 && received.changes == 0 {
            return;
        }
        self.owes_word = true;
        self.visited.taken += received.new;
        let twin = &self.visitor.twin;
        twin.notify();
        sync::tend(twin);
        let ops = usize::try_from(received.new).unwrap_or(usize::MAX);
        let device = received.by;
        self.visitor
            .tell(OnlineEvent::Received { device, ops })
            .await;
    }

    /// Leaves what other devices are not known to have, and does not lie here already.
    async fn leave(&mut self) -> Result<()> {
        let Some(current) = self.shelves.current else {
            return Ok(());
        };
        let others = others(&self.visitor.twin);
        let life = self.terms.map_or(0, |terms| terms.post_life);
        while !others.is_empty() && self.orders.len() < AT_ONCE {
            let now = self.visitor.twin.now();
            // What lies there expires, perhaps unread: after half of its life it is left again.
            if let Some(left) = &self.next
                && left.since.saturating_add(life / 2) < now
            {
                self.begin_anew();
            }
            let beyond = self.next.as_ref().map(|left| left.known.clone());
            let (twin, to) = (self.visitor.twin.clone(), others.clone());
            let made = spawn_blocking(move || {
                bundle::make(&*twin.vault(), now, &to, beyond, MAX_POST, &mut rng())
            });
            let made = made.await.map_err(|_| Error::Broken)??;
            if made.carried.is_empty() && !self.owes_word {
                return Ok(());
            }
            self.owes_word = false;
            let since = self.next.as_ref().map_or(now, |left| left.since);
            let known = made.then;
            let next = Left { since, known };
            let mut places = vec![current];
            if made.carried.entries > 0 || made.carried.grants > 0 {
                // Who is to learn of them may know nothing of this epoch yet.
                places.extend(&self.shelves.earlier);
            }
            for place in places {
                let bytes = made.bytes.clone();
                let order = self.desk().post(now, &place, bytes, &mut rng());
                match order {
                    Ok(order) => {
                        let left = (place == current).then(|| next.clone());
                        self.orders.insert(order, left);
                    }
                    Err(DeskError::Full) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            self.next = Some(next);
            self.stir();
            if !made.more {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Says where this device is.
    fn present(&mut self) -> Result<()> {
        let Some(current) = self.shelves.current else {
            return Ok(());
        };
        let node = &self.visitor.node;
        let mut addresses = node.external_addresses();
        addresses.extend(node.addresses());
        addresses.retain(|address| !address.ip().is_loopback());
        let content = presence::to_bytes(node.key(), &addresses);
        let twin = &self.visitor.twin;
        let me = twin.device_id();
        let presented = self
            .desk()
            .present(twin.now(), &current, &me, content, &mut rng());
        self.stir();
        match presented {
            Ok(_) | Err(DeskError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn found(&self, content: &[u8]) {
        if let Some((peer, addresses)) = presence::from_bytes(content)
            && peer != self.visitor.node.key()
        {
            let relay = self.visitor.relay.clone();
            let found = Found {
                peer,
                addresses,
                relay,
            };
            // Whoever is busy hears of it again within minutes.
            let _ = self.visitor.found.try_send(found);
        }
    }

    /// Keeps what is remembered of a mailbox, after what it says was taken is safe.
    fn keep(&self, mailbox: &Address) -> Result<()> {
        let (desk, mut vault) = (self.desk(), self.visitor.twin.vault());
        shelf::keep(&mut vault, self.key, &self.used, &desk, mailbox)
    }
}

/// The other devices that take part.
fn others(twin: &Twin) -> Vec<DeviceId> {
    let vault = twin.vault();
    let me = vault.device();
    let devices = vault.identity().devices().keys();
    let others = devices.filter(|device| **device != me && vault.admits(device));
    others.copied().collect()
}
