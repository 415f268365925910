//! Leaving what other devices lack.

use std::collections::BTreeMap;

use tokio::task::spawn_blocking;
use twin_identity::id::DeviceId;
use twin_ops::op::LogId;
use twin_ops::store::{LogHead, OpStore};
use twin_sync::bundle;
use twin_sync::mailbox::envelope::MAX_POST;
use twin_sync::mailbox::{DeskError, Refusal};
use twin_vault::relays::Left;

use super::{AT_ONCE, Talk};
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

impl Talk<'_> {
    /// Something that was left is not there: what follows it is of no use to whoever lacks it.
    pub(super) fn begin_anew(&mut self) {
        (self.used.left, self.next) = (None, None);
        self.orders.values_mut().for_each(|left| *left = None);
    }

    /// The relay has refused what was to be left. What was kept before stays, and is gone on from when there is room.
    pub(super) fn not_left(&mut self, why: Refusal) {
        if matches!(
            why,
            Refusal::MailboxFull | Refusal::RelayFull | Refusal::SourceFull
        ) {
            self.full = self.shelves.current;
        }
        self.next.clone_from(&self.used.left);
        self.orders.values_mut().for_each(|left| *left = None);
    }

    /// Whether what lies here is not to be counted on: it expires, perhaps unread, so that it is left again after half of
    /// its life; it was dated by a clock that has been set right since; other devices take part now; or one of them has
    /// said since that it lacks it, and whoever leaves its word here has read what lies here.
    fn is_past(&self, left: &Left, to: &[(DeviceId, u64)], now: u64) -> Result<bool> {
        let life = self.terms.map_or(0, |terms| terms.post_life);
        let others = |to: &[(DeviceId, u64)]| to.iter().map(|(device, _)| *device).collect();
        let (before, after): (Vec<DeviceId>, Vec<DeviceId>) = (others(&left.to), others(to));
        if left.since > now || left.since.saturating_add(life / 2) < now || before != after {
            return Ok(true);
        }
        let vault = self.visitor.twin.vault();
        for ((device, before), (_, said)) in left.to.iter().zip(to) {
            if said <= before {
                continue;
            }
            let heads = vault.known(device)?.heads;
            let has: BTreeMap<LogId, u64> =
                heads.iter().map(|row| (row.log, row.head.height)).collect();
            let lacks = |row: &LogHead| has.get(&row.log).is_none_or(|has| *has < row.head.height);
            if left.known.heads.iter().any(lacks) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// When each of these devices has last said what it has.
    fn said(&self, devices: &[DeviceId]) -> Result<Vec<(DeviceId, u64)>> {
        let vault = self.visitor.twin.vault();
        let said = devices
            .iter()
            .map(|device| Ok((*device, vault.known(device)?.at)));
        said.collect()
    }

    /// Leaves what other devices are not known to have, and does not lie here already.
    pub(super) async fn leave(&mut self) -> Result<()> {
        if self.owes_taking_back() {
            // It is done, and this after it, once all is read.
            self.conversation.stir();
            return Ok(());
        }
        let Some(current) = self.shelves.current else {
            return Ok(());
        };
        if self.full == Some(current) {
            return Ok(());
        }
        let others = others(&self.visitor.twin);
        while !others.is_empty() && self.orders.len() < AT_ONCE {
            let now = self.visitor.twin.now();
            let to = self.said(&others)?;
            if let Some(left) = &self.next
                && self.is_past(left, &to, now)?
            {
                self.begin_anew();
            }
            let beyond = self.next.as_ref().map(|left| left.known.clone());
            let (twin, readers) = (self.visitor.twin.clone(), others.clone());
            let made = spawn_blocking(move || {
                bundle::make(&*twin.vault(), now, &readers, beyond, MAX_POST, &mut rng())
            });
            let made = made.await.map_err(|_| Error::Broken)??;
            if made.carried.is_empty() && !self.owes_word {
                return Ok(());
            }
            self.owes_word = false;
            let since = self.next.as_ref().map_or(now, |left| left.since);
            let known = made.then;
            let next = Left { since, to, known };
            let mut places = vec![current];
            if made.carried.entries > 0 || made.carried.grants > 0 {
                // Who is to learn of them may know nothing of this epoch yet.
                places.extend(&self.shelves.earlier);
            }
            for place in places {
                let bytes = made.bytes.clone();
                let order = self
                    .conversation
                    .desk()
                    .post(now, &place, bytes, &mut rng());
                match order {
                    Ok(order) => {
                        let left = (place == current).then(|| next.clone());
                        self.orders.insert(order, left);
                    }
                    Err(DeskError::Full) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            self.next = Some(next);
            self.conversation.stir();
            if !made.more {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The other devices that take part.
fn others(twin: &Twin) -> Vec<DeviceId> {
    let vault = twin.vault();
    let me = vault.device();
    let devices = vault.identity().devices().keys();
    let others = devices.filter(|device| **device != me && vault.admits(device));
    others.copied().collect()
}
