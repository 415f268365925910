//! Ops whose parts were read lately, opened: a page of records, or one record after another, does not look for each part's
//! op anew, and derives its key once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use twin_identity::aead::{Salt, SaltedKey};
use twin_ops::op::{Header, Origin};
use twin_ops::seal::{PartPlace, open_salted};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::oplog::{OpHead, PartNo};
use crate::vault::Vault;

/// How many ops are remembered: with each its key, which is wiped when it is forgotten.
const MAX_OPENED: usize = 1024;

/// An op whose parts can be opened.
pub(crate) struct OpenedOp {
    pub header: Header,
    pub origin: Origin,
    salt: Salt,
    key: SaltedKey,
}

/// Those that were read lately.
#[derive(Default)]
pub(crate) struct OpenedOps(RefCell<HashMap<i64, Arc<OpenedOp>>>);

impl OpenedOps {
    /// Forgets them all, when ops are replaced.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    fn get(&self, number: i64) -> Option<Arc<OpenedOp>> {
        self.0.borrow().get(&number).cloned()
    }

    fn remember(&self, number: i64, op: &Arc<OpenedOp>) {
        let mut known = self.0.borrow_mut();
        if known.len() >= MAX_OPENED {
            known.clear();
        }
        known.insert(number, Arc::clone(op));
    }
}

impl OpenedOp {
    /// The content of one of its parts; `None` if that does not open.
    pub fn open(&self, key: PartNo, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let place = PartPlace {
            log: &self.header.log,
            seq: self.header.seq,
            epoch: &self.header.epoch,
            salt: &self.salt,
            index: key.index(),
        };
        open_salted(&self.key, place, sealed).ok()
    }
}

impl Vault {
    /// The op with this number, whose epoch is known.
    pub(crate) fn opened_op(&self, number: i64) -> Result<Arc<OpenedOp>> {
        if let Some(known) = self.state.opened_ops.get(number) {
            return Ok(known);
        }
        let head = self.file.store.head(number)?;
        let open = |head: OpHead| {
            let origin = self.state.logs.get(&head.header.log)?.origin;
            let epoch = (origin.space, head.header.epoch);
            let epoch = self.state.epochs.get(&epoch)?;
            Some(OpenedOp {
                key: epoch.parts.salted(&head.salt).ok()?,
                header: head.header,
                origin,
                salt: head.salt,
            })
        };
        let op = Arc::new(open(head).ok_or(VaultError::Damaged("a record"))?);
        self.state.opened_ops.remember(number, &op);
        Ok(op)
    }
}
