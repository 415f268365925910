//! The ops in which a branch is written again: each as it was, as far as there is room.

use rand_core::CryptoRng;
use twin_ops::change::Change;
use twin_ops::op::{MAX_OP_LEN, MAX_PARTS};
use twin_ops::seal::sealed_len;
use twin_ops::space::SpaceName;
use twin_ops::store::LogHead;
use zeroize::Zeroizing;

use crate::draft::Draft;
use crate::error::{Result, VaultError};
use crate::oplog::PartNo;
use crate::rows::AheadRow;
use crate::snapshot::has_room;
use crate::stage::horizon;
use crate::vault::Vault;

/// What an op has beside its parts, at most; and beside the bytes of each.
const OP_HEAD: usize = 1 << 10;
const PART_HEAD: usize = 8;

/// What is being written of it.
pub(super) struct Writing {
    space: SpaceName,
    pub draft: Option<Draft>,
    /// How many bytes are in the draft, and how many parts.
    len: usize,
    parts: usize,
    /// How far the log goes by now.
    pub head: Option<LogHead>,
}

impl Writing {
    /// Nothing yet, in a space.
    pub const fn new(space: SpaceName) -> Self {
        Self {
            space,
            draft: None,
            len: 0,
            parts: 0,
            head: None,
        }
    }
}

impl Vault {
    /// Adds a change to the op that is being made, or to the next one if that has no room.
    pub(super) fn add_again(
        &mut self,
        writing: &mut Writing,
        change: &Change,
        rng: &mut impl CryptoRng,
    ) -> Result<PartNo> {
        let plaintext = Zeroizing::new(change.to_bytes());
        if !has_room(plaintext.len()) {
            return Err(VaultError::Fork);
        }
        let len = sealed_len(plaintext.len()) + PART_HEAD;
        if writing.len + len + OP_HEAD > MAX_OP_LEN || writing.parts >= MAX_PARTS {
            self.finish_again(writing, rng)?;
        }
        if writing.draft.is_none() {
            let mut draft = self.begin_op(&writing.space, rng)?;
            if writing.head.is_none() && sealed_len(plaintext.len()) < MAX_OP_LEN / 2 {
                self.tell_seen(&mut draft)?;
            }
            (writing.len, writing.parts) = draft.room_taken();
            writing.draft = Some(draft);
        }
        let draft = writing.draft.as_mut().ok_or(VaultError::Fork)?;
        let key = draft.add(plaintext);
        writing.len += len;
        writing.parts += 1;
        if let Change::Record(change) = change
            && change.stamp > horizon(self.now)
        {
            // It goes on waiting for the clock.
            self.state.ahead.insert((change.stamp, key));
            self.file.put(&AheadRow {
                part: key.0,
                stamp: change.stamp,
            })?;
        }
        Ok(key)
    }

    /// Ends the op that is being made, if one is.
    pub(super) fn finish_again(
        &mut self,
        writing: &mut Writing,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        if let Some(draft) = writing.draft.take() {
            writing.head = Some(self.finish_op(draft, rng)?);
        }
        (writing.len, writing.parts) = (0, 0);
        Ok(())
    }
}
