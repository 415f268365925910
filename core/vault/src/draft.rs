//! An op of this device's, from its first part to its place in the log.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use twin_ops::change::{Change, Seen, SeenHeight};
use twin_ops::epoch::EpochId;
use twin_ops::op::{LogId, Op, Origin, Place};
use twin_ops::seal::{seal_parts, sealed_len};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::LogHead;
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::oplog::PartNo;
use crate::rows::ToldRow;
use crate::vault::Vault;

/// The most logs that one op tells the heights of, so that it leaves room for changes.
const MAX_SEEN: usize = 1024;

/// An op that is being made.
pub(crate) struct Draft {
    pub origin: Origin,
    pub place: Place,
    number: i64,
    plaintexts: Vec<Zeroizing<Vec<u8>>>,
}

impl Draft {
    /// Adds a part; returns its number.
    pub fn add(&mut self, plaintext: Zeroizing<Vec<u8>>) -> PartNo {
        let key = PartNo::new(self.number, self.plaintexts.len() as u64);
        self.plaintexts.push(plaintext);
        key
    }

    /// About how many bytes its parts will have, and how many there are.
    pub fn room_taken(&self) -> (usize, usize) {
        let lens = self.plaintexts.iter();
        let lens = lens.map(|plaintext| sealed_len(plaintext.len()));
        (lens.sum(), self.plaintexts.len())
    }
}

impl Vault {
    /// Begins this device's next op in a space. Inside a transaction.
    pub(crate) fn begin_op(
        &mut self,
        space: &SpaceName,
        rng: &mut impl CryptoRng,
    ) -> Result<Draft> {
        self.settle_incarnation(rng)?;
        let epoch = self.epoch_for(space, rng)?;
        let space = space.id(self.twin());
        self.writes_in(&(space, epoch))?;
        let (origin, place) = self.own_log(space, epoch);
        let number = self.next_op(&origin, &place.log, place.seq)?;
        Ok(Draft {
            origin,
            place,
            number,
            plaintexts: Vec::new(),
        })
    }

    /// Tells in an op what has become known since this device last told of it.
    pub(crate) fn tell_seen(&mut self, draft: &mut Draft) -> Result<()> {
        if let Some(seen) = self.see(draft.origin.space, &draft.place.log)? {
            draft.add(Zeroizing::new(Change::Seen(seen).to_bytes()));
        }
        Ok(())
    }

    /// Seals, signs and stores an op.
    pub(crate) fn finish_op(&mut self, draft: Draft, rng: &mut impl CryptoRng) -> Result<LogHead> {
        let Draft { origin, place, .. } = draft;
        let key = match self.state.epochs.get(&(origin.space, place.epoch)) {
            Some(epoch) => &epoch.parts,
            None => return Err(VaultError::NoKey),
        };
        let (salt, parts) = seal_parts(key, &place, draft.plaintexts, rng)?;
        let op = Op::sign(place, salt, parts, self.twin(), &self.device)?;
        let head = self.store_op(&origin, draft.number, &op)?;
        let log = place.log;
        Ok(LogHead { log, head })
    }

    /// This device's log in a space, and the place of its next op.
    fn own_log(&self, space: SpaceId, epoch: EpochId) -> (Origin, Place) {
        let origin = Origin {
            space,
            device: self.device.id(),
            incarnation: self.incarnation,
        };
        let log = origin.log_id(self.twin());
        let head = self.state.logs.get(&log).map(|log| log.head);
        let place = Place {
            log,
            seq: head.map_or(0, |head| head.height) + 1,
            prev: head.map(|head| head.link),
            epoch,
        };
        (origin, place)
    }

    /// What has become known in a space since this device last told of it.
    fn see(&mut self, space: SpaceId, own: &LogId) -> Result<Option<Seen>> {
        let told = self.state.told.get(&space);
        let height = |log| told.and_then(|told| told.heights.get(log));
        let logs = self.state.logs.iter();
        let others = logs.filter(|(id, log)| log.origin.space == space && *id != own);
        let grown: Vec<SeenHeight> = others
            .filter(|(id, log)| height(id) != Some(&log.head.height))
            .map(|(id, log)| SeenHeight {
                log: *id,
                height: log.head.height,
            })
            .take(MAX_SEEN)
            .collect();
        let heads = self.state.identity.heads();
        if grown.is_empty() && told.is_some_and(|told| told.heads == heads) {
            return Ok(None);
        }
        let told = self.state.told.entry(space).or_insert_with(|| ToldRow {
            space,
            heads: Vec::new(),
            heights: BTreeMap::new(),
        });
        told.heads.clone_from(&heads);
        let heights = grown.iter().map(|seen| (seen.log, seen.height));
        told.heights.extend(heights);
        self.file.put(told)?;
        Ok(Some(Seen::new(heads, grown)))
    }

    /// The epoch to write to a space in; begins one if there is none, or if somebody is out who has its key.
    pub(crate) fn epoch_for(
        &mut self,
        space: &SpaceName,
        rng: &mut impl CryptoRng,
    ) -> Result<EpochId> {
        let id = space.id(self.twin());
        if let Some(epoch) = self.state.writing_epoch(&id) {
            return Ok(epoch);
        }
        if !self.may_begin(space) {
            let known = self.state.newest_epoch(&id).is_some();
            return Err(if known {
                VaultError::NoEpoch
            } else {
                VaultError::NoKey
            });
        }
        self.begin_epochs(std::slice::from_ref(space), rng)?;
        self.state.writing_epoch(&id).ok_or(VaultError::NoKey)
    }
}
