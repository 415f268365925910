//! The vault as sync sees it: what it holds for other devices, and how it takes over what they send.
//!
//! What is read is as of the last call that wrote, or [`Vault::changed_elsewhere`].

mod take;

use std::collections::BTreeSet;

use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_identity::log::{Counts, IdentityLog, LogError};
use twin_identity::secret::Secret;
use twin_identity::sign::{Signature, Use};
use twin_ops::chain::{ChainError, Head};
use twin_ops::epoch::DiscoveryKey;
use twin_ops::grant::GrantId;
use twin_ops::op::{Link, LogId, OpError, Origin};
use twin_ops::piece::{Begun, Pieces};
use twin_ops::space::SpaceId;
use twin_ops::store::{ChunkName, Hole, Known, LogHead, OpStore, Sought, Standing, Taken, Want};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::files::Look;
use crate::rows::GrantRow;
use crate::vault::Vault;

const DAMAGED: VaultError = VaultError::Damaged("an operation");

impl OpStore for Vault {
    type Error = VaultError;
    type Look = Look;

    fn is_refusal(error: &VaultError) -> bool {
        matches!(
            error,
            VaultError::Fork
                | VaultError::Limit(_)
                // Who may write where can be known here and not yet there, or the other way round.
                | VaultError::NotAllowed
                | VaultError::Op(OpError::Newer)
                | VaultError::Chain(ChainError::Op(OpError::Newer))
        )
    }

    fn identity(&self) -> &IdentityLog {
        &self.state.identity
    }

    fn admits(&self, device: &DeviceId) -> bool {
        self.state.identity.is_active(device, self.now)
    }

    fn discovery_key(&self) -> Option<&DiscoveryKey> {
        self.state.discovery.as_ref()
    }

    fn shared_secret(&self, other: &DeviceId) -> Option<Secret<32>> {
        self.device.shared(other)
    }

    fn sign_session(&self, transcript: &[u8; 32]) -> Signature {
        self.device.sign(Use::Session, self.twin(), transcript)
    }

    fn sign_bundle(&self, piece: &[u8; 32]) -> Signature {
        self.device.sign(Use::Bundle, self.twin(), piece)
    }

    fn open_sealed(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.device.open(info, aad, sealed).ok()
    }

    fn other_discovery_keys(&self) -> Vec<DiscoveryKey> {
        self.state.other_discovery_keys()
    }

    fn device(&self) -> DeviceId {
        self.device.id()
    }

    fn add_entries(&mut self, now: u64, entries: &[Vec<u8>]) -> Result<Taken> {
        let mut waiting = entries
            .iter()
            .map(|bytes| Entry::from_bytes(bytes))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        self.now = now;
        self.write(|vault| {
            vault.change_identity(|vault| {
                let mut taken = Taken::default();
                // Entries may come before those that they build on: again, until nothing more fits.
                loop {
                    let before = taken.new;
                    let mut early = Vec::new();
                    for entry in waiting {
                        match vault.take_entry(entry.clone()) {
                            Ok(new) => taken.new += usize::from(new),
                            Err(VaultError::Identity(LogError::MissingPrev)) => early.push(entry),
                            // An honest peer may hold it all the same, and everything else of it is welcome.
                            Err(VaultError::Identity(
                                LogError::Limit | LogError::Rule | LogError::NotAllowed,
                            )) => taken.refused += 1,
                            Err(error) => return Err(error),
                        }
                    }
                    waiting = early;
                    if waiting.is_empty() || taken.new == before {
                        break;
                    }
                }
                taken.early = waiting.len();
                Ok(taken)
            })
        })
    }

    fn unselected(&self, device: &DeviceId) -> BTreeSet<SpaceId> {
        if *device == self.device.id() {
            return self.state.left.keys().copied().collect();
        }
        let unselected = self.state.unselected.get(device);
        unselected.cloned().unwrap_or_default()
    }

    fn to_leave(&self) -> BTreeSet<SpaceId> {
        Self::to_leave(self)
    }

    fn holds_all(&self, space: &SpaceId) -> Result<bool> {
        Self::holds_all(self, space)
    }

    fn held(&mut self, now: u64, device: &DeviceId, spaces: &[SpaceId]) -> Result<()> {
        self.now = now;
        self.write(|vault| vault.leave_held(device, spaces))
    }

    fn grants(&self) -> Result<Vec<GrantId>> {
        Ok(self.state.standing().map(|(id, _)| *id).collect())
    }

    fn grant(&self, id: &GrantId) -> Result<Option<Vec<u8>>> {
        let row: Option<GrantRow> = self.file.item(id.as_bytes())?;
        Ok(row.map(|row| row.grant))
    }

    fn add_grants(&mut self, grants: &[Vec<u8>]) -> Result<Taken> {
        self.write(|vault| vault.take_grants(grants))
    }

    fn wants(&self) -> Result<Vec<Want>> {
        self.wanted_keys()
    }

    fn asked(&mut self, device: &DeviceId, wants: &[Want]) {
        self.note_wants(device, wants);
    }

    fn heads(&self) -> Result<Vec<LogHead>> {
        let mut heads = Vec::with_capacity(self.state.logs.len());
        for (id, log) in &self.state.logs {
            let head = match self.state.counted(&self.file.store, log)? {
                0 => continue,
                height if height == log.head.height => log.head,
                height => Head {
                    height,
                    link: self.link_at(id, height)?.ok_or(DAMAGED)?,
                },
            };
            heads.push(LogHead { log: *id, head });
        }
        Ok(heads)
    }

    fn origin(&self, log: &LogId) -> Result<Option<Origin>> {
        Ok(self.state.logs.get(log).map(|log| log.origin))
    }

    fn link_at(&self, log: &LogId, seq: u64) -> Result<Option<Link>> {
        self.state.link_at(&self.file.store, log, seq)
    }

    fn base(&self, log: &LogId) -> Result<Option<Head>> {
        Ok(self.state.logs.get(log).and_then(|log| log.base))
    }

    fn checkpoints(&self) -> Vec<Standing> {
        self.covering()
    }

    fn in_sync(&mut self, now: u64, device: &DeviceId, apart: &BTreeSet<SpaceId>) {
        if let Err(error) = self.note_in_sync(now, device, apart) {
            log::warn!("what a device has could not be noted: {error}");
        }
    }

    fn known(&self, device: &DeviceId) -> Result<Known> {
        self.known_of(device)
    }

    fn note_known(&mut self, now: u64, device: &DeviceId, known: Known, whole: bool) -> Result<()> {
        self.now = now;
        self.write(|vault| vault.take_word(device, known, whole))
    }

    fn pieces(&mut self) -> Option<&mut Pieces> {
        Some(&mut self.pieces)
    }

    fn begun(&self) -> Vec<Begun> {
        self.pieces.begun()
    }

    fn branched(&mut self, log: &LogId, common: u64) {
        self.note_branch(log, common);
    }

    fn is_settled(&self, log: &LogId) -> Result<bool> {
        let Some(known) = self.state.logs.get(log) else {
            return Ok(false);
        };
        let counts = self
            .state
            .identity
            .counts(&known.origin.device, log.as_bytes());
        match counts {
            Counts::UpTo(line) => {
                let link = self.link_at(log, line.height)?;
                Ok(link.is_some_and(|link| *link.as_bytes() == line.head))
            }
            Counts::All | Counts::Nothing => Ok(false),
        }
    }

    fn read_run(&self, log: &LogId, after: u64, budget: usize) -> Result<Vec<Vec<u8>>> {
        let Some(known) = self.state.logs.get(log) else {
            return Ok(Vec::new());
        };
        if known.base.is_some_and(|base| base.height > after) {
            return Ok(Vec::new());
        }
        let counted = self.state.counted(&self.file.store, known)?;
        let mut run = Vec::new();
        let (mut len, mut prev) = (0, None);
        for seq in after.saturating_add(1)..=counted {
            let number = self.file.store.op_at(known.number, seq)?.ok_or(DAMAGED)?;
            let op = self.file.store.op(number)?;
            // The op that no longer fits still vouches for the last that does.
            let header = op.header();
            if (header.log, header.seq) != (*log, seq) || (prev.is_some() && header.prev != prev) {
                return Err(DAMAGED);
            }
            let bytes = op.to_bytes();
            len += bytes.len();
            if len > budget && !run.is_empty() {
                return Ok(run);
            }
            run.push(bytes);
            prev = Some(op.link());
        }
        if counted == known.head.height && prev.is_some_and(|link| link != known.head.link) {
            return Err(DAMAGED);
        }
        Ok(run)
    }

    fn holes(&self) -> Result<Vec<Hole>> {
        let mut holes = Vec::new();
        for hole in &self.state.holes {
            if self.is_counted(&hole.log, hole.seq)? {
                holes.push(*hole);
            }
        }
        for hole in self.missing_beginnings() {
            if self.is_counted(&hole.log, hole.seq)? {
                holes.push(hole);
            }
        }
        holes.sort_unstable();
        Ok(holes)
    }

    fn append_run(&mut self, now: u64, origin: &Origin, run: &[Vec<u8>]) -> Result<Taken> {
        self.take(now, origin, None, run)
    }

    fn append_from(
        &mut self,
        now: u64,
        origin: &Origin,
        base: Head,
        run: &[Vec<u8>],
    ) -> Result<Taken> {
        self.take(now, origin, Some(base), run)
    }

    fn wanting(&self) -> u64 {
        self.fetching.mark
    }

    fn seek_chunks(
        &mut self,
        now: u64,
        look: &mut Look,
        peer: &DeviceId,
        limit: usize,
    ) -> Result<Sought> {
        self.look_on(now, look, peer, limit)
    }

    fn chunk(&self, peer: &DeviceId, name: &ChunkName) -> Result<Option<Vec<u8>>> {
        self.chunk_for(peer, name)
    }

    fn take_carried_chunks(&mut self, now: u64, chunks: Vec<(SpaceId, Vec<u8>)>) -> Result<usize> {
        let mut stored = 0;
        for some in chunks.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((space, _)) = some.first() else {
                continue;
            };
            if !self.selects(&self.device.id(), space) {
                continue;
            }
            let sealed = some.iter().map(|(_, sealed)| sealed.clone()).collect();
            match self.take_carried(now, *space, sealed) {
                Ok(new) => stored += usize::try_from(new).unwrap_or(usize::MAX),
                Err(VaultError::NoKey) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stored)
    }

    fn add_chunks(
        &mut self,
        now: u64,
        answers: Vec<(ChunkName, Option<Vec<u8>>)>,
    ) -> Result<usize> {
        self.take_answers(now, answers)
    }
}
