//! What counts of a device that is out: what it has written up to a line, by log, height and head. What it wrote
//! afterwards is kept aside, until an admin says that it counts after all.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::body::{Body, Line, Removal};
use twin_identity::id::DeviceId;
use twin_ops::store::{LogHead, OpStore};

use crate::error::{Result, VaultError};
use crate::vault::Vault;

/// The most lines that fit into an entry beside everything else; the others follow in entries of their own.
const LINES_PER_ENTRY: usize = 190;
/// How far the logs of each device go that a replica knows of.
pub type KnownLines = BTreeMap<DeviceId, Vec<Line>>;

/// Lines in pieces that fit into an entry each.
pub(crate) fn chunks(device: DeviceId, lines: &[Line]) -> Vec<Removal> {
    let chunks = lines.chunks(LINES_PER_ENTRY);
    chunks
        .map(|lines| Removal {
            device,
            lines: lines.to_vec(),
        })
        .collect()
}

impl Vault {
    /// How far the logs of each device go here, as far as they count.
    pub fn known_lines(&self) -> Result<KnownLines> {
        let mut known = KnownLines::new();
        for LogHead { log, head } in self.heads()? {
            if let Some(origin) = self.origin(&log)? {
                known.entry(origin.device).or_default().push(Line {
                    log: *log.as_bytes(),
                    height: head.height,
                    head: *head.link.as_bytes(),
                });
            }
        }
        Ok(known)
    }

    /// The entries by which a device goes, with all that it has written and that is here.
    pub(crate) fn removal(
        &self,
        device: &DeviceId,
        how: impl Fn(Box<Removal>) -> Body,
    ) -> Result<Vec<Body>> {
        if self.state.identity.device(device).is_none() {
            return Err(VaultError::NoSuchDevice);
        }
        let mut known = self.known_lines()?;
        let lines = known.remove(device).unwrap_or_default();
        let mut pieces = chunks(*device, &lines);
        if pieces.is_empty() {
            pieces.push(Removal {
                device: *device,
                lines: Vec::new(),
            });
        }
        let mut pieces = pieces.into_iter().map(Box::new);
        let first = pieces.next().map(how);
        // A device that removes itself can raise nothing afterwards: its other devices do.
        let me = *device == self.device.id();
        let rest = pieces.filter(|_| !me).map(Body::Raise);
        Ok(first.into_iter().chain(rest).collect())
    }

    /// How many ops of which devices are set aside.
    pub fn set_aside(&mut self) -> Result<BTreeMap<DeviceId, u64>> {
        self.catch_up()?;
        let mut aside = BTreeMap::new();
        for log in self.state.logs.values() {
            let counted = self.state.counted(&self.file.store, log)?;
            let more = log.head.height.saturating_sub(counted);
            // What it gave up itself, it has written again.
            let is_branch = self.state.branch_at(&self.file.store, log)?.is_some();
            if more > 0 && !is_branch {
                *aside.entry(log.origin.device).or_default() += more;
            }
        }
        Ok(aside)
    }

    /// What was set aside here only because whoever removed or suspended its writer does not keep the space, and could not
    /// know how far the writer had come: how far that is here. It came before the removal was heard of here, for later it
    /// is not taken; so this is the line that would have been drawn here. Nothing on a device that is no admin.
    pub(crate) fn known_only_to_keepers(&self) -> Result<KnownLines> {
        let mut lines = KnownLines::new();
        let (identity, me) = (&self.state.identity, self.device.id());
        if self.state.unselected.is_empty() || !identity.is_admin(&me) {
            return Ok(lines);
        }
        for (id, log) in &self.state.logs {
            let (writer, space) = (log.origin.device, log.origin.space);
            if identity
                .device(&writer)
                .is_some_and(|device| !device.suspended)
                || !self.selects(&me, &space)
                || self.state.counted(&self.file.store, log)? >= log.head.height
                || self.state.branch_at(&self.file.store, log)?.is_some()
            {
                continue;
            }
            let said = identity.entries().values();
            let by = said.filter_map(|entry| match &entry.body {
                Body::Revoke(removal) | Body::Suspend(removal) if removal.device == writer => {
                    entry.signer
                }
                _ => None,
            });
            let by: BTreeSet<DeviceId> = by.collect();
            // Of the others somebody knew, and the line is as it should be.
            if !by.is_empty() && by.iter().all(|device| !self.selects(device, &space)) {
                lines.entry(writer).or_default().push(Line {
                    log: *id.as_bytes(),
                    height: log.head.height,
                    head: *log.head.link.as_bytes(),
                });
            }
        }
        Ok(lines)
    }

    /// Raises the lines of devices to these. Inside a transaction.
    pub(crate) fn raise_for_keepers(&mut self) -> Result<bool> {
        let lines = self.known_only_to_keepers()?;
        let raised = lines
            .iter()
            .flat_map(|(device, lines)| chunks(*device, lines));
        let raised: Vec<Body> = raised.map(|more| Body::Raise(Box::new(more))).collect();
        if !raised.is_empty() {
            self.say(&raised)?;
        }
        Ok(!raised.is_empty())
    }

    /// Lets all count that a device wrote after it was removed or suspended and that is here: its lines are raised.
    /// Only an admin can. Returns how many ops that were; of ops whose keys are not here nothing can be read yet.
    pub fn accept_aside(&mut self, device: &DeviceId) -> Result<u64> {
        let Some(before) = self.set_aside()?.remove(device) else {
            return Ok(0);
        };
        self.write(|vault| {
            let twin = vault.state.identity.twin();
            let here = vault.state.logs.values();
            let theirs = here.filter(|log| log.origin.device == *device);
            let lines: Vec<Line> = theirs
                .map(|log| Line {
                    log: *log.origin.log_id(twin).as_bytes(),
                    height: log.head.height,
                    head: *log.head.link.as_bytes(),
                })
                .collect();
            let raised = chunks(*device, &lines).into_iter();
            let raised: Vec<Body> = raised.map(|more| Body::Raise(Box::new(more))).collect();
            vault.say(&raised)
        })?;
        let after = self.set_aside()?.remove(device).unwrap_or_default();
        Ok(before.saturating_sub(after))
    }
}
