//! What a device remembers of a relay from one visit to the next: how far it has read each mailbox, and what the relay has
//! promised. Of this it notices what a relay forgets, hides or shows twice.
//!
//! The application keeps it, a page for each mailbox, after it has dealt with what the pages say was taken.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use twin_identity::cbor::{self, CborError};

use super::day::DAY;
use super::held::{Held, MAX_SPANS};
use super::terms::{MAX_POSTS, MAX_PRESENCES};
use super::{Address, Day, EnvelopeId, Slot};
use crate::machine::Millis;

/// The longest page, in bytes.
pub const MAX_PAGE: usize = 256 << 10;

/// What is remembered of all mailboxes of one relay.
#[derive(Debug, Default)]
pub struct Memory {
    pages: BTreeMap<Address, Page>,
}

/// What is remembered of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Page {
    #[n(0)]
    version: u8,
    #[n(3)]
    pub day: Day,
    /// All numbers up to this one were listed, or have expired.
    #[n(4)]
    pub cursor: u64,
    /// The highest number that is known to have been given, by whatever source.
    #[n(5)]
    pub last: u64,
    #[n(6)]
    pub posts: BTreeMap<u64, Known>,
    /// What had been taken under numbers that the relay has forgotten since.
    #[n(7)]
    pub past: BTreeSet<EnvelopeId>,
    /// When the newest presence of each slot was made, by its writer's clock.
    #[n(8)]
    pub presences: BTreeMap<Slot, Millis>,
    /// When all that the relay should have was last looked through.
    #[n(9)]
    pub audited: Millis,
    /// Which ops are in posts of which that is known.
    #[n(10)]
    held: BTreeMap<u64, Held>,
}

/// A post that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Known {
    #[n(0)]
    pub id: EnvelopeId,
    #[n(1)]
    pub expires: Millis,
    #[n(2)]
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum State {
    /// It is there, and the application has not dealt with it.
    #[n(0)]
    Shown,
    /// The application has dealt with it, or it is nothing to deal with.
    #[n(1)]
    Taken,
    /// This device has put it there, and has a receipt.
    #[n(2)]
    Own,
    /// A device of the twin has taken it back.
    #[n(3)]
    Withdrawn,
}

const PAGE_VERSION: u8 = 1;

impl Memory {
    /// Takes a page that was kept.
    pub fn load(&mut self, address: Address, page: &[u8]) -> Result<(), CborError> {
        let page: Page = cbor::decode(page, MAX_PAGE)?;
        let most = usize::try_from(MAX_POSTS).unwrap_or(usize::MAX);
        if page.version != PAGE_VERSION || page.posts.len() > most || page.past.len() > most {
            return Err(CborError::Malformed);
        }
        page.held.values().try_for_each(Held::check)?;
        self.pages.insert(address, page);
        Ok(())
    }

    /// The page of a mailbox as it is now, to be kept. It names no twin and holds no key and no content.
    pub fn page(&self, address: &Address) -> Option<Vec<u8>> {
        self.pages.get(address).map(cbor::encode)
    }

    /// Which mailboxes there are pages of.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.pages.keys().copied()
    }

    /// The numbers of a mailbox's posts that should lie there: they were not taken back, and have not expired.
    pub fn posts(&self, address: &Address, now: Millis) -> Vec<u64> {
        let posts = self.pages.get(address).into_iter();
        let posts = posts.flat_map(|page| &page.posts);
        let posts =
            posts.filter(|(_, known)| known.state != State::Withdrawn && known.expires > now);
        posts.map(|(number, _)| *number).collect()
    }

    /// The days after this one of whose mailboxes something is known: a clock that was ahead has left something there.
    pub fn days_after(&self, day: Day) -> BTreeSet<Day> {
        let days = self.pages.values().map(|page| page.day);
        days.filter(|of| *of > day).collect()
    }

    /// The mailboxes of which it was not looked for a day whether all is there that the relay has promised this device to
    /// keep.
    pub fn to_audit(&self, now: Millis) -> BTreeSet<Address> {
        let due = |page: &Page| page.has_receipts(now) && page.is_audit_due(now);
        let pages = self.pages.iter().filter(|(_, page)| due(page));
        pages.map(|(address, _)| *address).collect()
    }

    /// Forgets the mailboxes of days before this one; returns which, so that their pages can be dropped.
    pub fn forget_before(&mut self, day: Day) -> Vec<Address> {
        let old = self.pages.extract_if(.., |_, page| page.day < day);
        old.map(|(address, _)| address).collect()
    }

    /// The application has dealt with a post: it does not come again.
    pub fn taken(&mut self, address: &Address, number: u64) {
        let known = self.pages.get_mut(address);
        if let Some(known) = known.and_then(|page| page.posts.get_mut(&number))
            && known.state == State::Shown
        {
            known.state = State::Taken;
        }
    }

    /// Takes note of which ops are in a post; of one in which there is too much, nothing is known.
    pub fn note_held(&mut self, address: &Address, number: u64, held: Held) {
        if let Some(page) = self.pages.get_mut(address) {
            page.held.remove(&number);
            let spans: usize = page.held.values().map(Held::len).sum();
            if page.posts.contains_key(&number) && spans + held.len() <= MAX_SPANS {
                page.held.insert(number, held);
            }
        }
    }

    /// Which ops are in a post; `None` if that is not known.
    pub fn held(&self, address: &Address, number: u64) -> Option<&Held> {
        self.pages.get(address)?.held.get(&number)
    }

    pub(super) fn page_mut(&mut self, address: &Address) -> Option<&mut Page> {
        self.pages.get_mut(address)
    }

    pub(super) fn get(&self, address: &Address) -> Option<&Page> {
        self.pages.get(address)
    }

    /// Begins a page, unless there is one.
    pub(super) fn begin(&mut self, address: Address, day: Day) {
        self.pages.entry(address).or_insert_with(|| Page::new(day));
    }
}

impl Page {
    pub(super) const fn new(day: Day) -> Self {
        Self {
            version: PAGE_VERSION,
            day,
            cursor: 0,
            last: 0,
            posts: BTreeMap::new(),
            past: BTreeSet::new(),
            presences: BTreeMap::new(),
            audited: 0,
            held: BTreeMap::new(),
        }
    }

    /// Somebody says that there are so many posts. More than there can be is nobody's word.
    pub fn heard_of(&mut self, last: u64) -> bool {
        let news = last > self.last && last <= u64::from(MAX_POSTS);
        if news {
            self.last = last;
        }
        news
    }

    /// Another post has this number now, or none.
    pub fn forget_held(&mut self, number: u64) {
        self.held.remove(&number);
    }

    /// The next post to fetch, of those that were not tried.
    pub fn to_fetch(&self, now: Millis, tried: &BTreeSet<u64>) -> Option<(u64, Known)> {
        let mut shown = self.posts.iter().filter(|(number, known)| {
            known.state == State::Shown && known.expires > now && !tried.contains(number)
        });
        shown.next().map(|(number, known)| (*number, *known))
    }

    /// Whether this device has a receipt that still counts.
    pub fn has_receipts(&self, now: Millis) -> bool {
        let mut own = self.posts.values();
        own.any(|known| known.state == State::Own && known.is_due(now))
    }

    /// Whether what is promised was not looked through for a day.
    pub const fn is_audit_due(&self, now: Millis) -> bool {
        now >= self.audited.saturating_add(DAY)
    }

    /// When a presence in a slot was made; whether it is not older than what is known.
    pub fn saw_presence(&mut self, slot: Slot, made: Millis) -> Option<bool> {
        let most = usize::try_from(MAX_PRESENCES).unwrap_or(usize::MAX);
        if self.presences.len() >= most && !self.presences.contains_key(&slot) {
            return None;
        }
        let newest = self.presences.entry(slot).or_default();
        let fresh = made >= *newest;
        *newest = made.max(*newest);
        Some(fresh)
    }
}

impl Known {
    /// Whether it has to be there whatever the difference of two clocks, a day at most.
    pub const fn is_due(&self, now: Millis) -> bool {
        self.expires > now.saturating_add(DAY)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_page_is_read_as_it_was_written(
            posts in prop::collection::btree_map(1..=u64::from(MAX_POSTS), any::<([u8; 32], u64)>(), 0..20),
            past in prop::collection::btree_set(any::<[u8; 32]>(), 0..20),
            presences in prop::collection::btree_map(any::<[u8; 16]>(), any::<u64>(), 0..5),
            cut in 0_usize..400,
        ) {
            let address = Address::from_bytes([1; 32]);
            let mut memory = Memory::default();
            memory.begin(address, Day(5));
            let page = memory.page_mut(&address).unwrap();
            page.posts = posts
                .into_iter()
                .map(|(number, (id, expires))| {
                    let id = EnvelopeId::from_bytes(id);
                    (number, Known { id, expires, state: State::Own })
                })
                .collect();
            page.held = { page.posts.keys() }
                .map(|number| (*number, Held::example(usize::try_from(number % 5).unwrap())))
                .collect();
            page.past = past.into_iter().map(EnvelopeId::from_bytes).collect();
            page.presences = presences.into_iter().map(|(slot, made)| (Slot(slot), made)).collect();
            let bytes = memory.page(&address).unwrap();
            let mut read = Memory::default();
            read.load(address, &bytes).unwrap();
            prop_assert_eq!(read.get(&address), memory.get(&address));
            prop_assert_eq!(read.held(&address, 1), memory.held(&address, 1));
            let short = bytes.len().saturating_sub(cut + 1);
            prop_assert!(read.load(address, bytes.get(..short).unwrap()).is_err());
        }
    }

    #[test]
    fn a_full_page_can_be_kept() {
        let address = Address::from_bytes([1; 32]);
        let mut memory = Memory::default();
        memory.begin(address, Day(u64::MAX));
        let page = memory.page_mut(&address).unwrap();
        for number in 1..=u64::from(MAX_POSTS) {
            let id = EnvelopeId::of(&number.to_be_bytes());
            let known = Known {
                id,
                expires: u64::MAX,
                state: State::Taken,
            };
            page.posts.insert(number, known);
            page.past.insert(EnvelopeId::of(id.as_bytes()));
        }
        // As much as there is room for, and more.
        for number in 1..=u64::from(MAX_POSTS) {
            memory.note_held(&address, number, Held::example(8));
        }
        assert!(memory.held(&address, 1).is_some());
        assert!(memory.held(&address, u64::from(MAX_POSTS)).is_none());
        memory.note_held(&address, 0, Held::default());
        assert!(memory.held(&address, 0).is_none(), "there is no such post");
        let page = memory.page_mut(&address).unwrap();
        for slot in 0..u8::try_from(MAX_PRESENCES).unwrap() {
            assert_eq!(page.saw_presence(Slot([slot; 16]), u64::MAX), Some(true));
        }
        assert_eq!(page.saw_presence(Slot([255; 16]), 1), None);
        assert_eq!(page.saw_presence(Slot([1; 16]), 1), Some(false));
        let bytes = memory.page(&address).unwrap();
        assert!(bytes.len() <= MAX_PAGE);
        Memory::default().load(address, &bytes).unwrap();
        assert_eq!(memory.forget_before(Day(u64::MAX)), []);
    }
}
