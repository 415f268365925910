//! Another device beside this one, by all that is known here of what it has.

use std::collections::BTreeSet;

use twin_identity::id::DeviceId;
use twin_ops::space::SpaceId;
use twin_ops::store::{Known, LogHead, OpStore};

use crate::error::Result;
use crate::vault::Vault;

/// How far two devices are from each other, as this one knows it. It may know too little, never too much: unless the other
/// was set back since, it has at least this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Whether it is known to have just what is here of the spaces that both keep, by its own word or because both were found equal.
    pub is_equal: bool,
    /// How many operations that count here it is not known to have.
    pub lacks: u64,
    /// How many it is known to have that are not here, of devices of which something is here.
    pub has_more: u64,
}

impl Vault {
    /// How far this device and another are from each other.
    pub fn beside(&mut self, device: &DeviceId) -> Result<Beside> {
        self.catch_up()?;
        let mut known = self.known(device)?;
        let apart = self.apart(device);
        known
            .heads
            .retain(|head| self.is_outside(&head.log, &apart));
        let heads = self.heads_but(&apart)?;
        let mut beside = Beside {
            is_equal: self.is_all(&apart, &known, &heads)?,
            ..Beside::default()
        };
        for LogHead { log, head } in &heads {
            let said = known.heads.iter().find(|row| row.log == *log);
            let said = said.map_or(0, |row| row.head.height);
            let heard = match self.origin(log)? {
                Some(origin) => self.state.heard.height(device, &origin.space, log),
                None => 0,
            };
            let theirs = said.max(heard);
            beside.lacks += head.height.saturating_sub(theirs);
            beside.has_more = beside
                .has_more
                .saturating_add(theirs.saturating_sub(head.height));
        }
        Ok(beside)
    }

    /// Whether what a device is known to have is all that is here but for these spaces, and nothing else.
    fn is_all(&self, apart: &BTreeSet<SpaceId>, known: &Known, heads: &[LogHead]) -> Result<bool> {
        let entries = self.state.identity.entries().keys();
        Ok(known.heads == heads
            && known.holes.is_empty()
            && self.holes_but(apart)?.is_empty()
            && known.entries.iter().eq(entries)
            && known.grants == self.grants()?)
    }

    /// Notes at once that a device was found to have just what is here, where a session that goes on does so now and then.
    /// `now`: milliseconds since the Unix epoch.
    pub fn note_equal_now(&mut self, now: u64, device: &DeviceId) -> Result<()> {
        if !self.beside(device)?.is_equal {
            self.noted.remove(device);
            let apart = self.apart(device);
            self.note_in_sync(now, device, &apart)?;
        }
        Ok(())
    }

    /// How many changes wait for the clock: their stamps are more than ten minutes ahead of it.
    pub fn ahead(&self) -> usize {
        self.state.ahead.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use twin_identity::device::Role;

    use super::*;
    use crate::common::{MINUTE, NOON, linked, phone, put};

    #[test]
    fn who_was_equal_is_until_something_is_written() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut phone = phone(dirs[0].path());
        let laptop = linked(dirs[1].path(), &mut phone, 10, Role::Member);
        let laptop = laptop.device();
        put(&mut phone, NOON, "notes", "one", &[("x", "1")]);
        let before = phone.beside(&laptop).unwrap();
        assert!(!before.is_equal && before.lacks > 0, "never met");
        phone.in_sync(NOON, &laptop, &BTreeSet::new());
        let equal = Beside {
            is_equal: true,
            ..Beside::default()
        };
        assert_eq!(phone.beside(&laptop).unwrap(), equal);

        // A moment later what was found is not written by itself.
        put(&mut phone, NOON + 1, "notes", "two", &[("x", "1")]);
        let after = phone.beside(&laptop).unwrap();
        assert_eq!((after.is_equal, after.lacks, after.has_more), (false, 1, 0));
        phone.in_sync(NOON + 2, &laptop, &BTreeSet::new());
        assert!(!phone.beside(&laptop).unwrap().is_equal);
        phone.note_equal_now(NOON + 3, &laptop).unwrap();
        assert_eq!(phone.beside(&laptop).unwrap(), equal);
        assert_eq!(phone.ahead(), 0);
        // Its own word counts: it has come back with nothing.
        phone
            .note_known(NOON + MINUTE, &laptop, Known::default(), true)
            .unwrap();
        assert!(!phone.beside(&laptop).unwrap().is_equal);
    }
}
