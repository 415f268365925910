//! This device was set back to an older state and has written there, beside what it had written before: two histories in
//! one log. It gives up the one that is here, and writes again in new logs what that one said.
//!
//! What is written again is the same changes with the same stamps, so that merging them makes the same of every record.
//! But where changes name others by their places, the places are new: see `places`.

mod places;
mod writing;

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use twin_identity::body::{Body, Fork, Line};
use twin_ops::chain::Head;
use twin_ops::change::{Change, Erase};
use twin_ops::op::{LogId, Part};
use twin_ops::store::{LogHead, OpStore};

use crate::error::{Result, VaultError};
use crate::oplog::{DAMAGED, PartNo, op_number};
use crate::state::Log;
use crate::vault::Vault;

use places::Places;
use writing::Writing;

/// A branch of a log of this device.
#[derive(Clone, Copy)]
struct Branch {
    log: LogId,
    known: Log,
    /// The height of the last op before it.
    common: u64,
}

impl Vault {
    /// Takes note that another device has a log of this one that goes on differently there after its first `common` ops.
    pub(crate) fn note_branch(&mut self, log: &LogId, common: u64) {
        self.branched.insert(*log, common);
    }

    /// Whether anything is to be given up, or said again of what was.
    pub(crate) fn has_branches(&self) -> Result<bool> {
        Ok(self.check_may_write().is_ok()
            && (!self.branched.is_empty()
                || !self.own_branches()?.is_empty()
                || !self
                    .state
                    .identity
                    .given_up_in_vain(&self.device.id())
                    .is_empty()))
    }

    /// The branches of this device's logs that it has given up and that are here nonetheless: it has done so in a later
    /// life, and was set back to the state before.
    fn own_branches(&self) -> Result<Vec<(LogId, u64)>> {
        let me = self.device.id();
        let mut branches = Vec::new();
        for (id, log) in &self.state.logs {
            if log.origin.device == me
                && let Some(height) = self.state.branch_at(&self.file.store, log)?
            {
                branches.push((*id, height - 1));
            }
        }
        Ok(branches)
    }

    /// Gives up the branches that are known, and writes again what they said; of those for which that cannot be done now,
    /// nothing changes. `true` if anything was done.
    pub(crate) fn give_up_branches(&mut self, rng: &mut impl CryptoRng) -> Result<bool> {
        let vain = self
            .state
            .identity
            .given_up_in_vain(&self.device.id())
            .into_iter()
            .map(|fork| Body::Fork(Box::new(fork)));
        let vain: Vec<Body> = vain.collect();
        let mut done = false;
        if !vain.is_empty() {
            let said = self.write(|vault| vault.say(&vain).map(|()| true));
            done |= unless_impossible(said)?;
        }
        let mut branches = std::mem::take(&mut self.branched);
        branches.extend(self.own_branches()?);
        for (log, common) in branches {
            let written = self.write(|vault| vault.give_up(&log, common, rng));
            done |= unless_impossible(written)?;
        }
        Ok(done)
    }

    /// Gives up what is here of a log of this device after its first `common` ops; `false` if there is nothing, or what
    /// was written again of it before is not here yet. Inside a transaction.
    fn give_up(&mut self, log: &LogId, common: u64, rng: &mut impl CryptoRng) -> Result<bool> {
        self.tell_time()?;
        self.check_may_write()?;
        let Some(known) = self.state.logs.get(log).copied() else {
            return Ok(false);
        };
        if known.origin.device != self.device.id() || known.head.height <= common {
            return Ok(false);
        }
        let branch = Branch {
            log: *log,
            known,
            common,
        };
        let first = common + 1;
        let link = self.link_at(log, first)?.ok_or(VaultError::Fork)?;
        let before = match common {
            0 => None,
            height => Some(Head {
                height,
                link: self.link_at(log, height)?.ok_or(VaultError::Fork)?,
            }),
        };
        let in_an_earlier_life = self.state.branch_at(&self.file.store, &known)?.is_some();
        if in_an_earlier_life && !self.is_written_again(&known)? {
            return Ok(false);
        }
        self.begin_incarnation(rng)?;
        let again = self.write_again(&branch, in_an_earlier_life, rng)?;
        self.cut_log(log, before)?;
        let fork = Fork {
            branch: Line {
                log: *log.as_bytes(),
                height: first,
                head: *link.as_bytes(),
            },
            again: again.map(|LogHead { log, head }| Line {
                log: *log.as_bytes(),
                height: head.height,
                head: *head.link.as_bytes(),
            }),
        };
        // That may have been said before, word for word.
        if !self
            .state
            .identity
            .given_up(&self.device.id())
            .any(|known| *known == fork)
        {
            self.say(&[Body::Fork(Box::new(fork))])?;
        }
        self.rebuild_index_now()?;
        Ok(true)
    }

    /// Writes again what a branch says, in the logs of the incarnation that was just begun. Returns how far that goes;
    /// `None` if there was nothing to say. Ops are stored and not merged: the index is to be made anew.
    fn write_again(
        &mut self,
        branch: &Branch,
        in_an_earlier_life: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<LogHead>> {
        let space = self.state.spaces.iter();
        let mut space = space.filter(|(_, id)| **id == branch.known.origin.space);
        let space = space.next().ok_or(VaultError::NoKey)?.0.clone();
        let mut writing = Writing::new(space);
        let mut places = Places::new(branch.log, branch.common, in_an_earlier_life);
        for seq in branch.common + 1..=branch.known.head.height {
            for (index, change) in self.said_in(branch, seq)? {
                let change = match change {
                    #[cfg(twin_break)]
                    Change::Record(_) if twin_identity::broken::is("nothing_said_again") => None,
                    Change::Record(change) => {
                        let changed = places.moved(self, &branch.known, seq, index, change)?;
                        changed.map(Change::Record)
                    }
                    Change::Erase(mut erase) => {
                        // What was erased of the branch is gone, and is not written again.
                        erase
                            .ops
                            .retain(|op| op.log != branch.log || op.seq <= branch.common);
                        let says = !erase.ops.is_empty();
                        says.then(|| Change::Erase(Erase::new(erase.ops)))
                    }
                    // What the writer had seen, it tells anew. And what was let go before the branch, others have: with the
                    // checkpoint that let it go it is missing here, and asked for.
                    Change::Seen(_)
                    | Change::Checkpoint(_)
                    | Change::Snapshot(_)
                    | Change::Copy(..) => None,
                    // Of a later version: nobody here can say what in it is to change.
                    Change::Unknown => return Err(VaultError::Fork),
                };
                if let Some(change) = change {
                    let key = self.add_again(&mut writing, &change, rng)?;
                    let draft = writing.draft.as_ref().ok_or(VaultError::Fork)?;
                    places.note(seq, index, &draft.place, key);
                }
            }
            self.finish_again(&mut writing, rng)?;
        }
        Ok(writing.head)
    }

    /// What the parts of an op of a branch say, each with its index; those that are erased left out.
    fn said_in(&self, branch: &Branch, seq: u64) -> Result<Vec<(u16, Change)>> {
        let number = op_number(branch.known.number, seq).ok_or(DAMAGED)?;
        let op = self.file.store.op(number)?;
        let erased: Option<&BTreeSet<u16>> = self.state.erased.get(&(branch.log, seq));
        let mut said = Vec::with_capacity(op.parts().len());
        for (index, part) in (0..).zip(op.parts()) {
            match part {
                Part::Dropped(_) if erased.is_some_and(|erased| erased.contains(&index)) => {}
                // Perhaps it comes yet.
                Part::Dropped(_) => return Err(VaultError::Fork),
                Part::Sealed(sealed) => {
                    let key = PartNo::new(number, index.into());
                    let change = self.open_change(op.header(), op.salt(), key, sealed);
                    said.push((index, change.ok_or(VaultError::Fork)?.1));
                }
            }
        }
        Ok(said)
    }
}

/// What cannot be done now is left as it is: nothing was changed, and both histories stay.
fn unless_impossible(done: Result<bool>) -> Result<bool> {
    match done {
        Err(
            error @ (VaultError::Fork
            | VaultError::NoKey
            | VaultError::NoEpoch
            | VaultError::NotAllowed
            | VaultError::NotAdmin
            | VaultError::Suspended
            | VaultError::Waiting
            | VaultError::Removed
            | VaultError::Limit(_)
            | VaultError::Grant(_)
            | VaultError::Identity(_)),
        ) => {
            log::warn!("a log that goes on differently elsewhere stays as it is: {error}");
            Ok(false)
        }
        done => done,
    }
}
