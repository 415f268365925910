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
use twin_ops::op::{INCARNATION_LEN, LogId, Origin};
use twin_ops::space::SpaceId;

use super::loss::{self, Loss, Salvaged};
use super::rest::{Rest, RestRecord};
use crate::error::{Result, VaultError};
use crate::oplog::{log_number, op_number};
use crate::rows::{
    AddingRow, AheadRow, CheckpointRow, CollectionRow, DeviceRow, EntryRow, EpochRow, ErasureRow,
    GenesisRow, GrantRow, HeardRow, HoleRow, LaterRow, LogRow, Row, ToldRow, UnreadRow,
};
use crate::search::SearchRow;
use crate::slots::{self, Opened, Unlock};
use crate::store::Sealed;
use crate::vault::Vault;

/// Goes through what was found.
pub(super) struct Keeper {
    file: Sealed,
    saved: Salvaged,
}

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

    /// Says that something is lost.
    pub fn lose(&mut self, loss: Loss) {
        self.saved.lost.push(loss);
    }

    /// Keeps the slots that somebody who had the vault open has made; the one that was opened in any case.
    pub fn keep_slots(
        &mut self,
        opened: &Opened,
        unlock: Unlock<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        self.file.store.begin()?;
        let lost = slots::keep_whole(&self.file, opened.slot, unlock, rng)?;
        self.file.store.commit()?;
        self.saved.lost.extend(lost.into_iter().map(Loss::Slot));
        Ok(())
    }

    /// Makes a vault of what is here, and shows what cannot be in it.
    pub fn keep<R: CryptoRng, E: From<VaultError>>(
        mut self,
        opened: Opened,
        now: u64,
        rng: &mut R,
        show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<Salvaged, E> {
        self.file.store.begin()?;
        self.forget_derived()?;
        self.keep_epochs()?;
        let identity = self.keep_identity()?;
        let Some(identity) = identity else {
            self.file.store.commit()?;
            self.lose_all(show)?;
            return Ok(self.saved);
        };
        let before = self.keep_device(rng)?;
        let grants = self.take_out_grants()?;
        let origins = self.keep_logs(&identity, before)?;
        self.file.store.commit()?;
        let Self { file, mut saved } = self;
        let mut vault = Vault::load(file.store, &opened)?;
        vault.now = now;
        let refused = vault.regain(&grants)?;
        if refused > 0 {
            saved.lost.push(Loss::Grants(refused));
        }
        saved.chunks = vault.salvage_chunks(&mut saved.lost)?;
        let kept = vault.keep_ops(&mut saved, before.map(|before| before.0))?;
        saved.lost.extend(vault.logs_of_nobody(&kept)?);
        saved.rest = vault.show_rest(&kept, &origins, show)?;
        vault.forget_rest(&kept)?;
        let keys = vault.missing_epochs()?;
        if keys > 0 {
            saved.lost.retain(|loss| !matches!(loss, Loss::Epochs(_)));
            saved.lost.push(Loss::Epochs(keys));
        }
        saved.vault = true;
        vault.file.store.truncate_wal();
        vault.file.store.close()?;
        Ok(saved)
    }

    /// Forgets what is found again in what is kept, or was on its way when the vault was last written.
    fn forget_derived(&self) -> Result<()> {
        self.file.remove_all::<CollectionRow>()?;
        self.file.remove_all::<ToldRow>()?;
        self.file.remove_all::<UnreadRow>()?;
        self.file.remove_all::<AheadRow>()?;
        self.file.remove_all::<ErasureRow>()?;
        self.file.remove_all::<HoleRow>()?;
        self.file.remove_all::<CheckpointRow>()?;
        self.file.remove_all::<LaterRow>()?;
        self.file.remove_all::<HeardRow>()?;
        self.file.remove_all::<AddingRow>()?;
        self.file.remove_all::<SearchRow>()
    }

    /// Keeps the keys of epochs that are what they say.
    fn keep_epochs(&self) -> Result<()> {
        for row in self.file.items::<EpochRow>()? {
            if EpochKey::new(Secret::new(row.key)).id() != row.id {
                self.file.remove::<EpochRow>(&row.natural())?;
            }
        }
        Ok(())
    }

    /// Puts the identity log together; `None` if its beginning is lost.
    fn keep_identity(&mut self) -> Result<Option<IdentityLog>> {
        let mut entries = Vec::new();
        for row in self.file.items::<EntryRow>()? {
            match Entry::from_bytes(&row.entry) {
                Ok(entry) => entries.push((row.id, entry)),
                Err(_) => self.lose_entry(&row.id)?,
            }
        }
        entries.sort_by_key(|(_, entry)| entry.place.seq);
        let row: Option<GenesisRow> = self.file.item(&[])?;
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
        self.file.put(&GenesisRow {
            genesis: genesis.to_bytes(),
        })?;
        let mut identity = IdentityLog::new(genesis);
        for (id, entry) in entries {
            if identity.insert(entry).is_err() {
                self.lose_entry(&id)?;
            }
        }
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

    /// Keeps this device's keys under a new incarnation; new keys, which nobody knows, if they are lost. Returns the device
    /// and the incarnation that it wrote under.
    fn keep_device(
        &mut self,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<(DeviceId, [u8; INCARNATION_LEN])>> {
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
        let mut incarnation = [0; INCARNATION_LEN];
        rng.fill_bytes(&mut incarnation);
        self.file.put(&DeviceRow {
            keys: *device.to_secret().expose(),
            incarnation,
        })?;
        Ok(before)
    }

    /// Takes the grants out, to be verified and taken in like new ones.
    fn take_out_grants(&self) -> Result<Vec<Vec<u8>>> {
        let mut grants = Vec::new();
        for row in self.file.items::<GrantRow>()? {
            self.file.remove::<GrantRow>(row.id.as_bytes())?;
            grants.push(row.grant);
        }
        Ok(grants)
    }

    /// Keeps the rows of logs that are what they say, and finds those of this device that are lost. Returns who writes
    /// each log.
    fn keep_logs(
        &self,
        identity: &IdentityLog,
        own: Option<(DeviceId, [u8; INCARNATION_LEN])>,
    ) -> Result<BTreeMap<LogId, Origin>> {
        let mut origins = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for row in self.file.items::<LogRow>()? {
            let is_own = row.origin.log_id(identity.twin()) == row.id;
            if is_own && numbers.insert(row.number) {
                origins.insert(row.id, row.origin);
            } else {
                self.file.remove::<LogRow>(row.id.as_bytes())?;
            }
        }
        let spaces: Vec<SpaceId> = self
            .file
            .items::<EpochRow>()?
            .iter()
            .map(|row| row.space.id(identity.twin()))
            .collect();
        let mut last = 0;
        while let Some(number) = self.file.store.op_after(last)? {
            let log = log_number(number);
            last = number;
            let Ok(head) = self.file.store.head(number) else {
                continue;
            };
            // One op that can be read says what log it is.
            last = op_number(log + 1, 0).unwrap_or(i64::MAX) - 1;
            let Some((device, incarnation)) = own.filter(|_| !numbers.contains(&log)) else {
                continue;
            };
            let origin = spaces.iter().map(|space| Origin {
                space: *space,
                device,
                incarnation,
            });
            let id = head.header.log;
            let mut origin = origin.filter(|origin| origin.log_id(identity.twin()) == id);
            if let Some(origin) = origin.next()
                && !origins.contains_key(&id)
            {
                self.file.put(&LogRow {
                    number: log,
                    id,
                    origin,
                    // How far it went is lost with the row.
                    height: 0,
                    link: twin_ops::op::Link::of(&[], &[0; 64]),
                    base: None,
                })?;
                origins.insert(id, origin);
                numbers.insert(log);
            }
        }
        Ok(origins)
    }

    /// There is no vault without the beginning of the identity log: everything that can be read is shown.
    fn lose_all<E: From<VaultError>>(
        &mut self,
        show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.saved.lost.push(Loss::Identity);
        let mut origins = BTreeMap::new();
        for row in self.file.items::<LogRow>()? {
            origins.insert(row.id, row.origin);
        }
        let mut rest = Rest::new(&self.file, &origins, None)?;
        let mut last = 0;
        while let Some(number) = self.file.store.op_after(last)? {
            rest.add(number)?;
            last = number;
        }
        self.saved.rest = rest.show(None, show)?;
        Ok(())
    }
}
