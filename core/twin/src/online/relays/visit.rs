//! One connection to a relay's mailboxes.
//!
//! - `take`, `leave`: what other devices have left, and what they lack
//! - `erased`: what is taken back because it holds what was erased since
//! - `place`: where devices are

mod erased;
mod leave;
mod place;
mod take;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use twin_net::{Node, RelayAddress};
use twin_sync::mailbox::{
    Address, ClientEvent, Day, DeskError, Distrust, Held, OrderId, RelayKey, Terms,
};
use twin_sync::session::Stay;
use twin_vault::relays::{Left, RelayUse};

use super::Found;
use super::shelf::{self, Shelves};
use crate::error::{Error, Result};
use crate::online::{OnlineEvent, Visited};
use crate::relays::conversation::Conversation;
use crate::twin::Twin;
use erased::TakingBack;

/// How long after a change it is left at relays: devices that are connected have got it by then.
const SETTLING: Duration = Duration::from_secs(3);
/// How many envelopes are left at once; the next follow when these have been kept.
const AT_ONCE: usize = 4;
/// Of how much that is wrong with a relay the person is told during one visit, and how much ends it.
const TOLD: usize = 5;
const TOLERATED: usize = 256;
/// How many envelopes that came too early wait for what has to come before.
const MAX_EARLY: usize = 16;

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

/// An envelope that was left.
struct Order {
    /// What lies there once it is acknowledged; `None` if that is not to be counted on.
    left: Option<Left>,
    /// Which ops are in it, if that is known.
    held: Option<Held>,
}

/// What there is to do at one connection.
struct Talk<'v> {
    visitor: &'v Visitor,
    key: RelayKey,
    conversation: Conversation,
    terms: Option<Terms>,
    shelves: Shelves,
    /// Whether mailboxes were opened that the machine may not have looked at when it last said that all is read.
    fresh: bool,
    used: RelayUse,
    /// When this device was here before.
    since: Option<u64>,
    /// Whether it never was, and has not read all yet.
    is_first: bool,
    early: VecDeque<Post>,
    /// What lies there once all that was left is kept.
    next: Option<Left>,
    /// What was left and is not acknowledged yet.
    orders: BTreeMap<OrderId, Order>,
    /// Whether all was read once.
    caught_up: bool,
    taking_back: TakingBack,
    /// Whether an envelope was read whose maker did not know what is erased.
    found_stale: bool,
    /// The mailbox that took no more.
    full: Option<Address>,
    /// How often something was wrong with the relay.
    complaints: usize,
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
    /// `reached` is set once all was read.
    pub async fn visit(&self, reached: &AtomicBool) -> Result<Visited> {
        let key = self.relay.key();
        let places = self.relay.resolve().await?;
        self.node.connect(&places, Some(key)).await?;
        let (used, memory) = shelf::load(&self.twin.vault(), key.into())?;
        let begun = Conversation::begin(&self.node, key, memory, &self.twin.clock);
        let conversation = begun.await?;
        let mut talk = Talk {
            visitor: self,
            key: key.into(),
            conversation,
            terms: None,
            shelves: Shelves::default(),
            fresh: true,
            since: used.visited,
            is_first: used.visited.is_none(),
            next: used.left.clone(),
            used,
            early: VecDeque::new(),
            orders: BTreeMap::new(),
            caught_up: false,
            taking_back: TakingBack::default(),
            found_stale: false,
            full: None,
            complaints: 0,
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
                event = talk.conversation.next() => {
                    let event = event?;
                    if let ClientEvent::Open(terms) = &event {
                        present_at = Some(Instant::now());
                        talk.terms = Some(*terms);
                        talk.open()?;
                    } else if talk.on(event).await? && self.stay == Stay::UntilInSync {
                        return Ok(talk.visited);
                    }
                    reached.fetch_or(talk.caught_up, Ordering::Relaxed);
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
    /// Opens today's mailboxes and those before: days pass, and epochs begin.
    fn open(&mut self) -> Result<()> {
        let Some(terms) = self.terms else {
            return Ok(());
        };
        let twin = &self.visitor.twin;
        let (now, visited) = (twin.now(), self.since);
        let mut shelves = std::mem::take(&mut self.shelves);
        let opened = shelves.open(
            &mut self.conversation.desk(),
            &twin.vault(),
            (self.key, &terms),
            now,
            visited,
            &self.taking_back.places(),
        );
        self.shelves = shelves;
        self.fresh = true;
        self.conversation.stir();
        match opened {
            Ok(()) => Ok(()),
            // More mailboxes than one visit can read: the rest the next time.
            Err(DeskError::Full) => {
                self.taking_back.cut_short();
                Ok(())
            }
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
            // In an earlier epoch's mailbox it may be a device that was removed since.
            ClientEvent::Presence {
                letter, address, ..
            } if self.shelves.here.contains(&address) => self.found(&letter.content),
            ClientEvent::Kept {
                order,
                address,
                number,
                ..
            } => {
                if let Some(order) = self.orders.remove(&order) {
                    self.used.left = order.left.or_else(|| self.used.left.take());
                    self.note_held(&address, number, order.held);
                }
                self.visited.left += 1;
                self.keep(&address)?;
            }
            ClientEvent::Refused {
                order: Some(order),
                why,
                ..
            } if self.taking_back.is_refused(order, why) => self.complain(&why).await?,
            ClientEvent::Refused {
                order: Some(order),
                why,
                ..
            } if self.orders.remove(&order).is_some() => {
                self.not_left(why);
                self.complain(&why).await?;
            }
            ClientEvent::Distrust(what) => {
                if let Distrust::Lost { address, number } = what {
                    self.leave_again(&address, number)?;
                }
                self.complain(&what).await?;
            }
            // Another device has taken it back, perhaps before it could read it.
            ClientEvent::Withdrawn { address, number } => self.leave_again(&address, number)?,
            ClientEvent::CaughtUp => return self.caught_up().await,
            _ => {}
        }
        Ok(false)
    }

    /// Tells the person what is wrong with this relay, but not for ever.
    async fn complain(&mut self, why: &(dyn fmt::Display + Sync)) -> Result<()> {
        self.complaints += 1;
        if self.complaints <= TOLD {
            self.visitor.complain(why).await;
        }
        if self.complaints > TOLERATED {
            return Err(Error::UnrulyRelay);
        }
        Ok(())
    }

    async fn caught_up(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.fresh) {
            // It says so again.
            self.conversation.stir();
            return Ok(false);
        }
        // What has come since may be what these had waited for.
        for post in std::mem::take(&mut self.early) {
            self.take(post).await?;
        }
        if !self.take_back()? {
            return Ok(false);
        }
        self.caught_up = true;
        self.is_first = false;
        let now = self.visitor.twin.now();
        self.note_early().await?;
        if self.early.is_empty() {
            self.used.visited = Some(now);
        }
        let life = self.terms.map_or(0, |terms| terms.post_life);
        if let Some(oldest) = Day::to_read(now, None, life).next() {
            let (mut desk, mut vault) = (self.conversation.desk(), self.visitor.twin.vault());
            shelf::keep_all(&mut vault, self.key, &self.used, &mut desk, oldest)?;
        }
        self.leave().await?;
        Ok(self.orders.is_empty())
    }

    /// Keeps what is remembered of a mailbox, after what it says was taken is safe.
    fn keep(&self, mailbox: &Address) -> Result<()> {
        let (desk, mut vault) = (self.conversation.desk(), self.visitor.twin.vault());
        shelf::keep(&mut vault, self.key, &self.used, &desk, mailbox)
    }
}
