//! The device's side of one connection to a relay.
//!
//! It proves each mailbox once, sends what was ordered, lists and fetches what is new, and notices what a relay should not
//! do ([`Distrust`]). At most 16 questions are open at a time, and four posts on their way.

mod answers;
mod asking;
pub mod desk;
mod listing;
mod refused;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::distrust::Distrust;
use super::envelope::Letter;
use super::error::MailboxError;
use super::message::Message;
use super::refusal::Refusal;
use super::{Address, EnvelopeId, Slot, Terms};
use crate::machine::{Machine, Millis};
use crate::transport::TransportKey;

pub use desk::{Desk, DeskError, OrderId};

/// How long a relay may take for an answer, in milliseconds.
pub const ANSWER_TIME: Millis = 60_000;
/// The longest pause that a relay may ask for, in milliseconds.
const MAX_PAUSE: Millis = 60_000;
/// How many questions may be open.
const MAX_ASKED: usize = 16;
/// How many of them may be for posts.
const MAX_FETCHES: usize = 4;

/// Whether to stay once everything was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// End when all is read and sent.
    Once,
    /// Go on, and hear of what is new in the mailboxes that are watched.
    Stay,
}

/// What a connection to a relay tells the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The relay has said how much it takes, and for how long.
    Open(Terms),
    /// A post by another device. Call [`Desk::taken`] when it is dealt with.
    Post {
        /// Where it lay.
        address: Address,
        /// Its number.
        number: u64,
        /// What it says.
        letter: Letter,
    },
    /// Where a device is.
    Presence {
        /// In which mailbox.
        address: Address,
        /// Whose; see [`Mailbox::slot`](super::Mailbox::slot).
        slot: Slot,
        /// What it says.
        letter: Letter,
    },
    /// A device has taken back where it is. A relay can make this up.
    Left {
        /// In which mailbox.
        address: Address,
        /// Whose.
        slot: Slot,
    },
    /// A post was kept.
    Kept {
        /// By this order.
        order: OrderId,
        /// Where.
        address: Address,
        /// Under this number.
        number: u64,
        /// Until then, by the relay's clock.
        expires: Millis,
    },
    /// Another order was done.
    Done(OrderId),
    /// A post of this device was taken back by a device of the twin.
    Withdrawn {
        /// Where.
        address: Address,
        /// Its number.
        number: u64,
    },
    /// The relay refused something. An order is not tried again.
    Refused {
        /// Where.
        address: Address,
        /// The order, if it was one.
        order: Option<OrderId>,
        /// Why.
        why: Refusal,
    },
    /// The relay has done what it should not.
    Distrust(Distrust),
    /// All is sent and read, for now.
    CaughtUp,
}

/// One connection to a relay.
pub struct Client {
    me: TransportKey,
    relay: TransportKey,
    visit: Visit,
    challenge: Option<[u8; 32]>,
    terms: Option<Terms>,
    next_ask: u64,
    asked: BTreeMap<u64, Asked>,
    opened: BTreeMap<Address, Opened>,
    /// Until when the relay wants to be left alone.
    pause: Option<Millis>,
    /// Until when it has to have begun.
    begin: Millis,
    /// Whether there was nothing to ask when last looked, and nothing is open.
    idle: bool,
    events: VecDeque<ClientEvent>,
}

/// A question that is open.
struct Asked {
    what: Question,
    at: Millis,
}

enum Question {
    Prove(Address),
    Watch(Address),
    List {
        address: Address,
        after: u64,
        /// The highest number that was known when it was asked.
        expected: u64,
    },
    Get {
        address: Address,
        number: u64,
        id: EnvelopeId,
        expires: Millis,
    },
    Order(Address, OrderId),
}

/// How far this connection is with a mailbox.
#[derive(Default)]
struct Opened {
    proof: Step,
    watch: Step,
    /// The number after which is to be listed.
    list: Option<u64>,
    /// Whether that was asked.
    listing: bool,
    /// The posts that were asked for on this connection.
    tried: BTreeSet<u64>,
    /// Those that were not there, although listed.
    missing: BTreeSet<u64>,
}

#[derive(Default, PartialEq, Eq)]
enum Step {
    #[default]
    Ahead,
    Asked,
    Done,
    Refused,
}

impl Client {
    /// A connection that begins: `me` and `relay` are the transport keys of both ends.
    pub const fn new(me: TransportKey, relay: TransportKey, visit: Visit, now: Millis) -> Self {
        Self {
            me,
            relay,
            visit,
            challenge: None,
            terms: None,
            next_ask: 1,
            asked: BTreeMap::new(),
            opened: BTreeMap::new(),
            pause: None,
            begin: now.saturating_add(ANSWER_TIME),
            idle: false,
            events: VecDeque::new(),
        }
    }

    fn distrust(&mut self, what: Distrust) {
        self.events.push_back(ClientEvent::Distrust(what));
    }
}

impl Machine for Client {
    type Store = Desk;
    type Event = ClientEvent;
    type Error = MailboxError;

    fn receive(&mut self, now: Millis, frame: &[u8], desk: &mut Desk) -> Result<(), MailboxError> {
        self.idle = false;
        self.on_message(now, Message::from_frame(frame)?, desk)
    }

    fn next_frame(
        &mut self,
        now: Millis,
        desk: &mut Desk,
    ) -> Result<Option<Vec<u8>>, MailboxError> {
        if self.pause.is_some_and(|until| until <= now) {
            self.pause = None;
        }
        if self.challenge.is_none() || self.pause.is_some() || self.asked.len() >= MAX_ASKED {
            return Ok(None);
        }
        let question = self.next_question(now, desk);
        if question.is_none() && self.asked.is_empty() && !self.idle {
            self.idle = true;
            self.events.push_back(ClientEvent::CaughtUp);
        }
        Ok(question.map(|message| message.to_frame()))
    }

    fn next_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    fn deadline(&self) -> Option<Millis> {
        let answer = self.asked.values().map(|asked| asked.at).min();
        let answer = answer.map(|at| at.saturating_add(ANSWER_TIME));
        let begin = self.challenge.is_none().then_some(self.begin);
        [answer, begin, self.pause].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Millis, _: &mut Desk) -> Result<(), MailboxError> {
        let late = |at: Millis| now >= at.saturating_add(ANSWER_TIME);
        let begins_late = self.challenge.is_none() && now >= self.begin;
        if begins_late || self.asked.values().any(|asked| late(asked.at)) {
            return Err(MailboxError::Silent);
        }
        Ok(())
    }

    fn store_changed(&mut self, _: &mut Desk) -> Result<(), MailboxError> {
        self.idle = false;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.visit == Visit::Once && self.idle
    }
}
