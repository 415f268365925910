//! Saying where this device is, and hearing where others are.

use twin_sync::mailbox::DeskError;

use super::super::Found;
use super::Talk;
use crate::error::Result;
use crate::platform::rng;
use crate::relays::presence;

impl Talk<'_> {
    /// Says where this device is.
    pub(super) fn present(&mut self) -> Result<()> {
        let Some(current) = self.shelves.current else {
            return Ok(());
        };
        let content = presence::of(&self.visitor.node);
        let twin = &self.visitor.twin;
        let me = twin.device_id();
        let presented =
            self.conversation
                .desk()
                .present(twin.now(), &current, &me, content, &mut rng());
        self.conversation.stir();
        match presented {
            Ok(_) | Err(DeskError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn found(&self, content: &[u8]) {
        if let Some((peer, addresses)) = presence::from_bytes(content)
            && peer != self.visitor.node.key()
        {
            let relay = self.visitor.relay.clone();
            let found = Found {
                peer,
                addresses,
                relay,
            };
            // Whoever is busy hears of it again within minutes.
            let _ = self.visitor.found.try_send(found);
        }
    }
}
