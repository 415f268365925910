//! Leaving what other devices lack.

use tokio::task::spawn_blocking;
use twin_identity::id::DeviceId;
use twin_ops::store::OpStore;
use twin_sync::bundle;
use twin_sync::mailbox::DeskError;
use twin_sync::mailbox::envelope::MAX_POST;
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
        let others = others(&self.visitor.twin);
        let life = self.terms.map_or(0, |terms| terms.post_life);
        while !others.is_empty() && self.orders.len() < AT_ONCE {
            let now = self.visitor.twin.now();
            // What lies there expires, perhaps unread: after half of its life it is left again.
            if let Some(left) = &self.next
                && left.since.saturating_add(life / 2) < now
            {
                self.begin_anew();
            }
            let beyond = self.next.as_ref().map(|left| left.known.clone());
            let (twin, to) = (self.visitor.twin.clone(), others.clone());
            let made = spawn_blocking(move || {
                bundle::make(&*twin.vault(), now, &to, beyond, MAX_POST, &mut rng())
            });
            let made = made.await.map_err(|_| Error::Broken)??;
            if made.carried.is_empty() && !self.owes_word {
                return Ok(());
            }
            self.owes_word = false;
            let since = self.next.as_ref().map_or(now, |left| left.since);
            let known = made.then;
            let next = Left { since, known };
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
