//! What a device wants of one relay: which mailboxes it reads, what it leaves there, and what it remembers.
//!
//! It outlives connections. What was not answered when one broke is asked again on the next.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::id::DeviceId;

use super::super::envelope::{EnvelopeError, Letter};
use super::super::memory::State;
use super::super::{Address, EnvelopeId, Mailbox, Memory, RelayKey, Slot};
use crate::machine::Millis;

/// The most mailboxes of one desk.
pub const MAX_MAILBOXES: usize = 256;
/// The most orders that wait.
pub const MAX_ORDERS: usize = 64;

/// The number of an order, by which its end is told.
pub type OrderId = u64;

/// An order could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The mailbox was not opened here, or is one at another relay.
    #[error("this mailbox is not open here")]
    Unknown,
    /// Too many mailboxes or orders.
    #[error("too much waits for this relay already: try again when it has answered")]
    Full,
    /// This device has no such post there.
    #[error("there is no such message on the relay")]
    NoPost,
    /// The content does not fit.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// See the module.
pub struct Desk {
    relay: RelayKey,
    pub(super) shelves: BTreeMap<Address, Shelf>,
    pub(super) orders: BTreeMap<OrderId, Order>,
    next_order: OrderId,
    pub(super) memory: Memory,
    /// Where this device's own presence lies, which it need not be told of.
    pub(super) own_slots: BTreeSet<(Address, Slot)>,
}

/// A mailbox that is open.
pub(super) struct Shelf {
    pub mailbox: Mailbox,
    pub watch: bool,
}

/// Something to be changed at the relay.
pub(super) struct Order {
    pub address: Address,
    pub what: What,
}

pub(super) enum What {
    Put(Vec<u8>),
    Present(Slot, Option<Vec<u8>>),
    Withdraw(u64, EnvelopeId),
}

impl Desk {
    /// For one relay, with what is remembered of it.
    pub const fn new(relay: RelayKey, memory: Memory) -> Self {
        Self {
            relay,
            shelves: BTreeMap::new(),
            orders: BTreeMap::new(),
            next_order: 1,
            memory,
            own_slots: BTreeSet::new(),
        }
    }

    /// The relay that it is for.
    pub const fn relay(&self) -> RelayKey {
        self.relay
    }

    /// Opens a mailbox, to be read, and with `watch` to be told of what is new in it. Twice is once.
    pub fn open(&mut self, mailbox: Mailbox, watch: bool) -> Result<Address, DeskError> {
        let address = mailbox.address();
        if mailbox.relay() != self.relay {
            return Err(DeskError::Unknown);
        }
        if self.shelves.len() >= MAX_MAILBOXES && !self.shelves.contains_key(&address) {
            return Err(DeskError::Full);
        }
        self.memory.begin(address, mailbox.day());
        self.shelves.insert(address, Shelf { mailbox, watch });
        Ok(address)
    }

    /// Closes a mailbox: its keys are wiped, its orders dropped. What is remembered of it stays.
    pub fn close(&mut self, address: &Address) {
        self.shelves.remove(address);
        self.orders.retain(|_, order| order.address != *address);
        self.own_slots.retain(|(at, _)| at != address);
    }

    /// Leaves a post.
    pub fn post(
        &mut self,
        now: Millis,
        address: &Address,
        content: Vec<u8>,
        rng: &mut impl CryptoRng,
    ) -> Result<OrderId, DeskError> {
        let letter = self.letter(now, address, content);
        let sealed = self.mailbox(address)?.seal_post(&letter, rng)?;
        self.order(*address, What::Put(sealed))
    }

    /// Says where a device is, in place of what it said before.
    pub fn present(
        &mut self,
        now: Millis,
        address: &Address,
        device: &DeviceId,
        content: Vec<u8>,
        rng: &mut impl CryptoRng,
    ) -> Result<OrderId, DeskError> {
        let mut letter = self.letter(now, address, content);
        let mailbox = self.mailbox(address)?;
        let slot = mailbox.slot(device);
        // A clock that was set back must not make the new one look older than the one before.
        let before = self.memory.get(address);
        let before = before.and_then(|page| page.presences.get(&slot)).copied();
        letter.made = now.max(before.map_or(0, |before| before.saturating_add(1)));
        let sealed = mailbox.seal_presence(&slot, &letter, rng)?;
        self.retire_presence(address, &slot);
        let order = self.order(*address, What::Present(slot, Some(sealed)))?;
        if let Some(page) = self.memory.page_mut(address) {
            page.saw_presence(slot, letter.made);
        }
        self.own_slots.insert((*address, slot));
        Ok(order)
    }

    /// Takes back what a device said of where it is.
    pub fn absent(&mut self, address: &Address, device: &DeviceId) -> Result<OrderId, DeskError> {
        let slot = self.mailbox(address)?.slot(device);
        self.retire_presence(address, &slot);
        self.order(*address, What::Present(slot, None))
    }

    /// Takes back a post that is known by its number.
    pub fn withdraw(&mut self, address: &Address, number: u64) -> Result<OrderId, DeskError> {
        self.mailbox(address)?;
        let page = self.memory.get(address);
        let known = page.and_then(|page| page.posts.get(&number));
        let known = known.filter(|known| known.state != State::Withdrawn);
        let id = known.ok_or(DeskError::NoPost)?.id;
        self.order(*address, What::Withdraw(number, id))
    }

    /// The application has dealt with a post: it does not come again.
    pub fn taken(&mut self, address: &Address, number: u64) {
        self.memory.taken(address, number);
    }

    /// What is remembered, to be kept.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The same, to forget what is too old.
    pub const fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// How many orders have not been answered.
    pub fn waiting(&self) -> usize {
        self.orders.len()
    }

    fn mailbox(&self, address: &Address) -> Result<&Mailbox, DeskError> {
        let shelf = self.shelves.get(address);
        shelf.map(|shelf| &shelf.mailbox).ok_or(DeskError::Unknown)
    }

    fn letter(&self, made: Millis, address: &Address, content: Vec<u8>) -> Letter {
        let seen = self.memory.get(address).map_or(0, |page| page.last);
        Letter {
            made,
            seen,
            content,
        }
    }

    /// A presence that has not been sent is not worth sending once there is another.
    fn retire_presence(&mut self, address: &Address, slot: &Slot) {
        self.orders.retain(|_, order| {
            order.address != *address || !matches!(&order.what, What::Present(of, _) if of == slot)
        });
    }

    fn order(&mut self, address: Address, what: What) -> Result<OrderId, DeskError> {
        if self.orders.len() >= MAX_ORDERS {
            return Err(DeskError::Full);
        }
        let id = self.next_order;
        self.next_order += 1;
        self.orders.insert(id, Order { address, what });
        Ok(id)
    }
}
