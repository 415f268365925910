//! A vault that is loaded from the rows that were kept: its keys, its chunks and its index.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::id::DeviceId;
use twin_ops::change::ErasedParts;
use twin_ops::file::{ChunkId, Sealed as SealedChunk};
use twin_ops::space::{SpaceId, SpaceName};

use super::loss::{Loss, Salvaged};
use crate::erase::Erased;
use crate::error::{Result, VaultError};
use crate::rows::{ChunkRow, Row, UnreadRow};
use crate::vault::Vault;

impl Vault {
    /// Takes in what hangs on others, and makes what is derived. `grants` were here before.
    pub(super) fn settle_salvaged(
        &mut self,
        grants: &[Vec<u8>],
        saved: &mut Salvaged,
    ) -> Result<()> {
        let refused = self.regain(grants)?;
        if refused > 0 {
            saved.lost.push(Loss::Grants(refused));
        }
        saved.chunks = self.salvage_chunks(&mut saved.lost)?;
        self.write(Self::rebuild_index_now)?;
        let keys = self.missing_epochs()?;
        if keys > 0 {
            saved.lost.retain(|loss| !matches!(loss, Loss::Epochs(_)));
            saved.lost.push(Loss::Epochs(keys));
        }
        Ok(())
    }

    /// Erases again what was erased by operations that cannot be kept: else its content would come again from others.
    pub(super) fn erase_again(
        &mut self,
        erased: &BTreeMap<(SpaceName, DeviceId), Vec<ErasedParts>>,
        rng: &mut impl CryptoRng,
        saved: &mut Salvaged,
    ) -> Result<()> {
        let mut again: BTreeMap<&SpaceName, Erased> = BTreeMap::new();
        for ((space, by), ops) in erased {
            if !self.may_erase(by) {
                continue;
            }
            for ErasedParts { log, seq, parts } in ops {
                let known = self.state.erased.get(&(*log, *seq));
                let is_known = |part: &&u16| known.is_some_and(|known| known.contains(*part));
                let new: Vec<u16> = parts
                    .iter()
                    .filter(|part| !is_known(part))
                    .copied()
                    .collect();
                if !new.is_empty() {
                    let ops = again.entry(space).or_default();
                    ops.entry((*log, *seq)).or_default().extend(new);
                }
            }
        }
        let mut lost = 0;
        for (space, ops) in again {
            let parts: u64 = ops.values().map(|parts| parts.len() as u64).sum();
            match self.write(|vault| vault.erase_parts(rng, space, ops)) {
                Ok(()) => {}
                Err(error @ (VaultError::DiskFull | VaultError::Io(_))) => return Err(error),
                Err(error) => {
                    // What was saved is worth more.
                    log::warn!("what was erased could not be erased again: {error}");
                    lost += parts;
                }
            }
        }
        if lost > 0 {
            saved.lost.push(Loss::Erasures(lost));
        }
        Ok(())
    }

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
    /// garbage. Returns how many different ones there are.
    fn salvage_chunks(&mut self, lost: &mut Vec<Loss>) -> Result<u64> {
        self.write(|vault| {
            let mut damaged = BTreeSet::new();
            vault.file.check_chunks(|number| {
                damaged.insert(number);
            })?;
            let mut missing = Vec::new();
            vault.file.each_item(|row: Result<ChunkRow>| {
                missing.extend(Some(row?).filter(|row| damaged.contains(&row.number)));
                Ok(())
            })?;
            for row in &missing {
                damaged.remove(&row.number);
                vault.file.store.remove_chunk_bytes(row.number)?;
                vault.file.remove::<ChunkRow>(&row.natural())?;
            }
            if !missing.is_empty() {
                lost.push(Loss::Chunks(missing.len() as u64));
            }
            // What is left has bytes and no row.
            let twin = *vault.twin();
            let epochs = vault.state.epochs.values();
            let spaces: BTreeSet<SpaceId> = epochs
                .filter(|epoch| !epoch.space.as_str().starts_with('~'))
                .map(|epoch| epoch.space.id(&twin))
                .collect();
            let others = (spaces.len() as u64).saturating_sub(1) * damaged.len() as u64;
            for number in damaged {
                let Some(bytes) = vault.file.store.take_chunk_bytes(number)? else {
                    continue;
                };
                let id = ChunkId::of(&bytes);
                let chunk = SealedChunk { id, bytes };
                for space in &spaces {
                    vault.file.keep_chunk(space, &chunk, 0, vault.now)?;
                }
            }
            let whole = vault.file.check_chunks(|_| {})?;
            Ok(whole.saturating_sub(others))
        })
    }

    /// How many epochs something is sealed under whose keys are not here.
    fn missing_epochs(&self) -> Result<u64> {
        let mut epochs = BTreeSet::new();
        for row in self.file.items::<UnreadRow>()? {
            epochs.insert(self.file.store.head(row.op)?.header.epoch);
        }
        Ok(epochs.len() as u64)
    }
}
