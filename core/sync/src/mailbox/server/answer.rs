//! What a relay does with each question.

use super::super::envelope::{BUCKETS, PRESENCE};
use super::super::error::MailboxError;
use super::super::message::{
    Done, Message, Present, Prove, Put, Receipt, Refused, Watch, Withdraw,
};
use super::super::rate::Bucket;
use super::super::refusal::Refusal;
use super::super::store::MailboxStore;
use super::super::{Address, proof_id, withdrawal_id};
use super::{Followed, Lookup, MAX_REFUSALS, Server, ServerEvent};
use crate::machine::Millis;

/// What is answered: a message, or no and for how long.
pub(super) type Answer = Result<Message, (Refusal, Option<Millis>)>;

impl<S: MailboxStore + ?Sized> Server<S> {
    pub(super) fn on_message(
        &mut self,
        now: Millis,
        message: Message,
        store: &mut S,
    ) -> Result<(), MailboxError> {
        let ask = match &message {
            Message::Prove(prove) => prove.ask,
            Message::Put(put) => put.ask,
            Message::Present(present) => present.ask,
            Message::List(at) | Message::Get(at) => at.ask,
            Message::Withdraw(withdraw) => withdraw.ask,
            Message::Watch(watch) => watch.ask,
            _ => return Err(MailboxError::Unexpected),
        };
        // A question that comes again is not asked by a device of ours.
        if self.last_ask >= Some(ask) {
            return Err(MailboxError::Unexpected);
        }
        self.last_ask = Some(ask);
        // All at once: if a post were paid for when it is sent, a device that had to wait would pay for the question
        // each time, and might never have enough for the post.
        let bytes = match &message {
            Message::Put(put) => put.sealed.len(),
            Message::Present(present) => present.sealed.as_ref().map_or(0, |sealed| sealed.len()),
            Message::Get(at) if self.is_proven(&at.address) => {
                let size = store.size(now, &at.address, at.number);
                self.of_store(size.map(Ok)).ok().flatten().unwrap_or(0)
            }
            _ => 0,
        };
        let cost = Bucket::cost(bytes);
        let answer = match self.bucket.take(now, cost) {
            Err(wait) => Err((Refusal::TooFast, Some(wait))),
            Ok(()) => match message {
                Message::Prove(prove) => self.on_prove(&prove)?,
                Message::List(at) if self.is_proven(&at.address) => {
                    self.waiting.push_back(Lookup::List(at));
                    return Ok(());
                }
                Message::Get(at) if self.is_proven(&at.address) => {
                    self.waiting.push_back(Lookup::Get(at));
                    return Ok(());
                }
                Message::Put(put) => self.on_put(now, &put, store),
                Message::Present(present) => self.on_present(now, &present, store),
                Message::Withdraw(withdraw) => self.on_withdraw(now, &withdraw, store),
                Message::Watch(watch) => self.on_watch(&watch),
                _ => Err((Refusal::NotProven, None)),
            },
        };
        let answer = self.said(ask, answer);
        self.outbox.push_back(answer.to_frame());
        if self.refusals > MAX_REFUSALS {
            return Err(MailboxError::Flooded);
        }
        Ok(())
    }

    fn is_proven(&self, address: &Address) -> bool {
        self.proven.contains_key(address)
    }

    /// The answer as it is sent.
    pub(super) fn said(&mut self, ask: u64, answer: Answer) -> Message {
        match answer {
            Ok(message) => {
                self.refusals = 0;
                message
            }
            Err((why, wait)) => {
                self.refusals += 1;
                self.events.push_back(ServerEvent::Refused(why));
                Message::Refused(Refused { ask, why, wait })
            }
        }
    }

    /// What the store gave; its own failures are told to the operator.
    pub(super) fn of_store<T>(
        &mut self,
        result: Result<Result<T, Refusal>, S::Error>,
    ) -> Result<T, (Refusal, Option<Millis>)> {
        match result {
            Ok(outcome) => outcome.map_err(|why| (why, None)),
            Err(error) => {
                self.events
                    .push_back(ServerEvent::Failed(error.to_string()));
                Err((Refusal::Failed, None))
            }
        }
    }

    fn on_prove(&mut self, prove: &Prove) -> Result<Answer, MailboxError> {
        let Prove { ask, address, .. } = *prove;
        let most = usize::try_from(self.limits.terms.addresses).unwrap_or(usize::MAX);
        if !self.is_proven(&address) {
            if self.proven.len() >= most {
                return Ok(Err((Refusal::TooManyAddresses, None)));
            }
            let id = proof_id(&self.nonce, &self.peer, &self.me, &address);
            let proven = address.verify(&id, &prove.signature);
            proven.map_err(|_| MailboxError::NotProven)?;
            self.proven.insert(address, Followed::default());
            self.deadline = None;
            self.events.push_back(ServerEvent::Proven);
        }
        Ok(Ok(Message::Done(Done { ask })))
    }

    fn on_put(&mut self, now: Millis, put: &Put, store: &mut S) -> Answer {
        let Put { ask, address, .. } = *put;
        if !self.is_proven(&address) {
            return Err((Refusal::NotProven, None));
        }
        if !BUCKETS.contains(&put.sealed.len()) {
            return Err((Refusal::Size, None));
        }
        let before = store.mark(&address).map(Ok);
        let before = self.of_store(before)?;
        let kept = store.put(now, &address, &put.sealed);
        let kept = self.of_store(kept)?;
        if kept.number > before.last {
            let bytes = put.sealed.len();
            self.events.push_back(ServerEvent::Kept { bytes });
            self.changed(&address, kept.version, Some(kept.number));
        }
        Ok(Message::Receipt(Receipt {
            ask,
            number: kept.number,
            expires: kept.expires,
        }))
    }

    fn on_present(&mut self, now: Millis, present: &Present, store: &mut S) -> Answer {
        let Present {
            ask, address, slot, ..
        } = *present;
        if !self.is_proven(&address) {
            return Err((Refusal::NotProven, None));
        }
        let sealed = present.sealed.as_ref().map(|sealed| sealed.as_slice());
        if sealed.is_some_and(|sealed| sealed.len() != PRESENCE) {
            return Err((Refusal::Size, None));
        }
        let version = store.present(now, &address, &slot, sealed);
        let version = self.of_store(version)?;
        self.events.push_back(ServerEvent::Presence);
        self.changed(&address, version, None);
        Ok(Message::Done(Done { ask }))
    }

    fn on_withdraw(&mut self, now: Millis, withdraw: &Withdraw, store: &mut S) -> Answer {
        let Withdraw {
            ask,
            address,
            number,
            id,
            signature,
        } = *withdraw;
        if !self.is_proven(&address) {
            return Err((Refusal::NotProven, None));
        }
        let signed = address.verify(&withdrawal_id(&address, number, &id), &signature);
        signed.map_err(|_| (Refusal::NotYours, None))?;
        let version = store.withdraw(now, &address, number, &id, &signature);
        let version = self.of_store(version)?;
        self.events.push_back(ServerEvent::Withdrawn);
        self.changed(&address, version, None);
        Ok(Message::Done(Done { ask }))
    }

    fn on_watch(&mut self, watch: &Watch) -> Answer {
        let followed = self.proven.get_mut(&watch.address);
        let followed = followed.ok_or((Refusal::NotProven, None))?;
        followed.dirty = true;
        if !followed.watched {
            followed.watched = true;
            self.events.push_back(ServerEvent::Watches(watch.address));
        }
        Ok(Message::Done(Done { ask: watch.ask }))
    }

    /// A mailbox was changed by this connection. It need not be told of its own change, if there was no other.
    fn changed(&mut self, address: &Address, version: u64, last: Option<u64>) {
        self.events.push_back(ServerEvent::Changed(*address));
        if let Some(followed) = self.proven.get_mut(address)
            && followed.version + 1 == version
        {
            followed.version = version;
            followed.last = last.or(followed.last);
        }
    }
}
