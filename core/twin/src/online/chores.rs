//! What a device that is online does when nothing else is to be done, a little at a time.

use std::time::Duration;

use tokio::time::Instant;
use twin_vault::files::Collecting;

use crate::error::Result;
use crate::twin::Twin;

/// How long after going online garbage is collected for the first time, and how long after that again.
const FIRST: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be done, and how far it is.
pub(super) struct Chores {
    twin: Twin,
    collecting: Option<Collecting>,
    /// When garbage is collected next.
    due: Instant,
}

impl Chores {
    pub fn new(twin: Twin) -> Self {
        Self {
            twin,
            collecting: None,
            due: Instant::now() + FIRST,
        }
    }

    /// Does a little: wipes what other programs of this device have erased, and lets go of what is superseded; when nothing
    /// is, makes records ready for searching; and when all are, collects garbage. Of what goes wrong whoever searches, or has
    /// the vault checked, is told. `false` if there is nothing more to do for now.
    pub fn do_some(&mut self) -> bool {
        self.twin.vault().wipe_for_others();
        match self.twin.compact_some() {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => log::warn!("what is superseded could not be let go: {error}"),
        }
        match self.twin.index_some() {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => log::warn!("records could not be made ready for searching: {error}"),
        }
        self.collect_some().unwrap_or_else(|error| {
            log::warn!("what no record names could not be collected: {error}");
            self.rest();
            false
        })
    }

    fn collect_some(&mut self) -> Result<bool> {
        if Instant::now() < self.due {
            return Ok(false);
        }
        let collecting = self.collecting.get_or_insert_default();
        let more = self.twin.collect_some(collecting)?;
        if !more {
            self.rest();
        }
        Ok(more)
    }

    fn rest(&mut self) {
        self.collecting = None;
        self.due = Instant::now() + AGAIN;
    }
}
