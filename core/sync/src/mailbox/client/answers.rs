//! What a device does with what a relay says.

use super::super::distrust::Distrust;
use super::super::error::MailboxError;
use super::super::memory::{Known, State};
use super::super::message::{Challenge, Envelope, Message, News, Presence, Receipt};
use super::super::terms::MAX_POSTS;
use super::super::{Address, EnvelopeId, MAILBOX_VERSION};
use super::desk::{Desk, What};
use super::listing::Page;
use super::{Client, ClientEvent, OrderId, Question, Step};
use crate::machine::Millis;

impl Client {
    pub(super) fn on_message(
        &mut self,
        now: Millis,
        message: Message,
        desk: &mut Desk,
    ) -> Result<(), MailboxError> {
        let ask = match message {
            Message::Challenge(challenge) => return self.on_challenge(&challenge),
            _ if self.challenge.is_none() => return Err(MailboxError::Unexpected),
            Message::News(news) => return self.on_news(now, &news, desk),
            Message::Presence(presence) => return self.on_presence(&presence, desk),
            Message::Done(ref done) => done.ask,
            Message::Receipt(ref receipt) => receipt.ask,
            Message::Listed(ref listed) => listed.ask,
            Message::Envelope(ref envelope) => envelope.ask,
            Message::Refused(ref refused) => refused.ask,
            _ => return Err(MailboxError::Unexpected),
        };
        let asked = self.asked.remove(&ask).ok_or(MailboxError::Unasked)?;
        match (asked.what, message) {
            (question, Message::Refused(refused)) => {
                self.on_refused(now, question, &refused, desk);
                Ok(())
            }
            (Question::Prove(address), Message::Done(_)) => {
                self.step(&address, |opened| opened.proof = Step::Done);
                Ok(())
            }
            (Question::Watch(address), Message::Done(_)) => {
                self.step(&address, |opened| opened.watch = Step::Done);
                Ok(())
            }
            (Question::Order(address, order), Message::Done(_)) => {
                self.on_done(&address, order, desk)
            }
            (Question::Order(address, order), Message::Receipt(receipt)) => {
                self.on_receipt(address, order, &receipt, desk)
            }
            (
                Question::List {
                    address,
                    after,
                    expected,
                },
                Message::Listed(listed),
            ) => {
                let page = Page {
                    address,
                    after,
                    expected,
                    listed,
                };
                self.on_listed(now, page, desk)
            }
            (
                Question::Get {
                    address,
                    number,
                    id,
                    ..
                },
                Message::Envelope(envelope),
            ) => {
                self.on_envelope(address, number, &id, &envelope, desk);
                Ok(())
            }
            _ => Err(MailboxError::Unasked),
        }
    }

    pub(super) fn step(&mut self, address: &Address, change: impl FnOnce(&mut super::Opened)) {
        // A mailbox may have been closed since it was asked about.
        self.opened.get_mut(address).map(change);
    }

    fn on_challenge(&mut self, challenge: &Challenge) -> Result<(), MailboxError> {
        if challenge.version != MAILBOX_VERSION || self.challenge.is_some() {
            return Err(MailboxError::Unexpected);
        }
        self.challenge = Some(challenge.nonce);
        let terms = challenge.terms.within_reason();
        self.terms = Some(terms);
        self.events.push_back(ClientEvent::Open(terms));
        Ok(())
    }

    fn on_done(
        &mut self,
        address: &Address,
        order: OrderId,
        desk: &mut Desk,
    ) -> Result<(), MailboxError> {
        match desk.orders.get(&order).map(|order| &order.what) {
            // It was replaced meanwhile by another one.
            None => return Ok(()),
            Some(What::Put(_)) => return Err(MailboxError::Unasked),
            Some(What::Withdraw(number, _)) => {
                let page = desk.memory.page_mut(address);
                if let Some(known) = page.and_then(|page| page.posts.get_mut(number)) {
                    known.state = State::Withdrawn;
                }
            }
            Some(What::Present(..)) => {}
        }
        desk.orders.remove(&order);
        self.events.push_back(ClientEvent::Done(order));
        Ok(())
    }

    fn on_receipt(
        &mut self,
        address: Address,
        order: OrderId,
        receipt: &Receipt,
        desk: &mut Desk,
    ) -> Result<(), MailboxError> {
        let Receipt {
            number, expires, ..
        } = *receipt;
        let sealed = match desk.orders.get(&order).map(|order| &order.what) {
            // The mailbox was closed meanwhile.
            None => return Ok(()),
            Some(What::Put(sealed)) => sealed,
            Some(_) => return Err(MailboxError::Unasked),
        };
        if !(1..=u64::from(MAX_POSTS)).contains(&number) {
            return Err(MailboxError::Unexpected);
        }
        let id = EnvelopeId::of(sealed);
        desk.orders.remove(&order);
        let Some(page) = desk.memory.page_mut(&address) else {
            return Ok(());
        };
        page.heard_of(number);
        let life = self.terms.map_or(0, |terms| terms.post_life);
        let expires = expires.max(page.day.kept_until(life));
        let state = State::Own;
        page.forget_held(number);
        let before = page.posts.insert(number, Known { id, expires, state });
        // Where something else was listed, or nothing was: what is put now comes after all that was.
        let other = before.is_some_and(|before| before.id != id);
        if other || (before.is_none() && number <= page.cursor) {
            if let Some(before) = before.filter(|before| before.state == State::Taken) {
                page.past.insert(before.id);
            }
            self.distrust(Distrust::Replaced { address, number });
        }
        self.events.push_back(ClientEvent::Kept {
            order,
            address,
            number,
            expires,
        });
        Ok(())
    }

    fn on_envelope(
        &mut self,
        address: Address,
        number: u64,
        id: &EnvelopeId,
        envelope: &Envelope,
        desk: &mut Desk,
    ) {
        let Some(shelf) = desk.shelves.get(&address) else {
            return;
        };
        if EnvelopeId::of(&envelope.sealed) != *id {
            self.distrust(Distrust::Altered { address, number });
            return;
        }
        match shelf.mailbox.open_post(&envelope.sealed) {
            Ok(letter) => {
                self.hear_of(&address, letter.seen, desk);
                self.events.push_back(ClientEvent::Post {
                    address,
                    number,
                    letter,
                });
            }
            Err(_) => {
                // It will not open another time either.
                desk.memory.taken(&address, number);
                self.distrust(Distrust::Unreadable { address, number });
            }
        }
    }

    /// Another device has seen so many posts: if that is more than the relay has told of, it is asked.
    fn hear_of(&mut self, address: &Address, seen: u64, desk: &mut Desk) {
        let Some(page) = desk.memory.page_mut(address) else {
            return;
        };
        if page.heard_of(seen) {
            let after = page.cursor;
            self.step(address, |opened| {
                opened.list = opened.list.min(Some(after)).or(Some(after))
            });
        }
    }

    fn on_news(&mut self, now: Millis, news: &News, desk: &mut Desk) -> Result<(), MailboxError> {
        let News { address, last } = *news;
        self.check_watched(&address, desk)?;
        let Some(page) = desk.memory.page_mut(&address) else {
            return Ok(());
        };
        if last < page.last {
            self.on_backwards(now, address, last, desk);
            return Ok(());
        }
        self.hear_of(&address, last, desk);
        Ok(())
    }

    fn on_presence(&mut self, presence: &Presence, desk: &mut Desk) -> Result<(), MailboxError> {
        let Presence { address, slot, .. } = *presence;
        self.check_watched(&address, desk)?;
        let Some(shelf) = desk.shelves.get(&address) else {
            return Ok(());
        };
        if desk.own_slots.contains(&(address, slot)) {
            return Ok(());
        }
        let Some(sealed) = &presence.sealed else {
            self.events.push_back(ClientEvent::Left { address, slot });
            return Ok(());
        };
        let Ok(letter) = shelf.mailbox.open_presence(&slot, sealed) else {
            self.distrust(Distrust::UnreadablePresence { address, slot });
            return Ok(());
        };
        let page = desk.memory.page_mut(&address);
        match page.and_then(|page| page.saw_presence(slot, letter.made)) {
            Some(true) => {
                self.hear_of(&address, letter.seen, desk);
                self.events.push_back(ClientEvent::Presence {
                    address,
                    slot,
                    letter,
                });
            }
            Some(false) => self.distrust(Distrust::Stale { address, slot }),
            None => self.distrust(Distrust::TooMany { address }),
        }
        Ok(())
    }

    /// What is told unasked is about a mailbox that is watched, or was until a moment ago.
    fn check_watched(&self, address: &Address, desk: &Desk) -> Result<(), MailboxError> {
        match self.opened.get(address) {
            Some(opened) if opened.watch == Step::Ahead => Err(MailboxError::Unasked),
            Some(_) => Ok(()),
            None if desk.memory.get(address).is_some() => Ok(()),
            None => Err(MailboxError::Unasked),
        }
    }
}
