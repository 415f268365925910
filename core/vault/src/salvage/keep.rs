//! What of the rows that were found makes up a vault.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::device::DeviceKeys;
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::{Counts, IdentityLog};
use twin_identity::secret::Secret;
use twin_ops::chain::Head;
use twin_ops::epoch::EpochKey;
use twin_ops::file::{ChunkId, Sealed as SealedChunk};
use twin_ops::op::{INCARNATION_LEN, LogId, Origin};
use twin_ops::space::SpaceId;

use super::loss::{self, Loss, Salvaged};
use super::rest::{Rest, RestRecord};
use crate::error::{Result, VaultError};
use crate::oplog::{log_number, op_number};
use crate::rows::{
    AddingRow, AheadRow, ChunkRow, CollectionRow, DeviceRow, EntryRow, EpochRow, ErasureRow,
    GenesisRow, GrantRow, HoleRow, LogRow, Row, ToldRow, UnreadRow,
};
use crate::search::SearchRow;
use crate::slots::{self, Opened, Unlock};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::store::Sealed;
use crate::vault::Vault;

/// How many records are gathered before they are written.
const BATCH: usize = 4096;

/// Goes through what was found.
pub(super) struct Keeper {
    file: Sealed,
    saved: Salvaged,
}

/// The operations of a log that continue it, and what is there beyond.
struct Kept {
    log: LogId,
    number: u32,
    head: Option<Head>,
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
            last = op_number(log + 1, 0).unwrap_or(i64::MAX) - 1;
            let Ok(head) = self.file.store.head(number) else {
                continue;
            };
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
                    clock: twin_ops::change::Stamp::default(),
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

impl Vault {
    /// Takes in grants that were here before, and the keys in them. Returns how many cannot be.
    fn regain(&mut self, grants: &[Vec<u8>]) -> Result<u64> {
        let mut refused = 0;
        self.write(|vault| {
            for grant in grants {
                match vault.take_grants(std::slice::from_ref(grant)) {
                    Ok(taken) => refused += u64::from(taken.new == 0),
                    Err(VaultError::Grant(_)) => refused += 1,
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        Ok(refused)
    }

    /// Keeps the chunks of files that are whole, those too whose row is lost: one of each space, of which all but one are
    /// garbage. Returns how many there are.
    fn salvage_chunks(&mut self, lost: &mut Vec<Loss>) -> Result<u64> {
        self.write(|vault| {
            let mut damaged = BTreeSet::new();
            let mut missing = Vec::new();
            vault.file.check_chunks(|number| {
                damaged.insert(number);
            })?;
            vault.file.each_item(|row: Result<ChunkRow>| {
                let row = row?;
                if damaged.contains(&row.number) {
                    missing.push(row);
                }
                Ok(())
            })?;
            let twin = *vault.twin();
            let mut spaces: Vec<SpaceId> = vault
                .state
                .epochs
                .values()
                .filter(|epoch| !epoch.space.as_str().starts_with('~'))
                .map(|epoch| epoch.space.id(&twin))
                .collect();
            spaces.sort_unstable();
            spaces.dedup();
            let named: BTreeSet<i64> = missing.iter().map(|row| row.number).collect();
            for number in damaged {
                let bytes = vault.file.store.take_chunk_bytes(number)?;
                let Some(bytes) = bytes.filter(|_| !named.contains(&number)) else {
                    continue;
                };
                let id = ChunkId::of(&bytes);
                let chunk = SealedChunk { id, bytes };
                for space in &spaces {
                    vault.file.keep_chunk(space, &chunk, 0, vault.now)?;
                }
            }
            for row in &missing {
                vault.file.remove::<ChunkRow>(&row.natural())?;
            }
            if !missing.is_empty() {
                lost.push(Loss::Chunks(missing.len() as u64));
            }
            vault.file.check_chunks(|_| {})
        })
    }

    /// Follows each log as far as its operations continue it, and makes the index of records of these.
    fn keep_ops(
        &mut self,
        saved: &mut Salvaged,
        own: Option<DeviceId>,
    ) -> Result<Vec<Kept>> {
        self.write(|vault| {
            let mut all = Vec::new();
            let logs: Vec<(LogId, Log)> = vault.state.logs.iter().map(|(id, log)| (*id, *log)).collect();
            for (id, log) in logs {
                let mut head: Option<Head> = None;
                loop {
                    let seq = head.map_or(0, |head| head.height) + 1;
                    let Some((.., next)) = vault.whole_op(&log, seq, head)? else {
                        break;
                    };
                    head = next;
                    saved.ops += 1;
                }
                let height = vault.file.store.highest(log.number)?.max(log.head.height);
                let kept = head.map_or(0, |head| head.height);
                if kept < height {
                    saved.lost.push(Loss::Ops {
                        log: id,
                        by: Some(log.origin.device),
                        own: own == Some(log.origin.device),
                        first: kept + 1,
                        last: height,
                    });
                }
                match head {
                    Some(head) => {
                        vault.state.logs.insert(id, Log { head, ..log });
                        vault.save_log(&id)?;
                    }
                    None => {
                        vault.state.logs.remove(&id);
                        vault.file.remove::<LogRow>(id.as_bytes())?;
                    }
                }
                all.push(Kept {
                    log: id,
                    number: log.number,
                    head,
                });
            }
            vault.index_kept(&all)?;
            Ok(all)
        })
    }

    /// Makes the index of records of the operations that are kept and count.
    fn index_kept(&mut self, kept: &[Kept]) -> Result<()> {
        let until = horizon(self.now);
        let mut stage = Stage::default();
        for Kept { number, head, log, .. } in kept {
            let Some(height) = head.map(|head| head.height) else {
                continue;
            };
            for seq in 1..=height {
                if !self.is_counted(log, seq)? {
                    break;
                }
                let Some(number) = self.file.store.op_at(*number, seq)? else {
                    break;
                };
                let op = self.file.store.op(number)?;
                self.absorb(&mut stage, number, &op, until)?;
                if stage.places().count() >= BATCH {
                    self.flush(std::mem::take(&mut stage))?;
                }
            }
        }
        self.flush(stage)?;
        self.file.settle_late(&mut self.state.late)
    }

    /// How many epochs something is sealed under whose keys are not here.
    fn missing_epochs(&self) -> Result<u64> {
        let mut epochs = BTreeSet::new();
        for row in self.file.items::<UnreadRow>()? {
            epochs.insert(self.file.store.head(row.op)?.header.epoch);
        }
        Ok(epochs.len() as u64)
    }

    /// The logs of which nothing is left that says who writes them.
    fn logs_of_nobody(&self, kept: &[Kept]) -> Result<Vec<Loss>> {
        let mut logs: BTreeMap<LogId, (u64, u64)> = BTreeMap::new();
        let mut last = 0;
        while let Some(number) = self.file.store.op_after(last)? {
            last = number;
            let known = kept.iter().any(|kept| kept.number == log_number(number));
            if let (false, Ok(head)) = (known, self.file.store.head(number)) {
                let seq = head.header.seq;
                let range = logs.entry(head.header.log).or_insert((seq, seq));
                *range = (range.0.min(seq), range.1.max(seq));
            }
        }
        let lost = logs.into_iter().map(|(log, (first, last))| Loss::Ops {
            log,
            by: None,
            own: false,
            first,
            last,
        });
        Ok(lost.collect())
    }

    /// Shows what is known from the operations that are not kept.
    fn show_rest<E: From<VaultError>>(
        &mut self,
        kept: &[Kept],
        origins: &BTreeMap<LogId, Origin>,
        show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<u64, E> {
        let mut rest = Rest::new(&self.file, origins, Some(*self.twin()))?;
        let mut last = 0;
        while let Some(number) = self.file.store.op_after(last)? {
            last = number;
            if !is_kept(kept, number) && self.would_count(number, origins) {
                rest.add(number)?;
            }
        }
        rest.show(Some(self), show)
    }

    /// Whether an operation would count if it continued its log.
    fn would_count(&self, number: i64, origins: &BTreeMap<LogId, Origin>) -> bool {
        let Ok(head) = self.file.store.head(number) else {
            return false;
        };
        let log = head.header.log;
        let Some(origin) = origins.get(&log) else {
            return true;
        };
        match self.identity().counts(&origin.device, log.as_bytes()) {
            Counts::All => true,
            Counts::Nothing => false,
            Counts::UpTo(line) => head.header.seq <= line.height,
        }
    }

    /// Forgets the operations that are not kept.
    fn forget_rest(&mut self, kept: &[Kept]) -> Result<()> {
        self.write(|vault| {
            let mut last = 0;
            while let Some(number) = vault.file.store.op_after(last)? {
                last = number;
                if !is_kept(kept, number) {
                    vault.file.store.remove_op(number)?;
                }
            }
            vault.file.store.remove_strays()?;
            vault.state.op_heads.clear();
            vault.find_holes()
        })
    }
}

/// Whether the op with this number is one of those that are kept.
fn is_kept(kept: &[Kept], number: i64) -> bool {
    let log = kept.iter().find(|kept| kept.number == log_number(number));
    log.and_then(|log| Some((log, log.head?)))
        .and_then(|(log, head)| op_number(log.number, head.height))
        .is_some_and(|last| number <= last)
}
