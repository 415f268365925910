//! What other devices are known to have: what they tell in their ops ([`Seen`]), and what a sync has shown.
//!
//! A device that never writes tells nothing, so that the end of a session counts, too: both replicas were equal then.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::DeviceId;
use twin_ops::change::Seen;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::{LogHead, OpStore};

use crate::error::Result;
use crate::rows::HeardRow;
use crate::store::Sealed;
use crate::vault::Vault;

/// How long what a sync has shown of a device need not be written again by the same program, in milliseconds: while both
/// are online, they are equal again after every change.
const OFTEN: u64 = 5000;
/// How old the time may be at which something was last learnt.
const LATELY: u64 = 60_000;

/// What devices are known to have, by device and space.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<(DeviceId, SpaceId), Has>);

#[derive(Debug, Default)]
struct Has {
    at: u64,
    heights: BTreeMap<LogId, u64>,
}

impl Heard {
    /// Reads all of it.
    pub fn load(file: &Sealed) -> Result<Self> {
        let mut heard = Self::default();
        for row in file.whole_items::<HeardRow>()? {
            let has = Has {
                at: row.at,
                heights: row.heights,
            };
            heard.0.insert((row.device, row.space), has);
        }
        Ok(heard)
    }

    /// How far a device is known to have a log of a space.
    pub fn height(&self, device: &DeviceId, space: &SpaceId, log: &LogId) -> u64 {
        let has = self.0.get(&(*device, *space));
        has.and_then(|has| has.heights.get(log).copied())
            .unwrap_or(0)
    }

    /// Forgets what a device has of a space; its row, if there was anything.
    pub fn forget(&mut self, device: &DeviceId, space: &SpaceId) -> Option<HeardRow> {
        let has = self.0.remove(&(*device, *space))?;
        Some(HeardRow {
            device: *device,
            space: *space,
            at: has.at,
            heights: has.heights,
        })
    }

    /// When this device last learnt what another has; `None` if it never has.
    pub fn last(&self, device: &DeviceId) -> Option<u64> {
        let of_device = self.0.iter().filter(|((of, _), _)| of == device);
        of_device.map(|(_, has)| has.at).max()
    }
}

impl Vault {
    /// Notes what a device tells of the logs of a space. Inside a transaction.
    pub(crate) fn note_seen(
        &mut self,
        device: &DeviceId,
        space: &SpaceId,
        seen: &Seen,
    ) -> Result<()> {
        let heights = seen.heights.iter().map(|seen| (seen.log, seen.height));
        let here = |(log, _): &(LogId, u64)| {
            let log = self.state.logs.get(log);
            log.is_some_and(|log| log.origin.space == *space)
        };
        // Of a log that never comes here it is of no use.
        let heights: Vec<(LogId, u64)> = heights.filter(here).collect();
        self.note_heights(device, space, heights)
    }

    /// Notes how far a device has logs of a space. Inside a transaction.
    pub(crate) fn note_heights(
        &mut self,
        device: &DeviceId,
        space: &SpaceId,
        heights: Vec<(LogId, u64)>,
    ) -> Result<()> {
        if *device == self.device.id() {
            return Ok(());
        }
        let has = self.state.heard.0.entry((*device, *space)).or_default();
        if !has.raise(heights) && self.now < has.at.saturating_add(LATELY) {
            return Ok(());
        }
        has.at = has.at.max(self.now);
        self.file.put(&HeardRow {
            device: *device,
            space: *space,
            at: has.at,
            heights: has.heights.clone(),
        })
    }

    /// When this device last learnt what another has, in milliseconds since the Unix epoch; `None` if it never has.
    pub fn last_heard(&self, device: &DeviceId) -> Option<u64> {
        self.state.heard.last(device)
    }

    /// How many operations this device has written in the person's spaces that no other device of the twin is known to
    /// have.
    pub fn only_here(&mut self) -> Result<u64> {
        self.catch_up()?;
        let me = self.device.id();
        let devices = self.state.identity.devices().keys();
        let others: Vec<&DeviceId> = devices.filter(|device| **device != me).collect();
        let spaces = self.state.spaces.iter();
        let own: BTreeSet<SpaceId> = spaces
            .filter(|(name, _)| !name.as_str().starts_with('~'))
            .map(|(_, id)| *id)
            .collect();
        let logs = self.state.logs.iter();
        let mine =
            logs.filter(|(_, log)| log.origin.device == me && own.contains(&log.origin.space));
        let mut only_here = 0;
        for (id, log) in mine {
            let counted = self.state.counted(&self.file.store, log)?;
            let heard = others
                .iter()
                .filter(|device| self.selects(device, &log.origin.space))
                .map(|device| self.state.heard.height(device, &log.origin.space, id));
            only_here += counted.saturating_sub(heard.max().unwrap_or(0));
        }
        Ok(only_here)
    }

    /// Notes that a device has all that counts here but for these spaces. It is written seldom: two devices that are online
    /// are equal again after every change.
    pub(crate) fn note_in_sync(
        &mut self,
        now: u64,
        device: &DeviceId,
        apart: &BTreeSet<SpaceId>,
    ) -> Result<()> {
        let mut spaces: BTreeMap<SpaceId, Vec<(LogId, u64)>> = BTreeMap::new();
        for LogHead { log, head } in self.heads_but(apart)? {
            if let Some(origin) = self.origin(&log)? {
                let heights = spaces.entry(origin.space).or_default();
                heights.push((log, head.height));
            }
        }
        let last = self.noted.get(device);
        if last.is_some_and(|last| now >= *last && now - *last < OFTEN) {
            for (space, heights) in spaces {
                let has = self.state.heard.0.entry((*device, space)).or_default();
                has.raise(heights);
            }
            return Ok(());
        }
        self.now = now;
        self.write(|vault| {
            let mut spaces = spaces.into_iter();
            spaces.try_for_each(|(space, heights)| vault.note_heights(device, &space, heights))?;
            vault.note_equal(device, apart)
        })?;
        self.noted.insert(*device, now);
        Ok(())
    }
}

impl Has {
    /// Takes note of heights; whether that is news.
    fn raise(&mut self, heights: Vec<(LogId, u64)>) -> bool {
        let mut more = false;
        for (log, height) in heights {
            let known = self.heights.entry(log).or_default();
            more |= *known < height;
            *known = (*known).max(height);
        }
        more
    }
}
