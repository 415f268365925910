//! What one network address may leave at a relay in a day, so that nobody fills it alone.
//!
//! A mailbox costs nothing and a transport key costs nothing, an address does. Of IPv6 the network of 64 bits counts as one.
//! The relay keeps no log of who came: what is counted is in memory only, under a hash with a random key that is thrown away
//! with everything else when the day ends, by the clock of the relay.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use twin_identity::sign::Signature;
use twin_sync::machine::Millis;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::store::{Kept, Listed, Mark, Outcome, Present};
use twin_sync::mailbox::{Address, EnvelopeId, MailboxStore, Refusal, Slot};

use super::error::StoreError;
use super::rows::cost;
use super::store::SqliteStore;
use crate::address::network;

/// How many sources are told apart; all others count as one.
const MAX_SOURCES: usize = 1 << 16;

/// What one source may leave in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Bytes of envelopes and presences, as the limits of the relay count them.
    pub bytes: u64,
    /// Envelopes.
    pub posts: u64,
}

impl Default for Share {
    /// 64 MiB and 8,192 envelopes: what a source leaves in the thirty days that they are kept is less than half of what a relay
    /// takes, and a family needs far less.
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            posts: 8192,
        }
    }
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    posts: u64,
}

#[derive(Debug)]
struct Today {
    day: u64,
    key: RandomState,
    used: HashMap<u64, Used>,
    /// Of all who came when there was no room any more.
    others: Used,
}

/// What all sources have left today.
#[derive(Debug)]
pub(super) struct Sources {
    share: Share,
    today: Mutex<Today>,
}

impl Sources {
    pub fn new(share: Share) -> Self {
        Self {
            share,
            today: Mutex::new(Today::new(0)),
        }
    }

    /// Counts what a source is about to leave. `false` if it is too much, and then it is not counted.
    fn leaves(&self, now: Millis, source: Option<IpAddr>, bytes: u64, posts: u64) -> bool {
        // What is in it is whole after every step.
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if today.day != now / DAY {
            *today = Today::new(now / DAY);
        }
        let used = today.of(source);
        let (bytes, posts) = (
            used.bytes.saturating_add(bytes),
            used.posts.saturating_add(posts),
        );
        if bytes > self.share.bytes || posts > self.share.posts {
            return false;
        }
        *used = Used { bytes, posts };
        true
    }

    /// What was not taken after all does not count.
    fn takes_back(&self, source: Option<IpAddr>, bytes: u64, posts: u64) {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let used = today.of(source);
        used.bytes = used.bytes.saturating_sub(bytes);
        used.posts = used.posts.saturating_sub(posts);
    }
}

impl Today {
    fn new(day: u64) -> Self {
        Self {
            day,
            key: RandomState::new(),
            used: HashMap::new(),
            others: Used::default(),
        }
    }

    fn of(&mut self, source: Option<IpAddr>) -> &mut Used {
        let name = self.key.hash_one(source.map(network));
        if self.used.len() >= MAX_SOURCES && !self.used.contains_key(&name) {
            return &mut self.others;
        }
        self.used.entry(name).or_default()
    }
}

/// The store as one connection uses it: what it leaves counts for where it comes from.
#[derive(Debug)]
pub(super) struct Metered {
    pub store: Arc<Mutex<SqliteStore>>,
    pub sources: Arc<Sources>,
    /// Where the connection comes from; those of which that is not known count as one.
    pub source: Option<IpAddr>,
}

impl Metered {
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Poisoned only by a panic, after which SQLite has rolled back; still, nothing is built upon it.
        let mut store = self.store.lock().map_err(|_| StoreError::Broken)?;
        work(&mut store)
    }

    /// Lets something be left, if the source has not left too much today.
    fn leave<T>(
        &mut self,
        now: Millis,
        (bytes, posts): (u64, u64),
        work: impl FnOnce(&mut SqliteStore) -> Result<Outcome<T>, StoreError>,
    ) -> Result<Outcome<T>, StoreError> {
        if !self.sources.leaves(now, self.source, bytes, posts) {
            return Ok(Err(Refusal::SourceFull));
        }
        let left = self.with(work);
        if !matches!(left, Ok(Ok(_))) {
            self.sources.takes_back(self.source, bytes, posts);
        }
        left
    }
}

impl MailboxStore for Metered {
    type Error = StoreError;

    fn put(
        &mut self,
        now: Millis,
        address: &Address,
        sealed: &[u8],
    ) -> Result<Outcome<Kept>, StoreError> {
        self.leave(now, (cost(sealed.len()), 1), |store| {
            store.put(now, address, sealed)
        })
    }

    fn list(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Listed>, StoreError> {
        self.with(|store| store.list(now, address, after))
    }

    fn size(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<usize>, StoreError> {
        self.with(|store| MailboxStore::size(store, now, address, number))
    }

    fn get(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|store| store.get(now, address, number))
    }

    fn withdraw(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
        id: &EnvelopeId,
        signature: &Signature,
    ) -> Result<Outcome<u64>, StoreError> {
        self.with(|store| store.withdraw(now, address, number, id, signature))
    }

    fn present(
        &mut self,
        now: Millis,
        address: &Address,
        slot: &Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Outcome<u64>, StoreError> {
        let Some(bytes) = sealed else {
            return self.with(|store| store.present(now, address, slot, None));
        };
        self.leave(now, (cost(bytes.len()), 0), |store| {
            store.present(now, address, slot, sealed)
        })
    }

    fn presences(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Present>, StoreError> {
        self.with(|store| store.presences(now, address, after))
    }

    fn mark(&mut self, address: &Address) -> Result<Mark, StoreError> {
        self.with(|store| store.mark(address))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOON: Millis = 20_000 * DAY + DAY / 2;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_source_has_its_share_of_a_day() {
        let sources = Sources::new(Share {
            bytes: 1000,
            posts: 3,
        });
        let leaves = |now, source, bytes| sources.leaves(now, source, bytes, 1);
        let one = ip("192.0.2.1");
        assert!(leaves(NOON, one, 600));
        assert!(!leaves(NOON, one, 401), "too many bytes");
        assert!(leaves(NOON, one, 400));
        assert!(leaves(NOON, ip("192.0.2.2"), 1000), "another one");
        // What was not kept does not count.
        sources.takes_back(one, 400, 1);
        assert!(leaves(NOON, one, 1) && leaves(NOON, one, 1));
        assert!(!leaves(NOON, one, 1), "too many envelopes");
        // Of IPv6 a whole network counts as one.
        assert!(leaves(NOON, ip("2001:db8::1"), 1000));
        assert!(!leaves(NOON, ip("2001:db8::ffff:1"), 1));
        assert!(leaves(NOON, ip("2001:db8:0:1::1"), 1));
        // As does all of which nobody knows where it comes from.
        assert!(leaves(NOON, None, 1000) && !leaves(NOON, None, 1));
        // The next day everything begins anew, and nothing is known of the day before.
        assert!(leaves(NOON + DAY / 2, one, 1000));
        assert_eq!(sources.today.lock().unwrap().used.len(), 1);
    }

    #[test]
    fn no_number_of_sources_makes_it_grow() {
        let sources = Sources::new(Share::default());
        let more = u32::try_from(MAX_SOURCES).unwrap() + 100;
        for number in 0..more {
            let source = Some(IpAddr::V4(number.into()));
            assert!(sources.leaves(NOON, source, 1, 1));
        }
        let today = sources.today.lock().unwrap();
        assert_eq!(today.used.len(), MAX_SOURCES);
        assert!(today.others.posts >= 100);
    }
}
