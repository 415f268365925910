//! The relay's side of one connection.
//!
//! What is short is answered at once; what asks for bytes waits in a list until the transport has room, so that a device
//! that asks and does not read costs no memory. A device that floods is cut off, and nobody else is touched.

mod answer;
mod given;

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

use super::error::MailboxError;
use super::message::{At, Challenge, Message};
use super::rate::Bucket;
use super::refusal::Refusal;
use super::store::MailboxStore;
use super::terms::Limits;
use super::{Address, MAILBOX_VERSION};
use crate::machine::{Machine, Millis};
use crate::transport::TransportKey;

/// How long a device may take until it has proven a mailbox, in milliseconds.
pub const PROOF_TIME: Millis = 30_000;
/// How many questions may be open at once on one connection; see [`Client`](super::Client), which keeps to fewer.
pub const MAX_OPEN: usize = 64;
/// After how many refusals in a row a device is cut off.
pub const MAX_REFUSALS: u32 = 256;

/// What a relay's connection tells the relay: for counters, and for whom to wake. Addresses are not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// A mailbox was proven.
    Proven,
    /// The device wants to hear of changes in this mailbox: call [`Machine::store_changed`] when there are.
    Watches(Address),
    /// A mailbox has changed.
    Changed(Address),
    /// A post was kept that was not there before.
    Kept {
        /// Its bytes.
        bytes: usize,
    },
    /// A presence was put or taken back.
    Presence,
    /// A post was taken back.
    Withdrawn,
    /// A post was given out.
    Given {
        /// Its bytes.
        bytes: usize,
    },
    /// A question was refused.
    Refused(Refusal),
    /// The store failed: in its own words, for the operator.
    Failed(String),
}

/// One connection of a relay, over a store `S`.
pub struct Server<S: ?Sized> {
    me: TransportKey,
    peer: TransportKey,
    nonce: [u8; 32],
    limits: Limits,
    bucket: Bucket,
    /// The mailboxes that this connection has proven.
    proven: BTreeMap<Address, Followed>,
    last_ask: Option<u64>,
    refusals: u32,
    deadline: Option<Millis>,
    /// Answers that are short.
    outbox: VecDeque<Vec<u8>>,
    /// What nobody asked for. It leaves before any answer that is made later, so that what a device hears of a mailbox
    /// never goes backwards.
    pushes: VecDeque<Vec<u8>>,
    /// Questions whose answers may be long.
    waiting: VecDeque<Lookup>,
    events: VecDeque<ServerEvent>,
    store: PhantomData<fn(&mut S)>,
}

/// What a connection has been told of a mailbox.
#[derive(Default)]
struct Followed {
    watched: bool,
    /// Whether there may be something to tell.
    dirty: bool,
    version: u64,
    last: Option<u64>,
}

/// A question that waits.
enum Lookup {
    List(At),
    Get(At),
}

impl<S: MailboxStore + ?Sized> Server<S> {
    /// A connection that begins: `me` and `peer` are the transport keys of the relay and the device, `nonce` is 32 fresh
    /// random bytes.
    pub fn new(
        me: TransportKey,
        peer: TransportKey,
        limits: &Limits,
        now: Millis,
        nonce: [u8; 32],
    ) -> Self {
        let challenge = Message::Challenge(Challenge {
            version: MAILBOX_VERSION,
            nonce,
            terms: limits.terms,
        });
        Self {
            me,
            peer,
            nonce,
            limits: *limits,
            bucket: Bucket::new(limits.burst, limits.per_second, now),
            proven: BTreeMap::new(),
            last_ask: None,
            refusals: 0,
            deadline: Some(now.saturating_add(PROOF_TIME)),
            outbox: VecDeque::from([challenge.to_frame()]),
            pushes: VecDeque::new(),
            waiting: VecDeque::new(),
            events: VecDeque::new(),
            store: PhantomData,
        }
    }
}

impl<S: MailboxStore + ?Sized> Machine for Server<S> {
    type Store = S;
    type Event = ServerEvent;
    type Error = MailboxError;

    fn receive(&mut self, now: Millis, frame: &[u8], store: &mut S) -> Result<(), MailboxError> {
        let message = Message::from_frame(frame)?;
        if self.outbox.len() + self.waiting.len() >= MAX_OPEN {
            return Err(MailboxError::Flooded);
        }
        self.on_message(now, message, store)
    }

    fn next_frame(&mut self, now: Millis, store: &mut S) -> Result<Option<Vec<u8>>, MailboxError> {
        let said = self.pushes.pop_front();
        if let Some(frame) = said.or_else(|| self.outbox.pop_front()) {
            return Ok(Some(frame));
        }
        if let Some(lookup) = self.waiting.pop_front() {
            return Ok(Some(self.look_up(now, lookup, store).to_frame()));
        }
        while self.pushes.is_empty() && self.tell(now, store) {}
        Ok(self.pushes.pop_front())
    }

    fn next_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    fn deadline(&self) -> Option<Millis> {
        self.deadline
    }

    fn tick(&mut self, now: Millis, _: &mut S) -> Result<(), MailboxError> {
        match self.deadline {
            Some(deadline) if now >= deadline => Err(MailboxError::Silent),
            _ => Ok(()),
        }
    }

    fn store_changed(&mut self, _: &mut S) -> Result<(), MailboxError> {
        for followed in self.proven.values_mut() {
            followed.dirty |= followed.watched;
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        false
    }
}
