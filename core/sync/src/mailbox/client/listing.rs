//! What a device makes of a list of posts.

use super::super::distrust::Distrust;
use super::super::error::MailboxError;
use super::super::memory::{Known, State};
use super::super::message::{Listed, Row};
use super::super::store::MAX_LISTED;
use super::super::terms::MAX_POSTS;
use super::super::{Address, memory, withdrawal_id};
use super::desk::Desk;
use super::{Client, ClientEvent};
use crate::machine::Millis;

/// A list, and what was asked.
pub(super) struct Page {
    pub address: Address,
    pub after: u64,
    pub expected: u64,
    pub listed: Listed,
}

/// What was noticed, and what is to be told.
type Notes = Vec<ClientEvent>;

impl Client {
    pub(super) fn on_listed(
        &mut self,
        now: Millis,
        page: Page,
        desk: &mut Desk,
    ) -> Result<(), MailboxError> {
        let Page {
            address,
            after,
            expected,
            listed: Listed { last, rows, .. },
        } = page;
        self.step(&address, |opened| opened.listing = false);
        let numbers: Vec<u64> = std::iter::once(after)
            .chain(rows.iter().map(|row| row.number))
            .collect();
        let ascending = numbers.is_sorted_by(|one, two| one < two);
        let end = numbers.last().copied().unwrap_or(after);
        if rows.len() > MAX_LISTED || !ascending || (end > last && !rows.is_empty()) {
            return Err(MailboxError::Unexpected);
        }
        if last > u64::from(MAX_POSTS) {
            self.distrust(Distrust::TooMany { address });
            return Ok(());
        }
        if last < expected {
            self.on_backwards(now, address, last, desk);
            return Ok(());
        }
        let life = self.terms.map_or(0, |terms| terms.post_life);
        let Some(page) = desk.memory.page_mut(&address) else {
            return Ok(());
        };
        page.heard_of(last);
        let whole = rows.len() < MAX_LISTED;
        let (mut at, mut hole, mut notes) = (after, None, Notes::new());
        for row in rows {
            page.gap(
                now,
                life,
                address,
                (after, at, row.number),
                &mut hole,
                &mut notes,
            );
            at = row.number;
            page.show(&address, row, (now, life), &mut notes);
        }
        if whole {
            page.gap(
                now,
                life,
                address,
                (after, at, last + 1),
                &mut hole,
                &mut notes,
            );
            at = at.max(last);
        }
        if after <= page.cursor {
            page.cursor = page.cursor.max(hole.map_or(at, |hole| hole - 1));
        }
        if whole && after == 0 {
            page.audited = now;
        }
        self.look_for_missing(address, desk, &mut notes);
        self.step(&address, |opened| {
            if !whole {
                opened.list = opened.list.min(Some(at)).or(Some(at));
            }
        });
        self.events.extend(notes);
        Ok(())
    }

    /// What was listed, could not be had, and is listed again.
    fn look_for_missing(&mut self, address: Address, desk: &Desk, notes: &mut Notes) {
        let Some(page) = desk.memory.get(&address) else {
            return;
        };
        self.step(&address, |opened| {
            for number in std::mem::take(&mut opened.missing) {
                let known = page.posts.get(&number);
                if known.is_some_and(|known| known.state == State::Shown) {
                    let count = 1;
                    notes.push(note(Distrust::Withheld {
                        address,
                        number,
                        count,
                    }));
                }
            }
        });
    }

    /// The relay knows less than it did: all that it had is looked for anew.
    pub(super) fn on_backwards(
        &mut self,
        now: Millis,
        address: Address,
        told: u64,
        desk: &mut Desk,
    ) {
        let Some(page) = desk.memory.page_mut(&address) else {
            return;
        };
        let known = page.last;
        self.distrust(Distrust::Backwards {
            address,
            told,
            known,
        });
        for number in page.rewind(told, now) {
            self.distrust(Distrust::Lost { address, number });
        }
        self.step(&address, |opened| {
            opened.list = Some(0);
            opened.tried.retain(|number| *number <= told);
        });
    }
}

fn note(what: Distrust) -> ClientEvent {
    ClientEvent::Distrust(what)
}

impl memory::Page {
    /// Forgets what is above a number; returns what had a receipt.
    fn rewind(&mut self, last: u64, now: Millis) -> Vec<u64> {
        let gone = self.posts.split_off(&last.saturating_add(1));
        gone.keys().for_each(|number| self.forget_held(*number));
        (self.last, self.cursor) = (last, 0);
        let mut lost = Vec::new();
        for (number, known) in gone {
            match known.state {
                State::Own if known.is_due(now) => lost.push(number),
                State::Taken => self.remember(&known),
                State::Own | State::Shown | State::Withdrawn => {}
            }
        }
        lost
    }

    /// Takes down that something was taken under a number that no longer stands for it.
    fn remember(&mut self, known: &Known) {
        let most = usize::try_from(MAX_POSTS).unwrap_or(usize::MAX);
        if self.past.len() < most {
            self.past.insert(known.id);
        }
    }

    /// What lies between `at` and `next` is not listed. Posts expire in the order of their numbers, so only what a list
    /// begins with may be missing, and only once it can have expired.
    fn gap(
        &mut self,
        now: Millis,
        life: Millis,
        address: Address,
        (after, at, next): (u64, u64, u64),
        hole: &mut Option<u64>,
        notes: &mut Notes,
    ) {
        let (first, count) = (at + 1, next.saturating_sub(at + 1));
        if count == 0 {
            return;
        }
        // What this device does not miss, because it has it, has put it there, or may have expired.
        let mut had = 0;
        for (number, known) in self.posts.range_mut(first..next) {
            let due = known.is_due(now);
            if due && known.state == State::Own {
                let number = *number;
                notes.push(note(Distrust::Lost { address, number }));
                known.state = State::Taken;
            }
            had += u64::from(!due || known.state != State::Shown);
        }
        let expired = at == after && now >= self.day.kept_until(life);
        if had < count && !expired {
            let number = first;
            *hole = hole.or(Some(first));
            notes.push(note(Distrust::Withheld {
                address,
                number,
                count: count - had,
            }));
        }
    }

    /// A post is listed.
    fn show(
        &mut self,
        address: &Address,
        row: Row,
        (now, life): (Millis, Millis),
        notes: &mut Notes,
    ) {
        let (address, number) = (*address, row.number);
        let mut known = self.posts.remove(&number);
        if let Some(other) = known.take_if(|known| known.id != row.id) {
            notes.push(note(Distrust::Replaced { address, number }));
            self.forget_held(number);
            match other.state {
                State::Own if other.is_due(now) => {
                    notes.push(note(Distrust::Lost { address, number }));
                }
                State::Taken => self.remember(&other),
                _ => {}
            }
        }
        let before = known.map(|known| known.state);
        let repeated = before.is_none() && self.posts.values().any(|known| known.id == row.id);
        if repeated {
            notes.push(note(Distrust::Repeated { address, number }));
        }
        let taken = repeated || self.past.contains(&row.id);
        let mut state = before.unwrap_or(if taken { State::Taken } else { State::Shown });
        if let Some(signature) = row.withdrawn
            && state != State::Withdrawn
        {
            let id = withdrawal_id(&address, number, &row.id);
            if address.verify(&id, &signature.0).is_err() {
                notes.push(note(Distrust::Forged { address, number }));
                // Its bytes are not to be had. What was promised to this device was not kept.
                if state == State::Own {
                    notes.push(note(Distrust::Lost { address, number }));
                }
                state = State::Taken;
            } else {
                if state == State::Own {
                    notes.push(ClientEvent::Withdrawn { address, number });
                }
                state = State::Withdrawn;
            }
        }
        let known = Known {
            id: row.id,
            // What was promised first counts. Nothing of this day can expire before its time, whatever is said of it:
            // or a post would be passed over by a relay's word alone.
            expires: known.map_or_else(
                || row.expires.max(self.day.kept_until(life)),
                |known| known.expires,
            ),
            state,
        };
        self.posts.insert(number, known);
    }
}
