//! What a device asks next.

use super::super::Address;
use super::super::message::{At, Message, Present, Prove, Put, Watch, Withdraw};
use super::desk::{Desk, Order, What};
use super::{Asked, Client, MAX_FETCHES, Opened, OrderId, Question, Step};
use crate::machine::Millis;

impl Client {
    /// Proofs first, then what was ordered, then what is to be read.
    pub(super) fn next_question(&mut self, now: Millis, desk: &mut Desk) -> Option<Message> {
        self.follow(now, desk);
        let asked = self
            .next_proof(desk)
            .or_else(|| self.next_order(desk))
            .or_else(|| self.next_watch(desk))
            .or_else(|| self.next_list(desk))
            .or_else(|| self.next_fetch(now, desk));
        let (what, message) = asked?;
        self.asked.insert(self.next_ask, Asked { what, at: now });
        self.next_ask += 1;
        Some(message)
    }

    /// Takes over which mailboxes are open.
    fn follow(&mut self, now: Millis, desk: &Desk) {
        self.opened
            .retain(|address, _| desk.shelves.contains_key(address));
        for address in desk.shelves.keys() {
            self.opened.entry(*address).or_insert_with(|| {
                let page = desk.memory.get(address);
                // Once a day all is looked through that the relay has promised to keep.
                let audit =
                    page.is_none_or(|page| page.has_receipts(now) && page.is_audit_due(now));
                Opened {
                    list: Some(page.filter(|_| !audit).map_or(0, |page| page.cursor)),
                    ..Opened::default()
                }
            });
        }
    }

    fn next_proof(&mut self, desk: &Desk) -> Option<(Question, Message)> {
        let challenge = self.challenge?;
        let mut ahead = self.opened.iter_mut();
        let (address, opened) = ahead.find(|(_, opened)| opened.proof == Step::Ahead)?;
        let mailbox = &desk.shelves.get(address)?.mailbox;
        opened.proof = Step::Asked;
        let prove = Prove {
            ask: self.next_ask,
            address: *address,
            signature: mailbox.prove(&challenge, &self.me, &self.relay),
        };
        Some((Question::Prove(*address), Message::Prove(prove)))
    }

    fn next_order(&self, desk: &Desk) -> Option<(Question, Message)> {
        let sent = |id: &OrderId| {
            let mut asked = self.asked.values();
            asked.any(|asked| matches!(&asked.what, Question::Order(_, order) if order == id))
        };
        let mut orders = desk.orders.iter();
        let (id, order) = orders.find(|(id, order)| self.is_proven(&order.address) && !sent(id))?;
        let message = self.ordered(order, desk)?;
        Some((Question::Order(order.address, *id), message))
    }

    fn ordered(&self, order: &Order, desk: &Desk) -> Option<Message> {
        let (ask, address) = (self.next_ask, order.address);
        Some(match &order.what {
            What::Put(sealed) => Message::Put(Put {
                ask,
                address,
                sealed: sealed.clone().into(),
            }),
            What::Present(slot, sealed) => Message::Present(Present {
                ask,
                address,
                slot: *slot,
                sealed: sealed.clone().map(Into::into),
            }),
            What::Withdraw(number, id) => Message::Withdraw(Withdraw {
                ask,
                address,
                number: *number,
                id: *id,
                signature: desk.shelves.get(&address)?.mailbox.withdraw(*number, id),
            }),
        })
    }

    fn next_watch(&mut self, desk: &Desk) -> Option<(Question, Message)> {
        let mut opened = self.opened.iter_mut();
        let (address, opened) = opened.find(|(address, opened)| {
            let wanted = desk.shelves.get(address).is_some_and(|shelf| shelf.watch);
            wanted && opened.proof == Step::Done && opened.watch == Step::Ahead
        })?;
        opened.watch = Step::Asked;
        let (ask, address) = (self.next_ask, *address);
        Some((
            Question::Watch(address),
            Message::Watch(Watch { ask, address }),
        ))
    }

    fn next_list(&mut self, desk: &Desk) -> Option<(Question, Message)> {
        let mut opened = self.opened.iter_mut();
        let (address, opened) = opened.find(|(_, opened)| {
            opened.proof == Step::Done && opened.list.is_some() && !opened.listing
        })?;
        let (ask, address, after) = (self.next_ask, *address, opened.list.take()?);
        opened.listing = true;
        let question = Question::List {
            address,
            after,
            expected: desk.memory.get(&address).map_or(0, |page| page.last),
        };
        let at = At {
            ask,
            address,
            number: after,
        };
        Some((question, Message::List(at)))
    }

    fn next_fetch(&mut self, now: Millis, desk: &Desk) -> Option<(Question, Message)> {
        let mut asked = self.asked.values();
        let fetches = asked
            .by_ref()
            .filter(|asked| matches!(asked.what, Question::Get { .. }));
        if fetches.count() >= MAX_FETCHES {
            return None;
        }
        let mut opened = self.opened.iter_mut();
        let (address, number, known) = opened.find_map(|(address, opened)| {
            let page = desk.memory.get(address)?;
            let proven = opened.proof == Step::Done;
            let (number, known) = page.to_fetch(now, &opened.tried).filter(|_| proven)?;
            opened.tried.insert(number);
            Some((*address, number, known))
        })?;
        let question = Question::Get {
            address,
            number,
            id: known.id,
            expires: known.expires,
        };
        let at = At {
            ask: self.next_ask,
            address,
            number,
        };
        Some((question, Message::Get(at)))
    }

    fn is_proven(&self, address: &Address) -> bool {
        let opened = self.opened.get(address);
        opened.is_some_and(|opened| opened.proof == Step::Done)
    }
}
