//! Who is looking at the page: one visit per browser, in memory, bounded and short-lived.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;
use tokio::sync::watch;
use twin_login::site::{Attempt, Progress, Refusal};

/// The most visits remembered; the longest unseen one makes room, people signed in last.
const MAX_VISITS: usize = 4096;

/// A visit is forgotten this long after it was last seen, in milliseconds.
const IDLE_MS: u64 = 60 * 60 * 1000;

/// One browser's visit and the login it is waiting for, or has.
pub(crate) struct Visit {
    pub attempt: Attempt,
    /// Why the login before this one came to nothing, to be said beside the new code.
    pub notice: Option<Refusal>,
    seen: u64,
    changes: watch::Sender<()>,
}

impl Visit {
    /// Tells every page of this visit to look again.
    pub fn changed(&self) {
        self.changes.send_replace(());
    }

    pub fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn is_signed_in(&self, now: u64) -> bool {
        matches!(self.attempt.progress(now), Progress::SignedIn(_))
    }
}

/// All visits, by the secret in their cookie and by the id of their attempt.
#[derive(Default)]
pub(crate) struct Visits {
    by_cookie: HashMap<String, Visit>,
    by_attempt: HashMap<String, String>,
}

impl Visits {
    /// Begins a visit; the text is the secret for its cookie.
    pub fn begin<R: CryptoRng + ?Sized>(&mut self, now: u64, rng: &mut R) -> String {
        self.make_room(now);
        let mut secret = [0; 16];
        rng.fill_bytes(&mut secret);
        let cookie = BASE64URL_NOPAD.encode(&secret);
        let visit = Visit {
            attempt: Attempt::start(now, rng),
            notice: None,
            seen: now,
            changes: watch::Sender::new(()),
        };
        self.by_attempt
            .insert(visit.attempt.id().to_owned(), cookie.clone());
        self.by_cookie.insert(cookie.clone(), visit);
        cookie
    }

    /// The visit of this cookie, if it is still known.
    pub fn get(&mut self, cookie: &str, now: u64) -> Option<&mut Visit> {
        if now.saturating_sub(self.by_cookie.get(cookie)?.seen) > IDLE_MS {
            self.end(cookie);
            return None;
        }
        let visit = self.by_cookie.get_mut(cookie)?;
        visit.seen = now;
        Some(visit)
    }

    /// The visit that waits for this attempt.
    pub fn of_attempt(&mut self, id: &str) -> Option<&mut Visit> {
        self.by_cookie.get_mut(self.by_attempt.get(id)?)
    }

    /// A new code for this visit, in place of the one it has.
    pub fn again<R: CryptoRng + ?Sized>(&mut self, cookie: &str, now: u64, rng: &mut R) {
        let Some(visit) = self.by_cookie.get_mut(cookie) else {
            return;
        };
        visit.notice = match visit.attempt.progress(now) {
            Progress::Ended(refusal) => Some(refusal),
            _ => None,
        };
        self.by_attempt.remove(visit.attempt.id());
        visit.attempt = Attempt::start(now, rng);
        visit.seen = now;
        self.by_attempt
            .insert(visit.attempt.id().to_owned(), cookie.to_owned());
        visit.changed();
    }

    /// Forgets this visit.
    pub fn end(&mut self, cookie: &str) {
        if let Some(visit) = self.by_cookie.remove(cookie) {
            self.by_attempt.remove(visit.attempt.id());
        }
    }

    fn make_room(&mut self, now: u64) {
        if self.by_cookie.len() < MAX_VISITS {
            return;
        }
        let order = |visit: &Visit| (visit.is_signed_in(now), visit.seen);
        let oldest = self.by_cookie.iter().min_by_key(|(_, visit)| order(visit));
        if let Some(cookie) = oldest.map(|(cookie, _)| cookie.clone()) {
            self.end(&cookie);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::server::rng;

    #[test]
    fn visits_are_bounded_and_the_longest_unseen_goes_first() {
        let mut visits = Visits::default();
        let first = visits.begin(0, &mut rng());
        let second = visits.begin(1, &mut rng());
        for now in 2..MAX_VISITS as u64 {
            visits.begin(now, &mut rng());
        }
        assert!(visits.get(&first, 5000).is_some());
        let newest = visits.begin(5001, &mut rng());
        assert_eq!(visits.by_cookie.len(), MAX_VISITS);
        assert_eq!(visits.by_attempt.len(), MAX_VISITS);
        assert!(visits.get(&second, 5002).is_none());
        assert!(visits.get(&first, 5002).is_some() && visits.get(&newest, 5002).is_some());
    }

    #[test]
    fn an_unseen_visit_is_forgotten() {
        let mut visits = Visits::default();
        let cookie = visits.begin(0, &mut rng());
        let id = visits
            .get(&cookie, IDLE_MS)
            .unwrap()
            .attempt
            .id()
            .to_owned();
        assert!(visits.get(&cookie, 2 * IDLE_MS + 1).is_none());
        assert!(visits.of_attempt(&id).is_none());
    }

    #[test]
    fn a_new_code_replaces_the_old_and_says_why() {
        let mut visits = Visits::default();
        let cookie = visits.begin(0, &mut rng());
        let old = visits.get(&cookie, 0).unwrap().attempt.id().to_owned();
        let mut pages = visits.get(&cookie, 0).unwrap().watch();
        visits.again(&cookie, 400_000, &mut rng());
        assert!(visits.of_attempt(&old).is_none());
        let visit = visits.get(&cookie, 400_000).unwrap();
        assert_eq!(visit.notice, Some(Refusal::Expired));
        assert_eq!(visit.attempt.progress(400_000), Progress::Waiting);
        assert!(pages.has_changed().unwrap());
        pages.mark_unchanged();
    }
}
