//! Saying where this device is.

use twin_ops::store::OpStore;

use super::{Around, Result, Talk};
use crate::mailbox::DeskError;

impl Talk {
    /// Says where this device is, in place of what it said before.
    pub fn present<A: Around>(&mut self, content: Vec<u8>, at: &A) -> Result<(), A> {
        let Some(current) = self.shelves.current else {
            return Ok(());
        };
        let (me, now) = (at.store().device(), at.now());
        let presented = at
            .desk()
            .present(now, &current, &me, content, &mut at.rng());
        at.stir();
        match presented {
            Ok(_) | Err(DeskError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
