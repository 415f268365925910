//! What this device remembers of the relays that it uses: how far it has read their mailboxes, and what it has left there.
//!
//! All of it can be lost without harm: then everything that the others are not known to have is left there again.

use std::ops::RangeInclusive;

use twin_ops::op::LogId;
use twin_ops::relays::RelayStore;
use twin_ops::store::{Known, LogHead};

pub use twin_ops::relays::{Left, MailboxId, RelayId, RelayUse};

use crate::error::Result;
use crate::rows::{PageRow, RelayRow};
use crate::vault::Vault;

impl Vault {
    /// How a relay was used.
    pub fn relay_use(&self, relay: &RelayId) -> Result<RelayUse> {
        let row: Option<RelayRow> = self.file.item(relay)?;
        let Some(row) = row else {
            return Ok(RelayUse::default());
        };
        let heads = row.heads.into_iter();
        let known = Known {
            entries: row.entries,
            grants: row.grants,
            heads: heads.map(|(log, head)| LogHead { log, head }).collect(),
            holes: row.holes,
            ..Known::default()
        };
        let to = row.to;
        Ok(RelayUse {
            visited: row.visited,
            left: row.since.map(|since| Left { since, to, known }),
            erased: row.erased,
            early: row.early,
        })
    }

    /// What is remembered of the mailboxes of a relay.
    pub fn relay_pages(&self, relay: &RelayId) -> Result<Vec<(MailboxId, Vec<u8>)>> {
        let rows = self.file.whole_items::<PageRow>()?.into_iter();
        let of_relay = rows.filter(|row| row.relay == *relay);
        Ok(of_relay.map(|row| (row.mailbox, row.page)).collect())
    }

    /// Keeps how a relay was used, and these pages; `None` drops one.
    pub fn keep_relay_use(
        &mut self,
        relay: &RelayId,
        used: &RelayUse,
        pages: Vec<(MailboxId, Option<Vec<u8>>)>,
    ) -> Result<()> {
        self.write(|vault| {
            let known = used.left.as_ref().map(|left| left.known.clone());
            let known = known.unwrap_or_default();
            let heads = known.heads.iter();
            vault.file.put(&RelayRow {
                relay: *relay,
                visited: used.visited,
                since: used.left.as_ref().map(|left| left.since),
                entries: known.entries,
                grants: known.grants,
                heads: heads.map(|head| (head.log, head.head)).collect(),
                erased: used.erased,
                holes: known.holes,
                to: { used.left.iter() }
                    .flat_map(|left| left.to.iter().copied())
                    .collect(),
                early: used.early,
            })?;
            for (mailbox, page) in pages {
                match page {
                    Some(page) => vault.file.put(&PageRow {
                        relay: *relay,
                        mailbox,
                        page,
                    })?,
                    None => vault.file.remove::<PageRow>(&page_name(relay, &mailbox))?,
                }
            }
            Ok(())
        })
    }

    /// Forgets a relay that is used no more.
    pub fn forget_relay(&mut self, relay: &RelayId) -> Result<()> {
        self.write(|vault| {
            vault.file.remove::<RelayRow>(relay)?;
            vault.file.remove_where(|row: &PageRow| row.relay == *relay)
        })
    }
}

impl RelayStore for Vault {
    fn relay_use(&self, relay: &RelayId) -> Result<RelayUse> {
        Self::relay_use(self, relay)
    }

    fn relay_pages(&self, relay: &RelayId) -> Result<Vec<(MailboxId, Vec<u8>)>> {
        Self::relay_pages(self, relay)
    }

    fn keep_relay_use(
        &mut self,
        relay: &RelayId,
        used: &RelayUse,
        pages: Vec<(MailboxId, Option<Vec<u8>>)>,
    ) -> Result<()> {
        Self::keep_relay_use(self, relay, used, pages)
    }

    fn erased_parts(&self) -> u64 {
        Self::erased_parts(self)
    }

    fn erased_among(
        &self,
        is_log: impl Fn(&LogId) -> bool,
        seqs: &RangeInclusive<u64>,
    ) -> Option<u64> {
        Self::erased_among(self, is_log, seqs)
    }

    fn is_gone(&self, log: &LogId, seq: u64, part: u16) -> Result<bool> {
        Self::is_gone(self, log, seq, part)
    }
}

/// What a page is called.
pub(crate) fn page_name(relay: &RelayId, mailbox: &MailboxId) -> Vec<u8> {
    [relay.as_slice(), mailbox].concat()
}
