//! What readers of many records leave out because it is damaged: one that cannot be read hides no other.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::error::{Result, VaultError};
use crate::vault::Vault;

/// The most that are counted.
const MAX_COUNTED: usize = 10_000;

/// By the numbers of their rows, the records and operations that were left out.
#[derive(Default)]
pub(crate) struct LeftOut(RefCell<BTreeSet<i64>>);

impl LeftOut {
    /// What was found in the row with this number; `None` if it is damaged, which is noted.
    pub fn unless_damaged<T>(&self, number: i64, found: Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(VaultError::Damaged(what)) => {
                log::warn!("a record is left out: {what} is damaged");
                self.add(number);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that something in the row with this number is damaged.
    pub fn add(&self, number: i64) {
        let mut numbers = self.0.borrow_mut();
        if numbers.len() < MAX_COUNTED {
            numbers.insert(number);
        }
    }

    /// Forgets what was left out, when rows are made anew.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Vault {
    /// How many records, or operations that may be of one, were left out of lists, queries, searches and erasures because
    /// they are damaged, since this vault was opened; at most 10,000. [`Vault::check`] names them.
    pub fn left_out(&self) -> usize {
        self.left_out.0.borrow().len()
    }
}
