//! Wrong passwords are counted beside the slots, and after a few of them the next try has to wait.
//!
//! This holds on the device, for whoever has no more than this program: who has a copy of the file tries as fast as
//! Argon2id lets them, and who can write the file or set the clock ahead need not wait.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::error::{Result, VaultError};
use crate::store::{self, Store};

/// How many wrong passwords are free.
const FREE: u32 = 5;
/// The longest wait, in milliseconds.
const LONGEST: u64 = 5 * 60 * 1000;
/// The file that holds the place of whoever tries a password now.
const LOCK: &str = "vault.lock";

/// A password is tried: nobody else tries one on this vault meanwhile, in whatever process.
pub(super) struct Turn<'a> {
    store: &'a Store,
    tries: Tries,
    _lock: File,
}

/// The wrong passwords since the last right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tries {
    wrong: u32,
    /// When the last one was, in milliseconds since the Unix epoch; 0 while tries are free.
    last: u64,
}

impl<'a> Turn<'a> {
    /// Waits until nobody else tries a password, and takes the turn.
    ///
    /// # Errors
    /// [`VaultError::TooManyTries`] at once while the last try is too recent.
    pub fn take(store: &'a Store, dir: &Path, now: u64) -> Result<Self> {
        let lock = store::lock_patiently(&dir.join(LOCK))?;
        let mut tries = Tries::read(store)?;
        let before = tries;
        let left = tries.wait(now);
        if tries != before {
            tries.write(store)?;
        }
        refuse_while(left)?;
        Ok(Self {
            store,
            tries,
            _lock: lock,
        })
    }

    /// The password was wrong. Durable when this returns, before anybody learns it.
    pub fn wrong(mut self, now: u64) -> Result<()> {
        self.tries.wrong = self.tries.wrong.saturating_add(1);
        self.tries.last = if wait_after(self.tries.wrong) > 0 {
            now
        } else {
            0
        };
        self.tries.write(self.store)
    }

    /// The password was right.
    pub fn right(self) -> Result<()> {
        if self.tries == Tries::default() {
            // Nothing to forget: opening writes nothing.
            return Ok(());
        }
        Tries::default().write(self.store)
    }
}

/// Refuses a try that is too recent; counts nothing.
pub(super) fn check(store: &Store, now: u64) -> Result<()> {
    refuse_while(Tries::read(store)?.wait(now))
}

fn refuse_while(left: u64) -> Result<()> {
    match left {
        0 => Ok(()),
        left => Err(VaultError::TooManyTries {
            wait: Duration::from_millis(left),
        }),
    }
}

/// The wait after so many wrong passwords, in milliseconds: none, then 1 s, doubled each time.
fn wait_after(wrong: u32) -> u64 {
    match wrong.checked_sub(FREE) {
        None => 0,
        Some(beyond) => 1000u64
            .checked_mul(1 << beyond.min(32))
            .map_or(LONGEST, |wait| wait.min(LONGEST)),
    }
}

impl Tries {
    /// How long to wait at `now`, in milliseconds. A clock that was set back has hidden how much of the wait is over:
    /// it begins anew.
    fn wait(&mut self, now: u64) -> u64 {
        let wait = wait_after(self.wrong);
        if wait > 0 {
            self.last = self.last.min(now);
        }
        self.last.saturating_add(wait).saturating_sub(now)
    }

    fn read(store: &Store) -> Result<Self> {
        let mut statement = store.sql("SELECT wrong, last FROM tries")?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else {
            return Ok(Self::default());
        };
        let (wrong, last) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
        // Whatever a damaged row says: it makes nobody wait longer than the longest wait.
        Ok(Self {
            wrong: u32::try_from(wrong).unwrap_or(u32::MAX),
            last: u64::try_from(last).unwrap_or(u64::MAX),
        })
    }

    fn write(self, store: &Store) -> Result<()> {
        let last = i64::try_from(self.last).unwrap_or(i64::MAX);
        store
            .sql("INSERT OR REPLACE INTO tries (n, wrong, last) VALUES (1, ?1, ?2)")?
            .execute((self.wrong, last))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> = (0..16).map(|wrong| wait_after(wrong) / 1000).collect();
        assert_eq!(
            waits,
            [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        );
        assert_eq!(wait_after(4), 0);
        assert_eq!(wait_after(u32::MAX), LONGEST);
    }

    #[test]
    fn a_wait_runs_out_once() {
        let mut tries = Tries {
            wrong: 7,
            last: 1_000_000,
        };
        assert_eq!(tries.wait(1_000_000), 4000);
        assert_eq!(tries.wait(1_003_999), 1);
        assert_eq!(tries.wait(1_004_000), 0);
        assert_eq!(tries.wait(u64::MAX), 0);
    }

    #[test]
    fn a_clock_set_back_lifts_no_wait_and_makes_none_longer() {
        let mut tries = Tries {
            wrong: 7,
            last: 1_000_000,
        };
        assert_eq!(tries.wait(10), 4000);
        assert_eq!(tries.wait(2010), 2000);
        assert_eq!(tries.wait(0), 4000);
        assert_eq!(tries.wait(4000), 0);
        // A clock that was years ahead when the last try was made.
        let mut ahead = Tries {
            wrong: u32::MAX,
            last: u64::MAX,
        };
        assert_eq!(ahead.wait(1_000_000), LONGEST);
        assert_eq!(ahead.wait(1_000_000 + LONGEST), 0);
    }
}
