//! A relay: what it keeps, and what it does that it should not.

use std::collections::BTreeSet;
use std::convert::Infallible;

use twin_identity::sign::Signature;
use twin_sync::TransportKey;
use twin_sync::machine::Millis;
use twin_sync::mailbox::store::{Kept, Listed, Mark, Outcome, Present};
use twin_sync::mailbox::{Address, EnvelopeId, Limits, MailboxStore, Refusal, Slot};

use super::store::{Post, Shelf};
use crate::dice::Dice;

/// What a relay does with what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// What it should.
    Honest,
    /// It has no room.
    Full,
    /// Its disk does not work.
    Fails,
    /// It shows some posts only: those of which this lot does not come up.
    Hides(u8),
}

/// A relay.
pub struct Relay {
    /// By which devices know it.
    pub key: TransportKey,
    /// What it keeps.
    pub shelf: Shelf,
    /// What it does now.
    pub mood: Mood,
    /// What it says of itself, if that is not so.
    pub says: Option<Limits>,
    /// Whether it has ever lost, hidden or shown something that it should not have.
    pub lied: bool,
    /// Whether devices were here whose clocks were wrong by more than half a day.
    pub is_seen_by_wrong_clocks: bool,
    /// What persons were told of it.
    pub complaints: Vec<String>,
    /// How many posts were left here that were not there yet, and their bytes.
    pub puts: u64,
    /// See `puts`.
    pub put_bytes: u64,
    copy: Option<Shelf>,
    /// Posts as they once lay here, to be shown again.
    past: Vec<(Address, Post)>,
}

/// How many old posts a relay can show again.
const PAST: usize = 64;

impl Relay {
    /// An honest one.
    pub fn new(key: TransportKey, limits: Limits) -> Self {
        Self {
            key,
            shelf: Shelf::new(limits),
            mood: Mood::Honest,
            says: None,
            lied: false,
            is_seen_by_wrong_clocks: false,
            complaints: Vec::new(),
            puts: 0,
            put_bytes: 0,
            copy: None,
            past: Vec::new(),
        }
    }

    /// What it tells devices of itself.
    pub fn limits(&self) -> Limits {
        self.says.unwrap_or(self.shelf.limits)
    }

    /// Forgets posts: each with this chance in a hundred, or whole mailboxes.
    pub fn forget(&mut self, dice: &mut Dice, percent: u64, whole: bool) {
        self.lied = true;
        if whole {
            self.shelf.boxes.retain(|_, _| !dice.chance(percent));
            return;
        }
        for one in self.shelf.boxes.values_mut() {
            one.posts.retain(|_, _| !dice.chance(percent));
        }
    }

    /// Keeps a copy of itself, or goes back to the one that it has.
    pub fn copy_or_set_back(&mut self) -> bool {
        match self.copy.take() {
            None => {
                self.copy = Some(self.shelf.clone());
                false
            }
            Some(copy) => {
                self.lied = true;
                self.shelf = copy;
                true
            }
        }
    }

    /// Shows an old post again, as a new one.
    pub fn replay(&mut self, dice: &mut Dice) {
        if self.past.is_empty() {
            return;
        }
        self.lied = true;
        let (address, post) = dice.pick(&self.past).clone();
        let one = self.shelf.boxes.entry(address).or_default();
        one.mark.last += 1;
        one.mark.version += 1;
        one.posts.insert(one.mark.last, post);
    }

    fn shows(&self, id: &EnvelopeId) -> bool {
        match self.mood {
            Mood::Hides(lot) => !(id.as_bytes()[0] ^ lot).is_multiple_of(3),
            _ => true,
        }
    }

    fn refuses(&self) -> Option<Refusal> {
        match self.mood {
            Mood::Full => Some(Refusal::RelayFull),
            Mood::Fails => Some(Refusal::Failed),
            _ => None,
        }
    }

    /// The addresses of all mailboxes with something in them.
    pub fn addresses(&self) -> BTreeSet<Address> {
        self.shelf.boxes.keys().copied().collect()
    }
}

impl MailboxStore for Relay {
    type Error = Infallible;

    fn put(
        &mut self,
        now: Millis,
        address: &Address,
        sealed: &[u8],
    ) -> Result<Outcome<Kept>, Infallible> {
        if let Some(why) = self.refuses() {
            return Ok(Err(why));
        }
        let before = self.shelf.mark(address)?.last;
        let kept = self.shelf.put(now, address, sealed)?;
        if let Ok(kept) = &kept
            && kept.number > before
        {
            self.puts += 1;
            self.put_bytes += sealed.len() as u64;
            if self.past.len() < PAST {
                let post = self.shelf.boxes[address].posts[&kept.number].clone();
                self.past.push((*address, post));
            }
        }
        Ok(kept)
    }

    fn list(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Listed>, Infallible> {
        let mut rows = self.shelf.list(now, address, after)?;
        rows.retain(|row| self.shows(&row.id));
        Ok(rows)
    }

    fn size(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<usize>, Infallible> {
        self.shelf.size(now, address, number)
    }

    fn get(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<Vec<u8>>, Infallible> {
        self.shelf.get(now, address, number)
    }

    fn withdraw(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
        id: &EnvelopeId,
        signature: &Signature,
    ) -> Result<Outcome<u64>, Infallible> {
        if self.mood == Mood::Fails {
            return Ok(Err(Refusal::Failed));
        }
        self.shelf.withdraw(now, address, number, id, signature)
    }

    fn present(
        &mut self,
        now: Millis,
        address: &Address,
        slot: &Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Outcome<u64>, Infallible> {
        if let Some(why) = self.refuses() {
            return Ok(Err(why));
        }
        self.shelf.present(now, address, slot, sealed)
    }

    fn presences(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Present>, Infallible> {
        self.shelf.presences(now, address, after)
    }

    fn mark(&mut self, address: &Address) -> Result<Mark, Infallible> {
        self.shelf.mark(address)
    }
}
