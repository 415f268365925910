//! How fast one connection may ask: a bucket of tokens, with the time from outside.

use crate::machine::Millis;

/// How many bytes cost as much as a question.
pub const UNIT: usize = 4 << 10;

/// A bucket that fills up with time.
#[derive(Debug)]
pub struct Bucket {
    /// In thousandths of a unit, so that a millisecond counts.
    level: u64,
    full: u64,
    per_second: u64,
    at: Millis,
}

impl Bucket {
    /// A full one.
    pub fn new(burst: u32, per_second: u32, now: Millis) -> Self {
        let full = u64::from(burst.max(1)) * 1000;
        Self {
            level: full,
            full,
            per_second: u64::from(per_second.max(1)),
            at: now,
        }
    }

    /// What a question costs that brings or asks for so many bytes.
    pub fn cost(bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    /// Takes units; or says how many milliseconds later they would be there. What costs more than the whole bucket is
    /// let through when it is full: it could never be otherwise.
    pub fn take(&mut self, now: Millis, cost: u32) -> Result<(), Millis> {
        // A clock that was set back fills nothing, and goes on from where it is now.
        let passed = now.saturating_sub(self.at);
        self.at = now;
        let gained = passed.saturating_mul(self.per_second);
        self.level = self.level.saturating_add(gained).min(self.full);
        let cost = (u64::from(cost) * 1000).min(self.full);
        match self.level.checked_sub(cost) {
            Some(left) => {
                self.level = left;
                Ok(())
            }
            None => Err((cost - self.level).div_ceil(self.per_second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_with_time_and_no_further() {
        let mut bucket = Bucket::new(10, 2, 1000);
        assert_eq!(bucket.take(1000, 10), Ok(()));
        assert_eq!(bucket.take(1000, 1), Err(500));
        assert_eq!(bucket.take(1499, 1), Err(1));
        assert_eq!(bucket.take(1500, 1), Ok(()));
        assert_eq!(bucket.take(1_000_000, 10), Ok(()));
        assert_eq!(bucket.take(1_000_000, 1), Err(500));
    }

    #[test]
    fn a_clock_set_back_gives_nothing_away_and_takes_nothing() {
        let mut bucket = Bucket::new(2, 1, 10_000);
        assert_eq!(bucket.take(10_000, 2), Ok(()));
        assert_eq!(bucket.take(0, 1), Err(1000));
        assert_eq!(bucket.take(1000, 1), Ok(()));
    }

    #[test]
    fn what_is_dearer_than_the_bucket_waits_until_it_is_full() {
        let mut bucket = Bucket::new(4, 1, 0);
        assert_eq!(bucket.take(0, 65), Ok(()));
        assert_eq!(bucket.take(0, 65), Err(4000));
        assert_eq!(bucket.take(u64::MAX, u32::MAX), Ok(()));
        assert_eq!(Bucket::cost(0), 1);
        assert_eq!(Bucket::cost(256 << 10), 65);
        assert_eq!(Bucket::cost(usize::MAX), u32::MAX);
    }
}
