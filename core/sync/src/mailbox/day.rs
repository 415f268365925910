//! Days: mailboxes are renewed with each, so that a relay cannot follow a twin from one to the next.

use minicbor::{Decode, Encode};

use crate::machine::Millis;

/// Milliseconds of a day.
pub const DAY: Millis = 24 * 60 * 60 * 1000;
/// The most days back that are ever looked at, whatever a relay says of its expiry.
pub const MAX_DAYS: u64 = 62;

/// A day in UTC, counted from 1 January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Day(#[n(0)] pub u64);

impl Day {
    /// The day of a moment.
    pub const fn of(now: Millis) -> Self {
        Self(now / DAY)
    }

    /// When it begins.
    pub const fn begins(self) -> Millis {
        self.0.saturating_mul(DAY)
    }

    /// The days whose mailboxes a device reads, oldest first: back to the day before its last visit, but no further than
    /// posts are kept; and on to tomorrow. Two clocks may be a day apart: what is written today by a clock that is slow
    /// lies in yesterday's mailbox, by one that is fast in tomorrow's.
    pub fn to_read(
        now: Millis,
        last_visit: Option<Millis>,
        post_life: Millis,
    ) -> impl DoubleEndedIterator<Item = Self> {
        let today = Self::of(now).0;
        let kept = post_life.div_ceil(DAY).min(MAX_DAYS - 1) + 1;
        let oldest = today.saturating_sub(kept);
        // A visit that lies ahead was made by a clock that has been set back since.
        let first = last_visit.map_or(oldest, |visit| {
            (Self::of(visit).0.min(today).saturating_sub(1)).max(oldest)
        });
        (first..=today.saturating_add(1)).map(Self)
    }

    /// The days whose mailboxes are worth watching: yesterday, today and tomorrow.
    pub fn to_watch(now: Millis) -> impl DoubleEndedIterator<Item = Self> {
        let today = Self::of(now).0;
        (today.saturating_sub(1)..=today.saturating_add(1)).map(Self)
    }

    /// Before when no post of this day's mailbox can have expired: it was put on the day before at the earliest, and the
    /// relay's clock may be another day off.
    pub(super) const fn kept_until(self, post_life: Millis) -> Millis {
        self.begins()
            .saturating_sub(2 * DAY)
            .saturating_add(post_life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(today: u64, visit: Option<u64>, life_days: u64) -> Vec<u64> {
        let visit = visit.map(|day| day * DAY + 5);
        Day::to_read(today * DAY + 7, visit, life_days * DAY)
            .map(|day| day.0)
            .collect()
    }

    #[test]
    fn every_day_since_the_last_visit_and_tomorrow() {
        assert_eq!(read(100, Some(100), 30), [99, 100, 101]);
        assert_eq!(read(100, Some(97), 30), [96, 97, 98, 99, 100, 101]);
        assert_eq!(read(100, Some(200), 30), [99, 100, 101], "set back since");
        assert_eq!(read(0, None, 30), [0, 1]);
    }

    #[test]
    fn no_further_back_than_posts_are_kept() {
        assert_eq!(read(100, None, 2), [97, 98, 99, 100, 101]);
        assert_eq!(read(100, Some(3), 2), [97, 98, 99, 100, 101]);
        let claimed = read(1000, None, u64::MAX / DAY).len() as u64;
        assert_eq!(claimed, MAX_DAYS + 2);
    }

    #[test]
    fn the_ends_of_time_are_days_too() {
        assert_eq!(
            Day::to_read(u64::MAX, None, u64::MAX).count() as u64,
            MAX_DAYS + 2
        );
        assert_eq!(Day::to_watch(0).count(), 2);
        assert_eq!(Day(u64::MAX).kept_until(u64::MAX), u64::MAX);
    }
}
