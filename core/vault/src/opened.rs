//! Ops whose parts were read lately, opened: a page of records, or one record after another, does not look for each part's
//! op anew, and derives its key once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use twin_ops::op::{Header, Origin};
use twin_ops::seal::Opener;

use crate::error::{Result, VaultError};
use crate::frames::Row;
use crate::oplog::{OpHead, PartNo};
use crate::vault::Vault;

/// How many ops are remembered: with each its key, which is wiped when it is forgotten.
const MAX_OPENED: usize = 512;

/// An op whose parts can be opened.
pub(crate) struct OpenedOp {
    pub header: Header,
    pub origin: Origin,
    pub opener: Opener,
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

impl Vault {
    /// The op with this number, whose epoch is known and of which `row` is one.
    pub(crate) fn opened_op(&self, number: i64, row: Row<'_>) -> Result<Arc<OpenedOp>> {
        if let Some(known) = self.state.opened_ops.get(number) {
            return Ok(known);
        }
        // Of a commit of one record, or a few, the head is in the same row.
        let head = if row.first == PartNo::new(number, 0) {
            OpHead::of(row.head()?)?
        } else {
            self.file.store.head(number)?
        };
        let opened = self.opener(&head.header, &head.salt);
        let (origin, opener) = opened.ok_or(VaultError::Damaged("a record"))?;
        let op = Arc::new(OpenedOp {
            header: head.header,
            origin,
            opener,
        });
        self.state.opened_ops.remember(number, &op);
        Ok(op)
    }
}
