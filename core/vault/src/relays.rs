//! What this device remembers of the relays that it uses: how far it has read their mailboxes, and what it has left there.
//!
//! All of it can be lost without harm: then everything that the others are not known to have is left there again.

use twin_identity::id::DeviceId;
use twin_ops::store::{Known, LogHead};

use crate::error::Result;
use crate::rows::{PageRow, RelayRow};
use crate::vault::Vault;

/// The key of a relay, and the address of one of its mailboxes.
pub type RelayId = [u8; 32];
/// See [`RelayId`].
pub type MailboxId = [u8; 32];

/// How a relay was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayUse {
    /// When it was last read to the end; `None` if never. Milliseconds since the Unix epoch.
    pub visited: Option<u64>,
    /// What whoever reads everything that lies there has.
    pub left: Option<Left>,
    /// Of how many parts the content was erased ([`Vault::erased_parts`]) when this device last took back what lay there.
    pub erased: u64,
    /// How many envelopes could not be taken when this device was there last, for they go on from what had not come.
    pub early: u64,
}

/// What lies at a relay, taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// When the oldest of it was left: milliseconds since the Unix epoch.
    pub since: u64,
    /// For which devices, sorted, and when each had last said what it has (`Known::at`) when the newest of it was left.
    pub to: Vec<(DeviceId, u64)>,
    /// What it comes to, for these devices; its holes are those of others that what lies there fills.
    pub known: Known,
}

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

/// What a page is called.
pub(crate) fn page_name(relay: &RelayId, mailbox: &MailboxId) -> Vec<u8> {
    [relay.as_slice(), mailbox].concat()
}
