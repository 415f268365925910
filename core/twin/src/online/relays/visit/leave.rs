//! Leaving what other devices lack.

use std::collections::BTreeMap;

use tokio::task::spawn_blocking;
use twin_identity::id::DeviceId;
use twin_ops::chain::Head;
use twin_ops::op::LogId;
use twin_ops::store::{Known, LogHead, OpStore};
use twin_sync::bundle;
use twin_sync::mailbox::envelope::MAX_POST;
use twin_sync::mailbox::{Address, DeskError, Held, Refusal};
use twin_vault::Vault;
use twin_vault::relays::Left;

use super::erased::held;
use super::{AT_ONCE, Order, Talk};
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

impl Talk<'_> {
    /// Something that was left is not there: what follows it is of no use to whoever lacks it.
    pub(super) fn begin_anew(&mut self) {
        (self.used.left, self.next) = (None, None);
        self.orders.values_mut().for_each(|order| order.left = None);
    }

    /// A post is not there: what was in it is left again, and what follows that in the same logs; all, if it is not known
    /// what was in it.
    pub(super) fn leave_again(&mut self, address: &Address, number: u64) -> Result<()> {
        let held = self
            .conversation
            .desk()
            .memory()
            .held(address, number)
            .cloned();
        let Some(held) = held else {
            self.begin_anew();
            return Ok(());
        };
        let vault = self.visitor.twin.vault();
        let orders = { self.orders.values_mut() }.filter_map(|order| order.left.as_mut());
        let lefts = { self.used.left.iter_mut() }
            .chain(&mut self.next)
            .chain(orders);
        for left in lefts {
            set_back(&mut left.known, &held, &vault)?;
        }
        Ok(())
    }

    /// The relay has refused what was to be left. What was kept before stays, and is gone on from when there is room.
    pub(super) fn not_left(&mut self, why: Refusal) {
        if matches!(why, Refusal::MailboxFull | Refusal::RelayFull) {
            self.full = self.shelves.current;
        }
        self.next.clone_from(&self.used.left);
        self.orders.values_mut().for_each(|order| order.left = None);
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
                let vault = twin.vault();
                let made = bundle::make(&*vault, now, &readers, beyond, MAX_POST, &mut rng())?;
                let held = held(&vault, &made.inside)?;
                Ok::<_, Error>((made, held))
            });
            let (made, held) = made.await.map_err(|_| Error::Broken)??;
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
                        let held = held.clone();
                        self.orders.insert(order, Order { left, held });
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

/// What is known to whoever reads everything, without what a post held. Who is to take what it had of logs that go on, takes
/// it from there on; entries and grants are few.
fn set_back(known: &mut Known, held: &Held, vault: &Vault) -> Result<()> {
    known.entries.clear();
    known.grants.clear();
    known.holes.clear();
    let heads = std::mem::take(&mut known.heads).into_iter();
    for LogHead { log, mut head } in heads {
        let spans = held.spans().filter(|(is_log, _)| is_log(&log));
        let first = spans.map(|(_, span)| *span.start()).min();
        let height = first.map_or(head.height, |first| {
            head.height.min(first.saturating_sub(1))
        });
        if height < head.height {
            // Where that is not here any more, all of the log goes.
            let Some(link) = vault.link_at(&log, height)? else {
                continue;
            };
            head = Head { height, link };
        }
        known.heads.push(LogHead { log, head });
    }
    Ok(())
}

/// The other devices that take part.
fn others(twin: &Twin) -> Vec<DeviceId> {
    let vault = twin.vault();
    let me = vault.device();
    let devices = vault.identity().devices().keys();
    let others = devices.filter(|device| **device != me && vault.admits(device));
    others.copied().collect()
}
