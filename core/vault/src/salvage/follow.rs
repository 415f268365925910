//! A vault that is loaded from the rows that were kept: what of its operations and chunks is whole, and what is to be said
//! of the others.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::id::DeviceId;
use twin_identity::log::Counts;
use twin_ops::chain::Head;
use twin_ops::file::{ChunkId, Sealed as SealedChunk};
use twin_ops::op::{LogId, Origin};
use twin_ops::space::SpaceId;

use super::loss::{Loss, Salvaged};
use super::rest::{Rest, RestRecord};
use crate::error::{Result, VaultError};
use crate::oplog::{log_number, op_number};
use crate::rows::{ChunkRow, LogRow, Row, UnreadRow};
use crate::stage::{Stage, horizon};
use crate::state::Log;
use crate::vault::Vault;

/// How many records are gathered before they are written.
const BATCH: usize = 4096;

/// The operations of a log that continue it, and what is there beyond.
pub(super) struct Kept {
    log: LogId,
    number: u32,
    /// The height that it begins after.
    base: u64,
    head: Option<Head>,
}

impl Vault {
    /// Takes in grants that were here before, and the keys in them. Returns how many cannot be.
    pub(super) fn regain(&mut self, grants: &[Vec<u8>]) -> Result<u64> {
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
    pub(super) fn salvage_chunks(&mut self, lost: &mut Vec<Loss>) -> Result<u64> {
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
            for row in &missing {
                vault.file.remove::<ChunkRow>(&row.natural())?;
            }
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
            // One that was found under another number is here again.
            let mut gone = Vec::new();
            for row in missing {
                if vault.file.chunk_row(&row.space, &row.id)?.is_none() {
                    gone.push(row);
                }
            }
            let missing = gone;
            if !missing.is_empty() {
                lost.push(Loss::Chunks(missing.len() as u64));
            }
            vault.file.check_chunks(|_| {})
        })
    }

    /// Follows each log as far as its operations continue it, and makes the index of records of these.
    pub(super) fn keep_ops(
        &mut self,
        saved: &mut Salvaged,
        own: Option<DeviceId>,
    ) -> Result<Vec<Kept>> {
        self.write(|vault| {
            // Where logs end is found here, and not believed.
            vault.clear_late()?;
            let mut all = Vec::new();
            let logs: Vec<(LogId, Log)> = vault
                .state
                .logs
                .iter()
                .map(|(id, log)| (*id, *log))
                .collect();
            for (id, log) in logs {
                let mut head = log.base;
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
                        vault.state.grown.remove(&id);
                        vault.file.remove::<LogRow>(id.as_bytes())?;
                    }
                }
                all.push(Kept {
                    log: id,
                    number: log.number,
                    base: log.base.map_or(0, |base| base.height),
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
        for Kept {
            number,
            base,
            head,
            log,
        } in kept
        {
            let Some(height) = head.map(|head| head.height) else {
                continue;
            };
            for seq in base + 1..=height {
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
        self.settle_late()?;
        self.raise_checkpoints()
    }

    /// How many epochs something is sealed under whose keys are not here.
    pub(super) fn missing_epochs(&self) -> Result<u64> {
        let mut epochs = BTreeSet::new();
        for row in self.file.items::<UnreadRow>()? {
            epochs.insert(self.file.store.head(row.op)?.header.epoch);
        }
        Ok(epochs.len() as u64)
    }

    /// The logs of which nothing is left that says who writes them.
    pub(super) fn logs_of_nobody(&self, kept: &[Kept]) -> Result<Vec<Loss>> {
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
    pub(super) fn show_rest<E: From<VaultError>>(
        &mut self,
        kept: &[Kept],
        origins: &BTreeMap<LogId, Origin>,
        show: &mut impl FnMut(RestRecord) -> std::result::Result<(), E>,
    ) -> std::result::Result<u64, E> {
        let mut rest = Rest::new(&self.file, origins, Some(*self.twin()))?;
        let mut last = 0;
        while let Some(number) = self.file.store.op_after(last)? {
            last = number;
            if self.is_rest(kept, number, origins) {
                rest.add(number)?;
            }
        }
        rest.show(Some(self), show)
    }

    /// Whether the vault does not show what an operation says, although nobody has said that it should not count: it does
    /// not continue its log, or the entry that names its device is lost.
    fn is_rest(&self, kept: &[Kept], number: i64, origins: &BTreeMap<LogId, Origin>) -> bool {
        let Ok(head) = self.file.store.head(number) else {
            return false;
        };
        let log = head.header.log;
        let Some(origin) = origins.get(&log) else {
            return true;
        };
        if self.identity().role_once(&origin.device).is_none() {
            return true;
        }
        if is_kept(kept, number) {
            return false;
        }
        match self.identity().counts(&origin.device, log.as_bytes()) {
            Counts::All => true,
            Counts::Nothing => false,
            Counts::UpTo(line) => head.header.seq <= line.height,
        }
    }

    /// Forgets the operations that are not kept.
    pub(super) fn forget_rest(&mut self, kept: &[Kept]) -> Result<()> {
        self.write(|vault| {
            let mut last = 0;
            while let Some(number) = vault.file.store.op_after(last)? {
                last = number;
                if !is_kept(kept, number) {
                    vault.file.store.remove_op(number)?;
                }
            }
            vault.file.store.remove_strays()?;
            vault.state.forget_ops();
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
