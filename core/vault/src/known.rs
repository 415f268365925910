//! What other devices say that they have, to leave that out of what goes to them one way.
//!
//! What is kept of a device is its last word: it may have come back from an old copy since an older one, and whoever takes
//! it to have more than it has never sends it the rest. What both were found to have in a session counts as its word.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::DeviceId;
use twin_ops::chain::Head;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::{Known, LogHead, OpStore};

use crate::error::Result;
use crate::rows::KnownRow;
use crate::store::Sealed;
use crate::vault::Vault;

/// By device.
#[derive(Debug, Default)]
pub(crate) struct KnownOf(BTreeMap<DeviceId, Known>);

impl KnownOf {
    /// Reads all of it.
    pub fn load(file: &Sealed) -> Result<Self> {
        let rows = file.whole_items::<KnownRow>()?.into_iter();
        let known = rows.map(|row| {
            let heads = row.heads.into_iter();
            let known = Known {
                at: row.at,
                entries: row.entries,
                grants: row.grants,
                heads: heads.map(|(log, head)| LogHead { log, head }).collect(),
                holes: row.holes,
                has_taken: row.has_taken,
                was_taken: row.was_taken,
            };
            (row.device, known)
        });
        Ok(Self(known.collect()))
    }
}

impl Vault {
    /// What a device is known to have: by its word, or as far as others of its operations tell.
    pub(crate) fn known_of(&self, device: &DeviceId) -> Result<Known> {
        if let Some(known) = self.state.known.0.get(device) {
            return Ok(known.clone());
        }
        let mut known = Known::default();
        for LogHead { log, head } in self.heads()? {
            let Some(origin) = self.origin(&log)? else {
                continue;
            };
            let heard = self.state.heard.height(device, &origin.space, &log);
            let height = heard.min(head.height);
            if height > 0
                && let Some(link) = self.link_at(&log, height)?
            {
                let head = Head { height, link };
                known.heads.push(LogHead { log, head });
            }
        }
        Ok(known)
    }

    /// Notes that a device has just what is here but for these spaces. Inside a transaction.
    pub(crate) fn note_equal(
        &mut self,
        device: &DeviceId,
        apart: &BTreeSet<SpaceId>,
    ) -> Result<()> {
        let before = self.state.known.0.get(device);
        let before = before.cloned().unwrap_or_default();
        let equal = Known {
            entries: self.state.identity.entries().keys().copied().collect(),
            grants: self.grants()?,
            heads: self.heads_but(apart)?,
            holes: Vec::new(),
            ..before
        };
        self.keep_known(device, equal)
    }

    /// Takes the word of a device. Inside a transaction.
    pub(crate) fn take_word(
        &mut self,
        device: &DeviceId,
        mut said: Known,
        whole: bool,
    ) -> Result<()> {
        if *device == self.device.id() || self.state.identity.role_once(device).is_none() {
            return Ok(());
        }
        let mut spaces: BTreeMap<SpaceId, Vec<(LogId, u64)>> = BTreeMap::new();
        for LogHead { log, head } in &said.heads {
            if let Some(origin) = self.origin(log)?
                && self.link_at(log, head.height)? == Some(head.link)
            {
                let heights = spaces.entry(origin.space).or_default();
                heights.push((*log, head.height));
            }
        }
        for (space, heights) in spaces {
            self.note_heights(device, &space, heights)?;
        }
        let before = self.state.known.0.get(device).cloned().unwrap_or_default();
        // This is not its word but ours.
        said.was_taken = said.was_taken.max(before.was_taken);
        if said.at < before.at {
            said = at_most(before, &said, whole);
        } else if !whole {
            said = with(before, said);
        }
        self.keep_known(device, said)
    }

    /// Counts no more on what a device said that it has of a space. Inside a transaction.
    pub(crate) fn forget_known(&mut self, device: &DeviceId, space: &SpaceId) -> Result<()> {
        let Some(mut known) = self.state.known.0.get(device).cloned() else {
            return Ok(());
        };
        known.heads.retain(|head| {
            let log = self.state.logs.get(&head.log);
            log.is_none_or(|log| log.origin.space != *space)
        });
        self.keep_known(device, known)
    }

    /// Counts no more on the content of files that a device has taken of this one: it did not take all of it.
    pub(crate) fn forget_taken(&mut self, device: &DeviceId) -> Result<()> {
        let Some(mut known) = self.state.known.0.get(device).cloned() else {
            return Ok(());
        };
        known.has_taken = 0;
        self.keep_known(device, known)
    }

    fn keep_known(&mut self, device: &DeviceId, known: Known) -> Result<()> {
        if self.state.known.0.get(device) == Some(&known) {
            return Ok(());
        }
        let heads = known.heads.iter();
        self.file.put(&KnownRow {
            device: *device,
            at: known.at,
            entries: known.entries.clone(),
            grants: known.grants.clone(),
            heads: heads.map(|row| (row.log, row.head)).collect(),
            holes: known.holes.clone(),
            has_taken: known.has_taken,
            was_taken: known.was_taken,
        })?;
        self.state.known.0.insert(*device, known);
        Ok(())
    }
}

/// What was known, and what was said after that: of what was not named nothing is new.
fn with(before: Known, said: Known) -> Known {
    let mut heads = by_log(before.heads);
    heads.extend(by_log(said.heads));
    Known {
        at: said.at,
        entries: both(before.entries, said.entries),
        grants: both(before.grants, said.grants),
        heads: rows(heads),
        holes: said.holes,
        has_taken: said.has_taken,
        was_taken: said.was_taken,
    }
}

/// What is known, less what was not there when an older word was said: that may be the true one, if a clock was wrong.
fn at_most(mut before: Known, older: &Known, whole: bool) -> Known {
    let said = by_log(older.heads.clone());
    before.has_taken = before.has_taken.min(older.has_taken);
    before.was_taken = older.was_taken;
    before.heads.retain_mut(|row| match said.get(&row.log) {
        Some(head) => {
            if head.height < row.head.height {
                row.head = *head;
            }
            true
        }
        None => !whole,
    });
    if whole {
        let (entries, grants): (BTreeSet<_>, BTreeSet<_>) = (
            older.entries.iter().collect(),
            older.grants.iter().collect(),
        );
        before.entries.retain(|id| entries.contains(id));
        before.grants.retain(|id| grants.contains(id));
    }
    before
}

fn both<T: Ord>(one: Vec<T>, other: Vec<T>) -> Vec<T> {
    let all: BTreeSet<T> = one.into_iter().chain(other).collect();
    all.into_iter().collect()
}

fn by_log(heads: Vec<LogHead>) -> BTreeMap<LogId, Head> {
    heads.into_iter().map(|row| (row.log, row.head)).collect()
}

fn rows(heads: BTreeMap<LogId, Head>) -> Vec<LogHead> {
    let heads = heads.into_iter();
    heads.map(|(log, head)| LogHead { log, head }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use twin_identity::device::Role;
    use twin_ops::grant::GrantId;
    use twin_ops::op::Link;

    use super::*;
    use crate::common::{NOON, linked, phone, put, reopen};

    fn head(log: u8, height: u64) -> LogHead {
        LogHead {
            log: LogId::from_bytes([log; 32]),
            head: Head {
                height,
                link: Link::from_bytes([u8::try_from(height).unwrap(); 32]),
            },
        }
    }

    fn said(at: u64, grants: &[u8], heads: &[LogHead]) -> Known {
        Known {
            at,
            grants: { grants.iter() }
                .map(|byte| GrantId::from_bytes([*byte; 32]))
                .collect(),
            heads: heads.to_vec(),
            ..Known::default()
        }
    }

    #[test]
    fn the_last_word_counts_and_an_older_one_only_takes_away() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut vault = phone(dir.path());
        let device = linked(other.path(), &mut vault, 5, Role::Member).device();
        let nothing = vault.known(&device).unwrap();
        assert_eq!(nothing, Known::default());
        let steps = [
            // What is whole takes the place of what was known, even if it is less: the device came back from a copy.
            (
                said(5, &[1, 2], &[head(1, 9), head(2, 3)]),
                true,
                said(5, &[1, 2], &[head(1, 9), head(2, 3)]),
            ),
            (
                said(6, &[1], &[head(1, 7), head(3, 1)]),
                true,
                said(6, &[1], &[head(1, 7), head(3, 1)]),
            ),
            // Of what is not, the rest stays.
            (
                said(7, &[4], &[head(1, 6), head(4, 2)]),
                false,
                said(7, &[1, 4], &[head(1, 6), head(3, 1), head(4, 2)]),
            ),
            // What was said before raises nothing, and lowers.
            (
                said(4, &[1, 9], &[head(1, 8), head(4, 1)]),
                false,
                said(7, &[1, 4], &[head(1, 6), head(3, 1), head(4, 1)]),
            ),
            (
                said(4, &[1, 9], &[head(1, 2)]),
                true,
                said(7, &[1], &[head(1, 2)]),
            ),
        ];
        for (word, whole, known) in steps {
            vault.note_known(NOON, &device, word, whole).unwrap();
            assert_eq!(vault.known(&device).unwrap(), known);
        }
        // It is in the file; who never was in has no word, nor has this device itself.
        let known = vault.known(&device).unwrap();
        let me = vault.device();
        for no in [me, DeviceId::from_bytes([9; 32])] {
            let word = said(1, &[1], &[head(1, 1)]);
            vault.note_known(NOON, &no, word, true).unwrap();
            assert_eq!(vault.known(&no).unwrap().grants, []);
        }
        drop(vault);
        assert_eq!(reopen(dir.path()).unwrap().known(&device).unwrap(), known);
    }

    #[test]
    fn who_was_found_equal_has_all_that_is_here() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut vault = phone(dir.path());
        let device = linked(other.path(), &mut vault, 5, Role::Member).device();
        put(&mut vault, NOON, "notes", "a", &[("x", "1")]);
        vault.in_sync(NOON, &device, &BTreeSet::new());
        let known = vault.known(&device).unwrap();
        assert_eq!(known.heads, vault.heads().unwrap());
        assert_eq!(known.grants, vault.grants().unwrap());
        assert_eq!(known.entries.len(), vault.identity().entries().len());
        put(&mut vault, NOON + 1, "notes", "b", &[("x", "1")]);
        assert_ne!(known.heads, vault.heads().unwrap());
        assert_eq!(vault.known(&device).unwrap(), known);
    }
}
