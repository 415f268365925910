//! Somebody who knows a twin by its proofs, and what they remember of it.
//!
//! What guardians rotate counts for the devices of a twin only after a delay, in which words override it. Contacts count
//! the same delay, each from when they first saw the rotation themselves: so that guardians who were robbed, or have
//! joined against the person, take nothing over at once. Meanwhile what was accepted before goes on to hold. A contact
//! hears of no vetoes: whoever objects should show it a proof of a rotation by words before the delay is over.

use crate::body::waited;
use crate::id::{EntryId, TwinId};
use crate::proof::{self, Checked, Known, ProofError};

/// The most rotations that a contact watches.
pub const MAX_WAITING: usize = 8;

/// What is remembered of a twin. To be kept after every check, whether it went well or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// What the last proof said that was accepted; `None` if there was none yet.
    pub known: Option<Known>,
    /// Rotations by guardians that wait, and when each was first seen, in milliseconds since the Unix epoch.
    pub waiting: Vec<(EntryId, u64)>,
}

impl Contact {
    /// Checks a proof of a twin; `now` in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Among others [`ProofError::Waits`]: the same proof, made anew, is accepted later.
    pub fn check(&mut self, twin: &TwinId, proof: &[u8], now: u64) -> Result<Checked, ProofError> {
        let (checked, waits) = proof::examine(twin, proof, self.known.as_ref(), now)?;
        let mut until = now;
        for (rotation, days) in &waits {
            let seen = self.first_seen(*rotation, now);
            until = until.max(waited(seen, *days));
        }
        if until > now {
            return Err(ProofError::Waits { until });
        }
        self.known = Some(checked.known);
        // What it does not rest on goes on to wait: a stolen phone that vouches for itself meanwhile puts nothing off.
        let counts = |waiting: &EntryId| waits.iter().any(|(rotation, _)| rotation == waiting);
        self.waiting.retain(|(rotation, _)| !counts(rotation));
        Ok(checked)
    }

    /// When a rotation was first seen: now, if it was not. Of too many the newest give way, so that no number of others
    /// makes one wait for longer that is watched already.
    fn first_seen(&mut self, rotation: EntryId, now: u64) -> u64 {
        let mut seen = self.waiting.iter();
        if let Some((_, at)) = seen.find(|(seen, _)| *seen == rotation) {
            return *at;
        }
        self.waiting.truncate(MAX_WAITING - 1);
        self.waiting.push((rotation, now));
        now
    }
}
