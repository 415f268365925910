//! What a device does at one connection to a relay's mailboxes: it takes what others have left, leaves what they lack, and
//! takes back what holds what was erased since. No sockets and no clock of its own: [`Around`] gives it what it needs.
//!
//! - [`shelf`]: which mailboxes there are, and what the store keeps of them
//! - `take`, `leave`: what other devices have left, and what they lack
//! - `erased`: what is taken back because it holds what was erased since
//! - `place`: where devices are

mod erased;
mod leave;
mod place;
pub mod shelf;
mod take;

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as StdError;
use std::fmt;
use std::ops::DerefMut;

use rand_core::CryptoRng;
use twin_identity::id::DeviceId;
use twin_ops::relays::{Left, RelayStore, RelayUse};

use crate::bundle::BundleError;
use crate::machine::Millis;
use crate::mailbox::{
    Address, ClientEvent, Day, Desk, DeskError, Distrust, Held, Memory, OrderId, RelayKey, Terms,
};
use erased::TakingBack;
use shelf::Shelves;

/// How long after a change it is left at relays, in milliseconds: devices that are connected have got it by then.
pub const SETTLING: Millis = 3_000;
/// How many envelopes are left at once; the next follow when these have been kept.
const AT_ONCE: usize = 4;
/// Of how much that is wrong with a relay the person is told during one visit, and how much ends it.
const TOLD: usize = 5;
const TOLERATED: usize = 256;
/// How many envelopes that came too early wait for what has to come before.
const MAX_EARLY: usize = 16;

/// Where a talk takes place. Of what it gives nothing is held for longer than one step takes.
pub trait Around {
    /// The device's store.
    type Store: RelayStore;

    /// The device's clock: milliseconds since the Unix epoch.
    fn now(&self) -> Millis;

    /// The device's store.
    fn store(&self) -> impl DerefMut<Target = Self::Store>;

    /// What is wanted of the relay.
    fn desk(&self) -> impl DerefMut<Target = Desk>;

    /// Where keys and nonces come from.
    fn rng(&self) -> impl CryptoRng;

    /// The desk has changed: the machine that asks the relay looks at it again.
    fn stir(&self);

    /// Something has come from others: this device does what has become its to do. Neither store nor desk are held.
    fn tend(&self);
}

/// What the person may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something that was new has come.
    Received {
        /// Who had left it there.
        by: DeviceId,
        /// How many ops.
        ops: u64,
    },
    /// Something is wrong with the relay, in words.
    Complaint(String),
    /// What a device says of where it is.
    Found(Vec<u8>),
}

/// A talk that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TalkError<E: StdError + Send + Sync + 'static> {
    /// The device's store does not work.
    #[error(transparent)]
    Store(E),
    /// What others lack could not be made into an envelope.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Too much is wanted of the relay.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The relay breaks too many rules.
    #[error("the relay does not keep what it promises: use another relay, or ask whoever runs it")]
    Unruly,
}

type Result<T, A> = std::result::Result<T, TalkError<ErrorOf<A>>>;
type ErrorOf<A> = <<A as Around>::Store as twin_ops::store::OpStore>::Error;

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
pub struct Talk {
    key: RelayKey,
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
    /// Whether there may be an envelope whose maker did not know what is erased: one was read, or it was not looked yet
    /// whether one that was read at an earlier visit is still there.
    found_stale: bool,
    /// The mailbox that took no more.
    full: Option<Address>,
    /// Whether the relay has refused what was to be left, since mailboxes were opened last.
    refused: bool,
    /// How often something was wrong with the relay.
    complaints: usize,
    /// Whether the others should hear what has come here.
    owes_word: bool,
    news: VecDeque<News>,
    taken: u64,
    left: u64,
}

impl Talk {
    /// One that begins, and what is remembered of the relay, which a desk begins with.
    pub fn begin<S: RelayStore>(
        store: &S,
        key: RelayKey,
    ) -> std::result::Result<(Self, Memory), S::Error> {
        let (used, memory) = shelf::load(store, key)?;
        let talk = Self {
            key,
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
            found_stale: true,
            full: None,
            refused: false,
            complaints: 0,
            owes_word: false,
            news: VecDeque::new(),
            taken: 0,
            left: 0,
        };
        Ok((talk, memory))
    }

    /// What the relay has said of itself; `None` until it has.
    pub const fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// Whether all was read once.
    pub const fn has_caught_up(&self) -> bool {
        self.caught_up
    }

    /// How many ops that were new were taken from there.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// How many envelopes were left there.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// The next thing to tell the person, oldest first.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Opens today's mailboxes and those before: days pass, and epochs begin.
    pub fn open<A: Around>(&mut self, at: &A) -> Result<(), A> {
        let Some(terms) = self.terms else {
            return Ok(());
        };
        let (now, visited) = (at.now(), self.since);
        let mut shelves = std::mem::take(&mut self.shelves);
        let opened = shelves.open(
            &mut at.desk(),
            &*at.store(),
            (self.key, &terms),
            now,
            visited,
            &self.taking_back.places(),
        );
        self.shelves = shelves;
        (self.fresh, self.refused) = (true, false);
        at.stir();
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

    /// Deals with what the relay says; `true` once there is nothing more to do for now.
    pub fn on<A: Around>(&mut self, event: ClientEvent, at: &A) -> Result<bool, A> {
        match event {
            ClientEvent::Open(terms) => {
                self.terms = Some(terms);
                self.open(at)?;
            }
            ClientEvent::Post {
                address,
                number,
                letter,
            } => {
                let content = letter.content;
                let post = Post {
                    address,
                    number,
                    content,
                };
                self.take(post, at)?;
            }
            // In an earlier epoch's mailbox it may be a device that was removed since.
            ClientEvent::Presence {
                letter, address, ..
            } if self.shelves.here.contains(&address) => {
                self.news.push_back(News::Found(letter.content));
            }
            ClientEvent::Kept {
                order,
                address,
                number,
                ..
            } => {
                if let Some(order) = self.orders.remove(&order) {
                    self.used.left = order.left.or_else(|| self.used.left.take());
                    self.note_held(&address, number, order.held, at);
                }
                self.left += 1;
                self.keep(&address, at)?;
            }
            ClientEvent::Refused {
                order: Some(order),
                why,
                ..
            } if self.taking_back.is_refused(order, why) => self.complain::<A>(&why)?,
            ClientEvent::Refused {
                order: Some(order),
                why,
                ..
            } if self.orders.remove(&order).is_some() => {
                self.not_left(why);
                self.complain::<A>(&why)?;
            }
            ClientEvent::Distrust(what) => {
                if let Distrust::Lost { address, number } = what {
                    self.leave_again(&address, number, at)?;
                    if self.left > 0 {
                        // What it loses within one visit it would lose again, for as long as both stay.
                        self.full = self.shelves.current;
                    }
                }
                self.complain::<A>(&what)?;
            }
            // Another device has taken it back, perhaps before it could read it.
            ClientEvent::Withdrawn { address, number } => self.leave_again(&address, number, at)?,
            ClientEvent::CaughtUp => return self.caught_up(at),
            _ => {}
        }
        Ok(false)
    }

    /// Tells the person what is wrong with this relay, but not for ever.
    fn complain<A: Around>(&mut self, why: &dyn fmt::Display) -> Result<(), A> {
        self.complaints += 1;
        if self.complaints <= TOLD {
            self.news.push_back(News::Complaint(why.to_string()));
        }
        if self.complaints > TOLERATED {
            return Err(TalkError::Unruly);
        }
        Ok(())
    }

    fn caught_up<A: Around>(&mut self, at: &A) -> Result<bool, A> {
        if std::mem::take(&mut self.fresh) {
            // It says so again.
            at.stir();
            return Ok(false);
        }
        // What has come since may be what these had waited for.
        for post in std::mem::take(&mut self.early) {
            self.take(post, at)?;
        }
        if !self.take_back(at)? {
            return Ok(false);
        }
        self.caught_up = true;
        self.is_first = false;
        let now = at.now();
        self.note_early::<A>()?;
        if self.early.is_empty() {
            self.used.visited = Some(now);
        }
        let life = self.terms.map_or(0, |terms| terms.post_life);
        if let Some(oldest) = Day::to_read(now, None, life).next() {
            let (mut desk, mut store) = (at.desk(), at.store());
            let kept = shelf::keep_all(&mut *store, self.key, &self.used, &mut desk, oldest);
            kept.map_err(TalkError::Store)?;
        }
        self.leave(at)?;
        Ok(self.orders.is_empty())
    }

    /// Keeps what is remembered of a mailbox, after what it says was taken is safe.
    fn keep<A: Around>(&self, mailbox: &Address, at: &A) -> Result<(), A> {
        let (desk, mut store) = (at.desk(), at.store());
        let kept = shelf::keep(&mut *store, self.key, &self.used, &desk, mailbox);
        kept.map_err(TalkError::Store)
    }
}
