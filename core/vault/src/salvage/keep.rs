//! What of the rows that were found makes up a vault: slots, who is in the twin, this device, keys, and who writes which
//! log.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::device::DeviceKeys;
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_ops::epoch::EpochKey;
use twin_ops::op::{INCARNATION_LEN, Link, LogId, Origin};
use twin_ops::space::SpaceId;

use super::loss::{self, Loss, Salvaged};
use crate::error::Result;
use crate::incarnation::{FileMark, new_incarnation};
use crate::oplog::{log_number, op_number};
use crate::rows::{
    AddingRow, ClockRow, DeviceRow, EntryRow, EpochRow, GenesisRow, GrantRow, LogRow, Row, ToldRow,
};
use crate::search::SearchRow;
use crate::slots::{self, Unlock};
use crate::store::Sealed;

/// Goes through what was found.
pub(super) struct Keeper {
    pub file: Sealed,
    pub saved: Salvaged,
}

/// A device and the incarnation that it wrote under.
pub(super) type Before = (DeviceId, [u8; INCARNATION_LEN]);

impl Keeper {
    /// `damaged`: the kinds of sealed rows that are not whole, each as often as there are. `unread`: how many rows of any
    /// kind cannot be read at all.
    pub fn new(file: Sealed, damaged: Vec<u8>, unread: u64) -> Self {
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        for kind in damaged {
            *counts.entry(kind).or_default() += 1;
        }
        let lost = counts.into_iter();
        let lost = lost.filter_map(|(kind, count)| loss::rows(kind, count));
        let lost = lost.chain((unread > 0).then_some(Loss::Unread(unread)));
        let saved = Salvaged {
            lost: lost.collect(),
            ..Salvaged::default()
        };
        Self { file, saved }
    }

    /// Keeps the slots that somebody who had the vault open has made; the one that was opened in any case.
    pub fn keep_slots(
        &mut self,
        opened: u32,
        unlock: Unlock<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let lost = slots::keep_whole(&self.file, opened, unlock, rng)?;
        self.saved.lost.extend(lost.into_iter().map(Loss::Slot));
        Ok(())
    }

    /// Forgets what is found again in what is kept, or was on its way when the vault was last written.
    pub fn forget_derived(&self) -> Result<()> {
        self.file.remove_all::<ToldRow>()?;
        self.file.remove_all::<AddingRow>()?;
        self.file.remove_all::<SearchRow>()
    }

    /// Writes down what is in the table of late rows alone, once the logs were followed, and forgets that.
    pub fn keep_clock(&self) -> Result<()> {
        let mut late = self.file.late()?;
        let saved: Option<ClockRow> = self.file.item(&[])?;
        let last = saved.map(|row| row.last).unwrap_or_default();
        let last = last.max(late.clock());
        self.file.put(&ClockRow { last })?;
        self.file.clear_late(&mut late)
    }

    /// Keeps the keys of epochs that are what they say.
    pub fn keep_epochs(&self) -> Result<()> {
        for row in self.file.items::<EpochRow>()? {
            if EpochKey::new(Secret::new(row.key)).id() != row.id {
                self.file.remove::<EpochRow>(&row.natural())?;
            }
        }
        Ok(())
    }

    /// Puts the identity log together; `None` if its beginning is lost.
    pub fn keep_identity(&mut self) -> Result<Option<IdentityLog>> {
        let mut entries = Vec::new();
        for row in self.file.items::<EntryRow>()? {
            match Entry::from_bytes(&row.entry) {
                Ok(entry) => entries.push((row.id, entry)),
                Err(_) => self.lose_entry(&row.id)?,
            }
        }
        let row: Option<GenesisRow> = self.file.item(&[])?;
        let first = row.as_ref().and_then(|row| row.first.as_ref());
        if let Some(first) = first.and_then(|first| Entry::from_bytes(first).ok())
            && !entries.iter().any(|(id, _)| *id == first.id)
        {
            self.file.put(&EntryRow {
                id: first.id,
                entry: first.to_bytes().to_vec(),
            })?;
            entries.push((first.id, first));
        }
        entries.sort_by_key(|(_, entry)| entry.place.seq);
        let genesis = row.and_then(|row| Genesis::from_bytes(&row.genesis).ok());
        let genesis = genesis.or_else(|| {
            // The first entry reveals what the genesis has the hash of, and names it.
            let (_, first) = entries.first()?;
            let genesis = Genesis::new(first.rotation()?.authority.hash());
            (first.place.prevs == [genesis.entry_id()]).then_some(genesis)
        });
        let Some(genesis) = genesis else {
            return Ok(None);
        };
        let mut identity = IdentityLog::new(genesis);
        for (id, entry) in entries {
            if identity.insert(entry).is_err() {
                self.lose_entry(&id)?;
            }
        }
        self.file.put(&GenesisRow::of(&identity))?;
        self.saved.entries = identity.entries().len() as u64;
        Ok((!identity.entries().is_empty()).then_some(identity))
    }

    fn lose_entry(&mut self, id: &EntryId) -> Result<()> {
        self.file.remove::<EntryRow>(id.as_bytes())?;
        let lost = &mut self.saved.lost;
        match lost.iter_mut().find_map(|loss| match loss {
            Loss::Entries(count) => Some(count),
            _ => None,
        }) {
            Some(count) => *count += 1,
            None => lost.push(Loss::Entries(1)),
        }
        Ok(())
    }

    /// Keeps this device's keys under a new incarnation; new keys, which nobody knows, if they are lost. Returns what it
    /// was before.
    pub fn keep_device(&mut self, rng: &mut impl CryptoRng) -> Result<Option<Before>> {
        let row: Option<DeviceRow> = self.file.item(&[])?;
        let found = row.and_then(|row| {
            let device = DeviceKeys::from_secret(&Secret::new(row.keys)).ok()?;
            Some((device, row.incarnation))
        });
        let (device, before) = match found {
            Some((device, incarnation)) => {
                let id = device.id();
                (device, Some((id, incarnation)))
            }
            None => {
                self.saved.lost.push(Loss::Keys);
                (DeviceKeys::random(rng)?, None)
            }
        };
        self.file.put(&DeviceRow {
            keys: *device.to_secret().expose(),
            incarnation: new_incarnation(rng),
            mark: Some(FileMark::of(self.file.store.path())?),
            ended: None,
        })?;
        Ok(before)
    }

    /// Takes the grants out, to be verified and taken in like new ones.
    pub fn take_out_grants(&self) -> Result<Vec<Vec<u8>>> {
        let mut grants = Vec::new();
        for row in self.file.items::<GrantRow>()? {
            self.file.remove::<GrantRow>(row.id.as_bytes())?;
            grants.push(row.grant);
        }
        Ok(grants)
    }

    /// Keeps the rows of logs that are what they say, and finds those of this device that are lost. Returns who writes
    /// each log.
    pub fn keep_logs(
        &self,
        identity: &IdentityLog,
        own: Option<Before>,
    ) -> Result<BTreeMap<LogId, Origin>> {
        let twin = identity.twin();
        let mut origins = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for row in self.file.items::<LogRow>()? {
            if row.origin.log_id(twin) == row.id && numbers.insert(row.number) {
                origins.insert(row.id, row.origin);
            } else {
                self.file.remove::<LogRow>(row.id.as_bytes())?;
            }
        }
        let Some((device, incarnation)) = own else {
            return Ok(origins);
        };
        let epochs = self.file.items::<EpochRow>()?;
        let spaces: BTreeSet<SpaceId> = epochs.iter().map(|row| row.space.id(twin)).collect();
        let mut last = 0;
        while let Some(op) = self.file.store.op_after(last)? {
            last = op;
            let number = log_number(op);
            let Ok(head) = self.file.store.head(op) else {
                continue;
            };
            // One op that can be read says what log it is.
            last = op_number(number + 1, 0).unwrap_or(i64::MAX) - 1;
            let id = head.header.log;
            if numbers.contains(&number) || origins.contains_key(&id) {
                continue;
            }
            let mut own = spaces.iter().map(|space| Origin {
                space: *space,
                device,
                incarnation,
            });
            if let Some(origin) = own.find(|origin| origin.log_id(twin) == id) {
                self.file.put(&LogRow {
                    number,
                    id,
                    origin,
                    // How far it goes is found out by following it.
                    height: 0,
                    link: Link::from_bytes([0; 32]),
                    base: None,
                })?;
                origins.insert(id, origin);
                numbers.insert(number);
            }
        }
        Ok(origins)
    }
}
