//! What a relay gives out: lists, posts, and what is new.

use super::super::message::{At, Envelope, Listed, Message, News, Presence, Row, Signed};
use super::super::refusal::Refusal;
use super::super::store::MailboxStore;
use super::answer::Answer;
use super::{Lookup, Server, ServerEvent};
use crate::machine::Millis;

impl<S: MailboxStore + ?Sized> Server<S> {
    pub(super) fn look_up(&mut self, now: Millis, lookup: Lookup, store: &mut S) -> Message {
        let (ask, answer) = match lookup {
            Lookup::List(at) => (at.ask, self.list(now, &at, store)),
            Lookup::Get(at) => (at.ask, self.get(now, &at, store)),
        };
        self.said(ask, answer)
    }

    fn list(&mut self, now: Millis, at: &At, store: &mut S) -> Answer {
        let mark = store.mark(&at.address).map(Ok);
        let last = self.of_store(mark)?.last;
        let rows = store.list(now, &at.address, at.number).map(Ok);
        let rows = self.of_store(rows)?.into_iter().map(|row| Row {
            number: row.number,
            id: row.id,
            expires: row.expires,
            withdrawn: row.withdrawn.map(Signed),
        });
        Ok(Message::Listed(Listed {
            ask: at.ask,
            last,
            rows: rows.collect(),
        }))
    }

    fn get(&mut self, now: Millis, at: &At, store: &mut S) -> Answer {
        let sealed = store.get(now, &at.address, at.number);
        let sealed = self.of_store(sealed.map(|sealed| sealed.ok_or(Refusal::Gone)))?;
        let bytes = sealed.len();
        self.events.push_back(ServerEvent::Given { bytes });
        Ok(Message::Envelope(Envelope {
            ask: at.ask,
            sealed: sealed.into(),
        }))
    }

    /// Tells of one mailbox that is watched and may have changed; whether there was one.
    pub(super) fn tell(&mut self, now: Millis, store: &mut S) -> bool {
        let Some((address, followed)) = self.proven.iter_mut().find(|(_, one)| one.dirty) else {
            return false;
        };
        let address = *address;
        followed.dirty = false;
        let (told, version) = (followed.last, followed.version);
        let news = store.mark(&address).and_then(|mark| {
            // Versions begin anew if a mailbox was empty for long: then all there is is news.
            let after = if mark.version < version { 0 } else { version };
            Ok(Ok((mark, store.presences(now, &address, after)?)))
        });
        let Ok((mark, presences)) = self.of_store(news) else {
            return true;
        };
        if let Some(followed) = self.proven.get_mut(&address) {
            followed.version = mark.version;
            followed.last = Some(mark.last);
        }
        let last = mark.last;
        if told != Some(last) {
            let news = Message::News(News { address, last });
            self.pushes.push_back(news.to_frame());
        }
        for presence in presences {
            let presence = Message::Presence(Presence {
                address,
                slot: presence.slot,
                sealed: presence.sealed.map(Into::into),
            });
            self.pushes.push_back(presence.to_frame());
        }
        true
    }
}
